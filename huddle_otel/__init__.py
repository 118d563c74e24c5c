"""Reliability and telemetry for the openai client on Huddle01's gateway: `huddle_otel.instrument()`."""

from huddle_otel._version import __version__
from huddle_otel.door import current_health, flush, force, instrument, instrument_client, reset, uninstrument
from huddle_otel.errors import (
    BulkheadFullError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineExceeded,
    FirstTokenTimeout,
    MalformedResponseError,
    MissingKeyError,
    RateLimitedError,
    SpendLimitError,
    StallTimeout,
    StreamTruncatedError,
)
from huddle_otel.settings import (
    BreakerPolicy,
    BulkheadPolicy,
    ContentPolicy,
    RateLimitPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    SpendGuard,
    TimeoutPolicy,
)
from huddle_otel.spend.tags import tags

__all__ = [
    "BreakerPolicy",
    "BulkheadFullError",
    "BulkheadPolicy",
    "CircuitOpenError",
    "ConfigurationError",
    "ContentPolicy",
    "DeadlineExceeded",
    "FirstTokenTimeout",
    "MalformedResponseError",
    "MissingKeyError",
    "RateLimitPolicy",
    "RateLimitedError",
    "RetryBudgetPolicy",
    "RetryPolicy",
    "SpendGuard",
    "SpendLimitError",
    "StallTimeout",
    "StreamTruncatedError",
    "TimeoutPolicy",
    "__version__",
    "current_health",
    "flush",
    "force",
    "instrument",
    "instrument_client",
    "reset",
    "tags",
    "uninstrument",
]
