"""What the storms share: faults in a seeded order, an upstream without sockets, the app's own count, and the checks."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import itertools
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import huddle_otel
from huddle_otel import (
    BreakerPolicy,
    BulkheadPolicy,
    RateLimitPolicy,
    RetryPolicy,
    StreamTruncatedError,
    TimeoutPolicy,
)
from huddle_otel.client import keeper, patch
from huddle_otel.client.body import Body
from huddle_otel.client.circuits import Circuits, Pass
from huddle_otel.client.exchange import Exchange
from huddle_otel.gateway import Rule, faults
from huddle_otel.gateway.kinds import Fault
from huddle_otel.policy.breaker import Breaker, State
from tests.client.support import KEY, SDK, Recorded, collect

_GIVEN: Final = os.environ.get("HUDDLE_STRESS_CALLS")  # read here: fixtures clear the environment
CALLS: Final = int(_GIVEN or 3_000)
"""Calls of all storms together."""
THREADS: Final = 64
TASKS: Final = 1_000
MODELS: Final = ("gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4.6", "deepseek-v3.2")
SAY: Final = [{"role": "user", "content": "hi there"}]
PATIENCE: Final = 30 + CALLS / 100
"""Seconds after which a storm counts as stuck."""
MIB: Final = 2**20

SETTINGS: Final[dict[str, Any]] = {
    "retry": RetryPolicy(base=0.001, cap=0.005),
    "breaker": BreakerPolicy(window=5, min_calls=10, open_for=0.02, max_open=0.04),
    "rate_limit": RateLimitPolicy(max_wait=0.5),
    "fallbacks": {MODELS[0]: (MODELS[1],)},
}
CLOCKS: Final = TimeoutPolicy(connect=1, first_token=0.5, stall=0.25, total=1.5)
"""For threads."""
LOOSE: Final = TimeoutPolicy(connect=3, first_token=1.5, stall=0.5, total=3)
"""For a thousand tasks that begin at once on one loop."""
NARROW: Final = BulkheadPolicy(max_in_flight=THREADS // len(MODELS) - 4, max_wait=0.3)
WIDE: Final = BulkheadPolicy(
    max_in_flight=TASKS // len(MODELS) // 4, max_wait=1, adaptive=True, min_in_flight=30, decrease=0.9
)
REST: Final = 0.1
"""What the app waits after a refusal, s; else it would spend its calls on circuits that are open."""

# --- faults ---------------------------------------------------------------------------------------------------------

FAULTS: Final[dict[str, tuple[int, Fault]]] = {
    "status 500": (5, faults.status(500)),
    "status 503": (4, faults.status(503, retry_after=0.01)),
    "rate limit": (1, faults.rate_limited(0.01)),
    "bad request": (2, faults.status(400)),
    "reset": (4, faults.reset_before_first_byte()),
    "reset later": (4, faults.reset(2)),
    "cut": (3, faults.cut(2)),
    "cut early": (2, faults.cut(0)),
    "torn": (2, faults.cut_in_chunk(1, tidy=False)),
    "not JSON": (3, faults.malformed_chunk(2)),
    "error frame": (2, faults.error_frame(1)),
    "stall": (2, faults.stall(2)),
    "pings": (1, faults.ping_forever(0.05, 1)),
    "hang": (1, faults.hang()),
}
"""Name -> how often, in percent of attempts, and the fault as the gateway plays it."""
QUICK: Final = frozenset(name for name in FAULTS if name not in {"stall", "pings", "hang"})
"""Faults that cost no time; outages are made of them."""


class Plan:
    """Which attempt meets which fault, by its number: drawn once from a seed, with outages that trip the circuits."""

    _CYCLE = 4_096
    _OUTAGE = range(160, 240)

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        steady = [name for name, (percent, _) in FAULTS.items() for _ in range(percent)]
        steady += [""] * (100 - len(steady))
        rough = [name for name in steady if name in QUICK]
        outages = (number % 512 in self._OUTAGE for number in range(self._CYCLE))
        self._names = [draw.choice(rough if outage else steady) for outage in outages]

    def __getitem__(self, number: int) -> str:
        return self._names[number % self._CYCLE]

    def rules(self) -> list[Rule]:
        """Return the same plan for an embedded gateway."""
        return [Rule(fault, calls=_Numbers(self, name)) for name, (_, fault) in FAULTS.items()]


@dataclass(frozen=True)
class _Numbers:
    plan: Plan
    name: str

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.plan[number] == self.name


# --- an upstream without sockets -------------------------------------------------------------------------------------

_http: Final = import_module("httpx2" if SDK >= 3 else "httpx")
_JSON: Final = {"content-type": "application/json"}
_COMMON: Final = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4.1"}
_USAGE: Final = {"prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10}


def _event(content: str | None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({**_COMMON, "object": "chat.completion.chunk", "choices": [choice]}).encode()


_WORDS: Final = (_event(""), *(_event(f"word {number} ") for number in range(6)))
_END: Final = (_event(None, "stop"), b"data: [DONE]\n\n")
_MESSAGE: Final = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "words"}}
_WHOLE: Final = json.dumps({**_COMMON, "object": "chat.completion", "choices": [_MESSAGE], "usage": _USAGE}).encode()
_ENDINGS: Final[dict[str, tuple[int, tuple[bytes | str, ...]]]] = {
    "": (7, _END),
    "reset later": (3, ("ReadError",)),
    "cut": (3, ()),
    "cut early": (1, ()),
    "torn": (2, (_WORDS[2][:40], "RemoteProtocolError")),
    "not JSON": (3, (b"data: {not json\n\n", *_END)),
    "error frame": (2, (b'data: {"error": {"message": "broken", "code": "500"}}\n\n',)),
    "stall": (3, ("ReadTimeout",)),
    "pings": (2, (b": ping\n\n",) * 4 + ("ReadTimeout",)),
}
"""Fault -> events before it, and what follows: bytes, or the name of the error that the transport raises."""
_STATUSES: Final[dict[str, tuple[int, dict[str, str]]]] = {
    "status 500": (500, {}),
    "status 503": (503, {"retry-after": "0.01"}),
    "rate limit": (429, {"retry-after": "0.01"}),
    "bad request": (400, {}),
}


class _Pieces(_http.SyncByteStream, _http.AsyncByteStream):  # type: ignore[misc, name-defined]
    """A body: its pieces, and errors where their names stand."""

    def __init__(self, pieces: Sequence[bytes | str], pause: float) -> None:
        self._pieces = pieces
        self._pause = pause

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, str):
                raise getattr(_http, piece)(piece)
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(self._pause)  # where cancellations strike
            if isinstance(piece, str):
                raise getattr(_http, piece)(piece)
            yield piece


class Upstream(_http.BaseTransport, _http.AsyncBaseTransport):  # type: ignore[misc, name-defined]
    """A transport that answers by a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._numbers = itertools.count()

    def handle_request(self, request: Any) -> Any:
        name = self._plan[next(self._numbers)]
        if name in {"reset", "hang"}:
            raise _http.ReadError(name) if name == "reset" else _http.ReadTimeout(name)
        return self._answer(name, request, 0.0)

    async def handle_async_request(self, request: Any) -> Any:
        number = next(self._numbers)
        name = self._plan[number]
        await asyncio.sleep(0.002 * (number % 3))
        if name == "reset":
            raise _http.ReadError(name)
        if name == "hang":
            await asyncio.get_running_loop().create_future()
        return self._answer(name, request, 0.001 * (number % 2))

    @staticmethod
    def _answer(name: str, request: Any, pause: float) -> Any:
        code, headers = _STATUSES.get(name, (200, {}))
        if code != 200:
            body = json.dumps({"error": {"message": name, "type": "trouble", "code": str(code)}}).encode()
            return _http.Response(code, headers=headers | _JSON, stream=_Pieces([body], pause))
        if b'"stream":true' not in request.content.replace(b" ", b""):
            pieces = (_WHOLE[:90], "ReadError") if name in {"torn", "reset later"} else (_WHOLE,)
            return _http.Response(200, headers=_JSON, stream=_Pieces(pieces, pause))
        before, after = _ENDINGS[name]
        return _http.Response(
            200, headers={"content-type": "text/event-stream"}, stream=_Pieces(_WORDS[:before] + after, pause)
        )


def clients(url: str, plan: Plan | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of a sync and an async client, with a plan for those without sockets."""
    arguments = {"base_url": url, "api_key": KEY}
    if plan is None:
        return arguments, arguments
    upstream = Upstream(plan)
    return (
        arguments | {"http_client": _http.Client(transport=upstream)},
        arguments | {"http_client": _http.AsyncClient(transport=upstream)},
    )


# --- the app ---------------------------------------------------------------------------------------------------------


class Left(Exception):  # noqa: N818 - an event, not an error
    """The app has had enough of a stream."""


LEAVES: Final = ("read", "read", "read", "close", "with", "raise", "drop", "generator", "dropped generator")
"""How the app parts from a stream."""
INTRUSIONS: Final = ("", "", "", "", "cancel", "timeout")
"""What may befall an async call from outside."""


@dataclass(frozen=True)
class Act:
    """What the app does with one call."""

    model: str
    stream: bool
    leave: str
    after: int
    """Chunks read before it leaves; the answer is never complete by then."""
    intrusion: str
    delay: float
    """When the intrusion comes, s."""

    @classmethod
    def of(cls, number: int) -> Act:
        draw = random.Random(number)
        return cls(
            model=draw.choice(MODELS),
            stream=draw.random() < 0.6,
            leave=draw.choice(LEAVES),
            after=draw.randrange(2, 4),
            intrusion=draw.choice(INTRUSIONS),
            delay=draw.random() ** 3,
        )

    def arguments(self, number: int) -> dict[str, Any]:
        # the request's seed is an attribute of its span: it is what ties the two together
        return {"model": self.model, "messages": SAY, "stream": self.stream, "seed": number}


def told(error: Exception) -> str:
    """Name the outcome that fits what `create()` raised."""
    if isinstance(error, openai.RateLimitError):
        return "error or rejected"  # the gate raises the 429 that closed it once more
    refused = (huddle_otel.CircuitOpenError, huddle_otel.BulkheadFullError, huddle_otel.RateLimitedError)
    return "rejected" if isinstance(error, refused) else "error"


def broken(error: Exception) -> str:
    """Name the outcome that fits what reading a stream raised."""
    return "truncated" if isinstance(error, StreamTruncatedError) else "error"


def make(client: Any, number: int) -> str:
    """Make a call; returns its outcome as the app sees it."""
    act = Act.of(number)
    try:
        answer = client.chat.completions.create(**act.arguments(number))
    except Exception as error:  # noqa: BLE001 - told by its kind
        return told(error)
    if not act.stream:
        return "ok"
    try:
        return _read(answer, act)
    except Left:
        return "abandoned"
    except Exception as error:  # noqa: BLE001 - told by its kind
        return broken(error)


def _read(answer: Any, act: Act) -> str:
    if "generator" in act.leave:
        words = (chunk for chunk in answer)
        for _ in range(act.after):
            if next(words, None) is None:
                return "ok"
        if act.leave == "generator":
            words.close()
        return "abandoned"
    with answer if act.leave == "with" else contextlib.nullcontext():
        for number, _ in enumerate(answer, 1):
            if number < act.after or act.leave == "read":
                continue
            if act.leave in {"with", "raise"}:
                raise Left
            if act.leave == "close":
                answer.close()
            return "abandoned"
    return "ok"


async def amake(client: Any, number: int, note: Callable[[int, str], None]) -> None:
    """Make a call and note its outcome here: the caller may be told of a cancellation that came too late."""
    act = Act.of(number)
    note(number, "")
    try:
        answer = await client.chat.completions.create(**act.arguments(number))
    except Exception as error:  # noqa: BLE001 - told by its kind
        note(number, told(error))
        return
    except asyncio.CancelledError:
        note(number, "cancelled")
        raise
    if not act.stream:
        note(number, "ok")
        return
    try:
        note(number, await _aread(answer, act))
    except Left:
        note(number, "abandoned")
    except Exception as error:  # noqa: BLE001 - told by its kind
        note(number, broken(error))
    except asyncio.CancelledError:
        note(number, "cancelled")
        raise


async def _aread(answer: Any, act: Act) -> str:
    if "generator" in act.leave:
        words = (chunk async for chunk in answer)
        for _ in range(act.after):
            if await anext(words, None) is None:
                return "ok"
        if act.leave == "generator":
            await words.aclose()
        return "abandoned"
    count = 0
    async for _ in answer:
        count += 1
        if count < act.after or act.leave == "read":
            continue
        if act.leave == "raise":
            raise Left
        if act.leave in {"close", "with"}:
            with contextlib.suppress(asyncio.CancelledError):  # strikes after the fact: the stream is left all the same
                await answer.close()
        return "abandoned"
    return "ok"


# --- the count -------------------------------------------------------------------------------------------------------


_SEED: Final = "gen_ai.request.seed"


@dataclass
class Ledger(SpanProcessor):
    """Spans as numbers, kept small so that the memory of the process is that of the middleware."""

    started: int = 0
    ended: int = 0
    attempts: int = 0
    sends: int = 0
    """HTTP spans, one below the call's for each attempt that got as far as the transport."""
    open_sends: int = 0
    """Those not ended."""
    outcomes: dict[int, str] = field(default_factory=dict)
    twice: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()  # re-entrant: the collector may run in the middle of a count

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        call = _SEED in (span.attributes or {})
        with self._lock:
            self.started += call
            self.sends += not call
            self.open_sends += not call

    def on_end(self, span: ReadableSpan) -> None:
        attributes = span.attributes or {}
        if _SEED not in attributes:
            with self._lock:
                self.open_sends -= 1
            return
        number, outcome = int(str(attributes[_SEED])), sys.intern(str(attributes["huddle.outcome"]))
        attempts = int(str(attributes["huddle.attempts"]))
        with self._lock:
            self.ended += 1
            self.attempts += attempts
            if number in self.outcomes:
                self.twice.append(number)
            self.outcomes[number] = outcome


@dataclass
class Storm:
    """One run: what the app saw, what telemetry says, and what the process was like before."""

    calls: int
    callers: int
    monkeypatch: pytest.MonkeyPatch
    seen: dict[int, str] = field(default_factory=dict)
    marks: list[tuple[int, int]] = field(default_factory=list)
    """Calls begun and resident memory, bytes."""

    def __post_init__(self) -> None:
        self.ledger = Ledger()
        self.recorded = Recorded()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(self.ledger)
        self.moves: dict[Breaker, list[tuple[State, State]]] = {}
        self._watch_breakers()
        self._numbers = itertools.count()
        collect()
        self._objects = objects()
        self._threads = {thread.name for thread in threading.enumerate()}
        self._started = time.monotonic()

    def _watch_breakers(self) -> None:
        """Note every change of state in the order of the lock it is made under; listeners hear of them after it."""
        go = Breaker._go

        def noted(breaker: Breaker, state: State, now: float) -> None:
            self.moves.setdefault(breaker, []).append((breaker._state, state))
            go(breaker, state, now)

        self.monkeypatch.setattr(Breaker, "_go", noted)

    def instrument(self, url: str, **settings: Any) -> None:
        huddle_otel.instrument(
            base_url=url,
            api_key=KEY,
            tracer_provider=self.tracer_provider,
            meter_provider=self.recorded.meter_provider,
            **settings,
        )

    def note(self, number: int, outcome: str) -> None:
        self.seen[number] = outcome

    def numbers(self) -> Iterator[int]:
        """Hand the numbers of the calls out, to as many takers as come; now and then look at the memory."""
        while (number := next(self._numbers)) < self.calls:
            if number % max(self.calls // 3, 1) == 0:
                self.marks.append((number, resident()))
            yield number

    # --- checks ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check everything that must hold once a storm is over."""
        took = time.monotonic() - self._started
        settle()
        try:
            self._check_conservation()
            self._check_outcomes()
            self._check_metrics()
            self._check_transitions()
            self._check_leftovers()
        finally:
            sys.stdout.write(f"{self.summary(took)}\n")

    def summary(self, took: float) -> str:
        """Say in one line what the storm was like."""
        moves = Counter(f"{before}>{after}" for each in self.moves.values() for before, after in each)
        memory = " ".join(f"{at}:{size / MIB:.0f}" for at, size in [*self.marks, (self.calls, resident())])
        seen = Counter(self.seen.values())
        return (
            f"{len(self.seen)} calls in {took:.1f} s, {self.ledger.attempts} attempts, {dict(seen)}, {dict(moves)}, "
            f"MiB after calls {memory}"
        )

    def _check_conservation(self) -> None:
        health = huddle_otel.current_health()["circuits"]
        assert health
        for each in health:
            assert each["admitted"] == each["ok"] + each["failure"] + each["ignored"], each
            assert (each["in_flight"], each["waiting"]) == (0, 0), each
        for circuit in _circuits()._circuits.values():
            assert circuit.bulkhead is not None
            assert (circuit.bulkhead.in_flight, list(circuit.bulkhead.waiting)) == (0, []), circuit.name
        assert sum(each["admitted"] for each in health) == self.ledger.attempts

    def _check_outcomes(self) -> None:
        ledger, made = self.ledger, len(self.seen)
        spans = ledger.started, ledger.ended, len(ledger.outcomes), ledger.twice
        assert spans == (made, made, made, []), (made, spans)
        assert ledger.open_sends == 0
        assert 0 < ledger.sends <= ledger.attempts
        assert ledger.outcomes.keys() == self.seen.keys()
        apart = {
            number: (seen, ledger.outcomes[number])
            for number, seen in self.seen.items()
            if ledger.outcomes[number] not in seen.split(" or ")
        }
        assert not apart, (Counter(apart.values()), [(number, Act.of(number)) for number in list(apart)[:5]])

    def _check_metrics(self) -> None:
        recorded, ledger = self.recorded, self.ledger
        by_outcome: Counter[str] = Counter()
        for key, value in recorded.points("huddle.client.calls").items():
            by_outcome[str(dict(key)["huddle.outcome"])] += int(value)
        assert by_outcome == Counter(ledger.outcomes.values())
        assert set(recorded.points("huddle.client.in_flight").values()) == {0}
        assert recorded.total("huddle.client.rejections") == by_outcome["rejected"]
        assert recorded.total("huddle.client.attempts") == ledger.attempts
        duration = recorded.points("gen_ai.client.operation.duration")
        assert sum(point.count for point in duration.values()) == ledger.ended
        assert recorded.total("huddle.telemetry.errors") == 0

    def _check_transitions(self) -> None:
        legal = {
            State.CLOSED: {State.OPEN},
            State.OPEN: {State.HALF_OPEN},
            State.HALF_OPEN: {State.OPEN, State.CLOSED},
        }
        counts: Counter[tuple[str, str, str]] = Counter()
        for circuit in _circuits()._circuits.values():
            assert circuit.breaker is not None
            state = State.CLOSED
            for before, after in self.moves.get(circuit.breaker, []):
                assert before is state, circuit.name
                assert after in legal[before], (circuit.name, before, after)
                state = after
                counts[circuit.name, before, after] += 1
            assert circuit.breaker._state is state
            trips, returns = (
                counts[circuit.name, *pair] for pair in ((State.CLOSED, State.OPEN), (State.HALF_OPEN, State.CLOSED))
            )
            assert trips - returns == (state is not State.CLOSED), circuit.name
        told: Counter[tuple[str, str, str]] = Counter()
        for key, value in self.recorded.points("huddle.client.breaker.transitions").items():
            names = dict(key)
            told[names["circuit"], names["from"], names["to"]] += int(value)
        assert told == +counts
        assert counts, "no circuit tripped: the plan is too mild"

    def _check_leftovers(self) -> None:
        assert {thread.name for thread in threading.enumerate()} <= self._threads | {"huddle_otel-keeper"}
        left = objects()
        assert all(left[kind] <= self._objects[kind] for kind in left), left
        if self.calls >= 10 * self.callers and self.marks[0][1]:  # with fewer, the marks are those of the beginning
            (_, second), (at, third) = self.marks[1:3]
            growth = resident() - third
            # a share for what the test itself keeps of a call, and room for the allocator
            assert growth <= 12 * MIB + 400 * (self.calls - at), (second, third, growth)


def _circuits() -> Circuits:
    runtime = patch.active()
    assert runtime is not None
    return runtime.circuits


def objects() -> Counter[str]:
    kinds = (Exchange, Body, Pass)
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in kinds)


def resident() -> int:
    """Return the memory the process has resident, bytes; 0 where that is not told."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def settle() -> None:
    """Collect what was dropped, wait until the keeper has done what this asked it for, and collect what that left."""
    collect()
    done = threading.Event()
    keeper.put(done.set)
    if not done.wait(PATIENCE):
        stuck("the keeper")
    collect()


def finish(threads: Iterable[threading.Thread], seconds: float = PATIENCE) -> None:
    """Wait for daemon threads; when one is stuck, say where all are, and fail instead of hanging."""
    ends = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(ends - time.monotonic(), 0.0))
        if thread.is_alive():
            stuck(thread.name)


def stuck(what: str) -> NoReturn:
    """Fail, and say where every thread is."""
    assert sys.__stderr__ is not None
    faulthandler.dump_traceback(sys.__stderr__)
    pytest.fail(f"{what} is stuck", pytrace=False)
