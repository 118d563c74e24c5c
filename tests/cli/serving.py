"""A served ledger for tests: real sockets, calls put in by the ledger's own writer."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huddle_otel.cli.serve.access import Access
from huddle_otel.cli.serve.server import Server
from huddle_otel.cli.serve.site import Site
from huddle_otel.events import CallRecord
from huddle_otel_exporters.ledger.writer import Writer


def put(path: Path, *records: CallRecord) -> None:
    """Write calls into a ledger."""
    writer = Writer(path)
    writer.export(records)
    writer.shutdown()


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    server: Server

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def ask(self, target: str, method: str = "GET", **headers: str) -> Told:
        """Ask as a browser on this machine does; headers are named as in Python."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, target, headers={key.replace("_", "-"): value for key, value in headers.items()})
            answer = connection.getresponse()
            return Told(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@contextmanager
def serving(path: Path, access: Access | None = None, *, port: int = 0, **options: Any) -> Generator[Served]:
    """Serve a ledger, on a free port if none is given, until the end of the block."""
    site = Site(path)
    site.begin()
    with Server(("127.0.0.1", port), site, access or Access(remote=False), **options) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Served(server)
        finally:
            server.shutdown()
            thread.join()
