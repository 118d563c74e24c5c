"""PromQL in pieces. Names come from the telemetry contract, so a query cannot ask for what is not emitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.alerts.objective import APPS_OWN, FAILED
from huddle_otel_dashboards.series import label, series

WINDOW: Final = "$__rate_interval"
"""Grafana's own: never below four scrapes, so that a rate always has its two points."""
TARGET: Final = 'job=~"$job", instance=~"$instance"'
"""Which processes. `.*` stands for all, which also matches series without the label, as some OTLP paths write them."""

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


def select(metric: Metric, where: Mapping[str, str] | None = None, *, suffix: str = "") -> str:
    """Return a selector of a metric, narrowed by every variable of the boards that it has an attribute for.

    Args:
        metric: One of the contract's.
        where: Attribute -> operator and value, such as `'="ok"'`.
        suffix: `_bucket`, `_sum` or `_count` of a histogram.

    Raises:
        ValueError: The metric has no such attribute, or no such suffix.
    """
    where = where or {}
    unknown = set(where) - set(metric.attributes)
    if unknown:
        raise ValueError(f"{metric.name} has no attribute {sorted(unknown)}; it has {metric.attributes}")
    if bool(suffix) != (metric.kind is Kind.HISTOGRAM):
        raise ValueError(f"{metric.name} is a {metric.kind}: suffix {suffix!r} does not fit")
    narrowed = {name: _VARIABLES[name] for name in metric.attributes if name in _VARIABLES} | dict(where)
    matchers = [TARGET, *(f"{label(name)}{condition}" for name, condition in narrowed.items())]
    return f"{series(metric)}{suffix}{{{', '.join(matchers)}}}"


def by(attributes: Iterable[str]) -> str:
    """Return the `by` clause of some attributes, nothing for none."""
    names = ", ".join(label(each) for each in attributes)
    return f" by ({names})" if names else ""


def rate(
    metric: Metric, *attributes: str, where: Mapping[str, str] | None = None, suffix: str = "", window: str = WINDOW
) -> str:
    """Return a counter's increase per second, summed by some attributes."""
    return f"sum{by(attributes)} (rate({select(metric, where, suffix=suffix)}[{window}]))"


def per_minute(metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
    """Return how often something rare happens, per minute; nothing where it does not."""
    return f"60 * {rate(metric, *attributes, where=where)} > 0"


def increase(
    metric: Metric, *attributes: str, where: Mapping[str, str] | None = None, suffix: str = "", window: str = "$__range"
) -> str:
    """Return a counter's increase in a window, summed by some attributes."""
    return f"sum{by(attributes)} (increase({select(metric, where, suffix=suffix)}[{window}]))"


def gauge(metric: Metric, *attributes: str, how: str = "max") -> str:
    """Return a gauge's value, put together over processes by `how`."""
    return f"{how}{by(attributes)} ({select(metric)})"


def quantile(level: float, metric: Metric, *attributes: str, where: Mapping[str, str] | None = None) -> str:
    """Return a quantile of a histogram; nothing where nothing was recorded, for which PromQL has NaN."""
    return f"histogram_quantile({level:g}, {rate(metric, 'le', *attributes, where=where, suffix='_bucket')}) >= 0"


def mean(metric: Metric, *attributes: str) -> str:
    """Return the mean of what a histogram recorded."""
    return ratio(rate(metric, *attributes, suffix="_sum"), rate(metric, *attributes, suffix="_count"))


def failed(*attributes: str) -> str:
    """Return the share of the calls that count which failed.

    Not one less the answered share: a model that is never answered may have no series of answers, and it is the one
    to show. Failures of every usual kind have a series from a model's first call on.
    """
    return ratio(rate(contract.CALLS, *attributes, where=BAD), rate(contract.CALLS, *attributes, where=COUNTED))


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
    matchers = f'job=~"$job", {label(contract.MODEL)}{_VARIABLES[contract.MODEL]}'
    return f"sum_over_time({name}{{{matchers}}}[{window}:5m])"


def or_zero(query: str) -> str:
    """Return 0 for nothing: only where nothing having happened is what an absent series means."""
    return f"{query} or vector(0)"
