"""The ledger: every call a row, by real processes, on a file that is killed over, locked, full, damaged or foreign."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import stat
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any, Final

import pytest

from huddle_otel.events import CallRecord
from huddle_otel_exporters.delivery import DeliveryError, Sink, Trouble
from huddle_otel_exporters.ledger import LedgerError, default_path, file, open_reader
from huddle_otel_exporters.ledger.writer import BATCH, Calls, Writer
from tests.exporters.conftest import App, Run, warnings_of

DAY: Final = 86_400.0
RECORD: Final = CallRecord(
    started=time.time(),
    duration=1.5,
    first_chunk=0.5,
    operation="chat",
    model="gpt-4.1",
    response_model="gpt-4.1-2025-04-14",
    provider="openai",
    host="gru.huddle01.io",
    stream=True,
    outcome="ok",
    error_type=None,
    status=None,
    finish_reason="stop",
    attempts=2,
    waited=0.3,
    double_billing=False,
    answered=True,
    fell_back_from=None,
    input_tokens=12,
    output_tokens=8,
    cache_read_tokens=4,
    cache_write_tokens=0,
    reasoning_tokens=2,
    input_audio_tokens=3,
    input_image_tokens=1,
    output_audio_tokens=None,
    output_image_tokens=0,
    cost=88_000,
    cost_source="gateway",
    cost_input=24_000,
    cost_output=64_000,
    cost_cache_read=None,
    cost_cache_write=None,
    cost_estimate=90_000,
    request_id="req-1",
    response_id="chatcmpl-1",
    trace_id=0xABC,
    span_id=0xDEF,
    tags={"team": "search", "paid": True},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger will be."""
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    """A writer of this process's."""
    made = Writer(path)
    yield made
    made.shutdown()


def rows(path: Path, what: str = "*") -> list[Any]:
    """Read the ledger as a report does."""
    with closing(open_reader(path)) as connection:
        query = f"SELECT {what} FROM calls ORDER BY id"  # noqa: S608 - our own words
        return connection.execute(query).fetchall()


def sound(path: Path) -> bool:
    """Return what SQLite says of the file."""
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


# --- what a row is ----------------------------------------------------------------------------------------------------


def test_a_row_says_all_that_is_known_of_a_call(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    with closing(open_reader(path)) as connection:
        connection.row_factory = sqlite3.Row
        (row,) = connection.execute("SELECT * FROM calls")
    told = dict(row)
    assert told.pop("id") == 1
    assert told.pop("trace_id") == "00000000000000000000000000000abc"
    assert told.pop("span_id") == "0000000000000def"
    assert json.loads(told.pop("tags")) == {"team": "search", "paid": True}
    assert told == {name: getattr(RECORD, name) for name in told}
    assert len(told) == len(file.COLUMNS) - 3


def test_what_sqlite_cannot_hold_is_made_to_fit(writer: Writer, path: Path) -> None:
    odd = replace(
        RECORD, model="gpt-\ud800", input_tokens=2**70, tags={"team": "\udfff"}, trace_id=0, duration=float("nan")
    )
    writer.export([odd, replace(RECORD, tags={})])
    assert rows(path, "model, input_tokens, trace_id, duration, tags")[0] == (
        "gpt-?",
        None,
        None,
        None,
        '{"team": "\\udfff"}',
    )
    assert rows(path, "tags")[1] == (None,)


def test_only_its_user_may_read_it(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HUDDLE_OTEL_LEDGER", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "huddle-otel" / "ledger.db"
    monkeypatch.setenv("HUDDLE_OTEL_LEDGER", str(tmp_path / "mine.db"))
    assert default_path() == tmp_path / "mine.db"


# --- from an app ------------------------------------------------------------------------------------------------------


def test_an_app_writes_every_call(run: Run, path: Path) -> None:
    code = "import huddle_otel\npipeline = start('ledger')\nwith huddle_otel.tags(team='search'): call(3)"
    done = run(code, HUDDLE_OTEL_LEDGER=path)
    assert (
        rows(path, "model, outcome, input_tokens, output_tokens, cost, cost_source, tags")
        == [("gpt-4.1", "ok", 2, 8, 68_000, "gateway", '{"team": "search"}')] * 3
    )
    assert not warnings_of(done.stderr)
    content = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert b"hi there" not in content


def test_four_processes_write_one_ledger(app: App, path: Path) -> None:
    apps = [app("pipeline = start('ledger')\ncall(50)", HUDDLE_OTEL_LEDGER=path) for _ in range(4)]
    told = [each.communicate(timeout=60) for each in apps]
    assert [each.returncode for each in apps] == [0] * 4
    assert not [line for _, err in told for line in warnings_of(err)]
    assert rows(path, "count(*), sum(cost)") == [(200, 200 * 68_000)]
    assert sound(path)


def test_many_begin_one_ledger_at_once(tmp_path: Path) -> None:
    barrier = Barrier(8)

    def write(path: Path) -> int:
        writer = Writer(path)
        barrier.wait(30)
        writer.export([RECORD])  # raises when it takes a ledger half made for something else
        writer.shutdown()
        return 1

    with ThreadPoolExecutor(barrier.parties) as pool:
        for number in range(20):
            path = tmp_path / f"{number}.db"
            written = sum(pool.map(write, [path] * barrier.parties))
            assert rows(path, "count(*)") == [(written,)]


def test_a_fork_writes_its_own_and_nothing_of_its_parents(run: Run, path: Path) -> None:
    code = """
import os
pipeline = start("ledger"); call(3)
if not (child := os.fork()):
    call(2); delivered = pipeline.flush(10); os._exit(0 if delivered else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
call(1)
"""
    done = run(code, HUDDLE_OTEL_LEDGER=path)
    assert rows(path, "count(*), count(DISTINCT request_id)") == [(6, 6)]
    assert not warnings_of(done.stderr)


def test_a_killed_process_leaves_a_sound_ledger(app: App, path: Path) -> None:
    code = "pipeline = start('ledger')\nwhile True:\n    call(); pipeline.flush(5); say('written')"
    process = app(code, HUDDLE_OTEL_LEDGER=path)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert told == ["written\n"] * 20
    assert sound(path)
    ((count,),) = rows(path, "count(*)")
    assert count >= 20


# --- a file that cannot be used ---------------------------------------------------------------------------------------


@pytest.fixture
def calls(path: Path) -> Iterator[tuple[Calls, Sink]]:
    """A queue for at most 5 calls, and where its batches go; nothing runs by itself."""
    sink = Sink(lambda: Writer(path), Trouble("ledger", str(path), meanwhile="calls wait"))
    yield Calls(sink, limit=5), sink
    sink.close()


def write(queue: Calls) -> bool:
    """Make the worker's run here and now."""
    return queue._write()


def test_a_locked_file_is_waited_for_and_nothing_is_lost(
    calls: tuple[Calls, Sink], path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "BUSY", 0.01)
    caplog.set_level(logging.INFO, "huddle_otel")
    queue, sink = calls
    queue.add(RECORD)
    assert write(queue)
    sink.close()  # on a new connection it waits for no longer than this test says
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        queue.add(replace(RECORD, model="second"))
        queue.add(replace(RECORD, model="third"))
        assert [write(queue) for _ in range(3)] == [False] * 3
        other.execute("COMMIT")
    assert write(queue)
    assert rows(path, "model") == [("gpt-4.1",), ("second",), ("third",)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "database is locked" in caplog.records[0].message
    assert "calls wait" in caplog.records[0].message


def test_the_newest_calls_wait_for_a_file_that_cannot_be_written(calls: tuple[Calls, Sink], path: Path) -> None:
    queue, _ = calls
    path.parent.mkdir()
    path.mkdir()  # nothing can be written where a folder is
    for number in range(4):
        queue.add(replace(RECORD, attempts=number))
    assert not write(queue)
    for number in range(4, 8):
        queue.add(replace(RECORD, attempts=number))
    assert not write(queue)
    path.rmdir()
    assert write(queue)
    assert rows(path, "attempts") == [(number,) for number in range(3, 8)]


def test_a_full_queue_asks_for_a_run_once_and_not_with_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Calls(Sink(lambda: None, Trouble("ledger", "nowhere")), limit=2 * BATCH)
    asked: list[int] = []
    monkeypatch.setattr(queue.worker, "poke", lambda: asked.append(1))
    for _ in range(2 * BATCH + 100):
        queue.add(RECORD)
    assert len(asked) == 2


def test_a_damaged_file_in_the_place_of_a_good_one_is_set_aside(writer: Writer, path: Path) -> None:
    writer.export([RECORD] * 100)
    assert writer._connection is not None
    writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = path.with_name("good.db")
    for suffix in ("", "-wal", "-shm"):  # a log left behind would mend the file
        path.with_name(path.name + suffix).rename(good.with_name(good.name + suffix))
    content = bytearray(good.read_bytes())
    content[200:] = b"\xff" * (len(content) - 200)
    path.write_bytes(content)
    with pytest.raises(DeliveryError):
        writer.export([RECORD])
    writer.export([RECORD])
    assert rows(path, "count(*)") == [(1,)]
    assert [each.read_bytes() for each in path.parent.glob("ledger.db.corrupt-*")] == [bytes(content)]


def test_a_full_disk_loses_nothing_that_was_written(writer: Writer, path: Path) -> None:
    writer.export([RECORD] * 10)
    connection = writer._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DeliveryError, match="full"):
        writer.export([RECORD] * 1000)
    assert rows(path, "count(*)") == [(10,)]
    writer.export([RECORD] * 1000)  # on a connection without the bound, as after making room
    assert rows(path, "count(*)") == [(1010,)]
    assert sound(path)


def test_a_file_of_another_program_is_left_alone(writer: Writer, path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(DeliveryError, match="database of another program"):
        writer.export([RECORD])
    with pytest.raises(LedgerError, match="database of another program"):
        open_reader(path)
    assert path.read_bytes() == before
    path.write_text("dear diary, " * 100)
    with pytest.raises(DeliveryError, match="not a ledger"):
        writer.export([RECORD])
    with pytest.raises(LedgerError, match="not a ledger"):
        open_reader(path)
    assert path.read_text() == "dear diary, " * 100


def test_a_newer_schema_is_left_alone(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    writer.shutdown()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {len(file.MIGRATIONS) + 1}")
    with pytest.raises(DeliveryError, match="schema version 4, and this huddle-otel knows 3"):
        writer.export([RECORD])
    with pytest.raises(LedgerError, match="upgrade it"):
        open_reader(path)


def test_an_older_schema_is_brought_up_to_date(writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.export([RECORD])
    writer.shutdown()
    monkeypatch.setattr(file, "MIGRATIONS", (*file.MIGRATIONS, "ALTER TABLE calls ADD COLUMN later TEXT"))
    with pytest.raises(LedgerError, match="a process that writes to the ledger brings it up to date"):
        open_reader(path)
    writer.export([RECORD])
    assert rows(path, "model, later") == [("gpt-4.1", None)] * 2


@contextmanager
def of_version(version: int, path: Path) -> Generator[sqlite3.Connection]:
    """Make a ledger as an earlier release did."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as old:
        old.executescript(";".join(file.MIGRATIONS[:version]))
        old.execute(f"PRAGMA application_id = {file.APPLICATION_ID}")
        old.execute(f"PRAGMA user_version = {version}")
        yield old
        old.commit()


def test_the_first_schema_is_brought_up_to_date_with_nothing_lost(writer: Writer, path: Path) -> None:
    with of_version(1, path) as old:
        before = {name for _, name, *_ in old.execute("PRAGMA table_info(calls)")}
        old.execute(
            "INSERT INTO calls (model, started, input_tokens, cost) VALUES ('old', ?, 12, 88000)", [RECORD.started]
        )
    with pytest.raises(LedgerError, match="schema version 1, and this huddle-otel reads 3"):
        open_reader(path)
    added = set(file.COLUMNS) - before
    second = {"input_audio_tokens", "input_image_tokens", "output_audio_tokens", "output_image_tokens"}
    assert added == second | {"finish_reason"}
    writer.export([RECORD])
    told = "model, input_tokens, cost, input_audio_tokens, input_image_tokens, output_audio_tokens, output_image_tokens"
    assert rows(path, told) == [("old", 12, 88_000, None, None, None, None), ("gpt-4.1", 12, 88_000, 3, 1, None, 0)]
    assert sound(path)


def test_the_second_schema_is_brought_up_to_date_with_nothing_lost(writer: Writer, path: Path) -> None:
    with of_version(2, path) as old:
        old.execute("INSERT INTO calls (model, started, cost) VALUES ('old', ?, 88000)", [RECORD.started])
    with pytest.raises(LedgerError, match="schema version 2, and this huddle-otel reads 3"):
        open_reader(path)
    writer.export([replace(RECORD, finish_reason="length")])
    assert rows(path, "model, cost, finish_reason") == [("old", 88_000, None), ("gpt-4.1", 88_000, "length")]
    assert sound(path)


def test_no_ledger_yet_says_how_to_get_one(path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger yet"):
        open_reader(path)
    assert not path.exists()


def test_a_damaged_ledger_is_set_aside(writer: Writer, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer.export([RECORD] * 2000)
    writer.shutdown()
    content = bytearray(path.read_bytes())
    content[200:] = b"\xff" * (len(content) - 200)
    path.write_bytes(content)
    with pytest.raises(DeliveryError):
        writer.export([RECORD])
    writer.export([RECORD])
    assert rows(path, "count(*)") == [(1,)]
    (aside,) = path.parent.glob("ledger.db.corrupt-*")
    assert aside.read_bytes() == bytes(content)
    assert str(aside) in caplog.text


def test_a_ledger_that_is_removed_is_made_anew(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    for each in path.parent.iterdir():
        each.unlink()
    writer.export([RECORD, RECORD])
    assert rows(path, "count(*)") == [(2,)]


# --- bounds -----------------------------------------------------------------------------------------------------------


class Clock:
    """The wall's and a steady clock, both by hand."""

    def __init__(self) -> None:
        """Begin now."""
        self.wall, self.steady = time.time(), 0.0

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.steady += seconds


@contextmanager
def closing_writer(path: Path, clock: Clock) -> Generator[Writer]:
    """Return a writer on a clock, closed at the end."""
    writer = Writer(path, wall=lambda: clock.wall, monotonic=lambda: clock.steady)
    yield writer
    writer.shutdown()


def test_old_rows_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_LEDGER_DAYS", "7")
    clock = Clock()
    with closing_writer(path, clock) as writer:
        writer.export([replace(RECORD, started=clock.wall - age * DAY) for age in (100, 8, 6, 0)])
        assert rows(path, "count(*)") == [(2,)]
        clock.pass_by(2 * DAY)
        writer.export([replace(RECORD, started=clock.wall)])
        assert rows(path, "count(*)") == [(2,)]


def test_a_clock_set_wrong_deletes_nothing(path: Path) -> None:
    clock = Clock()
    with closing_writer(path, clock) as writer:
        writer.export([replace(RECORD, started=clock.wall)])
        clock.wall += 1000 * DAY
        clock.steady += 7200
        writer.export([replace(RECORD, started=clock.wall)])
        assert rows(path, "count(*)") == [(2,)]


def test_the_oldest_rows_go_when_the_file_is_too_large(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_LEDGER_MB", "4")
    clock = Clock()
    with closing_writer(path, clock) as writer:
        writer.export([replace(RECORD, started=clock.wall)])
        clock.pass_by(60)
        for number in range(40):
            writer.export([replace(RECORD, started=clock.wall, attempts=number)] * 1000)
        clock.pass_by(7200)
        writer.export([replace(RECORD, started=clock.wall, attempts=99)])
    assert path.stat().st_size < 5 * 2**20
    left = rows(path, "min(attempts), max(attempts)")
    assert left[0][0] > 0
    assert left[0][1] == 99


def test_a_reader_cannot_write(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    with closing(open_reader(path)) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM calls")
    assert os.access(path, os.W_OK)
