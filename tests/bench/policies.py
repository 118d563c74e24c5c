"""What the policies alone cost: the programme of a call on real circuits, the clocks of a stream, a rejected call.

No sockets and no client, but for the rejected call, so differences of a microsecond can be seen.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import openai

import huddle_otel
from huddle_otel import BreakerPolicy
from huddle_otel.client.body import Body, Clocks
from huddle_otel.client.circuits import Circuits, Pass
from huddle_otel.client.clock import clock
from huddle_otel.client.reading import StreamFold
from huddle_otel.policy.call import Admit, Answered, Record, Reply, call
from huddle_otel.settings import Settings
from huddle_otel.telemetry.answer import Answer
from tests.bench.upstream import KEY

_KEY: Final = ("gateway", "model", "chat")
_NONE: Final = Settings(retry=None, breaker=None, bulkhead=None, rate_limit=None)
_DRAW: Final = 0.5
_MESSAGES: Final[list[Any]] = [{"role": "user", "content": "hi"}]


def _best(work: Callable[[], None], each: int, rounds: int = 15) -> float:
    """Return µs of CPU per unit of work: the median of the rounds, each of `each` units."""
    figures: list[float] = []
    for _ in range(rounds):
        before = time.thread_time()
        work()
        figures.append((time.thread_time() - before) / each * 1e6)
    return statistics.median(figures)


def _story(circuits: Circuits, settings: Settings) -> None:
    """Go through one plain call that succeeds at once."""
    programme = call(
        ("model",),
        settings.retry,
        settings.rate_limit,
        max_retries=2,
        started=clock(),
        total=600.0,
        draw=lambda: _DRAW,
    )
    reply: Reply = None
    leave: Pass | None = None
    try:
        while True:
            effect = programme.send(reply)
            reply = Answered()  # to Send; the rest does not look at it
            if isinstance(effect, Admit):
                reply, leave = circuits.admit(_KEY, past_gate=False)
            elif isinstance(effect, Record) and leave is not None:
                circuits.record(leave, effect.verdict, effect.failure, slow=False)
    except StopIteration:
        pass


def story(settings: Settings, calls: int = 5_000) -> float:
    """Return µs of CPU that the programme and the circuits take for a plain call."""
    circuits = Circuits(settings, clock, lambda *_: None)

    def work() -> None:
        for _ in range(calls):
            _story(circuits, settings)

    return _best(work, calls)


class _Response:
    """As much of a response as a body touches."""

    def __init__(self) -> None:
        self.extensions: dict[str, Any] = {}
        self.http_version = "HTTP/1.1"


def chunks(clocks: Clocks | None, count: int = 20_000) -> float:
    """Return µs of CPU to read a chunk: folded only, or with `clocks` through a watched body."""
    delta = SimpleNamespace(content="word")
    chunk = SimpleNamespace(
        id="1", model="model", choices=[SimpleNamespace(index=0, finish_reason=None, delta=delta)], usage=None
    )
    last = SimpleNamespace(
        id="1", model="model", choices=[SimpleNamespace(index=0, finish_reason="stop", delta=delta)], usage=None
    )

    def source() -> Iterator[Any]:
        for _ in range(count - 1):
            yield chunk
        yield last

    def work() -> None:
        fold = StreamFold(Answer(), started=clock(), hide_usage=False, judged=True)
        if clocks is None:
            for each in source():
                fold.see(each)
            return
        response = _Response()
        for _ in Body(response, fold, lambda *_: None, clocks, raises=True).watch(source()):
            pass

    return _best(work, count)


def rejected(url: str, calls: int = 500) -> tuple[float, float]:
    """Return µs of CPU and of time that a call takes which an open circuit refuses; medians."""
    huddle_otel.instrument(base_url=url, api_key=KEY)
    client = openai.OpenAI(max_retries=0)
    client.chat.completions.create(model="gpt-4.1", messages=_MESSAGES)
    for each in huddle_otel.current_health()["circuits"]:
        huddle_otel.force(each["circuit"], "forced_open")
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(calls):
        before = time.thread_time(), time.perf_counter()
        try:
            client.chat.completions.create(model="gpt-4.1", messages=_MESSAGES)
        except huddle_otel.CircuitOpenError:
            cpu.append((time.thread_time() - before[0]) * 1e6)
            wall.append((time.perf_counter() - before[1]) * 1e6)
    huddle_otel.uninstrument()
    assert len(cpu) == calls, "every call must have been refused"
    return statistics.median(cpu), statistics.median(wall)


def report(url: str) -> dict[str, float]:
    """Measure and print."""
    alone, every = story(_NONE), story(Settings())
    wide = story(Settings(breaker=BreakerPolicy(buckets=1000)))
    folded, timed = (
        chunks(None),
        chunks(Clocks(sent=clock(), first_token=60, stall=30, started=clock(), total=math.inf)),
    )
    cpu, wall = rejected(url)
    print(f"\npolicies: {alone:.1f} µs a plain call without any, {every - alone:.1f} µs more with all of them")
    print(f"  a breaker's window in 1000 buckets instead of 10: {wide / every:.2f}x")
    print(f"clocks: {timed - folded:.2f} µs a chunk more than the {folded:.2f} µs of folding it")
    print(f"a rejected call: {cpu:.0f} µs of CPU, {wall:.0f} µs")
    return {
        "story": alone,
        "policies": every - alone,
        "wide_window": wide / every,
        "clocks_per_chunk": timed - folded,
        "rejected_cpu": cpu,
        "rejected": wall,
    }
