"""The contract's metrics and attributes by the names Prometheus gives them.

The same on a scrape and over OTLP, because units are seconds or in braces:
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

import re
from typing import Final

from huddle_otel.telemetry.contract import Kind, Metric

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9]+")
_PARTS: Final = ("_bucket", "_sum", "_count")
_SUFFIXES: Final = {"s": "_seconds"}


def series(metric: Metric) -> str:
    """Return the name of a counter's or gauge's series, or of a histogram without `_bucket`, `_sum` or `_count`."""
    total = "_total" if metric.kind is Kind.COUNTER else ""
    return f"{label(metric.name)}{_SUFFIXES.get(metric.unit, '')}{total}"


def every_name(metric: Metric) -> tuple[str, ...]:
    """Return the names of all series of a metric: a histogram has three."""
    name = series(metric)
    return tuple(name + part for part in _PARTS) if metric.kind is Kind.HISTOGRAM else (name,)


def label(attribute: str) -> str:
    """Return the label of an attribute."""
    return _NOT_IN_NAMES.sub("_", attribute)
