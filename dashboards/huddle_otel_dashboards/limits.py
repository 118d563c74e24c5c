"""The numbers that thresholds of panels and alerts share: what an on-call engineer would call too much."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite
from typing import Final

from huddle_otel.telemetry.contract import SECONDS

FASTEST_BURN: Final = 14.4
"""Times the rate that uses up the error budget in just 30 days: an hour of it takes 2 %.

Source: Google, The Site Reliability Workbook, chapter 5, "Alerting on SLOs".
"""
_LOWEST_SLO: Final = 100 - 100 / FASTEST_BURN
"""Below, the fastest burn would need more failures than there are calls, and its alert could never fire."""
_LONGEST: Final = SECONDS[-1]
"""Above the histograms' last bound, s, no percentile can be read, and an alert on one could never fire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Targets and limits; every one can be set when dashboards and rules are made.

    Raises:
        ValueError: A value is out of its range; the message names it, and what is permitted.
    """

    slo: float = 99.5
    """Percent of calls that are to be answered, over 30 days."""
    p95: float = 20.0
    """Seconds that 95 of 100 calls are to stay below, retries included."""
    first_chunk: float = 5.0
    """Seconds to the first content that 95 of 100 streams are to stay below."""
    budget_usd_day: float = 50.0
    """USD that a day may cost."""
    spend_factor: float = 3.0
    """How many times its usual rate spend may reach."""
    amplification: float = 1.1
    """Requests per call: what the retry budget allows at most."""
    faults: float = 5.0
    """Percent of requests, or calls, that one kind of failure may take: a timeout, a rate limit, a refused key."""
    stream_faults: float = 1.0
    """Percent of calls that may stall, or be cut short, in their stream."""
    flaps: float = 3.0
    """How often a circuit may open and close again in half an hour."""
    minimum: float = 20.0
    """Calls in an alert's window below which a ratio says nothing."""
    minimum_failures: float = 5.0
    """Failed calls in an alert's window below which nobody is woken."""

    def __post_init__(self) -> None:
        """Check every value."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be a number above 0, got {value!r}")
        if not _LOWEST_SLO < self.slo < 100:  # noqa: PLR2004 - percent
            raise ValueError(f"slo must be above {_LOWEST_SLO:.1f} and below 100 (percent), got {self.slo!r}")
        for name in ("p95", "first_chunk"):
            if getattr(self, name) >= _LONGEST:
                raise ValueError(f"{name} must be below {_LONGEST:g} (s, the last bucket), got {getattr(self, name)!r}")
        for name in ("faults", "stream_faults"):
            if getattr(self, name) >= 100:  # noqa: PLR2004 - percent
                raise ValueError(f"{name} must be below 100 (percent), got {getattr(self, name)!r}")

    @property
    def error_budget(self) -> float:
        """Share of calls that may fail, 0 to 1."""
        return round(1 - self.slo / 100, 10)
