"""`huddle-otel prices diff`: where the catalogue and other prices differ."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from huddle_otel.cli.output import plain, table
from huddle_otel.cli.prices import force
from huddle_otel.spend import Price, PriceTable, catalogue, format_usd, genai_table
from huddle_otel.spend.price import RATES

if TYPE_CHECKING:
    from rich.console import Console


class Difference(NamedTuple):
    """One rate that two price lists state differently; nano-dollars per 1M tokens."""

    model: str
    rate: str
    here: int
    there: int


def run(console: Console, other: Path | None) -> int:
    """Print every rate that the catalogue and another source state differently.

    Args:
        console: Where to print.
        other: A price file, besides the user's own prices and `genai-prices`.

    Returns:
        The exit code: 1 when something differs.

    Raises:
        ConfigurationError: A file is not one of prices.
    """
    sources = dict(_sources(other))
    if not sources:
        console.print(plain("Nothing to compare with: HUDDLE_OTEL_PRICES is not set, genai-prices not installed."))
        return 0
    found = False
    for name, source in sources.items():
        known, both = PriceTable.catalogue(), {}
        for model in catalogue():
            here, there = known.get(model.id), source.find(model.id, when=time.time())
            if here is not None and there is not None:
                both[model.id] = (here, there)
        lines = [line for model, (here, there) in both.items() for line in differences(model, here, there)]
        found = found or bool(lines)
        _print(console, name, lines, len(both))
        alone = sorted(set(source) - {model.id for model in catalogue()}) if name != "genai-prices" else []
        if alone:
            console.print(plain(f"Not in the catalogue: {', '.join(alone)}"))
    return 1 if found else 0


def differences(model: str, here: Price, there: Price) -> Iterator[Difference]:
    """Yield the rates that both state, and differently."""
    for rate in RATES:
        ours, theirs = getattr(here, rate), getattr(there, rate)
        if ours is not None and theirs is not None and ours != theirs:
            yield Difference(model, rate, ours, theirs)


def _sources(other: Path | None) -> Iterator[tuple[str, PriceTable]]:
    own = force.own_prices()
    if own:
        yield "your own prices", PriceTable({}).with_overrides(own)
    if other is not None:
        yield str(other), PriceTable({}).with_overrides(force.from_file(other, "--with"))
    if (listed := genai_table()) is not None:
        yield "genai-prices", listed


def _print(console: Console, name: str, lines: list[Difference], compared: int) -> None:
    console.print(plain(f"\nCatalogue and {name}: {compared} models in both, {len(lines)} rates differ", "bold"))
    if not lines:
        return
    screen = table(None, "model", "rate", "catalogue", "there", "change", left=2)
    for line in lines:
        change = f"{(line.there - line.here) / line.here:+.0%}" if line.here else "-"
        screen.add_row(line.model, line.rate, format_usd(line.here), format_usd(line.there), change)
    console.print(screen)
