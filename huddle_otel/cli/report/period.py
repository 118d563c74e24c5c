"""From what people type to a span of time, all in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_AGO: Final = re.compile(r"(\d{1,6}(?:\.\d+)?)([mhdw])")

_LAST: Final = datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time. Unix times, s; `until` is not in it."""

    since: float
    until: float

    @property
    def previous(self) -> Period:
        """Return the one as long, just before."""
        return Period(self.since - max(0.0, self.until - self.since), self.since)


def moment(text: str, *, now: float) -> float:
    """Return the Unix time, s, that a text means: `90m`, `24h`, `7d`, `2w` ago, an ISO 8601 date or time, or `now`.

    What is out of range is the first moment of 1970, or the last of 9999.

    Raises:
        ValueError: It means none.
    """
    return min(max(_meant(text, now), 0.0), _LAST)


def _meant(text: str, now: float) -> float:
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither 90m, 24h, 7d or 2w nor a date as 2026-11-01 or 2026-11-01T08:00"
        ) from None
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()
