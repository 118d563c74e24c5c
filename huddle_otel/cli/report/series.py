"""The ledger over time: a period in equal steps, what each cost, how it ended and how long it took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from huddle_otel.cli.report.figures import DAY, STEPS, Group
from huddle_otel.cli.report.ledger import WASTED, grouped
from huddle_otel.cli.report.period import Period
from huddle_otel_exporters.ledger import reading

_WIDTHS: Final = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, DAY, 7 * DAY, 28 * DAY)
"""Lengths of a step, s. They divide days or are whole ones, so that steps begin where people expect, in UTC."""
_MOST: Final = 75
"""Steps a chart can show."""
SHARES: Final = (0.5, 0.95, 0.99)
"""The percentiles of `Timeline.durations`."""
_AT_ONCE: Final = 5
"""Steps of one question: the rows of a few sort faster than those of all."""
_SUMS: Final = ("count(*)", "ifnull(sum(cost), 0)", f"ifnull(sum(CASE WHEN {WASTED} THEN cost END), 0)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A period in steps; every tuple has a value for each. Money is in nano-dollars; calls of unknown cost add none."""

    width: int
    """Of a step, s."""
    starts: tuple[int, ...]
    """Unix times, s. The first step may begin before the period."""
    spend: Mapping[str, tuple[int, ...]]
    """By model, dearest first."""
    outcomes: Mapping[str, tuple[int, ...]]
    """Calls by outcome."""
    wasted: Mapping[str, tuple[int, ...]]
    """By outcome: what calls without a whole answer cost."""
    durations: tuple[tuple[float | None, ...], ...]
    """Percentiles of `SHARES`, s; None where there was no call."""


def width(period: Period) -> int:
    """Return the length of a step, s, that cuts a period into at most `_MOST`."""
    span = max(0.0, period.until - period.since)
    whole = ceil(span / _MOST / _WIDTHS[-1]) * _WIDTHS[-1]
    return next((each for each in _WIDTHS if span / each <= _MOST), whole)


def read(path: Path, period: Period) -> Timeline:
    """Read a period of a ledger in steps.

    Raises:
        LedgerError: There is none, or it cannot be read.
    """
    step = width(period)
    first, beyond = int(period.since // step), ceil(period.until / step)
    size = max(0, beyond - first)
    spend, outcomes, wasted = _Sums(size), _Sums(size), _Sums(size)
    durations = [Counter[int]() for _ in range(size)]
    keys = [f"CAST(started / {step} AS INT)", "model", "outcome", STEPS]
    with reading(path) as connection:
        for start in range(first, beyond, _AT_ONCE):
            span = max(period.since, start * step), min(period.until, (start + _AT_ONCE) * step)
            for at, model, outcome, took, calls, cost, lost in grouped(connection, keys, _SUMS, span):
                spend.add(model, at - first, cost)
                outcomes.add(outcome, at - first, calls)
                wasted.add(outcome, at - first, lost)
                if took is not None:
                    durations[at - first][took] += calls
    return Timeline(
        width=step,
        starts=tuple(range(first * step, beyond * step, step)),
        spend=spend.largest_first(),
        outcomes=outcomes.largest_first(),
        wasted=wasted.largest_first(),
        durations=tuple(tuple(Group(durations=each).percentile(share) for each in durations) for share in SHARES),
    )


def largest(series: Mapping[str, tuple[int, ...]], *, most: int, rest: str) -> dict[str, tuple[int, ...]]:
    """Return the first `most` series; the others are added up under a name of their own."""
    names = list(series)
    kept = {name: series[name] for name in names[:most]}
    others = [series[name] for name in names[most:]]
    return kept | ({rest: tuple(map(sum, zip(*others, strict=True)))} if others else {})


class _Sums:
    """Sums by name and step."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._sums: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def add(self, name: str | None, at: int, amount: int) -> None:
        self._sums[name or "-"][at] += amount

    def largest_first(self) -> dict[str, tuple[int, ...]]:
        """Return what is not 0, the largest sum first."""
        totals = {name: sums.total() for name, sums in self._sums.items()}
        ordered: Iterable[str] = sorted(
            (name for name in totals if totals[name]), key=lambda name: (-totals[name], name)
        )
        return {name: tuple(self._sums[name][at] for at in range(self._size)) for name in ordered}
