"""Overview: what somebody on call looks at first."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.colours import BAD, GOOD, OUTCOMES, WARN
from huddle_otel_dashboards.boards.figures import Column, Stat, Table
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.health import health
from huddle_otel_dashboards.boards.panels import Query
from huddle_otel_dashboards.boards.queries import (
    ANSWERED,
    NOT_OK,
    SENT,
    gauge,
    increase,
    or_zero,
    quantile,
    rate,
    ratio,
    success,
    top,
)
from huddle_otel_dashboards.boards.variables import UPSTREAM_OF_MODEL
from huddle_otel_dashboards.limits import Limits
from huddle_otel_dashboards.series import label

_MODEL = f"{{{{{label(contract.MODEL)}}}}}"
_REQUEST_MODEL = f"{{{{{label(contract.REQUEST_MODEL)}}}}}"
_ALERTS = (
    "max by (alertname, severity, job, model, circuit) "
    '(ALERTS{alertname=~"Huddle.+", alertstate="firing", job=~"$job"})'
)


def overview(limits: Limits) -> Board:
    """Return the board."""
    return Board(
        uid="huddle-overview",
        start="now-1h",
        title="LLM calls / Overview",
        description="Are calls answered, how fast, at what price, and what fails.",
        rows=(_now(limits), _by_model(limits), _failures(), health()),
    )


def _now(limits: Limits) -> Row:
    slo, budget = limits.slo / 100, limits.budget_usd_day
    return Row(
        title="Now",
        panels=(
            Stat(
                title="Calls",
                description="Calls that ended per second, whatever their outcome. A sudden fall to nothing is an app "
                "that no longer calls, or telemetry that no longer arrives: see Telemetry health below.",
                queries=(Query(expr=rate(contract.CALLS)),),
                unit="suffix:/s",
                decimals=2,
                base="blue",
                no_value="no calls",
            ),
            Stat(
                title="Answered",
                description="Share of calls that were answered whole. Failures of the upstream and refusals of the "
                f"circuit count, the app's own bad requests do not. Below the objective of {limits.slo:g} % users "
                "notice: see Failures, then the board Upstream & resilience.",
                queries=(Query(expr=success()),),
                unit="percentunit",
                decimals=2,
                base=BAD,
                steps=((1 - 5 * limits.error_budget, WARN), (slo, GOOD)),
                no_value="no calls",
                runbook="huddleerrorbudgetburn",
            ),
            Stat(
                title="Duration, p95",
                description="19 of 20 answered calls took at most this long, retries and waits included, streams to "
                f"their end. Users wait when it is above {limits.p95:g} s: see by model whose it is.",
                queries=(Query(expr=quantile(0.95, contract.DURATION, where=ANSWERED)),),
                unit="s",
                decimals=1,
                steps=((0.75 * limits.p95, WARN), (limits.p95, BAD)),
                no_value="no calls",
                runbook="huddlelatencyhigh",
            ),
            Stat(
                title="First token, p95",
                description="19 of 20 streams showed their first content within this time, retries included. Above "
                f"{limits.first_chunk:g} s an app feels stuck.",
                queries=(Query(expr=quantile(0.95, contract.FIRST_CHUNK)),),
                unit="s",
                decimals=2,
                steps=((0.75 * limits.first_chunk, WARN), (limits.first_chunk, BAD)),
                no_value="no streams",
                runbook="huddlefirsttokenslow",
            ),
            Stat(
                title="Spend per hour",
                description="What an hour costs at the present rate. Calls that nobody can price are not in it: see "
                f"the board Spend. Red where the day's budget would go in {24 / limits.spend_factor:g} h.",
                queries=(Query(expr=f"3600 * {rate(contract.COST_USD)}"),),
                unit="currencyUSD",
                decimals=2,
                steps=((budget / 24, WARN), (limits.spend_factor * budget / 24, BAD)),
                no_value="no spend",
                runbook="huddlespendratehigh",
            ),
            Stat(
                title="Spend today",
                description=f"Since midnight UTC. Red from {budget:g} USD, the day's budget. Prometheus estimates "
                "between scrapes; `huddle-otel report` has it to the last digit.",
                queries=(Query(expr=increase(contract.COST_USD), instant=True),),
                unit="currencyUSD",
                decimals=2,
                steps=((0.8 * budget, WARN), (budget, BAD)),
                no_value="no spend",
                time_from="now/d",
                runbook="huddlebudgetused",
            ),
            Stat(
                title="Open circuits",
                description="Circuits open in at least one process: calls to these models are refused at once rather "
                "than sent to an upstream that fails. See the timeline on Upstream & resilience for which, and since "
                "when.",
                queries=(Query(expr=or_zero(f"count({gauge(contract.BREAKER, contract.CIRCUIT)} == 2)")),),
                unit="short",
                decimals=0,
                steps=((1, BAD),),
                runbook="huddlecircuitopen",
            ),
            Stat(
                title="Alerts firing",
                description="Of huddle_otel's own rules, if Prometheus has them loaded (`huddle-otel dashboards "
                "alerts`). The table below says which.",
                queries=(Query(expr=or_zero(f"count({_ALERTS})"), instant=True),),  # as the table below
                unit="short",
                decimals=0,
                steps=((1, BAD),),
            ),
            Graph(
                title="Calls by outcome",
                description="Calls per second by how they ended. Red and orange that last are users without an "
                "answer; blue and grey are the app's or its users' own doing.",
                queries=(
                    Query(
                        expr=f"{rate(contract.CALLS, contract.OUTCOME)} > 0",
                        legend=f"{{{{{label(contract.OUTCOME)}}}}}",
                    ),
                ),
                unit="suffix:/s",
                decimals=2,
                colours=OUTCOMES,
                stacked=True,
                width=14,
            ),
            Table(
                title="Alerts firing now",
                description="Empty is good. Each name is a section of the runbook.",
                queries=(Query(expr=_ALERTS, instant=True, table=True),),
                unit="string",
                columns={
                    "alertname": Column(title="Alert", width=220),
                    "severity": Column(title="Severity", width=90),
                    "job": Column(title="Job", width=110),
                    "model": Column(title="Model"),
                    "circuit": Column(title="Circuit"),
                },
                width=10,
            ),
        ),
    )


def _by_model(limits: Limits) -> Row:
    calls, model = rate(contract.CALLS, contract.MODEL), contract.MODEL
    failed = f"1 - ({success(model)})"
    fast = quantile(0.95, contract.DURATION, contract.REQUEST_MODEL, where=ANSWERED)
    first = quantile(0.95, contract.FIRST_CHUNK, contract.REQUEST_MODEL)
    return Row(
        title="By model",
        panels=(
            Graph(
                title="Calls",
                description="Calls per second, the ten busiest models.",
                queries=(Query(expr=top(10, calls), legend=_MODEL),),
                unit="suffix:/s",
                decimals=2,
            ),
            Graph(
                title="Failed",
                description="Share of calls without a whole answer that the app did not ask for. The dashed line is "
                f"the objective of {limits.slo:g} %. One model alone above it is that model's upstream; all of them "
                "are the gateway or the network.",
                queries=(Query(expr=top(10, failed), legend=_MODEL),),
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
                queries=(Query(expr=top(10, fast), legend=_REQUEST_MODEL, exemplars=True),),
                unit="s",
                decimals=1,
                steps=((limits.p95, BAD),),
                lines=True,
                runbook="huddlelatencyhigh",
            ),
            _models(limits, calls, failed, fast, first),
        ),
    )


def _models(limits: Limits, calls: str, failed: str, fast: str, first: str) -> Table:
    model = label(contract.MODEL)
    hourly = f"3600 * {rate(contract.COST_USD, contract.MODEL)}"
    amplification = ratio(
        rate(contract.ATTEMPTS_MADE, contract.MODEL), rate(contract.CALLS, contract.MODEL, where=SENT)
    )
    named = [
        f'label_replace({query}, "{model}", "$1", "{label(contract.REQUEST_MODEL)}", "(.*)")' for query in (fast, first)
    ]
    plain = [f"sum by ({model}) ({query})" for query in named]  # drops the longer name, so that rows merge
    queries = (calls, failed, *plain, amplification, hourly)
    slow = ((limits.p95, BAD),)
    return Table(
        title="Models now",
        description="Each model's present figures; red is beyond its limit. Sorted by calls.",
        queries=tuple(Query(expr=query, instant=True, table=True) for query in queries),
        unit="short",
        columns={
            model: Column(title="Model", link=UPSTREAM_OF_MODEL),
            "Value #A": Column(title="Calls / s", unit="short", decimals=2),
            "Value #B": Column(title="Failed", unit="percentunit", decimals=2, steps=((limits.error_budget, BAD),)),
            "Value #C": Column(title="Duration, p95", unit="s", decimals=1, steps=slow),
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


def _failures() -> Row:
    cause = label(contract.ERROR_TYPE)
    return Row(
        title="Failures",
        panels=(
            Graph(
                title="By cause",
                description="Calls per second that ended without a whole answer, by `error.type`. 429 and "
                "rate_limited: ask for less or for more quota. 5xx, timeouts, disconnect: the upstream. 401 and 403: "
                "the key. breaker_open: follows from one of the others. budget_exceeded: a spend limit of yours.",
                queries=(
                    Query(
                        expr=top(12, f"{rate(contract.CALLS, contract.ERROR_TYPE, where=NOT_OK)} > 0"),
                        legend=f"{{{{{cause}}}}}",
                    ),
                ),
                unit="suffix:/s",
                stacked=True,
                width=14,
                runbook="huddletimeouts",
            ),
            Table(
                title="In this range",
                description="Failed calls by model and cause, over the whole time range. The greatest first.",
                queries=(
                    Query(
                        expr=top(
                            20, f"{increase(contract.CALLS, contract.MODEL, contract.ERROR_TYPE, where=NOT_OK)} > 0.5"
                        ),
                        instant=True,
                        table=True,
                    ),
                ),
                unit="short",
                decimals=0,
                columns={
                    label(contract.MODEL): Column(title="Model"),
                    cause: Column(title="Cause"),
                    "Value": Column(title="Calls", unit="short", decimals=0, width=90),
                },
                sort_by="Calls",
                width=10,
            ),
        ),
    )
