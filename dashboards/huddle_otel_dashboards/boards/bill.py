"""What is being spent, and how much of each limit on spend is used: on several boards."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Row
from huddle_otel_dashboards.boards.colours import BAD, WARN
from huddle_otel_dashboards.boards.figures import Column, Stat, Table
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.panels import Query, legend, rows
from huddle_otel_dashboards.boards.queries import Reader, ratio, top
from huddle_otel_dashboards.limits import Limits


def per_hour(limits: Limits, read: Reader, *, width: int) -> Stat:
    """Return the panel that says how fast money goes."""
    budget = limits.budget_usd_day
    return Stat(
        title="Spend per hour",
        description="What an hour costs at the present rate. Calls that nobody can price are not in it. Red where the "
        f"day's budget would go in {24 / limits.spend_factor:g} h.",
        queries=(Query(expr=f"3600 * {read.rate(contract.COST_USD)}"),),
        unit="currencyUSD",
        decimals=2,
        steps=((budget / 24, WARN), (limits.spend_factor * budget / 24, BAD)),
        no_value="no spend",
        width=width,
        runbook="huddlespendratehigh",
    )


def today(limits: Limits, read: Reader, *, width: int) -> Stat:
    """Return the panel that says what today has cost so far."""
    budget = limits.budget_usd_day
    return Stat(
        title="Spend today",
        description=f"Since midnight UTC. Red from {budget:g} USD, the day's budget. Prometheus estimates between "
        "scrapes; `huddle-otel report` has it to the last digit.",
        queries=(Query(expr=read.increase(contract.COST_USD), instant=True),),
        unit="currencyUSD",
        decimals=2,
        steps=((0.8 * budget, WARN), (budget, BAD)),
        no_value="no spend",
        time_from="now/d",
        width=width,
        runbook="huddlebudgetused",
    )


def budgets(read: Reader) -> Row:
    """Return the row of limits on spend."""
    used = read.gauge(contract.BUDGET_USED, "budget", "key")
    limit = read.gauge(contract.BUDGET_LIMIT, "budget", "key")
    return Row(
        title="Limits on spend",
        panels=(
            Graph(
                title="Used of each limit",
                description="Share of each `SpendGuard` that is spent or reserved, of the process that has used most: "
                "limits are counted per process. At 100 % one that blocks refuses calls.",
                queries=(Query(expr=top(10, ratio(used, limit)), legend=legend("budget", "key")),),
                unit="percentunit",
                decimals=0,
                steps=((0.8, WARN), (1, BAD)),
                lines=True,
                soft_most=1,
                no_value="no limits set",
                width=12,
                runbook="huddlebudgetused",
            ),
            Table(
                title="Limits now",
                description="Every `SpendGuard`, and of whom. Red is used up.",
                queries=rows(used, limit, ratio(used, limit)),
                unit="currencyUSD",
                decimals=2,
                columns={
                    "budget": Column(title="Limit"),
                    "key": Column(title="Of"),
                    "Value #A": Column(title="Used", unit="currencyUSD", decimals=2),
                    "Value #B": Column(title="Permitted", unit="currencyUSD", decimals=2),
                    "Value #C": Column(title="Share", unit="percentunit", decimals=0, steps=((0.8, WARN), (1, BAD))),
                },
                sort_by="Share",
                width=12,
                runbook="huddlebudgetused",
            ),
        ),
    )
