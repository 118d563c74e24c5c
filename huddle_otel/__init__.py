"""Reliability and telemetry for the openai client on Huddle01's gateway: `huddle_otel.instrument()`."""

import importlib
import typing

from huddle_otel._version import __version__

if typing.TYPE_CHECKING:
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

_ROOMS: typing.Final = ("door", "errors", "settings", "spend")
"""Where the public names are. The errors derive from openai's, whose import takes half a second."""

if not typing.TYPE_CHECKING:  # for a type checker any name would be one of ours

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for, so that a command that needs none of them starts at once."""
        if name in __all__:
            for room in _ROOMS:
                found = vars(importlib.import_module(f"{__name__}.{room}"))
                if name in found:
                    return globals().setdefault(name, found[name])
        if name in _ROOMS:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
