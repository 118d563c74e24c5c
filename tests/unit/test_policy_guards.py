"""The guards around a call, each by itself, and the programme that calls them in turn, driven by hand."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from huddle_otel.events import AttemptFailed, Failure, Fault, FellBack, Finished, Outcome, RetryClass
from huddle_otel.policy import retry
from huddle_otel.policy.breaker import Breaker, Permit, Rejection, State, Verdict, Window
from huddle_otel.policy.budget import RetryBudget
from huddle_otel.policy.bulkhead import Bulkhead
from huddle_otel.policy.call import (
    Admit,
    Admitted,
    Answered,
    Await,
    Deliver,
    Effect,
    Emit,
    Ended,
    Failed,
    Hold,
    Interrupted,
    Opened,
    Paid,
    Queued,
    Record,
    Refused,
    Reply,
    Send,
    Sleep,
    Withdraw,
    Woken,
    call,
)
from huddle_otel.policy.gate import SPACING, Gate
from huddle_otel.policy.retry import backoff, classify, delay
from huddle_otel.policy.verdict import may_fall_back, verdict_of
from huddle_otel.settings import BreakerPolicy, BulkheadPolicy, RateLimitPolicy, RetryBudgetPolicy, RetryPolicy

# --- retry budget ---------------------------------------------------------------------------------------------------


def test_the_budget_starts_full_and_never_holds_more() -> None:
    budget = RetryBudget(RetryBudgetPolicy(capacity=3))
    budget.deposit()
    assert budget.tokens == 3
    assert [budget.withdraw(ambiguous=False) for _ in range(4)] == [True, True, True, False]


def test_an_ambiguous_retry_costs_more_and_takes_nothing_when_refused() -> None:
    budget = RetryBudget(RetryBudgetPolicy(capacity=3, ambiguous_cost=2))
    assert budget.withdraw(ambiguous=True)
    assert not budget.withdraw(ambiguous=True)
    assert budget.tokens == 1


def test_retries_stay_a_tenth_of_the_successes() -> None:
    budget = RetryBudget(RetryBudgetPolicy(per_success=0.125, capacity=1))
    assert budget.withdraw(ambiguous=False)
    granted = 0
    for _ in range(800):
        budget.deposit()
        granted += budget.withdraw(ambiguous=False)
    assert granted == 100


# --- 429 gate -------------------------------------------------------------------------------------------------------


def test_an_open_gate_lets_everyone_through_at_once() -> None:
    gate = Gate()
    assert [gate.wait(now) for now in (0.0, 0.0, 1.0)] == [0, 0, 0]


def test_a_closed_gate_lines_callers_up_in_the_order_they_came() -> None:
    gate = Gate()
    gate.close(5.0)
    gate.close(3.0)  # the longest wish counts
    turns = [now + gate.wait(now) for now in (0.0, 1.0, 4.0)]
    assert turns == pytest.approx([5.0, 5.0 + SPACING, 5.0 + 2 * SPACING])
    assert turns[0] < turns[1] < turns[2]
    late = 5.0 + gate.wait(5.0)
    assert late == pytest.approx(5.0 + 3 * SPACING)  # who comes when it opens does not overtake
    assert gate.wait(6.0) == 0


def test_the_line_of_a_gate_drains_however_many_come() -> None:
    """200 callers a second come while it lets 100 a second go: the line must not grow for ever."""
    gate = Gate()
    gate.close(1.0)
    waits = [gate.wait(each / 200) for each in range(200 * 10)]
    assert max(waits) <= 2.0
    assert set(waits[-200:]) == {0.0}


def test_callers_who_will_not_wait_do_not_keep_a_gate_closed() -> None:
    """Refused callers ask as well. Ten thousand of them must not hold up those who come when the limit is renewed."""
    gate = Gate()
    gate.close(60.0)
    for _ in range(10_000):
        gate.wait(0.0)
    assert gate.wait(61.5) == 0


# --- bulkhead -------------------------------------------------------------------------------------------------------


def test_places_are_given_up_to_the_limit_and_handed_on_in_order() -> None:
    bulkhead = Bulkhead[str](BulkheadPolicy(max_in_flight=2))
    assert [bulkhead.enter() for _ in range(3)] == [True, True, False]
    bulkhead.waiting.extend(["first", "second"])
    assert bulkhead.next() is None
    bulkhead.leave()
    assert not bulkhead.enter()  # nobody overtakes the line
    assert [bulkhead.next(), bulkhead.next()] == ["first", None]
    bulkhead.leave()
    bulkhead.leave()
    assert [bulkhead.next(), bulkhead.next()] == ["second", None]
    assert bulkhead.in_flight == 1


def test_a_fixed_limit_does_not_learn() -> None:
    bulkhead = Bulkhead[str](BulkheadPolicy(max_in_flight=10))
    bulkhead.learn(overloaded=True)
    assert bulkhead.limit == 10


def test_an_adaptive_limit_falls_by_a_factor_and_rises_by_one_per_round() -> None:
    policy = BulkheadPolicy(max_in_flight=16, adaptive=True, min_in_flight=4, decrease=0.5)
    bulkhead = Bulkhead[str](policy)
    for expected in (8, 4, 4):
        bulkhead.learn(overloaded=True)
        assert bulkhead.limit == expected
    for _ in range(4):  # about a limit's worth of successes
        bulkhead.learn(overloaded=False)
    assert 4.7 < bulkhead.limit < 5.1
    for _ in range(1000):
        bulkhead.learn(overloaded=False)
    assert bulkhead.limit == 16


def test_a_limit_that_fell_below_what_is_under_way_hands_no_place_on() -> None:
    bulkhead = Bulkhead[str](BulkheadPolicy(max_in_flight=4, adaptive=True, min_in_flight=1, decrease=0.5))
    assert all(bulkhead.enter() for _ in range(4))
    bulkhead.learn(overloaded=True)
    bulkhead.waiting.append("waits")
    after: list[str | None] = []
    for _ in range(3):
        bulkhead.leave()
        after.append(bulkhead.next())
    assert after == [None, None, "waits"]
    assert bulkhead.in_flight == 2


def test_a_limit_that_has_grown_lets_as_many_in_as_it_has_room_for() -> None:
    """A place handed on one for one would keep a bulkhead with a standing line at the size of its worst moment."""
    bulkhead = Bulkhead[int](BulkheadPolicy(max_in_flight=8, adaptive=True, min_in_flight=1, decrease=0.25))
    bulkhead.learn(overloaded=True)
    assert [bulkhead.enter() for _ in range(3)] == [True, True, False]
    bulkhead.waiting.extend(range(100))
    served = 0
    for _ in range(200):
        bulkhead.learn(overloaded=False)
        bulkhead.leave()
        while bulkhead.next() is not None:
            served += 1
        if not bulkhead.waiting:
            break
        assert bulkhead.in_flight == int(bulkhead.limit)
    assert served == 100
    assert bulkhead.limit == 8


def test_nobody_overtakes_the_line_when_the_limit_rises() -> None:
    bulkhead = Bulkhead[str](BulkheadPolicy(max_in_flight=4, adaptive=True, min_in_flight=1, decrease=0.25))
    bulkhead.learn(overloaded=True)
    assert bulkhead.enter()
    bulkhead.waiting.append("waits")
    bulkhead.learn(overloaded=False)
    assert bulkhead.limit == 2
    assert not bulkhead.enter()


# --- what a failure means -------------------------------------------------------------------------------------------

STATUS = Failure(fault=Fault.STATUS, error_type="500", status=500)


def status(code: int, **more: Any) -> Failure:
    return Failure(fault=Fault.STATUS, error_type=str(code), status=code, **more)


def fault(kind: Fault, name: str = "x", **more: Any) -> Failure:
    return Failure(fault=kind, error_type=name, **more)


A, B, C, D, E = RetryClass
OK, FAILURE, IGNORED = Verdict
MEANINGS: tuple[tuple[str, Failure, RetryClass, Verdict], ...] = (
    ("no connection", fault(Fault.CONNECT, "connect_error"), A, FAILURE),
    ("local pool full", fault(Fault.CONNECT, "pool_timeout"), A, IGNORED),
    ("read timeout", fault(Fault.TIMEOUT), C, FAILURE),
    ("deadline", fault(Fault.DEADLINE), E, FAILURE),
    ("disconnect", fault(Fault.DISCONNECT), C, FAILURE),
    ("error frame", fault(Fault.STREAM_ERROR), C, FAILURE),
    ("error frame of a filter", fault(Fault.STREAM_ERROR, message="ContentPolicyViolationError"), E, FAILURE),
    ("truncated", fault(Fault.TRUNCATED), C, FAILURE),
    ("malformed", fault(Fault.MALFORMED), C, FAILURE),
    ("refused by us", fault(Fault.REJECTED), E, IGNORED),
    ("the app's own", fault(Fault.APP), E, IGNORED),
    ("answered, but unreadable to us", fault(Fault.MALFORMED, answered=True), E, FAILURE),
    ("after content", fault(Fault.DISCONNECT, delivered=True), D, FAILURE),
    *((str(code), status(code), C, FAILURE) for code in (408, 500, 502, 503, 504)),
    ("409", status(409), C, IGNORED),
    ("501", status(501), C, IGNORED),
    *((str(code), status(code), E, IGNORED) for code in (400, 401, 403, 404, 413, 422)),
    ("429", status(429), B, IGNORED),
    ("429 with a hint", status(429, hint=1), B, IGNORED),
    ("429 quota", status(429, kind="insufficient_quota"), E, IGNORED),
    ("429 quota in words", status(429, message="You exceeded your current quota"), E, IGNORED),
    ("503 with a hint", status(503, hint=1), B, FAILURE),
    ("529", status(529), B, FAILURE),
    ("500 told not to", status(500, should_retry=False), E, FAILURE),
    ("400 told to", status(400, should_retry=True), C, IGNORED),
    ("500 of a long context", status(500, message="litellm.ContextWindowExceededError: …"), E, IGNORED),
    ("no status at all", fault(Fault.STATUS), E, IGNORED),
)


@pytest.mark.parametrize(
    ("failure", "retry_class", "verdict"), [case[1:] for case in MEANINGS], ids=[case[0] for case in MEANINGS]
)
def test_meaning(failure: Failure, retry_class: RetryClass, verdict: Verdict) -> None:
    assert classify(failure) is retry_class
    assert verdict_of(failure) is verdict
    assert may_fall_back(failure) is (retry_class in {A, B, C})


def test_success_is_ok() -> None:
    assert verdict_of(None) is Verdict.OK


def test_the_wait_is_drawn_below_a_bound_that_doubles() -> None:
    policy = RetryPolicy(base=0.5, cap=3)
    assert [backoff(policy, attempt=each, draw=1) for each in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 3, 3]
    assert backoff(policy, attempt=3, draw=0) == 0


DELAYS: tuple[tuple[str, RetryPolicy | None, Failure, dict[str, float], float | None], ...] = (
    ("no policy", None, STATUS, {}, None),
    ("first", RetryPolicy(base=1), STATUS, {}, 0.5),
    ("attempts spent", RetryPolicy(max_attempts=2), STATUS, {"attempt": 2}, None),
    ("deterministic", RetryPolicy(), status(400), {}, None),
    ("committed", RetryPolicy(), replace(STATUS, delivered=True), {}, None),
    ("ambiguous spent", RetryPolicy(), STATUS, {"ambiguous": 1}, None),
    ("refused is not ambiguous", RetryPolicy(base=1), status(529), {"ambiguous": 1}, 0.5),
    ("jitter on top of the hint", RetryPolicy(base=1), status(429, hint=2), {}, 2.5),
    ("hint past the deadline", RetryPolicy(base=1), status(429, hint=2), {"remaining": 2.5}, None),
)


@pytest.mark.parametrize(("policy", "failure", "more", "wait"), [c[1:] for c in DELAYS], ids=[c[0] for c in DELAYS])
def test_delay(policy: RetryPolicy | None, failure: Failure, more: dict[str, float], wait: float | None) -> None:
    given: dict[str, Any] = {"attempt": 1, "ambiguous": 0, "remaining": 100.0, "draw": 0.5} | more
    assert delay(policy, failure, **given) == wait


# --- the breaker's corners that no history of calls reaches ---------------------------------------------------------


@pytest.mark.parametrize("state", [State.CLOSED, State.OPEN, State.HALF_OPEN])
def test_states_of_the_machine_cannot_be_forced(state: State) -> None:
    with pytest.raises(ValueError, match=f"not into {state}"):
        Breaker(BreakerPolicy()).force(state, 0)


def tripped(**more: Any) -> Breaker:
    given: dict[str, Any] = {"min_calls": 1, "open_for": 4, "jitter": 0, **more}
    breaker = Breaker(BreakerPolicy(**given))
    record(breaker, leave(breaker, 0), Verdict.FAILURE, 0)
    return breaker


def leave(breaker: Breaker, now: float) -> Permit:
    permit = breaker.admit(now, 0)
    assert isinstance(permit, Permit)
    return permit


def record(breaker: Breaker, permit: Permit, verdict: Verdict, now: float, *, slow: bool = False) -> None:
    breaker.record(permit, verdict, slow=slow, now=now, draw=0)


def test_an_open_circuit_whose_time_is_up_is_half_open_before_anyone_calls() -> None:
    breaker = tripped()
    assert [breaker.state(now) for now in (3.875, 4)] == [State.OPEN, State.HALF_OPEN]


def test_retry_in_counts_down_and_is_infinite_when_forced() -> None:
    breaker = tripped()
    assert [breaker.retry_in(now) for now in (0, 3, 5)] == [4, 1, 0]
    assert isinstance(breaker.admit(5, 0), Permit)
    assert breaker.retry_in(6) == 3  # when a probe that hangs is replaced
    breaker.force(State.FORCED_OPEN, 6)
    assert breaker.retry_in(6) == float("inf")
    breaker.reset(6)
    assert breaker.retry_in(6) == 0


def test_the_open_time_varies_with_the_draw() -> None:
    breaker = Breaker(BreakerPolicy(min_calls=1, open_for=10, jitter=0.2))
    permit = breaker.admit(0, 0)
    assert isinstance(permit, Permit)
    breaker.record(permit, Verdict.FAILURE, slow=False, now=0, draw=0)
    assert breaker.retry_in(0) == pytest.approx(8)


def test_the_window_survives_a_clock_that_steps_back() -> None:
    breaker = Breaker(BreakerPolicy(min_calls=100))
    for now in (50.0, 20.0):
        permit = breaker.admit(now, 0)
        assert isinstance(permit, Permit)
        breaker.record(permit, Verdict.OK, slow=False, now=now, draw=0)
    assert breaker.window(50) == (2, 0, 0)


def test_calls_of_one_moment_leave_the_window_together() -> None:
    window = Window(size=8, buckets=4)
    for _ in range(3):
        window.add(1, failed=True, slow=True)
    for now, count in ((7, 3), (8, 0)):
        window.advance(now)
        assert (window.calls, window.failures, window.slow) == (count, count, count)


@pytest.mark.parametrize(
    ("slow", "expected"),
    [((0, 0, 0, 1), State.CLOSED), ((0, 0, 1, 1), State.OPEN), ((1, 1, 0, 0), State.CLOSED)],
    ids=["below the share", "at the share", "at the share, but fast itself"],
)
def test_a_slow_success_trips_at_the_share_of_the_calls(slow: tuple[int, ...], expected: State) -> None:
    breaker = Breaker(BreakerPolicy(min_calls=4, slow_rate=0.5))
    for each in slow:
        record(breaker, leave(breaker, 0), Verdict.OK, 0, slow=bool(each))
    assert breaker.state(0) is expected


def test_slow_successes_are_only_counted_where_slowness_does_not_trip() -> None:
    breaker = Breaker(BreakerPolicy(min_calls=1, slow_rate=None))
    record(breaker, leave(breaker, 0), Verdict.OK, 0, slow=True)
    assert (breaker.state(0), breaker.window(0)) == (State.CLOSED, (1, 0, 1))


def test_a_limit_on_half_open_does_not_touch_a_closed_circuit() -> None:
    breaker = Breaker(BreakerPolicy(max_half_open=1))
    assert not leave(breaker, 100).probe
    assert breaker.state(100) is State.CLOSED


def test_a_window_that_nobody_asked_about_for_long_is_emptied_at_once() -> None:
    window = Window(size=8, buckets=4)
    window.add(1, failed=True, slow=True)
    window.advance(1e12)  # in four steps, not in a step for each bucket's width
    assert (window.calls, window.failures, window.slow) == (0, 0, 0)


def test_each_bad_round_doubles_the_open_time_and_closing_forgets_them() -> None:
    breaker = tripped(open_for=1, backoff=2, max_open=100, probes=1)
    now = 0.0
    for wait in (1, 2, 4):
        assert breaker.retry_in(now) == wait
        now += wait
        record(breaker, leave(breaker, now), Verdict.FAILURE, now)
    now += 8
    record(breaker, leave(breaker, now), Verdict.OK, now)
    assert breaker.state(now) is State.CLOSED
    record(breaker, leave(breaker, now), Verdict.FAILURE, now)
    assert breaker.retry_in(now) == 1


def test_a_reset_leads_back_to_where_the_circuit_began() -> None:
    for shadow, expected in ((False, State.CLOSED), (True, State.METRICS_ONLY)):
        breaker = Breaker(BreakerPolicy(shadow=shadow))
        assert breaker.state(0) is expected
        breaker.force(State.FORCED_OPEN, 0)
        breaker.reset(1)
        assert breaker.state(1) is expected


def test_a_reset_forgets_the_bad_rounds() -> None:
    breaker = tripped(backoff=2, max_open=100)
    record(breaker, leave(breaker, 4), Verdict.FAILURE, 4)
    assert breaker.retry_in(4) == 8
    breaker.reset(4)
    record(breaker, leave(breaker, 4), Verdict.FAILURE, 4)
    assert breaker.retry_in(4) == 4


def test_a_probe_that_hangs_is_replaced_when_its_time_is_up_and_takes_no_room() -> None:
    breaker = tripped(probes=2, concurrent_probes=1)
    leave(breaker, 4)
    assert isinstance(breaker.admit(7.875, 0), Rejection)
    assert [breaker.retry_in(now) for now in (7.875, 8, 9)] == [0.125, 0, 0]
    record(breaker, leave(breaker, 8), Verdict.OK, 9)
    record(breaker, leave(breaker, 9), Verdict.OK, 9)
    assert breaker.state(9) is State.CLOSED


def test_a_probe_that_was_given_up_is_not_heard_after_the_circuit_closed() -> None:
    breaker = tripped(probes=1)
    hung = leave(breaker, 4)
    record(breaker, leave(breaker, 8), Verdict.OK, 8)
    record(breaker, hung, Verdict.FAILURE, 9)
    assert (breaker.state(9), breaker.window(9)) == (State.CLOSED, (0, 0, 0))


def test_a_slow_probe_opens_again_only_where_slowness_counts() -> None:
    for slow_rate, expected in ((0.5, State.OPEN), (None, State.CLOSED)):
        breaker = tripped(slow_rate=slow_rate, probes=1)
        permit = breaker.admit(4, 0)
        assert isinstance(permit, Permit)
        breaker.record(permit, Verdict.OK, slow=True, now=4.5, draw=0)
        assert breaker.state(4.5) is expected


def test_half_open_for_too_long_opens_again() -> None:
    breaker = tripped(max_half_open=1, backoff=2, max_open=100)
    assert isinstance(breaker.admit(4, 0), Permit)
    breaker.admit(5, 0)
    assert breaker.state(5) is State.HALF_OPEN  # until after 1 s
    breaker.admit(6, 0)  # open from 5 on, for 8 s
    assert breaker.retry_in(6) == 7
    assert isinstance(breaker.admit(13, 0), Permit)
    breaker.admit(15, 0)  # open from 14 on, for 16 s
    assert breaker.retry_in(15) == 15


# --- the programme, by hand -----------------------------------------------------------------------------------------

RETRY = RetryPolicy(base=1, cap=1)
BUSY = status(529)
DOWN = status(500)
BAD = status(400)
OPEN = fault(Fault.REJECTED, "breaker_open")

Answer = Reply | Callable[[Effect], Reply]
Step = tuple[type[Effect], Answer]


def play(steps: Sequence[Step], models: tuple[str, ...] = ("m",), **more: Any) -> tuple[list[Effect], Finished]:
    """Answer the programme's effects in turn, each of the kind the step names; events need no step."""
    given: dict[str, Any] = {"max_retries": float("inf"), "started": 0.0, "total": 100.0, "draw": lambda: 0.5}
    policy, rate_limit = more.pop("retry", RETRY), more.pop("rate_limit", RateLimitPolicy(max_wait=10))
    programme = call(models, policy, rate_limit, **(given | more))
    seen: list[Effect] = []
    waiting = list(steps)
    reply: Reply = None
    try:
        while True:
            effect = programme.send(reply)
            seen.append(effect)
            reply = None
            if not isinstance(effect, Emit):
                kind, answer = waiting.pop(0)
                assert isinstance(effect, kind), (effect, kind)
                reply = answer(effect) if callable(answer) else answer
    except StopIteration:
        pass
    assert waiting == []
    last = seen[-1]
    assert isinstance(last, Emit)
    assert isinstance(last.event, Finished)
    assert sum(isinstance(each, Emit) and isinstance(each.event, Finished) for each in seen) == 1
    sent = sum(isinstance(each, Send) for each in seen)
    recorded = sum(isinstance(each, Record) for each in seen)
    assert recorded == sent == last.event.attempts  # every leave is given back
    return seen, last.event


def events(seen: Sequence[Effect], kind: type[Any]) -> list[Any]:
    return [each.event for each in seen if isinstance(each, Emit) and isinstance(each.event, kind)]


def verdicts(seen: Sequence[Effect]) -> list[Verdict]:
    return [each.verdict for each in seen if isinstance(each, Record)]


def blamed(seen: Sequence[Effect]) -> list[Failure | None]:
    return [each.failure for each in seen if isinstance(each, Record)]


IN: Step = (Admit, Admitted(0.0, probe=False))
DONE: Step = (Record, None)
PAY: Step = (Withdraw, Paid(enough=True))


def again(now: float = 2.0) -> list[Step]:
    return [DONE, PAY, (Sleep, Woken(now))]


def test_answered() -> None:
    seen, end = play([IN, (Send, Answered()), DONE])
    assert verdicts(seen) == [OK]
    assert (end.outcome, end.attempts, end.failure, end.last_result) == (Outcome.OK, 1, None, "ok")
    assert not end.double_billing


def test_a_probe_is_told_to_the_driver() -> None:
    seen, _ = play([(Admit, Admitted(3.0, probe=True)), (Send, Answered()), DONE])
    assert seen[1] == Send(number=1, remaining=97.0, model="m", probe=True)


def test_refused_by_the_circuit() -> None:
    seen, end = play([(Admit, Refused(OPEN))])
    assert (end.outcome, end.attempts, end.failure, end.last_result) == (Outcome.REJECTED, 0, OPEN, "")
    assert len(seen) == 2


FULL = fault(Fault.REJECTED, "bulkhead_full")
HALF: Step = (Admit, Admitted(0.0, probe=True, circuit="half_open"))


@pytest.mark.parametrize(
    ("steps", "circuit"),
    [
        ([IN, (Send, Answered()), DONE], ""),
        ([HALF, (Send, Answered()), DONE], "half_open"),
        ([(Admit, Refused(OPEN, "forced_open"))], "forced_open"),
        ([(Admit, Refused(FULL))], ""),
        ([HALF, (Send, Failed(BUSY, 1.0)), *again(), (Admit, Refused(OPEN, "forced_open"))], "forced_open"),
        ([HALF, (Send, Failed(BUSY, 1.0)), *again(), (Admit, Refused(FULL))], "half_open"),
    ],
    ids=["no breaker", "admitted", "refused by it", "refused by another guard", "then refused", "then no place"],
)
def test_a_call_tells_of_the_circuit_as_it_last_found_it(steps: list[Step], circuit: str) -> None:
    _, end = play(steps)
    assert end.circuit == circuit


def test_failed_then_answered() -> None:
    seen, end = play([IN, (Send, Failed(BUSY, 1.0)), *again(), IN, (Send, Answered()), DONE])
    assert (verdicts(seen), blamed(seen)) == ([FAILURE, OK], [BUSY, None])
    assert (end.outcome, end.attempts, end.causes, end.waited) == (Outcome.OK, 2, ("529",), 1.0)
    assert events(seen, AttemptFailed) == [
        AttemptFailed(number=1, failure=BUSY, retry_class=RetryClass.REFUSED, delay=0.5)
    ]


def test_an_ambiguous_retry_is_told_to_the_budget_and_may_be_billed_twice() -> None:
    seen, end = play([IN, (Send, Failed(DOWN, 1.0)), *again(), IN, (Send, Failed(DOWN, 3.0)), DONE])
    assert [each.ambiguous for each in seen if isinstance(each, Withdraw)] == [True]
    assert (end.outcome, end.attempts, end.failure, end.double_billing) == (Outcome.ERROR, 2, DOWN, True)


def test_what_may_have_been_billed_stays_so_through_a_refusal_and_is_not_retried_again() -> None:
    steps = [IN, (Send, Failed(DOWN, 1.0)), *again(), IN, (Send, Failed(BUSY, 3.0)), *again(4.0)]
    _, end = play([*steps, IN, (Send, Failed(DOWN, 5.0)), DONE], retry=RetryPolicy(max_attempts=9, base=1))
    assert (end.outcome, end.attempts, end.failure, end.double_billing) == (Outcome.ERROR, 3, DOWN, True)


_LATE = fault(Fault.DEADLINE)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([IN, (Send, Answered()), DONE], False),
        ([IN, (Send, Ended(Outcome.ABANDONED, None)), DONE], False),  # what came of it tells of its cost
        ([IN, (Send, Failed(BAD, 1.0)), DONE], False),
        ([IN, (Send, Failed(fault(Fault.APP), 1.0)), DONE], False),
        ([(Admit, Refused(OPEN))], False),
        ([IN, (Send, Failed(BUSY, 1.0)), DONE, PAY, (Sleep, Interrupted())], False),
        ([IN, (Send, Interrupted()), DONE], True),
        ([IN, (Send, Failed(_LATE, 1.0)), DONE], True),
        ([IN, (Send, Failed(fault(Fault.DISCONNECT, delivered=True), 1.0)), DONE], True),
        ([IN, (Send, Failed(DOWN, 1.0)), *again(), IN, (Send, Failed(BAD, 3.0)), DONE], True),
        ([IN, (Send, Failed(DOWN, 1.0)), *again(), IN, (Send, Failed(DOWN, 3.0)), DONE], True),
        ([IN, (Send, Failed(DOWN, 1.0)), DONE, PAY, (Sleep, Interrupted())], True),
    ],
)
def test_what_an_upstream_may_have_worked_on_may_be_billed(steps: list[Step], expected: bool) -> None:
    _, end = play(steps)
    assert end.may_be_billed is expected


def test_the_only_attempt_may_be_billed_without_any_retry() -> None:
    assert play([IN, (Send, Failed(DOWN, 1.0)), DONE], retry=None)[1].may_be_billed
    assert not play([IN, (Send, Failed(BUSY, 1.0)), DONE], retry=None)[1].may_be_billed


def test_an_empty_budget_ends_the_retries() -> None:
    seen, end = play([IN, (Send, Failed(BUSY, 1.0)), DONE, (Withdraw, Paid(enough=False))])
    assert (end.outcome, end.attempts, end.causes) == (Outcome.ERROR, 1, ())
    assert [each.delay for each in events(seen, AttemptFailed)] == [None]


@pytest.mark.parametrize(
    "more", [{"max_retries": 0}, {"retry": None}, {"retry": RetryPolicy(max_attempts=1)}, {"total": 1.2}]
)
def test_no_retry_is_paid_for_that_is_not_made(more: dict[str, Any]) -> None:
    seen, end = play([IN, (Send, Failed(BUSY, 1.0)), DONE], **more)
    assert (end.outcome, end.attempts) == (Outcome.ERROR, 1)
    assert not any(isinstance(each, Withdraw) for each in seen)


def test_a_retry_refused_by_the_circuit_tells_of_the_failure_before() -> None:
    _, end = play([IN, (Send, Failed(BUSY, 1.0)), *again(), (Admit, Refused(OPEN))])
    assert (end.outcome, end.attempts, end.failure) == (Outcome.ERROR, 1, BUSY)


def test_the_gate_holds_a_call_then_lets_it_past() -> None:
    seen, end = play([(Admit, Hold(0.0, 3.0)), (Sleep, Woken(3.0)), IN, (Send, Answered()), DONE])
    assert seen[:3] == [Admit("m", past_gate=False), Sleep(3.0), Admit("m", past_gate=True)]
    assert (end.outcome, end.waited) == (Outcome.OK, 3.0)


def test_every_wait_is_counted_at_the_gate_and_between_attempts() -> None:
    held: list[Step] = [(Admit, Hold(2.0, 10.0)), (Sleep, Woken(12.0))]  # no longer than max_wait
    once = [IN, (Send, Failed(BUSY, 1.0)), *again()]
    _, end = play([*once, *once, *held, IN, (Send, Answered()), DONE])
    assert (end.outcome, end.waited) == (Outcome.OK, 1.0 + 1.0 + 10.0)


@pytest.mark.parametrize(
    ("hold", "more"),
    [
        (Hold(0.0, 11.0), {}),
        (Hold(95.0, 5.0), {}),
        (Hold(0.0, 0.1), {"rate_limit": None}),
    ],
    ids=["longer than max_wait", "past the deadline", "no policy"],
)
def test_the_gate_refuses_whom_it_cannot_let_through_in_time(hold: Hold, more: dict[str, Any]) -> None:
    _, end = play([(Admit, hold)], **more)
    assert (end.outcome, end.attempts) == (Outcome.REJECTED, 0)
    message = f"rate limited for another {hold.seconds:.1f} s"
    assert end.failure == fault(Fault.REJECTED, "rate_limited", message=message, hint=hold.seconds)


def test_a_circuit_that_opened_behind_the_gate_refuses() -> None:
    _, end = play([(Admit, Hold(0.0, 3.0)), (Sleep, Woken(3.0)), (Admit, Refused(OPEN))])
    assert end.outcome is Outcome.REJECTED


QUEUED: Step = (Admit, Queued(0.0, 1.0))


def test_a_place_in_the_bulkhead_is_waited_for() -> None:
    seen, end = play([QUEUED, (Await, Admitted(0.5, probe=False)), (Send, Answered()), DONE])
    assert seen[1] == Await(1.0)
    assert end.outcome is Outcome.OK


def test_the_wait_for_a_place_ends_with_the_call() -> None:
    seen, _ = play([(Admit, Queued(99.5, 1.0)), (Await, Interrupted())])
    assert seen[1] == Await(0.5)
    seen, _ = play([(Admit, Queued(101.0, 1.0)), (Await, Interrupted())])
    assert seen[1] == Await(0.0)


def test_no_place_in_time() -> None:
    _, end = play([QUEUED, (Await, Refused(FULL))])
    assert (end.outcome, end.failure) == (Outcome.REJECTED, FULL)


STREAM: list[Step] = [IN, (Send, Opened(slow=True))]
ENDS: tuple[tuple[str, Ended, Verdict, bool], ...] = (
    ("whole", Ended(Outcome.OK, None), OK, True),
    ("left", Ended(Outcome.ABANDONED, None), IGNORED, False),
    ("cancelled", Ended(Outcome.CANCELLED, None), IGNORED, False),
    ("truncated, only recorded", Ended(Outcome.TRUNCATED, None), FAILURE, True),
    ("broken", Ended(Outcome.ERROR, fault(Fault.DISCONNECT, delivered=True)), FAILURE, True),
)


@pytest.mark.parametrize(("ended", "verdict", "slow"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_a_stream_is_judged_at_its_end(ended: Ended, verdict: Verdict, slow: bool) -> None:
    seen, end = play([*STREAM, (Deliver, ended), DONE])
    assert (verdicts(seen), blamed(seen)) == ([verdict], [ended.failure])
    assert [each.slow for each in seen if isinstance(each, Record)] == [slow]
    assert (end.outcome, end.failure) == (ended.outcome, ended.failure)
    assert end.last_result == ("" if ended.failure else str(ended.outcome))
    assert [each.delay for each in events(seen, AttemptFailed)] == ([None] if ended.failure else [])


@pytest.mark.parametrize(
    ("steps", "attempts", "told"),
    [
        # an attempt that was not made has no result
        ([(Admit, Interrupted())], 0, ""),
        ([(Admit, Hold(0.0, 1.0)), (Sleep, Interrupted())], 0, ""),
        ([QUEUED, (Await, Interrupted())], 0, ""),
        ([IN, (Send, Interrupted()), DONE], 1, "cancelled"),
        # the attempt before was told of when it failed
        ([IN, (Send, Failed(BUSY, 1.0)), DONE, PAY, (Sleep, Interrupted())], 1, ""),
        (
            [IN, (Send, Failed(BUSY, 1.0)), *again(), QUEUED, (Await, Interrupted())],
            1,
            "",
        ),
    ],
    ids=["admitting", "held", "queued", "sending", "between attempts", "queued again"],
)
def test_interrupted_at_each_wait(steps: list[Step], attempts: int, told: str) -> None:
    seen, end = play(steps, models=("m", "other"))
    assert (end.outcome, end.attempts, end.failure, end.last_result) == (Outcome.CANCELLED, attempts, None, told)
    assert events(seen, FellBack) == []  # nobody waits for another model's answer
    assert set(verdicts(seen[-2:])) <= {IGNORED}


def test_a_driver_that_does_not_say_how_a_delivered_stream_ended() -> None:
    programme = call(("m",), None, None, max_retries=0, started=0, total=float("inf"), draw=random.Random(0).random)
    replies: list[Reply] = [None, Admitted(0.0, probe=False), Opened(slow=False), None]
    effects = [programme.send(reply) for reply in replies]
    assert isinstance(effects[-1], Emit)
    assert isinstance(effects[-1].event, Finished)
    assert effects[-1].event.outcome is Outcome.CANCELLED


def test_closing_the_programme_anywhere_is_quiet() -> None:
    for steps in range(5):
        programme = call(("m",), RETRY, None, max_retries=9, started=0, total=9, draw=lambda: 0.5)
        reply: Reply = None
        answers: list[Reply] = [Admitted(0.0, probe=False), Failed(BUSY, 1.0), None, Paid(enough=True), None]
        for answer in answers[:steps]:
            programme.send(reply)
            reply = answer
        programme.close()


MODELS = ("m", "n", "o")


def to(model: str, reply: Reply) -> Step:
    def check(effect: Effect) -> Reply:
        assert isinstance(effect, Admit | Send)
        assert effect.model == model
        return reply

    return (Admit if isinstance(reply, Refused | Admitted) else Send, check)


def test_an_open_circuit_falls_back_without_a_send() -> None:
    steps = [to("m", Refused(OPEN)), to("n", Admitted(0.0, probe=False)), to("n", Answered()), DONE]
    seen, end = play(steps, MODELS)
    assert events(seen, FellBack) == [FellBack(before="m", after="n", why="breaker_open")]
    assert (end.outcome, end.attempts, end.fell_back_from, end.double_billing) == (Outcome.OK, 1, "m", False)


def test_spent_attempts_fall_back_and_the_first_may_have_been_billed() -> None:
    steps = [IN, to("m", Failed(DOWN, 1.0)), DONE, IN, to("n", Answered()), DONE]
    seen, end = play(steps, MODELS, max_retries=0)
    assert [each.number for each in seen if isinstance(each, Send)] == [1, 2]
    assert (end.outcome, end.fell_back_from, end.double_billing) == (Outcome.OK, "m", True)


def test_what_may_have_been_billed_stays_so_when_a_refusal_falls_back() -> None:
    one = [IN, (Send, Failed(DOWN, 1.0)), *again(), IN, (Send, Failed(BUSY, 3.0)), DONE]
    _, end = play([*one, IN, to("n", Answered()), DONE], MODELS, max_retries=1)
    assert (end.outcome, end.fell_back_from, end.double_billing) == (Outcome.OK, "m", True)


def test_each_model_has_its_own_attempts_and_the_last_one_is_told_of() -> None:
    one = [IN, (Send, Failed(BUSY, 1.0)), *again(), IN, (Send, Failed(BUSY, 3.0)), DONE]
    seen, end = play([*one, *one, *one], MODELS, retry=RetryPolicy(max_attempts=2))
    assert [each.after for each in events(seen, FellBack)] == ["n", "o"]
    assert (end.outcome, end.attempts, end.fell_back_from) == (Outcome.ERROR, 6, "m")


def test_the_request_itself_at_fault_does_not_fall_back() -> None:
    seen, end = play([IN, (Send, Failed(BAD, 1.0)), DONE], MODELS)
    assert (end.failure, events(seen, FellBack)) == (BAD, [])


def test_a_delivered_stream_does_not_fall_back() -> None:
    broken = Ended(Outcome.ERROR, fault(Fault.DISCONNECT, delivered=True))
    seen, _ = play([*STREAM, (Deliver, broken), DONE], MODELS)
    assert events(seen, FellBack) == []


def test_every_circuit_open_is_a_refusal() -> None:
    _, end = play([(Admit, Refused(OPEN))] * 3, MODELS)
    assert (end.outcome, end.fell_back_from, end.attempts) == (Outcome.REJECTED, "m", 0)


def test_a_refused_budget_looks_at_the_class_not_at_the_number() -> None:
    assert retry.is_deterministic(status(429, kind="budget_exceeded"))
    assert not retry.is_deterministic(BUSY)


def test_an_answer_that_says_it_failed_is_judged_and_not_tried_again() -> None:
    """It is complete and the app has it: nothing is delivered, and nothing may be asked for twice."""
    told = Failure(fault=Fault.STREAM_ERROR, error_type="server_error", kind="500", delivered=True)
    seen, end = play([IN, (Send, Ended(Outcome.ERROR, told)), DONE])
    assert (end.outcome, end.attempts, end.failure, end.last_result) == (Outcome.ERROR, 1, told, "")
    assert [event.retry_class for event in events(seen, AttemptFailed)] == [RetryClass.COMMITTED]
    assert [(each.verdict, each.slow) for each in seen if isinstance(each, Record)] == [(Verdict.FAILURE, False)]
