"""Dashboards and alert rules for the telemetry that huddle_otel emits."""
