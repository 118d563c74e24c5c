"""Reading OpenTelemetry's own variables. For a value that cannot be used the default holds, as in the SDK."""

from __future__ import annotations

import logging
import os
from typing import Final

_LOG: Final = logging.getLogger("huddle_otel")


def text(name: str) -> str:
    """Return a variable without surrounding space; empty when it is not set."""
    return os.environ.get(name, "").strip()


def number(name: str, default: float) -> float:
    """Return a variable as a number above 0."""
    value = text(name)
    if not value:
        return default
    try:
        result = float(value)
    except ValueError:
        result = 0.0
    if result > 0:
        return result
    _LOG.warning("huddle_otel: %s=%r is not a number above 0; %g is used", name, value, default)
    return default
