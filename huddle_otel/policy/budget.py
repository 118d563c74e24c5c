"""The retry budget: successes pay for retries, so that retries stay a small share of the load, and end in an outage."""

from __future__ import annotations

from huddle_otel.settings import RetryBudgetPolicy


class RetryBudget:
    """A token bucket. Holds no lock: callers serialise."""

    __slots__ = ("_policy", "tokens")

    def __init__(self, policy: RetryBudgetPolicy) -> None:
        """Start full: a first hiccup may be retried."""
        self._policy = policy
        self.tokens = policy.capacity

    def deposit(self) -> None:
        """A call succeeded."""
        self.tokens = min(self.tokens + self._policy.per_success, self._policy.capacity)

    def withdraw(self, *, ambiguous: bool) -> bool:
        """Pay for a retry; an ambiguous one may be billed twice and costs more. False: there is not enough."""
        cost = self._policy.ambiguous_cost if ambiguous else 1.0
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True
