"""Alerts on spend: its rate, its limits, what is unusual, and what nobody can price."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.model import Alert, Intervals, Recording, Role, Severity
from huddle_otel_dashboards.alerts.objective import UNIT, over
from huddle_otel_dashboards.alerts.promql import BY_MODEL, appeared, grew, pick, share
from huddle_otel_dashboards.limits import Limits

COST: Final = "job_model:huddle_client_cost_usd:increase5m"
"""USD in 5 minutes."""
_HOUR: Final = 3_600.0
_DAY: Final = 24 * _HOUR
_UNITS_PER_HOUR: Final = _HOUR / UNIT
_UNITS_PER_DAY: Final = _DAY / UNIT
_NEARLY: Final = 0.8
_PRICED_OR_NOT: Final = (contract.COST_UNKNOWN, contract.CALLS)
_WHOLE_DAY: Final = "last 24 h"
"""Stands in the label `budget` for the limit on a day that these rules are made with."""


def recordings(intervals: Intervals) -> tuple[Recording, ...]:
    """Return what is kept of spend."""
    return (Recording(name=COST, expr=grew(pick(contract.COST_USD), intervals.window(UNIT), BY_MODEL)),)


def alerts(limits: Limits, intervals: Intervals) -> tuple[Alert, ...]:
    """Return them all, gravest first."""
    return (
        _budget_used(),
        _day_budget_used(limits, intervals),
        _budget_nearly_used(limits, intervals),
        _rate(limits, intervals),
        _anomaly(limits, intervals),
        _unpriced(limits, intervals),
    )


def _of_guards() -> str:
    """Return how much of the budgets of spend guards is used, 0 to 1 and more: the fullest process counts."""
    return f"max by (job, budget, key) (\n{pick(contract.BUDGET_USED)}\n/ ({pick(contract.BUDGET_LIMIT)} > 0)\n)"


def _of_day(limits: Limits, intervals: Intervals) -> str:
    """Return how much of the limit on a day is used that these rules are made with."""
    return f"{over(COST, _DAY, intervals)} / {limits.budget_usd_day:g}"


def _budget_used() -> Alert:
    return Alert(
        name="HuddleBudgetUsed",
        condition=f"{_of_guards()} >= 1",
        hold=0,
        severity=Severity.PAGE,
        role=Role.SPEND,
        summary="{{ $labels.job }} has used up a spend guard's budget: {{ $labels.budget }} {{ $labels.key }}",
        description=(
            "{{ $value | humanizePercentage }} of it is spent or reserved. A guard that blocks refuses further calls "
            "until its period ends; one that warns does not."
        ),
    )


def _day_budget_used(limits: Limits, intervals: Intervals) -> Alert:
    return Alert(
        name="HuddleDailyBudgetUsed",
        condition=f"{_of_day(limits, intervals)} >= 1",
        hold=0,
        severity=Severity.TICKET,
        role=Role.SPEND,
        summary="{{ $labels.job }} has spent more than a day's budget",
        description=(
            f"In the last 24 hours it spent {{{{ $value | humanizePercentage }}}} of {limits.budget_usd_day:g} USD. "
            "Nothing is blocked by this alone."
        ),
    )


def _budget_nearly_used(limits: Limits, intervals: Intervals) -> Alert:
    day = f'label_replace({_of_day(limits, intervals)}, "budget", "{_WHOLE_DAY}", "", "")'
    return Alert(
        name="HuddleBudgetNearlyUsed",
        condition=f"({_of_guards()}\nor {day}) >= {_NEARLY:g}",
        hold=0,
        severity=Severity.TICKET,
        role=Role.SPEND,
        summary="{{ $labels.job }} has used most of a budget: {{ $labels.budget }} {{ $labels.key }}",
        description=(
            f"{{{{ $value | humanizePercentage }}}} of it is spent or reserved; from {_NEARLY:.0%} on it is worth a "
            "look. At 100 % a spend guard that blocks refuses calls."
        ),
    )


def _rate(limits: Limits, intervals: Intervals) -> Alert:
    return Alert(
        name="HuddleSpendRateHigh",
        condition=f"{over(COST, _HOUR, intervals)} * 24 > {limits.spend_factor:g} * {limits.budget_usd_day:g}",
        hold=300,
        severity=Severity.TICKET,
        role=Role.SPEND,
        summary="{{ $labels.job }} spends far faster than its budget allows",
        description=(
            "At the last hour's rate {{ $labels.job }} spends {{ $value | humanize }} USD a day; "
            f"{limits.spend_factor:g} times the budget of {limits.budget_usd_day:g} USD is the limit."
        ),
    )


def _anomaly(limits: Limits, intervals: Intervals) -> Alert:
    week = f"{COST}[{intervals.window(7 * _DAY)}:{intervals.window(UNIT)}] offset {intervals.window(_HOUR)}"
    hour = over(COST, _HOUR, intervals, by=BY_MODEL)
    return Alert(
        name="HuddleSpendAnomaly",
        condition=f"{hour} > {limits.spend_factor:g} * {_UNITS_PER_HOUR:g} * avg_over_time({week})",
        guard=(
            f"count_over_time({week}) >= {_UNITS_PER_DAY:g}\n"  # less than a day of history is no custom
            f"and {hour} > {limits.budget_usd_day:g} / 24"
        ),
        hold=300,
        severity=Severity.TICKET,
        role=Role.SPEND,
        summary="{{ $labels.model }} costs {{ $labels.job }} far more than usual",
        description=(
            "{{ $value | humanize }} USD in the last hour: more than "
            f"{limits.spend_factor:g} times the usual hour of the seven days before, and more than the hour's share of "
            f"the {limits.budget_usd_day:g} USD a day."
        ),
    )


def _unpriced(limits: Limits, intervals: Intervals) -> Alert:
    unknown, calls = (appeared(pick(each), intervals.window(_HOUR), BY_MODEL) for each in _PRICED_OR_NOT)
    return Alert(
        name="HuddleUnpricedModel",
        condition=f"{share(unknown, calls)} > {limits.faults / 100:g}",
        hold=0,
        severity=Severity.TICKET,
        role=Role.SPEND,
        summary="Nobody can say what {{ $labels.model }} costs {{ $labels.job }}",
        description=(
            "{{ $value | humanizePercentage }} of its calls in an hour were answered without a known cost: the gateway "
            "states none and no table has a price, or streams were cut before they said what they used. Spend and "
            f"budgets are too low by these; {limits.faults:g} % is too many."
        ),
    )
