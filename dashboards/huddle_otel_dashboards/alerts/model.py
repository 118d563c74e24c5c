"""What an alert is, as data; and the clock that its windows are counted in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import isfinite
from typing import Final

_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
"""Prometheus' units of time, ms."""


class Severity(StrEnum):
    """Who hears of it, and when."""

    PAGE = "page"
    """Users are hurt, or money runs out, now: somebody is woken."""
    TICKET = "ticket"
    """Somebody looks during working hours."""


class Role(StrEnum):
    """What an alert is among others: Alertmanager keeps symptoms quiet while their cause is told."""

    OBJECTIVE = "objective"
    """A promise to users is being broken, whatever the cause. Never kept quiet."""
    OUTAGE = "outage"
    """A cause that explains the symptoms of its job and model."""
    ACCOUNT = "account"
    """The app's key is refused, or its money upstream is spent. Explains no slow or broken answer."""
    SYMPTOM = "symptom"
    """What an outage shows as."""
    SPEND = "spend"
    TELEMETRY = "telemetry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How long the windows of rules are. Scaled down, the same table can be tried in a minute.

    Raises:
        ValueError: A value is out of its range.
    """

    scale: float = 1.0
    """Length of a second of the table, s."""
    shortest: float = 0.0
    """No window is shorter, s: `increase()` needs at least two samples in it."""
    evaluation: float = 30.0
    """Time between two looks, s, not scaled."""

    def __post_init__(self) -> None:
        """Check every value."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not isfinite(value) or value < 0 or (value == 0 and each.name != "shortest"):
                least = "at least 0" if each.name == "shortest" else "above 0"
                raise ValueError(f"{each.name} must be a number {least}, got {value!r}")

    def window(self, seconds: float) -> str:
        """Return a window as Prometheus writes it."""
        return duration(max(seconds * self.scale, self.shortest))

    def hold(self, seconds: float) -> str:
        """Return how long a condition must hold."""
        return duration(seconds * self.scale)


def duration(seconds: float) -> str:
    """Return a time as Prometheus writes it, in one unit: 90 is `90s`, 7200 `2h`, 0.25 `250ms`."""
    millis = round(seconds * 1_000)
    unit = next((unit for unit, size in _UNITS.items() if millis and millis % size == 0), "s")
    return f"{millis // _UNITS[unit]}{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recording rule: an expression kept under a name, so that alerts and panels need not work it out."""

    name: str
    """`level:metric:operations`, as Prometheus' own practice has it."""
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert: a row of the table."""

    name: str
    """Also the anchor of its section in the runbook, in lower case."""
    condition: str
    """PromQL: what is wrong."""
    guard: str = ""
    """PromQL after `and`: below this volume the condition says nothing. Empty where one event is enough."""
    hold: float
    """Seconds that it must last."""
    severity: Severity
    role: Role
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further labels; they tell alerts of one name apart."""
    summary: str
    """One line, of what users feel."""
    description: str
    """Figures, and what follows."""

    @property
    def expr(self) -> str:
        """The whole expression."""
        return f"{self.condition}\nand {self.guard}" if self.guard else self.condition

    @property
    def key(self) -> str:
        """Its name, and what tells it from others of that name."""
        return "/".join((self.name, *self.labels.values()))

    @property
    def anchor(self) -> str:
        """Its section in the runbook, as GitHub names it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are worked out together, in this order."""

    name: str
    rules: tuple[Recording | Alert, ...]
    pace: int = 1
    """Worked out only at every `pace`th look."""
