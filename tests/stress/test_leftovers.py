"""One by one, with nothing left to chance: what the storms meet now and then."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel import BulkheadPolicy, RetryPolicy, TimeoutPolicy
from huddle_otel.client import patch
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import SAY, Instrument, Recorded, collect
from tests.stress.mix import objects, settle


def _circuit() -> dict[str, Any]:
    (circuit,) = huddle_otel.current_health()["circuits"]
    assert isinstance(circuit, dict)
    return circuit


def _begin(client: openai.OpenAI) -> Any:
    """Return a stream of which one chunk is read."""
    stream = client.chat.completions.create(**SAY, stream=True)
    next(iter(stream))
    return stream


def _outcomes(recorded: Recorded) -> list[Any]:
    told = [dict(span.attributes or {}) for span in recorded.spans]
    return [each["huddle.outcome"] for each in told if "huddle.outcome" in each]


class Noticing:
    """A lock that notices being asked for by the thread that holds it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held = 0
        self.nested = False

    def __enter__(self) -> None:
        self._lock.acquire()
        self.nested |= self._held > 0
        self._held += 1

    def __exit__(self, *_: object) -> None:
        self._held -= 1
        self._lock.release()


@pytest.mark.parametrize("older", [False, True], ids=["all at once", "response in an older generation"])
def test_a_collection_under_a_lock_does_not_ask_for_it(instrument: Instrument, older: bool) -> None:
    # the collector runs wherever memory is asked for, also while a circuit is being asked for leave
    instrument()
    runtime, lock = patch.active(), Noticing()
    assert runtime is not None
    runtime.circuits._lock = lock  # type: ignore[assignment]
    with openai.OpenAI() as client:
        collect()
        gc.disable()
        try:
            stream = _begin(client)
            kept = stream.response if older else None  # reached from outside, as from an older generation
            del stream
            with lock:
                gc.collect()
        finally:
            gc.enable()
        assert not lock.nested
        del kept
        settle()
        assert _circuit()["ignored"] == 1


@pytest.mark.parametrize("fault", [faults.status(500), faults.rate_limited(0.01)], ids=["500", "429"])
def test_a_dropped_stream_that_took_two_attempts_is_noticed(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, fault: Any
) -> None:
    instrument()
    gateway.script([Rule(fault, calls={0})])
    with openai.OpenAI() as client:
        _begin(client)
        settle()
        assert _circuit()["in_flight"] == 0
    assert _outcomes(recorded) == ["abandoned"]


@pytest.mark.parametrize("fault", [faults.error_frame(0), faults.cut(0), faults.malformed_chunk(0)])
def test_a_stream_that_fails_before_its_first_content_leaves_nothing(
    gateway: Gateway, instrument: Instrument, fault: Any
) -> None:
    instrument()
    before = objects()
    gateway.script([Rule(fault)])
    with openai.OpenAI() as client:
        for _ in range(3):
            with pytest.raises(openai.APIError):
                client.chat.completions.create(**SAY, stream=True)
    settle()
    assert objects() <= before


def test_a_rate_limit_keeps_no_call(gateway: Gateway, instrument: Instrument) -> None:
    instrument(retry=None)
    before = objects()
    gateway.script([Rule(faults.rate_limited(0.01))])
    with openai.OpenAI() as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**SAY)
    settle()
    assert objects() <= before


def test_a_call_cancelled_in_the_line_is_no_attempt(instrument: Instrument, recorded: Recorded) -> None:
    instrument(bulkhead=BulkheadPolicy(max_in_flight=1, max_wait=5))

    async def work() -> None:
        async with openai.AsyncOpenAI() as client:
            stream = await client.chat.completions.create(**SAY, stream=True)
            queued = asyncio.ensure_future(client.chat.completions.create(**SAY))
            while not _circuit()["waiting"]:
                await asyncio.sleep(0)
            queued.cancel()
            with pytest.raises(asyncio.CancelledError):
                await queued
            await stream.close()

    asyncio.run(work())
    told = [dict(span.attributes or {}) for span in recorded.spans]
    assert [each["huddle.attempts"] for each in told if "huddle.attempts" in each] == [0, 1]
    assert recorded.total("huddle.client.attempts") == 1


@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_stream_left_at_its_last_chunk_was_whole(instrument: Instrument, recorded: Recorded, way: str) -> None:
    instrument()
    with openai.OpenAI() as client:
        stream = client.chat.completions.create(**SAY, stream=True)
        for chunk in stream:
            if chunk.choices and chunk.choices[0].finish_reason:
                break
        if way == "close":
            stream.close()
        del stream
        settle()
    assert _outcomes(recorded) == ["ok"]


def test_a_stall_does_not_wait_for_the_clock_of_the_first_token(gateway: Gateway, instrument: Instrument) -> None:
    instrument(timeout=TimeoutPolicy(first_token=10, stall=0.2, total=30), retry=RetryPolicy(max_attempts=1))
    gateway.script([Rule(faults.stall(2))])
    began = time.monotonic()
    with openai.OpenAI() as client, pytest.raises(huddle_otel.StallTimeout):
        list(client.chat.completions.create(**SAY, stream=True))
    assert time.monotonic() - began < 5
