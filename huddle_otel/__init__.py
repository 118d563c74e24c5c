"""Reliability and telemetry for the openai client on Huddle01's gateway: `huddle_otel.instrument()`."""

from huddle_otel._version import __version__
from huddle_otel.door import instrument, instrument_client, uninstrument
from huddle_otel.errors import ConfigurationError, DeadlineExceeded, MissingKeyError
from huddle_otel.settings import RetryPolicy, TimeoutPolicy
from huddle_otel.spend.tags import tags

__all__ = [
    "ConfigurationError",
    "DeadlineExceeded",
    "MissingKeyError",
    "RetryPolicy",
    "TimeoutPolicy",
    "__version__",
    "instrument",
    "instrument_client",
    "tags",
    "uninstrument",
]
