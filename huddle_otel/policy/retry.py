"""Whether and when to try again. See `RetryClass` for the table this reads from."""

from __future__ import annotations

from typing import Final

from huddle_otel.events import Failure, Fault, RetryClass
from huddle_otel.settings import RetryPolicy

_REFUSED: Final = frozenset({429, 529})
_AMBIGUOUS: Final = frozenset({408, 409})
"""And every 5xx."""
_DETERMINISTIC_KINDS: Final = (
    "budget_exceeded",
    "insufficient_quota",
    "expired_key",
    "token_not_found_in_db",
    "key_model_access_denied",
)
_DETERMINISTIC_CAUSES: Final = (
    # LiteLLM names the exception it caught as `litellm.X:` in the message; the status alone misleads for these
    "ContextWindowExceededError",
    "ContentPolicyViolationError",
    "AuthenticationError",
    "BudgetExceeded",
    "insufficient_quota",
    "exceeded your current quota",
)


def classify(failure: Failure) -> RetryClass:
    """Put a failure into its retry class.

    `error.type` decides before the message, the message before the status: behind a gateway the status is often
    that of another layer (a spent quota is a 429, a spent key budget a 422).
    """
    if failure.delivered:
        return RetryClass.COMMITTED
    if failure.fault is Fault.CONNECT:
        return RetryClass.NEVER_REACHED
    if failure.fault in {Fault.APP, Fault.DEADLINE, Fault.REJECTED} or failure.answered:
        return RetryClass.DETERMINISTIC
    if is_deterministic(failure):
        return RetryClass.DETERMINISTIC
    status = status_of(failure)
    if status is None and failure.fault is not Fault.STATUS:
        return RetryClass.AMBIGUOUS
    return _classify_status(failure, status or 0)


def may_be_billed(failure: Failure) -> bool:
    """Tell whether an upstream may have worked on what failed. One that was late may still be at it."""
    return failure.fault is Fault.DEADLINE or classify(failure) in {RetryClass.AMBIGUOUS, RetryClass.COMMITTED}


def is_deterministic(failure: Failure) -> bool:
    """Tell whether the upstream refused this request itself, whatever the status says."""
    return failure.kind in _DETERMINISTIC_KINDS or any(cause in failure.message for cause in _DETERMINISTIC_CAUSES)


def status_of(failure: Failure) -> int | None:
    """Return the status of an answer, or the one that an error frame says it would have had; else None."""
    if failure.fault is Fault.STREAM_ERROR and failure.kind is not None and failure.kind.isdecimal():
        return int(failure.kind)  # the error came too late to be a status
    return failure.status


def _classify_status(failure: Failure, status: int) -> RetryClass:
    if failure.should_retry is False:
        return RetryClass.DETERMINISTIC
    if status in _REFUSED or (status == 503 and failure.hint is not None):  # noqa: PLR2004 - HTTP status
        return RetryClass.REFUSED
    if status in _AMBIGUOUS or status >= 500 or failure.should_retry:  # noqa: PLR2004 - HTTP status
        return RetryClass.AMBIGUOUS
    return RetryClass.DETERMINISTIC


def delay(
    policy: RetryPolicy | None, failure: Failure, *, attempt: int, ambiguous: int, remaining: float, draw: float
) -> float | None:
    """Return the seconds to wait before the next attempt, or None when there is to be none.

    Args:
        policy: None is one attempt per call.
        failure: What just happened.
        attempt: Number of the attempt that failed, from 1.
        ambiguous: Ambiguous failures of this call already retried.
        remaining: Seconds left of the call's total time.
        draw: A random number from 0 up to 1, for the jitter.
    """
    if policy is None or attempt >= policy.max_attempts:
        return None
    retry_class = classify(failure)
    if retry_class in {RetryClass.COMMITTED, RetryClass.DETERMINISTIC}:
        return None
    if retry_class is RetryClass.AMBIGUOUS and ambiguous >= policy.max_ambiguous:
        return None
    wait = backoff(policy, attempt=attempt, draw=draw)
    if failure.hint is not None:
        # the upstream said when; the jitter goes on top, so that clients told the same moment do not return at once
        wait += failure.hint
    return wait if wait < remaining else None


def backoff(policy: RetryPolicy, *, attempt: int, draw: float) -> float:
    """Full jitter: a wait drawn evenly from 0 to a bound that doubles with each attempt up to `cap`, s."""
    return draw * min(policy.cap, policy.base * 2.0 ** (attempt - 1))
