"""A server that gives one answer to all, as none should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit


class Asked(NamedTuple):
    """A request that has come."""

    method: str
    path: str
    authorization: str | None
    arguments: Mapping[str, list[str]]


class Odd(ThreadingHTTPServer):
    """Answers every request with what it is told to, and keeps what was sent."""

    status, text, location = 200, "", ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def succeed(self, data: object) -> None:
        """Answer as Prometheus does when all is well."""
        self.text = json.dumps({"status": "success", "data": data})

    def find(self, *series: object, kind: str = "vector") -> None:
        """Answer every query with these."""
        self.succeed({"resultType": kind, "result": series})


class _Handler(BaseHTTPRequestHandler):
    server: Odd

    def do_GET(self) -> None:
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, arguments: str) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append(Asked(self.command, path, self.headers["Authorization"], parse_qs(arguments)))
        self.send_response(self.server.status)
        self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
