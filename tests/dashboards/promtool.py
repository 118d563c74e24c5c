"""The cases as promtool takes them, and promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from huddle_otel_dashboards.alerts import Alert, Group, Recording, render, rules
from huddle_otel_dashboards.alerts.yaml import Value, dump
from tests.dashboards.alert_cases import Case, Series


def judge(folder: Path, case: Case, alert: Alert) -> str:
    """Hold a case against an alert; return what promtool finds wrong, nothing when all is as it should be."""
    groups = _needed(alert)
    (folder / "rules.yml").write_text(render(groups))
    cases: dict[str, Value] = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": case.look,
        "group_eval_order": [group.name for group in groups],  # promtool's own order is a draw
        "tests": list(_tests(case, alert)),
    }
    (folder / "cases.yml").write_text(dump(cases))
    command = ["promtool", "test", "rules", "cases.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "parse error" not in done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _needed(alert: Alert) -> list[Group]:
    """Return the alert, after what it needs of what is recorded: with every ratio over days promtool takes minutes."""
    recorded = [rule for group in rules() for rule in group.rules if isinstance(rule, Recording)]
    used = tuple(each for each in recorded if each.name.endswith("increase5m") or each.name in alert.expr)
    return [Group(name="recorded", rules=used), Group(name="alert", rules=(alert,))]


def _tests(case: Case, alert: Alert) -> Iterable[Value]:
    labels = {"alertname": alert.name, "severity": alert.severity, "role": alert.role, **case.labels}
    firing = ", ".join(f'{name}="{value}"' for name, value in (*labels.items(), ("alertstate", "firing")))
    yield _test(f"{case.alert} fires", case.fires, case, alert, [{"labels": f"ALERTS{{{firing}}}", "value": 1}])
    for why, series in case.silent.items():
        yield _test(f"{case.alert} is silent: {why}", series, case, alert, [])


def _test(name: str, series: Series, case: Case, alert: Alert, expected: list[Value]) -> Value:
    which = "".join(f', {label}="{value}"' for label, value in alert.labels.items())
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{alert.name}", alertstate="firing"{which}}}',
                "eval_time": case.at,
                "exp_samples": expected,
            }
        ],
    }
