"""What tests of the client and of telemetry share: messages, recorded telemetry, one way to run async code."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import openai
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import huddle_otel
from huddle_otel import RetryPolicy
from huddle_otel.telemetry import contract

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

    from huddle_otel.gateway import Gateway

T = TypeVar("T")
Instrument = Callable[..., None]

KEY: Final = "sk-huddle-0123456789abcdef"
"""The Huddle01 key of the tests. Long enough that a mask may show its end."""
SAY: Final[dict[str, Any]] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi there"}]}
"""A request: 2 tokens in and, from the embedded gateway, 8 out; 0.000068 USD."""
COST: Final = 6.8e-05
TEXT: Final = "A steady answer from the embedded gateway arrives"
FAST: Final = RetryPolicy(base=0.0)
"""The default policy without its waits."""
SDK: Final = int(openai.__version__.split(".", maxsplit=1)[0])
"""Major version of the installed openai client."""
FLAVOURS: Final = ("sync", "async")


class Recorded:
    """Spans and metrics of a test, in memory."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans of calls."""
        return self._of_scope(contract.SCOPE)

    @property
    def http_spans(self) -> tuple[ReadableSpan, ...]:
        """The spans of HTTP requests."""
        return self._of_scope("opentelemetry.instrumentation.httpx")

    def _of_scope(self, name: str) -> tuple[ReadableSpan, ...]:
        finished = self.exporter.get_finished_spans()
        return tuple(
            span for span in finished if span.instrumentation_scope and span.instrumentation_scope.name == name
        )

    @property
    def span(self) -> ReadableSpan:
        """The only span so far."""
        (span,) = self.spans
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the only span so far."""
        return dict(self.span.attributes or {})

    def metrics(self) -> dict[str, Any]:
        """Every metric with data, by name, as the SDK's own objects."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """Points of a metric by their attributes: a number, or the histogram point itself; no counter that is at 0."""
        metric = self.metrics().get(name)
        points = metric.data.data_points if metric is not None else ()
        counts = metric is not None and getattr(metric.data, "is_monotonic", False)
        return {
            frozenset(point.attributes.items()): getattr(point, "value", point)
            for point in points
            if not counts or point.value
        }

    def total(self, name: str, **attributes: Any) -> float:
        """Sum of the points of a counter whose attributes include these; dots are written as `__`."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}.items()
        return sum(float(value) for key, value in self.points(name).items() if wanted <= dict(key).items())


def instrumented(gateway: Gateway, recorded: Recorded) -> Instrument:
    """Return `huddle_otel.instrument` with the arguments every test wants, each of which a test may change."""

    def instrument(**changes: Any) -> None:
        usual = {
            "base_url": gateway.url,
            "api_key": KEY,
            "retry": FAST,
            "tracer_provider": recorded.tracer_provider,
            "meter_provider": recorded.meter_provider,
        }
        huddle_otel.instrument(**{**usual, **changes})

    return instrument


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run async code to its end in a loop of its own."""
    return asyncio.run(work)


def with_async(use: Callable[[Any], Coroutine[Any, Any, T]], **arguments: Any) -> T:
    """Run `use` with a new `AsyncOpenAI` that is closed in the loop it was used in."""

    async def work() -> T:
        async with openai.AsyncOpenAI(**arguments) as client:
            return await use(client)

    return run(work())


def ids_of(span: ReadableSpan) -> tuple[int, int]:
    """Return the trace's and the span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def collect() -> None:
    """Collect garbage until nothing is left to collect: a dropped stream is a chain of a few objects."""
    for _ in range(3):
        gc.collect()


def text_of(chunks: list[Any]) -> str:
    """Join the content of chat chunks."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
