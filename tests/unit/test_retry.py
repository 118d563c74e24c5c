"""Whether and when to try again: the table of retry classes, the waits, and the bounds on both."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.events import Failure, Fault, RetryClass
from huddle_otel.policy.retry import backoff, classify, delay, may_be_billed
from huddle_otel.settings import RetryPolicy

A, B, C, D, E = RetryClass


def _failure(fault: Fault = Fault.STATUS, **facts: Any) -> Failure:
    return Failure(fault=fault, error_type="x", **facts)


CLASSES: list[tuple[RetryClass, Failure]] = [
    # A: nothing was sent
    (A, _failure(Fault.CONNECT)),
    # B: refused before any work
    (B, _failure(status=429)),
    (B, _failure(status=429, hint=3.0)),
    (B, _failure(status=429, kind="all_deployments_in_cooldown")),
    (B, _failure(status=429, should_retry=True)),
    (B, _failure(status=503, hint=0.0)),
    (B, _failure(status=529)),
    # C: may have been worked on
    *((C, _failure(status=status)) for status in (408, 409, 500, 502, 503, 504, 520, 599)),
    *((C, _failure(fault)) for fault in (Fault.TIMEOUT, Fault.DISCONNECT, Fault.STREAM_ERROR, Fault.TRUNCATED)),
    (C, _failure(Fault.MALFORMED)),
    # an error frame may name the status that came too late to be one
    (C, _failure(Fault.STREAM_ERROR, kind="500")),
    (B, _failure(Fault.STREAM_ERROR, kind="429")),
    (E, _failure(Fault.STREAM_ERROR, kind="400")),
    (C, _failure(Fault.STREAM_ERROR, kind="server_error")),
    (C, _failure(status=400, should_retry=True)),
    (C, _failure(status=500, hint=1.0)),  # only a 503 that says when was refused
    # D: the app has content
    *((D, _failure(fault, delivered=True)) for fault in Fault),
    (D, _failure(status=429, delivered=True, hint=1.0)),
    # E: the same again would fail the same way
    *((E, _failure(status=status)) for status in (None, 400, 401, 403, 404, 413, 422, 499)),
    *((E, _failure(status=status, should_retry=False)) for status in (429, 500, 503, 529)),
    *((E, _failure(fault)) for fault in (Fault.APP, Fault.DEADLINE)),
    (E, _failure(Fault.MALFORMED, answered=True)),
    (E, _failure(status=400, kind="500")),  # an answer's own status counts
    (E, _failure(status=422, kind="budget_exceeded")),
    (E, _failure(status=429, kind="insufficient_quota")),
    (E, _failure(status=500, kind="expired_key")),
    (E, _failure(status=503, kind="token_not_found_in_db", hint=1.0)),
    (E, _failure(status=500, kind="key_model_access_denied")),
    (E, _failure(status=429, message="litellm.RateLimitError: You exceeded your current quota, please check")),
    (E, _failure(status=500, message="litellm.ContextWindowExceededError: too long")),
    (E, _failure(status=500, message="litellm.ContentPolicyViolationError: refused")),
    (E, _failure(status=500, message="litellm.AuthenticationError: upstream key")),
    (E, _failure(status=500, message="litellm.BudgetExceededError: spent")),
    (E, _failure(status=429, message="Error code: 429 - {'code': 'insufficient_quota'}")),
    (E, _failure(Fault.STREAM_ERROR, message="litellm.ContextWindowExceededError: too long")),
]


@pytest.mark.parametrize(("expected", "failure"), CLASSES)
def test_the_class_of_a_failure(expected: RetryClass, failure: Failure) -> None:
    assert classify(failure) is expected


@pytest.mark.parametrize(("retry_class", "failure"), CLASSES)
def test_what_may_be_billed(retry_class: RetryClass, failure: Failure) -> None:
    """Not only what is worth another attempt: a call that ran out of time may still be worked on."""
    late = failure.fault is Fault.DEADLINE
    assert may_be_billed(failure) is (late or retry_class in {C, D})


POLICY = RetryPolicy(max_attempts=3, base=0.5, cap=8.0, max_ambiguous=1)


def _delay(failure: Failure, policy: RetryPolicy | None = POLICY, **changes: Any) -> float | None:
    arguments: dict[str, Any] = {"attempt": 1, "ambiguous": 0, "remaining": math.inf, "draw": 0.5}
    return delay(policy, failure, **{**arguments, **changes})


@pytest.mark.parametrize(("expected", "failure"), CLASSES)
def test_only_classes_a_b_and_c_are_retried(expected: RetryClass, failure: Failure) -> None:
    assert (_delay(failure) is not None) == (expected in {A, B, C})


def test_no_policy_is_one_attempt() -> None:
    assert _delay(_failure(Fault.CONNECT), None) is None


def test_attempts_are_counted_to_the_limit() -> None:
    refused = _failure(status=429)
    assert [_delay(refused, attempt=number) is not None for number in (1, 2, 3, 4)] == [True, True, False, False]


@pytest.mark.parametrize("most", [0, 1, 2])
def test_ambiguous_failures_have_a_limit_of_their_own(most: int) -> None:
    policy = replace(POLICY, max_attempts=9, max_ambiguous=most)
    assert [_delay(_failure(status=500), policy, ambiguous=n) is not None for n in range(4)] == [
        n < most for n in range(4)
    ]
    assert _delay(_failure(status=429), policy, ambiguous=most) is not None, "the others are not held back by it"


@given(
    base=st.floats(0, 60),
    more=st.floats(0, 540),
    attempt=st.integers(1, 50),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_full_jitter_stays_in_its_bounds(base: float, more: float, attempt: int, draw: float) -> None:
    policy = RetryPolicy(base=base, cap=base + more)
    bound = min(base + more, base * 2.0 ** (attempt - 1))
    wait = backoff(policy, attempt=attempt, draw=draw)
    assert 0 <= wait <= bound
    assert wait == draw * bound


@pytest.mark.parametrize(("attempt", "bound"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (20, 8.0)])
def test_the_bound_doubles_up_to_the_cap(attempt: int, bound: float) -> None:
    assert backoff(POLICY, attempt=attempt, draw=0.75) == 0.75 * bound


@given(hint=st.floats(0, 1e6), draw=st.floats(0, 1, exclude_max=True), remaining=st.floats(0, 1e6))
def test_a_hint_is_never_undercut_and_never_waited_for_beyond_the_deadline(
    hint: float, draw: float, remaining: float
) -> None:
    wait = _delay(_failure(status=429, hint=hint), draw=draw, remaining=remaining)
    if wait is None:
        assert hint + draw * 0.5 >= remaining
    else:
        assert hint <= wait < remaining


def test_a_wait_that_would_use_up_the_time_is_not_begun() -> None:
    assert _delay(_failure(Fault.CONNECT), draw=0.5, remaining=0.25) is None
    assert _delay(_failure(Fault.CONNECT), draw=0.5, remaining=0.26) == 0.25
