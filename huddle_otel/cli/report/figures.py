"""What many calls come to. Money is in nano-dollars, times are in seconds."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from math import ceil, sqrt
from statistics import fmean, stdev
from typing import Final

from huddle_otel.cli.report.period import Period

DAY: Final = 86_400
_FEWEST: Final = 3
"""Whole days a forecast needs."""
_BASIS: Final = 14
"""Whole days it looks back, at most."""
_Z: Final = 1.96
"""Standard deviations to each side of a 95 % interval."""


@dataclass(slots=True)
class Group:
    """Sums over calls. A cost nobody knows is counted in `unpriced`, never as zero."""

    calls: int = 0
    ok: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    """Answered calls, or ones that may be billed, whose cost is unknown."""
    wasted: int = 0
    """Cost of calls that failed, were cut short or given up after some of an answer had come."""
    wasted_calls: int = 0
    wasted_unpriced: int = 0
    """Of these, the ones whose cost is unknown."""
    double_billing: int = 0
    """Calls that may have been billed twice; by how much, nobody knows."""
    difference: int = 0
    """Reported by the gateway minus estimated, over calls that have both."""
    durations: Counter[int] = field(default_factory=Counter[int])
    """Calls by duration, in steps of `edge`."""

    def add(self, other: Group) -> None:
        """Add another's calls."""
        for name in self.__slots__:
            if name == "durations":
                self.durations.update(other.durations)
            else:
                setattr(self, name, getattr(self, name) + getattr(other, name))

    def percentile(self, share: float) -> float | None:
        """Return the duration that a share of the calls, 0 to 1, did not exceed: the upper edge of its step."""
        steps = sorted(self.durations)
        total = self.durations.total()
        rank = max(1, ceil(share * total))
        for step, count in zip(steps, accumulate(self.durations[step] for step in steps), strict=True):
            if count >= rank:
                return edge(step)
        return None


STEPS: Final = "CASE WHEN duration < 1 THEN CAST(duration * 200 AS INT) WHEN duration < 10 THEN 180 + CAST(duration * 20 AS INT) ELSE 370 + CAST(min(duration, 1e6) AS INT) END"  # noqa: E501
"""SQL for the step a duration is in: 5 ms wide up to a second, 50 ms up to ten, then a second."""


def edge(step: int) -> float:
    """Return the upper edge of a step."""
    if step < 200:  # noqa: PLR2004 - as in STEPS
        return (step + 1) / 200
    if step < 380:  # noqa: PLR2004
        return (step - 180 + 1) / 20
    return float(step - 370 + 1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Spend of the current calendar month (UTC) when it ends."""

    so_far: int
    expected: int
    low: int
    high: int
    days: int
    """Whole days it rests on."""


@dataclass(frozen=True, slots=True)
class Call:
    """One of the dearest."""

    started: float
    model: str
    outcome: str
    cost: int
    duration: float
    attempts: int
    input_tokens: int | None
    output_tokens: int | None
    request_id: str | None


Key = tuple[str | int | float | None, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a form prints."""

    period: Period
    by: tuple[str, ...]
    groups: Mapping[Key, Group]
    """Dearest first."""
    total: Group
    previous: Group
    """The period before, as long."""
    top: tuple[Call, ...]
    forecast: Forecast | None
    """None when there are fewer than three whole days to go by."""


def forecast(daily: Mapping[int, int], *, now: float) -> Forecast | None:
    """Say what the month will cost.

    The days still to come cost what the last whole ones did on average, up to 14 of them, days without a call
    included from the first one seen; the interval of 95 % takes days as independent and normally spread.

    Args:
        daily: Day since 1970 (UTC) -> cost.
        now: Unix time, s.
    """
    today = int(now // DAY)
    moment = datetime.fromtimestamp(now, UTC)
    first = today - moment.day + 1
    past = [day for day in daily if day < today]
    basis = [daily.get(day, 0) for day in range(max(min(past, default=today), today - _BASIS), today)]
    if len(basis) < _FEWEST:
        return None
    so_far = sum(cost for day, cost in daily.items() if first <= day <= today)
    left = first + monthrange(moment.year, moment.month)[1] - now / DAY
    to_come = fmean(basis) * left
    spread = _Z * stdev(basis) * sqrt(left + left * left / len(basis))  # of the days, and of the mean itself
    return Forecast(
        so_far=so_far,
        expected=round(so_far + to_come),
        low=round(so_far + max(0.0, to_come - spread)),
        high=round(so_far + to_come + spread),
        days=len(basis),
    )
