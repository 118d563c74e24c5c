"""Play one streamed answer: the events in their order and pace, and each way in which it can end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from huddle_otel.gateway.personas import Persona, stream_error
from huddle_otel.gateway.wire import END_OF_CHUNKS, Connection, chunk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from huddle_otel.gateway.kinds import Ending, Shape
    from huddle_otel.gateway.models import Model

PING: Final = b": ping\n\n"


class Script(Protocol):
    """The events of one good answer, each ready to send."""

    @property
    def model(self) -> Model:
        """Whose pace it has."""
        ...

    def opening(self) -> list[bytes]:
        """What comes before any content."""
        ...

    def content(self) -> list[bytes]:
        """The content chunks in order."""
        ...

    def closing(self, *, finish: bool = True, done: bool = True, reason: str | None = None) -> list[bytes]:
        """What comes after the content: why it ended, usage, and the mark of the end, where the kind has one."""
        ...

    def empty(self) -> bytes:
        """A chunk without content."""
        ...

    def failure(self, code: str, message: str) -> list[bytes]:
        """The events that tell of a failed answer; none where the kind has no words for it."""
        ...


class Stream:
    """The events of one answer on their way out."""

    def __init__(self, connection: Connection, script: Script, shape: Shape, persona: Persona) -> None:
        self._connection = connection
        self._script = script
        self._model = script.model
        self._shape = shape
        self._persona = persona
        self._pace = script.model.per_chunk if shape.per_chunk is None else shape.per_chunk

    async def play(self) -> bool:
        """Send everything after the headers. Whether the connection can serve another request.

        Raises:
            ClientGone: the client left.
        """
        shape = self._shape
        await wait_for_content(self._connection, shape, self._model.first_token, ping=chunk(PING))
        contents = self._script.content()
        held = len(contents) if shape.after is None else shape.after
        opening = self._script.opening() if shape.role else []
        if shape.ending == "good" and not self._pace:
            await self._send(
                *opening, *contents, *self._script.closing(), end=True
            )  # one write: nothing to see in between
            return True
        await self._send(*opening)
        await self._content(contents[:held])
        return await _ENDINGS[shape.ending](self, contents[held:])

    async def _send(self, *events: bytes, end: bool = False) -> None:
        framed = b"".join(map(chunk, events)) + (END_OF_CHUNKS if end else b"")
        if framed:
            await self._connection.send(framed)

    async def _content(self, events: Sequence[bytes]) -> None:
        if not self._pace:
            await self._send(*events)
            return
        for event in events:
            await self._connection.pause(self._pace)
            await self._send(event)

    async def good(self, rest: Sequence[bytes]) -> bool:
        """All that is left, as it should be."""
        await self._content(rest)
        await self._send(*self._script.closing(), end=True)
        return True

    async def no_done(self, rest: Sequence[bytes]) -> bool:
        """All but `[DONE]`."""
        await self._content(rest)
        await self._send(*self._script.closing(done=False), end=True)
        return True

    async def no_finish(self, rest: Sequence[bytes]) -> bool:
        """All but the finish chunk."""
        await self._content(rest)
        await self._send(*self._script.closing(finish=False), end=True)
        return True

    async def fake_finish(self, _: Sequence[bytes]) -> bool:
        """A finish in place of the rest."""
        await self._send(*self._script.closing(reason="stop"), end=True)
        return True

    async def error_frame(self, _: Sequence[bytes]) -> bool:
        """An error event in place of the rest."""
        frame = stream_error(self._persona, self._shape.message, self._model.id)
        await self._send(b"data: " + frame + b"\n\n", end=True)
        return True

    async def failed(self, rest: Sequence[bytes]) -> bool:
        """The events of a failed answer in place of the rest; an error event where there are none."""
        events = self._script.failure(self._shape.code, self._shape.message)
        if not events:
            return await self.error_frame(rest)
        await self._send(*events, end=True)
        return True

    async def malformed(self, rest: Sequence[bytes]) -> bool:
        """An event that is not JSON, then the rest."""
        await self._send(b"data: {not json\n\n")
        return await self.good(rest)

    async def cut(self, _: Sequence[bytes]) -> bool:
        """Nothing more."""
        await self._send(end=self._shape.tidy)
        return False

    async def cut_in_chunk(self, rest: Sequence[bytes]) -> bool:
        """Half an event."""
        whole = rest[0] if rest else self._script.closing()[0]
        await self._send(whole[: len(whole) // 2], end=self._shape.tidy)
        return False

    async def reset(self, _: Sequence[bytes]) -> bool:
        """RST."""
        self._connection.reset()
        return False

    async def half_close(self, _: Sequence[bytes]) -> bool:
        """FIN, and reading on."""
        await self._connection.half_close()
        return False

    async def stall(self, rest: Sequence[bytes]) -> bool:
        """Silence, then the rest."""
        await self._connection.pause(self._shape.seconds)
        return await self.good(rest)

    async def ping_forever(self, _: Sequence[bytes]) -> bool:
        """Pings until the client leaves."""
        return await self._forever(PING)

    async def empty_deltas(self, _: Sequence[bytes]) -> bool:
        """Empty chunks until the client leaves."""
        return await self._forever(self._script.empty())

    async def _forever(self, event: bytes) -> bool:
        while True:
            await self._connection.pause(self._shape.seconds)
            await self._send(event)


async def wait_for_content(
    connection: Connection, shape: Shape, first_token: float, *, ping: bytes | None = None
) -> None:
    """The time between headers and first content (s): the shape's if it has one, else the model's."""
    left = shape.before_content or first_token
    if shape.ping_every is not None and ping is not None:
        while left > 0:
            await connection.send(ping)
            await connection.pause(min(shape.ping_every, left))
            left -= shape.ping_every
    elif left:
        await connection.pause(left)


_ENDINGS: Final[Mapping[Ending, Callable[[Stream, Sequence[bytes]], Awaitable[bool]]]] = {
    "good": Stream.good,
    "reset": Stream.reset,
    "cut": Stream.cut,
    "cut_in_chunk": Stream.cut_in_chunk,
    "half_close": Stream.half_close,
    "malformed": Stream.malformed,
    "error_frame": Stream.error_frame,
    "failed": Stream.failed,
    "fake_finish": Stream.fake_finish,
    "stall": Stream.stall,
    "ping_forever": Stream.ping_forever,
    "empty_deltas": Stream.empty_deltas,
    "no_done": Stream.no_done,
    "no_finish": Stream.no_finish,
}
