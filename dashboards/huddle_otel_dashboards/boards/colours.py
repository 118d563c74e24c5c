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
