"""SLO: how much of the promise to users is kept, and how fast what may fail is being used up."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts.objective import BAD as FAILED
from huddle_otel_dashboards.alerts.objective import BURNS, PERIOD_DAYS, VALID
from huddle_otel_dashboards.alerts.objective import ratio as failed_share
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.colours import BAD, GOOD, WARN
from huddle_otel_dashboards.boards.figures import Bars, Column, Stat, Table
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.panels import Panel, Query, legend, rows
from huddle_otel_dashboards.boards.queries import Reader, ratio, recorded
from huddle_otel_dashboards.limits import Limits
from huddle_otel_dashboards.series import label

_JOB: Final = '{job=~"$job"}'
_MATCH: Final = '{job=~"$job", model=~"$model"}'
_RULES: Final = "From the recording rules: `huddle-otel dashboards alerts` writes them, Prometheus must load them."
_COLOURS: Final = {"5m": "purple", "1h": BAD, "6h": WARN, "3d": "blue"}


def slo(limits: Limits, read: Reader) -> Board:
    """Return the board."""
    return Board(
        name="slo",
        title="SLO",
        description=f"How much of the objective of {limits.slo:g} % is kept, and how fast its error budget goes.",
        start="now-24h",
        refresh="1m",
        read=read,
        rows=(_objective(limits), _burn(limits), _whose(limits)),
    )


def _worst(window: str) -> str:
    return f"max({failed_share(window)}{_JOB})"


def _objective(limits: Limits) -> Row:
    target, budget = limits.slo / 100, limits.error_budget
    kept = tuple(
        Stat(
            title=f"Answered, {window}",
            description=f"Share of the calls that count which were answered in the last {window}, of the worst chosen "
            f"job. The objective is {limits.slo:g} %. {_RULES}",
            queries=(Query(expr=f"1 - {_worst(window)}", instant=True),),
            unit="percentunit",
            decimals=3,
            base=BAD,
            steps=((1 - 5 * budget, WARN), (target, GOOD)),
            no_value="no calls",
            width=4,
            runbook="huddleerrorbudgetburn",
        )
        for window in ("1h", "1d", "30d")
    )
    left, burn = f"1 - {_worst('30d')} / {budget:g}", f"{_worst('6h')} / {budget:g}"
    rest: tuple[Panel, ...] = (
        Stat(
            title="Error budget left",
            description=f"Of the failures that {limits.slo:g} % permits in {PERIOD_DAYS} days, how much is not used "
            "up. Below 0 the objective is missed: put changes off that risk more.",
            queries=(Query(expr=left, instant=True),),
            unit="percentunit",
            decimals=1,
            base=BAD,
            steps=((0, WARN), (0.25, GOOD)),
            no_value="no calls",
            width=4,
            runbook="huddleerrorbudgetburn",
        ),
        Stat(
            title="Burn rate, 1h",
            description=f"1 would use up the budget in exactly {PERIOD_DAYS} days. {BURNS[0].rate:g} wakes somebody.",
            queries=(Query(expr=f"{_worst('1h')} / {budget:g}", instant=True),),
            unit="suffix:x",
            decimals=1,
            steps=((1, WARN), (BURNS[0].rate, BAD)),
            no_value="no calls",
            width=4,
            runbook="huddleerrorbudgetburn",
        ),
        Stat(
            title="Budget lasts",
            description="At the rate of the last 6 h, until what is left of the budget is gone. Empty where nothing "
            "fails.",
            queries=(Query(expr=f"clamp_min({left}, 0) * {PERIOD_DAYS * 86_400} / ({burn} > 0)", instant=True),),
            unit="s",
            decimals=1,
            base=BAD,
            steps=((86_400, WARN), (7 * 86_400, GOOD)),
            no_value="nothing fails",
            width=4,
            runbook="huddleerrorbudgetburn",
        ),
    )
    return Row(title="Objective", panels=(*kept, *rest))


def _burn(limits: Limits) -> Row:
    levels = ", ".join(f"{burn.rate:g} over {burn.long}" for burn in BURNS)
    return Row(
        title="Burn rate",
        panels=(
            Graph(
                title="Burn rate by window",
                description="How many times faster than permitted the error budget goes, of the worst chosen job. "
                f"Dashed: where alerts begin, {levels}. The short windows say whether it still goes on.",
                queries=tuple(
                    Query(expr=f"{_worst(window)} / {limits.error_budget:g}", legend=window) for window in _COLOURS
                ),
                unit="suffix:x",
                decimals=1,
                steps=tuple(sorted((burn.rate, BAD if burn.rate > 3 else WARN) for burn in BURNS)),  # noqa: PLR2004 - those above page
                lines=True,
                colours=_COLOURS,
                width=16,
                height=10,
                runbook="huddleerrorbudgetburn",
            ),
            Graph(
                title="Calls that count, and failed",
                description="In 5 minutes. Few calls make ratios jump: the alerts say nothing below "
                f"{limits.minimum:g} calls in their window.",
                queries=(
                    Query(expr=f"sum({VALID}{_MATCH})", legend="count"),
                    Query(expr=f"sum({FAILED}{_MATCH})", legend="failed"),
                ),
                unit="short",
                decimals=0,
                colours={"count": "blue", "failed": BAD},
                width=8,
                height=10,
            ),
        ),
    )


def _whose(limits: Limits) -> Row:
    model = label(contract.MODEL)
    valid = f"sum by ({model}) ({recorded(VALID, '$__range')})"
    failed = f"sum by ({model}) ({recorded(FAILED, '$__range')})"
    return Row(
        title="Whose failures",
        panels=(
            Table(
                title="By model",
                description="Over the whole time range. The objective is the job's; a model that fails often but is "
                "called seldom hurts few.",
                queries=rows(valid, failed, ratio(failed, valid)),
                unit="short",
                decimals=0,
                columns={
                    model: Column(title="Model"),
                    "Value #A": Column(title="Calls", unit="short", decimals=0),
                    "Value #B": Column(title="Failed", unit="short", decimals=0),
                    "Value #C": Column(
                        title="Share", unit="percentunit", decimals=2, steps=((limits.error_budget, BAD),)
                    ),
                },
                sort_by="Failed",
                width=14,
                height=9,
            ),
            Bars(
                title="Error budget left, by job",
                description=f"Of the {PERIOD_DAYS} days' budget. Below 0 the objective is missed.",
                queries=(
                    Query(
                        expr=f"1 - {failed_share('30d')}{_JOB} / {limits.error_budget:g}",
                        legend=legend("job"),
                        instant=True,
                    ),
                ),
                unit="percentunit",
                decimals=1,
                least=0,
                most=1,
                base=BAD,
                steps=((0.001, WARN), (0.25, GOOD)),
                no_value="no calls",
                width=10,
                height=9,
                runbook="huddleerrorbudgetburn",
            ),
        ),
    )
