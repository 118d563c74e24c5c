"""The figures on the screens, read from what huddle_otel emits: its spans and the metrics of its contract.

Nothing here looks inside: any app with an OpenTelemetry SDK could compute the same.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from huddle_otel.events import Outcome
from huddle_otel.policy.breaker import State
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric


class Spans(SpanProcessor):
    """Keeps every ended span of a call; those of its HTTP requests are not counted."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span."""
        if attribute(span, contract.OUTCOME) is not None:
            self.ended.append(span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a set of calls came to."""

    name: str
    calls: int
    ok: int
    rejected: int
    """Calls that an open circuit refused; nothing was sent."""
    sends: int
    """Attempts, the first ones included."""
    retried: int
    """Attempts after the first."""
    median: float | None
    """Duration of a call that was not rejected, s: 50th percentile."""
    slow: float | None
    """The same: 95th percentile."""
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
        """Calls with another outcome than ok or rejected."""
        return self.calls - self.ok - self.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A circuit changed its state."""

    at: float
    """When it was noticed, s after the start of the run."""
    model: str
    before: str
    after: str


def _of_a_call(span: ReadableSpan) -> bool:
    """Tell the span of a call from those of its HTTP requests."""
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == contract.SCOPE


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
        """The spans of calls so far, in order of their end."""
        return [span for span in self._spans.ended if _of_a_call(span)]

    def points(self, metric: Metric) -> list[tuple[dict[str, str], float]]:
        """Return the attributes and the value of every series of a counter or gauge."""
        data = self._reader.get_metrics_data()
        return [
            ({name: str(value) for name, value in (point.attributes or {}).items()}, point.value)
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric.name
            for point in each.data.data_points
            if isinstance(point, NumberDataPoint)
        ]

    def total(self, metric: Metric) -> float:
        """Return the sum of a counter's or gauge's series."""
        return sum(value for _, value in self.points(metric))

    def close(self) -> None:
        """Shut both providers down."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


class Changes:
    """The changes of state of all circuits, with their times: the counter of them, read again and again."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._counted: Counter[tuple[str, str, str]] = Counter()
        self.seen: list[Change] = []

    def look(self, moment: float) -> list[Change]:
        """Return the changes since the last look, in order; `moment` (s) becomes their time."""
        names = (contract.CIRCUIT, contract.BREAKER_FROM, contract.BREAKER_TO)
        counted: Counter[tuple[str, str, str]] = Counter()
        for attributes, value in self._telemetry.points(contract.TRANSITIONS):
            circuit, before, after = (attributes[name] for name in names)
            counted[circuit, before, after] = int(value)
        fresh, self._counted = sorted((counted - self._counted).elements(), key=_open_first), counted
        begun = len(self.seen)
        while fresh:  # a counter keeps no order, but each change begins where the last one of its circuit ended
            change = next((each for each in fresh if each[1] == self._state(model_of(each[0]))), fresh[0])
            fresh.remove(change)
            circuit, before, after = change
            self.seen.append(Change(at=moment, model=model_of(circuit), before=before, after=after))
        return self.seen[begun:]

    def _state(self, model: str) -> str:
        return next((change.after for change in reversed(self.seen) if change.model == model), State.CLOSED)


def _open_first(change: tuple[str, str, str]) -> bool:
    """Sort key: between two looks a circuit may leave half-open both ways, and only an open one comes back to it."""
    return change[2] != State.OPEN


def model_of(circuit: str) -> str:
    """Return the model of a circuit, whose name is host/model/operation."""
    return circuit.partition("/")[2].rpartition("/")[0]


def attribute(span: ReadableSpan, name: str) -> Any:
    """Return an attribute of a span, or None."""
    return (span.attributes or {}).get(name)


def seconds_of(span: ReadableSpan) -> float:
    """Return the duration of an ended span, s."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def of(name: str, spans: Iterable[ReadableSpan]) -> Figures:
    """Add up the spans of some calls."""
    spans = list(spans)
    ends = Counter(attribute(span, contract.OUTCOME) for span in spans)
    durations = sorted(seconds_of(span) for span in spans if attribute(span, contract.OUTCOME) != Outcome.REJECTED)
    firsts = sorted(_numbers(spans, contract.TIME_TO_FIRST_CHUNK))
    sends = int(sum(_numbers(spans, contract.ATTEMPTS)))
    return Figures(
        name=name,
        calls=len(spans),
        ok=ends[Outcome.OK],
        rejected=ends[Outcome.REJECTED],
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
