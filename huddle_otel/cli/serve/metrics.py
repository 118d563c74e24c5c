"""`/metrics` of the whole machine: the counters of a ledger by the names that a scrape of each process would give."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from huddle_otel.cli.serve.counters import Counters, Histogram
from huddle_otel.cli.serve.measures import MONEY, Labels
from huddle_otel.spend import usd
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.series import label, series

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family


def exposition(counters: Counters, accept: str) -> tuple[bytes, str]:
    """Return a scrape's answer and its content type; in OpenMetrics when the scraper asks for it.

    Raises:
        ImportError: prometheus-client is not installed.
        LedgerError: The ledger cannot be read.
    """
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - an extra

    encode, content_type = choose_encoder(accept)
    with counters.lock:
        counters.catch_up()
        return encode(cast("Any", _Collector(counters))), content_type  # it only collects


class _Collector:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Family]:
        for metric, sums in self._counters.sums.items():
            family = _family(metric)
            for labels, amount in sums.items():
                family.add_sample(series(metric), _labels(labels), usd(int(amount)) if metric in MONEY else amount)
            yield family
        for metric, histograms in self._counters.histograms.items():
            family = _family(metric)
            for labels, histogram in histograms.items():
                _add(family, metric, _labels(labels), histogram)
            yield family


def _family(metric: Metric) -> Family:
    from prometheus_client.metrics_core import Metric as Family  # noqa: PLC0415 - an extra

    kind = {Kind.COUNTER: "counter", Kind.HISTOGRAM: "histogram"}.get(metric.kind, "gauge")
    return Family(series(metric).removesuffix("_total"), metric.description, kind)


def _add(family: Family, metric: Metric, labels: dict[str, str], histogram: Histogram) -> None:
    name, counts = series(metric), list(accumulate(histogram.counts))
    for bound, count in zip((*map(str, metric.buckets), "+Inf"), counts, strict=True):
        family.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{name}_count", labels, counts[-1])
    family.add_sample(f"{name}_sum", labels, histogram.total)


def _labels(labels: Labels) -> dict[str, str]:
    """Return labels by Prometheus' names; in rows that no writer of ours makes, anything may stand, or nothing."""
    return {label(name): str(value) for name, value in labels if cast("object", value) is not None}
