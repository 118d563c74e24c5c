"""The story of one call, told once, for sync and async alike.

`call()` is a generator. It yields what it needs done and is sent what came of it. Nothing has happened when it is
created, it does nothing itself, and it can be closed at any point.

::

    Reserve ──► Refused: finished                      if there are limits on spend
    for each model:                                    the requested one, then its fallbacks
      ┌► Admit ──► Refused ───────────────────────────────────────────────┐
      │    │ └───► Hold, Queued: wait, ask again                          │
      │    ▼                                                              │
      │  Send ──► Answered ──► Record ok ─────────────────────────► finished
      │    │ └──► Opened ──► Deliver … Ended ──► Record ──────────► finished
      │    ▼                                                              │
      │  Failed ──► Record ──► no retry ──────────────────────────────────┤
      │               └──► Withdraw, Sleep ─┐                             ▼
      └─────────────────────────────────────┘                another model, or finished
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from huddle_otel.events import AttemptFailed, Event, Failure, Fault, FellBack, Finished, Outcome, RetryClass
from huddle_otel.policy import retry
from huddle_otel.policy.breaker import Verdict
from huddle_otel.policy.verdict import may_fall_back, verdict_of
from huddle_otel.settings import RateLimitPolicy, RetryPolicy

BUDGET_EXCEEDED = "budget_exceeded"
"""`error_type` of a call that a limit on spend refused."""

# --- what the programme asks for ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reserve:
    """Ask the limits on spend for what the call may cost. Answered by None or `Refused`."""


@dataclass(slots=True)
class Admit:
    """Ask the circuit of the model for leave. Answered by `Admitted`, `Refused`, `Hold` or `Queued`."""

    model: str
    past_gate: bool
    """The wait that the gate asked for is over."""


@dataclass(slots=True)
class Await:
    """Wait for a place in the bulkhead. Answered by `Admitted`, `Refused` or `Interrupted`."""

    seconds: float


@dataclass(slots=True)
class Send:
    """Make one attempt. Answered by `Answered`, `Opened`, `Failed` or `Interrupted`.

    By `Ended` for an answer that is complete, goes to the app, and tells of a failure.
    """

    number: int
    """1 for the first."""
    remaining: float
    """Seconds left of the call's total time."""
    model: str
    probe: bool
    """The attempt tests a half-open circuit."""


@dataclass(slots=True)
class Record:
    """Give the leave back, with what became of the attempt. Answered by None."""

    verdict: Verdict
    failure: Failure | None
    slow: bool = False


@dataclass(slots=True)
class Withdraw:
    """Pay for a retry from the circuit's budget. Answered by `Paid`."""

    ambiguous: bool


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


Effect = Reserve | Admit | Await | Send | Record | Withdraw | Sleep | Emit | Deliver

# --- what it is told ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Admitted:
    """Leave to send."""

    now: float
    probe: bool
    circuit: str = ""
    """State of the circuit; empty without a breaker."""


@dataclass(slots=True)
class Refused:
    """No leave; `failure` says which policy refused."""

    failure: Failure
    circuit: str = ""
    """State of the circuit, if that is what refused."""


@dataclass(slots=True)
class Hold:
    """The gate is closed; come back after so many seconds."""

    now: float
    seconds: float


@dataclass(slots=True)
class Queued:
    """Every place of the bulkhead is taken; a place in the line is kept."""

    now: float
    max_wait: float


@dataclass(slots=True)
class Answered:
    """The attempt brought a complete answer."""


@dataclass(slots=True)
class Opened:
    """The attempt brought a stream, and its first content is there."""

    slow: bool


@dataclass(slots=True)
class Failed:
    """The attempt failed."""

    failure: Failure
    now: float


@dataclass(slots=True)
class Paid:
    """Whether the budget had enough."""

    enough: bool


@dataclass(slots=True)
class Woken:
    """A wait is over."""

    now: float


@dataclass(slots=True)
class Interrupted:
    """The app cancelled the call while it was sending or waiting."""


@dataclass(slots=True)
class Ended:
    """What the app got is over: a stream read to its end, broken, or left; or an answer that says it failed."""

    outcome: Outcome
    failure: Failure | None


Reply = Admitted | Refused | Hold | Queued | Answered | Opened | Failed | Paid | Woken | Interrupted | Ended | None
Programme = Generator[Effect, Reply, None]

# --- the programme --------------------------------------------------------------------------------------------------


_JUDGED = {Outcome.OK: Verdict.OK, Outcome.TRUNCATED: Verdict.FAILURE}
"""Ends of a delivered stream that say something of the upstream without an error."""


@dataclass(slots=True)
class _Call:
    """How far one call has got."""

    policy: RetryPolicy | None
    rate_limit: RateLimitPolicy | None
    max_retries: float
    ends: float
    """When the total time is used up, s."""
    draw: Callable[[], float]
    now: float = 0.0
    """The clock at the last admission, failure or wake-up, s."""
    sent: int = 0
    ambiguous: int = 0
    waited: float = 0.0
    causes: tuple[str, ...] = ()
    fell_back_from: str = ""
    circuit: str = ""


def call(  # noqa: PLR0913 - the models, the policies, and what the glue measures
    models: tuple[str, ...],
    policy: RetryPolicy | None,
    rate_limit: RateLimitPolicy | None,
    *,
    max_retries: float,
    started: float,
    total: float,
    draw: Callable[[], float],
    guarded: bool = False,
) -> Programme:
    """Run one call.

    Args:
        models: The requested model, and those to fall back to.
        policy: When to try again; None is never.
        rate_limit: How long the 429 gate may hold the call.
        max_retries: The app's own bound on retries; infinity for none.
        started: The clock when the call began, s.
        total: Seconds the call may take in all; infinity for no bound.
        draw: Random numbers from 0 up to 1.
        guarded: There are limits on spend.
    """
    state = _Call(policy, rate_limit, max_retries, started + total, draw)
    model, *others = models
    if guarded and isinstance(refused := (yield Reserve()), Refused):
        yield Emit(_finished(state, refused))
        return
    while True:
        reply = yield from _attempts(state, model)
        if not others or not isinstance(reply, Failed | Refused):
            break
        if isinstance(reply, Failed) and not may_fall_back(reply.failure):
            break
        # what failed before was, perhaps, worked on and billed
        state.ambiguous += retry.classify(reply.failure) is RetryClass.AMBIGUOUS
        state.fell_back_from = models[0]
        before, model = model, others.pop(0)
        yield Emit(FellBack(before=before, after=model, why=reply.failure.error_type))
    yield Emit(_finished(state, reply))


def _attempts(state: _Call, model: str) -> Generator[Effect, Reply, Reply]:
    """Make the attempts with one model; returns what the last of them came to."""
    failed: Failed | None = None
    attempt = 0
    while True:
        admission = yield from _admission(state, model)
        if isinstance(admission, Refused):
            state.circuit = admission.circuit or state.circuit
            # a retry that finds the circuit closed to it tells of what failed, not of the circuit
            return admission if failed is None else failed
        if not isinstance(admission, Admitted):
            return None  # interrupted in the line: nothing was sent that is not accounted for
        state.circuit = admission.circuit
        state.now = admission.now
        attempt += 1
        state.sent += 1
        reply = yield Send(state.sent, state.ends - state.now, model, admission.probe)
        if isinstance(reply, Opened | Ended):
            return (yield from _delivered(state, reply))
        if not isinstance(reply, Failed):
            yield Record(Verdict.OK if isinstance(reply, Answered) else Verdict.IGNORED, None)
            return reply
        failed = reply
        state.now = reply.now
        yield Record(verdict_of(reply.failure), reply.failure)
        wait = yield from _next_attempt(state, reply.failure, attempt)
        if wait is None:
            return reply
        before = state.now
        woken = yield Sleep(wait)
        if not isinstance(woken, Woken):
            return None  # interrupted between attempts: the last one is accounted for
        state.now = woken.now
        state.waited += state.now - before


def _admission(state: _Call, model: str) -> Generator[Effect, Reply, Reply]:
    """Get leave from the circuit of a model, waiting at its gate and for a place as far as that makes sense."""
    reply = yield Admit(model, past_gate=False)
    if isinstance(reply, Hold):
        limit = state.rate_limit.max_wait if state.rate_limit is not None else 0.0
        if reply.seconds > limit or reply.now + reply.seconds >= state.ends:
            message = f"rate limited for another {reply.seconds:.1f} s"
            hint = reply.seconds
            return Refused(Failure(fault=Fault.REJECTED, error_type="rate_limited", message=message, hint=hint))
        woken = yield Sleep(reply.seconds)
        if not isinstance(woken, Woken):
            return woken
        state.waited += woken.now - reply.now
        reply = yield Admit(model, past_gate=True)
    if isinstance(reply, Queued):
        reply = yield Await(max(min(reply.max_wait, state.ends - reply.now), 0.0))
    return reply


def _delivered(state: _Call, given: Opened | Ended) -> Generator[Effect, Reply, Reply]:
    """Let the app have what there is, and judge it at its end."""
    slow = isinstance(given, Opened) and given.slow
    reply = (yield Deliver()) if isinstance(given, Opened) else given
    if not isinstance(reply, Ended):
        return reply
    if reply.failure is not None:
        yield Emit(_attempt(state, reply.failure, None))
        yield Record(verdict_of(reply.failure), reply.failure, slow)
    elif reply.outcome in _JUDGED:
        yield Record(_JUDGED[reply.outcome], None, slow)
    else:  # left by the app, or cancelled: says nothing of the upstream
        yield Record(Verdict.IGNORED, None)
    return reply


def _next_attempt(state: _Call, failure: Failure, attempt: int) -> Generator[Effect, Reply, float | None]:
    """Decide on a retry, pay for it, and tell; returns the wait before it, s, or None."""
    wait = None
    retry_class = retry.classify(failure)
    ambiguous = retry_class is RetryClass.AMBIGUOUS
    if attempt <= state.max_retries:
        remaining = state.ends - state.now
        wait = retry.delay(
            state.policy,
            failure,
            attempt=attempt,
            ambiguous=state.ambiguous,
            remaining=remaining,
            draw=state.draw(),
        )
    if wait is not None:
        paid = yield Withdraw(ambiguous)
        if isinstance(paid, Paid) and not paid.enough:
            wait = None
    yield Emit(_attempt(state, failure, wait))
    if wait is not None:
        state.causes = (*state.causes, failure.error_type)
        state.ambiguous += ambiguous
    return wait


def _attempt(state: _Call, failure: Failure, delay: float | None) -> AttemptFailed:
    return AttemptFailed(number=state.sent, failure=failure, retry_class=retry.classify(failure), delay=delay)


def _finished(state: _Call, reply: Reply) -> Finished:
    """Judge the call by the last thing the programme was told."""
    outcome, failure, told = Outcome.CANCELLED, None, reply is None
    may_be_billed = state.ambiguous > 0 or isinstance(reply, Interrupted)  # the latter: while an attempt was under way
    if isinstance(reply, Answered):
        outcome = Outcome.OK
    elif isinstance(reply, Ended):
        outcome, failure, told = reply.outcome, reply.failure, reply.failure is not None
    elif isinstance(reply, Failed):
        outcome, failure, told = Outcome.ERROR, reply.failure, True
        may_be_billed = may_be_billed or retry.may_be_billed(failure)
    elif isinstance(reply, Refused):
        blocked = reply.failure.error_type == BUDGET_EXCEEDED
        outcome, failure, told = Outcome.BLOCKED if blocked else Outcome.REJECTED, reply.failure, True
    return Finished(
        outcome=outcome,
        attempts=state.sent,
        failure=failure,
        waited=state.waited,
        causes=state.causes,
        fell_back_from=state.fell_back_from,
        circuit=state.circuit,
        last_result="" if told else str(outcome),
        double_billing=state.ambiguous > 0,
        may_be_billed=may_be_billed,
    )
