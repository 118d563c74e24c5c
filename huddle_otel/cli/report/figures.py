"""What many calls come to. Money is in nano-dollars, times are in seconds."""

from __future__ import annotations

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from math import ceil, sqrt
from statistics import fmean, stdev
from typing import Final, cast

from huddle_otel.cli.report.period import Period

DAY: Final = 86_400
_FEWEST: Final = 3
"""Whole days a forecast needs."""
_BASIS: Final = 14
"""Whole days it looks back, at most."""
_Z: Final = 1.96
"""Standard deviations to each side of a 95 % interval."""


class ReportError(Exception):
    """A report cannot be made as asked. The message says why, and what to do."""


@dataclass(slots=True)
class Group:
    """Sums over calls. A cost nobody knows is counted in `unpriced`, never as zero."""

    calls: int = 0
    ok: int = 0
    attempts: int = 0
    tokens: Counter[str] = field(default_factory=Counter[str])
    """Tokens by column of the ledger: cached ones are part of the input, reasoning ones of the output."""
    cost: int = 0
    sources: Counter[str] = field(default_factory=Counter[str])
    """Cost by who says so: the `gateway`, or an estimate."""
    parts: Counter[str] = field(default_factory=Counter[str])
    """Cost by column of the ledger, over the `split` calls for which it is told apart."""
    split: int = 0
    unpriced: int = 0
    """Answered calls, or ones that may be billed, whose cost is unknown."""
    waste_calls: Counter[str] = field(default_factory=Counter[str])
    """Calls by outcome that may have cost something and have no whole answer."""
    waste_unpriced: Counter[str] = field(default_factory=Counter[str])
    """Of these, the ones whose cost is unknown."""
    waste: Counter[str] = field(default_factory=Counter[str])
    """What the others cost."""
    double_billing: int = 0
    """Calls that may have been billed twice; by how much, nobody knows."""
    compared: int = 0
    """Calls of which both a reported and an estimated cost are known."""
    difference: int = 0
    """Over these, reported minus estimated."""
    durations: Counter[int] = field(default_factory=Counter[int])
    """Calls by duration, in steps of `edge`."""
    first_chunks: Counter[int] = field(default_factory=Counter[int])
    """Streams by time to their first content, in the same steps."""

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Group:
        """Return the sum of groups."""
        whole = cls()
        for group in groups:
            whole.add(group)
        return whole

    def add(self, other: Group) -> None:
        """Add another's calls."""
        for name in self.__slots__:
            mine, others = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                cast("Counter[object]", mine).update(others)
            else:
                setattr(self, name, mine + others)

    @property
    def input_tokens(self) -> int:
        """Return tokens read, cached ones included."""
        return self.tokens["input_tokens"]

    @property
    def output_tokens(self) -> int:
        """Return tokens written, reasoning included."""
        return self.tokens["output_tokens"]

    @property
    def known_cost(self) -> int | None:
        """Return the cost; None when no call is known to have cost something, and one may have."""
        return None if self.unpriced and not self.cost else self.cost

    @property
    def wasted(self) -> int:
        """Return what calls without a whole answer cost, as far as it is known."""
        return self.waste.total()

    @property
    def wasted_calls(self) -> int:
        """Return how many there are."""
        return self.waste_calls.total()

    @property
    def wasted_unpriced(self) -> int:
        """Return of how many the cost is unknown."""
        return self.waste_unpriced.total()

    def percentile(self, share: float) -> float | None:
        """Return the duration that a share of the calls, 0 to 1, did not exceed: the upper edge of its step."""
        return _percentile(self.durations, share)

    def first_chunk(self, share: float) -> float | None:
        """Return the same of the time to the first content of streams."""
        return _percentile(self.first_chunks, share)


def _percentile(counts: Counter[int], share: float) -> float | None:
    steps = sorted(counts)
    rank = max(1, ceil(share * counts.total()))
    for step, count in zip(steps, accumulate(counts[step] for step in steps), strict=True):
        if count >= rank:
            return edge(step)
    return None


def steps(column: str) -> str:
    """Return SQL for the step a column of seconds is in: 5 ms wide up to a second, 50 ms up to ten, then a second."""
    return (
        f"CASE WHEN {column} < 1 THEN CAST(max({column}, 0) * 200 AS INT) "
        f"WHEN {column} < 10 THEN 180 + CAST({column} * 20 AS INT) "
        f"ELSE 370 + CAST(min({column}, 1e6) AS INT) END"
    )


STEPS: Final = steps("duration")
"""SQL for the step a call's duration is in; one below 0, which a clock set back can make, is in the first."""


def edge(step: int) -> float:
    """Return the upper edge of a step."""
    if step < 200:  # noqa: PLR2004 - as in `steps`
        return (step + 1) / 200
    if step < 380:  # noqa: PLR2004
        return (step - 180 + 1) / 20
    return float(step - 370 + 1)


def step_of(duration: float) -> int:
    """Return the step a duration, s, is in."""
    if duration < 1:
        return int(max(duration, 0) * 200)
    return 180 + int(duration * 20) if duration < 10 else 370 + int(min(duration, 1e6))  # noqa: PLR2004 - as in `steps`


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
"""What a group has in common, in the order of `Report.by`."""
TIMES: Final = ("hour", "day")
"""Groupings that have an order of their own."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a form prints."""

    period: Period
    by: tuple[str, ...]
    groups: Mapping[Key, Group]
    """Dearest first; hours and days in their order."""
    total: Group
    previous: Group
    """The period before, as long."""
    top: tuple[Call, ...]
    forecast: Forecast | None
    """None when there are fewer than three whole days to go by."""
    future: int = 0
    """Calls of the ledger that are dated after now: a clock was wrong."""
    unknown: frozenset[str] = frozenset()
    """Fields of `Group` that the source of these figures cannot tell, at this grouping."""


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


def ordered(groups: Mapping[Key, Group], by: tuple[str, ...]) -> dict[Key, Group]:
    """Sort groups: by time where they have one, then the dearest first."""
    times = [index for index, name in enumerate(by) if name in TIMES]

    def place(item: tuple[Key, Group]) -> tuple[object, ...]:
        key, group = item
        return (*(str(key[index]) for index in times), -group.cost, -group.calls, str(key))

    return dict(sorted(groups.items(), key=place))
