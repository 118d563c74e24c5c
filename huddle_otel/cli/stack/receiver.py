"""What Alertmanager's webhooks post to: keeps what it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One alert of one notification."""

    at: float
    """When it came, s since the epoch."""
    receiver: str
    """Last part of the webhook's path: `page` or `ticket`."""
    status: str
    """`firing` or `resolved`."""
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(slots=True)
class Receiver:
    """A server on a free port of 127.0.0.1."""

    told: list[Notice] = field(default_factory=list[Notice])
    """In order of arrival."""
    url: str = ""

    @contextmanager
    def listening(self) -> Generator[None]:
        """Take notifications until the block ends."""
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.extend(_read(document, self.path.rpartition("/")[2]))
                self.send_response(HTTPStatus.OK)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield
            server.shutdown()


def _read(document: dict[str, Any], receiver: str) -> list[Notice]:
    """Read a webhook's document: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config."""
    now = time.time()
    return [
        Notice(at=now, receiver=receiver, status=each["status"], labels=each["labels"], annotations=each["annotations"])
        for each in document["alerts"]
    ]
