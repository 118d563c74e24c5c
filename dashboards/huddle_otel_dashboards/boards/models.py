"""Rate, failures and duration of each model."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Row
from huddle_otel_dashboards.boards.colours import BAD
from huddle_otel_dashboards.boards.figures import Column, Table
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.panels import Query, legend, rows
from huddle_otel_dashboards.boards.queries import ANSWERED, SENT, Reader, ratio, top
from huddle_otel_dashboards.boards.variables import upstream_of_model
from huddle_otel_dashboards.limits import Limits
from huddle_otel_dashboards.series import label

_MODEL = legend(contract.MODEL)


def by_model(limits: Limits, read: Reader) -> Row:
    """Return the row."""
    return Row(
        title="By model",
        panels=(
            Graph(
                title="Calls",
                description="Calls per second, the ten busiest models.",
                queries=(Query(expr=top(10, read.rate(contract.CALLS, contract.MODEL)), legend=_MODEL),),
                unit="suffix:/s",
                decimals=2,
            ),
            Graph(
                title="Failed",
                description="Share of calls without a whole answer that the app did not ask for. The dashed line is "
                f"the objective of {limits.slo:g} %. One model alone above it is that model's upstream; all of them "
                "are the gateway or the network.",
                queries=(Query(expr=top(10, read.failed(contract.MODEL)), legend=_MODEL),),
                unit="percentunit",
                steps=((limits.error_budget, BAD),),
                lines=True,
                soft_most=0.02,
                runbook="huddleerrorbudgetburn",
            ),
            Graph(
                title="Duration, p95",
                description=f"19 of 20 answered calls took at most this long. The dashed line is {limits.p95:g} s.",
                queries=(
                    Query(
                        expr=top(10, _duration(read)), legend=legend(contract.REQUEST_MODEL), exemplars=read.exemplars
                    ),
                ),
                unit="s",
                decimals=1,
                steps=((limits.p95, BAD),),
                lines=True,
                runbook="huddlelatencyhigh",
            ),
            _table(limits, read),
        ),
    )


def _table(limits: Limits, read: Reader) -> Table:
    model = label(contract.MODEL)
    requests = read.rate(contract.ATTEMPTS_MADE, contract.MODEL)
    queries = (
        read.rate(contract.CALLS, contract.MODEL),
        read.failed(contract.MODEL),
        _as_model(_duration(read)),
        _as_model(read.quantile(0.95, contract.FIRST_CHUNK, contract.REQUEST_MODEL)),
        ratio(requests, read.rate(contract.CALLS, contract.MODEL, where=SENT)),
        f"3600 * {read.rate(contract.COST_USD, contract.MODEL)}",
    )
    return Table(
        title="Models now",
        description="Each model's present figures; red is beyond its limit. Sorted by calls.",
        queries=rows(*queries),
        unit="short",
        columns={
            model: Column(title="Model", link=upstream_of_model(read)),
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


def _duration(read: Reader) -> str:
    return read.quantile(0.95, contract.DURATION, contract.REQUEST_MODEL, where=ANSWERED)


def _as_model(query: str) -> str:
    """Return a query by the requested model with the shorter label that other metrics have, so that rows merge."""
    model = label(contract.MODEL)
    return f'sum by ({model}) (label_replace({query}, "{model}", "$1", "{label(contract.REQUEST_MODEL)}", "(.*)"))'
