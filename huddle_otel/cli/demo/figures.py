"""The figures on the screens, read from what huddle_otel emits: its spans and the metrics of its contract.

Nothing here looks inside: any app with an OpenTelemetry SDK could compute the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from huddle_otel.events import Outcome
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric


class Spans(SpanProcessor):
    """Keeps every ended span."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span."""
        self.ended.append(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a set of calls came to."""

    name: str
    calls: int
    ok: int
    sends: int
    """Attempts, the first ones included."""
    retried: int
    """Attempts after the first."""
    median: float | None
    """Duration of a call, s: 50th percentile."""
    slow: float | None
    """Duration of a call, s: 95th percentile."""
    first_chunk: float | None
    """Time to the first chunk of a stream, s: 50th percentile."""
    tokens_in: int
    tokens_out: int
    spend: float
    """USD that is known."""
    unknown: int
    """Answered calls that nobody could price."""

    @property
    def failed(self) -> int:
        """Calls with another outcome than ok."""
        return self.calls - self.ok


class Telemetry:
    """OpenTelemetry providers that keep everything in memory."""

    def __init__(self) -> None:
        self._spans = Spans()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(self._spans)
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans so far, in order of their end."""
        return list(self._spans.ended)

    def total(self, metric: Metric, **attributes: str) -> float:
        """Return the sum of a counter's or gauge's series that have these attributes."""
        data = self._reader.get_metrics_data()
        points = (
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric.name
            for point in each.data.data_points
        )
        return sum(
            point.value
            for point in points
            if isinstance(point, NumberDataPoint)
            and attributes.items() <= {name: str(value) for name, value in (point.attributes or {}).items()}.items()
        )

    def close(self) -> None:
        """Shut both providers down."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


def attribute(span: ReadableSpan, name: str) -> Any:
    """Return an attribute of a span, or None."""
    return (span.attributes or {}).get(name)


def seconds_of(span: ReadableSpan) -> float:
    """Return the duration of an ended span, s."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def of(name: str, spans: Iterable[ReadableSpan]) -> Figures:
    """Add up the spans of some calls."""
    spans = list(spans)
    durations = sorted(seconds_of(span) for span in spans)
    firsts = sorted(_numbers(spans, contract.TIME_TO_FIRST_CHUNK))
    sends = int(sum(_numbers(spans, contract.ATTEMPTS)))
    return Figures(
        name=name,
        calls=len(spans),
        ok=sum(attribute(span, contract.OUTCOME) == Outcome.OK for span in spans),
        sends=sends,
        retried=sends - sum(attribute(span, contract.ATTEMPTS) != 0 for span in spans),
        median=percentile(durations, 0.5),
        slow=percentile(durations, 0.95),
        first_chunk=percentile(firsts, 0.5),
        tokens_in=int(sum(_numbers(spans, contract.USAGE_FIELDS["input_tokens"]))),
        tokens_out=int(sum(_numbers(spans, contract.USAGE_FIELDS["output_tokens"]))),
        spend=sum(_numbers(spans, contract.COST)),
        unknown=sum(attribute(span, contract.COST_SOURCE) == "unknown" for span in spans),
    )


def by_model(spans: Sequence[ReadableSpan], models: Iterable[str]) -> list[Figures]:
    """Add up spans per model, and all of them as the last one, `all`."""
    rows = [of(model, (span for span in spans if attribute(span, contract.REQUEST_MODEL) == model)) for model in models]
    return [*rows, of("all", spans)]


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least this share of the ordered values does not exceed; None of none."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def median(values: Iterable[float]) -> float:
    """Return the median, 0 of none."""
    kept = list(values)
    return statistics.median(kept) if kept else 0.0


def _numbers(spans: Iterable[ReadableSpan], name: str) -> list[float]:
    values = (attribute(span, name) for span in spans)
    return [value for value in values if isinstance(value, int | float)]
