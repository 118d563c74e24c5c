"""`huddle-otel dashboards`: the boards and rules, listed, written, and tried against a live Prometheus.

`export` writes, `validation` asks and judges, `screens` prints.
"""

from __future__ import annotations

from huddle_otel.cli.dashboards.export import RULES, export, rule_files, write
from huddle_otel.cli.dashboards.validation import Check, Status, validate
from huddle_otel.cli.prometheus import PrometheusError
from huddle_otel_dashboards.alerts import Fleet

__all__ = ["RULES", "Check", "Fleet", "PrometheusError", "Status", "export", "rule_files", "validate", "write"]
