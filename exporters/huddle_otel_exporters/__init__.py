"""Pipelines that carry telemetry out of the process: OTLP, a Prometheus endpoint, a summary on the console.

::

    pipeline = huddle_otel_exporters.set_up(["otlp", "console"])
    huddle_otel.instrument(tracer_provider=pipeline.tracer_provider, meter_provider=pipeline.meter_provider)

Everything is imported when it is asked for, not with the package: whoever only reads a ledger needs neither the
OpenTelemetry SDK nor the openai client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from huddle_otel_exporters.lifetime import install_sigterm
    from huddle_otel_exporters.names import MissingExtraError, set_up
    from huddle_otel_exporters.pipeline import Pipeline

__all__ = ["MissingExtraError", "Pipeline", "install_sigterm", "set_up"]

_HOMES: Final = {
    "MissingExtraError": "names",
    "Pipeline": "pipeline",
    "install_sigterm": "lifetime",
    "set_up": "names",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
