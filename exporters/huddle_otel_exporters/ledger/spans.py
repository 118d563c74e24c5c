"""The ledger as a span exporter: for an app whose spans go through the SDK, `OTEL_TRACES_EXPORTER=huddle_ledger`.

`exporters=["ledger"]` keeps more: every call, sampled or not, and figures a span does not carry.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from huddle_otel.events import CallRecord, finish_reason
from huddle_otel.spend import nano
from huddle_otel.telemetry import contract
from huddle_otel_exporters.delivery import Sink, Trouble
from huddle_otel_exporters.ledger import file
from huddle_otel_exporters.ledger.writer import Writer

_NANO: Final = 10**9
_TOKENS: Final = tuple(name for name in file.COLUMNS if name.endswith("_tokens"))


class LedgerSpanExporter(SpanExporter):
    """Writes the spans of huddle_otel's calls to the ledger; others are left out."""

    def __init__(self) -> None:
        """Take the ledger that `HUDDLE_OTEL_LEDGER` names, or the usual one. It is opened with the first call."""
        path = file.default_path()
        self._sink = Sink(lambda: Writer(path), Trouble("ledger", str(path)))
        self._pid = os.getpid()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the calls among these spans."""
        if self._pid != os.getpid():  # a connection must not cross a fork
            self._pid = os.getpid()
            self._sink.in_child()
        records = [record_of(span) for span in spans if _is_call(span)]
        return SpanExportResult.SUCCESS if not records or self._sink.send(records) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Close the file."""
        self._sink.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - as in the base class
        """Return True: what is exported is written."""
        return True


def record_of(span: ReadableSpan) -> CallRecord:
    """Read a call back from its span. What a span does not carry is unknown."""
    said: dict[str, Any] = dict(span.attributes or {})
    context = span.context
    started, ended = span.start_time or 0, span.end_time or span.start_time or 0
    usage = {name: said.get(contract.USAGE_FIELDS[name]) for name in _TOKENS}
    parts = {f"cost_{name}": nano(said.get(attribute)) for name, attribute in contract.COST_FIELDS.items()}
    cost, outcome, error = nano(said.get(contract.COST)), str(said.get(contract.OUTCOME)), said.get(contract.ERROR_TYPE)
    return CallRecord(
        started=started / _NANO,
        duration=(ended - started) / _NANO,
        first_chunk=said.get(contract.TIME_TO_FIRST_CHUNK),
        operation=str(said.get(contract.OPERATION, "")),
        model=str(said.get(contract.REQUEST_MODEL, "")),
        response_model=said.get(contract.RESPONSE_MODEL),
        provider=str(said.get(contract.PROVIDER, "")),
        host=str(said.get(contract.SERVER_ADDRESS, "")),
        stream=bool(said.get(contract.REQUEST_STREAM, False)),
        outcome=outcome,
        error_type=error,
        status=said.get(contract.STATUS_CODE) if outcome != "ok" else None,
        finish_reason=finish_reason(said.get(contract.FINISH_REASONS, ())),
        attempts=said.get(contract.ATTEMPTS, 0),
        waited=said.get(contract.WAIT, 0.0),
        double_billing=bool(said.get(contract.DOUBLE_BILLING, False)),
        answered=outcome == "ok" or contract.COST_SOURCE in said or contract.RESPONSE_ID in said,
        fell_back_from=said.get(contract.FALLBACK_FROM),
        cost=cost,
        cost_source=str(said.get(contract.COST_SOURCE, "unknown")),
        cost_estimate=None,
        request_id=said.get(contract.REQUEST_ID),
        response_id=said.get(contract.RESPONSE_ID),
        trace_id=context.trace_id if context is not None else 0,
        span_id=context.span_id if context is not None else 0,
        tags={
            name.removeprefix(contract.TAG_PREFIX): value
            for name, value in said.items()
            if name.startswith(contract.TAG_PREFIX)
        },
        **usage,
        **parts,
    )


def _is_call(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == contract.SCOPE and span.kind is SpanKind.CLIENT
