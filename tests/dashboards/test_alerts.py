"""The table of alerts: what it counts, what it may not contain, and that the committed files are made from it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.events import Outcome
from huddle_otel.telemetry import contract, reference
from huddle_otel_dashboards.alerts import Alert, Fleet, Intervals, Recording, Severity, alerts, render_rules, rules
from huddle_otel_dashboards.alerts.model import duration
from huddle_otel_dashboards.alerts.objective import APPS_OWN, FAILED
from huddle_otel_dashboards.limits import Limits
from huddle_otel_dashboards.series import label, series
from tests.dashboards.alert_cases import CASES

TREE: Final = Path(__file__).parents[2]
TABLE: Final = alerts()
EXPRESSIONS: Final = {
    rule.key if isinstance(rule, Alert) else rule.name: rule.expr
    for group in rules(fleet=Fleet())
    for rule in group.rules
}


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_alerts", TREE / "tools" / "make_alerts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_files_are_what_the_table_makes() -> None:
    generator = _generator()
    for name, text in generator.files().items():
        assert (generator.FOLDER / name).read_text(encoding="utf-8") == text, "run tools/make_alerts.py"


def test_alerts_have_keys_of_their_own() -> None:
    keys = [alert.key for alert in TABLE]
    assert len(keys) == len(set(keys)) == 26


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    assert {case.alert for case in CASES} == {alert.key for alert in TABLE}
    assert all(case.silent for case in CASES)


def test_who_is_woken() -> None:
    assert sorted(alert.key for alert in TABLE if alert.severity is Severity.PAGE) == [
        "HuddleAuthenticationFailing",
        "HuddleBudgetUsed",
        "HuddleCircuitOpen",
        "HuddleErrorBudgetBurn/14.4",
        "HuddleErrorBudgetBurn/6",
        "HuddleQuotaExhausted",
    ]


def test_outcomes_that_break_the_promise() -> None:
    assert set(FAILED) == {Outcome.ERROR, Outcome.TRUNCATED, Outcome.REJECTED}


def test_every_error_type_is_ours_or_the_apps() -> None:
    listed = [name for row in reference.ERROR_TYPES for name in re.findall("`([a-z_]+)`", row)]
    assert [name for name in listed if re.fullmatch(APPS_OWN, name)] == ["invalid_prompt"]
    apps = ["400", "401", "403", "404", "409", "413", "422", "ValidationError", "f.<locals>.Bad"]
    upstreams = ["408", "429", "500", "502", "503", "504", "529"]
    assert [name for name in (*apps, *upstreams) if re.fullmatch(APPS_OWN, name)] == apps


@pytest.mark.parametrize("key", EXPRESSIONS)
def test_every_metric_and_label_is_one_we_emit(key: str) -> None:
    quiet = re.sub(r'"[^"]*"', "", EXPRESSIONS[key])
    expr, matched = re.sub(r"{[^}]*}", "", quiet), re.findall(r"{([^}]*)}", quiet)
    metrics = {series(metric) for metric in contract.METRICS}
    metrics |= {f"{name}{part}" for name in metrics for part in ("_bucket", "_count", "_sum")}
    metrics |= {rule.name for group in rules() for rule in group.rules if isinstance(rule, Recording)} | {"up"}
    names = set(
        re.findall(r"\b(?:up\b|(?:huddle_|gen_ai_client_|job:|job_model:)[\w:]+)", re.sub(r"by \([^)]*\)", "", expr))
    )
    assert names
    assert names <= metrics
    labels = {label(name) for metric in contract.METRICS for name in metric.attributes} | {
        "job",
        "instance",
        "le",
        "team",
        "",
    }
    used = re.findall(r"(?:by|on|group_left) \(([^)]*)\)", expr)
    used += [name for inside in matched for name in re.split(r"[!=~]+,? ?", inside)]
    assert {name.strip() for each in used for name in each.split(",")} <= labels


def test_windows_shrink_but_not_below_what_two_samples_need() -> None:
    quick = Intervals(scale=1 / 60, shortest=4, evaluation=1)
    text = render_rules(intervals=quick)
    assert "[1m:5s]" in text
    assert "huddle_client_breaker_state[4s]" in text
    assert 'for: "1s"' in text
    assert 'interval: "1s"' in text
    assert set(re.findall(r"increase5m\[(\w+):", text)) == {"30s", "1m", "2m", "6m", "24m", "72m", "12h", "168m"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (1, "1s"), (90, "90s"), (300, "5m"), (7_200, "2h"), (259_200, "3d")],
)
def test_durations_are_written_as_prometheus_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.integers(min_value=1, max_value=10**10))
def test_a_duration_keeps_its_length(millis: int) -> None:
    amount, unit = re.fullmatch(r"(\d+)([a-z]+)", duration(millis / 1_000)).groups()  # type: ignore[union-attr]
    assert int(amount) * {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit] == millis


def test_targets_and_limits_reach_the_rules() -> None:
    text = render_rules(Limits(slo=99.9, p95=7, budget_usd_day=200, minimum=50), runbook="https://wiki.example/llm")
    assert "> 14.4 * 0.001" in text
    assert "99.9 % answered" in text
    assert "> 7\n" in text
    assert "/ 200 >= 1" in text
    assert ">= 50" in text
    assert 'runbook_url: "https://wiki.example/llm#huddlecircuitopen"' in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slo": 100}, "slo must be above 93.1 and below 100 (percent), got 100"),
        ({"slo": 93}, "slo must be above 93.1 and below 100 (percent), got 93"),
        ({"p95": 81.92}, "p95 must be below 81.92 (s, the last bucket), got 81.92"),
        ({"first_chunk": 90}, "first_chunk must be below 81.92 (s, the last bucket), got 90"),
        ({"faults": 100}, "faults must be below 100 (percent), got 100"),
        ({"budget_usd_day": 0}, "budget_usd_day must be a number above 0, got 0"),
        ({"flaps": float("nan")}, "flaps must be a number above 0, got nan"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Limits(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 0}, "scale must be a number above 0, got 0"),
        ({"shortest": -1}, "shortest must be a number at least 0, got -1"),
        ({"evaluation": float("inf")}, "evaluation must be a number above 0, got inf"),
    ],
)
def test_an_interval_that_makes_no_sense_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Intervals(**wrong)


RUNBOOK: Final = (TREE / "docs" / "runbook.md").read_text(encoding="utf-8")


def test_the_runbook_has_a_section_for_each_alert_and_for_nothing_else() -> None:
    assert sorted(re.findall("^### (.*)$", RUNBOOK, re.MULTILINE)) == sorted({alert.name for alert in TABLE})


@pytest.mark.parametrize("name", sorted({alert.name for alert in TABLE}))
def test_a_section_says_what_it_means_where_to_look_and_what_to_do(name: str) -> None:
    section = RUNBOOK.partition(f"\n### {name}\n")[2].partition("\n#")[0]
    assert [section.count(part) for part in ("**For users:**", "**Do:**", "**Not us:**")] == [1, 1, 1]
    assert re.findall(r"^\d", section, re.MULTILINE) == ["1", "2", "3"]


def test_the_page_on_alerts_lists_them_all() -> None:
    page = (TREE / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert set(re.findall("`(Huddle[A-Za-z]+)`", page)) == {alert.name for alert in TABLE}


def test_panels_that_the_runbook_names_are_there() -> None:
    folder = _generator().FOLDER
    boards = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.rglob("*.json")}
    titles = {name: {panel["title"] for panel in board["panels"]} for name, board in boards.items()}
    named = [
        (line.split("`")[1], title)
        for line in RUNBOOK.splitlines()
        if re.match(r"\d\. `huddle-", line) and "huddle-otel report" not in line
        for title in re.findall(r"\*([^*]+)\*", line)
    ]
    assert len(named) > 60
    assert [each for each in named if each[1] not in titles[each[0]]] == []
