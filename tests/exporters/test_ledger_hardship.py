"""What a ledger lives through: forks that outlive their parents, migrations at once, a full disk, a slow reader."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from huddle_otel_exporters.ledger import file, open_reader
from huddle_otel_exporters.ledger.writer import Writer
from tests.exporters.conftest import App, Run, warnings_of
from tests.exporters.test_ledger import RECORD, path, rows, sound, writer

__all__ = ["path", "writer"]  # fixtures

OUTLIVING = """
import os, time
pipeline = start("ledger"); call(3); pipeline.flush(5)
parent = os.getpid()
written, told = os.pipe()
if not os.fork():
    call(2); pipeline.flush(5); os.write(told, b"!")
    until = time.monotonic() + 30
    while os.getppid() == parent and time.monotonic() < until:
        time.sleep(0.01)
    call(4); os._exit(0 if pipeline.flush(5) else 3)
os.read(written, 1)
"""


def test_a_child_that_outlives_its_parent_goes_on_writing(run: Run, path: Path) -> None:
    """The parent closes the file while the child has it open: it must not take the child's log away."""
    done = run(OUTLIVING, HUDDLE_OTEL_LEDGER=path)
    assert rows(path, "count(*), count(DISTINCT request_id)") == [(9, 9)]
    assert not warnings_of(done.stderr)
    assert sound(path)


def test_a_parent_goes_on_after_a_child_that_exits_as_usual(run: Run, path: Path) -> None:
    """The child tears its interpreter down, and everything it has inherited."""
    code = """
import os, sys
pipeline = start("ledger"); call(3); pipeline.flush(5)
if not (child := os.fork()):
    call(2); sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
call(4)
"""
    done = run(code, HUDDLE_OTEL_LEDGER=path)
    assert rows(path, "count(*), count(DISTINCT request_id)") == [(9, 9)]
    assert not warnings_of(done.stderr)
    assert sound(path)


def test_a_fork_does_not_wait_for_a_batch_that_hangs(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    with writer._busy:
        writer.before_fork()
        writer.after_fork()
    writer.export([RECORD])
    assert rows(path, "count(*)") == [(2,)]


def test_four_processes_bring_an_old_ledger_up_to_date_at_once(app: App, writer: Writer, path: Path) -> None:
    writer.export([RECORD] * 50)
    writer.shutdown()
    code = """
from huddle_otel_exporters.ledger import file
file.MIGRATIONS = (*file.MIGRATIONS, "ALTER TABLE calls ADD COLUMN later TEXT")
pipeline = start("ledger"); say("ready"); input(); call(5)
"""
    apps = [app(code, HUDDLE_OTEL_LEDGER=path) for _ in range(4)]
    for each in apps:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    told = [each.communicate("go\n", timeout=60) for each in apps]
    assert [each.returncode for each in apps] == [0] * 4
    assert not [line for _, err in told for line in warnings_of(err)]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(file.MIGRATIONS) + 1,)
        assert connection.execute("SELECT count(*), count(later) FROM calls").fetchone() == (70, 0)


def test_a_full_disk_is_waited_for_and_nothing_is_lost_or_written_twice(run: Run, path: Path) -> None:
    """A real refusal of the system's: the file may not grow, then it may."""
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
pipeline = start("ledger"); call(1); assert pipeline.flush(5)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
call(40); assert not pipeline.flush(5); assert not pipeline.flush(5)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
call(1); assert pipeline.flush(5)
"""
    done = run(code, HUDDLE_OTEL_LEDGER=path)
    assert rows(path, "count(*), count(DISTINCT request_id)") == [(42, 42)]
    assert len(warnings_of(done.stderr)) == 1
    assert sound(path)


def test_a_maker_killed_before_it_could_turn_the_log_on_is_made_up_for(writer: Writer, path: Path) -> None:
    writer.export([RECORD])
    writer.shutdown()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    writer.export([RECORD])
    with closing(open_reader(path)) as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_log_grown_behind_a_slow_reader_shrinks_again(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "LOG_BYTES", 2**20)
    writer.export([RECORD])
    log = path.with_name(path.name + "-wal")
    with closing(open_reader(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        for _ in range(12):
            writer.export([RECORD] * 2000)
        assert log.stat().st_size > 4 * 2**20
    for _ in range(2):  # the first moves the log into the file, the second begins it anew
        writer.export([RECORD] * 10)
    assert log.stat().st_size <= 2**20
    assert rows(path, "count(*)") == [(24_021,)]


def test_a_value_of_a_kind_that_should_not_be_holds_no_row_up(writer: Writer, path: Path) -> None:
    odd: Any = ("a", "b")
    writer.export([replace(RECORD, status=odd), RECORD])
    assert rows(path, "status") == [("('a', 'b')",), (None,)]
