"""PromQL in pieces, and how a shape of it is filled with the contract's metrics: `Reader` says from which series."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.alerts.objective import APPS_OWN, FAILED
from huddle_otel_dashboards.series import label, series

_VARIABLES: Final = {
    contract.OPERATION: '=~"$operation"',
    contract.MODEL: '=~"$model"',
    contract.REQUEST_MODEL: '=~"$model"',
    contract.CIRCUIT: '=~"[^/]*/$model/$operation"',
}
"""Attribute -> how the board's variables narrow it. A circuit is named host/model/operation."""

ANY_OPERATION: Final = {contract.OPERATION: '=~".*"'}
"""For calls that are set beside a metric without an operation, which the board's choice of one cannot narrow."""
SENT: Final = {**ANY_OPERATION, contract.OUTCOME: '!~"rejected|blocked"'}
"""The calls that led to a request."""
NOT_OK: Final = {contract.OUTCOME: '!="ok"'}
COUNTED: Final = {contract.OUTCOME: f'=~"{"|".join(("ok", *FAILED))}"', contract.ERROR_TYPE: f'!~"{APPS_OWN}"'}
"""The calls that the objective is about."""
BAD: Final = {**COUNTED, contract.OUTCOME: f'=~"{"|".join(FAILED)}"'}
"""Those of them that failed."""
ANSWERED: Final = {contract.ERROR_TYPE: '=""'}
"""Of a histogram of durations: those of whole answers."""
JOB: Final = 'job=~"$job"'
"""Which apps. `.*` stands for all, which also matches series without the label, as some OTLP paths write them."""


class Reader(ABC):
    """Where a board's figures come from. Every name is the contract's, so a query cannot ask for what is not emitted.

    `where` is attribute -> operator and value, such as `'="ok"'`; `part` is `_bucket`, `_sum` or `_count` of a
    histogram. What a metric does not have is refused with a `ValueError`.
    """

    prefix: ClassVar[str]
    """How the uids of its boards begin."""
    family: ClassVar[str]
    """How their titles begin."""
    note: ClassVar[str]
    """What their descriptions add."""
    target: ClassVar[str]
    """Matchers of the processes that are chosen."""
    exemplars: ClassVar[bool]
    """Whether its series lead to traces."""

    @abstractmethod
    def counter(self, metric: Metric) -> str:
        """Return the name of a counter's series, for what can be chosen."""

    @abstractmethod
    def rates(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None, part: str = "") -> str:
        """Return a counter's increase per second, series by series, which have some attributes."""

    @abstractmethod
    def increases(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
        """Return a counter's increase over the range of the board, series by series, which have some attributes."""

    @abstractmethod
    def levels(self, metric: Metric, how: str, where: Mapping[str, str] | None = None) -> str:
        """Return a gauge's values, as many as there are to be put together by `how`."""

    @abstractmethod
    def count(self, metric: Metric) -> str:
        """Return how many series all processes have of a metric."""

    def select(self, metric: Metric, where: Mapping[str, str] | None = None, part: str = "") -> str:
        """Return a selector of what processes expose, narrowed by every variable that the metric has an attribute for.

        Raises:
            ValueError: The metric has no such attribute, or no such part.
        """
        if bool(part) != (metric.kind is Kind.HISTOGRAM):
            raise ValueError(f"{metric.name} is a {metric.kind}: part {part!r} does not fit")
        return selector(f"{series(metric)}{part}", self.target, metric.attributes, where or {})

    def rate(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None, part: str = "") -> str:
        """Return a counter's increase per second, summed by some attributes."""
        return f"sum{by(attributes)} ({self.rates(metric, *attributes, where=where, part=part)})"

    def per_minute(self, metric: Metric, *attributes: str) -> str:
        """Return how often something rare happens, per minute; nothing where it does not."""
        return f"60 * {self.rate(metric, *attributes)} > 0"

    def increase(self, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
        """Return a counter's increase over the range of the board, summed by some attributes."""
        return f"sum{by(attributes)} ({self.increases(metric, *attributes, where=where)})"

    def gauge(self, metric: Metric, *attributes: str, how: str = "max", where: Mapping[str, str] | None = None) -> str:
        """Return a gauge's value, put together over processes by `how`."""
        return f"{how}{by(attributes)} ({self.levels(metric, how, where)})"

    def quantile(self, level: float, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
        """Return a quantile of a histogram; nothing where nothing was recorded, for which PromQL has NaN."""
        return (
            f"histogram_quantile({level:g}, {self.rate(metric, 'le', *attributes, where=where, part='_bucket')}) >= 0"
        )

    def mean(self, metric: Metric, *attributes: str) -> str:
        """Return the mean of what a histogram recorded."""
        return ratio(self.rate(metric, *attributes, part="_sum"), self.rate(metric, *attributes, part="_count"))

    def failed(self, *attributes: str) -> str:
        """Return the share of the calls that count which failed.

        Not one less the answered share: a model that is never answered may have no series of answers, and it is the
        one to show. Failures of every usual kind have a series from a model's first call on.
        """
        bad, counted = (self.rate(contract.CALLS, *attributes, where=where) for where in (BAD, COUNTED))
        return ratio(bad, counted)


def selector(name: str, target: str, attributes: Iterable[str], where: Mapping[str, str]) -> str:
    """Return a selector, narrowed by the variables that some attributes have.

    Args:
        name: Of the series.
        target: Matchers of the processes or apps.
        attributes: What the series have.
        where: Attribute -> operator and value; these win over a variable.

    Raises:
        ValueError: There is no such attribute.
    """
    attributes = tuple(attributes)
    unknown = set(where) - set(attributes)
    if unknown:
        raise ValueError(f"{name} has no attribute {sorted(unknown)}; it has {attributes}")
    narrowed = {each: _VARIABLES[each] for each in attributes if each in _VARIABLES} | dict(where)
    matchers = [target, *(f"{label(each)}{condition}" for each, condition in narrowed.items())]
    return f"{name}{{{', '.join(matchers)}}}"


def by(attributes: Iterable[str]) -> str:
    """Return the `by` clause of some attributes, nothing for none."""
    names = ", ".join(label(each) for each in attributes)
    return f" by ({names})" if names else ""


def ratio(part: str, whole: str) -> str:
    """Return `part / whole`; nothing where the whole is 0 or absent."""
    return f"{part} / ({whole} > 0)"


def share(part: str, whole: str) -> str:
    """Return `part / whole` where a part that is absent is 0, and nothing where the whole is 0 or absent."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def top(count: int, query: str) -> str:
    """Return the greatest few, so that a picture stays one."""
    return f"topk({count}, {query})"


def recorded(name: str, window: str) -> str:
    """Return the sum over a window of what a rule records for each 5 minutes, by job and model."""
    return f"sum_over_time({selector(name, JOB, [contract.MODEL], {})}[{window}:5m])"


def or_zero(query: str) -> str:
    """Return 0 for nothing: only where nothing having happened is what an absent series means."""
    return f"{query} or vector(0)"
