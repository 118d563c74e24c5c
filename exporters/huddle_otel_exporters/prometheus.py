"""A `/metrics` endpoint with exemplars, for processes that are alone on their port."""

from __future__ import annotations

import errno
import logging
import mmap
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast

from prometheus_client.exposition import choose_encoder

from huddle_otel.errors import ConfigurationError
from huddle_otel_exporters.environment import text
from huddle_otel_exporters.exposition import Exposition
from huddle_otel_exporters.metrics import Reader
from huddle_otel_exporters.part import Part

_LOG: Final = logging.getLogger("huddle_otel")
_PORTS: Final = range(65_536)
_PATHS: Final = ("/", "/metrics")


class PrometheusReader(Reader):
    """A metric reader that serves `/metrics` on 127.0.0.1:9464, or `OTEL_EXPORTER_PROMETHEUS_HOST` and `_PORT`.

    In OpenMetrics when the scraper asks for it, and then with exemplars.
    """

    def __init__(self) -> None:
        """Take the address from the environment.

        Raises:
            ConfigurationError: `OTEL_EXPORTER_PROMETHEUS_PORT` is not a port.
        """
        super().__init__(on_shutdown=self.close)
        self._address = text("OTEL_EXPORTER_PROMETHEUS_HOST") or "127.0.0.1", _port()
        self._told = mmap.mmap(-1, 1)  # shared by forked children: one warning for all workers of an app
        self._server: _Server | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port it listens on; None when it does not."""
        return self._server.server_address[:2] if self._server is not None else None  # type: ignore[return-value]

    def serve(self) -> None:
        """Open the port, or say once that it is taken, and serve nothing."""
        try:
            self._server = _Server(self._address, Exposition(self.read))
        except OSError as error:
            self._cannot(error)
            return
        # a short poll: closing waits for it
        threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="huddle-otel-prometheus", daemon=True
        ).start()

    def _cannot(self, error: OSError) -> None:
        if self._told[0]:
            return
        self._told[0] = 1
        why = (
            "is taken, probably by another worker of this app"
            if error.errno == errno.EADDRINUSE
            else f"cannot be opened ({type(error).__name__})"
        )
        _LOG.warning(
            "huddle_otel: %s:%d %s, so the metrics of this process are not scraped. With several workers, push them: "
            "exporters=['otlp']",
            *self._address,
            why,
        )

    def close(self) -> None:
        """Stop serving."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def reopen(self) -> None:
        """Serve in a forked child: the socket it has inherited is the parent's, and nobody would answer there."""
        server, self._server = self._server, None
        if server is not None:
            server.socket.close()
            self.serve()


class HuddlePrometheusReader(PrometheusReader):
    """The entry point `huddle_prometheus` of `OTEL_METRICS_EXPORTER`: serves from the start."""

    def __init__(self) -> None:
        """Open the port.

        Raises:
            ConfigurationError: `OTEL_EXPORTER_PROMETHEUS_PORT` is not a port.
        """
        super().__init__()
        self.serve()


def build(_name: str) -> Part:
    """Build the endpoint.

    Raises:
        ConfigurationError: `OTEL_EXPORTER_PROMETHEUS_PORT` is not a port.
        ImportError: prometheus-client is not installed.
    """
    reader = PrometheusReader()
    return Part(reader=reader, start=reader.serve, close=reader.close, in_child=reader.reopen)


def _port() -> int:
    value = text("OTEL_EXPORTER_PROMETHEUS_PORT") or "9464"
    if value.isdecimal() and int(value) in _PORTS:
        return int(value)
    raise ConfigurationError(field="OTEL_EXPORTER_PROMETHEUS_PORT", value=value, permitted="a port from 0 to 65535")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], exposition: Exposition) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.exposition = exposition
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a scraper that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0  # seconds for a request to arrive

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in _PATHS:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        try:
            body = encode(cast("Any", self.server).exposition)  # it only collects
        except Exception as error:  # noqa: BLE001 - whatever an instrument of the app raised
            _LOG.debug("huddle_otel: collecting for a scrape failed (%s)", type(error).__name__)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing: a scrape every few seconds is no news."""
