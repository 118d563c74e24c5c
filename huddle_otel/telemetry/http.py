"""One HTTP span per attempt, below the call's, by OpenTelemetry's own httpx instrumentation; with `traceparent` sent.

Each HTTP client is instrumented when a call first goes through it. Where the app has httpx instrumented itself, its
spans are the attempts' spans and we add none.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Protocol

from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import INVALID_SPAN, Span, Tracer, TracerProvider, get_current_span, use_span

_RESENDS: Final = "http.request.resend_count"
_AUTHORIZATION: Final = "http.request.header.authorization"


class Guard(Protocol):
    """Calls something whose failure must not reach the app; None when it failed."""

    def __call__(self, component: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        ...


class HttpSpans:
    """Instruments HTTP clients, and takes it back."""

    def __init__(self, tracer_provider: TracerProvider, resends: Callable[[], int], guard: Guard) -> None:
        """Put spans on `tracer_provider`; `resends` counts the attempts of a call before the one being sent."""
        self._provider = _GuardedProvider(tracer_provider, resends, guard)
        self._lock = threading.Lock()
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()
        self._ours: weakref.WeakSet[Any] = weakref.WeakSet()

    def cover(self, client: Any) -> None:
        """See to it that the requests of an `httpx` or `httpx2` client have spans."""
        if client in self._seen:
            return
        with self._lock:
            if client in self._seen:
                return
            self._seen.add(client)
            instrumentor = _instrumentor(client)
            by_the_app = getattr(client, "_is_instrumented_by_opentelemetry", False)
            if instrumentor is None or by_the_app or instrumentor().is_instrumented_by_opentelemetry:
                return
            # no meter: the contract has no HTTP metrics, and a record is not free
            instrumentor.instrument_client(client, tracer_provider=self._provider, meter_provider=NoOpMeterProvider())
            self._ours.add(client)

    def remove(self) -> None:
        """Leave every client as it was."""
        with self._lock:
            for client in list(self._ours):
                instrumentor = _instrumentor(client)
                if instrumentor is not None:
                    instrumentor.uninstrument_client(client)
            self._ours.clear()
            self._seen.clear()


def _instrumentor(client: Any) -> Any:
    """Return the instrumentor for a client of httpx or of httpx2, or of a class derived from one; else None."""
    roots = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
    if "httpx2" in roots:
        return HTTPX2ClientInstrumentor
    return HTTPXClientInstrumentor if "httpx" in roots else None


class _GuardedTracer(Tracer):
    """A tracer that never raises: the instrumentation starts its spans in the middle of the app's request."""

    def __init__(self, tracer: Tracer, resends: Callable[[], int], guard: Guard) -> None:
        self._tracer, self._resends, self._guard = tracer, resends, guard

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        span: Span | None = self._guard("spans", self._tracer.start_span, *args, **kwargs)
        return span or INVALID_SPAN

    @contextlib.contextmanager
    def start_as_current_span(  # type: ignore[override]  # in the API it is also a decorator, which nobody uses here
        self, name: str, *args: Any, attributes: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Generator[Span]:
        above = get_current_span()
        if not above.is_recording():
            yield above  # of an unsampled call nothing is recorded; what is sent as `traceparent` says so
            return
        given = dict(attributes or {})
        resends = self._resends()
        if resends:
            given[_RESENDS] = resends
        if _AUTHORIZATION in given:  # a user may have asked for all request headers; the key is not theirs to spread
            given[_AUTHORIZATION] = ("[REDACTED]",)
        span = self.start_span(name, *args, attributes=given, **kwargs)
        try:
            with use_span(span):
                yield span
        finally:
            self._guard("spans", span.end)


class _GuardedProvider(TracerProvider):
    """Hands out guarded tracers."""

    def __init__(self, provider: TracerProvider, resends: Callable[[], int], guard: Guard) -> None:
        self._provider, self._resends, self._guard = provider, resends, guard

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return _GuardedTracer(self._provider.get_tracer(*args, **kwargs), self._resends, self._guard)
