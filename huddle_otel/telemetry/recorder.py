"""The one listener: turns a call's events into a span and metrics, and never lets a fault of its own out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from opentelemetry import context, metrics, trace
from opentelemetry._logs import get_logger_provider
from opentelemetry.trace import INVALID_SPAN, Span

from huddle_otel.events import AttemptFailed, CallRecord, CircuitChanged, FellBack, Finished, Request
from huddle_otel.settings import Settings
from huddle_otel.telemetry import content, contract, spans
from huddle_otel.telemetry.answer import Answer
from huddle_otel.telemetry.http import HttpSpans
from huddle_otel.telemetry.interop import Outer, around, outer
from huddle_otel.telemetry.metrics import Metrics
from huddle_otel.telemetry.records import record_of

_LOG: Final = logging.getLogger("huddle_otel")
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Recording:
    """One call that is being recorded."""

    request: Request
    span: Span
    within: Outer | None
    """Another instrumentation that takes the call for its own."""
    asked: Mapping[str, Any] | None
    """What the request says, by attribute; None: content is not recorded, and nothing of it need be kept."""


class Recorder:
    """Records calls on the providers of a set of settings. Every method is safe to call from anywhere, and silent."""

    def __init__(
        self,
        settings: Settings,
        version: str,
        *,
        ledgers: Sequence[Callable[[CallRecord], object]] = (),
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Take the given providers, else the global ones, which may still be set later.

        Args:
            settings: What is in force.
            version: Ours.
            ledgers: Told of every call that ends, sampled or not; on the app's thread, so they must be quick.
            wall: Unix time, s.
        """
        self._ledgers, self._wall = ledgers, wall
        self._tag_names = settings.tag_metrics
        self._content = settings.content
        self._logger_provider = settings.logger_provider
        self._told: set[str] = set()
        self._metrics = Metrics(metrics.NoOpMeterProvider(), version)
        meter_provider = settings.meter_provider or metrics.get_meter_provider()
        self._metrics = self.guard("metrics", Metrics.on, meter_provider, version) or self._metrics
        self._tracer_provider = settings.tracer_provider or trace.get_tracer_provider()
        tracer = self.guard("spans", self._tracer_provider.get_tracer, contract.SCOPE, version)
        self._tracer = tracer or trace.NoOpTracer()

    def http_spans(self, resends: Callable[[], int]) -> HttpSpans:
        """Return what gives HTTP clients spans on the same provider."""
        return HttpSpans(self._tracer_provider, resends, self.guard)

    def start(self, request: Request) -> Recording:
        """Begin a call; the span does not record when telemetry fails."""
        self.guard("metrics", self._metrics.started, request)
        within = self.guard("spans", outer)
        span = self.guard("spans", spans.start, self._tracer, request, within) or INVALID_SPAN
        asked = None
        if self._content is not None and (span.is_recording() or self._content.events):
            asked = self.guard("content", content.asked, request)
        return Recording(request, span, within, asked)

    def attempt_failed(self, call: Recording, event: AttemptFailed) -> None:
        """Record a failed attempt."""
        self.guard("metrics", self._metrics.attempt_failed, call.request, event)
        if call.span.is_recording():
            self.guard("spans", spans.attempt_failed, call.span, event)

    def fell_back(self, call: Recording, event: FellBack) -> None:
        """Record that the call goes on with another model."""
        if call.span.is_recording():
            self.guard("spans", spans.fell_back, call.span, event)

    def circuit_changed(self, event: CircuitChanged, call: Recording | None) -> None:
        """Record a circuit's change of state, also on the span of the call that brought it about."""
        self.guard("metrics", self._metrics.circuit_changed, event)
        if call is not None and call.span.is_recording():
            self.guard("spans", spans.circuit_changed, call.span, event)

    def watch(self, circuits: Callable[[], list[dict[str, Any]]], budgets: Callable[[], list[dict[str, Any]]]) -> None:
        """Report the figures of circuits, and of limits on spend, from now on."""
        self._metrics.circuits, self._metrics.budgets = circuits, budgets

    def finish(self, call: Recording, event: Finished, answer: Answer, *, duration: float) -> None:
        """Record the end of a call, with its span still current for exemplars."""
        token = self.guard("metrics", context.attach, trace.set_span_in_context(call.span))
        within = call.within
        try:
            self.guard(
                "metrics",
                self._metrics.finished,
                call.request,
                event,
                answer,
                duration=duration,
                elsewhere=within.records if within is not None else frozenset(),
                tag_names=self._tag_names,
            )
            if call.asked is not None:
                self.guard("content", self._tell_content, call.span, call.asked, answer)
        finally:
            if token is not None:
                context.detach(token)
        self.guard("spans", spans.finish, call.span, event, answer, within)
        if self._ledgers:
            self.guard("ledger", self._keep, call, event, answer, duration)

    def _keep(self, call: Recording, event: Finished, answer: Answer, duration: float) -> None:
        record = record_of(call.span, call.request, event, answer, ended=self._wall(), duration=duration)
        for keep in self._ledgers:
            keep(record)

    def _tell_content(self, span: Span, asked: Mapping[str, Any], answer: Answer) -> None:
        """Record what was said, with the span current."""
        policy = self._content
        if policy is None:
            return
        outputs = {contract.OUTPUT_MESSAGES: answer.content} if answer.content else {}
        said = content.recorded(policy, {**asked, **outputs})
        if policy.spans:
            span.set_attributes({name: content.as_json(value) for name, value in said.items()})
        if policy.events:
            logger = self._logger_provider or get_logger_provider()
            logger.get_logger(contract.SCOPE).emit(event_name=contract.CONTENT_EVENT, attributes=said)

    def guard(self, component: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Call something of ours that must not fail a call: a fault is counted, and logged once per component."""
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, the app's call goes on
            self.trouble(component, error)
            return None

    def count(self, component: str) -> None:
        """Count a fault of ours that is told elsewhere."""
        with suppress(Exception):
            self._metrics.tallies.add_all([(contract.TELEMETRY_ERRORS, (("component", component),), 1)])

    def trouble(self, component: str, error: BaseException, told: str = "") -> None:
        """Count a fault of ours; say it once for each component: `told`, or the error's type."""
        self.count(component)
        if component not in self._told:
            self._told.add(component)
            what = told or type(error).__name__
            _LOG.warning("huddle_otel: %s failed and is skipped (%s); calls go on", component, what)


def attach(span: Span) -> Any:
    """Make a span current, for the HTTP spans and headers below it. The token goes to `detach` in the same frame."""
    return context.attach(around(span))


def detach(token: Any) -> None:
    """Undo `attach`."""
    context.detach(token)
