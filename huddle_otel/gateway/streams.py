"""Play one streamed answer: the events in their order and pace, and each way in which it can end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.completions import DONE, Completion, Events
from huddle_otel.gateway.personas import Persona, stream_error
from huddle_otel.gateway.wire import END_OF_CHUNKS, Connection, chunk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from huddle_otel.gateway.kinds import Ending, Shape

PING: Final = b": ping\n\n"


class Stream:
    """The events of one answer on their way out."""

    def __init__(
        self, connection: Connection, answer: Completion, shape: Shape, persona: Persona, *, usage: bool
    ) -> None:
        self._connection = connection
        self._answer = answer
        self._events = Events(answer)
        self._model = answer.model
        self._shape = shape
        self._persona = persona
        self._wants_usage = usage
        self._pace = answer.model.per_chunk if shape.per_chunk is None else shape.per_chunk

    async def play(self) -> bool:
        """Send everything after the headers. Whether the connection can serve another request.

        Raises:
            ClientGone: the client left.
        """
        shape = self._shape
        await wait_for_content(self._connection, shape, self._model.first_token, ping=chunk(PING))
        contents = self._events.content()
        held = len(contents) if shape.after is None else shape.after
        role = [self._events.role()] if shape.role else []
        if shape.ending == "good" and not self._pace:
            await self._send(*role, *contents, *self._tail(), end=True)  # one write: nothing to see in between
            return True
        await self._send(*role)
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

    def _tail(self, *, finish: bool = True, done: bool = True, reason: str | None = None) -> list[bytes]:
        events = [self._events.finish(reason or self._answer.finish_reason)] if finish else []
        if self._wants_usage:
            cost = self._model.cost(self._answer.usage) if self._persona.usage_cost else None
            spend = None if cost is None else float(cost)
            events.append(self._events.usage(with_choice=self._persona.usage_with_choice, cost=spend))
        return [*events, DONE] if done else events

    async def good(self, rest: Sequence[bytes]) -> bool:
        """All that is left, as it should be."""
        await self._content(rest)
        await self._send(*self._tail(), end=True)
        return True

    async def no_done(self, rest: Sequence[bytes]) -> bool:
        """All but `[DONE]`."""
        await self._content(rest)
        await self._send(*self._tail(done=False), end=True)
        return True

    async def no_finish(self, rest: Sequence[bytes]) -> bool:
        """All but the finish chunk."""
        await self._content(rest)
        await self._send(*self._tail(finish=False), end=True)
        return True

    async def fake_finish(self, _: Sequence[bytes]) -> bool:
        """A finish in place of the rest."""
        await self._send(*self._tail(reason="stop"), end=True)
        return True

    async def error_frame(self, _: Sequence[bytes]) -> bool:
        """An error event in place of the rest."""
        frame = stream_error(self._persona, self._shape.message, self._answer.model.id)
        await self._send(b"data: " + frame + b"\n\n", end=True)
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
        whole = rest[0] if rest else self._events.finish(self._answer.finish_reason)
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
        return await self._forever(self._events.empty())

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
    "fake_finish": Stream.fake_finish,
    "stall": Stream.stall,
    "ping_forever": Stream.ping_forever,
    "empty_deltas": Stream.empty_deltas,
    "no_done": Stream.no_done,
    "no_finish": Stream.no_finish,
}
