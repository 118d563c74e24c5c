"""What a limit on spend adds to a call: kept by this process alone, and by a Redis on this machine.

`python -m tests.bench.spending`: prints a line for each. Wall time is what the call waits, CPU is its own thread's.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from huddle_otel.client.spending import Spending
from huddle_otel.policy.call import Pending
from huddle_otel.settings import SpendGuard
from huddle_otel.spend import PriceTable
from tests.client.spend_calls import COST, request
from tests.redis_server import RedisServer

CALLS: Final = 2_000
WARM: Final = 200
REQUEST: Final = request()


def measured(guards: tuple[SpendGuard, ...]) -> tuple[list[float], float]:
    """Return the seconds each call takes to reserve and settle, and the CPU of its thread, s per call."""
    spending = Spending(guards, PriceTable.catalogue(), time.time)
    took: list[float] = []
    cpu = 0.0
    for number in range(WARM + CALLS):
        if number == WARM:
            cpu = time.thread_time()
        begun = time.perf_counter()
        reservation, reply = spending.reserve(REQUEST, 600.0)
        if isinstance(reply, Pending) and reservation.ticket is not None:
            reservation.ticket.result(reply.max_wait)
            spending.conclude(reservation)
        spending.end(reservation, COST)
        took.append(time.perf_counter() - begun)
    cpu = (time.thread_time() - cpu) / CALLS
    spending.flush(time.monotonic() + 10)
    spending.close()
    return took[WARM:], cpu


def report(name: str, guards: tuple[SpendGuard, ...]) -> None:
    """Measure, and print a line."""
    took, cpu = measured(guards)
    p99 = quantiles(took, n=100)[98]
    print(f"{name:34} {median(took) * 1e6:7.0f} us a call, p99 {p99 * 1e6:7.0f} us; CPU {cpu * 1e6:5.0f} us")


def main() -> None:
    """Measure, and print."""
    own = (SpendGuard(limit=1_000_000), SpendGuard(limit=1_000_000, by="team"))
    report("one limit, this process", own[:1])
    report("two limits, this process", own)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        server.start()
        shared = tuple(SpendGuard(limit=1_000_000, by=by, store=server.url, store_timeout=5) for by in ("", "team"))
        report("one limit, Redis on this machine", shared[:1])
        report("two limits, Redis on this machine", shared)
        server.kill()
        report("one limit, its store away", shared[:1])


if __name__ == "__main__":
    main()
