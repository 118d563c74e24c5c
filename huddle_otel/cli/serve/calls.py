"""Single calls: the newest that match, and everything the ledger knows about one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.page import shown
from huddle_otel.spend import format_usd
from huddle_otel_exporters.ledger import COLUMNS, reading

PAGE: Final = 25
"""Calls on a page."""
PATIENCE: Final = 1.0
"""Seconds a search takes at most; it says how far it came, and goes on from there when asked."""
LONGEST: Final = 2_000
"""Characters shown of one column of a call."""
HEADINGS: Final = (
    "when (UTC)",
    "model",
    "operation",
    "host",
    "outcome",
    "took",
    "attempts",
    "tokens in + out",
    "spend",
)
LEFT: Final = 5
"""Columns that are words."""
_STRETCH: Final = 20_000
"""Rows looked at between two looks at the clock."""
_SHOWN: Final = (
    "id, started, model, operation, host, outcome, error_type, duration, attempts, input_tokens, output_tokens, cost"
)
_TEXTS: Final = (
    *("model", "response_model", "operation", "provider", "host"),
    *("outcome", "error_type", "status", "finish_reason"),
)
_IDS: Final = ("request_id", "response_id", "trace_id", "span_id", "tags", "fell_back_from")
_HAYSTACK: Final = " || char(10) || ".join(f"ifnull({name}, '')" for name in _TEXTS + _IDS)
_QUERY: Final = f"""
SELECT {_SHOWN} FROM calls
WHERE id < :below AND id >= :down_to
    AND (:outcome = '' OR outcome = :outcome) AND (:text = '' OR instr(lower({_HAYSTACK}), lower(:text)) > 0)
ORDER BY id DESC LIMIT :most
"""  # noqa: S608 - names of ours; what is looked for is bound
_ENDS: Final = "SELECT (SELECT min(id) FROM calls), (SELECT max(id) FROM calls)"
"""Two questions: SQLite answers each from an end of the table, and both at once by reading all of it."""
_CALL: Final = f"SELECT id, {', '.join(COLUMNS)} FROM calls WHERE id = ?"  # noqa: S608 - names of ours
_MONEY: Final = "cost"
_TOKENS: Final = "_tokens"
_SECONDS: Final = ("duration", "first_chunk", "waited")
_FLAGS: Final = ("stream", "double_billing", "answered")
_TONES: Final = {"ok": "good", "error": "bad", "truncated": "warn", "rejected": "warn", "blocked": "warn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the list."""

    id: int
    cells: tuple[str, ...]
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Calls that match, newest first."""

    rows: tuple[Row, ...]
    below: int | None
    """Where older ones begin; None when all has been looked at."""
    finished: bool
    """False when the time was up before a page was full."""


def search(
    path: Path,
    *,
    words: str = "",
    outcome: str = "",
    below: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Look for calls, from the newest on.

    Args:
        path: The ledger.
        words: What any of a call's texts, ids or tags holds, whatever its case; empty is anything.
        outcome: How it ended; empty is anyhow.
        below: Only calls with smaller ids.
        clock: Monotonic, s.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    until = clock() + PATIENCE
    rows: list[Row] = []
    with reading(path) as connection:
        lowest, highest = connection.execute(_ENDS).fetchone()
        lowest, top = lowest or 0, (highest or 0) + 1
        if below is not None:
            top = min(top, below)
        while top > lowest and len(rows) < PAGE and clock() < until:
            down_to = top - _STRETCH
            bound = {"below": top, "down_to": down_to, "outcome": outcome, "text": words, "most": PAGE - len(rows)}
            rows += map(_row, connection.execute(_QUERY, bound))
            top = rows[-1].id if len(rows) == PAGE else down_to
    more = top > lowest
    return Found(rows=tuple(rows), below=top if more else None, finished=not more or len(rows) == PAGE)


def detail(path: Path, identity: int) -> list[tuple[str, str]] | None:
    """Return a call's columns as name and text; None when there is no such call.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with reading(path) as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute(_CALL, (identity,)).fetchone()
    return None if row is None else list(_columns(row))


def _columns(row: sqlite3.Row) -> Iterator[tuple[str, str]]:
    for name in row.keys():  # noqa: SIM118 - iterating a sqlite3.Row gives its values
        yield name, shown(_written(name, row[name]), longest=LONGEST)


def _written(name: str, value: Any) -> str:
    if value is None:
        return "unknown" if name.startswith(_MONEY) or name.endswith(_TOKENS) else "-"
    if name == "started" and isinstance(value, float):
        return f"{_when(value)} UTC"
    if name.startswith(_MONEY) and isinstance(value, int):
        return f"{format_usd(value)} ({value:,} nano-dollars)"
    if name in _SECONDS:
        return f"{value:.3f} s"
    if name in _FLAGS:
        return "yes" if value else "no"
    return f"{value:,}" if name.endswith(_TOKENS) else str(value)


def _row(columns: tuple[Any, ...]) -> Row:
    identity, started, model, operation, host, outcome, error, duration, attempts, tokens_in, tokens_out, cost = columns
    tokens = "unknown" if tokens_in is None and tokens_out is None else f"{tokens_in or 0:,} + {tokens_out or 0:,}"
    cells = (
        _when(started),
        shown(model or None),
        shown(operation),
        shown(host),
        shown(f"{outcome}: {error}" if error else outcome),
        "-" if duration is None else f"{duration:.2f} s",
        shown(attempts),
        tokens,
        format_usd(cost),
    )
    return Row(id=identity, cells=cells, tone=_TONES.get(outcome, "calm"))


def _when(moment: float | None) -> str:
    try:
        return datetime.fromtimestamp(moment or 0, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):  # a clock that was set wrong
        return shown(moment)
