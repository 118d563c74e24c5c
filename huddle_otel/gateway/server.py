"""The server inside the loop: accepts connections, records calls, keeps to its capacity."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from huddle_otel.gateway.answers import Exchange, Terms
from huddle_otel.gateway.kinds import Reply
from huddle_otel.gateway.loose import parsed
from huddle_otel.gateway.personas import error_body
from huddle_otel.gateway.wire import ClientGone, Connection, Request, UnreadableRequest, Watched, head

if TYPE_CHECKING:
    from huddle_otel.gateway.rules import Book

_BACKLOG = 1024  # a burst of new connections queues in the kernel instead of being refused


class Server:
    """Serves on one address until closed. Every method runs in the loop's own thread."""

    def __init__(self, host: str, port: int, book: Book, terms: Terms, capacity: int | None) -> None:
        self._host = host
        self._port = port
        self._book = book
        self._terms = terms
        self._slots = asyncio.Semaphore(capacity) if capacity is not None else None
        self._listener: asyncio.Server | None = None
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._idle: set[Connection] = set()

    async def listen(self) -> int:
        """Accept connections, from now on always on the same port. The port.

        Raises:
            OSError: the port is taken.
        """
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                lambda: Watched(self._accept), self._host, self._port, backlog=_BACKLOG
            )
            self._port = self._listener.sockets[0].getsockname()[1]
        return self._port

    async def deafen(self, *, drop: bool) -> None:
        """Refuse new connections and close idle ones; with `drop` reset those with a call in service too."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for connection in list(self._idle):
            connection.close()
        for connection in list(self._open) if drop else ():
            connection.reset()

    async def close(self) -> None:
        """End everything, calls in service included."""
        await self.deafen(drop=False)
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the next turn of the loop

    def _accept(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._open[connection] = task
        task.add_done_callback(lambda _: self._open.pop(connection))

    async def _serve(self, connection: Connection) -> None:
        try:
            keep = True
            while keep and self._listener is not None:
                self._idle.add(connection)
                request = await connection.read_request()
                self._idle.discard(connection)
                keep = request is not None and await self._answer(connection, request)
        except UnreadableRequest as problem:
            await self._refuse(connection, problem)
        finally:
            self._idle.discard(connection)
            connection.close()

    async def _answer(self, connection: Connection, request: Request) -> bool:
        body = parsed(request.body)
        call, fault = self._book.open(request.method, request.path, request.headers, body)
        finished = gone = entered = False
        try:
            entered = await self._enter(connection)
            keep = await Exchange(self._terms, connection, request, body, call).play(fault)
            finished = True
        except ClientGone:
            gone, keep = True, False
        finally:
            if entered and self._slots is not None:
                self._slots.release()
            self._book.close(call, finished=finished, disconnected=gone)
        return keep and request.keep_alive

    async def _enter(self, connection: Connection) -> bool:
        """Wait for a place; a client that leaves while queued gives up its turn."""
        if self._slots is None:
            return False
        if not self._slots.locked():
            return await self._slots.acquire()
        taking = asyncio.ensure_future(self._slots.acquire())
        await asyncio.wait((taking, connection.gone), return_when=asyncio.FIRST_COMPLETED)
        if not connection.gone.done():
            return True
        if taking.done():
            self._slots.release()
        else:
            taking.cancel()
        raise ClientGone

    async def _refuse(self, connection: Connection, problem: UnreadableRequest) -> None:
        reply = Reply(name="unreadable", code=problem.code, message=str(problem), type="invalid_request_error")
        body = error_body(self._terms.persona, reply, "")
        answer = head(problem.code, "application/json", "connection: close\r\n", length=len(body)) + body
        with suppress(ClientGone):  # nobody is left to be told
            await connection.send(answer)
