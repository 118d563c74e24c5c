"""Limits on spend whose store cannot be reached: no call waits for it long, and each limit follows its stated rule."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.client import store
from huddle_otel.gateway import Gateway
from huddle_otel.settings import StoreUrl
from huddle_otel.spend.shared import Command
from tests.client.spend_calls import BOUNDED, COST, ask, seconds_of
from tests.client.support import FLAVOURS, Instrument, Recorded, with_async

PASSWORD = "hunter2-of-the-store"


@pytest.fixture
def nobody() -> str:
    """The URL of a store that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://me:{PASSWORD}@127.0.0.1:{probe.getsockname()[1]}/0"


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of one that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://me:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/0"


def _accounts() -> list[tuple[str, int, int]]:
    return [(each["budget"], each["spent"], each["reserved"]) for each in huddle_otel.current_health()["budgets"]]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_limit_goes_on_with_the_account_of_this_process(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    nobody: str,
    flavour: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    instrument(spend_guard=SpendGuard(limit=0.0001, action="block", store=nobody))
    with caplog.at_level(logging.INFO, "huddle_otel"):
        ask(flavour)
        with pytest.raises(huddle_otel.SpendLimitError, match="are spent or reserved"):
            ask(flavour)
    assert len(gateway.calls) == 1
    assert _accounts() == [("day", COST, 0)]
    assert huddle_otel.current_health()["budgets"][0]["age"] is None  # the store has never told of it
    told = [each.getMessage() for each in caplog.records if "left alone" in each.getMessage()]
    assert len(told) == 1
    assert "redis://****@127.0.0.1" in told[0]
    assert "ConnectionError" in told[0]
    assert PASSWORD not in caplog.text
    assert recorded.total("huddle.telemetry.errors", component="store") >= 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_closed_limit_blocks_and_says_why(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, nobody: str, flavour: str
) -> None:
    own = SpendGuard(limit=1, per="month")
    shared = SpendGuard(limit=1, by="model", action="block", store=nobody, on_store_failure="closed")
    instrument(spend_guard=[own, shared])
    for _ in range(2):  # asked first, then known to be away
        message = r"of model 'gpt-4.1' blocks a call: its store redis://\*\*\*\*@127.0.0.1:\d+/0 cannot be used"
        with pytest.raises(huddle_otel.SpendLimitError, match=message) as blocked:
            ask(flavour)
        assert blocked.value.resets_in == 5.0
        assert PASSWORD not in repr(blocked.value) + str(blocked.value.__dict__)
    assert gateway.calls == []
    assert _accounts() == [("month", 0, 0)]
    assert [dict(span.attributes or {})["huddle.outcome"] for span in recorded.spans] == ["blocked", "blocked"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_silent_store_is_waited_for_once_and_not_long(
    gateway: Gateway, instrument: Instrument, silent: str, flavour: str
) -> None:
    instrument(spend_guard=SpendGuard(limit=1, store=silent, store_timeout=1.5))
    first, *others = [seconds_of(flavour) for _ in range(3)]
    assert 1.5 <= first < 4
    assert max(others) < 1.4
    assert _accounts() == [("day", 3 * COST, 0)]


def test_a_call_gives_the_store_at_most_half_of_its_time(
    gateway: Gateway, instrument: Instrument, silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=SpendGuard(limit=1, store=silent, store_timeout=30))
    begun = time.perf_counter()
    with openai.OpenAI(timeout=4) as client:
        client.chat.completions.create(**BOUNDED)
    assert 2 <= time.perf_counter() - begun < 4
    assert _accounts() == [("day", COST, 0)]
    assert caplog.messages == []  # of a store that has more time than this call had, nothing is known


def test_an_event_loop_is_not_held_up(gateway: Gateway, instrument: Instrument, silent: str) -> None:
    import asyncio

    instrument(spend_guard=SpendGuard(limit=1, store=silent, store_timeout=2))
    pulses: list[float] = []

    async def pulse() -> None:
        while True:
            pulses.append(time.perf_counter())
            await asyncio.sleep(0.01)

    async def work(client: Any) -> None:
        beside = asyncio.create_task(pulse())
        await client.chat.completions.create(**BOUNDED)
        beside.cancel()

    with_async(work)
    assert max(later - before for before, later in pairwise(pulses)) < 1.5
    assert len(pulses) > 10


@pytest.mark.parametrize("how", ["cancel", "wait_for"])
def test_a_call_cancelled_while_it_waits_for_the_store_leaves_nothing(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, silent: str, how: str
) -> None:
    import asyncio

    own, shared = SpendGuard(limit=1, per="month"), SpendGuard(limit=1, store=silent, store_timeout=30)
    instrument(spend_guard=[own, shared])

    async def work(client: Any) -> None:
        call = asyncio.ensure_future(client.chat.completions.create(**BOUNDED))
        if how == "wait_for":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.1)
            return
        while not _accounts():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with_async(work)
    assert gateway.calls == []
    assert _accounts() == [("month", 0, 0)]
    assert recorded.attributes["huddle.outcome"] == "cancelled"
    assert recorded.attributes["huddle.attempts"] == 0


def test_where_no_thread_can_be_started_a_call_goes_on(
    gateway: Gateway, instrument: Instrument, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "huddle_otel-spend":
            raise RuntimeError("can't start new thread")
        started(thread)

    instrument(spend_guard=SpendGuard(limit=1, store=nobody))
    monkeypatch.setattr(threading.Thread, "start", start)
    ask()
    assert _accounts() == [("day", COST, 0)]


def test_what_waits_for_a_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BACKLOG", 3)
    given_up: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        stuck = store.Store(StoreUrl(f"redis://127.0.0.1:{server.getsockname()[1]}"), 30, lambda: None)
        stuck.put(Command((), ()), lambda _: None, lasting=True)
        connection, _ = server.accept()  # from here on the thread waits for an answer
        for number in range(8):
            stuck.put(Command((), ()), lambda _, number=number: given_up.append(number), lasting=True)  # type: ignore[misc]
        stuck.close()
        assert given_up == [3, 4, 5, 6, 7]
        connection.close()


def test_what_has_no_price_is_refused_without_asking(instrument: Instrument, silent: str) -> None:
    shared = SpendGuard(limit=1, action="block", unpriced="block", store=silent, store_timeout=30)
    instrument(spend_guard=shared)
    begun = time.perf_counter()
    with openai.OpenAI() as client, pytest.raises(huddle_otel.SpendLimitError):
        client.chat.completions.create(**{**BOUNDED, "model": "who-knows"})
    assert time.perf_counter() - begun < 5


def test_flush_waits_no_longer_than_it_may(gateway: Gateway, instrument: Instrument, nobody: str) -> None:
    instrument(spend_guard=SpendGuard(limit=1, store=nobody))
    assert huddle_otel.flush(1.0)  # nothing to say
    ask()
    begun = time.perf_counter()
    assert not huddle_otel.flush(10.0)
    assert time.perf_counter() - begun < 5


def test_without_redis_a_store_is_refused_when_it_is_set(
    instrument: Instrument, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [each for each in sys.modules if each == "redis" or each.startswith("redis.")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "huddle_otel.client.store", raising=False)
    monkeypatch.delitem(sys.modules, "huddle_otel.client.connection", raising=False)
    with pytest.raises(huddle_otel.ConfigurationError, match=r"huddle-otel\[redis\]") as refused:
        instrument(spend_guard=SpendGuard(limit=1, store=nobody))
    assert PASSWORD not in str(refused.value)


def test_a_query_that_redis_does_not_know_is_refused_when_it_is_set(instrument: Instrument, nobody: str) -> None:
    store = f"{nobody}?socket_timeout=soon"
    with pytest.raises(huddle_otel.ConfigurationError, match="understands") as refused:
        instrument(spend_guard=SpendGuard(limit=1, store=store))
    assert PASSWORD not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_asks_the_store_itself(gateway: Gateway, instrument: Instrument, nobody: str) -> None:
    instrument(spend_guard=SpendGuard(limit=1, store=nobody))
    ask()
    child = os.fork()
    if not child:
        try:
            before = _accounts()
            ask()
            os._exit((before, _accounts()) != ([("day", COST, 0)], [("day", 2 * COST, 0)]))
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ask()
    assert _accounts() == [("day", 2 * COST, 0)]
