"""The models a gateway serves: prices, pace and the token details of their answers."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from decimal import Decimal
from typing import Final

_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer; `cached` is part of `prompt`, `reasoning` part of `completion`."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the gateway.

    Raises:
        TypeError: a price is not a Decimal: floats cannot hold money exactly.
        ValueError: a number is out of range, or only one of the two prices is given.
    """

    id: str
    """What a request says in `model`."""
    input_per_1m: Decimal | None = None
    """USD per 1M prompt tokens; None: unpriced, the gateway says no cost."""
    output_per_1m: Decimal | None = None
    """USD per 1M completion tokens."""
    _: KW_ONLY
    cached_per_1m: Decimal | None = None
    """USD per 1M cached prompt tokens; None: as other prompt tokens."""
    first_token: float = 0.0
    """Seconds before the first content of a stream, or before a plain answer."""
    per_chunk: float = 0.0
    """Seconds before each content chunk; a plain answer takes as long as its stream would."""
    chunks: int = 8
    """Content chunks of a stream; also the visible completion tokens when the request sets no `max_tokens`."""
    cached_tokens: int = 0
    """Prompt tokens reported as read from the cache, at most the prompt itself."""
    reasoning_tokens: int = 0
    """Completion tokens reported as reasoning, at most the completion itself."""

    def __post_init__(self) -> None:
        for field in ("input_per_1m", "output_per_1m", "cached_per_1m"):
            price: object = getattr(self, field)
            if price is not None and not isinstance(price, Decimal):
                raise TypeError(f"{field} must be a Decimal or None, got {price!r}")
        if (self.input_per_1m is None) != (self.output_per_1m is None):
            raise ValueError("input_per_1m and output_per_1m must be given together, or neither")
        for field, least in (
            ("first_token", 0),
            ("per_chunk", 0),
            ("chunks", 1),
            ("cached_tokens", 0),
            ("reasoning_tokens", 0),
        ):
            value: float = getattr(self, field)
            if not least <= value < math.inf:
                raise ValueError(f"{field} must be finite and at least {least}, got {value}")

    def cost(self, usage: Usage) -> Decimal | None:
        """USD for `usage`, exactly; None for an unpriced model."""
        if self.input_per_1m is None or self.output_per_1m is None:
            return None
        cached_price = self.input_per_1m if self.cached_per_1m is None else self.cached_per_1m
        prompt = self.input_per_1m * (usage.prompt - usage.cached) + cached_price * usage.cached
        return (prompt + self.output_per_1m * usage.completion) / _MILLION


DEFAULT_MODELS: Final = (
    Model("gpt-4.1", Decimal("2.00"), Decimal("8.00")),
    Model("gpt-4.1-mini", Decimal("0.40"), Decimal("1.60")),
    Model("claude-sonnet-4.6", Decimal("3.00"), Decimal("15.00")),
    Model("deepseek-v3.2", Decimal("0.299"), Decimal("0.437")),
    Model("text-embedding-3-small", Decimal("0.02"), Decimal(0)),
    Model("unpriced-model"),
)
"""Served when a gateway is given no models; prices are public list prices of April 2026, here only as test data."""
