"""Pipelines that carry telemetry out of the process: OTLP, a Prometheus endpoint, a summary on the console.

::

    pipeline = huddle_otel_exporters.set_up(["otlp", "console"])
    huddle_otel.instrument(tracer_provider=pipeline.tracer_provider, meter_provider=pipeline.meter_provider)

The OpenTelemetry SDK and the exporters are imported when `set_up` needs them, not with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from huddle_otel_exporters.names import MissingExtraError, set_up

if TYPE_CHECKING:
    from huddle_otel_exporters.lifetime import install_sigterm
    from huddle_otel_exporters.pipeline import Pipeline

__all__ = ["MissingExtraError", "Pipeline", "install_sigterm", "set_up"]


def __getattr__(name: str) -> Any:
    if name == "Pipeline":
        from huddle_otel_exporters.pipeline import Pipeline  # noqa: PLC0415 - see the package

        return Pipeline
    if name == "install_sigterm":
        from huddle_otel_exporters.lifetime import install_sigterm  # noqa: PLC0415 - see the package

        return install_sigterm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
