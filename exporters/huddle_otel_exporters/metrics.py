"""Reading metrics out of the SDK, once for every way out, and pushing them from a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData

from huddle_otel_exporters.delivery import Sink
from huddle_otel_exporters.environment import number
from huddle_otel_exporters.worker import Worker

_MILLISECONDS: Final = 1000
_QUIESCE: Final = 1.0
"""Seconds a fork waits for a collection under way; one takes milliseconds."""


class Reader(MetricReader):
    """Collects when asked. What is done with it, and what a flush or a shutdown of its provider means, is given."""

    def __init__(
        self,
        *,
        temporality: Mapping[type, Any] | None = None,
        aggregation: Mapping[type, Any] | None = None,
        on_flush: Callable[[float], bool] = lambda _timeout: True,
        on_shutdown: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the exporter's preferences; `on_flush` takes seconds."""
        super().__init__(
            preferred_temporality=dict(temporality) if temporality else None,
            preferred_aggregation=dict(aggregation) if aggregation else None,
        )
        self._on_flush, self._on_shutdown = on_flush, on_shutdown
        self._collecting = threading.RLock()
        self._data: MetricsData | None = None
        self._starting_over = False
        self._held = False

    def read(self) -> MetricsData | None:
        """Collect. Returns None when there is nothing, and raises what an observable instrument raises."""
        with self._collecting:
            self._data = None
            self.collect()
            return self._data

    def _receive_metrics(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002 - as in the base class
        **kwargs: Any,  # noqa: ARG002 - as in the base class
    ) -> None:
        self._data = metrics_data  # exported elsewhere, so that a slow back end does not hold the lock

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do what the owner does at a flush."""
        return self._on_flush(timeout_millis / _MILLISECONDS)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ARG002 - as in the base class
        """Do what the owner does at a shutdown."""
        if not self._starting_over:
            self._on_shutdown()

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Wait until no collection is under way, so that the child inherits no lock of the SDK that is held."""
        self._held = self._collecting.acquire(timeout=_QUIESCE)

    def after_fork(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._collecting.release()

    def in_child(self, provider: MeterProvider) -> None:
        """Start from nothing: what the SDK has added up so far is the parent's, and the parent reports it."""
        quiet, self._held = self._held, False
        self._collecting = threading.RLock()
        self._data = None
        if not quiet:
            return  # the SDK's locks cannot be trusted
        self._starting_over = True
        try:
            provider.remove_metric_reader(self)
            provider.add_metric_reader(self)
        finally:
            self._starting_over = False


class MetricPush:
    """What the SDK's periodic reader does, with its variable, `OTEL_METRIC_EXPORT_INTERVAL`, and its default, 60 s."""

    def __init__(self, sink: Sink) -> None:
        """Take where metrics go."""
        self._sink = sink
        every = number("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / _MILLISECONDS
        self.worker = Worker("huddle-otel-metrics", self._export, every=every)
        self.reader = Reader(
            # the SDK's own reader takes them from there
            temporality=sink.exporter._preferred_temporality,  # noqa: SLF001
            aggregation=sink.exporter._preferred_aggregation,  # noqa: SLF001
            on_flush=self._flush,
            on_shutdown=self._shutdown,
        )

    def _export(self) -> bool:
        data = self.reader.read()
        if data is None or not data.resource_metrics:
            return True
        return self._sink.send(data)

    def _flush(self, timeout: float) -> bool:
        return self.worker.wait(self.worker.poke(), until=time.monotonic() + timeout)

    def _shutdown(self) -> None:
        self.worker.end()
