"""Dashboards and alert rules for the telemetry that huddle_otel emits.

::

    from pathlib import Path
    import huddle_otel_dashboards

    huddle_otel_dashboards.names()               # ('huddle-latency', 'huddle-overview', ...)
    huddle_otel_dashboards.read("huddle-slo")    # JSON, as Grafana imports it
    huddle_otel_dashboards.export(Path("grafana"))
    huddle_otel_dashboards.names(fleet=True)     # ('huddle-fleet-latency', ...), from recording rules
"""

from __future__ import annotations

from huddle_otel_dashboards.files import export, names, read
from huddle_otel_dashboards.limits import Limits

__all__ = ["Limits", "export", "names", "read"]
