"""Many calls at once, through every fault and every way to leave: nothing is lost, nothing is left, nothing hangs.

`HUDDLE_STRESS_CALLS` sets the number of calls of all four storms together.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from huddle_otel.gateway import Gateway
from tests.client.support import KEY, collect
from tests.stress.mix import (
    CALLS,
    CLOCKS,
    LOOSE,
    NARROW,
    PATIENCE,
    REST,
    SETTINGS,
    TASKS,
    THREADS,
    WIDE,
    Act,
    Plan,
    Storm,
    amake,
    clients,
    finish,
    make,
)

Start = Callable[[int, int], Storm]
pytestmark = pytest.mark.timeout(2 * PATIENCE)
NOWHERE = "https://upstream.invalid/v1"
BY_SOCKETS, BY_MEMORY = CALLS // 5, CALLS * 3 // 10


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    return lambda calls, callers: Storm(calls, callers, monkeypatch)


@pytest.fixture
def rough() -> Iterator[Gateway]:
    with Gateway(rules=Plan(1).rules(), key=KEY, remember=1) as gateway:
        yield gateway


def _threads(storm: Storm, client: Any) -> None:
    """Make the calls in threads that start at once."""
    barrier = threading.Barrier(THREADS)

    def work() -> None:
        barrier.wait(PATIENCE)
        for number in storm.numbers():
            storm.note(number, make(client, number))
            if "rejected" in storm.seen[number]:
                time.sleep(REST)
            elif storm.seen[number] == "abandoned" and not gc.isenabled():
                gc.collect()

    threads = [threading.Thread(target=work, daemon=True, name=f"caller {number}") for number in range(THREADS)]
    for thread in threads:
        thread.start()
    finish(threads)


def _tasks(storm: Storm, arguments: dict[str, Any]) -> None:
    """Make the calls in tasks of one event loop; it runs in a thread, so that a stuck loop is noticed."""
    troubles: list[str] = []

    async def work(client: Any) -> None:
        for number in storm.numbers():
            act = Act.of(number)
            call = asyncio.ensure_future(amake(client, number, storm.note))
            if act.intrusion == "cancel":
                await asyncio.wait((call,), timeout=act.delay)
                call.cancel()
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await (asyncio.wait_for(call, act.delay) if act.intrusion == "timeout" else call)
            if "rejected" in storm.seen.get(number, ""):
                await asyncio.sleep(REST)

    def trouble(_: Any, context: dict[str, Any]) -> None:
        # openai 3 leaves three generators inside one another to the event loop; it is so without us, too
        if "asynchronous generator is already running" not in str(context.get("exception")):
            troubles.append(str(context))

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(trouble)
        async with openai.AsyncOpenAI(**arguments) as client:
            await asyncio.gather(*(work(client) for _ in range(TASKS)))

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True, name="event loop")
    thread.start()
    finish([thread])
    assert not troubles, troubles[:3]


@pytest.fixture
def _collected_by_hand() -> Iterator[None]:
    """Leave it to the app to collect what it drops, which it does where it holds no lock.

    The sync pool of httpcore takes its lock when a dropped body is collected, and the collector may run in the middle
    of it holding that very lock: then the thread waits for itself, with or without us.
    """
    collect()
    gc.freeze()  # so that a collection looks at no more than what the storm has made
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("_collected_by_hand")
def test_threads_over_sockets(start: Start, rough: Gateway) -> None:
    storm = start(BY_SOCKETS, THREADS)
    storm.instrument(rough.url, **SETTINGS, timeout=CLOCKS, bulkhead=NARROW)
    with openai.OpenAI(**clients(rough.url, None)[0]) as client:
        _threads(storm, client)
    storm.check()


def test_tasks_over_sockets(start: Start, rough: Gateway) -> None:
    storm = start(max(BY_SOCKETS, TASKS), TASKS)
    storm.instrument(rough.url, **SETTINGS, timeout=LOOSE, bulkhead=WIDE)
    _tasks(storm, clients(rough.url, None)[1])
    storm.check()


def test_threads_without_sockets(start: Start) -> None:
    storm = start(BY_MEMORY, THREADS)
    storm.instrument(NOWHERE, **SETTINGS, timeout=CLOCKS, bulkhead=NARROW)
    with openai.OpenAI(**clients(NOWHERE, Plan(2))[0]) as client:
        _threads(storm, client)
    storm.check()


def test_tasks_without_sockets(start: Start) -> None:
    storm = start(max(BY_MEMORY, TASKS), TASKS)
    storm.instrument(NOWHERE, **SETTINGS, timeout=LOOSE, bulkhead=WIDE)
    _tasks(storm, clients(NOWHERE, Plan(3))[1])
    storm.check()
