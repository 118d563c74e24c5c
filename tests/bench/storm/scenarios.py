"""What goes wrong, when and how badly, and the load it meets. Times are model seconds; a run scales them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from huddle_otel.gateway import Model, Rule, faults
from huddle_otel.gateway.models import Usage

FAULT_AT: Final = 12.0
"""Seconds of good service before the fault."""
TOTAL: Final = 84.0
"""Seconds of offered load."""
SERVICE: Final = 1.2
"""Seconds one good answer takes."""
PATIENCE: Final = 10.0
"""The app's own `timeout`, s, the same for every contender: beyond it nobody waits for the answer."""
LOAD: Final = 0.8
"""Share of the upstream's capacity that is offered."""

MODEL_ID: Final = "gpt-4.1"
CHUNKS: Final = 8
PROMPT: Final = "How long is a day on Mars, in seconds?"
KEY: Final = "sk-huddle-storm"
REFUSAL: Final = faults.status(503)
"""What an upstream that is down answers, at once."""


def model(first_token: float = 0.0) -> Model:
    """Return the one model served, at its list price."""
    return Model(MODEL_ID, Decimal("2.00"), Decimal("8.00"), first_token=first_token, chunks=CHUNKS)


def price() -> float:
    """Return the USD that one answer costs at the gateway's prices."""
    cost = model().cost(Usage(prompt=-(-len(PROMPT) // 4), completion=CHUNKS))
    assert cost is not None
    return float(cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One stretch of trouble."""

    after: float
    until: float
    slower: float | None
    """Factor on the service time, and so the divisor of the capacity; None: every call is answered 503 at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One storm."""

    name: str
    title: str
    phases: tuple[Phase, ...]
    total_outage: bool = False
    """Nothing gets through while it lasts, so that T2 applies."""
    partial: bool = field(default=False)
    """Some calls get through at all times, so that T1 applies."""

    @property
    def healthy_at(self) -> float:
        """When the upstream is wholly well again."""
        return max(phase.until for phase in self.phases)

    def rules(self, scale: float) -> list[Rule]:
        """Return the gateway's script, in real time."""
        return [_rule(phase, scale) for phase in self.phases]


def _rule(phase: Phase, scale: float) -> Rule:
    if phase.slower is None:
        return Rule(REFUSAL, after=phase.after / scale, until=phase.until / scale)
    slow = faults.slow_headers((phase.slower - 1) * SERVICE / scale)
    return Rule(slow, after=phase.after / scale, until=phase.until / scale)


SCENARIOS: Final = (
    Scenario(
        name="brown-out",
        title="Brown-out: a quarter of the capacity for 30 s",
        phases=(Phase(after=12, until=42, slower=4),),
        partial=True,
    ),
    Scenario(
        name="outage",
        title="Outage: 503 for 30 s",
        phases=(Phase(after=12, until=42, slower=None),),
        total_outage=True,
    ),
    Scenario(
        name="slow-start",
        title="Slow start: 503 for 15 s, then 3x and 1.5x slower",
        phases=(
            Phase(after=12, until=27, slower=None),
            Phase(after=27, until=35, slower=3),
            Phase(after=35, until=42, slower=1.5),
        ),
    ),
    Scenario(
        name="flapping",
        title="Flapping: 503 for 5 s of every 10 s, three times",
        phases=tuple(Phase(after=at, until=at + 5, slower=None) for at in (12, 22, 32)),
        partial=True,
    ),
)
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
