"""OTLP, with the stock exporters: over HTTP, or over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from huddle_otel.errors import ConfigurationError
from huddle_otel_exporters.delivery import Sink, Trouble
from huddle_otel_exporters.environment import number, text
from huddle_otel_exporters.metrics import MetricPush
from huddle_otel_exporters.part import Part, nothing
from huddle_otel_exporters.spans import SpanQueue

TIMEOUT: Final = 1.5
"""Seconds for one export with all its retries, unless a variable says otherwise. The SDK's 10 s hold up the exit."""
SIGNALS: Final = ("TRACES", "METRICS")
_PROTOCOLS: Final = {"": "http", "http/protobuf": "http", "grpc": "grpc"}
_EXPORTERS: Final = {
    "TRACES": ("trace_exporter", "OTLPSpanExporter"),
    "METRICS": ("metric_exporter", "OTLPMetricExporter"),
}
_DEFAULT_ENDPOINTS: Final = {"http": "http://localhost:4318", "grpc": "http://localhost:4317"}


def build(name: str, *, protocol: str | None = None, signals: Collection[str] = SIGNALS) -> Part:
    """Build the exporters.

    Args:
        name: What the user called it, for messages.
        protocol: `grpc`, whatever the environment says; None is as `OTEL_EXPORTER_OTLP_PROTOCOL` says, else HTTP.
        signals: Which of `SIGNALS`.

    Raises:
        ConfigurationError: A variable names a protocol there is no exporter for.
        ImportError: The stock exporter is not installed.
    """
    troubles: dict[str, Trouble] = {}
    sinks: dict[str, Sink] = {}
    for signal in signals:
        chosen = protocol or _protocol(signal)
        where = _where(signal, chosen)
        trouble = troubles.setdefault(where, Trouble(name, where))  # one warning per back end, not one per signal
        sinks[signal] = Sink(partial(_exporter(signal, chosen), timeout=_timeout(signal)), trouble)
    queue = SpanQueue(sinks["TRACES"]) if "TRACES" in sinks else None
    push = MetricPush(sinks["METRICS"]) if "METRICS" in sinks else None
    return Part(
        span_processor=queue,
        reader=push.reader if push is not None else None,
        sinks=tuple(sinks.values()),
        workers=tuple(each.worker for each in (queue, push) if each is not None),
        patience=max((_timeout(signal) or number(_set(signal, "TIMEOUT"), TIMEOUT) for signal in signals), default=0.0),
        in_child=queue.in_child if queue is not None else nothing,
    )


def named_by_environment() -> tuple[str, ...]:
    """Return the signals for which the environment names an endpoint, and which it does not turn off."""
    return tuple(
        signal
        for signal in SIGNALS
        if text(_set(signal, "ENDPOINT")) and text(f"OTEL_{signal}_EXPORTER").lower() != "none"
    )


def _set(signal: str, what: str) -> str:
    """Return the name of the variable that counts: the signal's own when it is set, else the common one."""
    own = f"OTEL_EXPORTER_OTLP_{signal}_{what}"
    return own if text(own) else f"OTEL_EXPORTER_OTLP_{what}"


def _timeout(signal: str) -> float | None:
    """Return our timeout, or None when the user has set one, which the exporter then reads."""
    return None if text(_set(signal, "TIMEOUT")) else TIMEOUT


def _protocol(signal: str) -> str:
    variable = _set(signal, "PROTOCOL")
    value = text(variable).lower()
    if value not in _PROTOCOLS:
        raise ConfigurationError(field=variable, value=value, permitted="http/protobuf or grpc")
    return _PROTOCOLS[value]


def _where(signal: str, protocol: str) -> str:
    """Return host and port of the back end: a URL may hold credentials."""
    url = text(_set(signal, "ENDPOINT")) or _DEFAULT_ENDPOINTS[protocol]
    parts = urlsplit(url if "://" in url else f"//{url}")
    return parts.netloc.rpartition("@")[2] or "its endpoint"


def _exporter(signal: str, protocol: str) -> Callable[..., Any]:
    """Return the class. Imported only when asked for: gRPC alone takes a tenth of a second."""
    module, name = _EXPORTERS[signal]
    exporter: Callable[..., Any] = getattr(
        import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{module}"), name
    )
    return exporter
