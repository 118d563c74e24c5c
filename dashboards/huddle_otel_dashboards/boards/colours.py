"""One colour per meaning on every board: green is answered, red is failed."""

from __future__ import annotations

from typing import Final

GOOD: Final = "green"
WARN: Final = "orange"
BAD: Final = "red"
CALM: Final = "blue"
FAINT: Final = "#8e8e8e"

OUTCOMES: Final = {
    "ok": GOOD,
    "error": BAD,
    "truncated": "purple",
    "rejected": WARN,
    "blocked": "yellow",
    "cancelled": CALM,
    "abandoned": FAINT,
}
REASONS: Final = {
    "breaker_open": BAD,
    "rate_limited": WARN,
    "bulkhead_full": "purple",
    "budget_exceeded": "yellow",
}
CAUSES: Final = {
    "429": "yellow",
    "500": "dark-red",
    "502": BAD,
    "503": "light-red",
    "504": "semi-dark-red",
    "529": "dark-yellow",
    "connect_error": "dark-blue",
    "connect_timeout": "light-blue",
    "disconnect": CALM,
    "first_token_timeout": "light-purple",
    "stall_timeout": "super-light-purple",
    "deadline_exceeded": "dark-purple",
    "stream_truncated": "purple",
    "stream_error": "semi-dark-purple",
    "breaker_open": WARN,
    "bulkhead_full": "light-orange",
    "rate_limited": "super-light-yellow",
    "budget_exceeded": "dark-orange",
}
"""Statuses are red, or yellow where the upstream has too much to do; connections are blue, streams and clocks purple,
refusals of our own orange."""
SOURCES: Final = {"gateway": GOOD, "override": CALM, "catalogue": WARN, "unknown": BAD}
STREAM_FAULTS: Final = {
    "stall": WARN,
    "truncated": "purple",
    "error_event": BAD,
    "disconnect": "dark-red",
    "malformed": "yellow",
}
TOKENS: Final = {
    "input": CALM,
    "output": GOOD,
    "cache_read": "light-blue",
    "cache_write": "dark-blue",
    "reasoning": "light-green",
}
STATES: Final = {"closed": GOOD, "half-open": "yellow", "open": BAD}
"""A circuit's, in the order of their numbers 0, 1, 2."""
