"""Metrics of the SDK as Prometheus families, with exemplars. Names are those of OpenTelemetry's compatibility rules.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/ ; a test holds the result against the
stock exporter's.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from opentelemetry.sdk.metrics.export import Gauge as SdkGauge
from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    Sum,
)
from opentelemetry.trace import format_span_id, format_trace_id
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar

Labels = dict[str, str]

_UNITS: Final = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "%": "percent",
    "1": "",
}
_PER: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_ANNOTATION: Final = re.compile(r"{.*}")
_NAME: Final = re.compile(r"[^a-zA-Z0-9:]+")
_LABEL: Final = re.compile(r"[^a-zA-Z0-9]+")
_TOTAL: Final = "_total"


class Exposition:
    """A collector for `prometheus_client`'s encoders: reads, translates, forgets."""

    def __init__(self, read: Callable[[], MetricsData | None]) -> None:
        """Take what collects."""
        self._read = read

    def collect(self) -> Iterable[Family]:
        """Return the families of now."""
        data = self._read()
        families: dict[str, Family] = {}
        for resource in data.resource_metrics if data is not None else ():
            if "target" not in families:
                target = families["target"] = Family("target", "Target metadata", "info")
                target.add_sample("target_info", _labels(resource.resource.attributes), 1)
            for scope in resource.scope_metrics:
                common = _labels({f"otel_scope_{key}": value for key, value in (scope.scope.attributes or {}).items()})
                common["otel_scope_name"] = scope.scope.name
                common["otel_scope_version"] = scope.scope.version or ""
                common["otel_scope_schema_url"] = scope.scope.schema_url or ""
                for metric in scope.metrics:
                    _add(families, metric, common)
        return families.values()


def unit_suffix(unit: str) -> str:
    """Return the suffix of a UCUM unit: `seconds` for `s`, nothing for what is in braces."""
    unit = _ANNOTATION.sub("", unit)
    if unit in _UNITS:
        return _UNITS[unit]
    top, slash, bottom = unit.partition("/")
    if slash and bottom:
        return f"{_UNITS.get(top, top)}_per_{_PER.get(bottom, _NAME.sub('_', bottom))}".lstrip("_")
    return _NAME.sub("_", unit).strip("_")


def _add(families: dict[str, Family], metric: Metric, common: Labels) -> None:
    data = metric.data
    counter = isinstance(data, Sum) and data.is_monotonic
    kind = "histogram" if isinstance(data, Histogram) else "counter" if counter else "gauge"
    if not isinstance(data, Histogram | Sum | SdkGauge):
        return  # exponential histograms have no place in the text formats
    name = _NAME.sub("_", metric.name)
    name = f"_{name}" if name[:1].isdigit() else name
    family = Family(
        name.removesuffix(_TOTAL) if counter else name, metric.description or "", kind, unit_suffix(metric.unit or "")
    )
    family = families.setdefault(family.name, family)
    if family.type != kind:
        return  # two instruments of one name and different kinds: a scrape can hold only one
    for point in data.data_points:
        labels = common | _labels(point.attributes or {})
        if isinstance(point, HistogramDataPoint):
            for suffix, extra, value, exemplar in _histogram(point):
                family.add_sample(family.name + suffix, labels | extra, value, exemplar=exemplar)
        else:
            family.add_sample(family.name + (_TOTAL if counter else ""), labels, point.value)


def _histogram(point: HistogramDataPoint) -> Iterator[tuple[str, Labels, float, Exemplar | None]]:
    exemplars = _exemplars(point)
    count = 0
    for bucket, (bound, added) in enumerate(zip([*point.explicit_bounds, "+Inf"], point.bucket_counts, strict=True)):
        count += added
        yield "_bucket", {"le": str(bound)}, count, exemplars.get(bucket)
    yield "_count", {}, count, None
    yield "_sum", {}, point.sum, None


def _exemplars(point: HistogramDataPoint) -> dict[int, Exemplar]:
    """Return the newest exemplar of each bucket. Only ids: OpenMetrics allows 128 characters of labels."""
    newest: dict[int, Exemplar] = {}
    for each in sorted(point.exemplars, key=lambda each: each.time_unix_nano):
        if each.trace_id and each.span_id:
            ids = {"trace_id": format_trace_id(each.trace_id), "span_id": format_span_id(each.span_id)}
            bucket = bisect_left(point.explicit_bounds, each.value)
            newest[bucket] = Exemplar(ids, each.value, each.time_unix_nano / 1e9)
    return newest


def _labels(attributes: Any) -> Labels:
    labels: Labels = {}
    for key, value in attributes.items():
        name = _LABEL.sub("_", key)
        labels[f"_{name[1:]}" if name[:1].isdigit() else name] = (
            value if isinstance(value, str) else json.dumps(value, default=str)
        )
    return labels
