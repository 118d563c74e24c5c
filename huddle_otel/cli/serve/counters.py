"""The ledger as counters that only rise, whatever is trimmed at its old end: rows are followed by their ids.

Counting begins at 0 with the process, as any exporter's does, so a restart is what Prometheus takes it for. Adding up
the whole ledger instead would fall when old rows go, and Prometheus would take all the rest for new spend.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huddle_otel.cli.serve.measures import COUNTED, MEASURED, Call, Labels, changes, labels_of, values
from huddle_otel.cli.serve.position import Position
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel.telemetry.metrics import MAX_MODELS
from huddle_otel_exporters.ledger import reading

KNOWN: Final = 20_000
"""Rows before the start whose series begin at 0: what appears with its first call, `increase()` does not see."""
TAG_SETS: Final = 200
"""Sets of tags with series of their own, as many as models; what any app may make up must not grow without an end."""
_ROWS: Final = f"SELECT id, started, {', '.join(Call._fields)} FROM calls WHERE id > ? ORDER BY id"  # noqa: S608 - names of ours


@dataclass(slots=True)
class Histogram:
    """Calls by bucket."""

    counts: list[int]
    total: float = 0.0


class Counters:
    """Follows a ledger. Safe for threads."""

    def __init__(self, path: Path, *, tags: tuple[str, ...] = ()) -> None:
        """Take the ledger, and the tags to tell spend and tokens by; nothing is read yet."""
        self._path, self._tags = path, tags
        self.lock = threading.RLock()
        """Held while rows are counted: who holds it sees no half of a call."""
        self._models: set[str] = set()
        self._tag_sets: set[Labels] = set()
        self._position: Position | None = None
        """None before counting begins."""
        self.sums: dict[Metric, dict[Labels, float]] = {metric: {} for metric in COUNTED}
        self.histograms: dict[Metric, dict[Labels, Histogram]] = {metric: {} for metric in MEASURED}

    def begin(self) -> None:
        """Start to count after the newest row. A ledger that is not there yet will be counted from its first.

        Raises:
            LedgerError: It is there, and cannot be read.
        """
        with self.lock:
            if not self._path.exists():
                self._position = Position()
                return
            with reading(self._path) as connection:
                end = Position.at_end(self._path, connection)
                self._count(connection, Position(end.inode, end.id - KNOWN), times=0)

    def catch_up(self) -> None:
        """Count the rows that are new. A file that was emptied, or replaced, is counted from its first, on top.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        if self._position is None:
            self.begin()
        with self.lock:
            if not self._path.exists():
                return
            with reading(self._path) as connection:
                position = self._position or Position()
                if not position.holds(self._path, connection):
                    position = Position(self._path.stat().st_ino)
                self._count(connection, position, times=1)

    def _count(self, connection: sqlite3.Connection, position: Position, *, times: int) -> None:
        """Count the calls after a position in; with `times` 0 only make their series."""
        self._position = position
        for identity, started, *columns in connection.execute(_ROWS, (position.id,)):
            call = Call(*columns)
            model, response_model = self._model(call.model), self._model(call.response_model)
            self._add(call._replace(model=model, response_model=response_model), times)
            # at every row: one is counted once, even when reading on fails
            self._position = Position(position.inode, identity, started)

    def _add(self, call: Call, times: int) -> None:
        for metric, labels, amount in changes(call, self._tagged(call.tags)):
            series = self.sums[metric]
            series[labels] = series.get(labels, 0) + amount * times
        for metric, labels, value in values(call):
            series_of = self.histograms[metric]
            histogram = series_of.get(labels)
            if histogram is None:
                histogram = series_of[labels] = Histogram([0] * (len(metric.buckets) + 1))
            histogram.counts[bisect_left(metric.buckets, value)] += times
            histogram.total += value * times

    def _model(self, name: str | None) -> str:
        """Return a model's name as metrics show it: its own for the first `MAX_MODELS`, then `other`."""
        if not name or name in self._models:
            return name or ""
        if len(self._models) >= MAX_MODELS:
            return contract.OTHER_MODEL
        self._models.add(name)
        return name

    def _tagged(self, text: str | None) -> Labels:
        """Return a call's tags as labels, of those that are asked for; beyond `TAG_SETS` sets, each is `other`."""
        found = labels_of(text, self._tags) if self._tags and text else ()
        if found in self._tag_sets or not found:
            return found
        if len(self._tag_sets) >= TAG_SETS:
            return tuple((name, contract.OTHER_MODEL) for name, _ in found)
        self._tag_sets.add(found)
        return found
