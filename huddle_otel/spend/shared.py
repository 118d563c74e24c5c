"""What processes say to a shared store, and what it answers: the arguments and replies of `shared.lua`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final

from huddle_otel.settings import MAX_SHARED_LIMIT
from huddle_otel.spend.accounts import Ask, Figures, Hold

SCRIPT: Final = files("huddle_otel.spend").joinpath("shared.lua").read_text("utf-8")
_PREFIX: Final = "{huddle_otel:spend}:1"
"""Of every key. The braces keep all accounts in one slot of a cluster, the number is the version of their form."""
_MOST: Final = MAX_SHARED_LIMIT * 10**9 + 1
"""Nano-dollars of one call at most: more exceeds every limit, and sums stay far below 2^63."""
_PLAIN: Final = re.compile(r"[\w.@-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Command:
    """One run of the script."""

    keys: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """What the store answered."""

    granted: bool
    now: float
    """Unix time of the store's clock, s."""
    figures: tuple[Figures, ...]
    """In the order of the accounts asked for."""


def reserving(asks: Iterable[Ask], *, lease: str, lasts: float, now: float | None = None) -> Command:
    """Return what reserves with all these accounts, or with none.

    Args:
        asks: What the call asks.
        lease: Name of the reservation; no two have the same.
        lasts: Seconds after which the reservation counts as spent, should nobody settle it.
        now: Unix time, s, in place of the store's own clock.
    """
    arguments: list[str] = []
    for ask in asks:
        blocks = "1" if ask.guard.action == "block" else "0"
        arguments += (ask.guard.per, _amount(ask.amount or 0), str(ask.budget.limit), blocks)
    return _command("reserve", asks, arguments, lease, lasts, now)


def settling(holds: Sequence[Hold], cost: int | None, *, lease: str, lasts: float, now: float | None = None) -> Command:
    """Return what makes of reservations what the call cost, nano-dollars; None keeps them for the cost.

    What was reserved while the store was away is charged to the account, if that is of the same period still.
    """
    arguments: list[str] = []
    for hold in holds:
        cost_here, began = _amount(hold.cost(cost)), str(int(hold.began))
        arguments += (hold.ask.guard.per, _amount(hold.amount), cost_here, began)
    verb = "charge" if holds[0].unsaid else "settle"
    return _command(verb, [hold.ask for hold in holds], arguments, lease, lasts, now)


def releasing(asks: Sequence[Ask], *, lease: str) -> Command:
    """Return what gives a reservation back, if there is one: nobody has heard whether it was granted."""
    arguments: list[str] = []
    for ask in asks:
        arguments += (ask.guard.per, _amount(ask.amount or 0), "0", "0")
    return _command("settle", asks, arguments, lease, 0, None)


def read(reply: Any) -> Word:
    """Read what the script returns, as Redis sends it."""
    granted, now, *accounts = reply
    figures = tuple(Figures(began=float(each[0]), spent=int(each[1]), reserved=int(each[2])) for each in accounts)
    return Word(granted == 1, float(now), figures)


def key_of(ask: Ask) -> str:
    """Return the key of an account. What users can write is short and plain in it, or its hash."""
    guard = ask.guard
    return ":".join((_PREFIX, guard.per, _plain(guard.by), _plain(ask.key)))


def _command(
    verb: str, asks: Iterable[Ask], arguments: list[str], lease: str, lasts: float, now: float | None
) -> Command:
    hashes = [key_of(ask) for ask in asks]
    keys = tuple(key for each in hashes for key in (each, f"{each}:leases"))
    clock = "" if now is None else repr(now)
    return Command(keys, (verb, clock, lease, str(int(lasts)), *arguments))


def _amount(amount: int) -> str:
    return str(min(max(amount, 0), _MOST))


def _plain(text: str) -> str:
    """Return a text as it is if it is short and plain; else `#` and its hash, which no plain text begins with."""
    if not text or _PLAIN.fullmatch(text):
        return text
    return "#" + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
