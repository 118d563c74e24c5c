"""The calendar periods of limits on spend, in UTC. Pure: Unix times in, Unix times out, s."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_LENGTHS: Final = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_LONGEST_MONTH: Final = timedelta(days=32)


def start_of(per: str, now: float) -> float:
    """Return when the period of a moment began; 0 for `total`, which has always been."""
    if per == "total":
        return 0.0
    if per == "month":
        moment = datetime.fromtimestamp(now, UTC)
        return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return now - now % _LENGTHS[per]


def next_after(per: str, began: float) -> float:
    """Return when the period after one begins; infinity for `total`."""
    if per == "total":
        return float("inf")
    if per == "month":
        return (datetime.fromtimestamp(began, UTC) + _LONGEST_MONTH).replace(day=1).timestamp()
    return began + _LENGTHS[per]
