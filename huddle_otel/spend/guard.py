"""Limits on spend and their accounts. Pure: the time is an argument, amounts are nano-dollars.

A limit with a `store` has accounts here, too: what this process last saw of the shared ones. They are what it goes on
from while the store cannot be reached, and what metrics and `current_health()` show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from huddle_otel.settings import SpendGuard
from huddle_otel.spend.accounts import Account, Ask, Figures, Hold, Over, Taken
from huddle_otel.spend.money import nano
from huddle_otel.spend.periods import next_after, start_of
from huddle_otel.spend.tags import TagValue

MAX_KEYS: Final = 10_000
"""Accounts of one limit. Tags are set by users; beyond this, new values share the account `other`."""
OTHER: Final = "other"


@dataclass(slots=True)
class Budget:
    """One limit and its accounts. The caller sees to it that one thread at a time is in here."""

    guard: SpendGuard
    limit: int = field(init=False)
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    ahead: float = 0.0
    """Seconds by which the store's clock is ahead of ours: every machine is in the store's period."""

    def __post_init__(self) -> None:
        """Read the limit."""
        self.limit = nano(str(self.guard.limit)) or 0

    def key_of(self, model: str, tags: Mapping[str, TagValue]) -> str:
        """Return whose account a call is on; empty for the one of calls without the tag."""
        by = self.guard.by
        key = model if by == "model" else str(tags.get(by, "")) if by else ""
        return key if key in self.accounts or len(self.accounts) < MAX_KEYS else OTHER

    def reserve(self, ask: Ask, now: float) -> tuple[Hold | None, Over | None]:
        """Reserve what a call may cost, on the account as this process knows it.

        Args:
            ask: What the call asks.
            now: Unix time, s. One that goes back stays in the period it was in.

        Returns:
            The hold, None if the call is blocked; and how the limit is exceeded, if it is.
        """
        account = self._current(ask.key, now)
        asked = ask.amount or 0
        over = None
        if ask.unpriced or account.spent + account.reserved + asked > self.limit:
            over = self._over(ask.key, account, now)
            if self.guard.action == "block":
                return None, over
        unsaid = bool(self.guard.store)
        account.reserved += asked
        account.unsaid_reserved += asked if unsaid else 0
        return Hold(ask, account, asked, account.began, unsaid), over

    def hear(self, key: str, figures: Figures, now: float, *, ahead: float) -> Account:
        """Take over what the store tells of an account; returns it.

        Args:
            key: Whose account.
            figures: Of the store.
            now: Unix time of our own clock, s.
            ahead: Seconds by which the store's is ahead of it.
        """
        self.ahead = ahead
        account = self.accounts.setdefault(key, Account(figures.began))
        if account.began != figures.began:
            account.begin(figures.began)
        account.spent = figures.spent + account.unsaid_spent
        account.reserved = figures.reserved + account.unsaid_reserved
        account.seen = now
        return account

    def leased(
        self, ask: Ask, figures: Figures, now: float, *, granted: bool, ahead: float
    ) -> tuple[Hold, Over | None]:
        """Take over the store's answer to what a call asked, whether it `granted` that or not.

        Returns:
            What is held if it did, and how the limit is exceeded, if it is.
        """
        account = self.hear(ask.key, figures, now, ahead=ahead)
        asked = ask.amount or 0
        before = account.spent + account.reserved - (asked if granted else 0)
        exceeded = ask.unpriced or before + asked > self.limit
        over = self._over(ask.key, account, now, spent=before) if exceeded else None
        return Hold(ask, account, asked, account.began, unsaid=False), over

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """Return each account's figures, in nano-dollars and seconds."""
        guard = self.guard
        return [
            {
                "budget": guard.name,
                "key": key,
                "action": guard.action,
                "limit": self.limit,
                "spent": account.spent,
                "reserved": account.reserved,
                "resets_in": self._resets_in(account, now),
                "age": None if account.seen is None else now - account.seen,
            }
            for key in list(self.accounts)
            for account in (self._current(key, now),)
        ]

    def _over(self, key: str, account: Account, now: float, *, spent: int | None = None) -> Over:
        first, account.warned = not account.warned, True
        return Over(
            guard=self.guard,
            key=key,
            spent=account.spent + account.reserved if spent is None else spent,
            limit=self.limit,
            resets_in=self._resets_in(account, now),
            first=first,
        )

    def _resets_in(self, account: Account, now: float) -> float:
        return next_after(self.guard.per, account.began) - (now + self.ahead)

    def _current(self, key: str, now: float) -> Account:
        now += self.ahead
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(start_of(self.guard.per, now))
        elif now >= next_after(self.guard.per, account.began):
            account.begin(start_of(self.guard.per, now))
        return account


def reserve(asks: Iterable[Ask], now: float) -> Taken:
    """Reserve with every limit, or with none when one of them blocks."""
    holds: list[Hold] = []
    exceeded: list[Over] = []
    for ask in asks:
        hold, over = ask.budget.reserve(ask, now)
        if over is not None:
            exceeded.append(over)
        if hold is None:
            settle(holds, 0)
            return Taken([], exceeded, blocked=True)
        holds.append(hold)
    return Taken(holds, exceeded, blocked=False)


def leased(asks: Iterable[Ask], figures: Iterable[Figures], now: float, *, granted: bool, ahead: float) -> Taken:
    """Take over the store's answer to what was asked of it, as if it had been reserved here.

    Args:
        asks: What was asked.
        figures: The account of each, after that.
        now: Unix time of our own clock, s.
        granted: Whether the store reserved with all of them, else with none.
        ahead: Seconds by which the store's clock is ahead of ours.
    """
    said = [
        ask.budget.leased(ask, each, now, granted=granted, ahead=ahead) for ask, each in zip(asks, figures, strict=True)
    ]
    holds = [hold for hold, _ in said if granted]
    return Taken(holds, [over for _, over in said if over is not None], blocked=not granted)


def settle(holds: Iterable[Hold], cost: int | None) -> None:
    """Turn reservations into what the call cost, nano-dollars; None keeps them for the cost.

    A call that outlasts its period was on the account of the period it began in, and that is closed.
    """
    for hold in holds:
        account = hold.account
        if account.began == hold.began:
            account.reserved = max(account.reserved - hold.amount, 0)  # a store that lost its data has told of none
            account.spent += hold.cost(cost)
            if hold.unsaid:
                account.unsaid_reserved -= hold.amount
                account.unsaid_spent += hold.cost(cost)


def settled(holds: Iterable[Hold], cost: int | None, figures: Iterable[Figures], now: float, *, ahead: float) -> None:
    """Take over what the store tells when it has been told what a call cost; the arguments are those of the others."""
    for hold, each in zip(holds, figures, strict=True):
        if hold.unsaid and hold.account.began == hold.began:
            hold.account.unsaid_spent -= hold.cost(cost)
        hold.ask.budget.hear(hold.ask.key, each, now, ahead=ahead)


class Budgets:
    """All limits that are in force. Not safe for threads by itself."""

    def __init__(self, guards: tuple[SpendGuard, ...]) -> None:
        """Start with nothing spent."""
        self._budgets = {guard: Budget(guard) for guard in guards}

    def take_over(self, before: Budgets) -> None:
        """Go on from the accounts of limits that stay as they were."""
        self._budgets.update({guard: before._budgets[guard] for guard in self._budgets if guard in before._budgets})

    def forget_holds(self) -> None:
        """Keep what was spent and no reservation: what is under way is under way in another process."""
        for budget in self._budgets.values():
            for account in budget.accounts.values():
                account.reserved = account.unsaid_reserved = account.unsaid_spent = 0  # the other process says it

    def asks(
        self, model: str, tags: Mapping[str, TagValue], estimate: Callable[[SpendGuard], int | None]
    ) -> Sequence[Ask]:
        """Return what a call asks of every limit.

        Args:
            model: The model asked for.
            tags: The call's.
            estimate: What the call may cost, nano-dollars; None: nobody knows.
        """
        return [Ask(each, each.key_of(model, tags), estimate(guard)) for guard, each in self._budgets.items()]

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """Return every account's figures, in nano-dollars and seconds."""
        return [account for budget in self._budgets.values() for account in budget.snapshot(now)]
