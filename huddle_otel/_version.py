"""The version, read by the build and by the telemetry that carries it."""

__version__ = "0.1.0"
