"""What one exporter adds to a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.sdk.trace import SpanProcessor

from huddle_otel.events import CallRecord
from huddle_otel_exporters.delivery import Sink
from huddle_otel_exporters.metrics import Reader
from huddle_otel_exporters.worker import Worker


def nothing() -> None:
    """Do nothing: the default of what a part may want to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One exporter, built and not yet attached to anything."""

    span_processor: SpanProcessor | None = None
    reader: Reader | None = None
    ledger: Callable[[CallRecord], object] | None = None
    """Told of every call that ends, on the app's thread."""
    sinks: tuple[Sink, ...] = ()
    """Closed after the workers' last run or when the time for it is up; quiet while the process forks."""
    workers: tuple[Worker, ...] = ()
    """What a flush asks and an exit waits for."""
    patience: float = 0.0
    """Seconds one export may take. An exit waits at least that long for the last one."""
    start: Callable[[], None] = nothing
    """Called when the part is in place. Building alone takes nothing, so that a failure has nothing to give back."""
    close: Callable[[], None] = nothing
    """Called once, after the sinks are closed."""
    in_child: Callable[[], None] = nothing
    """Called in a forked child, on the only thread there is, before the workers start again."""
