"""The ledger over time: a period in equal steps, what each cost, how it ended and how long it took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from huddle_otel.cli.report.figures import DAY, Group, Key
from huddle_otel.cli.report.ledger import sum_up
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.snapshot import Snapshot

_WIDTHS: Final = (60, 300, 900, 3600, 3 * 3600, 6 * 3600, DAY, 7 * DAY, 28 * DAY)
"""Lengths of a step, s. They divide days or are whole ones, so that steps begin where people expect, in UTC."""
_MOST: Final = 75
"""Steps a chart can show."""
SHARES: Final = (0.5, 0.95, 0.99)
"""The percentiles of `Timeline.durations`."""


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


def slots(moment: Snapshot, period: Period) -> list[dict[Key, Group]]:
    """Add up each step of a period of a ledger, by model and outcome; without the details that `sum_up` can tell."""
    step = width(period)
    starts = range(int(period.since // step) * step, ceil(period.until / step) * step, step)
    spans = [Period(max(period.since, start), min(period.until, start + step)) for start in starts]
    asked = [moment.ask(sum_up, span, by=("model", "outcome"), everything=False) for span in spans]
    return [each.result() for each in asked]


def timeline(period: Period, slots: Sequence[Mapping[Key, Group]]) -> Timeline:
    """Put the steps of a period side by side."""
    spend, outcomes, wasted = (_Sums(len(slots)) for _ in range(3))
    for at, groups in enumerate(slots):
        for (model, outcome), group in groups.items():
            spend.add(model, at, group.cost)
            outcomes.add(outcome, at, group.calls)
            wasted.add(outcome, at, group.wasted)
    step, totals = width(period), [Group.of(groups.values()) for groups in slots]
    first = int(period.since // step) * step
    return Timeline(
        width=step,
        starts=tuple(range(first, first + len(slots) * step, step)),
        spend=spend.largest_first(),
        outcomes=outcomes.largest_first(),
        wasted=wasted.largest_first(),
        durations=tuple(tuple(each.percentile(share) for each in totals) for share in SHARES),
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

    def add(self, name: str | float | None, at: int, amount: int) -> None:
        self._sums[str(name or "-")][at] += amount

    def largest_first(self) -> dict[str, tuple[int, ...]]:
        """Return what is not 0, the largest sum first."""
        totals = {name: sums.total() for name, sums in self._sums.items()}
        ordered: Iterable[str] = sorted(
            (name for name in totals if totals[name]), key=lambda name: (-totals[name], name)
        )
        return {name: tuple(self._sums[name][at] for at in range(self._size)) for name in ordered}
