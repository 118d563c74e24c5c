"""Alerts on what is between the app and its answers: circuits, timeouts, limits, keys, retries, latency, streams."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.model import Alert, Intervals, Role, Severity
from huddle_otel_dashboards.alerts.promql import (
    BY_CIRCUIT,
    BY_MODEL,
    ERROR_TYPE,
    OUTCOME,
    REQUEST_MODEL,
    appeared,
    as_model,
    grew,
    model_of_circuit,
    p95,
    pick,
    share,
)
from huddle_otel_dashboards.limits import Limits

TIMEOUTS: Final = ".*_timeout|timeout|deadline_exceeded|408"
"""`result` of attempts that ran out of time, each in a phase of its own."""
CUT_SHORT: Final = "truncated|disconnect|error_event|malformed"
"""`kind` of streams that ended before their answer did."""
_MOST: Final = 0.5
"""Share of an app's processes: circuits are per process, and one process may have a trouble of its own."""
_GAUGE: Final = 120.0
"""Long enough for a sample of a gauge that is pushed once a minute, the default of OpenTelemetry, s."""
_WINDOW: Final = 300.0
_LONGER: Final = 900.0


def alerts(limits: Limits, intervals: Intervals) -> tuple[Alert, ...]:
    """Return them all, gravest first."""
    return (
        _circuit_open(intervals),
        _authentication(limits, intervals),
        _quota(limits, intervals),
        _circuit_flapping(limits, intervals),
        _timeouts(limits, intervals),
        _rate_limited(limits, intervals),
        _retry_budget(intervals),
        _amplification(limits, intervals),
        _latency(limits, intervals),
        _first_chunk(limits, intervals),
        _streams(
            limits,
            intervals,
            name="HuddleStreamsStalling",
            kind="stall",
            what="stop half-way for too long",
            did="stopped half-way for too long",
        ),
        _streams(
            limits, intervals, name="HuddleStreamsCutShort", kind=CUT_SHORT, what="are cut short", did="was cut short"
        ),
    )


def _busy(limits: Limits, seconds: float, intervals: Intervals) -> str:
    calls = grew(pick(contract.CALLS), intervals.window(seconds), BY_MODEL)
    return f"on ({BY_MODEL}) {calls} >= {limits.minimum:g}"


def _circuit_open(intervals: Intervals) -> Alert:
    state = f"min_over_time({pick(contract.BREAKER)}[{intervals.window(_GAUGE)}])"
    # a circuit that nobody calls stays as it is; one that is called, and still fails, opens again and again
    opened = appeared(pick(contract.TRANSITIONS, 'to="open"'), intervals.window(_LONGER), BY_CIRCUIT)
    return Alert(
        name="HuddleCircuitOpen",
        condition=model_of_circuit(
            f"avg by ({BY_CIRCUIT}) ({state} >= bool 1) >= {_MOST:g}\nand on ({BY_CIRCUIT}) {opened} > 0"
        ),
        hold=60,
        severity=Severity.PAGE,
        role=Role.OUTAGE,
        summary="{{ $labels.model }} is down for {{ $labels.job }}: its calls are refused",
        description=(
            "The circuit {{ $labels.circuit }} has not been closed for three minutes in "
            "{{ $value | humanizePercentage }} of the processes of {{ $labels.job }}, and opens again after "
            "each probe. Calls fail at once, unless they have a fallback."
        ),
    )


def _circuit_flapping(limits: Limits, intervals: Intervals) -> Alert:
    closed = pick(contract.TRANSITIONS, 'from="half_open"', 'to="closed"')
    return Alert(
        name="HuddleCircuitFlapping",
        condition=model_of_circuit(
            f"max by ({BY_CIRCUIT}) (increase({closed}[{intervals.window(1_800)}])) >= {limits.flaps:g}"
        ),
        hold=0,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="{{ $labels.model }} comes and goes for {{ $labels.job }}",
        description=(
            "The circuit {{ $labels.circuit }} opened and closed again about {{ $value | humanize }} times in 30 "
            f"minutes in one process; {limits.flaps:g} is too often. Each time calls fail, then are refused for 5 to "
            "10 s."
        ),
    )


def _timeouts(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(_WINDOW)
    late = grew(pick(contract.ATTEMPTS_MADE, f'result=~"{TIMEOUTS}"'), window, f"{BY_MODEL}, result")
    sent = grew(pick(contract.ATTEMPTS_MADE), window, BY_MODEL)
    return Alert(
        name="HuddleTimeouts",
        condition=f"{share(late, sent, on=f' on ({BY_MODEL}) group_left ()')} > {limits.faults / 100:g}",
        guard=f"on ({BY_MODEL}) {sent} >= {limits.minimum:g}",
        hold=300,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="Requests for {{ $labels.model }} run out of time: {{ $labels.result }}",
        description=(
            "{{ $value | humanizePercentage }} of the requests that {{ $labels.job }} sent for {{ $labels.model }} in "
            f"5 minutes ended in {{{{ $labels.result }}}}; {limits.faults:g} % is too many. Some were tried again and "
            "answered late; each may be billed."
        ),
    )


def _rate_limited(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(_WINDOW)
    limited = grew(pick(contract.CALLS, f'{ERROR_TYPE}=~"429|rate_limited"'), window, BY_MODEL)
    return Alert(
        name="HuddleRateLimited",
        condition=f"{share(limited, grew(pick(contract.CALLS), window, BY_MODEL))} > {limits.faults / 100:g}",
        guard=_busy(limits, _WINDOW, intervals),
        hold=300,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="{{ $labels.job }} is over its rate limit for {{ $labels.model }}",
        description=(
            "{{ $value | humanizePercentage }} of the calls in 5 minutes failed with a 429, retries included, or were "
            f"held back until they would have been too late; {limits.faults:g} % is too many."
        ),
    )


def _authentication(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(_LONGER)
    refused = grew(pick(contract.CALLS, f'{ERROR_TYPE}=~"401|403"'), window, BY_MODEL)
    return Alert(
        name="HuddleAuthenticationFailing",
        condition=f"{share(refused, grew(pick(contract.CALLS), window, BY_MODEL))} > {limits.faults / 100:g}",
        guard=f"on ({BY_MODEL}) {refused} >= {limits.minimum_failures:g}",
        hold=60,
        severity=Severity.PAGE,
        role=Role.OUTAGE,
        summary="The key of {{ $labels.job }} is refused for {{ $labels.model }}",
        description=(
            "{{ $value | humanizePercentage }} of the calls in 15 minutes were refused with 401 or 403; "
            f"{limits.faults:g} % is too many. They are never retried, and every one fails until a key is mended."
        ),
    )


def _quota(limits: Limits, intervals: Intervals) -> Alert:
    # a 429 that would fail again the same way is a spent quota; LiteLLM says of a key's spent budget 422
    refused = pick(contract.ATTEMPTS_MADE, 'result=~"402|422|429"', 'class="E"')
    spent = grew(refused, intervals.window(_LONGER), BY_MODEL)
    return Alert(
        name="HuddleQuotaExhausted",
        condition=f"{spent} >= {limits.minimum_failures:g}",
        hold=60,
        severity=Severity.PAGE,
        role=Role.OUTAGE,
        summary="No money or quota is left upstream for {{ $labels.model }}",
        description=(
            "{{ $value | humanize }} requests of {{ $labels.job }} in 15 minutes were refused because the quota or the "
            f"key's budget is spent (402, 422, or a 429 that no waiting mends); {limits.minimum_failures:g} are "
            "enough. Every call fails until it is raised."
        ),
    )


def _retry_budget(intervals: Intervals) -> Alert:
    left = f"max_over_time({pick(contract.RETRY_BUDGET)}[{intervals.window(_GAUGE)}])"
    calls = grew(pick(contract.CALLS), intervals.window(_WINDOW), BY_MODEL)
    return Alert(
        name="HuddleRetryBudgetEmpty",
        condition=model_of_circuit(f"avg by ({BY_CIRCUIT}) ({left} < bool 1) >= {_MOST:g}"),
        guard=f"on ({BY_MODEL}) {calls} > 0",  # nobody calls: nothing fills it
        hold=300,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="Failed calls for {{ $labels.model }} are not tried again any more",
        description=(
            "The retry budget of {{ $labels.circuit }} has been below one retry for five minutes in "
            "{{ $value | humanizePercentage }} of the processes of {{ $labels.job }}: more than a tenth of the calls "
            "failed and were retried. Every further failure reaches users."
        ),
    )


def _amplification(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(_LONGER)
    sent = grew(pick(contract.ATTEMPTS_MADE), window, BY_MODEL)
    calls = grew(pick(contract.CALLS, f'{OUTCOME}!~"rejected|blocked"'), window, BY_MODEL)
    return Alert(
        name="HuddleAmplification",
        condition=f"{share(sent, calls)} > {limits.amplification:g}",
        guard=_busy(limits, _LONGER, intervals),
        hold=300,
        severity=Severity.TICKET,
        role=Role.SYMPTOM,
        summary="Retries multiply the load on {{ $labels.model }}",
        description=(
            "{{ $labels.job }} sent {{ $value | humanize }} requests per call for {{ $labels.model }} in 15 minutes; "
            f"the limit is {limits.amplification:g}. Each request may be billed, and adds to what made it fail."
        ),
    )


def _latency(limits: Limits, intervals: Intervals) -> Alert:
    window = intervals.window(2 * _WINDOW)
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
    window = intervals.window(2 * _WINDOW)
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


def _streams(limits: Limits, intervals: Intervals, *, name: str, kind: str, what: str, did: str) -> Alert:
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
            "In {{ $value | humanizePercentage }} of the calls of {{ $labels.job }} in 15 minutes the stream "
            f"{did}; {limits.stream_faults:g} % is too many. Users see half an answer, and it "
            "is billed."
        ),
    )
