"""The limits on spend at work: one lock around them, and what is said when one is exceeded."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from huddle_otel.events import Failure, Fault, Finished, Request
from huddle_otel.policy.call import BUDGET_EXCEEDED, Refused
from huddle_otel.settings import SpendGuard
from huddle_otel.spend import PriceTable, current_tags, format_usd, spend_of
from huddle_otel.spend.guard import Budgets, Hold, Over, settle, worst_case
from huddle_otel.telemetry.answer import Answer
from huddle_otel.text import sound

_LOG: Final = logging.getLogger("huddle_otel")


class Spending:
    """Reserves before a call and settles after it."""

    def __init__(self, guards: tuple[SpendGuard, ...], prices: PriceTable, wall: Callable[[], float]) -> None:
        """Take the limits, the prices of the estimates, and Unix time, s."""
        self._budgets, self._prices, self._wall = Budgets(guards), prices, wall
        self._lock = threading.RLock()  # re-entrant: a finaliser may end a call in the middle of this
        _alive.add(self)

    def take_over(self, before: Spending) -> None:
        """Go on from what was spent under the settings before."""
        self._lock = before._lock  # the accounts are shared with calls that are under way
        with self._lock:
            self._budgets.take_over(before._budgets)

    def renew(self) -> None:
        """Go on in a child process with what was spent so far; each process keeps its own accounts from there."""
        self._lock = threading.RLock()
        self._budgets.forget_holds()

    def reserve(self, request: Request) -> tuple[list[Hold], Refused | None]:
        """Reserve what a call may cost.

        Returns:
            The holds, and the refusal if a limit blocks the call.
        """

        def estimate(guard: SpendGuard) -> int | None:
            most = guard.output_tokens if request.operation != "embeddings" else 0
            usage = worst_case(request.body, output_tokens=most)
            return spend_of(usage, models=(request.model,), reported=None, table=self._prices, when=self._wall()).total

        with self._lock:
            holds, exceeded = self._budgets.reserve(request.model, current_tags(), estimate, self._wall())
        for over in exceeded:
            if over.first:
                _LOG.warning("huddle_otel: %s", _told(over))
        if holds:
            return holds, None
        over = exceeded[-1]
        failure = Failure(fault=Fault.REJECTED, error_type=BUDGET_EXCEEDED, message=_told(over), hint=over.resets_in)
        return [], Refused(failure)

    def settle(self, holds: list[Hold], event: Finished, answer: Answer) -> None:
        """Account for a call that has ended.

        What nobody can price keeps its reservation, if an upstream answered or may have worked on it; what never
        reached one costs nothing.
        """
        cost = answer.spend.total
        free = cost is None and not (answer.answered or event.may_be_billed)
        with self._lock:
            settle(holds, 0 if free else cost)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return every account's figures, in nano-dollars and seconds."""
        with self._lock:
            return self._budgets.snapshot(self._wall())


def _told(over: Over) -> str:
    """Say which limit, whose, and how far it is used."""
    guard = over.guard
    whose = f" of {guard.by} {sound(over.key)!r}" if guard.by else ""
    period = f" per {guard.per}" if guard.per != "total" else ""
    verb = "blocks" if guard.action == "block" else "does not block"
    return (
        f"the spend limit of {format_usd(over.limit)}{period}{whose} {verb} a call: "
        f"{format_usd(over.spent)} are spent or reserved"
    )


_alive: Final[weakref.WeakSet[Spending]] = weakref.WeakSet()


def _renew_all() -> None:
    for each in _alive:
        each.renew()


os.register_at_fork(after_in_child=_renew_all)
