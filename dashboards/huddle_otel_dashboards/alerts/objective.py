"""The service level objective: which calls count, how fast the error budget burns, and when that is an alert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.model import Alert, Intervals, Recording, Role, Severity
from huddle_otel_dashboards.alerts.promql import BY_MODEL, ERROR_TYPE, OUTCOME, grew, pick, share
from huddle_otel_dashboards.limits import FASTEST_BURN, Limits

FAILED: Final = ("error", "truncated", "rejected")
"""Outcomes that break the promise to users. `cancelled`, `abandoned` and `blocked` are what the app, its user or its
owner wanted: they count neither as answered nor as failed."""
APPS_OWN: Final = "40[0-79]|4[13-9].|42[0-8]|invalid_prompt|unsupported_protocol|local_protocol_error|.*[A-Z].*"
"""`error.type` of failures that are the request's own: every 4xx but 408 and 429, what cannot be sent, and exceptions
of the app's code, by the capital letter of their class. They do not count. A key that is refused has its own alert."""
VALID: Final = "job_model:huddle_client_calls_valid:increase5m"
"""Calls that count, in 5 minutes."""
BAD: Final = "job_model:huddle_client_calls_bad:increase5m"
"""Those of them that failed."""
UNIT: Final = 300.0
"""Seconds that these two cover. Longer windows are sums of them: cheap, exact over restarts, and empty where nothing
was measured."""
_HOUR: Final = 3_600.0
_DAY: Final = 24 * _HOUR
_WINDOWS: Final = {
    "5m": UNIT,
    "30m": 6 * UNIT,
    "1h": _HOUR,
    "2h": 2 * _HOUR,
    "6h": 6 * _HOUR,
    "1d": _DAY,
    "3d": 3 * _DAY,
    "30d": 30 * _DAY,
}
PERIOD_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Burn:
    """A burn rate, the window it is measured over, and a short one that ends the alert soon after the failures end.

    Source: Google, The Site Reliability Workbook, chapter 5, table 5-8.
    """

    rate: float
    long: str
    short: str
    hold: float
    severity: Severity


BURNS: Final = (
    Burn(FASTEST_BURN, "1h", "5m", 60, Severity.PAGE),
    Burn(6, "6h", "30m", 120, Severity.PAGE),
    Burn(3, "1d", "2h", 300, Severity.TICKET),
    Burn(1, "3d", "6h", 900, Severity.TICKET),
)


def ratio(window: str) -> str:
    """Return the name of the share of calls that failed, by job: `5m`, `30m`, `1h`, `2h`, `6h`, `1d`, `3d`, `30d`."""
    return f"job:huddle_client_calls_bad:ratio{window}"


def recordings(intervals: Intervals) -> tuple[Recording, ...]:
    """Return what is kept of the objective."""
    unit = intervals.window(UNIT)
    counts = f'{ERROR_TYPE}!~"{APPS_OWN}"'
    answered = grew(pick(contract.CALLS, f'{OUTCOME}=~"{"|".join(("ok", *FAILED))}"', counts), unit, BY_MODEL)
    failed = grew(pick(contract.CALLS, f'{OUTCOME}=~"{"|".join(FAILED)}"', counts), unit, BY_MODEL)
    return (
        Recording(name=VALID, expr=answered),
        Recording(name=BAD, expr=f"{failed}\nor 0 * {VALID}"),
        *(_ratio(name, intervals) for name, seconds in _WINDOWS.items() if seconds < _DAY),
    )


def long_windows(intervals: Intervals) -> tuple[Recording, ...]:
    """Return the ratios over days: thousands of points each, which change slowly."""
    return tuple(_ratio(name, intervals) for name, seconds in _WINDOWS.items() if seconds >= _DAY)


def _ratio(window: str, intervals: Intervals) -> Recording:
    failed, valid = (over(name, _WINDOWS[window], intervals) for name in (BAD, VALID))
    return Recording(name=ratio(window), expr=share(failed, valid))


def over(name: str, seconds: float, intervals: Intervals, by: str = "job") -> str:
    """Return the sum over a window of what is recorded per 5 minutes."""
    if seconds <= UNIT:
        return f"sum by ({by}) ({name})"
    return f"sum by ({by}) (sum_over_time({name}[{intervals.window(seconds)}:{intervals.window(UNIT)}]))"


def alerts(limits: Limits, intervals: Intervals) -> tuple[Alert, ...]:
    """Return the alerts on the error budget, fastest first."""
    return tuple(_burning(burn, limits, intervals) for burn in BURNS)


def _burning(burn: Burn, limits: Limits, intervals: Intervals) -> Alert:
    most = f"{burn.rate:g} * {limits.error_budget:g}"
    seconds = _WINDOWS[burn.long]
    used = seconds / _DAY / PERIOD_DAYS * burn.rate
    return Alert(
        name="HuddleErrorBudgetBurn",
        labels={"burn": f"{burn.rate:g}"},
        condition=f"{ratio(burn.long)} > {most}\nand {ratio(burn.short)} > {most}",
        guard=(
            f"{over(VALID, seconds, intervals)} >= {limits.minimum:g}\n"
            f"and {over(BAD, seconds, intervals)} >= {limits.minimum_failures:g}"
        ),
        hold=burn.hold,
        severity=burn.severity,
        role=Role.OBJECTIVE,
        summary="LLM calls of {{ $labels.job }} fail too often",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of the calls of {{{{ $labels.job }}}} failed in {burn.long}, and "
            f"in the last {burn.short} it was no better. The objective is {limits.slo:g} % answered. This is "
            f"{burn.rate:g} times the rate that would just use up the {PERIOD_DAYS} days' error budget: {burn.long} of "
            f"it takes {used:.0%}, and all is gone in {PERIOD_DAYS / burn.rate:.0f} days."
        ),
    )
