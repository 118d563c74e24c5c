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
from huddle_otel_dashboards.alerts import Recording, rules
from huddle_otel_dashboards.boards.queries import quantile, rate, select, share
from huddle_otel_dashboards.reading import asked
from huddle_otel_dashboards.series import every_name, label
from huddle_otel_dashboards.substitution import Window

WINDOW: Final = Window(end=1_700_000_000, seconds=3_601, scrape=17)
RATE: Final = timedelta(seconds=68)
"""Four scrapes of 17 s: a window that nobody would write by hand."""
RANGE: Final = timedelta(seconds=3_601)
DAYS: Final = (timedelta(days=1), timedelta(hours=22, minutes=13, seconds=20), timedelta(days=13, seconds=80_000))
"""A day, and the panels that begin with the UTC day or month of that Unix time."""
METRICS: Final = {name: metric for metric in contract.METRICS for name in every_name(metric)}
RECORDED: Final = {rule.name for group in rules() for rule in group.rules if isinstance(rule, Recording)}
PROMETHEUS: Final = {
    "up": ("job", "instance"),
    "ALERTS": ("alertname", "alertstate", "severity", "job", "model", "circuit"),
}
"""Metrics of Prometheus' own -> labels."""
TARGET: Final = ("job", "instance")
NOT_SHOWN: Final[dict[contract.Metric, str]] = {}
"""Metrics of the contract that are on no panel -> why."""
QUERIES: Final = [
    pytest.param(each.query, id=f"{name}/{each.panel}")
    for name in huddle_otel_dashboards.names()
    for each in asked(json.loads(huddle_otel_dashboards.read(name)), WINDOW)
    if each.source == "prometheus"
]
TRACEQL: Final = [
    pytest.param(each.query, id=each.panel)
    for each in asked(json.loads(huddle_otel_dashboards.read("huddle-traces")), WINDOW)
    if each.source == "tempo"
]
each_query = pytest.mark.parametrize("query", QUERIES)


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
    if name in RECORDED:
        return ("job",) if name.startswith("job:") else ("job", "model")
    bucket = ("le",) if name.endswith("_bucket") else ()
    return (*TARGET, *bucket, *(label(each) for each in METRICS[name].attributes))


@each_query
def test_it_asks_only_the_chosen_processes(query: str) -> None:
    for selector, _ in selectors(query):
        narrowed = matchers(selector)
        assert narrowed["job"] == (promql_parser.MatchOp.Re, ".*"), selector.name
        if selector.name in METRICS or selector.name == "up":
            assert narrowed["instance"] == (promql_parser.MatchOp.Re, ".*"), selector.name


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


def test_every_metric_of_the_contract_is_on_a_panel() -> None:
    shown = {selector.name for param in QUERIES for selector, _ in selectors(str(param.values[0]))}
    missing = {metric for metric in contract.METRICS if not shown.intersection(every_name(metric))}
    assert missing == set(NOT_SHOWN)


@pytest.mark.parametrize("query", TRACEQL)
def test_a_trace_query_names_attributes_of_the_span(query: str) -> None:
    known = {value for name, value in vars(contract).items() if name.isupper() and isinstance(value, str)}
    names = re.findall(r"span\.([\w.]+)", query)
    assert len(names) > 6
    assert set(names) <= known
    assert query.startswith("{ span.huddle.outcome != nil && ")
    assert query.count("{") == query.count("}") == 1


def test_a_selector_is_narrowed_by_what_the_metric_has() -> None:
    assert select(contract.WAITED) == (
        'huddle_client_wait_seconds_total{job=~"$job", instance=~"$instance", model=~"$model"}'
    )
    assert select(contract.BREAKER).endswith('circuit=~"[^/]*/$model/$operation"}')
    assert select(contract.DURATION, suffix="_count").endswith(
        'gen_ai_operation_name=~"$operation", gen_ai_request_model=~"$model"}'
    )
    assert select(contract.REJECTIONS, {"reason": '="breaker_open"'}).endswith(
        'model=~"$model", reason="breaker_open"}'
    )


def test_an_attribute_that_is_not_emitted_is_refused() -> None:
    with pytest.raises(ValueError, match=r"huddle\.client\.wait has no attribute \['kind'\]"):
        select(contract.WAITED, {"kind": '="stall"'})


def test_a_histogram_without_its_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"duration is a histogram: suffix '' does not fit"):
        select(contract.DURATION)
    with pytest.raises(ValueError, match=r"calls is a counter: suffix '_sum' does not fit"):
        rate(contract.CALLS, suffix="_sum")


def test_ratios_and_quantiles_say_nothing_where_there_is_nothing() -> None:
    assert share("a", "b") == "(a or 0 * b) / (b > 0)"
    assert quantile(0.95, contract.PER_CHUNK).endswith(" >= 0")
