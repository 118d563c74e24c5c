"""For the tests of apps that use huddle_otel: an embedded gateway, recorded spans and metrics, as pytest fixtures.

::

    def test_answer(huddle):                      # gateway + instrument() + recorded telemetry
        huddle.gateway.script([Rule(faults.status(503), calls=range(1))])
        answer(question="…")                      # your code, with a plain openai.OpenAI() in it
        assert huddle.spans[-1].attributes["huddle.attempts"] == 2

Installed with `pip install huddle-otel[testing]`; pytest finds the fixtures by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from huddle_otel.door import instrument, uninstrument
from huddle_otel.gateway import Gateway, Rule

KEY = "sk-huddle-test"
"""The key the embedded gateway takes. Opens nothing else."""
_SCOPE = "huddle_otel"


@dataclass(frozen=True, slots=True)
class Recorded:
    """An instrumented openai client's surroundings, and what it did."""

    gateway: Gateway
    _exporter: Any
    _reader: Any

    @property
    def spans(self) -> Sequence[Any]:
        """The ended spans of calls so far, oldest first (`opentelemetry.sdk.trace.ReadableSpan`)."""
        return tuple(each for each in self._exporter.get_finished_spans() if each.instrumentation_scope.name == _SCOPE)

    def metric(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """Return a metric's data points by their sorted attributes: a number, or a histogram's data point."""
        data = self._reader.get_metrics_data()
        points: dict[tuple[tuple[str, Any], ...], Any] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        for point in metric.data.data_points:
                            points[tuple(sorted(point.attributes.items()))] = getattr(point, "value", point)
        return points


@contextmanager
def recording(rules: Sequence[Rule] = (), **settings: Any) -> Generator[Recorded, None, None]:
    """Run an embedded gateway, instrument the openai client for it, and record spans and metrics.

    Args:
        rules: What the gateway does wrong; see `huddle_otel.gateway`.
        settings: Further arguments of `instrument()`.
    """
    # the SDK is imported here: apps that only configure a pipeline elsewhere do not pay for it
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - see above
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415 - see above

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    with Gateway(rules=list(rules), key=KEY) as gateway:
        try:
            ours: dict[str, Any] = {
                "base_url": gateway.url,
                "api_key": KEY,
                "tracer_provider": tracer_provider,
                "meter_provider": MeterProvider([reader]),
            }
            instrument(**{**ours, **settings})
            yield Recorded(gateway, exporter, reader)
        finally:
            uninstrument()


@pytest.fixture
def huddle() -> Generator[Recorded, None, None]:
    """An instrumented openai client on an embedded gateway that answers well until it is scripted otherwise."""
    with recording() as recorded:
        yield recorded


class FakeClock:
    """A clock that stands still until it is told to move, s."""

    def __init__(self, now: float = 0.0) -> None:
        """Start at `now`."""
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> float:
        """Move on by `seconds`; return the new time."""
        self.now += seconds
        return self.now
