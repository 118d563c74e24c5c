"""A summary for people, on stderr, when the process ends."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricsData

from huddle_otel_exporters.metrics import Reader
from huddle_otel_exporters.part import Part

_P95: Final = 0.95


@dataclass(slots=True)
class Summary:
    """What the metrics of a process come to."""

    calls: Counter[str] = field(default_factory=Counter[str])
    """By outcome."""
    attempts: float = 0
    tokens: Counter[str] = field(default_factory=Counter[str])
    """By type."""
    usd: float = 0
    unpriced: float = 0
    opened: float = 0
    """Circuits opened, counting each time."""
    p95: float | None = None
    """Seconds, interpolated within its bucket; at most the longest call."""

    @classmethod
    def of(cls, data: MetricsData | None) -> Summary:
        """Add up the points of `huddle_otel`; the names are those of docs/telemetry.md."""
        summary = cls()
        for name, point in _points(data):
            labels: dict[str, Any] = dict(point.attributes or {})
            if name == "huddle.client.calls":
                summary.calls[str(labels.get("huddle.outcome"))] += point.value
            elif name == "huddle.client.attempts":
                summary.attempts += point.value
            elif name == "huddle.client.tokens":
                summary.tokens[str(labels.get("type"))] += point.value
            elif name == "huddle.client.cost.usd":
                summary.usd += point.value
            elif name == "huddle.client.cost.unknown":
                summary.unpriced += point.value
            elif name == "huddle.client.breaker.transitions" and labels.get("to") == "open":
                summary.opened += point.value
        summary.p95 = _p95([point for name, point in _points(data) if name == "gen_ai.client.operation.duration"])
        return summary

    def __str__(self) -> str:
        calls = sum(self.calls.values())
        if not calls:
            return "huddle_otel: no calls"
        failed = {outcome: count for outcome, count in sorted(self.calls.items()) if outcome != "ok" and count}
        errors = sum(failed.values())
        kinds = ", ".join(f"{count:g} {outcome}" for outcome, count in failed.items())
        # every call that was not refused has a first attempt; the rest are retries and fallbacks
        retries = max(0, self.attempts - (calls - self.calls["rejected"]))
        unpriced = f" and {self.unpriced:g} calls nobody could price" if self.unpriced else ""
        return (
            f"huddle_otel: {_count(calls, 'call')}, {_count(errors, 'error')}{f' ({kinds})' if kinds else ''}, "
            f"{retries:g} retried, p95 {'unknown' if self.p95 is None else f'{self.p95:.2f} s'}\n"
            f"huddle_otel: {self.tokens['input']:,.0f} tokens in, {self.tokens['output']:,.0f} out, "
            f"{self.usd:.4f} USD{unpriced}, circuits opened: {self.opened:g}"
        )


class ConsoleSummary(Reader):
    """A metric reader that prints the summary at its shutdown, once, in the process that made it.

    Also the entry point `huddle_console` of `OTEL_METRICS_EXPORTER`.
    """

    def __init__(self) -> None:
        """Count from now on."""
        super().__init__(on_shutdown=self.show)
        self._pid = os.getpid()

    def show(self) -> None:
        """Print the summary, the first time this is called in the process that made it."""
        if self._pid != os.getpid():
            return
        self._pid = -1
        print(Summary.of(self.read()), file=sys.stderr, flush=True)  # noqa: T201 - that is what it is for


def build(_name: str) -> Part:
    """Build the summary."""
    reader = ConsoleSummary()
    return Part(reader=reader, close=reader.show)


def _points(data: MetricsData | None) -> Iterator[tuple[str, Any]]:
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            if scope.scope.name == "huddle_otel":
                yield from ((metric.name, point) for metric in scope.metrics for point in metric.data.data_points)


def _p95(points: list[Any]) -> float | None:
    counts = [sum(each) for each in zip(*(point.bucket_counts for point in points), strict=True)]
    total = sum(counts)
    if not total:
        return None
    bounds = points[0].explicit_bounds
    longest: float = max(point.max for point in points)
    rank = _P95 * total
    bucket = bisect_left(list(accumulate(counts)), rank)
    low = bounds[bucket - 1] if bucket else 0.0
    high = min(bounds[bucket], longest) if bucket < len(bounds) else longest
    return float(low + (high - low) * (rank - sum(counts[:bucket])) / counts[bucket])


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
