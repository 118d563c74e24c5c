"""Spend by day. A day that is over is added up once: only today and yesterday are read again."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huddle_otel.cli.report.figures import DAY
from huddle_otel.cli.report.ledger import _BILLED, IN, _money
from huddle_otel.spend.money import NANO
from huddle_otel_exporters.ledger import reading

_BACK: Final = 31
"""Whole days before today: the current month, and what its forecast rests on."""
_QUERY: Final = f"""
SELECT CAST(started / {DAY} AS INT), {_money("cost")}, sum(cost IS NULL AND {_BILLED}) FROM calls {IN} GROUP BY 1
"""  # noqa: S608 - SQL of ours


@dataclass(frozen=True, slots=True)
class Day:
    """What one cost."""

    cost: int
    """Nano-dollars."""
    unpriced: int
    """Calls that cost something nobody could price."""


class Days:
    """Reads the days a month's figures need. Safe for threads."""

    def __init__(self, path: Path) -> None:
        """Take the ledger."""
        self._path = path
        self._lock = threading.Lock()
        self._over: dict[int, Day] = {}
        self._read_to: int | None = None

    def read(self, now: float) -> dict[int, Day]:
        """Return day since 1970 (UTC) -> what it cost, for 31 whole days and today.

        A call belongs to the day it started on, and its row comes when it has ended: so yesterday is not over yet.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        today = int(now // DAY)
        with self._lock:
            since = today - _BACK if self._read_to is None else min(self._read_to, today - 1)
            with reading(self._path) as connection:
                rows = connection.execute(_QUERY, (since * DAY, now)).fetchall()
            found = {day: Day(dollars * NANO + nanos, unpriced or 0) for day, dollars, nanos, unpriced in rows}
            days = {day: figures for day, figures in (self._over | found).items() if day >= today - _BACK}
            self._over = {day: figures for day, figures in days.items() if day < today - 1}
            self._read_to = today - 1
            return days
