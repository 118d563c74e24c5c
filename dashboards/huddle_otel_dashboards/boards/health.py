"""Telemetry health: whether what the boards show can be trusted."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Row
from huddle_otel_dashboards.boards.colours import BAD, GOOD, WARN
from huddle_otel_dashboards.boards.figures import Stat
from huddle_otel_dashboards.boards.graphs import Graph
from huddle_otel_dashboards.boards.panels import Query, legend
from huddle_otel_dashboards.boards.queries import Reader, or_zero
from huddle_otel_dashboards.series import series

_OVERFLOW = 1_000
"""Series of one metric and process that are worth a look: the SDK keeps 2,000, then lumps the rest together."""
_STALE = 120
"""Seconds without a scrape after which a board shows the past."""


def health(read: Reader) -> Row:
    """Return the row."""
    calls = read.select(contract.CALLS)
    always = read.select(contract.TELEMETRY_ERRORS)  # from a process' start
    ours = f"group by (job, instance) (last_over_time({always}[1d]))"
    return Row(
        title="Telemetry health",
        panels=(
            Stat(
                title="Targets up",
                description="Share of the chosen processes of the last day that Prometheus can scrape. Below 100 % "
                "the figures above lack some of them. Where metrics are pushed by OTLP there is nothing to scrape, "
                "and this stays empty.",
                queries=(Query(expr=f"avg(up{{{read.target}}} and on (job, instance) {ours})", instant=True),),
                unit="percentunit",
                decimals=0,
                base=BAD,
                steps=((1, GOOD),),
                no_value="pushed",
                width=4,
                height=7,
                runbook="huddlescrapedown",
            ),
            Stat(
                title="Age of the figures",
                description=f"Since the oldest process's newest sample. Above {_STALE} s these boards show the past.",
                queries=(Query(expr=f"max(time() - timestamp({always}))", instant=True),),
                unit="s",
                decimals=0,
                steps=((_STALE / 2, WARN), (_STALE, BAD)),
                no_value="none",
                width=4,
                height=7,
                runbook="huddletelemetryabsent",
            ),
            Stat(
                title="Series of a process",
                description="The most series that one process has of one metric. Models and tags make series; the SDK "
                "keeps 2,000 of a metric and lumps the rest together, and the 201st model is called other.",
                queries=(Query(expr=f"max(count by (job, instance) ({calls}))", instant=True),),
                unit="short",
                decimals=0,
                steps=((_OVERFLOW, WARN), (2 * _OVERFLOW, BAD)),
                no_value="none",
                width=4,
                height=7,
                runbook="huddlemodelsoverflow",
            ),
            Graph(
                title="Failures of our own",
                description="Failures per minute inside huddle_otel's telemetry, by component. Calls are not "
                "affected, but what these boards show may lack something: the app's log names the cause once.",
                queries=(
                    Query(expr=read.per_minute(contract.TELEMETRY_ERRORS, "component"), legend=legend("component")),
                ),
                unit="suffix:/min",
                decimals=1,
                no_value="none",
                width=6,
                height=7,
                runbook="huddletelemetrydropped",
            ),
            Graph(
                title="Series in all",
                description="Series of calls, of all chosen processes. A steady climb is a label with too many "
                "values: user input in a model's name, or a tag that is an id.",
                queries=(Query(expr=or_zero(read.count(contract.CALLS)), legend=series(contract.CALLS)),),
                unit="short",
                decimals=0,
                width=6,
                height=7,
            ),
        ),
    )
