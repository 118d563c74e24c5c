"""Alerts on the answers themselves: how long they take, when they begin, and whether they are whole."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.model import Alert, Intervals, Role, Severity
from huddle_otel_dashboards.alerts.promql import (
    BY_MODEL,
    ERROR_TYPE,
    REQUEST_MODEL,
    as_model,
    grew,
    p95,
    pick,
    share,
)
from huddle_otel_dashboards.limits import Limits

STALLED: Final = "stall"
"""`kind` of streams that fell silent for too long."""
CUT_SHORT: Final = "truncated|disconnect|error_event|malformed"
"""`kind` of streams that ended before their answer did."""
_WINDOW: Final = 600.0
_LONGER: Final = 900.0


def alerts(limits: Limits, intervals: Intervals) -> tuple[Alert, ...]:
    """Return them all."""
    return (
        _latency(limits, intervals),
        _first_chunk(limits, intervals),
        _streams(limits, intervals, name="HuddleStreamsStalling", kind=STALLED, what="fall silent half-way"),
        _streams(limits, intervals, name="HuddleStreamsCutShort", kind=CUT_SHORT, what="are cut short"),
    )


def _latency(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(_WINDOW)
    answered = f'{ERROR_TYPE}=""'
    count = grew(pick(contract.DURATION, answered, part="_count"), window, f"job, {REQUEST_MODEL}")
    return Alert(
        name="HuddleLatencyHigh",
        condition=as_model(
            f"{p95(contract.DURATION, window, answered)} > {limits.p95:g}\nand {count} >= {limits.minimum:g}"
        ),
        hold=600,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="Answers of {{ $labels.model }} take too long",
        description=(
            "Of the calls of {{ $labels.job }} that were answered in 10 minutes, one in twenty took longer than "
            f"{{{{ $value | humanizeDuration }}}}, retries included; the limit is {limits.p95:g} s."
        ),
    )


def _first_chunk(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(_WINDOW)
    count = grew(pick(contract.FIRST_CHUNK, part="_count"), window, f"job, {REQUEST_MODEL}")
    return Alert(
        name="HuddleFirstTokenSlow",
        condition=as_model(
            f"{p95(contract.FIRST_CHUNK, window)} > {limits.first_chunk:g}\nand {count} >= {limits.minimum:g}"
        ),
        hold=600,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="Streams of {{ $labels.model }} begin late",
        description=(
            "Of the streams of {{ $labels.job }} in 10 minutes, one in twenty took longer than "
            f"{{{{ $value | humanizeDuration }}}} to its first content; the limit is {limits.first_chunk:g} s."
        ),
    )


def _streams(limits: Limits, intervals: Intervals, *, name: str, kind: str, what: str) -> Alert:
    window = intervals.window(_LONGER)
    broken = grew(pick(contract.STREAM_FAULTS, f'kind=~"{kind}"'), window, BY_MODEL)
    return Alert(
        name=name,
        condition=f"{share(broken, grew(pick(contract.CALLS), window, BY_MODEL))} > {limits.stream_faults / 100:g}",
        guard=f"on ({BY_MODEL}) {broken} >= {limits.minimum_failures:g}",
        hold=300,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary=f"Streams of {{{{ $labels.model }}}} {what}",
        description=(
            "{{ $value | humanizePercentage }} of the calls of {{ $labels.job }} in 15 minutes were streams that "
            f"{what}; {limits.stream_faults:g} % is too many. Users see half an answer, and it is billed."
        ),
    )
