"""Streams settle once, however they end, and the app sees what the bare client would have shown it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import huddle_otel
from huddle_otel.client import keeper
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.kinds import Fault
from tests.client.support import FLAVOURS, KEY, SAY, TEXT, Instrument, Recorded, collect, run, text_of, with_async

USAGE = {"gen_ai.usage.input_tokens": 2, "gen_ai.usage.output_tokens": 8}
SLOW = faults.slow_drip(0.01)


def _settled(recorded: Recorded, outcome: str) -> dict[str, Any]:
    """The call has ended, exactly once; return its span's attributes."""
    _kept()
    attributes = recorded.attributes
    assert attributes["huddle.outcome"] == outcome
    assert recorded.total("huddle.client.in_flight") == 0
    assert recorded.total("huddle.client.calls", huddle__outcome=outcome) == 1
    assert recorded.total("huddle.client.attempts") == 1
    duration = recorded.points("gen_ai.client.operation.duration")
    assert sum(point.count for point in duration.values()) == 1
    return attributes


def _kept() -> None:
    """Everything that finalisers have asked for is done."""
    done = threading.Event()
    keeper.put(done.set)
    assert done.wait(5)


# --- what the app does with a stream, sync and async ------------------------------------------------------------------


class _AppError(Exception):
    """The app's own."""


def _read_out(stream: Any) -> None:
    assert text_of(list(stream)) == TEXT


def _with_read_out(stream: Any) -> None:
    with stream:
        _read_out(stream)


def _break_and_close(stream: Any) -> None:
    for _ in zip(range(3), stream, strict=False):
        pass
    stream.close()


def _close_at_once(stream: Any) -> None:
    stream.close()


def _with_early_exit(stream: Any) -> None:
    with stream:
        for _ in stream:
            break


def _raise_in_with(stream: Any) -> None:
    with contextlib.suppress(_AppError), stream:
        for _ in stream:
            raise _AppError


def _next_and_close(stream: Any) -> None:
    next(stream)
    next(iter(stream))
    stream.close()
    stream.close()


def _in_another_thread(stream: Any) -> None:
    thread = threading.Thread(target=_read_out, args=(stream,))
    thread.start()
    thread.join()


SYNC: dict[str, tuple[Callable[[Any], None], str]] = {
    "read-out": (_read_out, "ok"),
    "with-read-out": (_with_read_out, "ok"),
    "break-and-close": (_break_and_close, "abandoned"),
    "close-at-once": (_close_at_once, "abandoned"),
    "with-early-exit": (_with_early_exit, "abandoned"),
    "raise-in-with": (_raise_in_with, "abandoned"),
    "next-and-close": (_next_and_close, "abandoned"),
    "other-thread": (_in_another_thread, "ok"),
}


async def _aread_out(stream: Any) -> None:
    assert text_of([chunk async for chunk in stream]) == TEXT


async def _awith_read_out(stream: Any) -> None:
    async with stream:
        await _aread_out(stream)


async def _abreak_and_close(stream: Any) -> None:
    async for _ in stream:
        break
    await stream.close()


async def _aclose_at_once(stream: Any) -> None:
    await stream.close()


async def _awith_early_exit(stream: Any) -> None:
    async with stream:
        async for _ in stream:
            break


async def _araise_in_with(stream: Any) -> None:
    with contextlib.suppress(_AppError):
        async with stream:
            async for _ in stream:
                raise _AppError


async def _anext_and_close(stream: Any) -> None:
    await stream.__anext__()
    await stream.close()
    await stream.close()


async def _in_another_task(stream: Any) -> None:
    await asyncio.create_task(_aread_out(stream))


async def _cancelled(stream: Any) -> None:
    async def read() -> None:
        async for _ in stream:
            reading.set()

    reading = asyncio.Event()
    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _timed_out(stream: Any) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_aread_out(stream), 0.02)


ASYNC: dict[str, tuple[Callable[[Any], Awaitable[None]], str]] = {
    "read-out": (_aread_out, "ok"),
    "with-read-out": (_awith_read_out, "ok"),
    "break-and-close": (_abreak_and_close, "abandoned"),
    "close-at-once": (_aclose_at_once, "abandoned"),
    "with-early-exit": (_awith_early_exit, "abandoned"),
    "raise-in-with": (_araise_in_with, "abandoned"),
    "next-and-close": (_anext_and_close, "abandoned"),
    "other-task": (_in_another_task, "ok"),
    "cancelled": (_cancelled, "cancelled"),
    "timed-out": (_timed_out, "cancelled"),
}


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw-parse"])
@pytest.mark.parametrize("way", SYNC)
def test_a_stream_settles_however_it_ends(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any], way: str, raw: bool
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()
    completions = make(openai.OpenAI).chat.completions
    stream = (
        completions.with_raw_response.create(**SAY, stream=True).parse()
        if raw
        else completions.create(**SAY, stream=True)
    )
    use, outcome = SYNC[way]
    use(stream)
    attributes = _settled(recorded, outcome)
    assert recorded.span.status.is_unset, "leaving a stream is no error"
    assert "error.type" not in attributes
    if outcome == "ok":
        assert USAGE.items() <= attributes.items()
        assert attributes["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw-parse"])
@pytest.mark.parametrize("way", ASYNC)
def test_an_async_stream_settles_however_it_ends(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, way: str, raw: bool
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()
    use, outcome = ASYNC[way]

    async def work(client: Any) -> None:
        completions = client.chat.completions
        if raw:
            response = await completions.with_raw_response.create(**SAY, stream=True)
            await use(response.parse())
        else:
            await use(await completions.create(**SAY, stream=True))

    with_async(work)
    attributes = _settled(recorded, outcome)
    assert recorded.span.status.is_unset
    if outcome == "ok":
        assert USAGE.items() <= attributes.items()


def test_a_dropped_stream_is_settled_when_it_is_collected(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()
    stream = make(openai.OpenAI).chat.completions.create(**SAY, stream=True)
    next(stream)
    assert recorded.spans == ()
    assert recorded.total("huddle.client.in_flight") == 1
    del stream
    collect()
    _wait(lambda: len(recorded.spans) == 1)
    _settled(recorded, "abandoned")


def test_a_dropped_async_stream_is_settled_when_it_is_collected(
    gateway: Gateway, instrument: Instrument, recorded: Recorded
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()

    async def work(client: Any) -> None:
        stream = await client.chat.completions.create(**SAY, stream=True)
        await stream.__anext__()
        del stream
        collect()

    with_async(work)
    collect()
    _wait(lambda: len(recorded.spans) == 1)
    _settled(recorded, "abandoned")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_raw_stream_that_is_never_parsed_is_settled(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()

    async def work(client: Any) -> None:
        response = await client.chat.completions.with_raw_response.create(**SAY, stream=True)
        assert response.headers["x-litellm-version"]
        await response.http_response.aclose()

    if flavour == "async":
        with_async(work)
    else:
        with openai.OpenAI() as client:
            response = client.chat.completions.with_raw_response.create(**SAY, stream=True)
            assert response.headers["x-litellm-version"]
            response.http_response.close()
    _settled(recorded, "abandoned")


def _wait(condition: Callable[[], bool]) -> None:
    """Wait for the thread that finalisers hand their work to."""
    _kept()
    assert condition()


# --- streams that break ----------------------------------------------------------------------------------------------

BROKEN: list[tuple[str, Fault, str, str, str | None]] = [
    ("reset", faults.reset(2), "error", "disconnect", "disconnect"),
    ("cut", faults.cut(2, tidy=False), "error", "disconnect", "disconnect"),
    ("cut-in-chunk", faults.cut_in_chunk(2, tidy=False), "error", "disconnect", "disconnect"),
    ("half-close", faults.half_close(2), "error", "disconnect", "disconnect"),
    ("error-frame", faults.error_frame(2), "error", "stream_error", "error_event"),
    ("malformed", faults.malformed_chunk(2), "error", "malformed_response", "malformed"),
    ("stall", faults.stall(2), "error", "read_timeout", "stall"),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("fault", "outcome", "error_type", "kind"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN]
)
def test_a_stream_that_breaks_is_an_error_of_its_kind(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    flavour: str,
    fault: Fault,
    outcome: str,
    error_type: str,
    kind: str,
) -> None:
    gateway.script([Rule(fault)])
    instrument()
    seen: list[Any] = []

    async def work(client: Any) -> None:
        async for chunk in await client.chat.completions.create(**SAY, stream=True, timeout=0.3):
            seen.append(chunk)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - compared with the bare client's below
        if flavour == "async":
            with_async(work)
        else:
            with openai.OpenAI() as client:
                seen.extend(_each(client.chat.completions.create(**SAY, stream=True, timeout=0.3), seen))
    assert text_of(seen) == "A steady", "what came before is the app's"
    attributes = _settled(recorded, outcome)
    assert attributes["error.type"] == error_type
    assert recorded.total("huddle.client.stream.faults", kind=kind) == 1
    assert not recorded.span.status.is_ok
    assert recorded.span.status.description
    bare = _bare_error(gateway, fault)
    if bare is json.JSONDecodeError:  # the one that `except openai.APIError` misses in the bare client
        assert isinstance(caught.value, huddle_otel.MalformedResponseError)
        assert isinstance(caught.value, ValueError)
    elif error_type == "stream_truncated":  # which the bare client takes for a whole answer
        assert isinstance(caught.value, huddle_otel.StreamTruncatedError)
    else:
        assert type(caught.value) is bare, "the same exception as without us"


def _each(stream: Any, into: list[Any]) -> list[Any]:
    for chunk in stream:
        into.append(chunk)
    return []


def _bare_error(gateway: Gateway, fault: Fault) -> type[BaseException]:
    huddle_otel.uninstrument()
    gateway.script([Rule(fault)])
    with (
        pytest.raises(Exception) as caught,  # noqa: PT011 - see above
        openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client,
    ):
        list(client.chat.completions.create(**SAY, stream=True, timeout=0.3))
    return caught.type


TIDY: list[tuple[str, Fault, str]] = [
    ("no-done", faults.no_done(), "ok"),
    ("no-finish", faults.no_finish(), "ok"),
    ("fake-finish", faults.fake_finish(2), "ok"),
    ("cut", faults.cut(2), "truncated"),
    ("cut-in-chunk", faults.cut_in_chunk(2), "truncated"),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("fault", "outcome"), [row[1:] for row in TIDY], ids=[row[0] for row in TIDY])
def test_a_stream_that_ends_tidily_is_whole_only_if_it_says_so(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, fault: Fault, outcome: str
) -> None:
    gateway.script([Rule(fault)])
    instrument()

    async def work(client: Any) -> None:
        async for _ in await client.chat.completions.create(**SAY, stream=True):
            pass

    with contextlib.suppress(openai.APIError, ValueError):  # the client may trip over half an event
        if flavour == "async":
            with_async(work)
        else:
            with openai.OpenAI() as client:
                list(client.chat.completions.create(**SAY, stream=True))
    attributes = recorded.attributes
    assert attributes["huddle.outcome"] in ({outcome} if fault.name != "cut_in_chunk" else {"truncated", "error"})
    assert recorded.span.status.is_unset == (outcome == "ok")
    if fault.name == "cut":
        assert recorded.total("huddle.client.stream.faults", kind="truncated") == 1


# --- cancellation before there is a stream ---------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["cancel", "wait_for"])
@pytest.mark.parametrize("when", ["send", "sleep"])
def test_a_cancelled_call_ends_at_once_and_once(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, stream: bool, how: str, when: str
) -> None:
    """During a send, and during the wait for the next one."""
    gateway.script([Rule(faults.hang() if when == "send" else faults.rate_limited(30))])
    instrument()

    async def work(client: Any) -> None:
        task = asyncio.ensure_future(client.chat.completions.create(**SAY, stream=stream))
        if how == "wait_for":
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(task, 0.15)
            return
        await asyncio.to_thread(gateway.wait_for, lambda: _arrived(gateway, when))
        if when == "sleep":
            await _until(lambda: recorded.total("huddle.client.attempts") == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with_async(work)
    attributes = _settled(recorded, "cancelled")
    assert recorded.span.status.is_unset
    assert attributes["huddle.attempts"] == 1
    assert recorded.total("huddle.client.attempts", result="cancelled") == (1 if when == "send" else 0)
    assert gateway.wait_for(lambda: gateway.in_flight == 0)


def _arrived(gateway: Gateway, when: str) -> bool:
    return bool(gateway.calls) and (when == "send" or gateway.calls[0].finished)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


@contextlib.contextmanager
def _ctrl_c(ready: Callable[[], object]) -> Iterator[None]:
    """Interrupt the main thread once `ready` returns, and again each second until it has left the block.

    A signal that arrives between Python's look at its own flag and the system call that waits is seen only after that
    call, which here never returns: one signal alone would hang the test now and then.
    """
    left = threading.Event()

    def interrupt() -> None:
        ready()
        while not left.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            left.wait(1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def test_ctrl_c_in_the_loop_over_a_stream(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()
    with pytest.raises(KeyboardInterrupt), make(openai.OpenAI).chat.completions.create(**SAY, stream=True) as stream:
        for _ in stream:
            raise KeyboardInterrupt
    _settled(recorded, "abandoned")


@pytest.mark.parametrize("stream", [False, True])
def test_ctrl_c_while_waiting_for_the_gateway(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any], stream: bool
) -> None:
    """A real signal, in the main thread, while the call hangs on its socket."""
    gateway.script([Rule(faults.hang())])
    instrument()
    client = make(openai.OpenAI)
    with pytest.raises(KeyboardInterrupt), _ctrl_c(lambda: gateway.wait_for(lambda: gateway.in_flight == 1)):
        client.chat.completions.create(**SAY, stream=stream)
    _settled(recorded, "cancelled")


def test_ctrl_c_while_reading_a_stream(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.stall(2))])
    instrument()
    stream = make(openai.OpenAI).chat.completions.create(**SAY, stream=True)
    stalled = threading.Event()
    with pytest.raises(KeyboardInterrupt), _ctrl_c(stalled.wait):
        for chunk in stream:
            if chunk.choices[0].delta.content == " steady":
                stalled.set()
    _settled(recorded, "cancelled")


# --- drop-in ---------------------------------------------------------------------------------------------------------


def test_a_plain_answer_is_the_clients_own(instrument: Instrument, make: Callable[..., Any]) -> None:
    instrument()
    answer = make(openai.OpenAI).chat.completions.create(**SAY)
    assert type(answer) is ChatCompletion
    assert answer._request_id is None  # LiteLLM sends no x-request-id


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_stream_is_the_clients_own(instrument: Instrument, flavour: str) -> None:
    instrument()

    def check(stream: Any, kind: type[Any]) -> None:
        assert isinstance(stream, kind)
        assert (type(stream).__name__, type(stream).__qualname__) == (kind.__name__, kind.__qualname__)
        assert type(stream).__module__ == kind.__module__
        assert stream.response.headers["x-litellm-version"]

    async def work(client: Any) -> None:
        async with await client.chat.completions.create(**SAY, stream=True) as stream:
            check(stream, openai.AsyncStream)
            assert {type(chunk) async for chunk in stream} == {ChatCompletionChunk}

    if flavour == "async":
        with_async(work)
    else:
        with openai.OpenAI() as client, client.chat.completions.create(**SAY, stream=True) as stream:
            check(stream, openai.Stream)
            assert {type(chunk) for chunk in stream} == {ChatCompletionChunk}


@pytest.mark.parametrize("persona", ["litellm", "openai"])
@pytest.mark.parametrize(
    "asked", [None, {"include_usage": True}, {"include_usage": False}, {"include_obfuscation": False}]
)
@pytest.mark.parametrize("how", ["typed", "raw-parse", "lines", "bytes", "async"])
def test_the_app_sees_the_chunks_it_would_have_seen(
    instrument: Instrument, recorded: Recorded, persona: str, asked: dict[str, Any] | None, how: str
) -> None:
    """Also when usage was asked for on its behalf: the extra chunk is hidden, on every way to read."""
    call = {**SAY, "stream": True, **({"stream_options": asked} if asked is not None else {})}
    with Gateway(key=KEY, persona=persona) as server:
        bare = _seen(how, call, base_url=server.url, api_key=KEY)
        instrument(base_url=server.url)
        seen = _seen(how, call)
        assert seen == bare
        ours = server.calls[1].body.get("stream_options")
        choice = (asked or {}).get("include_usage")
        assert ours == {**(asked or {}), "include_usage": True if choice is None else choice}
    attributes = recorded.attributes
    assert (USAGE.items() <= attributes.items()) == (choice is not False)
    assert attributes["huddle.outcome"] == "ok"


def _seen(how: str, call: dict[str, Any], **arguments: Any) -> list[Any]:
    """What the app gets, without what differs from call to call."""

    async def work(client: Any) -> list[Any]:
        return [_core(chunk) async for chunk in await client.chat.completions.create(**call)]

    if how == "async":
        return with_async(work, **arguments)
    with openai.OpenAI(**arguments) as client:
        completions = client.chat.completions
        if how == "typed":
            return [_core(chunk) for chunk in completions.create(**call)]
        if how == "raw-parse":
            return [_core(chunk) for chunk in completions.with_raw_response.create(**call).parse()]
        with completions.with_streaming_response.create(**call) as response:
            text = b"".join(response.iter_bytes()).decode() if how == "bytes" else "\n".join(response.iter_lines())
    return [_frame(line) for line in text.splitlines() if line]


def _core(chunk: Any) -> Any:
    return chunk.model_dump(exclude={"id", "created"})


def _frame(line: str) -> Any:
    import json

    data = line.removeprefix("data: ")
    return {k: v for k, v in json.loads(data).items() if k not in {"id", "created"}} if data != "[DONE]" else data


def test_two_streams_at_once_do_not_mix(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()
    completions = make(openai.OpenAI).chat.completions
    first = completions.create(**{**SAY, "model": "first"}, stream=True)
    second = completions.create(**{**SAY, "model": "second"}, stream=True)
    for _ in zip(first, second, strict=True):
        pass
    list(first)
    list(second)
    models = [str((s.attributes or {})["gen_ai.response.model"]) for s in recorded.spans]
    assert sorted(models) == ["first", "second"]


def test_async_generators_leave_no_context_behind(instrument: Instrument, caplog: pytest.LogCaptureFixture) -> None:
    """A generator over a stream that is closed from another context must not say `Failed to detach context`."""
    instrument()

    async def relay(client: Any) -> AsyncIterator[Any]:
        async for chunk in await client.chat.completions.create(**SAY, stream=True):
            yield chunk

    async def work() -> None:
        async with openai.AsyncOpenAI() as client:
            relayed = relay(client)
            await relayed.__anext__()
            await asyncio.create_task(relayed.aclose())  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    run(work())
    assert "detach" not in caplog.text


def test_a_stream_outlives_uninstrument(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(SLOW)])
    instrument()
    stream: Iterator[Any] = make(openai.OpenAI).chat.completions.create(**SAY, stream=True)
    next(stream)
    huddle_otel.uninstrument()
    list(stream)
    assert USAGE.items() <= _settled(recorded, "ok").items()
