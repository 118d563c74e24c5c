"""The two ways to read Prometheus: what each process exposes, or what rules record of a whole fleet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel_dashboards.alerts.fleet import RATE, Aggregate, aggregate
from huddle_otel_dashboards.alerts.model import duration
from huddle_otel_dashboards.alerts.objective import BAD, UNIT, VALID
from huddle_otel_dashboards.boards.queries import ANSWERED, JOB, Reader, by, ratio, selector
from huddle_otel_dashboards.series import series

_WINDOW: Final = "$__rate_interval"
"""Grafana's own: never below four scrapes, so that a rate always has its two points."""


class Raw(Reader):
    """Reads every process: needs no rules, and can show a chosen one. Costs time with each process and model."""

    prefix: ClassVar = "huddle"
    family: ClassVar = "LLM calls"
    note: ClassVar = ""
    target: ClassVar = f'{JOB}, instance=~"$instance"'
    exemplars: ClassVar = True

    def counter(self, metric: Metric) -> str:
        """Return the name of what is exposed."""
        return series(metric)

    def rates(
        self,
        metric: Metric,
        *attributes: str,  # noqa: ARG002 - every series has them all
        where: Mapping[str, str] | None = None,
        part: str = "",
    ) -> str:
        """Return the rate of each series."""
        return f"rate({self.select(metric, where, part)}[{_WINDOW}])"

    def increases(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:  # noqa: ARG002 - as for rates
        """Return the increase of each series."""
        return f"increase({self.select(metric, where)}[$__range])"

    def levels(self, metric: Metric, how: str, where: Mapping[str, str] | None = None) -> str:  # noqa: ARG002 - each process has one
        """Return what each process says."""
        return self.select(metric, where)

    def count(self, metric: Metric) -> str:
        """Count them."""
        return f"count({self.select(metric)})"


class Recorded(Reader):
    """Reads what the rules of `alerts.fleet` record: costs the same however many processes there are."""

    prefix: ClassVar = "huddle-fleet"
    family: ClassVar = "LLM fleet"
    note: ClassVar = "Of all processes together, from recording rules."
    target: ClassVar = JOB
    exemplars: ClassVar = False

    def counter(self, metric: Metric) -> str:
        """Return the name of its recorded rate."""
        return aggregate(metric, RATE).name

    def rates(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None, part: str = "") -> str:
        """Return the recorded rates."""
        needed = {*attributes, *(where or {})} - {"le"}
        return _select(aggregate(metric, RATE, part, attributes=needed), where)

    def increases(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
        """Return the sum of what was recorded for each 5 minutes."""
        return f"{UNIT:g} * sum_over_time({self.rates(metric, *attributes, where=where)}[$__range:{duration(UNIT)}])"

    def levels(self, metric: Metric, how: str, where: Mapping[str, str] | None = None) -> str:
        """Return the recorded levels."""
        return _select(aggregate(metric, how), where)

    def count(self, metric: Metric) -> str:
        """Add up the recorded counts."""
        return f"sum({_select(aggregate(metric, 'count'))})"

    def quantile(self, level: float, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
        """Return a quantile; by attributes, that of the slowest job and operation.

        The series are summed already, and to sum them again by bucket and model takes Prometheus 2.42 three times as
        long as the rest. Few models are called by several jobs, or in several operations.
        """
        if not attributes:
            return super().quantile(level, metric, where=where)
        buckets = self.rates(metric, *attributes, where=where, part="_bucket")
        return f"max{by(attributes)} (histogram_quantile({level:g}, {buckets})) >= 0"

    def failed(self, *attributes: str) -> str:
        """Return the share from the calls that are recorded for the objective."""
        bad, counted = (f"sum{by(attributes)} ({selector(each, JOB, [contract.MODEL], {})})" for each in (BAD, VALID))
        return ratio(bad, counted)


def _select(each: Aggregate, where: Mapping[str, str] | None = None) -> str:
    where = where or {}
    if each.answered:
        if not ANSWERED.items() <= where.items():
            raise ValueError(f"{each.name} is of answered calls only")
        where = {key: condition for key, condition in where.items() if key not in ANSWERED}
    return selector(each.name, JOB, each.by, where)
