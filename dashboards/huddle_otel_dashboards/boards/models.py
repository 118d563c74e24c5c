"""Rate, failures and duration of each model."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Row
from huddle_otel_dashboards.boards.colours import BAD
from huddle_otel_dashboards.boards.figures import Column, Table
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.panels import Query, legend, rows
from huddle_otel_dashboards.boards.queries import ANSWERED, SENT, failed, quantile, rate, ratio, top
from huddle_otel_dashboards.boards.variables import UPSTREAM_OF_MODEL
from huddle_otel_dashboards.limits import Limits
from huddle_otel_dashboards.series import label

_MODEL = legend(contract.MODEL)
_CALLS = rate(contract.CALLS, contract.MODEL)
_FAILED = failed(contract.MODEL)
_DURATION = quantile(0.95, contract.DURATION, contract.REQUEST_MODEL, where=ANSWERED)
_FIRST_TOKEN = quantile(0.95, contract.FIRST_CHUNK, contract.REQUEST_MODEL)


def by_model(limits: Limits) -> Row:
    """Return the row."""
    return Row(
        title="By model",
        panels=(
            Graph(
                title="Calls",
                description="Calls per second, the ten busiest models.",
                queries=(Query(expr=top(10, _CALLS), legend=_MODEL),),
                unit="suffix:/s",
                decimals=2,
            ),
            Graph(
                title="Failed",
                description="Share of calls without a whole answer that the app did not ask for. The dashed line is "
                f"the objective of {limits.slo:g} %. One model alone above it is that model's upstream; all of them "
                "are the gateway or the network.",
                queries=(Query(expr=top(10, _FAILED), legend=_MODEL),),
                unit="percentunit",
                steps=((limits.error_budget, BAD),),
                lines=True,
                soft_most=0.02,
                runbook="huddleerrorbudgetburn",
            ),
            Graph(
                title="Duration, p95",
                description="19 of 20 answered calls took at most this long. Points are exemplars: each is one call, "
                f"and opens its trace. The dashed line is {limits.p95:g} s.",
                queries=(Query(expr=top(10, _DURATION), legend=legend(contract.REQUEST_MODEL), exemplars=True),),
                unit="s",
                decimals=1,
                steps=((limits.p95, BAD),),
                lines=True,
                runbook="huddlelatencyhigh",
            ),
            _table(limits),
        ),
    )


def _table(limits: Limits) -> Table:
    model = label(contract.MODEL)
    requests = rate(contract.ATTEMPTS_MADE, contract.MODEL)
    queries = (
        _CALLS,
        _FAILED,
        _as_model(_DURATION),
        _as_model(_FIRST_TOKEN),
        ratio(requests, rate(contract.CALLS, contract.MODEL, where=SENT)),
        f"3600 * {rate(contract.COST_USD, contract.MODEL)}",
    )
    return Table(
        title="Models now",
        description="Each model's present figures; red is beyond its limit. Sorted by calls.",
        queries=rows(*queries),
        unit="short",
        columns={
            model: Column(title="Model", link=UPSTREAM_OF_MODEL),
            "Value #A": Column(title="Calls / s", unit="short", decimals=2),
            "Value #B": Column(title="Failed", unit="percentunit", decimals=2, steps=((limits.error_budget, BAD),)),
            "Value #C": Column(title="Duration, p95", unit="s", decimals=1, steps=((limits.p95, BAD),)),
            "Value #D": Column(title="First token, p95", unit="s", decimals=2, steps=((limits.first_chunk, BAD),)),
            "Value #E": Column(
                title="Requests per call", unit="short", decimals=2, steps=((limits.amplification, BAD),)
            ),
            "Value #F": Column(title="USD per hour", unit="currencyUSD", decimals=2),
        },
        sort_by="Calls / s",
        width=24,
        height=9,
    )


def _as_model(query: str) -> str:
    """Return a query by the requested model with the shorter label that other metrics have, so that rows merge."""
    model = label(contract.MODEL)
    return f'sum by ({model}) (label_replace({query}, "{model}", "$1", "{label(contract.REQUEST_MODEL)}", "(.*)"))'
