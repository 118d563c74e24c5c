"""The price lists of the package ``genai-prices``, if it is installed, as a table of ours.

Only its data is used: which name means which model, what holds when, and every sum are ours. Checked against 0.2.3:

* A name counts only where the package lists it whole; its looser rules (contains, regular expressions, any ending after
  a beginning) are not used, since ``deepseek-r1`` is not what ``deepseek-r1-distill-qwen-32b`` costs.
* A plain name is its maker's; ``azure/gpt-4.1`` has the price of that provider, under the provider ids of the package,
  or, where it lists none, the price of the provider that the package falls back to.
* Tiers are as ours: a call with more input has all its tokens at the tier's rates. Of conditional prices the last that
  holds counts; some hold for hours of the day.
* A model with a price for input only, which is to say an embedding, is taken to ask as much for output.
* What is priced by other units than tokens and calls (pages, seconds, searches, characters) is left out.

Importing it takes about 0.05 s and opens no connection: its updates only run in an app that starts them, and are not
used here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from huddle_otel.spend.money import nano
from huddle_otel.spend.names import Spelling, gateway_prefixes
from huddle_otel.spend.price import RATES, Entry, Price, Row, Schedule
from huddle_otel.spend.prices import PriceTable

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, Tier

_KEYS: Final[Mapping[str, str]] = {
    **{name: f"{name}_mtok" for name in RATES},
    "reasoning": "output_reasoning_mtok",
}
_PER_REQUESTS: Final = 1000
"""Their price of requests is for so many."""


@functools.cache
def genai_table() -> PriceTable | None:
    """Return the lists as a table, made once per process; ``None`` when the package is not installed.

    Raises:
        Exception: The package is of a shape that this module does not know.
    """
    if find_spec("genai_prices") is None:
        return None
    from genai_prices.data import providers  # noqa: PLC0415 - optional, and never before it is asked for

    entries: dict[str, Entry] = {}
    named: dict[str, dict[str, str]] = {}
    for provider in providers:
        names = named[provider.id] = dict[str, str]()
        for model in provider.models:
            if (entry := _entry(model)) is not None:
                full = f"{provider.id}/{model.id}"
                entries[full] = entry
                for name in _names(model):
                    names.setdefault(name, full)
    return PriceTable(entries, _spellings(providers, named), name="genai-prices")


def _spellings(providers: list[Provider], named: Mapping[str, Mapping[str, str]]) -> dict[str, Spelling]:
    """Return the listed names behind their provider's id, and plain where the provider is the maker."""
    spellings: dict[str, Spelling] = {}
    makers = [each for each in providers if each.model_match is not None]
    for provider in providers:
        for name, full in named[provider.id].items():
            spellings[f"{provider.id}/{name}"] = Spelling(full, f"{name} is listed for {provider.id}")
            if _maker(name, makers) is provider:
                for prefix, why in {"": f"{name} is {provider.name}'s", **gateway_prefixes()}.items():
                    spellings.setdefault(prefix + name, Spelling(full, why))
        for other in provider.fallback_model_providers or ():
            for name, full in named.get(other, {}).items():
                why = f"{provider.id} is taken to ask what {other} does"
                spellings.setdefault(f"{provider.id}/{name}", Spelling(full, why))
    return spellings


def _names(model: ModelInfo) -> Iterator[str]:
    if model.is_match(model.id):
        yield model.id
    yield from _listed(model.match)


def _listed(clause: Any) -> Iterator[str]:
    """Yield the names that a rule spells out."""
    for each in getattr(clause, "or_", (clause,)):
        if each is not clause:
            yield from _listed(each)
        else:
            yield from (getattr(each, kind) for kind in ("equals", "starts_with") if hasattr(each, kind))


def _maker(name: str, makers: list[Provider]) -> Provider | None:
    """Return whose a plain name is, as the package says."""
    return next((each for each in makers if each.model_match is not None and each.model_match.is_match(name)), None)


def _entry(model: ModelInfo) -> Entry | None:
    if not isinstance(model.prices, list):
        return _price(model.prices)
    rows = [_row(each.constraint, price) for each in model.prices if (price := _price(each.prices)) is not None]
    return Schedule(rows=tuple(rows)) if rows else None


def _row(constraint: Any, price: Price) -> Row:
    if constraint is None:
        return Row(price=price)
    if hasattr(constraint, "start_date"):
        day = constraint.start_date
        return Row(price=price, start=datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return Row(price=price, daily=(_second(constraint.start_time), _second(constraint.end_time)))


def _second(moment: time) -> float:
    """Return the second of the UTC day."""
    offset = moment.utcoffset()
    seconds = moment.hour * 3600.0 + moment.minute * 60.0 + moment.second
    return (seconds - (offset.total_seconds() if offset is not None else 0.0)) % 86_400.0


def _price(listed: ModelPrice) -> Price | None:
    """Convert a price; ``None`` when it has none for input, or one that is no amount."""
    given: dict[str, Any] = {name: getattr(listed, key) for name, key in _KEYS.items()}
    stated = {name: value for name, value in given.items() if value is not None}
    request: Any = listed.requests_kcount or Decimal(0)
    base: dict[str, Any] = {name: nano(getattr(value, "base", value)) for name, value in stated.items()}
    base["request"] = nano(request / _PER_REQUESTS)
    if "input" not in base or None in base.values():
        return None
    base.setdefault("output", base["input"])
    price = Price(**base, source="genai-prices")
    tiers = {name: value.tiers for name, value in stated.items() if hasattr(value, "tiers")}
    for above in sorted({tier.start for each in tiers.values() for tier in each}):
        # several rates may change at several limits: at each, all that are above theirs
        rates = {name: nano(reached[-1].price) for name, each in tiers.items() if (reached := _reached(each, above))}
        if None in rates.values():
            return None
        price = price.with_tier(above, **{name: rate for name, rate in rates.items() if rate is not None})
    return price


def _reached(tiers: list[Tier], above: int) -> list[Tier]:
    """Return the tiers that begin at a limit or below, rising as the package keeps them."""
    return [tier for tier in tiers if tier.start <= above]
