"""Grafana's template variables, put into a query as Grafana does it for Prometheus.

https://grafana.com/docs/grafana/latest/dashboards/variables/add-template-variables/#global-variables and
https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, isfinite
from typing import Any, Final

_VARIABLE: Final = re.compile(r"\$(\w+)|\$\{(\w+)(?::\w+)?\}")
_SPECIAL: Final = re.compile(r"[\\$^*{}\[\]'+?.()|]")
_ALL: Final = ["$__all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The time a board shows.

    Raises:
        ValueError: A value is out of its range.
    """

    end: float
    """Unix time, s."""
    seconds: float = 3_600.0
    scrape: float = 15.0
    """Prometheus' scrape interval, s, which Grafana knows from the data source's settings; 15 is its default."""
    points: int = 1_000
    """How many points are drawn at most; a panel may say fewer."""

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("end", "seconds", "scrape", "points"):
            value = getattr(self, name)
            if not isfinite(value) or value <= 0:
                raise ValueError(f"{name} must be a number above 0, got {value!r}")

    @property
    def start(self) -> float:
        """Unix time, s."""
        return self.end - self.seconds

    @property
    def step(self) -> int:
        """Time between two points, whole seconds: `$__interval`."""
        return max(1, ceil(self.scrape), ceil(self.seconds / self.points))

    def since(self, beginning: str) -> Window:
        """Return the window of a panel with a time range of its own.

        Args:
            beginning: `now/d` is today so far, `now/M` this month; UTC.

        Raises:
            ValueError: It is neither.
        """
        now = datetime.fromtimestamp(self.end, UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        begun = {"now/d": midnight, "now/M": midnight.replace(day=1)}.get(beginning)
        if begun is None:
            raise ValueError(f"beginning must be now/d or now/M, got {beginning!r}")
        return replace(self, seconds=max(1.0, self.end - begun.timestamp()))

    def variables(self) -> dict[str, str]:
        """Return Grafana's own variables."""
        rate = max(self.step + ceil(self.scrape), 4 * ceil(self.scrape))
        return {
            "__interval": f"{self.step}s",
            "__rate_interval": f"{rate}s",
            "__range": f"{ceil(self.seconds)}s",
        }


def chosen(board: Mapping[str, Any]) -> dict[str, str]:
    """Return the value of each of a board's variables when it is opened: everything, and what is typed in.

    Args:
        board: A dashboard's JSON.
    """
    values: dict[str, str] = {}
    for variable in board["templating"]["list"]:
        value: str | list[str] = variable.get("current", {}).get("value", variable.get("query", ""))
        if value == _ALL:
            value = variable.get("allValue", "")
        values[variable["name"]] = value if isinstance(value, str) else _alternatives(value)
    return values


def substitute(query: str, values: Mapping[str, str]) -> str:
    """Return a query with the values put in; what is no variable, such as `$1` of `label_replace`, stays.

    Args:
        query: PromQL with `$name`, `${name}` or `${name:format}`.
        values: Name -> value.
    """
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], found[0]), query)


def _alternatives(values: list[str]) -> str:
    """Return a regular expression in a PromQL string that matches the values and nothing else."""
    escaped = [_SPECIAL.sub(lambda found: "\\\\" + found[0].replace("\\", "\\\\"), value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
