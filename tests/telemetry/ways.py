"""Every way to make one chat call, sync and async: what the app writes, and whether it streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from tests.client.support import SAY


class Answer(BaseModel):
    """What `parse()` is to make of the answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way, in both flavours; each gets `client.chat.completions`."""

    name: str
    stream: bool
    sync: Callable[[Any], object]
    later: Callable[[Any], Awaitable[object]]
    outcome: str = "ok"
    parsed: bool = False
    """The answer is structured, so that it is JSON and not text."""

    def __str__(self) -> str:
        return self.name


async def _all(stream: Any) -> list[Any]:
    return [each async for each in stream]


# --- plain answers ---------------------------------------------------------------------------------------------------


def _streaming(read: Callable[[Any], object], **call: Any) -> Callable[[Any], object]:
    def use(completions: Any) -> object:
        with completions.with_streaming_response.create(**SAY, **call) as response:
            return read(response)

    return use


def _streaming_later(read: Callable[[Any], Awaitable[object]], **call: Any) -> Callable[[Any], Awaitable[object]]:
    async def use(completions: Any) -> object:
        async with completions.with_streaming_response.create(**SAY, **call) as response:
            return await read(response)

    return use


async def _raw(completions: Any) -> object:
    return await completions.with_raw_response.create(**SAY)


async def _raw_parse(completions: Any) -> object:
    return (await completions.with_raw_response.create(**SAY)).parse()


PLAIN = [
    Way(name="create", stream=False, sync=lambda c: c.create(**SAY), later=lambda c: c.create(**SAY)),
    Way(
        name="parse",
        stream=False,
        parsed=True,
        sync=lambda c: c.parse(**SAY, response_format=Answer),
        later=lambda c: c.parse(**SAY, response_format=Answer),
    ),
    Way(name="raw", stream=False, sync=lambda c: c.with_raw_response.create(**SAY), later=_raw),
    Way(name="raw-parse", stream=False, sync=lambda c: c.with_raw_response.create(**SAY).parse(), later=_raw_parse),
    Way(
        name="streaming-response-parse",
        stream=False,
        sync=_streaming(lambda r: r.parse()),
        later=_streaming_later(lambda r: r.parse()),
    ),
    Way(
        name="streaming-response-read",
        stream=False,
        sync=_streaming(lambda r: r.read()),
        later=_streaming_later(lambda r: r.read()),
    ),
    Way(
        name="streaming-response-lines",
        stream=False,
        sync=_streaming(lambda r: list(r.iter_lines())),
        later=_streaming_later(lambda r: _all(r.iter_lines())),
    ),
    Way(
        name="streaming-response-bytes",
        stream=False,
        sync=_streaming(lambda r: list(r.iter_bytes(16))),
        later=_streaming_later(lambda r: _all(r.iter_bytes(16))),
    ),
]

# --- streams ---------------------------------------------------------------------------------------------------------


async def _stream(completions: Any) -> object:
    return await _all(await completions.create(**SAY, stream=True))


def _helper(completions: Any) -> object:
    with completions.stream(**SAY) as stream:
        for _ in stream:
            pass
        return stream.get_final_completion()


async def _helper_later(completions: Any) -> object:
    async with completions.stream(**SAY) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_completion()


async def _raw_stream(completions: Any) -> object:
    return await _all((await completions.with_raw_response.create(**SAY, stream=True)).parse())


async def _parse_stream(response: Any) -> object:
    return await _all(await response.parse())


STREAMED = [
    Way(name="stream", stream=True, sync=lambda c: list(c.create(**SAY, stream=True)), later=_stream),
    Way(name="stream-helper", stream=True, sync=_helper, later=_helper_later),
    Way(
        name="raw-stream",
        stream=True,
        sync=lambda c: list(c.with_raw_response.create(**SAY, stream=True).parse()),
        later=_raw_stream,
    ),
    Way(
        name="streaming-response-stream",
        stream=True,
        sync=_streaming(lambda r: list(r.parse()), stream=True),
        later=_streaming_later(_parse_stream, stream=True),
    ),
    Way(
        name="streaming-response-stream-lines",
        stream=True,
        sync=_streaming(lambda r: list(r.iter_lines()), stream=True),
        later=_streaming_later(lambda r: _all(r.iter_lines()), stream=True),
    ),
    Way(
        name="streaming-response-stream-text",
        stream=True,
        sync=_streaming(lambda r: list(r.iter_text()), stream=True),
        later=_streaming_later(lambda r: _all(r.iter_text()), stream=True),
    ),
    Way(
        name="streaming-response-stream-bytes",
        stream=True,
        sync=_streaming(lambda r: list(r.iter_bytes(7)), stream=True),
        later=_streaming_later(lambda r: _all(r.iter_bytes(7)), stream=True),
    ),
]


async def _nothing(_: Any) -> None:
    """Leave at once."""


async def _one_line(response: Any) -> object:
    lines = response.iter_lines()
    return await lines.__anext__()


LEFT = [
    Way(
        name="streaming-response-left",
        stream=False,
        outcome="abandoned",
        sync=_streaming(lambda _: None),
        later=_streaming_later(_nothing),
    ),
    Way(
        name="streaming-response-stream-left",
        stream=True,
        outcome="abandoned",
        sync=_streaming(lambda r: next(r.iter_lines()), stream=True),
        later=_streaming_later(_one_line, stream=True),
    ),
]
WAYS = [*PLAIN, *STREAMED, *LEFT]
