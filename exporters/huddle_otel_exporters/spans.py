"""Ended spans wait in a bounded queue for the worker."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from huddle_otel_exporters.delivery import Sink
from huddle_otel_exporters.environment import number
from huddle_otel_exporters.worker import Worker

_MILLISECONDS: Final = 1000


class SpanQueue(SpanProcessor):
    """What the SDK's batch processor does, with its variables (`OTEL_BSP_*`) and its defaults.

    A call that ends only appends to a deque; when the queue is full the span is dropped.
    """

    def __init__(self, sink: Sink) -> None:
        """Take where spans go."""
        self._sink = sink
        self._limit = int(number("OTEL_BSP_MAX_QUEUE_SIZE", 2048))
        self._batch = min(int(number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)), self._limit)
        self._queue: deque[ReadableSpan] = deque()
        self._open = True
        every = number("OTEL_BSP_SCHEDULE_DELAY", 5000) / _MILLISECONDS
        self.worker = Worker("huddle-otel-spans", self._export, every=every)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a sampled span."""
        context = span.context
        waiting = len(self._queue)
        if not self._open or context is None or not context.trace_flags.sampled or waiting >= self._limit:
            return
        self._queue.append(span)
        if not (waiting + 1) % self._batch:
            self.worker.poke()

    def shutdown(self) -> None:
        """Export what waits, in 2 s at most, and take nothing more."""
        self._open = False
        self.worker.end()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what waits; return whether that was done in time."""
        return self.worker.wait(self.worker.poke(), until=time.monotonic() + timeout_millis / _MILLISECONDS)

    def in_child(self) -> None:
        """Forget the parent's spans: the parent exports them."""
        self._queue = deque()

    def _export(self) -> bool:
        queue = self._queue
        while queue:
            batch = [queue.popleft() for _ in range(min(self._batch, len(queue)))]
            if not self._sink.send(batch):
                return False  # the rest at the next run: a back end that is down costs one timeout per run, not many
        return True
