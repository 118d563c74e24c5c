"""One moment of a ledger, on several threads, while calls are written; and the figures that a table leaves out."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, Final

import pytest

from huddle_otel.cli.report import columns, ledger, snapshot
from huddle_otel.cli.report.period import Period
from huddle_otel_exporters.ledger import LedgerError
from tests.cli.serving import put
from tests.cli.test_cli_report import some
from tests.exporters.test_ledger import RECORD

NOW: Final = time.time()
BATCH: Final = 10


@contextmanager
def filling(path: Path) -> Iterator[None]:
    """Write batches of calls without a pause until the end of the block; every call of the nth costs n."""
    done = threading.Event()

    def fill() -> None:
        number = 1
        while not done.is_set():
            number += 1
            put(path, *[replace(RECORD, started=NOW - 60, cost=number)] * BATCH)

    put(path, *[replace(RECORD, started=NOW - 60, cost=1)] * BATCH)
    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def newest(connection: sqlite3.Connection, together: Barrier) -> int:
    """Return the last row seen, once another thread asks too."""
    together.wait(10)
    (number,) = connection.execute("SELECT max(id) FROM calls").fetchone()
    return int(number)


def test_all_figures_of_a_report_are_of_one_moment(path: Path) -> None:
    seen = set[int]()
    with filling(path):
        while len(seen) < 5:
            report = ledger.read(path, Period(NOW - 3600, NOW), by=("model",), top=1, now=NOW)
            batches, rest = divmod(report.total.calls, BATCH)
            assert rest == 0
            assert report.top[0].cost == batches
            assert report.total.cost == BATCH * batches * (batches + 1) // 2
            seen.add(batches)


def test_all_threads_see_the_same_whatever_is_written_meanwhile(path: Path) -> None:
    with filling(path):
        for _ in range(50):
            together = Barrier(2)
            with snapshot.snapshot(path) as moment:
                first, second = moment.ask(newest, together), moment.ask(newest, together)
                assert first.result() == second.result()


def test_a_batch_that_comes_between_two_beginnings_makes_both_begin_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, RECORD)
    begun, between = snapshot._begun, [RECORD, RECORD]

    def interrupted(connection: sqlite3.Connection) -> Any:
        told = begun(connection)
        if between:
            put(path, between.pop())
        return told

    monkeypatch.setattr(snapshot, "_begun", interrupted)
    together = Barrier(2)
    with snapshot.snapshot(path) as moment:
        put(path, RECORD)
        told = [moment.ask(newest, together), moment.ask(newest, together)]
        assert [each.result() for each in told] == [3, 3]
    assert between == []


def test_what_fails_on_a_thread_is_explained(path: Path) -> None:
    put(path, RECORD)
    with pytest.raises(LedgerError, match="cannot be used now"), snapshot.snapshot(path) as moment:
        moment.ask(lambda connection: connection.execute("SELECT nothing FROM nowhere")).result()
    with closing(sqlite3.connect(path)) as other:  # nothing holds the file any more
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def test_a_table_knows_what_it_left_out(write: Any, path: Path) -> None:
    write(*some(500))
    period = Period(NOW - 3 * 86_400, NOW)
    whole, table = (
        ledger.read(path, period, by=("model",), top=2, now=NOW, everything=everything) for everything in (True, False)
    )
    left_out = {
        *("attempts", "split", "cost_input", "cost_output", "cost_cache_read", "cost_cache_write"),
        *("first_chunk_p50", "first_chunk_p95", "first_chunk_p99"),
    }
    for key, group in whole.groups.items():
        full, told = columns.record(group), columns.record(table.groups[key], table.unknown)
        assert {name for name, value in told.items() if value is None and full[name] is not None} >= left_out
        same = set(full) - left_out - {name for name in ledger.TOKENS if name not in {"input_tokens", "output_tokens"}}
        assert {name: told[name] for name in same} == {name: full[name] for name in same}
    assert (table.top, table.forecast, table.total.cost) == (whole.top, whole.forecast, whole.total.cost)
