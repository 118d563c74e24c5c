"""What the boards of a fleet read: each metric of all processes of a job together, recorded once a minute.

A rate is taken of each process and then summed, never the other way round: a restart is no loss of calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.alerts.model import Intervals, Recording
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

    @property
    def name(self) -> str:
        """`level:metric:operation`, as Prometheus' own practice has it; a counter loses its `_total`."""
        level = "_".join(("job", *(_SUBJECTS[each] for each in self.by if each in _SUBJECTS)))
        return f"{level}:{series(self.metric).removesuffix('_total')}{self.part}:{self.operation}"

    @property
    def by(self) -> tuple[str, ...]:
        """The attributes that are kept, beside the job."""
        dropped = {*_NOT_KEPT, *self.dropped, *((contract.ERROR_TYPE,) if self.answered else ())}
        return tuple(each for each in self.metric.attributes if each not in dropped)

    def recording(self, fleet: Fleet, intervals: Intervals) -> Recording:
        """Return the rule that keeps it."""
        tags = fleet.tags if self.metric is contract.COST_USD else ()
        bound = ("le",) if self.part == "_bucket" else ()
        labels = ", ".join(map(label, ("job", *bound, *self.by, *tags)))
        each = pick(self.metric, *((f'{ERROR_TYPE}=""',) if self.answered else ()), part=self.part)
        if self.operation == RATE:
            return Recording(name=self.name, expr=f"sum by ({labels}) (rate({each}[{intervals.window(UNIT)}]))")
        return Recording(name=self.name, expr=f"{self.operation} by ({labels}) ({each})")


def _counters() -> Iterator[Aggregate]:
    for metric in contract.METRICS:
        if metric.kind is Kind.COUNTER:
            yield Aggregate(metric=metric, operation=RATE, dropped=_UNASKED.get(metric, ()))


def _parts(metric: Metric, *parts: str, answered: bool = False) -> Iterator[Aggregate]:
    for part in parts:
        yield Aggregate(metric=metric, operation=RATE, part=part, answered=answered)


AGGREGATES: Final = (
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
"""All that is recorded: what a panel reads, and nothing more."""


_BY_KEY: Final = {(each.metric, each.operation, each.part): each for each in AGGREGATES}


def aggregate(metric: Metric, operation: str, part: str = "") -> Aggregate:
    """Return what is recorded of a metric.

    Raises:
        ValueError: Nothing of that kind is.
    """
    found = _BY_KEY.get((metric, operation, part))
    if found is None:
        raise ValueError(f"no {operation} of {metric.name}{part} is recorded")
    return found


def recordings(fleet: Fleet, intervals: Intervals) -> tuple[Recording, ...]:
    """Return what is kept for the boards of a fleet."""
    return tuple(each.recording(fleet, intervals) for each in AGGREGATES)
