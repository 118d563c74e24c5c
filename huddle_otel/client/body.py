"""Bodies that are still open when the app gets them: settled once, at their end, however they end.

A `Body` belongs to one response and hangs on its `extensions`, so that a stream built late, by
`with_raw_response…parse()`, finds it too. It learns of the end from whichever happens first:

* the app reads it to the end, or reading raises            -> `watch` (typed streams), `_tap` (raw bytes)
* the app closes the response, by whichever of its ways     -> the hooked `close` / `aclose`
* nobody holds it any more                                  -> a finaliser, by way of `keeper`
* the interpreter ends                                      -> `keeper`, before the telemetry is shut down

Its clocks run on content, so pings and empty chunks do not reset them, and only while the app waits for a read. When
one runs out, the keeper shuts the socket down; the read that waits on it then fails, in whatever thread or task, and
the error is given its name here.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import threading
import types
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from huddle_otel.client import keeper
from huddle_otel.client.clock import clock
from huddle_otel.client.reading import StreamFold
from huddle_otel.client.sse import Tap
from huddle_otel.errors import (
    DeadlineExceeded,
    FirstTokenTimeout,
    MalformedResponseError,
    StallTimeout,
    StreamTruncatedError,
)
from huddle_otel.events import Outcome

EXTENSION: Final = "huddle_otel"

Settle = Callable[[Outcome, Exception | None], None]


@dataclass(frozen=True, slots=True)
class Clocks:
    """The limits of one body, s; infinity for none."""

    sent: float = 0.0
    """When the attempt was sent."""
    first_token: float = math.inf
    stall: float = math.inf
    started: float = 0.0
    """When the call began."""
    total: float = math.inf

    @property
    def running(self) -> bool:
        """Whether there is anything to watch."""
        return min(self.first_token, self.stall, self.total) < math.inf


class Body:
    """One open response body."""

    __slots__ = (
        "__weakref__",
        "_clocks",
        "_expired",
        "_finaliser",
        "_forks",
        "_once",
        "_raises",
        "_reading",
        "_response",
        "_settle",
        "_spent",
        "_taken",
        "closed_by_app",
        "fold",
    )

    def __init__(self, response: Any, fold: StreamFold, settle: Settle, clocks: Clocks, *, raises: bool) -> None:
        """Watch `response`.

        Args:
            response: The response, open.
            fold: Takes the chunks in.
            settle: Called once, with the outcome and the error the app was given, if any.
            clocks: When it has taken too long.
            raises: A typed stream that ends without saying so raises a `StreamTruncatedError`.
        """
        self.fold = fold
        self._clocks = clocks
        self._expired: type[DeadlineExceeded | FirstTokenTimeout | StallTimeout] | None = None
        self._raises = raises
        self._settle = settle
        self._once = threading.Lock()  # taken by the first to notice the end, never released
        self._reading = 0.0  # since when the app waits for a read; 0: it does not
        self._spent = 0.0  # waited for reads since the last content, s
        self._taken = False
        self._forks = keeper.forks()
        self.closed_by_app = False
        self._response = weakref.ref(response)
        response.extensions[EXTENSION] = self
        self._hook_close(response)
        self._finaliser = weakref.finalize(response, keeper.put, self.dropped)
        self._finaliser.atexit = False
        now = clock()
        keeper.watch(self, self._again(now, self._due(now)))

    def _hook_close(self, response: Any) -> None:
        """Notice `response.close()`. The hook holds the response weakly, or dropping it would take a collection."""
        ref, kind = self._response, type(response)

        def close() -> None:
            self._closing(perhaps_collected=True)
            if (alive := ref()) is not None:
                kind.close(alive)

        async def aclose() -> None:
            self._closing(perhaps_collected=False)  # the event loop closes dropped generators in a task
            if (alive := ref()) is not None:
                await kind.aclose(alive)

        response.close = close
        response.aclose = aclose

    # --- ends --------------------------------------------------------------------------------------------------------

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        """Settle, unless it is settled, or belongs to the parent of this process."""
        if self._once.acquire(blocking=False):
            self._finaliser.detach()  # it holds the call
            if self._forks == keeper.forks():
                self._settle(outcome, error)

    def dropped(self) -> None:
        """Settle a body that the app is done with, whether or not it read all."""
        self.end(Outcome.OK if self.fold.complete else Outcome.ABANDONED)

    def _closing(self, *, perhaps_collected: bool) -> None:
        # while a read is on, the close is the reader's own, and what it returns or raises tells more
        if self._reading:
            return
        # the client's own generator closes the response when it is collected, which happens anywhere, also in a thread
        # that holds a lock which settling asks for
        if perhaps_collected and self._taken and not self.closed_by_app:
            keeper.put(self.dropped)
        else:
            self.dropped()

    def _read_out(self) -> None:
        self.end(Outcome.OK if self.fold.complete else Outcome.TRUNCATED)

    def _read_out_stream(self) -> None:
        """As `_read_out`, for typed streams, which raise.

        Raises:
            StreamTruncatedError: The stream did not say that it was complete.
        """
        if self.fold.complete or not self._raises:
            self._read_out()
            return
        error = StreamTruncatedError(request=self._request())
        self.end(Outcome.TRUNCATED, error)
        raise error

    def _request(self) -> Any:
        response = self._response()
        return response.request if response is not None else None

    # --- clocks ------------------------------------------------------------------------------------------------------

    def _due(self, now: float) -> float:
        """Return when the first of the clocks may run out."""
        clocks = self._clocks
        if not self.fold.chunks:
            content = clocks.sent + clocks.first_token
        else:
            content = max(self.fold.last, self._reading or now) + clocks.stall - self._spent
        return min(content, clocks.started + clocks.total)

    def _again(self, now: float, due: float) -> float:
        """Return when to look again: before the first content also in time for a stall right after it."""
        return due if self.fold.chunks else min(due, now + self._clocks.stall)

    def _took(self, before: int) -> None:
        """Count the time of a read towards a stall, unless it brought content: there were `before` chunks before it."""
        if self.fold.chunks == before:
            self._spent += clock() - self._reading
        else:
            self._spent = 0.0

    def look(self, now: float) -> float | None:
        """Cut the connection if a clock has run out; returns when to look again."""
        if self._once.locked() or not self._clocks.running:
            return None
        due = self._due(now)
        if now < due:
            return self._again(now, due)
        clocks = self._clocks
        if due >= clocks.started + clocks.total:
            self._expired = DeadlineExceeded
        else:
            self._expired = StallTimeout if self.fold.chunks else FirstTokenTimeout
        _cut(self._response())
        return None

    def named(self, error: Exception) -> Exception:
        """Return a reading error under its right name, or as it is."""
        if self._expired is not None:
            clocks = self._clocks
            limits = {FirstTokenTimeout: clocks.first_token, StallTimeout: clocks.stall, DeadlineExceeded: clocks.total}
            return self._expired(request=self._request(), limit=limits[self._expired])
        if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
            return MalformedResponseError(request=self._request(), detail=type(error).__name__)
        return error

    # --- typed streams -----------------------------------------------------------------------------------------------

    def watch(self, chunks: Iterator[Any]) -> Iterator[Any]:
        """Yield the chunks the app is to see."""
        self._taken = True
        fold = self.fold
        while True:
            before = fold.chunks
            self._reading = clock()
            try:
                chunk = next(chunks)
                shown = fold.see(chunk)
                self._took(before)
            except StopIteration:
                self._read_out_stream()
                return
            except Exception as error:
                raised = self.named(error)
                self.end(Outcome.ERROR, raised)
                if raised is error:
                    raise
                raise raised from error
            except BaseException:
                self.end(Outcome.CANCELLED)
                raise
            finally:
                self._reading = 0.0
            if shown:
                yield chunk

    def awatch(self, chunks: AsyncIterator[Any]) -> AsyncWatch:
        """Return an iterator over the chunks the app is to see."""
        self._taken = True
        return AsyncWatch(self, chunks)

    async def anext(self, chunks: AsyncIterator[Any]) -> Any:
        """Return the next chunk the app is to see; the async twin of a turn of `watch`.

        Raises:
            StopAsyncIteration: The stream is read out.
        """
        fold = self.fold
        while True:
            before = fold.chunks
            self._reading = clock()
            try:
                chunk = await anext(chunks)
                shown = fold.see(chunk)
                self._took(before)
            except StopAsyncIteration:
                self._read_out_stream()
                raise
            except Exception as error:
                raised = self.named(error)
                self.end(Outcome.ERROR, raised)
                if raised is error:
                    raise
                raise raised from error
            except BaseException:
                self.end(Outcome.CANCELLED)
                raise
            finally:
                self._reading = 0.0
            if shown:
                return chunk

    def _broke(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.end(Outcome.ERROR, self.named(error))
        else:
            self.end(Outcome.CANCELLED)

    # --- raw bytes ---------------------------------------------------------------------------------------------------

    def tap(self, *, events: bool) -> None:
        """Read along when the app reads the body as bytes, text or lines instead of through a typed stream."""
        response = self._response()
        if response is None:
            return
        ref, kind = self._response, type(response)
        content_type = response.headers.get("content-type", "")

        def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
            source = kind.iter_bytes(ref(), chunk_size)
            return source if self._taken else self._tap(source, Tap(self.fold, content_type, events=events))

        def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
            source = kind.aiter_bytes(ref(), chunk_size)
            return source if self._taken else self._atap(source, Tap(self.fold, content_type, events=events))

        response.iter_bytes = iter_bytes
        response.aiter_bytes = aiter_bytes

    def _tap(self, source: Iterator[bytes], tap: Tap) -> Iterator[bytes]:
        while True:
            before = self.fold.chunks
            self._reading = clock()
            try:
                shown = tap.feed(next(source))
                self._took(before)
            except StopIteration:
                break
            except BaseException as error:
                self._broke(error)
                raise
            finally:
                self._reading = 0.0
            if shown:
                yield shown
        rest = tap.finish()
        self._read_out()
        if rest:
            yield rest

    async def _atap(self, source: AsyncIterator[bytes], tap: Tap) -> AsyncIterator[bytes]:
        while True:
            before = self.fold.chunks
            self._reading = clock()
            try:
                shown = tap.feed(await anext(source))
                self._took(before)
            except StopAsyncIteration:
                break
            except BaseException as error:
                self._broke(error)
                raise
            finally:
                self._reading = 0.0
            if shown:
                yield shown
        rest = tap.finish()
        self._read_out()
        if rest:
            yield rest


class AsyncWatch:
    """The chunks of an async stream. No generator: the event loop closes dropped ones, each in a task of its own.

    Attributes:
        held: Chunks read ahead, to be handed out first.
    """

    __slots__ = ("_body", "_chunks", "_over", "held")

    def __init__(self, body: Body, chunks: AsyncIterator[Any]) -> None:
        """Read `chunks` through `body`."""
        self._body = body
        self._chunks = chunks
        self._over = False
        self.held: deque[Any] = deque()

    def __aiter__(self) -> AsyncWatch:
        """Return itself."""
        return self

    async def __anext__(self) -> Any:
        """Return the next chunk."""
        if self.held:
            return self.held.popleft()
        if self._over:
            raise StopAsyncIteration
        try:
            return await self._body.anext(self._chunks)
        except BaseException:
            self._over = True
            raise


def _cut(response: Any) -> None:
    """Shut a response's connection down, so that whoever waits for a read on it is woken with an error.

    Not where other requests share it (HTTP/2), and not where the transport does not show its socket (aiohttp): there,
    the read timeout is what ends the wait.
    """
    if response is None or response.http_version == "HTTP/2":
        return
    stream = response.extensions.get("network_stream")
    if stream is None:
        return
    with contextlib.suppress(Exception):  # closed meanwhile: then nobody waits
        sock = stream.get_extra_info("socket")
        # SSLSocket.shutdown would also take the TLS layer away under the reader
        shutdown = socket.socket.shutdown if isinstance(sock, socket.socket) else type(sock).shutdown
        shutdown(sock, socket.SHUT_RDWR)


# --- the subclass the app's stream is made of -----------------------------------------------------------------------

_classes: dict[Any, Any] = {}
"""Stream class, or alias of one, -> our subclass of it. Bounded by the number of chunk types."""


def watched(stream_cls: Any) -> Any:
    """Return a subclass of a `Stream[...]` or `AsyncStream[...]` whose iterator is watched. Made once per class.

    It carries the name of the class it stands for, and `isinstance` holds.
    """
    made = _classes.get(stream_cls)
    if made is None:
        origin = getattr(stream_cls, "__origin__", stream_cls)
        asynchronous = hasattr(origin, "__anext__")
        namespace = {
            "__module__": origin.__module__,
            "__qualname__": origin.__qualname__,
            "__doc__": origin.__doc__,
            "__stream__": _stream(origin, "awatch" if asynchronous else "watch"),
            "_iter_events": _async_events(origin) if asynchronous else _sync_events(origin),
        }
        if not asynchronous:
            namespace["close"] = _close(origin)
        made = types.new_class(origin.__name__, (stream_cls,), {}, lambda body: body.update(namespace))
        _classes[stream_cls] = made
    return made


def _stream(origin: Any, watch: str) -> Any:
    def __stream__(self: Any) -> Any:  # noqa: N807 - the client's own name for it
        body = self.response.extensions.get(EXTENSION)
        chunks = origin.__stream__(self)
        return chunks if body is None else getattr(body, watch)(chunks)

    return __stream__


def _close(origin: Any) -> Any:
    def close(self: Any) -> None:
        body = self.response.extensions.get(EXTENSION)
        if body is not None:
            body.closed_by_app = True
        origin.close(self)

    return close


def _sync_events(origin: Any) -> Any:
    def _iter_events(self: Any) -> Iterator[Any]:
        body = self.response.extensions.get(EXTENSION)
        for event in origin._iter_events(self):
            if body is not None and event.data.startswith("[DONE]"):
                body.fold.done = True
            yield event

    return _iter_events


def _async_events(origin: Any) -> Any:
    async def _iter_events(self: Any) -> AsyncIterator[Any]:
        body = self.response.extensions.get(EXTENSION)
        async for event in origin._iter_events(self):
            if body is not None and event.data.startswith("[DONE]"):
                body.fold.done = True
            yield event

    return _iter_events
