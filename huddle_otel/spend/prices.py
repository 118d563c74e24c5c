"""What tokens cost, and which price a model id stands for.

Prices are integers: nano-dollars per 1M tokens (2.5 USD per 1M is 2_500_000_000), so a bill is exact until its one
rounding.

An id finds a price in this order, and never by likeness:

1. exactly as written;
2. under a listed spelling: a prefix of its own vendor (``openai/gpt-4.1``) or of the gateway (``hudl/gpt-4.1``),
   dashes for dots (``claude-sonnet-4-5``), or an alias that is the id written differently (``gemini 2.5 pro``);
3. as 1 and 2, after a release date at the end is taken off (``-2025-04-14``, ``-20250514``).

Not matched, on purpose: a prefix that is not the vendor's (``openai/deepseek-r1`` is how LiteLLM names a self-hosted
server, and a reseller sets its own price), and aliases that name a family (``claude``, ``grok 3``, ``default``), since
which model they mean changes with time. Such a model has no price, and its spend is unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, cast, get_args

from huddle_otel.spend.catalogue import CatalogueModel, catalogue
from huddle_otel.spend.money import NANO, format_usd, nano

PriceSource = Literal["override", "catalogue", "genai-prices"]

MAX_RATE: Final = 1_000_000 * NANO
"""Highest price accepted: 1 USD per token. The dearest catalogue price is 180 USD per 1M."""

_GATEWAY_PREFIXES: Final = ("hudl/", "huddle01/")
_VENDOR_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "OpenAI": ("openai/",),
    "Anthropic": ("anthropic/",),
    "Google": ("google/", "gemini/"),
    "DeepSeek": ("deepseek/",),
    "xAI": ("xai/", "x-ai/"),
    "Qwen": ("qwen/", "dashscope/"),
    "MiniMax": ("minimax/",),
    "Moonshot": ("moonshot/", "moonshotai/"),
    "Meta": ("meta/", "meta-llama/"),
    "Mistral": ("mistral/", "mistralai/"),
    "Zhipu": ("zhipu/", "zai/", "z-ai/"),
}
_SEPARATORS: Final = str.maketrans("", "", "-_. ")
_REQUIRED: Final = ("input", "output")
_OPTIONAL: Final = ("cache_read", "cache_write")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices of one model, in nano-dollars per 1M tokens.

    Raises:
        ValueError: A rate is no integer between 0 and :data:`MAX_RATE`, or the source is unknown.
    """

    input: int
    output: int
    """Reasoning tokens are output tokens and cost the same."""
    cache_read: int | None = None
    """Input read from a prompt cache; ``None`` when not stated."""
    cache_write: int | None = None
    """Input written to a prompt cache; ``None`` when not stated."""
    source: PriceSource
    as_of: str | None = None
    """ISO date the price was read; ``None`` when not known."""

    def __post_init__(self) -> None:
        """Check every field."""
        for field in _REQUIRED + _OPTIONAL:
            value: object = getattr(self, field)
            if value is None and field in _OPTIONAL:
                continue
            if type(value) is not int or not 0 <= value <= MAX_RATE:
                msg = f"Price.{field} must be an int from 0 to {MAX_RATE} (nano-dollars per 1M tokens), got {value!r}"
                raise ValueError(msg)
        if self.source not in get_args(PriceSource):
            msg = f"Price.source must be one of {', '.join(get_args(PriceSource))}, got {self.source!r}"
            raise ValueError(msg)


class PriceTable(Mapping[str, Price]):
    """An immutable mapping from model id to :class:`Price`, with the lookup rules of this module.

    ``table[id]`` is exact; :meth:`find` also reads the listed spellings. Spellings are laid out when the table is made,
    so a lookup is at most four dictionary reads: there is no cache to bound, and hostile ids leave nothing behind.
    """

    __slots__ = ("_prices", "_spellings")

    def __init__(self, prices: Mapping[str, Price], spellings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Make a table.

        Args:
            prices: Price per model id.
            spellings: Other ways to write an id, each with the id it means.
        """
        self._prices: dict[str, Price] = dict(prices)
        self._spellings: dict[str, str] = dict(spellings)

    def __getitem__(self, model: str) -> Price:
        """Return the price of exactly this id."""
        return self._prices[model]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the priced ids."""
        return iter(self._prices)

    def __len__(self) -> int:
        """Count the priced ids."""
        return len(self._prices)

    def __repr__(self) -> str:
        """Name the size only: the whole table would fill a log line."""
        return f"PriceTable({len(self)} models)"

    def find(self, model: str) -> Price | None:
        """Find the price a model id stands for, in O(1).

        Args:
            model: A model id from a request or a response.

        Returns:
            The price, or ``None`` when the rules of this module lead to none.
        """
        price = self._named(model)
        if price is None and (undated := _undated(model)) is not None:
            return self._named(undated)
        return price

    def _named(self, model: str) -> Price | None:
        price = self._prices.get(model)
        if price is None and (meant := self._spellings.get(model)) is not None:
            return self._prices.get(meant)
        return price

    @classmethod
    def catalogue(cls) -> PriceTable:
        """Return the packaged estimates, loaded once per process. See ``catalogue.json`` for where they come from."""
        return _catalogue_table()

    def with_overrides(self, overrides: Mapping[str, Mapping[str, object]]) -> PriceTable:
        """Return a table in which the given prices win.

        Each entry replaces its model's whole price, so one price never mixes two sources. An override of ``gpt-4.1``
        also covers the spellings of ``gpt-4.1``; one of ``openai/gpt-4.1`` covers only that.

        Args:
            overrides: ``{"gpt-4.1": {"input": 2, "output": "8", "cache_read": 0.5}}`` in USD per 1M tokens, each from 0
                to 1,000,000, as numbers or decimal text. ``input`` and ``output`` are required, ``cache_read`` and
                ``cache_write`` optional.

        Raises:
            ValueError: Names the model, the field, the value and what is permitted.
        """
        prices = dict(self._prices)
        spellings = dict(self._spellings)
        for model, fields in overrides.items():
            prices[model] = _override(model, fields)
            for prefix in _GATEWAY_PREFIXES:
                spellings.setdefault(prefix + model, model)
        return PriceTable(prices, spellings)


def _override(model: object, fields: object) -> Price:
    allowed = ", ".join(_REQUIRED + _OPTIONAL)
    if not isinstance(model, str) or not model:
        msg = f"price override: the model must be a non-empty string, got {model!r}"
        raise ValueError(msg)
    if not isinstance(fields, Mapping):
        msg = f"price override for {model!r}: expected a mapping with the fields {allowed}, got {fields!r}"
        raise ValueError(msg)  # noqa: TRY004 - one error type for every bad override
    rates: dict[str, int] = {}
    stated = cast("Mapping[object, object]", fields)
    for field, value in stated.items():
        if not isinstance(field, str) or field not in _REQUIRED + _OPTIONAL:
            msg = f"price override for {model!r}: unknown field {field!r} (value {value!r}); permitted: {allowed}"
            raise ValueError(msg)
        rate = nano(value)
        if rate is None or rate > MAX_RATE:
            limit = format_usd(MAX_RATE)
            msg = f"price override for {model!r}: {field} must be $0 to {limit} per 1M tokens, got {value!r}"
            raise ValueError(msg)
        rates[field] = rate
    for field in _REQUIRED:
        if field not in rates:
            msg = f"price override for {model!r}: {field} is missing; required: {', '.join(_REQUIRED)}"
            raise ValueError(msg)
    return Price(
        input=rates["input"],
        output=rates["output"],
        cache_read=rates.get("cache_read"),
        cache_write=rates.get("cache_write"),
        source="override",
    )


@functools.cache
def _catalogue_table() -> PriceTable:
    return table_of(catalogue())


def table_of(models: tuple[CatalogueModel, ...]) -> PriceTable:
    """Build a table from catalogue rows. Rows without both prices get none; a spelling two ids claim is dropped."""
    prices: dict[str, Price] = {}
    claims: dict[str, set[str]] = {}
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
        for spelling in _spellings(model):
            claims.setdefault(spelling, set()).add(model.id)
    return PriceTable(prices, {spelling: next(iter(ids)) for spelling, ids in claims.items() if len(ids) == 1})


def _spellings(model: CatalogueModel) -> Iterator[str]:
    plain = model.id.casefold().translate(_SEPARATORS)
    names = {model.id, model.id.replace(".", "-")}
    names.update(alias for alias in model.aliases if alias.casefold().translate(_SEPARATORS) == plain)
    for prefix in ("", *_GATEWAY_PREFIXES, *_VENDOR_PREFIXES.get(model.vendor, ())):
        for name in names:
            yield prefix + name


def _undated(model: str) -> str | None:
    """Take a release date off the end, by slices: this runs on every id the table does not know."""
    if model[-9:-8] == "-" and _is_date(model[-8:-4], model[-4:-2], model[-2:]):
        return model[:-9]
    if model[-11:-10] == model[-6:-5] == model[-3:-2] == "-" and _is_date(model[-10:-6], model[-5:-3], model[-2:]):
        return model[:-11]
    return None


def _is_date(year: str, month: str, day: str) -> bool:
    return (
        (year + month + day).isdecimal() and "2020" <= year <= "2099" and "01" <= month <= "12" and "01" <= day <= "31"
    )
