"""Alerts on the telemetry itself: what is not measured cannot alert."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.model import Alert, Intervals, Role, Severity
from huddle_otel_dashboards.alerts.promql import appeared, grew, pick
from huddle_otel_dashboards.limits import Limits

_ALWAYS: Final = pick(contract.TELEMETRY_ERRORS)
"""The one series that every process has from its start, before any call."""
_HOUR: Final = 3_600.0
_DAY: Final = 24 * _HOUR


def alerts(_limits: Limits, intervals: Intervals) -> tuple[Alert, ...]:
    """Return them all, gravest first."""
    return (_absent(intervals), _down(intervals), _errors(intervals), _overflow(intervals))


def _absent(intervals: Intervals) -> Alert:
    before = f"last_over_time({_ALWAYS}[{intervals.window(_DAY)}])"
    return Alert(
        name="HuddleTelemetryAbsent",
        condition=f"(group by (job) ({before}) unless group by (job) ({_ALWAYS}))\nor absent({_ALWAYS})",
        hold=600,
        severity=Severity.TICKET,
        role=Role.TELEMETRY,
        summary="No metrics of huddle_otel arrive from {{ with $labels.job }}{{ . }}{{ else }}any app{{ end }}",
        description=(
            "None for ten minutes, where there were some in the last day, or where these rules were installed. Until "
            "they are back, no other alert of this list can fire for it."
        ),
    )


def _down(intervals: Intervals) -> Alert:
    ours = f"group by (job, instance) (last_over_time({_ALWAYS}[{intervals.window(_DAY)}]))"
    return Alert(
        name="HuddleScrapeDown",
        condition=f"max by (job, instance) (up) == 0\nand {ours}",
        hold=300,
        severity=Severity.TICKET,
        role=Role.TELEMETRY,
        summary="{{ $labels.instance }} of {{ $labels.job }} cannot be scraped",
        description=(
            "Prometheus has had no answer from {{ $labels.instance }} for five minutes: the process is gone or stuck, "
            "or its port is closed. Its calls are not measured."
        ),
    )


def _errors(intervals: Intervals) -> Alert:
    return Alert(
        name="HuddleTelemetryDropped",
        condition=f"{grew(_ALWAYS, intervals.window(_HOUR), 'job, component')} > 0",
        hold=0,
        severity=Severity.TICKET,
        role=Role.TELEMETRY,
        summary="huddle_otel in {{ $labels.job }} loses some of its telemetry: {{ $labels.component }}",
        description=(
            "About {{ $value | humanize }} failures in the component {{ $labels.component }} in an hour. Calls are not "
            "affected; figures of that component are too low."
        ),
    )


def _overflow(intervals: Intervals) -> Alert:
    other = pick(contract.CALLS, f'{contract.MODEL}="{contract.OTHER_MODEL}"')
    return Alert(
        name="HuddleModelsOverflow",
        condition=f"{appeared(other, intervals.window(_HOUR), 'job')} > 0",
        hold=0,
        severity=Severity.TICKET,
        role=Role.TELEMETRY,
        summary="{{ $labels.job }} uses more model names than metrics keep apart",
        description=(
            "About {{ $value | humanize }} calls in an hour were counted for the model `other`: a process has seen "
            "more than 200 names. Figures and alerts by model do not tell the later ones apart."
        ),
    )
