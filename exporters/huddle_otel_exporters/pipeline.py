"""The parts of a pipeline on their providers: flushed, shut down and forked together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from huddle_otel_exporters.part import Part
from huddle_otel_exporters.worker import GRACE

_LOG: Final = logging.getLogger("huddle_otel")
_CLOSING: Final = 0.2
"""Seconds of `GRACE` for an export that is given up to notice it."""

_QUIESCE: Final = 0.2
"""Seconds a fork waits at most for exports under way: to a back end that answers they take milliseconds."""


class Pipeline:
    """What `set_up` has set up.

    Attributes:
        tracer_provider: Where spans of huddle_otel should go; None is wherever the app's go, if anywhere.
        meter_provider: Where its metrics should go; None as above.
        ledgers: What is told of every call that ends.
    """

    def __init__(
        self,
        parts: Sequence[Part] = (),
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Take parts that are already on these providers."""
        self.tracer_provider, self.meter_provider = tracer_provider, meter_provider
        self.ledgers = tuple(part.ledger for part in parts if part.ledger is not None)
        self._parts = tuple(parts)
        self._workers = tuple(worker for part in parts for worker in part.workers)
        self._sinks = tuple(sink for part in parts for sink in part.sinks)
        self._patience = max([GRACE, *(part.patience for part in parts)])
        self._lock = threading.Lock()
        self.is_shut_down = False

    def start(self) -> None:
        """Start the parts and their workers."""
        for part in self._parts:
            part.start()
        for worker in self._workers:
            worker.start()

    def flush(self, timeout: float = 5.0) -> bool:
        """Deliver what has been recorded so far.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether everything was delivered in time. Prometheus scrapes when it wants to, and counts as delivered.
        """
        if self.is_shut_down:
            return False
        until = time.monotonic() + timeout
        tickets = [(worker, worker.poke()) for worker in self._workers]
        delivered = [worker.wait(ticket, until=until) for worker, ticket in tickets]
        return all(delivered)

    def shutdown(self, timeout: float | None = None) -> None:
        """Deliver what is left and stop; spans and metrics recorded later go nowhere. Safe to call again.

        Args:
            timeout: Seconds to wait at most. Default: 2, or the user's own `OTEL_EXPORTER_OTLP_TIMEOUT` if longer.
        """
        with self._lock:
            if self.is_shut_down:
                return
            self.is_shut_down = True
        until = time.monotonic() + (self._patience if timeout is None else timeout)
        for worker in self._workers:
            worker.stop()
        in_time = [worker.join(until=until - _CLOSING) for worker in self._workers]
        for close in [*(sink.close for sink in self._sinks), *(part.close for part in self._parts)]:
            _quietly(close)
        if not all(in_time):
            for worker in self._workers:
                worker.join(until=until)
        for part in self._parts:
            if part.reader is not None and self.meter_provider is not None:
                self.meter_provider.remove_metric_reader(part.reader)

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let collections and exports under way end, so that no lock is held that the child cannot replace."""
        until = time.monotonic() + _QUIESCE
        for sink in self._sinks:
            sink.before_fork(until=until)
        for part in self._parts:
            if part.reader is not None:
                part.reader.before_fork()

    def after_fork(self) -> None:
        """Go on in the parent."""
        for sink in self._sinks:
            sink.after_fork()
        for part in self._parts:
            if part.reader is not None:
                part.reader.after_fork()

    def in_child(self) -> None:
        """Start over in the child: nothing of the parent's is exported again."""
        self._lock = threading.Lock()
        if self.is_shut_down:
            return
        for part in self._parts:
            if part.reader is not None and self.meter_provider is not None:
                _quietly(partial(part.reader.in_child, self.meter_provider))
            _quietly(part.in_child)
        for sink in self._sinks:
            sink.in_child()
        for worker in self._workers:
            worker.in_child()


def _quietly(action: Callable[[], None]) -> None:
    """Do what must not fail a fork or an exit of the app."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it is, the app goes on
        _LOG.warning("huddle_otel: telemetry could not be stopped or restarted (%s)", type(error).__name__)
