"""The few shapes of PromQL that the rules are made of. Every name comes from the contract."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel_dashboards.series import label, series

OUTCOME: Final = label(contract.OUTCOME)
ERROR_TYPE: Final = label(contract.ERROR_TYPE)
REQUEST_MODEL: Final = label(contract.REQUEST_MODEL)
BY_MODEL: Final = "job, model"
BY_CIRCUIT: Final = "job, circuit"


def pick(metric: Metric, *matchers: str, part: str = "") -> str:
    """Return a selector; `part` is `_bucket` or `_count` of a histogram."""
    inside = ", ".join(matchers)
    return f"{series(metric)}{part}" + (f"{{{inside}}}" if inside else "")


def grew(selector: str, window: str, by: str) -> str:
    """Return how much counters grew, summed. A series' first sample is not growth: the usual ones start at 0."""
    return f"sum by ({by}) (increase({selector}[{window}]))"


def appeared(selector: str, window: str, by: str) -> str:
    """Return how much counters grew, summed, first samples of new series included.

    For events that may happen once in a process' life. Where Prometheus itself is new, old events count once more.
    """
    return f"sum by ({by}) (increase({selector}[{window}]) > 0 or ({selector} > 0 unless {selector} offset {window}))"


def share(part: str, whole: str, *, on: str = "") -> str:
    """Return one sum over another, 0 to 1; nothing where the whole is 0."""
    return f"{part}\n/{on} ({whole} > 0)"


def model_of_circuit(expr: str) -> str:
    """Add the label `model`, read from `circuit`: host/model/operation, where only a model may hold slashes."""
    return f'label_replace(\n{expr},\n"model", "$1", "circuit", "[^/]+/(.*)/[^/]+")'


def p95(metric: Metric, window: str, *matchers: str) -> str:
    """Return the 95th percentile by job and requested model, s."""
    buckets = pick(metric, *matchers, part="_bucket")
    return f"histogram_quantile(0.95, sum by (job, {REQUEST_MODEL}, le) (rate({buckets}[{window}])))"


def as_model(expr: str) -> str:
    """Add the label `model` to what has the conventions' longer one, so that alerts of one model are grouped."""
    return f'label_replace(\n{expr},\n"model", "$1", "{REQUEST_MODEL}", "(.*)")'
