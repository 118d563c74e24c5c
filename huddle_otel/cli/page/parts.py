"""What is on a page, as data: tiles, tables and charts. All text has been through `shown`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from huddle_otel.spend import format_usd, nano

TONES: Final = (*(f"hue-{number}" for number in range(1, 9)), "good", "bad", "warn", "calm", "ink", "accent")
"""Colours of the style sheet, for light and dark."""


class Unit(StrEnum):
    """What a chart's values are."""

    USD = "usd"
    SECONDS = "s"
    CALLS = "calls"


class Style(StrEnum):
    """How a series is drawn."""

    BAR = "bar"
    """Stacked on the ones before."""
    LINE = "line"
    DASHED = "dashed"
    EDGE = "edge"
    """Not drawn: the lower edge of a band."""
    BAND = "band"
    """Filled down to the series before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure, large."""

    name: str
    value: str
    note: str = ""
    tone: str = "ink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text; the first `left` columns are words, the others numbers; a `total` row adds up the others."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    total: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values along a chart; None is unknown, and leaves a gap."""

    name: str
    values: tuple[float | None, ...]
    tone: str
    style: Style = Style.BAR

    def __post_init__(self) -> None:
        """Check the tone."""
        if self.tone not in TONES:
            raise ValueError(f"tone = {self.tone!r} is not permitted: it must be one of {', '.join(TONES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Series over the same labels.

    Raises:
        ValueError: A series has not one value for each label.
    """

    title: str
    note: str
    unit: Unit
    labels: tuple[str, ...]
    series: tuple[Series, ...]

    def __post_init__(self) -> None:
        """Check that every series is as long as the labels."""
        for each in self.series:
            if len(each.values) != len(self.labels):
                raise ValueError(f"series {each.name!r} has {len(each.values)} values for {len(self.labels)} labels")

    def table(self) -> Table:
        """Return the same figures for those who do not see the chart; labels without any value are left out."""
        rows = zip(self.labels, *(series.values for series in self.series), strict=True)
        filled = (row for row in rows if any(row[1:]))
        return Table(
            title=self.title,
            headings=("", *(series.name for series in self.series)),
            rows=tuple((label, *(_figure(value, self.unit) for value in values)) for label, *values in filled),
        )


def _figure(value: float | None, unit: Unit) -> str:
    if value is None:
        return "-"
    if unit is Unit.USD:
        return format_usd(nano(value))
    return f"{value:.2f} s" if unit is Unit.SECONDS else f"{value:,.0f}"
