"""What the boards ask: it parses, it exists, and it is asked as PromQL should be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import promql_parser
import pytest

import huddle_otel_dashboards
from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts import Fleet, Recording, rules
from huddle_otel_dashboards.alerts.fleet import AGGREGATES, Aggregate, aggregate
from huddle_otel_dashboards.alerts.model import Intervals
from huddle_otel_dashboards.boards.queries import ANSWERED, share
from huddle_otel_dashboards.boards.readers import Raw, Recorded
from huddle_otel_dashboards.reading import Asked, asked
from huddle_otel_dashboards.series import every_name, label
from huddle_otel_dashboards.substitution import Window

WINDOW: Final = Window(end=1_700_000_000, seconds=3_601, scrape=17)
RATE: Final = timedelta(seconds=68)
"""Four scrapes of 17 s: a window that nobody would write by hand."""
RANGE: Final = timedelta(seconds=3_601)
DAYS: Final = (timedelta(days=1), timedelta(hours=22, minutes=13, seconds=20), timedelta(days=13, seconds=80_000))
"""A day, and the panels that begin with the UTC day or month of that Unix time."""
METRICS: Final = {name: metric for metric in contract.METRICS for name in every_name(metric)}
RECORDED: Final = {rule.name for group in rules(fleet=Fleet()) for rule in group.rules if isinstance(rule, Recording)}
KEPT: Final = {each.name: each for each in AGGREGATES}
PROMETHEUS: Final = {
    "up": ("job", "instance"),
    "ALERTS": ("alertname", "alertstate", "severity", "job", "model", "circuit"),
}
"""Metrics of Prometheus' own -> labels."""
TARGET: Final = ("job", "instance")
NOT_SHOWN: Final[dict[contract.Metric, str]] = {}
"""Metrics of the contract that are on no panel -> why."""


def _of(source: str, *, fleet: bool = False) -> list[tuple[str, Asked]]:
    return [
        (f"{name}/{each.panel}", each)
        for name in huddle_otel_dashboards.names(fleet=fleet)
        for each in asked(json.loads(huddle_otel_dashboards.read(name)), WINDOW)
        if each.source == source
    ]


RAW_BOARDS: Final = _of("prometheus")
FLEET_BOARDS: Final = _of("prometheus", fleet=True)
TRACEQL: Final = [pytest.param(each.query, id=name) for name, each in _of("tempo") + _of("tempo", fleet=True)]
each_query = pytest.mark.parametrize(
    "query", [pytest.param(each.query, id=name) for name, each in RAW_BOARDS + FLEET_BOARDS]
)


def nodes(query: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield each part of a query with what it is inside of."""
    path: list[Any] = []
    found: list[tuple[Any, tuple[Any, ...]]] = []

    def enter(node: Any) -> None:
        found.append((node, tuple(path)))
        path.append(node)

    promql_parser.walk(promql_parser.parse(query), enter, lambda _node: path.pop() and None)
    yield from found


def selectors(query: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    for node, path in nodes(query):
        if isinstance(node, promql_parser.VectorSelector):
            yield node, path


def matchers(selector: Any) -> dict[str, tuple[Any, str]]:
    return {each.name: (each.op, each.value) for each in selector.matchers.matchers}


@each_query
def test_it_parses_and_no_variable_is_left(query: str) -> None:
    promql_parser.parse(query)
    assert not re.search(r"\$[A-Za-z_{]", query)


@each_query
def test_its_metrics_exist(query: str) -> None:
    names = {selector.name for selector, _ in selectors(query)}
    assert names or "vector(" in query
    assert names <= METRICS.keys() | RECORDED | PROMETHEUS.keys()


@each_query
def test_its_labels_exist(query: str) -> None:
    for selector, path in selectors(query):
        known = set(labels_of(selector.name)) | {"team", "tag"}  # of the tag variable
        assert set(matchers(selector)) <= known, selector.name
        inside = [node.modifier for node in path if isinstance(node, promql_parser.AggregateExpr)]
        for modifier in filter(None, inside):
            assert set(modifier.labels) <= known | {label(contract.MODEL)}, selector.name  # label_replace makes it


def labels_of(name: str) -> tuple[str, ...]:
    if name in PROMETHEUS:
        return PROMETHEUS[name]
    if name in KEPT:
        return ("job", *_bound(name), *map(label, KEPT[name].by))
    if name in RECORDED:
        return ("job",) if name.startswith("job:") else ("job", "model")
    return (*TARGET, *_bound(name), *map(label, METRICS[name].attributes))


def _bound(name: str) -> tuple[str, ...]:
    return ("le",) if name.removesuffix(":rate5m").endswith("_bucket") else ()


@each_query
def test_it_asks_only_the_chosen_jobs(query: str) -> None:
    for selector, _ in selectors(query):
        assert matchers(selector)["job"] == (promql_parser.MatchOp.Re, ".*"), selector.name


@pytest.mark.parametrize("query", [pytest.param(each.query, id=name) for name, each in RAW_BOARDS])
def test_it_asks_only_the_chosen_processes(query: str) -> None:
    for selector, _ in selectors(query):
        if selector.name in METRICS or selector.name == "up":
            assert matchers(selector)["instance"] == (promql_parser.MatchOp.Re, ".*"), selector.name


@pytest.mark.parametrize("each", [pytest.param(each, id=name) for name, each in FLEET_BOARDS])
def test_a_board_of_a_fleet_looks_at_processes_for_one_moment_only(each: Asked) -> None:
    names = {selector.name for selector, _ in selectors(each.query)}
    assert each.instant or not names & (METRICS.keys() | {"up"})


def test_what_is_recorded_for_a_fleet_is_read() -> None:
    read = {selector.name for _, each in FLEET_BOARDS for selector, _ in selectors(each.query)}
    assert KEPT.keys() - read == set()


def test_what_is_recorded_for_a_fleet_keeps_no_attribute_that_nothing_asks_for() -> None:
    asked_for: dict[str, set[str]] = {name: set() for name in KEPT}
    for _, each in FLEET_BOARDS:
        for selector, path in selectors(each.query):
            if selector.name in KEPT:
                asked_for[selector.name] |= matchers(selector).keys()
                for node in path:
                    if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
                        asked_for[selector.name] |= set(node.modifier.labels)
    unasked = {name: {*map(label, each.by)} - asked_for[name] for name, each in KEPT.items()}
    assert {name: labels for name, labels in unasked.items() if labels} == {}


@each_query
def test_it_asks_only_the_chosen_models(query: str) -> None:
    for selector, _ in selectors(query):
        names = {label(contract.MODEL), label(contract.REQUEST_MODEL), label(contract.CIRCUIT)}
        narrowed = names.intersection(labels_of(selector.name))
        if narrowed and selector.name != "ALERTS":
            assert narrowed & matchers(selector).keys(), selector.name


@each_query
def test_a_counter_is_never_shown_raw(query: str) -> None:
    for selector, path in selectors(query):
        if not selector.name.endswith(("_total", "_bucket", "_sum", "_count")):
            continue
        calls = [node.func.name for node in path if isinstance(node, promql_parser.Call)]
        counted = any(
            str(node.op) in {"count", "group"} for node in path if isinstance(node, promql_parser.AggregateExpr)
        )
        assert {"rate", "increase", "timestamp"} & set(calls) or counted, query


@each_query
def test_a_rate_has_grafanas_window_and_an_increase_the_range(query: str) -> None:
    for node, path in nodes(query):
        if not isinstance(node, promql_parser.MatrixSelector):
            continue
        (call,) = [each for each in path[-1:] if isinstance(each, promql_parser.Call)]
        permitted = {"rate": (RATE,), "increase": (RATE, RANGE, *DAYS), "last_over_time": DAYS}
        assert node.range in permitted[call.func.name], query


@each_query
def test_a_sum_is_over_rates_not_a_rate_over_sums(query: str) -> None:
    for node, path in nodes(query):
        if isinstance(node, promql_parser.Call) and node.func.name in {"rate", "increase"}:
            assert any(isinstance(each, promql_parser.AggregateExpr) for each in path)


@each_query
def test_nothing_is_divided_by_zero(query: str) -> None:
    for node, _ in nodes(query):
        if isinstance(node, promql_parser.BinaryExpr) and str(node.op) == "/":
            divisor = node.rhs
            inside = divisor.expr if isinstance(divisor, promql_parser.ParenExpr) else divisor
            guarded = isinstance(inside, promql_parser.BinaryExpr) and str(inside.op) == ">"
            assert guarded or isinstance(divisor, promql_parser.NumberLiteral), query


@pytest.mark.parametrize("boards", [RAW_BOARDS, FLEET_BOARDS], ids=["raw", "fleet"])
def test_every_metric_of_the_contract_is_on_a_panel(boards: list[tuple[str, Asked]]) -> None:
    shown = {selector.name for _, each in boards for selector, _ in selectors(each.query)}
    recorded = {KEPT[name].metric for name in shown & KEPT.keys()}
    missing = {metric for metric in contract.METRICS if not shown.intersection(every_name(metric))}
    assert missing - recorded == set(NOT_SHOWN)


@pytest.mark.parametrize("query", TRACEQL)
def test_a_trace_query_names_attributes_of_the_span(query: str) -> None:
    known = {value for name, value in vars(contract).items() if name.isupper() and isinstance(value, str)}
    names = re.findall(r"span\.([\w.]+)", query)
    assert len(names) > 6
    assert set(names) <= known
    assert query.startswith("{ span.huddle.outcome != nil && ")
    assert query.count("{") == query.count("}") == 1


def test_a_selector_is_narrowed_by_what_the_metric_has() -> None:
    select = Raw().select
    assert select(contract.WAITED) == (
        'huddle_client_wait_seconds_total{job=~"$job", instance=~"$instance", model=~"$model"}'
    )
    assert select(contract.BREAKER).endswith('circuit=~"[^/]*/$model/$operation"}')
    assert select(contract.DURATION, part="_count").endswith(
        'gen_ai_operation_name=~"$operation", gen_ai_request_model=~"$model"}'
    )
    assert select(contract.REJECTIONS, {"reason": '="breaker_open"'}).endswith(
        'model=~"$model", reason="breaker_open"}'
    )


def test_an_attribute_that_is_not_emitted_is_refused() -> None:
    with pytest.raises(ValueError, match=r"huddle_client_wait_seconds_total has no attribute \['kind'\]"):
        Raw().select(contract.WAITED, {"kind": '="stall"'})


def test_a_histogram_without_its_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"duration is a histogram: part '' does not fit"):
        Raw().select(contract.DURATION)
    with pytest.raises(ValueError, match=r"calls is a counter: part '_sum' does not fit"):
        Raw().rate(contract.CALLS, part="_sum")


def test_ratios_and_quantiles_say_nothing_where_there_is_nothing() -> None:
    assert share("a", "b") == "(a or 0 * b) / (b > 0)"
    assert Raw().quantile(0.95, contract.PER_CHUNK).endswith(" >= 0")


def test_a_recorded_name_says_level_metric_and_operation() -> None:
    assert [
        aggregate(contract.CALLS, "rate5m").name,
        aggregate(contract.DURATION, "rate5m", "_bucket").name,
        aggregate(contract.BREAKER, "max").name,
        aggregate(contract.BUDGET_USED, "max").name,
    ] == [
        "job_model:huddle_client_calls:rate5m",
        "job_model:gen_ai_client_operation_duration_seconds_bucket:rate5m",
        "job_circuit:huddle_client_breaker_state:max",
        "job:huddle_client_budget_used_usd:max",
    ]


def test_what_is_not_recorded_cannot_be_asked_of_a_fleet() -> None:
    with pytest.raises(ValueError, match=r"no rate5m of gen_ai\.client\.operation\.duration_count is recorded"):
        Recorded().rate(contract.DURATION, part="_count", where=ANSWERED)
    with pytest.raises(ValueError, match=r"no min of huddle\.client\.breaker\.state is recorded"):
        Recorded().gauge(contract.BREAKER, how="min")
    with pytest.raises(ValueError, match=r"duration_seconds_bucket:rate5m is of answered calls only"):
        Recorded().quantile(0.5, contract.DURATION)
    with pytest.raises(
        ValueError, match=r"no rate5m of huddle\.client\.breaker\.transitions is recorded by \['from'\]"
    ):
        Recorded().rate(contract.TRANSITIONS, where={"from": '="open"'})


def test_a_fleets_rates_are_summed_after_they_are_taken() -> None:
    for each in AGGREGATES:
        if each.operation == "rate5m":
            expr = each.recording(Fleet(), Intervals()).expr
            assert re.fullmatch(r"sum by \(job, [\w, ]+\) \(rate\(\w+({[^}]+})?\[5m\]\)\)|sum by \(job\) .*", expr), (
                expr
            )


def test_spend_of_a_fleet_keeps_the_tags_that_are_named() -> None:
    (expr,) = _exprs(Fleet(tags=("team", "app.feature")), aggregate(contract.COST_USD, "rate5m"))
    assert expr == "sum by (job, model, source, team, app_feature) (rate(huddle_client_cost_usd_total[5m]))"
    (expr,) = _exprs(Fleet(tags=()), aggregate(contract.COST_USD, "rate5m"))
    assert expr == "sum by (job, model, source) (rate(huddle_client_cost_usd_total[5m]))"


def _exprs(fleet: Fleet, each: Aggregate) -> list[str]:
    return [
        rule.expr
        for group in rules(fleet=fleet)
        for rule in group.rules
        if isinstance(rule, Recording) and rule.name == each.name
    ]


@pytest.mark.parametrize("tag", ["", "1st", "team name", "team) or vector(1"])
def test_a_tag_that_is_no_name_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match=r"tags must be names of letters, digits, _ and \., got "):
        Fleet(tags=("team", tag))
