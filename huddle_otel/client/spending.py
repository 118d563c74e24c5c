"""The limits on spend at work: one lock around them, and what is said when one is exceeded."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from huddle_otel.client.clock import clock
from huddle_otel.errors import ConfigurationError
from huddle_otel.events import Failure, Fault, Finished, Request
from huddle_otel.policy.call import BUDGET_EXCEEDED, Pending, Refused
from huddle_otel.settings import SpendGuard, StoreUrl
from huddle_otel.spend import PriceTable, current_tags, format_usd, nano, spend_of
from huddle_otel.spend.accounts import Ask, Hold, Over, Taken
from huddle_otel.spend.guard import Budgets, leased, reserve, settle, settled
from huddle_otel.spend.shared import Word, releasing, reserving, settling
from huddle_otel.spend.worst_case import worst_case
from huddle_otel.telemetry.answer import Answer
from huddle_otel.text import sound

if TYPE_CHECKING:
    from huddle_otel.client.store import Store

_LOG: Final = logging.getLogger("huddle_otel")
MARGIN: Final = 60.0
"""Seconds a shared reservation outlives the call's total time: settling may have to wait for a store that is away."""
_LONGEST: Final = 86_400.0
"""Seconds a call without a total time is taken to last at most."""
_TICK: Final = 0.005
"""A wait may end this much early, s."""


@dataclass(slots=True, eq=False)
class Reservation:
    """What one call has reserved, from the first question to its settlement."""

    begun: float
    """By `clock()`, s."""
    lasts: float
    """Seconds until the store takes it as spent."""
    lease: str = ""
    """Its name in the store, if there is one."""
    ticket: Future[bool] | None = None
    """Resolves when the store has spoken, or will not."""
    holds: list[Hold] = field(default_factory=list[Hold])
    asked: Sequence[Ask] = ()
    """What the store has been asked."""
    waits: bool = False
    """For the store's word."""
    heard: Taken | None = None
    """What that was."""


class Spending:
    """Reserves before a call and settles after it."""

    def __init__(
        self,
        guards: tuple[SpendGuard, ...],
        prices: PriceTable,
        wall: Callable[[], float],
        failing: Callable[[], object] = lambda: None,
    ) -> None:
        """Take the limits, the prices of the estimates, Unix time, s, and who counts the failures of a shared store.

        Raises:
            ConfigurationError: There is a store, and no client for it or it does not take the URL.
        """
        self._budgets, self._prices, self._wall = Budgets(guards), prices, wall
        self._lock = threading.RLock()  # re-entrant: a finaliser may end a call in the middle of this
        self._store = _store_of(guards, failing)
        _alive.add(self)

    def take_over(self, before: Spending) -> None:
        """Go on from what was spent under the settings before."""
        self._lock = before._lock  # the accounts are shared with calls that are under way
        with self._lock:
            self._budgets.take_over(before._budgets)
            if before._store is not None:
                kept = self._store
                if kept is not None and (kept.url, kept.timeout) == (before._store.url, before._store.timeout):
                    self._store = before._store
                else:
                    before._store.close()

    def renew(self) -> None:
        """Go on in a child process with what was spent so far; each process keeps its own accounts from there.

        The store renews itself.
        """
        self._lock = threading.RLock()
        self._budgets.forget_holds()

    def flush(self, until: float) -> bool:
        """Wait until every settlement is with the store, to a time of `time.monotonic()`; returns whether it is."""
        return self._store is None or self._store.flush(until)

    def close(self) -> None:
        """End what is not needed once the calls under way have been settled."""
        if self._store is not None:
            self._store.close()

    # --- before a call ------------------------------------------------------------------------------------------------

    def reserve(self, request: Request, total: float) -> tuple[Reservation, Refused | Pending | None]:
        """Reserve what a call may cost.

        Args:
            request: The call.
            total: Seconds it may take; infinity for no bound.

        Returns:
            The reservation, and the refusal if a limit blocks the call, or that the store has been asked.
        """

        def estimate(guard: SpendGuard) -> int | None:
            most = guard.output_tokens if request.operation != "embeddings" else 0
            usage = worst_case(request.body, output_tokens=most)
            return spend_of(usage, models=(request.model,), reported=None, table=self._prices, when=self._wall()).total

        reservation, store = Reservation(clock(), min(total, _LONGEST) + MARGIN), self._store
        if store is not None:
            reservation.lease = secrets.token_hex(12)
        asks = self._budgets.asks(request.model, current_tags(), estimate)  # prices may be the app's own function
        with self._lock:
            shared = [ask for ask in asks if ask.guard.store]
            # what is refused for its price alone needs no store to say so
            hopeless = any(ask.unpriced and ask.guard.action == "block" for ask in shared)
            away = store is not None and store.away
            if away and not hopeless and (refused := self._closed(shared)):
                return reservation, refused
            if away or hopeless:
                shared = []
            taken = reserve((ask for ask in asks if ask not in shared), self._wall())
            reservation.holds = taken.holds
        refused = self._judge(reservation, taken)
        if refused is None and store is not None and shared:
            return reservation, self._ask(store, shared, reservation)
        return reservation, refused

    def _ask(self, store: Store, asks: Sequence[Ask], reservation: Reservation) -> Pending:
        reservation.asked, reservation.waits, reservation.ticket = asks, True, Future()
        command = reserving(asks, lease=reservation.lease, lasts=reservation.lasts)
        store.put(command, lambda word: self._heard(reservation, word), lasting=False)
        return Pending(store.timeout)

    def conclude(self, reservation: Reservation) -> Refused | None:
        """Go on from the store's word, or without it if there is none by now. Returns the refusal, if it is one."""
        store, ticket = self._store, reservation.ticket
        late = store is not None and clock() - reservation.begun + _TICK >= store.timeout
        if store is not None and late and ticket is not None and not ticket.done():
            store.failed(f"no answer in {store.timeout:g} s")
        with self._lock:
            reservation.waits = False
            taken = reservation.heard
            if taken is None:
                if refused := self._closed(reservation.asked):
                    settle(reservation.holds, 0)
                    reservation.holds = []
                    return refused
                taken = reserve(reservation.asked, self._wall())
            reservation.holds += taken.holds
        return self._judge(reservation, taken)

    def _heard(self, reservation: Reservation, word: Word | None) -> None:
        """Note the store's word. One that comes too late, or not at all, leaves nothing reserved there."""
        with self._lock:
            if word is not None:
                now, asked = self._wall(), reservation.asked
                reservation.heard = leased(asked, word.figures, now, granted=word.granted, ahead=word.now - now)
            unwanted = word is None or (word.granted and not reservation.waits)
        if unwanted and self._store is not None:
            command = releasing(reservation.asked, lease=reservation.lease)
            self._store.put(command, lambda told: self._saw(reservation.asked, told), lasting=True)
        if reservation.ticket is not None:
            reservation.ticket.set_result(word is not None)

    def _closed(self, asks: Sequence[Ask]) -> Refused | None:
        """Return the refusal of a limit that lets nothing through without its store."""
        for ask in asks:
            if ask.guard.on_store_failure == "closed" and self._store is not None:
                message = f"{_limit(ask.guard, ask.key)} blocks a call: its store {self._store.url} cannot be used"
                return _refused(message, self._store.pause)
        return None

    def _judge(self, reservation: Reservation, taken: Taken) -> Refused | None:
        """Say which limits are exceeded, and refuse the call if one of them blocks."""
        for over in taken.exceeded:
            if over.first:
                _LOG.warning("huddle_otel: %s", _told(over))
        if not taken.blocked:
            return None
        with self._lock:
            settle(reservation.holds, 0)
            reservation.holds = []
        over = next(over for over in reversed(taken.exceeded) if over.guard.action == "block")
        return _refused(_told(over), over.resets_in)

    # --- after it -----------------------------------------------------------------------------------------------------

    def settle(self, reservation: Reservation, event: Finished, answer: Answer) -> None:
        """Account for a call that has ended.

        What nobody can price keeps its reservation, if an upstream answered or may have worked on it; what never
        reached one costs nothing.
        """
        cost = answer.spend.total
        free = cost is None and not (answer.answered or event.may_be_billed)
        self.end(reservation, 0 if free else cost)

    def end(self, reservation: Reservation, cost: int | None) -> None:
        """Turn a reservation into what the call cost, nano-dollars; None keeps it for the cost. Then it is empty."""
        with self._lock:
            if reservation.waits and reservation.heard is not None:  # cut off before it could listen
                reservation.holds += reservation.heard.holds
            reservation.waits = False
            holds, reservation.holds = reservation.holds, []
            settle(holds, cost)
        shared = [hold for hold in holds if hold.ask.guard.store]
        if self._store is not None and any(not hold.unsaid or hold.cost(cost) for hold in shared):
            command = settling(shared, cost, lease=reservation.lease, lasts=reservation.lasts)
            self._store.put(command, lambda word: self._settled(shared, cost, word), lasting=True)

    def _settled(self, holds: Sequence[Hold], cost: int | None, word: Word | None) -> None:
        """Note that the store knows what a call cost."""
        if word is not None:
            with self._lock:
                now = self._wall()
                settled(holds, cost, word.figures, now, ahead=word.now - now)

    def _saw(self, asks: Sequence[Ask], word: Word | None) -> None:
        """Note what the store tells of accounts."""
        if word is not None:
            with self._lock:
                now = self._wall()
                for ask, figures in zip(asks, word.figures, strict=True):
                    ask.budget.hear(ask.key, figures, now, ahead=word.now - now)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return every account's figures, in nano-dollars and seconds; of shared ones what was last seen."""
        with self._lock:
            return self._budgets.snapshot(self._wall())


def _store_of(guards: tuple[SpendGuard, ...], failing: Callable[[], object]) -> Store | None:
    """Return the store that limits name; they name the same one."""
    for guard in guards:
        if isinstance(guard.store, StoreUrl):
            try:
                from huddle_otel.client.store import Store  # noqa: PLC0415 - redis is an extra
            except ModuleNotFoundError:
                permitted = "empty, unless redis is installed: pip install 'huddle-otel[redis]'"
                raise ConfigurationError(field="SpendGuard.store", value=guard.store, permitted=permitted) from None
            return Store(guard.store, guard.store_timeout, failing)
    return None


def _refused(message: str, hint: float) -> Refused:
    return Refused(Failure(fault=Fault.REJECTED, error_type=BUDGET_EXCEEDED, message=message, hint=hint))


def _limit(guard: SpendGuard, key: str) -> str:
    """Say which limit it is, and whose."""
    period = f" per {guard.per}" if guard.per != "total" else ""
    whose = f" of {guard.by} {sound(key)!r}" if guard.by else ""
    return f"the spend limit of {format_usd(nano(str(guard.limit)) or 0)}{period}{whose}"


def _told(over: Over) -> str:
    """Say which limit is exceeded, and how far it is used."""
    verb = "blocks" if over.guard.action == "block" else "does not block"
    return f"{_limit(over.guard, over.key)} {verb} a call: {format_usd(over.spent)} are spent or reserved"


_alive: Final[weakref.WeakSet[Spending]] = weakref.WeakSet()


def _renew_all() -> None:
    for each in _alive:
        each.renew()


os.register_at_fork(after_in_child=_renew_all)
