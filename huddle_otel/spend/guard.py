"""A limit on spend, and what a call may cost at most. Pure: the time is an argument, amounts are nano-dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from huddle_otel.settings import SpendGuard
from huddle_otel.spend.money import nano
from huddle_otel.spend.tags import TagValue
from huddle_otel.spend.usage import Usage

MAX_KEYS: Final = 10_000
"""Accounts of one limit. Tags are set by users; beyond this, new values share the account `other`."""
OTHER: Final = "other"
_CHARS_PER_TOKEN: Final = 3
"""English text has about four, code three: an estimate from above."""
_FILE_TOKENS: Final = 1500
"""What an image or file is taken to be that comes as a `data:` URL."""
_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_PROMPTS: Final = ("messages", "input", "prompt", "instructions", "tools")


@dataclass(slots=True)
class Account:
    """What one value of the tag has spent in its period."""

    began: float
    """Unix time at which the period began, s."""
    spent: int = 0
    reserved: int = 0
    warned: bool = False


@dataclass(slots=True)
class Hold:
    """A reservation; settled once."""

    account: Account
    amount: int
    began: float


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


@dataclass(slots=True)
class Budget:
    """One limit and its accounts. The caller sees to it that one thread at a time is in here."""

    guard: SpendGuard
    limit: int = field(init=False)
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])

    def __post_init__(self) -> None:
        """Read the limit."""
        self.limit = nano(str(self.guard.limit)) or 0

    def key_of(self, model: str, tags: Mapping[str, TagValue]) -> str:
        """Return whose account a call is on; empty for the one of calls without the tag."""
        by = self.guard.by
        key = model if by == "model" else str(tags.get(by, "")) if by else ""
        return key if key in self.accounts or len(self.accounts) < MAX_KEYS else OTHER

    def reserve(self, key: str, amount: int | None, now: float) -> tuple[Hold | None, Over | None]:
        """Reserve what a call may cost.

        Args:
            key: Whose account.
            amount: Nano-dollars; None: nobody knows.
            now: Unix time, s. One that goes back stays in the period it was in.

        Returns:
            The hold, None if the call is blocked; and how the limit is exceeded, if it is.
        """
        guard = self.guard
        account = self._current(key, now)
        asked = amount or 0
        unpriced = amount is None and guard.unpriced == "block"
        over = None
        if unpriced or account.spent + account.reserved + asked > self.limit:
            first, account.warned = not account.warned, True
            over = Over(
                guard=guard,
                key=key,
                spent=account.spent + account.reserved,
                limit=self.limit,
                resets_in=_next(guard.per, account.began) - now,
                first=first,
            )
            if guard.action == "block":
                return None, over
        account.reserved += asked
        return Hold(account, asked, account.began), over

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
                "resets_in": _next(guard.per, account.began) - now,
            }
            for key in list(self.accounts)
            for account in (self._current(key, now),)
        ]

    def _current(self, key: str, now: float) -> Account:
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(_start(self.guard.per, now))
        elif now >= _next(self.guard.per, account.began):
            account.began, account.spent, account.reserved, account.warned = _start(self.guard.per, now), 0, 0, False
        return account


def _start(per: str, now: float) -> float:
    """Return when the period of a moment began."""
    if per == "total":
        return now
    moment = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
    if per != "minute":
        moment = moment.replace(minute=0)
    if per in {"day", "month"}:
        moment = moment.replace(hour=0)
    if per == "month":
        moment = moment.replace(day=1)
    return moment.timestamp()


def settle(holds: Iterable[Hold], cost: int | None) -> None:
    """Turn reservations into what the call cost, nano-dollars; None keeps them for the cost.

    A call that outlasts its period was on the account of the period it began in, and that is closed.
    """
    for hold in holds:
        account = hold.account
        if account.began == hold.began:
            account.reserved -= hold.amount
            account.spent += hold.amount if cost is None else cost


_LENGTHS: Final = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_LONGEST_MONTH: Final = timedelta(days=32)


def _next(per: str, began: float) -> float:
    """Return when the period after one begins."""
    if per == "total":
        return float("inf")
    if per == "month":
        return (datetime.fromtimestamp(began, UTC) + _LONGEST_MONTH).replace(day=1).timestamp()
    return began + _LENGTHS[per]


def worst_case(body: Mapping[str, Any], *, output_tokens: int) -> Usage:
    """Return what a request may use: its text at three characters a token, and the longest answer it permits.

    Args:
        body: The request's fields. Walked once.
        output_tokens: The answer's length where the request does not bound it.
    """
    bounds = [bound for name in _BOUNDS if type(bound := body.get(name)) is int and bound >= 0]
    choices = body.get("n")
    times = choices if type(choices) is int and choices > 0 else 1
    characters = sum(_length(body.get(name)) for name in _PROMPTS)
    return Usage(
        input_tokens=-(-characters // _CHARS_PER_TOKEN),
        output_tokens=times * (min(bounds) if bounds else output_tokens),
    )


def _length(value: Any) -> int:
    """Count the characters of all text in a value; a number is a token of its own."""
    total = 0
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            total += len(each) if not each.startswith("data:") else _FILE_TOKENS * _CHARS_PER_TOKEN
        elif isinstance(each, Mapping):
            waiting.extend(cast("Any", each).values())
        elif isinstance(each, list | tuple):
            waiting.extend(cast("list[Any]", each))
        elif isinstance(each, int):
            total += _CHARS_PER_TOKEN
    return total


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
                account.reserved = 0

    def reserve(
        self, model: str, tags: Mapping[str, TagValue], estimate: Callable[[SpendGuard], int | None], now: float
    ) -> tuple[list[Hold], list[Over]]:
        """Reserve with every limit, or with none when one of them blocks.

        Args:
            model: The model asked for.
            tags: The call's.
            estimate: What the call may cost, nano-dollars; None: nobody knows.
            now: Unix time, s.

        Returns:
            The holds, empty when blocked, and every limit that is exceeded, a blocking one last.
        """
        holds: list[Hold] = []
        exceeded: list[Over] = []
        for guard, budget in self._budgets.items():
            hold, over = budget.reserve(budget.key_of(model, tags), estimate(guard), now)
            if over is not None:
                exceeded.append(over)
            if hold is None:
                settle(holds, 0)
                return [], exceeded
            holds.append(hold)
        return holds, exceeded

    def snapshot(self, now: float) -> list[dict[str, Any]]:
        """Return every account's figures, in nano-dollars and seconds."""
        return [account for budget in self._budgets.values() for account in budget.snapshot(now)]
