"""`huddle-otel prices list` and `show`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from huddle_otel.cli.output import plain, table
from huddle_otel.cli.prices import force
from huddle_otel.spend import Price, catalogue, format_usd
from huddle_otel.spend.overrides import as_stated
from huddle_otel.spend.price import OPTIONAL, RATES

if TYPE_CHECKING:
    from rich.console import Console

_NOTE: Final = "USD per 1M tokens. Used only for calls whose cost the gateway does not state."
_OUTPUT: Final = ("reasoning", "output_audio", "output_image")
_WITHOUT: Final = {
    "cache_read": "not stated, priced as input",
    "cache_write": "not stated, priced as input",
    "reasoning": "not stated, priced as output",
    "input_image": "not stated, priced as input",
}
"""What a rate that is not stated means; for the others, that calls with such tokens have no known cost."""


def show_all(console: Console, *, as_json: bool) -> int:
    """Print every model of the catalogue, and the user's own. Returns the exit code."""
    prices, now = force.table(), time.time()
    vendors = {model.id: model.vendor for model in catalogue()}
    found = {model: prices.look_up(model, now) for model in dict.fromkeys((*vendors, *prices))}
    if as_json:
        print(json.dumps([_json(model, vendors.get(model), price) for model, price in found.items()], indent=2))
        return 0
    screen = table(None, "model", "source", "as of", "input", "output", left=3)
    for model, price in found.items():
        for row in _rows(model, price):
            screen.add_row(*row)
    console.print(screen)
    console.print(plain(f"\n{_NOTE}", "dim"))
    if any(model.estimate for model in catalogue()):
        console.print(plain("The catalogue's are estimates, not the gateway's own price list.", "dim"))
    return 0


def _json(model: str, vendor: str | None, price: Price | None) -> dict[str, Any]:
    said = {"source": None, "price": None} if price is None else {"source": price.source, "price": as_stated(price)}
    return {"model": model, "vendor": vendor, **said}


def _rows(model: str, price: Price | None) -> Iterator[tuple[str, ...]]:
    """Yield a line for input and output, and one for each rate and tier beyond them."""
    if price is None:
        yield model, "-", "-", "unknown", "unknown"
        return
    yield model, price.source, price.as_of or "-", format_usd(price.input), format_usd(price.output)
    for name in OPTIONAL:
        rate = getattr(price, name)
        if rate is not None:
            amount = format_usd(rate)
            yield (f"  {name}", "", "", "", amount) if name in _OUTPUT else (f"  {name}", "", "", amount, "")
    if price.request:
        yield "  each call", "", "", format_usd(price.request), ""
    for tier in price.tiers:
        yield (f"  input > {tier.above:,}", "", "", format_usd(tier.price.input), format_usd(tier.price.output))


def show_one(console: Console, model: str) -> int:
    """Print the price a model id stands for, and how it was found. Returns the exit code: 1 when it has none."""
    match = force.table().explain(model, when=time.time())
    for number, step in enumerate(match.steps, 1):
        console.print(plain(f"{number}. {step}"))
    price = match.price
    if price is None:
        console.print(plain(f"\n{model}: no price known; the spend of its calls is reported as unknown, not as zero."))
        console.print(plain("The ids that have one: huddle-otel prices list", "dim"))
        return 1
    above = [f"input > {tier.above:,}" for tier in price.tiers]
    screen = table(f"\n{model}", "USD per 1M tokens", "price", *above)
    for name in RATES:
        screen.add_row(name, _amount(price, name), *(_amount(tier.price, name) for tier in price.tiers))
    if price.request:
        screen.add_row("each call, USD", format_usd(price.request), *(format_usd(price.request) for _ in price.tiers))
    console.print(screen)
    console.print(plain(f"\nSource: {price.source}, as of {price.as_of or 'an unknown date'}. {_NOTE}", "dim"))
    return 0


def _amount(price: Price, name: str) -> str:
    rate = getattr(price, name)
    return _WITHOUT.get(name, "not stated, unknown") if rate is None else format_usd(rate)
