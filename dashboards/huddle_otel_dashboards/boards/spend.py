"""Spend: what calls cost, who says so, what was wasted, and where the month is heading."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.money import COST
from huddle_otel_dashboards.boards.bill import budgets, per_hour, today
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.colours import BAD, OUTCOMES, SOURCES, TOKENS, WARN
from huddle_otel_dashboards.boards.figures import Bars, Stat
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.panels import Query, legend
from huddle_otel_dashboards.boards.queries import SENT, Reader, or_zero, ratio, recorded, share, top
from huddle_otel_dashboards.boards.variables import text
from huddle_otel_dashboards.limits import Limits

_MODEL = legend(contract.MODEL)
_OUTCOME = legend(contract.OUTCOME)


def spend(limits: Limits, read: Reader) -> Board:
    """Return the board."""
    return Board(
        name="spend",
        title="Spend",
        description="What calls cost, by model and tag, who says so, what was wasted, and where the month is heading.",
        start="now-24h",
        refresh="1m",
        read=read,
        rows=(_now(limits, read), _where(read), _trust(read), _use(read), budgets(read)),
        extra=(
            text("tag", "Tag", "team", "Split spend by this tag. It must be one that instrument(tag_metrics=…) names."),
        ),
    )


def _now(limits: Limits, read: Reader) -> Row:
    budget = limits.budget_usd_day
    month = f"sum({recorded(COST, '$__range')})"
    per_thousand = ratio(f"1000 * {read.rate(contract.COST_USD)}", read.rate(contract.CALLS, where=SENT))
    days_left = "(days_in_month() - day_of_month() + 1 - (time() % 86400) / 86400)"
    return Row(
        title="Now",
        panels=(
            per_hour(limits, read, width=4),
            today(limits, read, width=4),
            Stat(
                title="Month's forecast",
                description="Spent this month, and the last 24 hours' spend for each day that is left of it. Red from "
                f"{30 * budget:g} USD. From the recording rules, since a month of raw samples is slow to read.",
                queries=(Query(expr=f"{month} + sum({recorded(COST, '1d')}) * {days_left}", instant=True),),
                unit="currencyUSD",
                decimals=2,
                steps=((0.8 * 30 * budget, WARN), (30 * budget, BAD)),
                no_value="no data yet",
                time_from="now/M",
                width=4,
                runbook="huddlespendanomaly",
            ),
            Stat(
                title="Cost of 1,000 calls",
                description="Of calls that led to a request. A climb at the same load is longer prompts, longer "
                "answers, or a dearer model.",
                queries=(Query(expr=per_thousand),),
                unit="currencyUSD",
                decimals=2,
                base="blue",
                no_value="no calls",
                width=4,
            ),
            Stat(
                title="Wasted",
                description="Share of the spend that went into calls without a whole answer: failed, truncated, "
                "cancelled, left. The price of a failure that is retried shows under Possible double billing, not "
                "here.",
                queries=(Query(expr=share(read.rate(contract.COST_WASTE), read.rate(contract.COST_USD))),),
                unit="percentunit",
                decimals=1,
                steps=((0.02, WARN), (0.1, BAD)),
                no_value="no spend",
                width=4,
            ),
            Stat(
                title="Calls without a price",
                description="Answered in this range, and nobody can say what they cost: no word from the gateway, no "
                "price in the table. They are in no figure of this board. `instrument(prices={…})` mends it.",
                queries=(Query(expr=or_zero(read.increase(contract.COST_UNKNOWN)), instant=True),),
                unit="short",
                decimals=0,
                steps=((1, BAD),),
                width=4,
                runbook="huddleunpricedmodel",
            ),
        ),
    )


def _where(read: Reader) -> Row:
    by_tag = f'label_replace(sum by ($tag) ({read.rates(contract.COST_USD)}), "tag", "$1", "$tag", "(.*)")'
    named = f'label_replace({by_tag}, "tag", "without", "tag", "")'
    return Row(
        title="Where it goes",
        panels=(
            Graph(
                title="Per hour by model",
                description="USD per hour, the ten dearest models. A step is a release; a climb at night is a loop.",
                queries=(Query(expr=top(10, f"3600 * {read.rate(contract.COST_USD, contract.MODEL)}"), legend=_MODEL),),
                unit="currencyUSD",
                decimals=2,
                stacked=True,
                width=9,
                runbook="huddlespendanomaly",
            ),
            Graph(
                title="Per hour by $tag",
                description="USD per hour by the tag chosen above. `without` is spend without that tag, or a tag that "
                "`instrument(tag_metrics=…)` does not name.",
                queries=(Query(expr=f"3600 * {named}", legend=legend("tag")),),
                unit="currencyUSD",
                decimals=2,
                stacked=True,
                width=9,
            ),
            Bars(
                title="Today by model",
                description="USD since midnight UTC, the ten dearest models.",
                queries=(
                    Query(expr=top(10, read.increase(contract.COST_USD, contract.MODEL)), legend=_MODEL, instant=True),
                ),
                unit="currencyUSD",
                decimals=2,
                least=0,
                time_from="now/d",
                no_value="no spend",
                width=6,
            ),
        ),
    )


def _trust(read: Reader) -> Row:
    return Row(
        title="How far to trust it",
        panels=(
            Graph(
                title="Per hour by who says so",
                description="USD per hour. gateway: what it reported. override: your own prices. catalogue: the "
                "packaged table's estimate. The more of the last, the less the figures are money.",
                queries=(Query(expr=f"3600 * {read.rate(contract.COST_USD, 'source')}", legend=legend("source")),),
                unit="currencyUSD",
                decimals=2,
                colours=SOURCES,
                stacked=True,
            ),
            Graph(
                title="Reported less estimated",
                description="What the gateway reported less what the table says, added up since each process started. "
                "A model that leaves 0 has a price in the table that is out of date.",
                queries=(Query(expr=read.gauge(contract.COST_DIFFERENCE, contract.MODEL, how="sum"), legend=_MODEL),),
                unit="currencyUSD",
                soft_most=0.01,
                calcs=("last", "min", "max"),
            ),
            Bars(
                title="Calls without a price, by model",
                description="Answered in this range and in no figure of this board: add their price with "
                "`instrument(prices={…})`.",
                queries=(
                    Query(
                        expr=top(10, f"{read.increase(contract.COST_UNKNOWN, contract.MODEL)} > 0"),
                        legend=_MODEL,
                        instant=True,
                    ),
                ),
                unit="short",
                decimals=0,
                least=0,
                steps=((0, BAD),),
                no_value="none: all is priced",
                runbook="huddleunpricedmodel",
            ),
        ),
    )


def _use(read: Reader) -> Row:
    per_call = ratio(
        f"1000 * {read.rate(contract.COST_USD, contract.MODEL)}", read.rate(contract.CALLS, contract.MODEL, where=SENT)
    )
    return Row(
        title="What it buys",
        panels=(
            Graph(
                title="Wasted, by outcome",
                description="USD per hour that went into calls without a whole answer. cancelled and abandoned are "
                "users who would not wait; truncated and error are the upstream.",
                queries=(Query(expr=f"3600 * {read.rate(contract.COST_WASTE, contract.OUTCOME)}", legend=_OUTCOME),),
                unit="currencyUSD",
                decimals=3,
                soft_most=0.01,
                colours=OUTCOMES,
                stacked=True,
            ),
            Graph(
                title="Tokens per second",
                description="By kind. cache_read and cache_write are part of input, reasoning is part of output: the "
                "lines are not to be added.",
                queries=(Query(expr=read.rate(contract.TOKENS_USED, "type"), legend=legend("type")),),
                unit="short",
                colours=TOKENS,
            ),
            Graph(
                title="Cost of 1,000 calls",
                description="USD, by model, of calls that led to a request.",
                queries=(Query(expr=top(10, per_call), legend=_MODEL),),
                unit="currencyUSD",
                decimals=2,
            ),
        ),
    )
