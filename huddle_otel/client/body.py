"""Bodies that are still open when the app gets them: settled once, at their end, however they end.

A `Body` belongs to one response and hangs on its `extensions`, so that a stream built late, by
`with_raw_response…parse()`, finds it too. It learns of the end from whichever happens first:

* the app reads it to the end, or reading raises            -> `watch` (typed streams), `_tap` (raw bytes)
* the app closes the response, by whichever of its ways     -> the hooked `close` / `aclose`
* nobody holds it any more                                  -> a finaliser, by way of `reaper`
"""

from __future__ import annotations

import threading
import types
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from huddle_otel.client import reaper
from huddle_otel.client.reading import StreamFold
from huddle_otel.client.sse import Tap
from huddle_otel.events import Outcome

EXTENSION: Final = "huddle_otel"

Settle = Callable[[Outcome, Exception | None], None]


class Body:
    """One open response body."""

    __slots__ = ("__weakref__", "_once", "_reading", "_response", "_settle", "_taken", "fold")

    def __init__(self, response: Any, fold: StreamFold, settle: Settle) -> None:
        """Watch `response`; call `settle` once with the outcome and the error the app was given, if any."""
        self.fold = fold
        self._settle = settle
        self._once = threading.Lock()  # taken by the first to notice the end, never released
        self._reading = False
        self._taken = False
        self._response = weakref.ref(response)
        response.extensions[EXTENSION] = self
        self._hook_close(response)
        weakref.finalize(response, reaper.put, self.dropped).atexit = False

    def _hook_close(self, response: Any) -> None:
        """Notice `response.close()`. The hook holds the response weakly, or dropping it would take a collection."""
        ref, kind = self._response, type(response)

        def close() -> None:
            self._closing()
            if (alive := ref()) is not None:
                kind.close(alive)

        async def aclose() -> None:
            self._closing()
            if (alive := ref()) is not None:
                await kind.aclose(alive)

        response.close = close
        response.aclose = aclose

    # --- ends --------------------------------------------------------------------------------------------------------

    def end(self, outcome: Outcome, error: Exception | None = None) -> None:
        """Settle, unless it is settled."""
        if self._once.acquire(blocking=False):
            self._settle(outcome, error)

    def dropped(self) -> None:
        """Settle a body that nobody holds any more."""
        self.end(Outcome.ABANDONED)

    def _closing(self) -> None:
        # while a read is on, the close is the reader's own, and what it returns or raises tells more
        if not self._reading:
            self.end(Outcome.OK if self.fold.complete else Outcome.ABANDONED)

    def _read_out(self) -> None:
        self.end(Outcome.OK if self.fold.complete else Outcome.TRUNCATED)

    # --- typed streams -----------------------------------------------------------------------------------------------

    def watch(self, chunks: Iterator[Any]) -> Iterator[Any]:
        """Yield the chunks the app is to see."""
        self._taken = True
        see = self.fold.see
        while True:
            self._reading = True
            try:
                chunk = next(chunks)
                shown = see(chunk)
            except StopIteration:
                self._read_out()
                return
            except BaseException as error:
                self._broke(error)
                raise
            finally:
                self._reading = False
            if shown:
                yield chunk

    async def awatch(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the chunks the app is to see."""
        self._taken = True
        see = self.fold.see
        while True:
            self._reading = True
            try:
                chunk = await anext(chunks)
                shown = see(chunk)
            except StopAsyncIteration:
                self._read_out()
                return
            except BaseException as error:
                self._broke(error)
                raise
            finally:
                self._reading = False
            if shown:
                yield chunk

    def _broke(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.end(Outcome.ERROR, error)
        else:
            self.end(Outcome.CANCELLED)

    # --- raw bytes ---------------------------------------------------------------------------------------------------

    def tap(self, *, events: bool) -> None:
        """Read along when the app reads the body as bytes, text or lines instead of through a typed stream."""
        response = self._response()
        if response is None:
            return
        ref, kind = self._response, type(response)

        def iter_bytes(chunk_size: int | None = None) -> Iterator[bytes]:
            source = kind.iter_bytes(ref(), chunk_size)
            return source if self._taken else self._tap(source, Tap(self.fold, events=events))

        def aiter_bytes(chunk_size: int | None = None) -> AsyncIterator[bytes]:
            source = kind.aiter_bytes(ref(), chunk_size)
            return source if self._taken else self._atap(source, Tap(self.fold, events=events))

        response.iter_bytes = iter_bytes
        response.aiter_bytes = aiter_bytes

    def _tap(self, source: Iterator[bytes], tap: Tap) -> Iterator[bytes]:
        while True:
            self._reading = True
            try:
                piece = next(source)
            except StopIteration:
                break
            except BaseException as error:
                self._broke(error)
                raise
            finally:
                self._reading = False
            if shown := tap.feed(piece):
                yield shown
        rest = tap.finish()
        self._read_out()
        if rest:
            yield rest

    async def _atap(self, source: AsyncIterator[bytes], tap: Tap) -> AsyncIterator[bytes]:
        while True:
            self._reading = True
            try:
                piece = await anext(source)
            except StopAsyncIteration:
                break
            except BaseException as error:
                self._broke(error)
                raise
            finally:
                self._reading = False
            if shown := tap.feed(piece):
                yield shown
        rest = tap.finish()
        self._read_out()
        if rest:
            yield rest


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
        made = types.new_class(origin.__name__, (stream_cls,), {}, lambda body: body.update(namespace))
        _classes[stream_cls] = made
    return made


def _stream(origin: Any, watch: str) -> Any:
    def __stream__(self: Any) -> Any:  # noqa: N807 - the client's own name for it
        body = self.response.extensions.get(EXTENSION)
        chunks = origin.__stream__(self)
        return chunks if body is None else getattr(body, watch)(chunks)

    return __stream__


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
