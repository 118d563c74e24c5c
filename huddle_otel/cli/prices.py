"""`huddle-otel prices`: what the catalogue says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huddle_otel.cli.output import plain, table
from huddle_otel.spend import PriceTable, catalogue, format_usd

if TYPE_CHECKING:
    from rich.console import Console

_NOTE = "USD per 1M tokens. Used only for calls whose cost the gateway does not state."


def show_all(console: Console) -> int:
    """Print every model of the catalogue. Returns the exit code."""
    screen = table(None, "model", "vendor", "as of", "input", "output", left=3)
    prices = PriceTable.catalogue()
    for model in catalogue():
        price = prices.get(model.id)
        rates = ("unknown", "unknown") if price is None else (format_usd(price.input), format_usd(price.output))
        screen.add_row(model.id, model.vendor, model.as_of or "-", *rates)
    console.print(screen)
    console.print(plain(f"\n{_NOTE}", "dim"))
    if any(model.estimate for model in catalogue()):
        console.print(plain("They are estimates, not the gateway's own price list.", "dim"))
    return 0


def show_one(console: Console, model: str) -> int:
    """Print the price a model id stands for. Returns the exit code: 1 when it has none."""
    price = PriceTable.catalogue().find(model)
    if price is None:
        console.print(plain(f"{model}: no price known; the spend of its calls is reported as unknown, not as zero."))
        console.print(plain("The ids that have one: huddle-otel prices list", "dim"))
        return 1
    screen = table(model, "per 1M tokens", "price")
    for name in ("input", "output", "cache_read", "cache_write"):
        rate = getattr(price, name)
        screen.add_row(name, "not stated, priced as input" if rate is None else format_usd(rate))
    console.print(screen)
    console.print(plain(f"\nSource: {price.source}, as of {price.as_of or 'an unknown date'}. {_NOTE}", "dim"))
    return 0
