"""Breaker behaviour against language-neutral cases after resilience4j, Polly, gobreaker and failsafe-go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from huddle_otel.policy.breaker import Breaker, Permit, State, Verdict
from huddle_otel.settings import BreakerPolicy

CASES = json.loads((Path(__file__).parent / "data" / "breaker_cases.json").read_text())["cases"]
VERDICTS = {"ok": Verdict.OK, "fail": Verdict.FAILURE, "ignore": Verdict.IGNORED}
FORCED = {"open": State.FORCED_OPEN, "disabled": State.DISABLED, "metrics_only": State.METRICS_ONLY}


def policy(config: dict[str, Any]) -> BreakerPolicy:
    """Translate a case's settings: its buckets are 1 s wide, its open time has no jitter and no bound."""
    return BreakerPolicy(
        window=config["size"],
        buckets=config["size"],
        min_calls=config["min_calls"],
        failure_rate=config["rate"],
        slow_after=config.get("slow_s"),
        slow_rate=config.get("slow_rate"),
        open_for=config["open_s"],
        backoff=config.get("open_backoff", 1),
        max_open=86_400,
        jitter=0,
        probes=config["permits"],
        concurrent_probes=config["concurrent"],
        max_half_open=config.get("max_half_open_s"),
    )


class Player:
    """Plays the steps of one case."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.breaker = Breaker(policy(config))
        self.slow_after = config.get("slow_s", float("inf"))
        self.held: dict[str, tuple[float, Permit]] = {}
        self.opened = 0

    def admit(self, now: float) -> Permit | None:
        admitted = self.breaker.admit(now, 0.5)
        return admitted if isinstance(admitted, Permit) else None

    def end(self, permit: Permit, started: float, now: float, outcome: str) -> None:
        slow = now - started >= self.slow_after
        self.breaker.record(permit, VERDICTS[outcome], slow=slow, now=now, draw=0.5)

    def play(self, now: float, op: str, *args: Any) -> None:
        getattr(self, op)(now, *args)
        self.opened += sum(each.after is State.OPEN for each in self.breaker.take_transitions())

    def call(self, now: float, outcome: str, duration: float) -> None:
        permit = self.admit(now)
        assert permit is not None
        self.end(permit, now, now + duration, outcome)

    def start(self, now: float, handle: str, admitted: bool | None) -> None:
        permit = self.admit(now)
        if admitted is not None:
            assert (permit is not None) is admitted
        if permit is not None:
            self.held[handle] = (now, permit)

    def finish(self, now: float, handle: str, outcome: str) -> None:
        started, permit = self.held.pop(handle)
        self.end(permit, started, now, outcome)

    def cancel(self, now: float, handle: str) -> None:
        self.finish(now, handle, "ignore")

    def state(self, now: float, name: str) -> None:
        assert self.breaker.state(now) is State[name]

    def window(self, now: float, calls: int, failures: int, slow: int) -> None:
        assert self.breaker.window(now) == (calls, failures, slow)

    def force(self, now: float, how: str) -> None:
        if how == "reset":
            self.breaker.reset(now)
        else:
            self.breaker.force(FORCED[how], now)

    def opened_events(self, _now: float, count: int) -> None:
        assert self.opened == count


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    player = Player(case["config"])
    for now, op, *args in case["events"]:
        player.play(now, "finish" if op == "end" else op, *args)
