"""One moment of a ledger, asked by several threads: SQLite lets Python's other threads run while it adds up."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Concatenate, Final, ParamSpec, TypeVar

from huddle_otel_exporters.ledger import reading

THREADS: Final = 2
"""Processors that a report takes at most: beside it an app may be running."""
_ENDS: Final = "SELECT (SELECT min(id) FROM calls), (SELECT max(id) FROM calls)"
"""What a batch that is written changes, and so does one that is trimmed."""
P = ParamSpec("P")
Answer = TypeVar("Answer")


class Snapshot:
    """Asks a ledger on a few connections, which all see it as it was when they began."""

    def __init__(self, connections: Sequence[sqlite3.Connection], threads: ThreadPoolExecutor) -> None:
        """Take connections that have begun to read, and as many threads."""
        self._threads = threads
        self._free = SimpleQueue[sqlite3.Connection]()
        for connection in connections:
            self._free.put(connection)

    def ask(
        self,
        question: Callable[Concatenate[sqlite3.Connection, P], Answer],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Future[Answer]:
        """Have a question answered in its turn, on one of the connections; its other arguments are passed on."""
        return self._threads.submit(self._answer, lambda connection: question(connection, *args, **kwargs))

    def _answer(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        connection = self._free.get()
        try:
            return question(connection)
        finally:
            self._free.put(connection)


@contextmanager
def snapshot(path: Path, *, threads: int = THREADS) -> Generator[Snapshot]:
    """Open a ledger as it is now, until the end of the block; what has not been answered by then is not asked.

    Args:
        path: The ledger.
        threads: How many ask at the same time, each on a processor of its own.

    Raises:
        LedgerError: There is none, or it cannot be read; also for what fails in the block.
    """
    with ExitStack() as stack:
        connections = [stack.enter_context(reading(path)) for _ in range(threads)]
        _begin(connections)
        pool = ThreadPoolExecutor(threads)
        stack.callback(pool.shutdown, cancel_futures=True)
        yield Snapshot(connections, pool)


def _begin(connections: Sequence[sqlite3.Connection]) -> None:
    """Begin to read at one moment; again, should a batch be written within the microseconds that this takes."""
    while len({_begun(connection) for connection in connections}) > 1:
        for connection in connections:
            connection.execute("ROLLBACK")


def _begun(connection: sqlite3.Connection) -> tuple[int | None, int | None]:
    """Begin to read, and return the first and the last row seen: a transaction begins with its first question."""
    connection.execute("BEGIN")
    first, last = connection.execute(_ENDS).fetchone()
    return first, last
