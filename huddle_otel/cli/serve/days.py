"""Spend by day, added up as rows come: after the first time, a look at the month reads only what is new."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huddle_otel.cli.report.figures import DAY
from huddle_otel.cli.report.ledger import BILLED
from huddle_otel.cli.serve.position import Position
from huddle_otel.spend.money import NANO
from huddle_otel_exporters.ledger import reading

_BACK: Final = 31
"""Whole days before today: the current month, and what its forecast rests on."""
_COST: Final = f"ifnull(sum(cost / {NANO}), 0), ifnull(sum(cost % {NANO}), 0)"
"""In two parts, since SQLite's own sum fails past 64 bits."""
_SUMS: Final = f"count(*), {_COST}, sum(cost IS NULL AND {BILLED})"
_DAY: Final = f"SELECT {_SUMS} FROM calls WHERE started >= ? AND started < ? AND +id <= ?"  # noqa: S608 - SQL of ours
"""Of one day: a question for each needs no sorting, which would take most of the time."""
_NEW: Final = f"SELECT CAST(started / {DAY} AS INT), {_SUMS} FROM calls WHERE id > ? AND id <= ? GROUP BY 1"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Day:
    """What one cost."""

    cost: int = 0
    """Nano-dollars."""
    unpriced: int = 0
    """Calls that cost something nobody could price."""

    @property
    def known_cost(self) -> int | None:
        """Return the cost; None when all there is to know is that something cost."""
        return self.cost if self.cost or not self.unpriced else None

    def __add__(self, other: Day) -> Day:
        """Add another's calls."""
        return Day(self.cost + other.cost, self.unpriced + other.unpriced)


class Days:
    """Reads the days a month's figures need. Safe for threads."""

    def __init__(self, path: Path) -> None:
        """Take the ledger."""
        self._path = path
        self._lock = threading.Lock()
        self._position = Position()
        self._days: dict[int, Day] = {}

    def read(self, now: float) -> dict[int, Day]:
        """Return day since 1970 (UTC) -> what it cost, for 31 whole days and today; a call is its start's day's.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        today = int(now // DAY)
        with self._lock:
            with reading(self._path) as connection:
                if not self._position.holds(self._path, connection):
                    self._position, self._days = Position(), {}
                end = Position.at_end(self._path, connection)
                if self._position.id:
                    rows = connection.execute(_NEW, (self._position.id, end.id)).fetchall()
                else:
                    days = range(today - _BACK, today + 2)  # clocks may differ
                    bounds = ((day, (day * DAY, (day + 1) * DAY, end.id)) for day in days)
                    rows = [(day, *connection.execute(_DAY, bound).fetchone()) for day, bound in bounds]
            self._position = end
            for day, calls, dollars, nanos, unpriced in rows:
                if calls and day is not None:
                    self._days[day] = self._days.get(day, Day()) + Day(dollars * NANO + nanos, unpriced)
            self._days = {day: figures for day, figures in self._days.items() if day >= today - _BACK}
            return {day: figures for day, figures in self._days.items() if day <= today}
