"""Ended calls wait in a bounded queue for the one thread of this process that writes them to the file."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace.export import SpanExportResult

from huddle_otel.events import CallRecord
from huddle_otel_exporters.delivery import DeliveryError, Sink, Trouble
from huddle_otel_exporters.environment import number
from huddle_otel_exporters.ledger import file
from huddle_otel_exporters.part import Part
from huddle_otel_exporters.worker import Worker

_LOG: Final = logging.getLogger("huddle_otel")
EVERY: Final = 1.0
"""Seconds between writes: what a killed process loses at most."""
QUEUE: Final = 50_000
"""Calls that wait for a file that cannot be written; then the oldest are lost."""
BATCH: Final = 2_000
"""Rows of one transaction."""
TRIM_EVERY: Final = 3600.0
"""Seconds between looks at the ledger's age and size."""
DAYS: Final = 90.0
"""Days a row is kept, unless `HUDDLE_OTEL_LEDGER_DAYS` says otherwise."""
MEBIBYTES: Final = 1024.0
"""Size the file is held to, unless `HUDDLE_OTEL_LEDGER_MB` says otherwise."""
_DAY: Final = 86_400.0
_CHUNK: Final = 10_000
"""Rows deleted in one transaction, so that no other process waits long."""
_QUIESCE: Final = 0.2
"""Seconds a fork waits at most for a batch that is being written: one takes milliseconds."""
_INT: Final = 2**63
_INSERT: Final = f"INSERT INTO calls ({', '.join(file.COLUMNS)}) VALUES ({', '.join('?' * len(file.COLUMNS))})"  # noqa: S608 - names of ours
Now = Callable[[], float]


def part(path: Path | None = None) -> Part:
    """Build the ledger's part of a pipeline. The file is opened with the first row."""
    path = path or file.default_path()
    trouble = Trouble("ledger", str(path), meanwhile=f"the newest {QUEUE:,} calls wait in memory")
    sink = Sink(lambda: Writer(path), trouble)
    calls = Calls(sink)
    return Part(ledger=calls.add, sinks=(sink,), workers=(calls.worker,), in_child=calls.in_child)


class Calls:
    """The queue. A call that ends only appends to a deque; rows are made on the worker's thread."""

    def __init__(self, sink: Sink, *, limit: int = QUEUE) -> None:
        """Take where batches go, and how many calls may wait."""
        self._sink = sink
        self._queue: deque[CallRecord] = deque(maxlen=limit)
        self.worker = Worker("huddle-otel-ledger", self._write, every=EVERY)

    def add(self, record: CallRecord) -> None:
        """Take an ended call."""
        queue = self._queue
        waiting = len(queue)
        queue.append(record)
        if not (waiting + 1) % BATCH and waiting != queue.maxlen:  # a full queue would ask for a run with every call
            self.worker.poke()

    def in_child(self) -> None:
        """Forget the parent's calls: the parent writes them."""
        self._queue = deque(maxlen=self._queue.maxlen)

    def _write(self) -> bool:
        queue = self._queue
        while queue:
            batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
            if not self._sink.send(batch):
                room = (queue.maxlen or 0) - len(queue)  # what came meanwhile is newer, and stays
                queue.extendleft(reversed(batch[-room:] if room else []))
                return False
        return True


class Writer:
    """Writes batches to the file, and holds it to its age and size. What the SDK calls an exporter."""

    def __init__(self, path: Path, *, wall: Now = time.time, monotonic: Now = time.monotonic) -> None:
        """Take the path and the clocks, s. Nothing is opened."""
        self._path, self._wall, self._monotonic = path, wall, monotonic
        self._days = number("HUDDLE_OTEL_LEDGER_DAYS", DAYS)
        self._bytes = number("HUDDLE_OTEL_LEDGER_MB", MEBIBYTES) * 2**20
        self._busy = threading.Lock()
        self._held = False
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._offset = wall() - monotonic()
        self._trimmed = -TRIM_EVERY
        _alive.add(self)

    def export(self, records: Iterable[CallRecord]) -> SpanExportResult:
        """Write a batch: all of it, or nothing.

        Raises:
            DeliveryError: The file is not a ledger, or of a newer schema, or cannot be written now.
        """
        rows = [_row(record) for record in records]
        with self._busy:
            try:
                self._insert(rows)
            except (sqlite3.Error, OSError, file.LedgerError) as error:
                self._gave_up(error)
                raise DeliveryError(_why(error)) from error
            try:
                self._trim()
            except (sqlite3.Error, OSError) as error:  # the batch is written: it must not be sent again
                self._gave_up(error)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file; one that is being written when an exit can wait no longer is left to SQLite's own log."""
        if self._busy.acquire(blocking=False):
            self._close()
            self._busy.release()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        """Return the connection to the file that has this path now: one may be removed or replaced under us."""
        try:
            inode = self._path.stat().st_ino
        except OSError:
            inode = -1
        if self._connection is None or inode != self._inode:
            self._close()
            self._inode = 0  # not the old file's, should the new one turn out damaged
            self._connection = file.open_writer(self._path)
            self._inode = self._path.stat().st_ino
        return self._connection

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT, rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _gave_up(self, error: Exception) -> None:
        """Close the file; give a damaged one another name, so that the next batch begins a new one."""
        damaged = isinstance(error, file.CorruptLedgerError) or (
            isinstance(error, sqlite3.Error) and file.is_corrupt(error)
        )
        self._close()
        if damaged:
            aside = file.set_aside(self._path, inode=self._inode or self._path.stat().st_ino, now=self._wall())
            if aside is not None:
                _LOG.warning("huddle_otel: the ledger was damaged; it is now %s, and a new one begins", aside)

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close the file until the fork is over.

        A child inherits SQLite's memory of its locks and not the locks. With the file open, the child would take it for
        locked, and the parent, when it closes the file, would delete the log that the child goes on writing to.
        """
        self._held = self._busy.acquire(timeout=_QUIESCE)
        if self._held:
            self._close()

    def after_fork(self) -> None:
        """Go on in the parent."""
        if self._held:
            self._held = False
            self._busy.release()

    def in_child(self) -> None:
        """Go on in the child, with a lock of its own."""
        self._busy, self._held = threading.Lock(), False

    # --- age and size -------------------------------------------------------------------------------------------------

    def _trim(self) -> None:
        now, connection = self._monotonic(), self._connection
        if connection is None or now - self._trimmed < TRIM_EVERY:
            return
        self._trimmed = now
        jumped = abs(self._wall() - now - self._offset) > _DAY
        if not jumped:  # a clock set wrong must not delete the past
            _delete(connection, "started < ?", self._wall() - self._days * _DAY)
        while _size(connection) > self._bytes:
            oldest = "SELECT max(id) FROM (SELECT id FROM calls ORDER BY id LIMIT ?)"
            (last,) = connection.execute(oldest, (_CHUNK,)).fetchone()
            if last is None:
                break
            _delete(connection, "id <= ?", last)
        connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # only now does the file get smaller


_alive: Final[weakref.WeakSet[Writer]] = weakref.WeakSet()


def _each(action: Callable[[Writer], None]) -> Callable[[], None]:
    """Return a function that does this for every writer of the process."""

    def act() -> None:
        for writer in tuple(_alive):
            action(writer)

    return act


os.register_at_fork(
    before=_each(Writer.before_fork),
    after_in_parent=_each(Writer.after_fork),
    after_in_child=_each(Writer.in_child),
)


def _delete(connection: sqlite3.Connection, condition: str, value: float) -> None:
    chunk = f"DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE {condition} LIMIT {_CHUNK})"  # noqa: S608 - conditions of ours
    while connection.execute(chunk, (value,)).rowcount == _CHUNK:
        pass


def _size(connection: sqlite3.Connection) -> int:
    """Return bytes in use; free pages are given back afterwards."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _row(record: CallRecord) -> tuple[Any, ...]:
    values = [_fitting(getattr(record, name)) for name in file.COLUMNS[:-3]]  # the last three are shaped here
    trace, span = record.trace_id, record.span_id
    tags = json.dumps(dict(record.tags), default=str, sort_keys=True) if record.tags else None
    return (*values, f"{trace:032x}" if trace else None, f"{span:016x}" if span else None, tags)


def _fitting(value: Any) -> Any:
    """Return what SQLite can hold: lone surrogates are replaced, numbers beyond 64 bits are unknown.

    Of any other kind there should be nothing; as it is, it would hold up every row behind it.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return value if -_INT <= value < _INT else None
    return value if value is None or isinstance(value, float) else _fitting(str(value))


def _why(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
