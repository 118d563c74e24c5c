"""The story of one call, told once, for sync and async alike.

`call()` is a generator. It yields what it needs done (`Send`, `Sleep`, `Emit`, `Deliver`) and is sent what came of
it. Nothing has happened when it is created, it does nothing itself, and it can be closed at any point.

::

    ┌► Send ──► Failed ──► Emit(AttemptFailed) ──► Sleep ─┐
    │             └ no retry ──► Emit(Finished) ──► Raise │
    └─────────────────────────────────────────────────────┘
       Send ──► Answered ───────────────────────► Emit(Finished) ──► Return
       Send ──► Opened ──► Deliver … Ended ─────► Emit(Finished)

Where further policies stand: whatever may refuse a call asks before `Send`, in the order model, spend, rate, place,
circuit; whatever learns from a call is told where its `Finished` is made.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from huddle_otel.events import AttemptFailed, Event, Failure, Finished, Outcome, RetryClass
from huddle_otel.policy import retry
from huddle_otel.settings import RetryPolicy

# --- what the programme asks for ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Send:
    """Make one attempt. Answered by `Answered`, `Opened`, `Failed` or `Interrupted`."""

    number: int
    """1 for the first."""
    remaining: float
    """Seconds left of the call's total time."""


@dataclass(slots=True)
class Sleep:
    """Wait. Answered by `Woken` or `Interrupted`."""

    seconds: float


@dataclass(slots=True)
class Emit:
    """Tell the recorder. Answered by None."""

    event: Event


@dataclass(slots=True)
class Deliver:
    """Give the open stream to the app. Answered, whenever that is, by `Ended`."""


Effect = Send | Sleep | Emit | Deliver

# --- what it is told ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Answered:
    """The attempt brought a complete answer."""


@dataclass(slots=True)
class Opened:
    """The attempt brought a stream, and its first content is there."""


@dataclass(slots=True)
class Failed:
    """The attempt failed."""

    failure: Failure
    now: float


@dataclass(slots=True)
class Woken:
    """A wait is over."""

    now: float


@dataclass(slots=True)
class Interrupted:
    """The app cancelled the call while it was sending or waiting."""


@dataclass(slots=True)
class Ended:
    """A delivered stream is over: read to its end, broken, or left by the app."""

    outcome: Outcome
    failure: Failure | None


Reply = Answered | Opened | Failed | Woken | Interrupted | Ended | None
Programme = Generator[Effect, Reply, None]


def call(
    policy: RetryPolicy | None, *, max_retries: float, started: float, total: float, draw: Callable[[], float]
) -> Programme:
    """Run one call.

    Args:
        policy: When to try again; None is never.
        max_retries: The app's own bound on retries; infinity for none.
        started: The clock when the call began, s.
        total: Seconds the call may take in all; infinity for no bound.
        draw: Random numbers from 0 up to 1.
    """
    now = started
    number = ambiguous = 0
    waited = 0.0
    causes: tuple[str, ...] = ()
    while True:
        number += 1
        reply = yield Send(number, started + total - now)
        if isinstance(reply, Opened):
            reply = yield Deliver()
            if isinstance(reply, Ended) and reply.failure is not None:
                yield Emit(_attempt(number, reply.failure, None))
            break
        if not isinstance(reply, Failed):
            break
        now, failure = reply.now, reply.failure
        wait = None
        if number <= max_retries:
            remaining = started + total - now
            wait = retry.delay(policy, failure, attempt=number, ambiguous=ambiguous, remaining=remaining, draw=draw())
        yield Emit(_attempt(number, failure, wait))
        if wait is None:
            break
        causes = (*causes, failure.error_type)
        ambiguous += retry.classify(failure) is RetryClass.AMBIGUOUS
        reply = yield Sleep(wait)
        if not isinstance(reply, Woken):
            reply = None  # interrupted between attempts: the last one is accounted for
            break
        waited += reply.now - now
        now = reply.now
    yield Emit(_finished(reply, attempts=number, waited=waited, causes=causes, double_billing=ambiguous > 0))


def _attempt(number: int, failure: Failure, delay: float | None) -> AttemptFailed:
    return AttemptFailed(number=number, failure=failure, retry_class=retry.classify(failure), delay=delay)


def _finished(reply: Reply, *, attempts: int, waited: float, causes: tuple[str, ...], double_billing: bool) -> Finished:
    """Judge the call by the last thing the programme was told."""
    outcome, failure, told = Outcome.CANCELLED, None, reply is None
    if isinstance(reply, Answered):
        outcome = Outcome.OK
    elif isinstance(reply, Ended):
        outcome, failure, told = reply.outcome, reply.failure, reply.failure is not None
    elif isinstance(reply, Failed):
        outcome, failure, told = Outcome.ERROR, reply.failure, True
    return Finished(
        outcome=outcome,
        attempts=attempts,
        failure=failure,
        waited=waited,
        causes=causes,
        last_result="" if told else str(outcome),
        double_billing=double_billing,
    )
