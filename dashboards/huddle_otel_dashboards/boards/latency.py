"""Streaming & latency: how long users wait, for the first word and for the last."""

from __future__ import annotations

from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.colours import BAD, STREAM_FAULTS
from huddle_otel_dashboards.boards.graphs import Graph, Heatmap
from huddle_otel_dashboards.boards.panels import Query, legend
from huddle_otel_dashboards.boards.queries import ANSWERED, Reader, ratio, share, top
from huddle_otel_dashboards.limits import Limits

_MODEL = legend(contract.MODEL)
_REQUEST_MODEL = legend(contract.REQUEST_MODEL)
_LEVELS = ((0.5, "p50", "blue"), (0.95, "p95", "orange"), (0.99, "p99", "red"))
_COLOURS = {name: colour for _, name, colour in _LEVELS}


def latency(limits: Limits, read: Reader) -> Board:
    """Return the board."""
    return Board(
        name="latency",
        start="now-1h",
        title="Streaming & latency",
        description="How long calls take, how soon streams begin, how fast they flow, and where they break.",
        read=read,
        rows=(_duration(limits, read), _first_token(limits, read), _flow(read), _faults(limits, read)),
    )


def _duration(limits: Limits, read: Reader) -> Row:
    buckets = f"60 * {read.rate(contract.DURATION, 'le', where=ANSWERED, part='_bucket')}"
    return Row(
        title="Duration of a call",
        panels=(
            Heatmap(
                title="Distribution",
                description="How many answered calls a minute took how long. Two bands are two kinds of calls, or some "
                "that were retried.",
                queries=(
                    Query(expr=buckets, legend=legend("le"), form=PromQueryFormat.HEATMAP, exemplars=read.exemplars),
                ),
                unit="s",
                width=12,
                height=9,
            ),
            Graph(
                title="Percentiles",
                description="p50 is the usual call, p95 one in twenty, p99 one in a hundred. p50 and p95 rising "
                "together is a slow upstream; p95 alone is retries, or long answers. The dashed line is "
                f"{limits.p95:g} s.",
                queries=tuple(
                    Query(
                        expr=read.quantile(level, contract.DURATION, where=ANSWERED),
                        legend=name,
                        exemplars=read.exemplars and name == "p95",
                    )
                    for level, name, _ in _LEVELS
                ),
                unit="s",
                decimals=2,
                steps=((limits.p95, BAD),),
                lines=True,
                colours=_COLOURS,
                width=12,
                height=9,
                runbook="huddlelatencyhigh",
            ),
        ),
    )


def _first_token(limits: Limits, read: Reader) -> Row:
    seen = read.quantile(0.95, contract.FIRST_CHUNK)
    upstream = read.quantile(0.95, contract.ATTEMPT_CHUNK)
    return Row(
        title="First token of a stream",
        panels=(
            Graph(
                title="As users see it, and the upstream's share",
                description="p95 from the start of the call, and from the sending of its last attempt. A gap between "
                "the two is time lost in retries and waits; none, and the upstream is slow by itself.",
                queries=(
                    Query(expr=seen, legend="the call", exemplars=read.exemplars),
                    Query(expr=upstream, legend="its last attempt"),
                ),
                unit="s",
                decimals=2,
                steps=((limits.first_chunk, BAD),),
                lines=True,
                colours={"the call": "orange", "its last attempt": "blue"},
                no_value="no streams",
                width=12,
                runbook="huddlefirsttokenslow",
            ),
            Graph(
                title="By model, p95",
                description=f"From the start of the call. The dashed line is {limits.first_chunk:g} s. A model alone "
                "above it: think of a faster one for what users watch.",
                queries=(
                    Query(
                        expr=top(10, read.quantile(0.95, contract.FIRST_CHUNK, contract.REQUEST_MODEL)),
                        legend=_REQUEST_MODEL,
                        exemplars=read.exemplars,
                    ),
                ),
                unit="s",
                decimals=2,
                steps=((limits.first_chunk, BAD),),
                lines=True,
                no_value="no streams",
                width=12,
                runbook="huddlefirsttokenslow",
            ),
        ),
    )


def _flow(read: Reader) -> Row:
    output = {contract.TOKEN_TYPE: '="output"'}
    speed = ratio(
        read.rate(contract.TOKEN_USAGE, contract.REQUEST_MODEL, where=output, part="_sum"),
        read.rate(contract.DURATION, contract.REQUEST_MODEL, where=ANSWERED, part="_sum"),
    )
    return Row(
        title="Flow",
        panels=(
            Graph(
                title="Time between chunks",
                description="Mean gap between the chunks of a stream, percentiles over streams. Above 0.1 s words "
                "visibly drip; above 0.5 s users think it has stopped.",
                queries=tuple(
                    Query(
                        expr=read.quantile(level, contract.PER_CHUNK),
                        legend=name,
                        exemplars=read.exemplars and name == "p95",
                    )
                    for level, name, _ in _LEVELS[:2]
                ),
                unit="s",
                colours=_COLOURS,
                no_value="no streams",
            ),
            Graph(
                title="Output tokens per second of a call",
                description="Output tokens over the time calls took, first token and waits included. A fall at the "
                "same load is an upstream that slows down.",
                queries=(Query(expr=top(10, speed), legend=_REQUEST_MODEL),),
                unit="short",
            ),
            Graph(
                title="Tokens per call",
                description="Mean input and output tokens of a call. Input that grows by the hour is a history nobody "
                "cuts.",
                queries=(
                    Query(
                        expr=read.mean(contract.TOKEN_USAGE, contract.TOKEN_TYPE),
                        legend=legend(contract.TOKEN_TYPE),
                    ),
                ),
                unit="short",
                colours={"input": "blue", "output": "green"},
            ),
        ),
    )


def _faults(limits: Limits, read: Reader) -> Row:
    streams = read.rate(contract.FIRST_CHUNK, part="_count")
    return Row(
        title="Streams that break",
        panels=(
            Graph(
                title="By kind",
                description="Streams per minute that broke after they had begun. stall: silence longer than the "
                "policy allows. truncated: ended without saying so, which the bare client takes for a whole answer.",
                queries=(Query(expr=read.per_minute(contract.STREAM_FAULTS, "kind"), legend=legend("kind")),),
                unit="suffix:/min",
                decimals=1,
                colours=STREAM_FAULTS,
                stacked=True,
                no_value="none",
                width=8,
                runbook="huddlestreamsstalling",
            ),
            Graph(
                title="Share of streams that break",
                description="Of the streams that began, how many stalled, broke off or were cut short. The dashed "
                f"line is {limits.stream_faults:g} %.",
                queries=(Query(expr=share(read.rate(contract.STREAM_FAULTS), streams), legend="broken"),),
                unit="percentunit",
                soft_most=0.02,
                steps=((limits.stream_faults / 100, BAD),),
                lines=True,
                colours={"broken": BAD},
                no_value="no streams",
                width=8,
                runbook="huddlestreamscutshort",
            ),
            Graph(
                title="By model",
                description="Broken streams per minute, by model. One alone is that model's upstream; all of them are "
                "the network.",
                queries=(
                    Query(
                        expr=top(10, read.per_minute(contract.STREAM_FAULTS, contract.MODEL)),
                        legend=_MODEL,
                    ),
                ),
                unit="suffix:/min",
                decimals=1,
                stacked=True,
                no_value="none",
                width=8,
            ),
        ),
    )
