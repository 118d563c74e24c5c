"""The programme of a call, driven by hand: every effect in order, every reply, and closing at every point."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from huddle_otel.events import AttemptFailed, Failure, Fault, Finished, Outcome, RetryClass
from huddle_otel.policy.call import (
    Admit,
    Admitted,
    Answered,
    Await,
    Deliver,
    Emit,
    Ended,
    Failed,
    Interrupted,
    Opened,
    Paid,
    Pending,
    Programme,
    Record,
    Refused,
    Reply,
    Reserve,
    Send,
    Sleep,
    Withdraw,
    Woken,
    call,
)
from huddle_otel.settings import RateLimitPolicy, RetryPolicy

REFUSED = Failure(fault=Fault.STATUS, error_type="429", status=429)
BROKEN = Failure(fault=Fault.DISCONNECT, error_type="disconnect")
BAD = Failure(fault=Fault.STATUS, error_type="400", status=400)
CUT = Failure(fault=Fault.DISCONNECT, error_type="disconnect", delivered=True)
POLICY = RetryPolicy(max_attempts=3, base=0.5)


def _call(policy: RetryPolicy | None = POLICY, **changes: Any) -> Programme:
    usual: dict[str, Any] = {"max_retries": math.inf, "started": 100.0, "total": 60.0, "draw": lambda: 0.5}
    return call(("m",), policy, RateLimitPolicy(), **{**usual, **changes})


def _play(programme: Programme, *replies: Reply) -> list[Any]:
    """Feed the replies to everything but events and what the circuit is asked, which says yes; return the rest."""
    effects: list[Any] = []
    waiting = list(replies)
    now = 100.0
    reply: Reply = None
    while True:
        try:
            effect = programme.send(reply)
        except StopIteration:
            assert waiting == [], "every reply was asked for"
            return effects
        if isinstance(effect, Admit):
            reply = Admitted(now, probe=False)
        elif isinstance(effect, Withdraw):
            reply = Paid(enough=True)
        elif isinstance(effect, Record):
            reply = None
        else:
            effects.append(effect)
            reply = None if isinstance(effect, Emit) else waiting.pop(0)
            now = getattr(reply, "now", now)


def _kinds(effects: list[Any]) -> list[str]:
    return [type(each.event if isinstance(each, Emit) else each).__name__ for each in effects]


def _finished(effects: list[Any]) -> Finished:
    events = [each.event for each in effects if isinstance(each, Emit) and isinstance(each.event, Finished)]
    assert len(events) == 1
    assert effects[-1].event is events[0], "nothing happens after the end"
    return cast("Finished", events[0])


def test_a_spend_limit_is_asked_first_and_ends_the_call() -> None:
    failure = Failure(fault=Fault.REJECTED, error_type="budget_exceeded")
    effects = _play(_call(guarded=True), Refused(failure))
    assert _kinds(effects) == ["Reserve", "Finished"]
    finished = _finished(effects)
    assert (finished.outcome, finished.failure, finished.attempts) == (Outcome.BLOCKED, failure, 0)


def test_a_spend_limit_that_is_not_reached_is_asked_once() -> None:
    effects = _play(_call(guarded=True), None, Failed(REFUSED, 100.0), Woken(101.0), Answered())
    assert _kinds(effects) == ["Reserve", "Send", "AttemptFailed", "Sleep", "Send", "Finished"]
    assert isinstance(effects[0], Reserve)
    assert _finished(effects).outcome is Outcome.OK


@pytest.mark.parametrize(("asks_for", "waits"), [(0.25, 0.25), (600.0, 30.0)])
def test_the_word_of_a_store_is_waited_for_and_half_of_the_time_is_kept(asks_for: float, waits: float) -> None:
    effects = _play(_call(guarded=True), Pending(asks_for), None, Answered())
    assert _kinds(effects) == ["Reserve", "Await", "Send", "Finished"]
    assert effects[1] == Await(waits)


def test_a_store_may_refuse() -> None:
    failure = Failure(fault=Fault.REJECTED, error_type="budget_exceeded")
    effects = _play(_call(guarded=True), Pending(0.25), Refused(failure))
    assert _kinds(effects) == ["Reserve", "Await", "Finished"]
    assert _finished(effects).outcome is Outcome.BLOCKED


def test_a_call_cancelled_while_it_waits_for_the_store_has_sent_nothing() -> None:
    effects = _play(_call(guarded=True), Pending(0.25), Interrupted())
    assert _kinds(effects) == ["Reserve", "Await", "Finished"]
    finished = _finished(effects)
    assert (finished.outcome, finished.attempts, finished.last_result) == (Outcome.CANCELLED, 0, "")


def test_nothing_has_happened_before_it_is_asked() -> None:
    _call().close()


def test_a_good_call() -> None:
    effects = _play(_call(), Answered())
    assert _kinds(effects) == ["Send", "Finished"]
    assert effects[0] == Send(1, 60.0, "m", probe=False)
    assert _finished(effects) == Finished(
        outcome=Outcome.OK, attempts=1, failure=None, waited=0.0, causes=(), last_result="ok", double_billing=False
    )


def test_a_refusal_is_retried_and_its_wait_is_counted() -> None:
    effects = _play(_call(), Failed(REFUSED, 101.0), Woken(101.5), Answered())
    assert _kinds(effects) == ["Send", "AttemptFailed", "Sleep", "Send", "Finished"]
    assert effects[1].event == AttemptFailed(number=1, failure=REFUSED, retry_class=RetryClass.REFUSED, delay=0.25)
    assert effects[2] == Sleep(0.25)
    assert effects[3] == Send(2, 58.5, "m", probe=False), "the time left, by the clock"
    event = _finished(effects)
    assert (event.outcome, event.attempts, event.waited, event.causes) == (Outcome.OK, 2, 0.5, ("429",))
    assert not event.double_billing


def test_attempts_are_spent() -> None:
    effects = _play(
        _call(), Failed(REFUSED, 101.0), Woken(101.0), Failed(REFUSED, 102.0), Woken(102.0), Failed(REFUSED, 103.0)
    )
    event = _finished(effects)
    assert (event.outcome, event.attempts, event.failure) == (Outcome.ERROR, 3, REFUSED)
    assert event.causes == ("429", "429"), "the last one is the failure, not the cause of a retry"
    assert event.last_result == "", "told by its AttemptFailed"


def test_an_ambiguous_failure_is_retried_once_and_may_be_billed_twice() -> None:
    event = _finished(_play(_call(), Failed(BROKEN, 101.0), Woken(101.0), Failed(BROKEN, 102.0)))
    assert (event.attempts, event.double_billing) == (2, True)
    assert _finished(_play(_call(), Failed(BROKEN, 101.0), Woken(101.0), Answered())).double_billing


@pytest.mark.parametrize(("most", "sends"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_the_apps_own_limit_is_an_upper_bound(most: int, sends: int) -> None:
    replies: list[Reply] = []
    for number in range(sends):
        replies += [Failed(REFUSED, 100.0), Woken(100.0)] if number + 1 < sends else [Failed(REFUSED, 100.0)]
    assert _finished(_play(_call(max_retries=most), *replies)).attempts == sends


@pytest.mark.parametrize("failure", [BAD, CUT])
def test_some_failures_are_final(failure: Failure) -> None:
    assert _kinds(_play(_call(), Failed(failure, 101.0))) == ["Send", "AttemptFailed", "Finished"]


def test_without_a_policy_there_is_one_attempt() -> None:
    assert _finished(_play(_call(None), Failed(REFUSED, 101.0))).attempts == 1


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    late = Failure(fault=Fault.STATUS, error_type="429", status=429, hint=59.5)
    assert _kinds(_play(_call(), Failed(late, 101.0))) == ["Send", "AttemptFailed", "Finished"]


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.ABANDONED, Outcome.CANCELLED, Outcome.TRUNCATED])
def test_a_stream_ends_as_it_is_told(outcome: Outcome) -> None:
    effects = _play(_call(), Opened(slow=False), Ended(outcome, None))
    assert _kinds(effects) == ["Send", "Deliver", "Finished"]
    assert isinstance(effects[1], Deliver)
    event = _finished(effects)
    assert (event.outcome, event.last_result, event.failure) == (outcome, str(outcome), None)


def test_a_broken_stream_tells_its_attempt_too() -> None:
    effects = _play(_call(), Opened(slow=False), Ended(Outcome.ERROR, CUT))
    assert _kinds(effects) == ["Send", "Deliver", "AttemptFailed", "Finished"]
    assert effects[2].event.delay is None
    event = _finished(effects)
    assert (event.outcome, event.failure, event.last_result) == (Outcome.ERROR, CUT, "")


def test_cancelled_while_sending() -> None:
    event = _finished(_play(_call(), Interrupted()))
    assert (event.outcome, event.attempts, event.last_result) == (Outcome.CANCELLED, 1, "cancelled")


def test_cancelled_while_waiting() -> None:
    """The attempt before is accounted for by its own event, so the end adds no result."""
    event = _finished(_play(_call(), Failed(REFUSED, 101.0), Interrupted()))
    assert (event.outcome, event.attempts, event.last_result, event.causes) == (Outcome.CANCELLED, 1, "", ("429",))


def test_a_stream_that_is_told_nothing_counts_as_cancelled() -> None:
    event = _finished(_play(_call(), Opened(slow=False), None))
    assert (event.outcome, event.last_result) == (Outcome.CANCELLED, "")


@pytest.mark.parametrize("steps", range(10))
def test_it_can_be_closed_at_any_point(steps: int) -> None:
    programme = _call()
    leave = Admitted(100.0, probe=False)
    before: list[Reply] = [None, leave, Failed(REFUSED, 101.0), None, Paid(enough=True), None, Woken(101.0)]
    replies: list[Reply] = [*before, leave, Opened(slow=False), Ended(Outcome.OK, None)]
    for reply in replies[:steps]:
        programme.send(reply)
    programme.close()
    with pytest.raises(StopIteration):
        next(programme)
