"""A wire between a client and a server that keeps every byte the client sends.

The embedded gateway keeps headers as a mapping, which would hide a header sent twice; a key must not be anywhere in
the bytes, so bytes are what the tests look through.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from huddle_otel.gateway import Gateway


class Wire:
    """Listens on loopback and passes everything on to a gateway and back."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._target = ("127.0.0.1", gateway.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sent = bytearray()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """What a client takes as `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._listener.getsockname()[1])

    @property
    def sent(self) -> str:
        """Everything clients have sent so far."""
        with self._lock:
            return self._sent.decode("latin-1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for each in (near, far):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else 40 ms for each small piece
                threading.Thread(target=self._pump, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, keep: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if keep:
                    with self._lock:
                        self._sent += piece
                sink.sendall(piece)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
