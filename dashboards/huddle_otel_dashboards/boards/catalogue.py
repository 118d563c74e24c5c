"""All boards, and how one becomes text."""

from __future__ import annotations

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from huddle_otel_dashboards.boards.board import Board
from huddle_otel_dashboards.boards.latency import latency
from huddle_otel_dashboards.boards.overview import overview
from huddle_otel_dashboards.boards.queries import Reader
from huddle_otel_dashboards.boards.readers import Raw
from huddle_otel_dashboards.boards.slo import slo
from huddle_otel_dashboards.boards.spend import spend
from huddle_otel_dashboards.boards.traces import traces
from huddle_otel_dashboards.boards.upstream import upstream
from huddle_otel_dashboards.limits import Limits


def boards(limits: Limits | None = None, read: Reader | None = None) -> tuple[Board, ...]:
    """Return every board, in the order they are listed.

    Args:
        limits: What thresholds are drawn from; the defaults when None.
        read: Where figures come from: `Raw()`, as when None, or `Recorded()` for a fleet.
    """
    limits, read = limits or Limits(), read or Raw()
    return tuple(make(limits, read) for make in (overview, upstream, latency, spend, slo, traces))


def text(board: Board) -> str:
    """Return a board's JSON: the same bytes for the same board."""
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
