"""Upstream & resilience: what fails out there, and what huddle_otel does about it."""

from __future__ import annotations

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.colours import BAD, CAUSES, GOOD, REASONS, STATES, STREAM_FAULTS, WARN
from huddle_otel_dashboards.boards.graphs import Graph, Timeline
from huddle_otel_dashboards.boards.panels import Query, legend
from huddle_otel_dashboards.boards.queries import SENT, Reader, ratio, share, top
from huddle_otel_dashboards.limits import Limits

_MODEL = legend(contract.MODEL)
_CIRCUIT = legend(contract.CIRCUIT)


def upstream(limits: Limits, read: Reader) -> Board:
    """Return the board."""
    return Board(
        name="upstream",
        start="now-1h",
        title="Upstream & resilience",
        description="What the upstream does wrong, and what circuits, retries and limits do about it.",
        read=read,
        rows=(_circuits(read), _requests(limits, read), _protection(read), _trouble(read)),
    )


def _circuits(read: Reader) -> Row:
    return Row(
        title="Circuits",
        panels=(
            Timeline(
                title="State of each circuit",
                description="One line per host, model and operation; the worst of all processes. Open: calls are "
                "refused at once. Half-open: a few probes decide. A circuit that opens again and again has an "
                "upstream that is half well: look at its failures below, and think of a fallback model.",
                queries=(Query(expr=read.gauge(contract.BREAKER, contract.CIRCUIT), legend=_CIRCUIT),),
                unit="short",
                decimals=0,
                no_value="no circuits",
                width=16,
                height=9,
                runbook="huddlecircuitopen",
            ),
            Graph(
                title="Changes of state",
                description="How many circuits open, try and close, per minute. Many in a row are a circuit that "
                "flaps.",
                queries=(
                    Query(
                        expr=read.per_minute(contract.TRANSITIONS, contract.BREAKER_TO),
                        legend=legend(contract.BREAKER_TO),
                    ),
                ),
                unit="suffix:/min",
                decimals=1,
                no_value="none",
                colours={"closed": STATES["closed"], "half_open": STATES["half-open"], "open": STATES["open"]},
                width=8,
                height=9,
                runbook="huddlecircuitflapping",
            ),
        ),
    )


def _requests(limits: Limits, read: Reader) -> Row:
    attempts = read.rate(contract.ATTEMPTS_MADE, contract.MODEL)
    failed, classed = {"result": '!="ok"'}, {"class": '=~".+"'}
    return Row(
        title="Requests to the upstream",
        panels=(
            Graph(
                title="Failed requests by cause",
                description="Requests per second that failed, retried ones included: what the upstream does, before "
                "we make it good. Calls on the Overview may look well while this does not.",
                queries=(
                    Query(
                        expr=top(12, f"{read.rate(contract.ATTEMPTS_MADE, 'result', where=failed)} > 0"),
                        legend=legend("result"),
                    ),
                ),
                unit="reqps",
                colours=CAUSES,
                stacked=True,
                runbook="huddletimeouts",
            ),
            Graph(
                title="Failed requests by model",
                description="Share of requests that failed, per model, retried ones included.",
                queries=(
                    Query(
                        expr=top(10, share(read.rate(contract.ATTEMPTS_MADE, contract.MODEL, where=failed), attempts)),
                        legend=_MODEL,
                    ),
                ),
                unit="percentunit",
                soft_most=0.1,
                steps=((limits.faults / 100, BAD),),
                lines=True,
            ),
            Graph(
                title="Requests per call",
                description="1 is no retries. The dashed line is what the retry budget should hold it to, "
                f"{limits.amplification:g}: above it our retries burden an upstream that is already down.",
                queries=(
                    Query(
                        expr=top(10, ratio(attempts, read.rate(contract.CALLS, contract.MODEL, where=SENT))),
                        legend=_MODEL,
                    ),
                ),
                unit="short",
                decimals=2,
                steps=((limits.amplification, BAD),),
                lines=True,
                soft_most=1.5,
                runbook="huddleamplification",
            ),
            Graph(
                title="Failed requests by retry class",
                description="A: nothing was sent. B: refused before any work. C: may have been worked on and billed. "
                "D and E: no use to try again. Many in C cost money twice.",
                queries=(
                    Query(
                        expr=f"{read.rate(contract.ATTEMPTS_MADE, 'class', where=classed)} > 0",
                        legend=legend("class"),
                    ),
                ),
                unit="reqps",
                colours={"A": "blue", "B": WARN, "C": BAD, "D": "purple", "E": "yellow"},
                stacked=True,
            ),
            Graph(
                title="Calls waiting to try again",
                description="How many at a time, on average: seconds waited per second. It is time "
                "that users wait without anything being done for them.",
                queries=(Query(expr=top(10, read.rate(contract.WAITED, contract.MODEL)), legend=_MODEL),),
                unit="short",
                decimals=2,
            ),
            Graph(
                title="Calls under way",
                description="Calls begun and not yet ended. A climb while calls per second stay is an upstream that "
                "slows down; a flat top is the bulkhead.",
                queries=(
                    Query(expr=top(10, read.gauge(contract.IN_FLIGHT, contract.MODEL, how="sum")), legend=_MODEL),
                ),
                unit="short",
                decimals=0,
                stacked=True,
            ),
        ),
    )


def _protection(read: Reader) -> Row:
    return Row(
        title="Protection",
        panels=(
            Graph(
                title="Refused without a request",
                description="Calls per second that a policy refused. breaker_open: the circuit is open. rate_limited: "
                "the wait the upstream asked for is too long. bulkhead_full: too many calls under way. "
                "budget_exceeded: a spend limit of yours.",
                queries=(Query(expr=read.rate(contract.REJECTIONS, "reason"), legend=legend("reason")),),
                unit="suffix:/s",
                colours=REASONS,
                stacked=True,
                width=6,
                runbook="huddlecircuitopen",
            ),
            Graph(
                title="Retry budget left",
                description="Of the process that has least. A retry takes 1, one that may bill twice takes 2, "
                "successes put a tenth back. At 0 failed calls are not retried, which is what keeps a brown-out short.",
                queries=(
                    Query(
                        expr=f"bottomk(10, {read.gauge(contract.RETRY_BUDGET, contract.CIRCUIT, how='min')})",
                        legend=_CIRCUIT,
                    ),
                ),
                unit="short",
                decimals=1,
                base=BAD,
                steps=((1, WARN), (2, GOOD)),
                calcs=("last", "min"),
                width=6,
                runbook="huddleretrybudgetempty",
            ),
            *(_left(kind, read) for kind in ("requests", "tokens")),
        ),
    )


def _left(kind: str, read: Reader) -> Graph:
    left = read.gauge(contract.RATELIMIT, contract.MODEL, how="min", where={"type": f'="{kind}"'})
    return Graph(
        title=f"Rate limit left, {kind}",
        description="What the gateway last said is left, of the process that has least. Near 0 the next calls wait: "
        "ask for more quota, or spread the load.",
        queries=(Query(expr=f"bottomk(10, {left})", legend=_MODEL),),
        unit="short",
        calcs=("last", "min"),
        no_value="the gateway states none",
        width=6,
        runbook="huddleratelimited",
    )


def _trouble(read: Reader) -> Row:
    return Row(
        title="What users and the bill feel",
        panels=(
            Graph(
                title="Possible double billing",
                description="Calls per minute retried after a failure that may have been billed. "
                "`RetryPolicy(max_ambiguous=0)` makes this 0, at the price of more failed calls.",
                queries=(Query(expr=read.per_minute(contract.DOUBLE_BILLINGS, contract.MODEL), legend=_MODEL),),
                unit="suffix:/min",
                decimals=1,
                stacked=True,
                no_value="none",
                width=12,
            ),
            Graph(
                title="Broken streams",
                description="Streams per minute that broke after they had begun: the user has half an answer. stall: "
                "silence for too long. truncated: ended without saying so.",
                queries=(Query(expr=read.per_minute(contract.STREAM_FAULTS, "kind"), legend=legend("kind")),),
                unit="suffix:/min",
                decimals=1,
                colours=STREAM_FAULTS,
                stacked=True,
                no_value="none",
                width=12,
                runbook="huddlestreamscutshort",
            ),
        ),
    )
