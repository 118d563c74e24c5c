"""Every metric of the contract with a point, on any meter provider."""

from __future__ import annotations

from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.metrics import Metrics

TRACE_ID, SPAN_ID = 0xABCDEF0123456789ABCDEF0123456789, 0x1234567890ABCDEF


def record_all(provider: MeterProvider) -> None:
    """Record once on each metric: 0.3 on histograms, inside a sampled span, and 1 elsewhere."""
    made = Metrics.on(provider, "1.2.3")
    made.circuits = lambda: [{"circuit": "host/gpt/chat", "state": "open", "retry_budget": 1.0}]
    made.budgets = lambda: [{"budget": "day/team", "key": "search", "spent": 1, "reserved": 0, "limit": 2}]
    span = NonRecordingSpan(SpanContext(TRACE_ID, SPAN_ID, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    token = context.attach(trace.set_span_in_context(span))
    for metric in contract.METRICS:
        values: dict[str, Any] = {name: 443 if name == contract.SERVER_PORT else 'a "b"' for name in metric.attributes}
        if metric.kind is contract.Kind.HISTOGRAM:
            made._histograms[metric.name].record(0.3, values)
        else:
            made.tallies.add_all([(metric, tuple(values.items()), 1)])
    context.detach(token)


def scraped_name(name: str, unit: str, *, monotonic: bool) -> str:
    """Return what OpenTelemetry's rules make of a pushed metric's name, for the units of the contract."""
    suffix = "" if unit.startswith("{") else {"s": "_seconds"}[unit]
    return name.replace(".", "_") + suffix + ("_total" if monotonic else "")
