"""Traces: the calls themselves, found by what went wrong with them."""

from __future__ import annotations

from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.boards.board import Board, Row
from huddle_otel_dashboards.boards.figures import Traces
from huddle_otel_dashboards.boards.queries import Reader
from huddle_otel_dashboards.boards.variables import source, text
from huddle_otel_dashboards.limits import Limits

_SHOWN: Final = (
    contract.REQUEST_MODEL,
    contract.OUTCOME,
    contract.ERROR_TYPE,
    contract.ATTEMPTS,
    contract.COST,
    contract.REQUEST_ID,
)
"""Attributes that are columns of every table."""
_DEAR_USD: Final = "0.10"


def traces(limits: Limits, read: Reader) -> Board:
    """Return the board."""
    return Board(
        name="traces",
        title="Traces",
        description="Slow, failed, retried and dear calls, from Tempo; a click on one opens its trace.",
        start="now-1h",
        refresh="",
        read=read,
        rows=(_trouble(), _price(), _streams()),
        extra=(
            source("traces", "Traces", "tempo"),
            text("slow", "Slow from", f"{limits.p95:g}s", "A duration, such as 20s."),
            text("dear", "Dear from, USD", _DEAR_USD, "USD that a call cost."),
        ),
    )


def _find(*conditions: str) -> str:
    """Return a TraceQL query for spans of calls, with the columns that every table has."""
    of_model = f'span.{contract.REQUEST_MODEL} =~ "$model"'
    asked = " && ".join((f"span.{contract.OUTCOME} != nil", of_model, *conditions))
    return f"{{ {asked} }} | select({', '.join(f'span.{name}' for name in _SHOWN)})"


def _trouble() -> Row:
    return Row(
        title="What went wrong",
        panels=(
            Traces(
                title="Failed calls",
                description="Calls that ended as error, truncated or rejected. `error.type` says why, "
                "`huddle.request.id` is what the gateway's support asks for.",
                traceql=_find(f'span.{contract.OUTCOME} =~ "error|truncated|rejected"'),
            ),
            Traces(
                title="Slow calls",
                description="Calls that took longer than chosen above. Several attempts: the time went into retries. "
                "One: the upstream, or a long answer.",
                traceql=_find("duration > $slow"),
            ),
        ),
    )


def _price() -> Row:
    return Row(
        title="What was dear",
        panels=(
            Traces(
                title="Dear calls",
                description="Calls that cost more than chosen above. Look at their tokens: a prompt that grows with "
                "every turn is the usual cause.",
                traceql=_find(f"span.{contract.COST} > $dear"),
            ),
            Traces(
                title="Possibly billed twice",
                description="Calls retried after a failure that may have been billed: two requests, one answer.",
                traceql=_find(f"span.{contract.DOUBLE_BILLING} = true"),
            ),
        ),
    )


def _streams() -> Row:
    return Row(
        title="What needed help",
        panels=(
            Traces(
                title="Retried calls",
                description="Calls that needed more than one request. The events of the span have each failed "
                "attempt, its cause and the wait after it.",
                traceql=_find(f"span.{contract.ATTEMPTS} > 1"),
            ),
        ),
    )
