"""The accounts of limits on spend, and what calls ask of them and hold, as data. Amounts are nano-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from huddle_otel.settings import SpendGuard

if TYPE_CHECKING:
    from huddle_otel.spend.guard import Budget


@dataclass(slots=True)
class Account:
    """What one value of the tag has spent in its period."""

    began: float
    """Unix time at which the period began, s."""
    spent: int = 0
    reserved: int = 0
    warned: bool = False
    seen: float | None = None
    """Unix time at which the store last told of it, s; None for an account of this process alone."""
    unsaid_spent: int = 0
    """Part of `spent` that the store has not been told of: it was away."""
    unsaid_reserved: int = 0
    """The same of `reserved`."""

    def begin(self, began: float) -> None:
        """Begin a period, with nothing spent."""
        self.began, self.warned = began, False
        self.spent = self.reserved = self.unsaid_spent = self.unsaid_reserved = 0


@dataclass(slots=True, eq=False)
class Ask:
    """What a call asks of one limit."""

    budget: Budget
    key: str
    """Whose account."""
    amount: int | None
    """Nano-dollars; None: nobody knows."""

    @property
    def guard(self) -> SpendGuard:
        """The limit."""
        return self.budget.guard

    @property
    def unpriced(self) -> bool:
        """Refused, or warned of, whatever has been spent."""
        return self.amount is None and self.guard.unpriced == "block"


@dataclass(slots=True)
class Hold:
    """A reservation; settled once."""

    ask: Ask
    account: Account
    amount: int
    began: float
    """The period it is on the account of."""
    unsaid: bool
    """There is a store, and it does not have it."""

    def cost(self, cost: int | None) -> int:
        """Return what it becomes when the call cost so much: itself, where nobody knows."""
        return self.amount if cost is None else cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """A call does not fit."""

    guard: SpendGuard
    key: str
    spent: int
    """Spent and reserved so far."""
    limit: int
    resets_in: float
    """Seconds to the next period; infinity for `total`."""
    first: bool
    """The first of its account in this period."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking several limits at once."""

    holds: list[Hold]
    """None when it is blocked."""
    exceeded: list[Over]
    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a store tells of an account."""

    began: float
    spent: int
    reserved: int
