"""The recordings that the boards' pictures are drawn from."""

from __future__ import annotations

import io
import random
import re
from itertools import pairwise

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.reference import ERROR_TYPES
from huddle_otel_dashboards.series import label, series
from tools.render.lab import month, outage

_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+) (\d+)\n")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def written(days: float) -> str:
    """Return the samples of the month's last days."""
    file, counters = io.StringIO(), month.Counters()
    for at in month.simulate(counters, random.Random(11), days=days):
        counters.write(file, at, everything=True)
    return file.getvalue()


def test_the_month_is_the_same_each_time() -> None:
    assert written(0.05) == written(0.05)


def test_the_month_has_only_series_that_are_emitted() -> None:
    known = {series(metric): {label(each) for each in metric.attributes} for metric in contract.METRICS} | {"up": set()}
    seen = set[str]()
    for name, labels, _value, _at in _SAMPLE.findall(written(0.5)):
        unknown = {key for key, _ in _LABEL.findall(labels)} - known[name] - {"job", "instance", "team"}
        assert not unknown
        seen.add(name)
    assert {"huddle_client_calls_total", "huddle_client_cost_usd_total", "huddle_client_budget_used_usd"} <= seen


def test_the_month_fails_for_causes_that_are_documented() -> None:
    causes = {each.error for each in month.INCIDENTS} | set(re.findall(r'error_type="(.*?)"', written(0.5)))
    assert "breaker_open" in causes
    assert all(cause.isdigit() or f"`{cause}`" in "".join(ERROR_TYPES) for cause in causes)


def test_counters_of_the_month_never_fall() -> None:
    values: dict[str, list[float]] = {}
    for name, labels, value, _at in _SAMPLE.findall(written(0.6)):
        if name.endswith("_total"):
            values.setdefault(name + labels, []).append(float(value))
    assert len(values) > 30
    assert all(before <= after for each in values.values() for before, after in pairwise(each))


def test_the_day_limits_begin_at_nothing_each_midnight() -> None:
    used = [
        float(value)
        for name, labels, value, at in _SAMPLE.findall(written(1))
        if name == "huddle_client_budget_used_usd" and 'key=""' in labels and int(at) % 86_400 < month.STEP
    ]
    assert used == [0]


def test_the_outage_asks_every_model_for_every_team() -> None:
    asks = list(outage.plan(600, seed=7))
    assert len(asks) == 3001
    assert {(ask.model, ask.team) for ask in asks} == {
        (model.id, team) for model in outage.MODELS for team in ("search", "support", "batch")
    }
    assert all(before.at <= after.at for before, after in pairwise(asks))


def test_the_outage_ends_while_a_model_is_still_down() -> None:
    *_, last = [rule for rule in outage.rules(600) if rule.fault.name == "overloaded"]
    assert last.covers("claude-haiku-4.5", "/v1/chat/completions", 599)
    assert not last.covers("claude-haiku-4.5", "/v1/chat/completions", 500)
