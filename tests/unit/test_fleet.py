"""What only many processes show, on the simulated fleet: no time passes and the draws are seeded."""

from __future__ import annotations

import pytest

from huddle_otel.events import Outcome
from huddle_otel.settings import Settings
from tests.bench.fleet.simulation import DEFAULTS, IN_STEP, RETRIES, Fleet, count


def _brown_out(settings: Settings, *, seed: int = 1) -> Fleet:
    fleet = Fleet(settings, processes=10, rate=4.0, seed=seed, places=50, total=600.0)
    fleet.clock.run(20)
    fleet.upstream.share = 0.25
    fleet.clock.run(50)
    fleet.upstream.share = 1.0
    fleet.clock.run(200)
    return fleet


def _outage(settings: Settings) -> Fleet:
    fleet = Fleet(settings, processes=100, rate=10.0, seed=2, places=2000)
    fleet.clock.run(5)
    fleet.upstream.down = True
    fleet.clock.run(50)
    fleet.upstream.down = False
    fleet.clock.run(75)
    return fleet


def test_a_brown_out_leaves_no_metastable_state() -> None:
    assert (_brown_out(DEFAULTS).recovery(50, 190) or 0) <= 30, "T5"
    unbounded = _brown_out(RETRIES)
    assert unbounded.recovery(50, 190) is None, "the scenario must be one that retries alone do not get out of"
    assert unbounded.amplification(60, 190) > 2


def test_an_outage_sees_only_probes_and_its_end_no_herd() -> None:
    fleet = _outage(DEFAULTS)
    assert fleet.amplification(5, 50) <= 1, "T2"
    assert fleet.amplification(20, 50) < 0.03, "T2: from 15 s on a probe per process and open time"
    assert fleet.recovery(50, 70) is not None, "T3"
    assert (fleet.recovery(50, 70) or 0) <= 15, "T3"
    assert fleet.busiest(50, 75) < 1.3 * fleet.busiest(0, 5), "who comes back brings no more than before"


def test_jitter_keeps_the_probes_of_a_fleet_apart() -> None:
    assert _outage(DEFAULTS).busiest(20, 50) < 0.75 * _outage(IN_STEP).busiest(20, 50)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.6])
def test_retries_stay_within_the_budget_in_every_half_minute_of_an_hour(share: float) -> None:
    fleet = Fleet(DEFAULTS, processes=1, rate=4.0, seed=3, places=50)
    fleet.upstream.faults = share
    fleet.clock.run(3600)
    for at in range(0, 3570, 10):
        sent, offered = count(fleet.upstream.arrivals, at, at + 30), count(fleet.offered, at, at + 30)
        assert sent <= 1.1 * offered + 10, f"T1, from {at} s on"


def test_every_call_ends_and_every_permit_comes_back() -> None:
    fleet = _brown_out(DEFAULTS)
    made = len(fleet.offered)
    fleet.stop()
    fleet.clock.run(1000)
    assert len(fleet.offered) == made
    assert sum(fleet.outcomes.values()) == made
    assert set(fleet.outcomes) == {Outcome.OK, Outcome.ERROR, Outcome.REJECTED}
    for circuits in fleet.circuits:
        for figures in circuits.snapshot():
            assert figures["in_flight"] == figures["waiting"] == 0
            assert figures["admitted"] == figures["ok"] + figures["failure"] + figures["ignored"]


def test_the_same_seed_is_the_same_run() -> None:
    first, second, other = (_brown_out(DEFAULTS, seed=seed) for seed in (1, 1, 2))
    assert first.upstream.arrivals == second.upstream.arrivals
    assert first.upstream.arrivals != other.upstream.arrivals
