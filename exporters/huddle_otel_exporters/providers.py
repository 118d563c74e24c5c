"""The app's providers, or ours. Ours are made once: OpenTelemetry's globals cannot be set twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

from huddle_otel_exporters import lifetime
from huddle_otel_exporters.part import Part
from huddle_otel_exporters.pipeline import Pipeline


class _Ours:
    tracer: TracerProvider | None = None
    meter: MeterProvider | None = None


_OURS: Final = _Ours()


def of_the_app() -> bool:
    """Return whether the app has set a provider of its own, for spans or for metrics."""
    return (_tracer_set() and trace.get_tracer_provider() is not _OURS.tracer) or (
        _meter_set() and metrics.get_meter_provider() is not _OURS.meter
    )


def attach(parts: Sequence[Part], resource_attributes: Mapping[str, AttributeValue]) -> Pipeline:
    """Put parts on providers, start them, and see to forks and the exit."""
    resource = Resource.create(dict(resource_attributes))
    spans = [part.span_processor for part in parts if part.span_processor is not None]
    readers = [part.reader for part in parts if part.reader is not None]
    tracer = _tracer_provider(resource) if spans else None
    for processor in spans:
        if tracer is not None:
            tracer.add_span_processor(processor)
    meter = _OURS.meter if readers else None
    if meter is not None:
        for reader in readers:
            meter.add_metric_reader(reader)
    elif readers:
        meter = _OURS.meter = MeterProvider(readers, resource, shutdown_on_exit=False)
    if meter is not None and not _meter_set():
        metrics.set_meter_provider(meter)
    pipeline = Pipeline(parts, tracer_provider=tracer, meter_provider=meter)
    pipeline.start()
    lifetime.watch(pipeline)
    return pipeline


def _tracer_provider(resource: Resource) -> TracerProvider:
    current = trace.get_tracer_provider()
    if isinstance(current, TracerProvider):
        return current
    if _OURS.tracer is None:
        _OURS.tracer = TracerProvider(resource=resource, shutdown_on_exit=False)
    if not _tracer_set():
        trace.set_tracer_provider(_OURS.tracer)
    return _OURS.tracer


def _tracer_set() -> bool:
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _meter_set() -> bool:
    return type(metrics.get_meter_provider()).__name__ != "_ProxyMeterProvider"  # it is public for spans only
