"""The sockets: GET and HEAD only, who may ask, headers that keep browsers strict, and limits on everyone's patience."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from huddle_otel.cli.serve.access import COOKIE, Access
from huddle_otel.cli.serve.site import Answer, Site, login, plain, split, style

CONNECTIONS: Final = 64
"""At the same time; further ones are closed."""
SILENCE: Final = 10.0
"""Seconds a client may take over its next bytes."""
LONGEST: Final = 30.0
"""Seconds a connection may take in all."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer."""


class Server(ThreadingHTTPServer):
    """Serves a site to whom `access` permits. A thread per connection, a bounded number of them."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], site: Site, access: Access, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the port.

        Raises:
            OSError: It is taken, or the address is not this machine's.
        """
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.site, self.access, self._clock = site, access, clock
        self._lock = threading.Lock()
        self._open: dict[Any, float] = {}
        """Connection -> when it began."""
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = str(self.server_address[0]), self.server_address[1]
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{port}/"

    def server_bind(self) -> None:
        """Bind; the base class would also ask name servers what this machine is called."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand a connection to a thread of its own, unless there are too many."""
        with self._lock:
            busy = len(self._open) >= CONNECTIONS
            if not busy:
                self._open[request] = self._clock()
        if busy:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection, and close it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut connections that last too long: the base class asks twice a second."""
        limit = self._clock() - LONGEST
        with self._lock:
            late = [request for request, begun in self._open.items() if begun < limit]
        for request in late:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)  # its thread wakes up, and closes it

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that went away is no news, and faults of ours are answered."""


class _Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride] - the only one that makes it
    server_version, sys_version = "huddle-otel", ""
    timeout = SILENCE

    def do_GET(self) -> None:
        try:
            answer = self._answer()
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told, and the terminal
            print(f"huddle-otel: {self.path.partition('?')[0]!r} failed: {type(error).__name__}", file=sys.stderr)
            answer = plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        self._send(answer)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self) -> Answer:
        access = self.server.access
        if not access.named(self.headers.get("Host")):
            return plain(HTTPStatus.MISDIRECTED_REQUEST)
        path, query = split(self.path)
        if access.token is not None and path == "/" and access.is_token(query.get("token", "")):
            cookie = f"{COOKIE}={access.session}; Path=/; HttpOnly; SameSite=Strict"
            return plain(HTTPStatus.SEE_OTHER, Location="/", **{"Set-Cookie": cookie})
        if not access.permits(
            authorization=self.headers.get("Authorization", ""), cookie=self.headers.get("Cookie", "")
        ):
            return self._stranger(path)
        return self.server.site.answer(self.path, accept=self.headers.get("Accept", ""))

    @staticmethod
    def _stranger(path: str) -> Answer:
        if path == "/":
            return login()
        if path == "/page.css":
            return style()
        return plain(HTTPStatus.UNAUTHORIZED, **{"WWW-Authenticate": "Bearer"})

    def _send(self, answer: Answer) -> None:
        self.request_version = self.protocol_version  # else what speaks no HTTP gets an answer without our headers
        self.send_response(answer.status)
        fixed = {"Content-Type": answer.type, "Content-Length": str(len(answer.body))}
        for name, value in (HEADERS | fixed | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - as in the base class
        """Answer what the base class refuses, a method it has no `do_` for above all, without echoing any of it."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._send(plain(status, **({"Allow": "GET, HEAD"} if status is HTTPStatus.METHOD_NOT_ALLOWED else {})))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing: a page that polls is no news."""
