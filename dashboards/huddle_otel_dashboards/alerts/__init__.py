"""Alert and recording rules for Prometheus, and what Alertmanager makes of them, as typed data.

::

    render_rules(Limits(slo=99.9, budget_usd_day=200))     # YAML for `rule_files:`
    render_rules(fleet=Fleet())                            # with what the boards of a fleet read
    render_routing(webhook="https://chat.example/hook")    # YAML for Alertmanager
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from huddle_otel_dashboards.alerts import answers, money, objective, telemetry, upstream
from huddle_otel_dashboards.alerts.fleet import Fleet
from huddle_otel_dashboards.alerts.fleet import groups as of_fleet
from huddle_otel_dashboards.alerts.model import Alert, Group, Intervals, Recording, Role, Severity, duration
from huddle_otel_dashboards.alerts.routing import render_routing
from huddle_otel_dashboards.alerts.yaml import Value, dump
from huddle_otel_dashboards.limits import Limits

__all__ = [
    "Alert",
    "Fleet",
    "Group",
    "Intervals",
    "Recording",
    "Role",
    "Severity",
    "alerts",
    "render",
    "render_routing",
    "render_rules",
    "rules",
]

RUNBOOK: Final = "docs/runbook.md"
"""Where `runbook_url` points unless told otherwise: beside the repository's README."""
_DEFAULTS: Final = Limits()
_REAL_TIME: Final = Intervals()


def rules(
    limits: Limits = _DEFAULTS, *, fleet: Fleet | None = None, intervals: Intervals = _REAL_TIME
) -> tuple[Group, ...]:
    """Return every rule: what is recorded first, then the alerts, each kind gravest first.

    Args:
        limits: Targets and limits that the alerts are made with.
        fleet: Record also what the boards of a fleet read; None records nothing for them.
        intervals: How long their windows are.
    """
    return (
        Group(name="huddle_otel_recordings", rules=objective.recordings(intervals) + money.recordings(intervals)),
        Group(name="huddle_otel_long_windows", rules=objective.long_windows(intervals), pace=4),
        *(of_fleet(fleet, intervals) if fleet else ()),
        Group(name="huddle_otel_objective", rules=objective.alerts(limits, intervals)),
        Group(name="huddle_otel_upstream", rules=upstream.alerts(limits, intervals)),
        Group(name="huddle_otel_answers", rules=answers.alerts(limits, intervals)),
        Group(name="huddle_otel_spend", rules=money.alerts(limits, intervals)),
        Group(name="huddle_otel_telemetry", rules=telemetry.alerts(limits, intervals)),
    )


def alerts(limits: Limits = _DEFAULTS, *, intervals: Intervals = _REAL_TIME) -> tuple[Alert, ...]:
    """Return the table of alerts."""
    return tuple(
        rule for group in rules(limits, intervals=intervals) for rule in group.rules if isinstance(rule, Alert)
    )


def render_rules(
    limits: Limits = _DEFAULTS,
    *,
    fleet: Fleet | None = None,
    intervals: Intervals = _REAL_TIME,
    runbook: str = RUNBOOK,
) -> str:
    """Return the rules as a file for Prometheus' `rule_files`.

    Args:
        limits: Targets and limits that the alerts are made with.
        fleet: Record also what the boards of a fleet read; None records nothing for them.
        intervals: How long their windows are.
        runbook: URL or path of the runbook, to which each alert adds its section.
    """
    return _HEAD + render(rules(limits, fleet=fleet, intervals=intervals), intervals=intervals, runbook=runbook)


def render(groups: Iterable[Group], *, intervals: Intervals = _REAL_TIME, runbook: str = RUNBOOK) -> str:
    """Return groups as YAML."""
    written: list[Value] = [
        {
            "name": group.name,
            "interval": duration(intervals.evaluation * group.pace),
            "rules": [_rule(rule, intervals, runbook) for rule in group.rules],
        }
        for group in groups
    ]
    return dump({"groups": written})


def _rule(rule: Recording | Alert, intervals: Intervals, runbook: str) -> Value:
    if isinstance(rule, Recording):
        return {"record": rule.name, "expr": rule.expr}
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **({"for": intervals.hold(rule.hold)} if rule.hold else {}),
        "labels": {"severity": str(rule.severity), "role": str(rule.role), **rule.labels},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{runbook}#{rule.anchor}",
        },
    }


_HEAD: Final = """\
# Alert and recording rules for the telemetry of huddle_otel; what each means and what to do: docs/runbook.md.
# Generated: `huddle-otel dashboards alerts` writes it with your own targets and limits.
"""
