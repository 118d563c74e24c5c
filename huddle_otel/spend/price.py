"""What tokens cost: the rates of one model, in tiers of input, and over time.

Prices are integers: nano-dollars per 1M tokens (2.5 USD per 1M is 2_500_000_000), so a bill is exact until its one
rounding. What the rates come to for a call is decided in ``costs``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from huddle_otel.spend.money import NANO
from huddle_otel.spend.usage import MAX_TOKENS

PriceSource = Literal["override", "catalogue", "genai-prices"]

MAX_RATE: Final = 1_000_000 * NANO
"""Highest price accepted: 1 USD per token. The dearest catalogue price is 180 USD per 1M."""
REQUIRED: Final = ("input", "output")
OPTIONAL: Final = (
    "cache_read",
    "cache_write",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
)
RATES: Final = REQUIRED + OPTIONAL
"""Every rate, in nano-dollars per 1M tokens; ``request`` beside them is per call."""
_SPLIT: Final = OPTIONAL[2:]
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices of one model, in nano-dollars per 1M tokens. ``None`` is not stated; ``costs`` has what that means.

    Raises:
        ValueError: A rate is no integer between 0 and :data:`MAX_RATE`, tiers do not rise, or the source is unknown.
    """

    input: int
    output: int
    cache_read: int | None = None
    """Input read from a prompt cache."""
    cache_write: int | None = None
    """Input written to a prompt cache."""
    reasoning: int | None = None
    """Output spent on reasoning."""
    input_audio: int | None = None
    output_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    request: int = 0
    """Nano-dollars per call, whatever its tokens."""
    tiers: tuple[Tier, ...] = ()
    """Other rates for calls with more input, by rising ``above``."""
    source: PriceSource
    as_of: str | None = None
    """ISO date the price was read; ``None`` when not known."""
    splits: bool = field(init=False, repr=False, compare=False)
    """Whether some kind of token inside the input or output has a rate of its own."""

    def __post_init__(self) -> None:
        """Check every field."""
        for name in (*RATES, "request"):
            value: object = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            if type(value) is not int or not 0 <= value <= MAX_RATE:
                msg = f"Price.{name} must be an int from 0 to {MAX_RATE} (nano-dollars), got {value!r}"
                raise ValueError(msg)
        steps = [tier.above for tier in self.tiers]
        if steps != sorted(set(steps)):
            msg = f"Price.tiers must have rising limits, each once, got {steps}"
            raise ValueError(msg)
        if self.source not in get_args(PriceSource):
            msg = f"Price.source must be one of {', '.join(get_args(PriceSource))}, got {self.source!r}"
            raise ValueError(msg)
        object.__setattr__(self, "splits", any(getattr(self, name) is not None for name in _SPLIT))

    def at(self, when: float | None) -> Price:  # noqa: ARG002 - as a schedule's
        """Return the price, which holds at any time."""
        return self

    def for_input(self, tokens: int) -> Price:
        """Return the rates of a call with so much input: those of the highest tier it is above, for all its tokens."""
        held = self
        for tier in self.tiers:
            if tokens > tier.above:
                held = tier.price
        return held

    def with_tier(self, above: int, **rates: int) -> Price:
        """Return the price with one more tier; rates it does not state are the base's."""
        stated: Any = {**rates, "tiers": ()}
        tier = Tier(above=above, price=replace(self, **stated))
        return replace(self, tiers=(*self.tiers, tier))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The rates of calls with more input tokens than a limit.

    Raises:
        ValueError: ``above`` is no number of tokens.
    """

    above: int
    """Tokens of input, cached ones included; the tier begins one token later."""
    price: Price
    """All of the model's rates there."""

    def __post_init__(self) -> None:
        """Check the limit."""
        above: Any = self.above
        if type(above) is not int or not 0 <= above <= MAX_TOKENS:
            msg = f"Tier.above must be an int from 0 to {MAX_TOKENS} (tokens), got {above!r}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A price and when it holds."""

    price: Price
    start: float = -math.inf
    """Unix time, s, from which."""
    end: float = math.inf
    """Unix time, s, before which."""
    daily: tuple[float, float] | None = None
    """Seconds of each UTC day from and before which, past midnight when the first is larger; ``None``: all day."""

    def covers(self, when: float) -> bool:
        """Tell whether the price holds at a moment, Unix time, s."""
        if not self.start <= when < self.end:
            return False
        if self.daily is None:
            return True
        (begin, finish), now = self.daily, when % _DAY
        return begin <= now < finish if begin <= finish else now >= begin or now < finish


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A price that changes with time. Of two rows that hold at one moment the later in the list counts."""

    rows: tuple[Row, ...]
    otherwise: Price | Schedule | None = None
    """What holds where no row does."""

    def at(self, when: float | None) -> Price | None:
        """Return the price at a moment.

        Args:
            when: Unix time, s. ``None``: the newest row that holds all day.
        """
        if when is None:
            steady = [row for row in self.rows if row.daily is None]
            return max(steady, key=lambda row: row.start).price if steady else None
        for row in reversed(self.rows):
            if row.covers(when):
                return row.price
        return None if self.otherwise is None else self.otherwise.at(when)


Entry = Price | Schedule
"""What a table has for a model."""
