"""What the end of an attempt says about its circuit."""

from __future__ import annotations

from typing import Final

from huddle_otel.events import Failure, Fault, RetryClass
from huddle_otel.policy import retry
from huddle_otel.policy.breaker import Verdict

_UPSTREAM: Final = frozenset(
    {Fault.TIMEOUT, Fault.DEADLINE, Fault.DISCONNECT, Fault.STREAM_ERROR, Fault.TRUNCATED, Fault.MALFORMED}
)
_TROUBLE: Final = frozenset({408, 500, 502, 503, 504, 529})
"""Statuses that mean trouble upstream. 429 is none of them: it feeds the gate, not the breaker."""


def verdict_of(failure: Failure | None) -> Verdict:
    """Judge an attempt.

    Args:
        failure: None: it brought what was asked for.
    """
    if failure is None:
        return Verdict.OK
    if failure.fault is Fault.CONNECT:
        # a full local pool is our own doing
        return Verdict.IGNORED if failure.error_type == "pool_timeout" else Verdict.FAILURE
    status = retry.status_of(failure)
    if status is not None:
        load = status in _TROUBLE and not retry.is_deterministic(failure)
        return Verdict.FAILURE if load else Verdict.IGNORED
    return Verdict.FAILURE if failure.fault in _UPSTREAM else Verdict.IGNORED


def may_fall_back(failure: Failure) -> bool:
    """Tell whether another model may do better where this one failed: not if the request itself is at fault."""
    return retry.classify(failure) in {RetryClass.NEVER_REACHED, RetryClass.REFUSED, RetryClass.AMBIGUOUS}
