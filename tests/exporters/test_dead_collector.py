"""A collector that is not there, or never answers: no call feels it, the exit is bounded, one warning is logged."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from huddle_otel_exporters.delivery import Sink, Trouble
from huddle_otel_exporters.part import Part
from huddle_otel_exporters.pipeline import Pipeline
from huddle_otel_exporters.spans import SpanQueue
from tests.exporters.conftest import App, warnings_of

SLACK = 0.5
"""Seconds, for a busy machine."""


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("how", ["refused", "silent"])
@pytest.mark.parametrize("name", ["otlp", "otlp-grpc"])
def test_the_exit_is_bounded_and_one_warning_logged(
    name: str, how: str, black_hole: int, free_port: Callable[[], int], app: App
) -> None:
    port = free_port() if how == "refused" else black_hole
    code = f"""
import atexit, time
atexit.register(lambda: say(time.monotonic() - ended))  # registered first, so run last
start("{name}", "console")
for _ in range(6):
    call(20)
ended = time.monotonic()
"""
    process = app(
        code,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        OTEL_BSP_SCHEDULE_DELAY=20,
        OTEL_BSP_MAX_QUEUE_SIZE=16,
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE=8,
        OTEL_METRIC_EXPORT_INTERVAL=20,
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert float(out) < 2 + SLACK
    assert "huddle_otel: 120 calls, 0 errors" in err
    (warning,) = warnings_of(err)
    assert f"{name} at 127.0.0.1:{port} does not take telemetry" in warning


class Stuck:
    """An exporter that does not return before it is let go, and notes which threads it was called on."""

    def __init__(self) -> None:
        self.go, self.threads, self.taken = threading.Event(), set[int](), 0

    def export(self, batch: list[ReadableSpan]) -> SpanExportResult:
        self.threads.add(threading.get_ident())
        self.go.wait(10)
        self.taken += len(batch)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.go.set()


def stuck_pipeline(monkeypatch: pytest.MonkeyPatch) -> tuple[Stuck, TracerProvider, Pipeline]:
    for name, value in {"SCHEDULE_DELAY": "1", "MAX_QUEUE_SIZE": "10", "MAX_EXPORT_BATCH_SIZE": "5"}.items():
        monkeypatch.setenv(f"OTEL_BSP_{name}", value)
    exporter = Stuck()
    queue = SpanQueue(Sink(lambda: exporter, Trouble("otlp", "nowhere")))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    pipeline = Pipeline([Part(span_processor=queue, workers=(queue.worker,), close=exporter.shutdown)])
    pipeline.start()
    return exporter, provider, pipeline


def test_spans_end_while_an_export_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider, pipeline = stuck_pipeline(monkeypatch)
    tracer = provider.get_tracer("test")
    for _ in range(100):
        tracer.start_span("call").end()
    assert exporter.taken == 0
    exporter.go.set()
    assert pipeline.flush(5)
    assert threading.get_ident() not in exporter.threads
    assert (
        10 <= exporter.taken <= 10 + 5 * 3
    )  # the queue, and what the worker took in the meantime; the rest is dropped


def test_a_flush_and_a_shutdown_keep_to_their_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter, provider, pipeline = stuck_pipeline(monkeypatch)
    provider.get_tracer("test").start_span("call").end()
    began = time.monotonic()
    assert not pipeline.flush(0.05)
    assert not provider.force_flush(50)
    pipeline.shutdown(0.3)
    assert time.monotonic() - began < 2
    assert not pipeline.flush(1)
    pipeline.shutdown()
    provider.shutdown()
    assert exporter.go.is_set()


class Flaky:
    """Fails as told, with the log lines of a stock exporter."""

    def __init__(self) -> None:
        self.fails = True
        self.log = logging.getLogger("opentelemetry.exporter.otlp.test")

    def export(self, _batch: Any) -> SpanExportResult:
        if not self.fails:
            return SpanExportResult.SUCCESS
        self.log.warning("Transient error %s, retrying in %.2fs.", ConnectionError("http://user:secret@host"), 1.0)
        self.log.error("Failed to export %s batch due to timeout, max retries or shutdown.", "spans")
        return SpanExportResult.FAILURE

    def shutdown(self) -> None: ...


def test_failures_are_said_once_and_so_is_the_recovery(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Flaky()
    sink = Sink(lambda: exporter, Trouble("otlp", "host:4318"))
    caplog.set_level(logging.INFO)
    for _ in range(50):
        assert not sink.send([])
    exporter.fails = False
    assert sink.send([])
    assert sink.send([])
    warning, recovery = caplog.messages
    assert "otlp at host:4318 does not take telemetry (ConnectionError)" in warning
    assert "secret" not in caplog.text
    assert "takes telemetry again; 50 batches were refused" in recovery
    caplog.clear()
    exporter.fails = True
    sink.send([])
    assert not caplog.messages, "a back end that comes and goes is not announced each time"
    exporter.export([])
    assert len(caplog.messages) == 2, "exporters of the app log as ever"


def test_an_exporter_that_raises_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Flaky):
        def export(self, _batch: Any) -> SpanExportResult:
            raise OSError("http://user:secret@host")

    assert not Sink(Raising, Trouble("otlp", "host")).send([])
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text
