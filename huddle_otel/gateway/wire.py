"""One HTTP/1.1 connection: read requests, write answers, notice that the client left, and break things on purpose."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

MAX_HEAD: Final = 64 * 1024
"""Longest request line and headers (bytes)."""
MAX_BODY: Final = 64 * 1024 * 1024
"""Longest request body (bytes)."""

# Linger on, for 0 s: close() sends RST instead of FIN. Windows has shorter fields.
_RST: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class ClientGone(Exception):  # noqa: N818 -- an event, not an error
    """The client closed its side before the answer was complete."""


class UnreadableRequest(Exception):  # noqa: N818 -- named after what it is
    """What arrived is not an HTTP request this server can read."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    query: str = ""


class _Watched(asyncio.StreamReaderProtocol):
    """A stream protocol that says when the client leaves, also while nobody reads.

    A client that only closes its sending side counts as gone: no OpenAI client does that and still waits.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        super().__init__(reader)

    def eof_received(self) -> bool | None:
        """The client sent FIN."""
        self._leave()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by either side."""
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)


class Connection:
    """A connection as the answers see it."""

    __slots__ = ("_reader", "_writer", "gone")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Future[None]) -> None:
        self._reader = reader
        self._writer = writer
        self.gone = gone
        # Nothing waits in user space: a reset loses no byte that was sent before, and a slow reader is felt at once.
        writer.transport.set_write_buffer_limits(high=0)

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        """The connection of a socket just accepted."""
        loop = asyncio.get_running_loop()
        # asyncio forgets it for sockets it did not open, and the body after the head would wait 40 ms for an ACK.
        with suppress(OSError):  # the client has gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = asyncio.StreamReader(limit=MAX_HEAD)
        transport, protocol = await loop.connect_accepted_socket(lambda: _Watched(reader), sock)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop), protocol.gone)

    async def read_request(self) -> Request | None:
        """The next request; None when the client has no more.

        Raises:
            UnreadableRequest: it is malformed or too long.
        """
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            method, path, version, headers = _parse_head(head)
            if headers.get("expect", "").lower() == "100-continue":
                self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await self._read_body(headers)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except asyncio.LimitOverrunError:
            raise UnreadableRequest(431, "Request headers are too long.") from None
        keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        path, _, query = path.partition("?")
        return Request(method, path, headers, body, keep_alive, query)

    async def send(self, data: bytes) -> None:
        """Hand `data` to the kernel.

        Raises:
            ClientGone: the client left.
        """
        if self.gone.done():
            raise ClientGone
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise ClientGone from None

    async def pause(self, seconds: float) -> None:
        """Wait; `inf` waits until the client leaves.

        Raises:
            ClientGone: the client left meanwhile.
        """
        if seconds > 0:
            await asyncio.wait((self.gone,), timeout=None if math.isinf(seconds) else seconds)
        else:
            await asyncio.sleep(0)  # an endless fault without a delay must not starve the loop
        if self.gone.done():
            raise ClientGone

    def reset(self) -> None:
        """Close with a real RST."""
        sock: socket.socket | None = self._writer.get_extra_info("socket")
        if sock is not None and not self._writer.transport.is_closing():
            with suppress(OSError):  # the client was faster
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
        self._writer.transport.abort()

    async def half_close(self) -> None:
        """Send FIN and read on until the client leaves."""
        try:
            self._writer.write_eof()
        except OSError:
            raise ClientGone from None
        await asyncio.wait((self.gone,))

    def close(self) -> None:
        """Close with FIN."""
        self._writer.close()

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return await self._read_chunked()
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise UnreadableRequest(400, "Content-Length is not a number.")
        if int(length) > MAX_BODY:
            raise UnreadableRequest(413, "Request body is too long.")
        return await self._reader.readexactly(int(length)) if length != "0" else b""

    async def _read_chunked(self) -> bytes:
        body = bytearray()
        while True:
            try:
                size = int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            except ValueError:
                raise UnreadableRequest(400, "A chunk length is not a number.") from None
            if not 0 <= size <= MAX_BODY - len(body):
                raise UnreadableRequest(413, "Request body is too long.")
            if size == 0:
                while await self._reader.readuntil(b"\r\n") != b"\r\n":
                    pass  # trailers mean nothing here
                return bytes(body)
            body += (await self._reader.readexactly(size + 2))[:-2]


def head(code: int, content_type: str, fields: str, *, length: int | None) -> bytes:
    """Status line and headers; a body without a `length` is sent in chunks."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    start = f"HTTP/1.1 {code} {_REASONS.get(code, 'Unknown')}\r\ncontent-type: {content_type}\r\n{framing}\r\n"
    return f"{start}{fields}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


END_OF_CHUNKS: Final = b"0\r\n\r\n"


def _parse_head(raw: bytes) -> tuple[str, str, str, dict[str, str]]:
    lines = raw.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 -- method, path, version
        raise UnreadableRequest(400, "The request line is not HTTP/1.1.")
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        if not colon:
            raise UnreadableRequest(400, "A header line has no colon.")
        headers[name.strip().lower()] = value.strip()
    return words[0], words[1], words[2], headers
