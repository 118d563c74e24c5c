"""The bulkhead: how many calls of a circuit may be under way at once, fixed or found out (AIMD)."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from huddle_otel.settings import BulkheadPolicy

W = TypeVar("W")


class Bulkhead(Generic[W]):
    """One circuit's places and its waiting line. Holds no lock: callers serialise. `W` is whatever waits."""

    __slots__ = ("_policy", "in_flight", "limit", "waiting")

    def __init__(self, policy: BulkheadPolicy) -> None:
        """Start empty, at the full limit."""
        self._policy = policy
        self.in_flight = 0
        self.limit = float(policy.max_in_flight)
        self.waiting: deque[W] = deque()

    def enter(self) -> bool:
        """Take a place, if there is one and nobody waits for it."""
        if self.waiting or self.in_flight >= int(self.limit):
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        """Give a place back; whether someone in line gets it, `next` tells."""
        self.in_flight -= 1

    def next(self) -> W | None:
        """Give the first in line a place, if there is one. To be asked until there is none: a limit may have grown."""
        if not self.waiting or self.in_flight >= int(self.limit):
            return None
        self.in_flight += 1
        return self.waiting.popleft()

    def learn(self, *, overloaded: bool) -> None:
        """Move the limit: down by a factor on overload, up by one per limit's worth of successes."""
        policy = self._policy
        if not policy.adaptive:
            return
        if overloaded:
            self.limit = max(self.limit * policy.decrease, float(policy.min_in_flight))
        else:
            self.limit = min(self.limit + 1 / self.limit, float(policy.max_in_flight))
