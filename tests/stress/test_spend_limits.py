"""Limits on spend under storms: threads, tasks and whole processes cannot overshoot by more than reservations allow."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from huddle_otel.client.spending import Spending
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.settings import SpendGuard
from huddle_otel.spend import PriceTable
from tests.client.spend_calls import COST, RESERVED, request
from tests.client.support import KEY
from tests.redis_server import RedisServer, until

SCRIPT = Path(__file__).parent / "scripts" / "spending.py"
MACHINES = 4


def _machine(gateway: Gateway, server: RedisServer, limit: str, calls: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), gateway.url, KEY, server.url, limit, str(calls)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _end(machine: subprocess.Popen[str]) -> dict[str, int]:
    out, err = machine.communicate(timeout=100)
    assert machine.returncode == 0, err
    told: dict[str, int] = json.loads(out)
    return told


@pytest.mark.backend
def test_a_fleet_spends_its_limit_and_no_more(gateway: Gateway, redis_server: RedisServer) -> None:
    machines = [_machine(gateway, redis_server, "0.0068", 15) for _ in range(MACHINES)]
    told = [_end(each) for each in machines]
    made, blocked = (sum(each[what] for each in told) for what in ("made", "blocked"))
    assert made + blocked == MACHINES * 9 * 15
    assert len(gateway.calls) == made
    # a call costs less than it reserves, so the limit holds, and what is left of it at the end is less than one call
    assert 6_800_000 - RESERVED < made * COST <= 6_800_000
    assert redis_server.account("day::") == {"spent": made * COST, "reserved": 0}
    assert redis_server.account("day:model:gpt-4.1") == {"spent": made * COST, "reserved": 0}


@pytest.mark.backend
def test_what_a_killed_machine_had_reserved_stays_reserved_for_as_long_as_its_calls_may_last(
    gateway: Gateway, redis_server: RedisServer
) -> None:
    gateway.script([Rule(faults.hang())])
    machine = _machine(gateway, redis_server, "1", 1)
    try:
        until(lambda: redis_server.leases("day::") == 9)
    finally:
        machine.send_signal(signal.SIGKILL)
        machine.communicate()
    assert redis_server.account("day::") == {"spent": 0, "reserved": 9 * RESERVED}
    ends: list[str] = redis_server.ask("ZRANGE", "{huddle_otel:spend}:1:day:::leases", 0, -1, "WITHSCORES")[1::2]
    assert all(640 < float(each) - time.time() <= 660 for each in ends)


@pytest.mark.parametrize("seed", range(5))
def test_threads_overshoot_by_no_more_than_they_exceed_their_reservations(seed: int) -> None:
    limit = 10_000_000
    spending = Spending((SpendGuard(limit="0.01", action="block"),), PriceTable.catalogue(), time.time)
    ended: list[tuple[int, int]] = []

    def work(dice: random.Random) -> None:
        for _ in range(200):
            reservation, reply = spending.reserve(request(max_tokens=dice.randrange(60)), 60.0)
            if reply is None:
                (hold,) = reservation.holds
                cost = dice.randrange(700_000)
                ended.append((hold.amount, cost))
                spending.end(reservation, cost)
                spending.end(reservation, cost)  # counts once

    threads = [threading.Thread(target=work, args=(random.Random(seed * 8 + each),)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (row,) = spending.snapshot()
    spent, excess = sum(cost for _, cost in ended), sum(max(0, cost - amount) for amount, cost in ended)
    assert (row["spent"], row["reserved"]) == (spent, 0)
    assert limit - 500_000 < spent <= limit + excess
