"""Pipelines that carry telemetry out of the process."""
