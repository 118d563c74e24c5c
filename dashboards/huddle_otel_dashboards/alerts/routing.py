"""What Alertmanager does with the alerts: who is told, what is told together, and what is kept quiet."""

from __future__ import annotations

from typing import Final

from huddle_otel_dashboards.alerts.model import Intervals, Role, Severity
from huddle_otel_dashboards.alerts.yaml import Value, dump

PLACEHOLDER: Final = "http://127.0.0.1:5001"
"""Where nobody listens: to be replaced by the address of a chat, a pager, or a receiver of your own."""
_REAL_TIME: Final = Intervals()


def render_routing(*, webhook: str = PLACEHOLDER, intervals: Intervals = _REAL_TIME) -> str:
    """Return a configuration for Alertmanager.

    Args:
        webhook: Base URL that the receivers post to, at `/page` and `/ticket`.
        intervals: How long waits are.
    """
    hold = intervals.hold
    route: Value = {
        "receiver": Severity.TICKET,
        "group_by": ["job", "model", "budget"],
        "group_wait": hold(60),
        "group_interval": hold(300),
        "repeat_interval": hold(86_400),
        "routes": [
            {
                "receiver": Severity.PAGE,
                "matchers": [f'severity="{Severity.PAGE}"'],
                "group_wait": hold(10),
                "group_interval": hold(60),
                "repeat_interval": hold(14_400),
            }
        ],
    }
    receivers: list[Value] = [
        {"name": severity, "webhook_configs": [{"url": f"{webhook}/{severity}", "send_resolved": True}]}
        for severity in Severity
    ]
    return _HEAD + dump({"route": route, "inhibit_rules": _QUIET, "receivers": receivers})


def _quiet(source: list[str], target: list[str], *equal: str) -> Value:
    return {"source_matchers": source, "target_matchers": target, "equal": list(equal)}


_BURN: Final = 'alertname="HuddleErrorBudgetBurn"'
_NEARLY: Final = 'alertname="HuddleBudgetNearlyUsed"'
_QUIET: Final[list[Value]] = [
    _quiet([f'role="{Role.OUTAGE}"'], [f'role="{Role.SYMPTOM}"'], "job", "model"),
    _quiet(['alertname="HuddleQuotaExhausted"'], ['alertname="HuddleRateLimited"'], "job", "model"),
    _quiet([_BURN, f'severity="{Severity.PAGE}"'], [_BURN, f'severity="{Severity.TICKET}"'], "job"),
    _quiet(['alertname="HuddleBudgetUsed"'], [_NEARLY], "job", "budget", "key"),
    _quiet(['alertname="HuddleDailyBudgetUsed"'], [_NEARLY, 'budget="last 24 h"'], "job"),
    _quiet(['alertname="HuddleScrapeDown"'], ['alertname="HuddleTelemetryAbsent"'], "job"),
]
_HEAD: Final = """\
# Alertmanager for the alerts of huddle_otel: pages and tickets go apart, alerts of one job and model come together, and
# an outage keeps its symptoms quiet. Generated: `huddle-otel dashboards alerts` writes it again.
# Put your own address for the webhooks, or in their place, or beside them:
#   pagerduty_configs: [{routing_key_file: /etc/alertmanager/pagerduty}]
#   slack_configs: [{api_url_file: /etc/alertmanager/slack, channel: "#llm", title: "{{ .CommonAnnotations.summary }}"}]
#   email_configs: [{to: oncall@example.com, from: alerts@example.com, smarthost: "mail.example.com:587"}]
"""
