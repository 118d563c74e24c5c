"""The server inside the loop: accepts connections, records calls, keeps to its capacity."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from huddle_otel.gateway.answers import Exchange, Terms
from huddle_otel.gateway.kinds import Reply
from huddle_otel.gateway.loose import parsed
from huddle_otel.gateway.personas import error_body
from huddle_otel.gateway.wire import ClientGone, Connection, Request, UnreadableRequest, head

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
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: set[Connection] = set()
        self._busy: set[Connection] = set()

    def listen(self) -> int:
        """Accept connections, from now on always on the same port. The port.

        Raises:
            OSError: the port is taken.
        """
        if self._listener is None:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.create_server((self._host, self._port), family=family, backlog=_BACKLOG)
            listener.settimeout(0)
            # Not `loop.create_server`: closing that one while it accepts leaks the new connection, open and unanswered.
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)
            self._listener = listener
            self._port = listener.getsockname()[1]
        return self._port

    def deafen(self, *, drop: bool) -> None:
        """Refuse new connections and close idle ones; with `drop` reset those with a call in service too."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for connection in list(self._idle):
            connection.close()
        for connection in list(self._busy) if drop else ():
            connection.reset()

    async def close(self) -> None:
        """End everything, calls in service included."""
        self.deafen(drop=False)
        await asyncio.sleep(0)  # a connection accepted in this turn of the loop starts, and can be ended
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets in the next turn

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # none is left, or the process has no file descriptor free: they stay in the queue
            while True:
                sock, _ = listener.accept()
                task = loop.create_task(self._serve(sock))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, sock: socket.socket) -> None:
        connection = await Connection.over(sock)
        try:
            while self._listener is not None and await self._next(connection):
                pass
        except UnreadableRequest as problem:
            await self._refuse(connection, problem)
        finally:
            connection.close()

    async def _next(self, connection: Connection) -> bool:
        """Serve the next request. Whether another may follow."""
        self._idle.add(connection)
        try:
            request = await connection.read_request()
        finally:
            self._idle.discard(connection)
        if request is None:
            return False
        self._busy.add(connection)
        try:
            return await self._answer(connection, request)
        finally:
            self._busy.discard(connection)

    async def _answer(self, connection: Connection, request: Request) -> bool:
        body = parsed(request.body, request.headers.get("content-type", ""))
        call, fault = self._book.open(request.method, request.path, request.headers, body)
        finished = gone = entered = False
        try:
            entered = await self._enter(connection)
            call.served = True
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
