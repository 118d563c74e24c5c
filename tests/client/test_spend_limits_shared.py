"""Limits on spend that a real Redis keeps for all: every call is reserved and settled there, however it ends."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.spend.accounts import Ask
from huddle_otel.spend.guard import Budget
from huddle_otel.spend.shared import reserving
from tests.client.spend_calls import BOUNDED, COST, RESERVED, ask
from tests.client.support import FLAVOURS, Instrument, Recorded, collect, with_async
from tests.redis_server import PASSWORD, RedisServer, until

pytestmark = pytest.mark.backend


@pytest.fixture(autouse=True)
def _every_lease_is_settled(redis_server: RedisServer) -> Iterator[None]:
    yield
    assert huddle_otel.flush()
    keys = redis_server.ask("KEYS", "*:leases")
    assert [key for key in keys if redis_server.ask("ZCARD", key)] == []


def _guard(redis_server: RedisServer, **fields: Any) -> SpendGuard:
    return SpendGuard(**{"limit": 1, "action": "block", "store": redis_server.url, "store_timeout": 5.0, **fields})


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_settled_in_the_store(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, flavour: str, stream: bool
) -> None:
    instrument(spend_guard=[_guard(redis_server), _guard(redis_server, by="team", per="month")])
    with huddle_otel.tags(team="search"):
        ask(flavour, stream=stream)
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": COST, "reserved": 0}
    assert redis_server.account("month:team:search") == {"spent": COST, "reserved": 0}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_another_machine_has_reserved_blocks_here(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, redis_server: RedisServer, flavour: str
) -> None:
    guard = _guard(redis_server, limit=0.0001)
    redis_server.run(reserving([Ask(Budget(guard), "", 50_000)], lease="another", lasts=60))
    instrument(spend_guard=[SpendGuard(limit=1, per="month"), guard])
    with pytest.raises(huddle_otel.SpendLimitError, match=r"\$0.00005 are spent or reserved"):
        ask(flavour)
    assert gateway.calls == []
    budgets = {each["budget"]: each for each in huddle_otel.current_health()["budgets"]}
    assert (budgets["day"]["spent"], budgets["day"]["reserved"], budgets["month"]["reserved"]) == (0, 50_000, 0)
    assert 0 <= budgets["day"]["age"] < 10
    assert recorded.total("huddle.client.budget.used.usd", budget="day") == pytest.approx(5e-5)
    redis_server.ask("DEL", "{huddle_otel:spend}:1:day:::leases")


def test_a_limit_that_warns_is_one_of_the_whole_fleet(
    instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=_guard(redis_server, limit=0.0001, action="warn"))
    for _ in range(3):
        ask()
    told = [each for each in caplog.messages if "does not block" in each]
    assert told == [
        "huddle_otel: the spend limit of $0.0001 per day does not block a call: $0.000068 are spent or reserved"
    ]


def test_any_number_of_event_loops_and_threads_use_it(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    instrument(spend_guard=_guard(redis_server))

    async def several() -> None:
        async with openai.AsyncOpenAI() as client:
            await asyncio.gather(*(client.chat.completions.create(**BOUNDED) for _ in range(5)))

    threads = [threading.Thread(target=lambda: [asyncio.run(several()) for _ in range(3)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 45 * COST, "reserved": 0}
    assert len([each for each in threading.enumerate() if each.name == "huddle_otel-spend"]) == 1


def test_calls_at_once_cannot_overshoot(gateway: Gateway, instrument: Instrument, redis_server: RedisServer) -> None:
    instrument(spend_guard=_guard(redis_server, limit=0.0005))
    gateway.script([Rule(faults.slow_headers(0.3))])

    async def several() -> list[Any]:
        async with openai.AsyncOpenAI() as client:
            calls = (client.chat.completions.create(**BOUNDED) for _ in range(16))
            return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(several())
    blocked = [each for each in results if isinstance(each, huddle_otel.SpendLimitError)]
    assert 1 <= len(gateway.calls) == 16 - len(blocked) <= 7
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": len(gateway.calls) * COST, "reserved": 0}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_failure_that_reached_nobody_is_given_back(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, flavour: str
) -> None:
    instrument(spend_guard=_guard(redis_server), retry=None)
    gateway.script([Rule(faults.rate_limited())])
    with pytest.raises(openai.RateLimitError):
        ask(flavour)
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 0, "reserved": 0}


def test_a_call_cancelled_while_an_upstream_works_on_it_costs_what_was_reserved(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    instrument(spend_guard=_guard(redis_server))
    gateway.script([Rule(faults.hang())])

    async def work(client: Any) -> None:
        call = asyncio.ensure_future(client.chat.completions.create(**BOUNDED))
        while not gateway.calls:
            await asyncio.sleep(0.01)
        assert redis_server.leases("day::") == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with_async(work)
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": RESERVED, "reserved": 0}


def test_a_call_cancelled_while_the_store_thinks_leaves_nothing_there(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    instrument(spend_guard=_guard(redis_server))
    redis_server.freeze()

    async def work(client: Any) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.chat.completions.create(**BOUNDED), 0.2)

    with_async(work)
    redis_server.thaw()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 0, "reserved": 0}
    assert gateway.calls == []


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_stream_left_early_is_settled_all_the_same(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, how: str
) -> None:
    instrument(spend_guard=_guard(redis_server))
    with openai.OpenAI() as client:
        stream: Any = client.chat.completions.create(**BOUNDED, stream=True)
        next(iter(stream))
        if how == "close":
            stream.close()
        del stream
        collect()
        until(lambda: not huddle_otel.current_health()["budgets"][0]["reserved"])
    assert huddle_otel.flush()
    assert redis_server.account("day::")["spent"] >= COST


def test_a_lease_outlives_the_call_it_is_for_by_a_minute(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    instrument(spend_guard=_guard(redis_server))
    with openai.OpenAI(timeout=40) as client:
        stream: Any = client.chat.completions.create(**BOUNDED, stream=True)
        _, ends = redis_server.ask("ZRANGE", "{huddle_otel:spend}:1:day:::leases", 0, -1, "WITHSCORES")
        assert 95 < float(ends) - time.time() <= 660
        list(stream)


def test_new_settings_go_on_with_the_same_connection(instrument: Instrument, redis_server: RedisServer) -> None:
    guard = _guard(redis_server)
    instrument(spend_guard=guard)
    ask()
    instrument(spend_guard=[guard, SpendGuard(limit=1, per="month")])
    ask()
    instrument(spend_guard=None)
    until(lambda: "huddle_otel-spend" not in {each.name for each in threading.enumerate()})
    assert redis_server.account("day::") == {"spent": 2 * COST, "reserved": 0}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_connection_of_its_own(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    instrument(spend_guard=_guard(redis_server))
    with openai.OpenAI() as client:
        stream: Any = client.chat.completions.create(**BOUNDED, stream=True)
        child = os.fork()
        if not child:
            try:
                ask()
                os._exit(not huddle_otel.flush())
            finally:
                os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert redis_server.account("day::")["spent"] == COST
        list(stream)
    ask()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 3 * COST, "reserved": 0}


def test_the_password_is_nowhere(
    instrument: Instrument, recorded: Recorded, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    instrument(spend_guard=_guard(redis_server, limit=0.0001))
    ask()
    with pytest.raises(huddle_otel.SpendLimitError) as blocked:
        ask()
    seen = [caplog.text, repr(blocked.value), str(huddle_otel.current_health()), str(recorded.metrics())]
    seen += [str(span.to_json()) for span in recorded.spans]
    assert [each for each in seen if PASSWORD in each] == []
