"""What LiteLLM says of its models' prices, as prices of ours. Field names as in its 1.83 to 1.106."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from huddle_otel.spend import entry_of

_FIELDS: Final[Mapping[str, str]] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
}
"""USD per token -> our rate, USD per 1M tokens."""
_REQUEST: Final = "input_cost_per_request"
_TIER: Final = re.compile(r"(.+)_above_(\d+)k_tokens")
_MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Found:
    """What a gateway says of its models."""

    prices: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """By model, as a price file has them."""
    free: set[str] = field(default_factory=set[str])
    """Listed at 0, which LiteLLM also says of a model whose price it does not know."""
    unclear: set[str] = field(default_factory=set[str])
    """Whose deployments are priced differently, or oddly: which one answers, nobody knows beforehand."""


def prices_of(deployments: Iterable[object], *, as_of: str) -> Found:
    """Read the `data` of `GET /model/info`.

    Args:
        deployments: Objects with `model_name` and `model_info`; others are passed over, and names with `*`.
        as_of: ISO date to note with each price.
    """
    found = Found()
    for each in deployments:
        fields = _mapping(each)
        name, info = fields.get("model_name"), _mapping(fields.get("model_info"))
        if not isinstance(name, str) or not name or "*" in name:
            continue
        price = price_of(info)
        if price is None:
            continue
        if not _is_sound(name, price):
            found.unclear.add(name)
            continue
        if not any(Decimal(price[rate]) for rate in ("input", "output")):
            found.free.add(name)
            continue
        price["as_of"] = as_of
        if found.prices.setdefault(name, price) != price:
            found.unclear.add(name)
    for name in found.unclear:
        found.prices.pop(name, None)
    found.free.difference_update(found.prices, found.unclear)
    return found


def price_of(info: Mapping[str, Any]) -> dict[str, Any] | None:
    """Convert one `model_info`, exactly and unchecked; `None` when it does not price both input and output."""
    rates: dict[str, Any] = {}
    tiers: dict[int, dict[str, Any]] = {}
    for name, value in info.items():
        tier = _TIER.fullmatch(name)
        rate = _FIELDS.get(tier[1] if tier else name)
        if rate is not None and value is not None:
            kept = tiers.setdefault(int(tier[2]) * 1000, {}) if tier else rates
            kept[rate] = _per_million(value)
    if "input" not in rates or "output" not in rates:
        return None
    if info.get(_REQUEST):
        rates["request"] = str(info[_REQUEST])
    if tiers:
        rates["tiers"] = [{"above": above, **tiers[above]} for above in sorted(tiers)]
    return rates


def _per_million(value: object) -> object:
    """Return USD per 1M tokens as decimal text; what is no amount as it is, for whoever checks the price to refuse.

    Numbers are Decimal or int, read from JSON as they are written there.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        return value
    try:
        amount = Decimal(value) * _MILLION
    except InvalidOperation:
        return value
    return f"{amount.normalize():f}" if amount.is_finite() else str(amount)


def _is_sound(name: str, price: Mapping[str, Any]) -> bool:
    try:
        entry_of(name, price)
    except ValueError:
        return False
    return True


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
