"""The numbers that thresholds of panels and alerts share: what an on-call engineer would call too much."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite


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
    minimum: int = 20
    """Calls in an alert's window below which a ratio says nothing."""

    def __post_init__(self) -> None:
        """Check every value."""
        if not 0 < self.slo < 100:  # noqa: PLR2004 - percent
            raise ValueError(f"slo must be above 0 and below 100 (percent), got {self.slo!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if not isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be a number above 0, got {value!r}")
