"""Which price a model id stands for.

An id finds a price in this order, and never by likeness:

1. exactly as written;
2. under a listed spelling (``names``): a prefix of its own vendor (``openai/gpt-4.1``) or of the gateway
   (``hudl/gpt-4.1``), dashes for dots (``claude-sonnet-4-5``), or an alias that is the id written differently
   (``gemini 2.5 pro``);
3. as 1 and 2, after a release date at the end is taken off (``-2025-04-14``, ``-20250514``);
4. as 1 to 3, in the table behind this one.

Not matched, on purpose: a prefix that is not the vendor's (``openai/deepseek-r1`` is how LiteLLM names a self-hosted
server, and a reseller sets its own price), and aliases that name a family (``claude``, ``grok 3``, ``default``), since
which model they mean changes with time. Such a model has no price, and its spend is unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from huddle_otel.spend.catalogue import CatalogueModel, catalogue
from huddle_otel.spend.money import nano
from huddle_otel.spend.names import Spelling, gateway_prefixes, spellings_of, undated
from huddle_otel.spend.overrides import entry_of
from huddle_otel.spend.price import Entry, Price
from huddle_otel.spend.usage import Usage

Ask = Callable[[str, Usage | None, float | None], Price | None]
"""A model's price by model id, usage and time (Unix time, s); ``None``: the next source knows."""
_NO_SPELLINGS: Final[Mapping[str, Spelling]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a model id leads to, and how."""

    price: Price | None
    steps: tuple[str, ...]
    """The rules that were tried, in order, in words; the last one led to the price, if there is one."""


class PriceTable(Mapping[str, Price]):
    """An immutable mapping from model id to :class:`Price`, with the lookup rules of this module.

    ``table[id]`` is exact; :meth:`find` also reads the listed spellings. Spellings are laid out when the table is made,
    so a lookup is a few dictionary reads: there is no cache to bound, and hostile ids leave nothing behind.
    """

    __slots__ = ("_ask", "_behind", "_entries", "_name", "_spellings")

    def __init__(
        self,
        prices: Mapping[str, Entry],
        spellings: Mapping[str, Spelling] = _NO_SPELLINGS,
        *,
        name: str = "the table",
        behind: PriceTable | None = None,
        ask: Ask | None = None,
    ) -> None:
        """Make a table.

        Args:
            prices: Price per model id.
            spellings: Other ways to write an id.
            name: What explanations call it.
            behind: Asked for what is not in here.
            ask: Asked before anything else. Must not raise.
        """
        self._entries: dict[str, Entry] = dict(prices)
        self._spellings: dict[str, Spelling] = dict(spellings)
        self._name, self._behind, self._ask = name, behind, ask

    def __getitem__(self, model: str) -> Price:
        """Return the price of exactly this id; of one that changes with time, the newest."""
        price = self._entries[model].at(None)
        if price is None:
            raise KeyError(model)
        return price

    def __iter__(self) -> Iterator[str]:
        """Iterate over the priced ids."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Count the priced ids."""
        return len(self._entries)

    def __repr__(self) -> str:
        """Name the size only: the whole table would fill a log line."""
        return f"PriceTable({len(self)} models)"

    def entry(self, model: str) -> Entry | None:
        """Return what there is for exactly this id: one price, or rows that change with time."""
        return self._entries.get(model)

    def find(self, model: str, *, usage: Usage | None = None, when: float | None = None) -> Price | None:
        """Find the price a model id stands for, in O(1).

        Args:
            model: A model id from a request or a response.
            usage: What is to be priced, for a function of the user's.
            when: When the call began, Unix time, s; ``None``: a price that changes with time is taken as it was last.

        Returns:
            The price, or ``None`` when the rules of this module lead to none.
        """
        if self._ask is not None and (own := self._ask(model, usage, when)) is not None:
            return own
        entry = self._entries.get(model)
        return entry if type(entry) is Price else self.look_up(model, when)  # the usual case, in a third of the time

    def explain(self, model: str, *, when: float | None = None) -> Match:
        """Find as :meth:`find` does, and tell how. Functions are not asked.

        Args:
            model: A model id.
            when: As for :meth:`find`.
        """
        trail: list[str] = []
        price = self.look_up(model, when, trail)
        return Match(price=price, steps=tuple(trail))

    def look_up(self, model: str, when: float | None, trail: list[str] | None = None) -> Price | None:
        """Go through the rules of this module: what :meth:`find` and :meth:`explain` both do.

        Args:
            model: A model id.
            when: As for :meth:`find`.
            trail: Takes each rule that is tried, in words.
        """
        price = self._named(model, when, trail)
        if price is None and (stem := undated(model)) is not None:
            if trail is not None:
                trail.append(f"release date {model[len(stem) :]} taken off: {stem}")
            price = self._named(stem, when, trail)
        if price is None and self._behind is not None:
            return self._behind.look_up(model, when, trail)
        return price

    def _named(self, model: str, when: float | None, trail: list[str] | None) -> Price | None:
        entry = self._entries.get(model)
        spelling = None
        if entry is None and (spelling := self._spellings.get(model)) is not None:
            entry = self._entries.get(spelling.id)
        price = None if entry is None else entry.at(when)
        if trail is not None:
            trail.extend(self._told(model, spelling, entry, price))
        return price

    def _told(self, model: str, spelling: Spelling | None, entry: Entry | None, price: Price | None) -> Iterator[str]:
        named = model
        if spelling is not None and spelling.id != model:
            named = spelling.id
            yield f"{spelling.why}: {named}"
        if price is not None:
            yield f"{_SOURCES[price.source]}: {named}"
        elif entry is not None:
            yield f"{named} has a price, but not at that time"
        elif spelling is not None:
            yield f"{named} is in {self._name}, without a price"
        else:
            yield f"{named} is not in {self._name}"

    @classmethod
    def catalogue(cls) -> PriceTable:
        """Return the packaged estimates, loaded once per process. See ``catalogue.json`` for where they come from."""
        return _catalogue_table()

    def before(self, other: PriceTable | None) -> PriceTable:
        """Return this table with another behind it."""
        return PriceTable(self._entries, self._spellings, name=self._name, behind=other, ask=self._ask)

    def asking(self, ask: Ask) -> PriceTable:
        """Return a table that first asks a function, which must not raise."""
        return PriceTable(self._entries, self._spellings, name=self._name, behind=self._behind, ask=ask)

    def with_overrides(self, overrides: Mapping[str, object]) -> PriceTable:
        """Return a table in which the given prices win.

        Each replaces its model's whole price, so one price never mixes two sources; where the rows of one that changes
        with time leave a gap, the price before holds. An override of ``gpt-4.1`` also covers the spellings of
        ``gpt-4.1``; one of ``openai/gpt-4.1`` covers only that.

        Args:
            overrides: ``{"gpt-4.1": {"input": 2, "output": "8", "cache_read": 0.5}}``, see ``overrides``.

        Raises:
            ValueError: Names the model, the field, the value and what is permitted.
        """
        entries = dict(self._entries)
        spellings = dict(self._spellings)
        for model, stated in overrides.items():
            meant = spellings[model].id if model in spellings and model not in entries else model
            entries[model] = entry_of(model, stated, otherwise=entries.get(meant))
            for prefix, why in gateway_prefixes().items():
                spellings.setdefault(prefix + model, Spelling(model, why))
        return PriceTable(entries, spellings, name=self._name, behind=self._behind, ask=self._ask)


_SOURCES: Final = {
    "override": "your own price",
    "catalogue": "catalogue row",
    "genai-prices": "price list of genai-prices",
}


@functools.cache
def _catalogue_table() -> PriceTable:
    return table_of(catalogue())


def table_of(models: tuple[CatalogueModel, ...]) -> PriceTable:
    """Build a table from catalogue rows. Rows without both prices get none; a spelling two ids claim is dropped."""
    prices: dict[str, Price] = {}
    claims: dict[str, set[Spelling]] = {}
    for model in models:
        rate_in, rate_out = nano(model.input), nano(model.output)
        if rate_in is not None and rate_out is not None:
            prices[model.id] = Price(
                input=rate_in,
                output=rate_out,
                cache_read=nano(model.cache_read),
                cache_write=nano(model.cache_write),
                source="catalogue",
                as_of=model.as_of,
            )
        for written, spelling in spellings_of(model):
            claims.setdefault(written, set()).add(spelling)
    spellings = {written: next(iter(claimed)) for written, claimed in claims.items() if len(claimed) == 1}
    return PriceTable(prices, spellings, name="the catalogue")
