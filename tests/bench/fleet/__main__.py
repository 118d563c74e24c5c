"""What each policy adds, on a fleet, in simulated time: a brown-out, an outage, and two hours of errors."""

from __future__ import annotations

import time
from typing import Final

from huddle_otel.settings import Settings
from tests.bench.fleet.simulation import BREAKER, BUDGET, DEFAULTS, IN_STEP, NOTHING, RETRIES, Fleet, count

LADDER: Final = {
    "no retries": NOTHING,
    "3 attempts, no bound": RETRIES,
    "+ retry budget": BUDGET,
    "+ breaker": BREAKER,
    "+ bulkhead and gate (defaults)": DEFAULTS,
}


def brown_out(settings: Settings) -> Fleet:
    """20 processes at 80 % of the upstream's capacity, which falls to a quarter from 30 s to 60 s; 5 more minutes."""
    fleet = Fleet(settings, processes=20, rate=4.0, seed=1, places=100, total=600.0)
    fleet.clock.run(30)
    fleet.upstream.share = 0.25
    fleet.clock.run(60)
    fleet.upstream.share = 1.0
    fleet.clock.run(370)
    return fleet


def outage(settings: Settings) -> Fleet:
    """300 processes; nothing gets through from 5 s to 65 s; 25 s more."""
    fleet = Fleet(settings, processes=300, rate=10.0, seed=1, places=6000)
    fleet.clock.run(5)
    fleet.upstream.down = True
    fleet.clock.run(65)
    fleet.upstream.down = False
    fleet.clock.run(90)
    return fleet


def errors(share: float) -> Fleet:
    """10 processes for two hours, with so many requests answered 503."""
    fleet = Fleet(DEFAULTS, processes=10, rate=1.0, seed=1, places=100)
    fleet.upstream.faults = share
    fleet.clock.run(7200)
    return fleet


def main() -> None:
    """Run and print."""
    started = time.monotonic()
    calls = 0
    print("brown-out, 20 processes, 80 calls/s        during %  recovery s  load x peak  work for nobody")
    for name, settings in LADDER.items():
        fleet = brown_out(settings)
        calls += len(fleet.offered)
        recovery = fleet.recovery(60, 360)
        peak = max(fleet.amplification(at, at + 5) for at in range(0, 355, 5))
        print(
            f"  {name:38} {fleet.goodput(30, 60) * 100:11.0f} {'never' if recovery is None else f'{recovery:.0f}':>11} "
            f"{peak:12.2f} {fleet.upstream.worked - len(fleet.good):16}"
        )
    print("outage, 300 processes, 3,000 calls/s       load from 15 s on %  requests in the busiest s  recovery s")
    for name, settings in {"without jitter": IN_STEP, "defaults": DEFAULTS}.items():
        fleet = outage(settings)
        calls += len(fleet.offered)
        print(
            f"  {name:38} {fleet.amplification(20, 65) * 100:21.1f} {fleet.busiest(20, 65):26} "
            f"{fleet.recovery(65, 85) or 0:11.0f}"
        )
    print("two hours of 503s, 10 processes, 10 calls/s  goodput %  load x  worst 30 s above 1.10 x (promised <= 100)")
    for share in (0.05, 0.2, 0.4):
        fleet = errors(share)
        calls += len(fleet.offered)
        worst = max(
            count(fleet.upstream.arrivals, at, at + 30) - 1.1 * count(fleet.offered, at, at + 30)
            for at in range(0, 7170, 30)
        )
        print(
            f"  {f'{share:.0%} of requests':41} {fleet.goodput(0, 7180) * 100:10.1f} "
            f"{fleet.amplification(0, 7200):9.3f} {worst:24.1f}"
        )
    print(f"{calls:,} calls simulated in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
