"""Overview: what somebody on call looks at first."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.bill import per_hour, today
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.colours import BAD, CAUSES, GOOD, OUTCOMES, WARN
from huddle_otel_dashboards.boards.figures import Column, Stat, Table
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.health import health
from huddle_otel_dashboards.boards.models import by_model
from huddle_otel_dashboards.boards.panels import Query, legend, rows
from huddle_otel_dashboards.boards.queries import ANSWERED, NOT_OK, Reader, or_zero, top
from huddle_otel_dashboards.limits import Limits
from huddle_otel_dashboards.series import label

_ALERTS = (
    "max by (alertname, severity, job, model, circuit) "
    '(ALERTS{alertname=~"Huddle.+", alertstate="firing", job=~"$job"})'
)


def overview(limits: Limits, read: Reader) -> Board:
    """Return the board."""
    return Board(
        name="overview",
        start="now-1h",
        title="Overview",
        description="Are calls answered, how fast, at what price, and what fails.",
        read=read,
        rows=(_now(limits, read), by_model(limits, read), _failures(read), health(read)),
    )


def _now(limits: Limits, read: Reader) -> Row:
    return Row(
        title="Now",
        panels=(
            *_users(limits, read),
            per_hour(limits, read, width=3),
            today(limits, read, width=3),
            _open_circuits(read),
            _firing(),
            _outcomes(read),
            _alerts(),
        ),
    )


def _users(limits: Limits, read: Reader) -> tuple[Stat, ...]:
    """Return what users feel."""
    return (
        Stat(
            title="Calls",
            description="Calls that ended per second, whatever their outcome. A sudden fall to nothing is an app that "
            "no longer calls, or telemetry that no longer arrives: see Telemetry health below.",
            queries=(Query(expr=read.rate(contract.CALLS)),),
            unit="suffix:/s",
            decimals=2,
            base="blue",
            no_value="no calls",
        ),
        Stat(
            title="Answered",
            description="Share of calls that were answered whole. Failures of the upstream and refusals of the "
            f"circuit count, the app's own bad requests do not. Below the objective of {limits.slo:g} % users notice: "
            "see Failures, then the board Upstream & resilience.",
            queries=(Query(expr=f"1 - {read.failed()}"),),
            unit="percentunit",
            decimals=2,
            base=BAD,
            steps=((1 - 5 * limits.error_budget, WARN), (limits.slo / 100, GOOD)),
            no_value="no calls",
            runbook="huddleerrorbudgetburn",
        ),
        Stat(
            title="Duration, p95",
            description="19 of 20 answered calls took at most this long, retries and waits included, streams to their "
            f"end. Users wait when it is above {limits.p95:g} s: see by model whose it is.",
            queries=(Query(expr=read.quantile(0.95, contract.DURATION, where=ANSWERED)),),
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
            queries=(Query(expr=read.quantile(0.95, contract.FIRST_CHUNK)),),
            unit="s",
            decimals=2,
            steps=((0.75 * limits.first_chunk, WARN), (limits.first_chunk, BAD)),
            no_value="no streams",
            runbook="huddlefirsttokenslow",
        ),
    )


def _open_circuits(read: Reader) -> Stat:
    return Stat(
        title="Open circuits",
        description="Circuits open, or half-open and trying, in at least one process: calls to these models are "
        "refused at once rather than sent to an upstream that fails. The timeline on Upstream & resilience shows "
        "which, and since when.",
        queries=(Query(expr=or_zero(f"count({read.gauge(contract.BREAKER, contract.CIRCUIT)} > 0)")),),
        unit="short",
        decimals=0,
        steps=((1, BAD),),
        runbook="huddlecircuitopen",
    )


def _firing() -> Stat:
    return Stat(
        title="Alerts firing",
        description="Of huddle_otel's own rules, if Prometheus has them loaded (`huddle-otel dashboards alerts`). The "
        "table below says which.",
        queries=(Query(expr=or_zero(f"count({_ALERTS})"), instant=True),),  # as the table below
        unit="short",
        decimals=0,
        steps=((1, BAD),),
    )


def _outcomes(read: Reader) -> Graph:
    return Graph(
        title="Calls by outcome",
        description="Calls per second by how they ended. Red and orange that last are users without an answer; blue "
        "and grey are the app's or its users' own doing.",
        queries=(
            Query(
                expr=f"{read.rate(contract.CALLS, contract.OUTCOME)} > 0",
                legend=legend(contract.OUTCOME),
            ),
        ),
        unit="suffix:/s",
        decimals=2,
        colours=OUTCOMES,
        stacked=True,
        width=14,
    )


def _alerts() -> Table:
    return Table(
        title="Alerts firing now",
        description="Empty is good. Each name is a section of the runbook.",
        queries=rows(_ALERTS),
        unit="string",
        columns={
            "alertname": Column(title="Alert", width=220),
            "severity": Column(title="Severity", width=90),
            "job": Column(title="Job", width=110),
            "model": Column(title="Model"),
            "circuit": Column(title="Circuit"),
        },
        width=10,
    )


def _failures(read: Reader) -> Row:
    cause = label(contract.ERROR_TYPE)
    ended = read.increase(contract.CALLS, contract.MODEL, contract.ERROR_TYPE, where=NOT_OK)
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
                        expr=top(12, f"{read.rate(contract.CALLS, contract.ERROR_TYPE, where=NOT_OK)} > 0"),
                        legend=legend(contract.ERROR_TYPE),
                    ),
                ),
                unit="suffix:/s",
                colours=CAUSES,
                stacked=True,
                width=14,
                runbook="huddletimeouts",
            ),
            Table(
                title="In this range",
                description="Failed calls by model and cause, over the whole time range. The greatest first.",
                queries=rows(top(20, f"{ended} > 0.5")),
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
