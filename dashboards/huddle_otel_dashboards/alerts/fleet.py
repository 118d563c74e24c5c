"""What the boards of a fleet read: each metric of all processes of a job together, recorded once a minute or two.

A rate is taken of each process and then summed, never the other way round: a restart is no loss of calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.alerts.model import Group, Intervals, Recording
from huddle_otel_dashboards.alerts.objective import UNIT
from huddle_otel_dashboards.alerts.promql import ERROR_TYPE, pick
from huddle_otel_dashboards.series import label, series

RATE: Final = "rate5m"
"""Per second, over the last 5 minutes."""
_SUBJECTS: Final = {contract.CIRCUIT: "circuit", contract.MODEL: "model", contract.REQUEST_MODEL: "model"}
"""Attribute -> what a name's level says of it."""
_NOT_KEPT: Final = (contract.PROVIDER, contract.RESPONSE_MODEL, contract.SERVER_ADDRESS, contract.SERVER_PORT, "tags")
_UNASKED: Final = {contract.TRANSITIONS: (contract.BREAKER_FROM,), contract.COST_UNKNOWN: (contract.OUTCOME,)}
_TAG: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a fleet's rules are made with.

    Raises:
        ValueError: A tag is no name of one.
    """

    tags: tuple[str, ...] = ("team",)
    """Tags that spend can be split by, of those that `instrument(tag_metrics=…)` names. Each multiplies its series."""

    def __post_init__(self) -> None:
        """Check the tags."""
        for tag in self.tags:
            if not _TAG.fullmatch(tag):
                raise ValueError(f"tags must be names of letters, digits, _ and ., got {tag!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A metric, put together over the processes of a job."""

    metric: Metric
    operation: str
    """`rate5m`, or what is done with the levels that processes have: `max`, `min`, `sum`, `count`."""
    part: str = ""
    """`_bucket`, `_sum` or `_count` of a histogram."""
    answered: bool = False
    """Only of whole answers."""
    dropped: tuple[str, ...] = ()
    """Attributes that no panel asks for."""
    detail: str = ""
    """What the name's level adds where the metric is also kept with less."""

    @property
    def name(self) -> str:
        """`level:metric:operation`, as Prometheus' own practice has it; a counter loses its `_total`."""
        subjects = [_SUBJECTS[each] for each in self.by if each in _SUBJECTS]
        level = "_".join(filter(None, ("job", *subjects, self.detail)))
        return f"{level}:{series(self.metric).removesuffix('_total')}{self.part}:{self.operation}"

    @property
    def by(self) -> tuple[str, ...]:
        """The attributes that are kept, beside the job."""
        dropped = {*_NOT_KEPT, *self.dropped, *((contract.ERROR_TYPE,) if self.answered else ())}
        return tuple(each for each in self.metric.attributes if each not in dropped)

    def tells(self, attributes: Iterable[str]) -> bool:
        """Tell whether it is known of each series what these attributes are."""
        return {*attributes} <= {*self.by, *((contract.ERROR_TYPE,) if self.answered else ())}

    def labels(self, fleet: Fleet) -> tuple[str, ...]:
        """Return the labels of the series that are recorded."""
        tags = fleet.tags if self.metric is contract.COST_USD else ()
        bound = ("le",) if self.part == "_bucket" else ()
        return ("job", *bound, *map(label, (*self.by, *tags)))

    def recording(self, fleet: Fleet, intervals: Intervals) -> Recording:
        """Return the rule that keeps it."""
        labels = ", ".join(self.labels(fleet))
        each = pick(self.metric, *((f'{ERROR_TYPE}=""',) if self.answered else ()), part=self.part)
        if self.operation == RATE:
            return Recording(name=self.name, expr=f"sum by ({labels}) (rate({each}[{intervals.window(UNIT)}]))")
        return Recording(name=self.name, expr=f"{self.operation} by ({labels}) ({each})")


def _counters() -> Iterator[Aggregate]:
    for metric in contract.METRICS:
        if metric.kind is Kind.COUNTER and metric is not contract.CALLS:
            yield Aggregate(metric=metric, operation=RATE, dropped=_UNASKED.get(metric, ()))


def _parts(metric: Metric, *parts: str, answered: bool = False) -> Iterator[Aggregate]:
    for part in parts:
        yield Aggregate(metric=metric, operation=RATE, part=part, answered=answered)


AGGREGATES: Final = (
    Aggregate(metric=contract.CALLS, operation=RATE, dropped=(contract.ERROR_TYPE,)),
    Aggregate(metric=contract.CALLS, operation=RATE, detail="error_type"),
    *_counters(),
    *_parts(contract.DURATION, "_bucket", "_sum", answered=True),
    *_parts(contract.TOKEN_USAGE, "_sum", "_count"),
    *_parts(contract.FIRST_CHUNK, "_bucket", "_count"),
    *_parts(contract.ATTEMPT_CHUNK, "_bucket"),
    *_parts(contract.PER_CHUNK, "_bucket"),
    Aggregate(metric=contract.BREAKER, operation="max"),
    Aggregate(metric=contract.RETRY_BUDGET, operation="min"),
    Aggregate(metric=contract.RATELIMIT, operation="min"),
    Aggregate(metric=contract.IN_FLIGHT, operation="sum"),
    Aggregate(metric=contract.COST_DIFFERENCE, operation="sum"),
    Aggregate(metric=contract.BUDGET_USED, operation="max"),
    Aggregate(metric=contract.BUDGET_LIMIT, operation="max"),
    Aggregate(metric=contract.CALLS, operation="count", dropped=(contract.OUTCOME, contract.ERROR_TYPE)),
)
"""All that is recorded: what a panel reads, and nothing more. Of one metric that with fewest attributes first."""


def aggregate(metric: Metric, operation: str, part: str = "", *, attributes: Iterable[str] = ()) -> Aggregate:
    """Return the least that is recorded of a metric and has some attributes.

    Raises:
        ValueError: Nothing that is has them.
    """
    for each in AGGREGATES:
        if (each.metric, each.operation, each.part) == (metric, operation, part) and each.tells(attributes):
            return each
    raise ValueError(f"no {operation} of {metric.name}{part} is recorded by {sorted(attributes)}")


def groups(fleet: Fleet, intervals: Intervals) -> tuple[Group, ...]:
    """Return the rules. Buckets are most of the series, and percentiles of 5 minutes change slowly: half as often."""
    kept = {each: each.recording(fleet, intervals) for each in AGGREGATES}
    buckets = tuple(rule for each, rule in kept.items() if each.part == "_bucket")
    rest = tuple(rule for each, rule in kept.items() if each.part != "_bucket")
    return (
        Group(name="huddle_otel_fleet", rules=rest, pace=2),
        Group(name="huddle_otel_fleet_buckets", rules=buckets, pace=4),
    )
