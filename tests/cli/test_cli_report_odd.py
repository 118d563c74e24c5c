"""`huddle-otel report` on real bad days, on damaged and foreign files, on clocks that jump, and on absurd questions."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from huddle_otel.cli.report import figures, ledger
from huddle_otel.cli.report.figures import DAY, ReportError
from huddle_otel.cli.report.period import Period
from tests.cli.report_support import bad_day
from tests.exporters.test_ledger import RECORD

if TYPE_CHECKING:
    from tests.cli.conftest import Command

NOW: Final = time.time()


# --- what costs without a whole answer --------------------------------------------------------------------------------


def test_every_way_to_pay_without_an_answer_shows(command: Command, path: Path) -> None:
    with bad_day(path):
        pass
    done = command("report", "--ledger", str(path))
    told = [line.split() for line in done.out.splitlines()]
    for outcome in ("error", "truncated", "cancelled", "abandoned"):
        assert [outcome, "1", "unknown", "1"] in told
    assert ["perhaps", "billed", "twice", "1", "unknown", "1"] in told
    assert ["gpt-5", "1", "0%", "$0.00", "-", "0"] in [line[:6] for line in told]  # refused before any work
    assert "Not in it: 5 calls that cost something nobody could price." in done.out
    total = json.loads(command("report", "--ledger", str(path), "--format", "json").out)["total"]
    assert (total["calls"], total["ok"], total["attempts"], total["cost"]) == (12, 7, 13, 411_600)
    assert (total["cost_reported"], total["cost_estimated"], total["difference"]) == (411_600, 0, 0)
    assert (total["wasted_calls"], total["wasted"], total["wasted_unpriced"]) == (4, None, 4)
    assert (total["first_chunk_p50"] > 0, total["cost_input"], total["split"]) == (True, None, 0)


def test_waste_is_told_apart_by_outcome(command: Command, write: Any, path: Path) -> None:
    call = replace(RECORD, started=NOW - 60)
    write(
        replace(call, outcome="cancelled", cost=30_000_000),
        replace(call, outcome="cancelled", cost=None),
        replace(call, outcome="error", error_type="read_timeout", cost=None),
        replace(call, outcome="error", error_type="400", answered=False, cost=None),
        replace(call, outcome="rejected", error_type="breaker_open", answered=False, attempts=0, cost=None),
    )
    done = command("report", "--ledger", str(path))
    told = [line.split() for line in done.out.splitlines()]
    assert ["cancelled", "2", "$0.03", "1"] in told
    assert ["error", "1", "unknown", "1"] in told
    assert "Wasted: $0.03 on 3 calls without a whole answer, 2 of them at an unknown price." in done.out
    assert "abandoned" not in done.out
    done = command("report", "--ledger", str(path), "--format", "md")
    assert "| cancelled | 2 | $0.03 | 1 |" in done.out


def test_the_wide_table_holds_every_figure(command: Command, write: Any, path: Path) -> None:
    write(replace(RECORD, started=NOW - 60), replace(RECORD, started=NOW - 60, cost_source="catalogue", attempts=1))
    done = command("report", "--ledger", str(path), "--wide", "--by", "team,stream")
    heading = next(line for line in done.out.splitlines() if line.startswith("team"))
    assert "calls ok tries spend reported estimated unpriced rep-est wasted tokens in cached out" in " ".join(
        heading.split()
    )
    row = next(line.split() for line in done.out.splitlines() if line.startswith("search"))
    assert row[2:12] == ["2", "100%", "1.50", "$0.000176", "$0.000088", "$0.000088", "-", "-$0.000002", "-", "40"]
    assert row[12:] == ["24", "8", "16", "1.55", "1.55", "1.55", "0.51", "0.51", "0.51"]


# --- files that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["--format=table", "--format=json", "--focus", "--advice"])
def test_a_damaged_or_foreign_or_newer_file_is_explained(command: Command, write: Any, path: Path, form: str) -> None:
    write(*[replace(RECORD, started=NOW - 60)] * 500)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound = path.read_bytes()
    newer = sound[:60] + (999).to_bytes(4, "big") + sound[64:]
    damaged = sound[:8192] + b"\xff" * (len(sound) - 8192)
    for content, why in (
        (newer, "schema version 999"),
        (damaged, "the ledger is damaged"),
        (b"SQLite, not at all" * 100, "not a ledger"),
    ):
        file = path.with_name(f"{why[:5]}.db")
        file.write_bytes(content)
        done = command("report", "--ledger", str(file), form)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert why in done.err
        assert file.read_bytes() == content
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    assert "a database of another program" in command("report", "--ledger", str(other), form).err
    assert "there is no ledger yet" in command("report", "--ledger", str(path.parent / "none.db"), form).err


@pytest.mark.parametrize("form", ["table", "wide", "json", "csv", "md", "focus"])
def test_rows_that_no_writer_of_ours_makes_are_survived(command: Command, write: Any, path: Path, form: str) -> None:
    write(replace(RECORD, started=NOW - 60))
    odd = {"cost": "'free'", "duration": "NULL", "attempts": "NULL", "tags": "'{'", "model": "NULL", "outcome": "NULL"}
    with closing(sqlite3.connect(path)) as connection:
        for name, value in odd.items():
            connection.execute(f"INSERT INTO calls ({name}, started) VALUES ({value}, {NOW - 50})")  # noqa: S608 - literals
        connection.commit()
    done = command("report", "--ledger", str(path), "--format", form)
    assert done.code == 0
    assert "gpt-4.1" in done.out
    assert "* gpt-4.1: 1 short call (at most" in command("report", "--ledger", str(path), "--advice").out


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumped_is_said(command: Command, write: Any, path: Path) -> None:
    write(
        replace(RECORD, started=NOW - 60, duration=-3.0, first_chunk=-1.0),
        *[replace(RECORD, started=NOW + 400 * DAY)] * 2,
        replace(RECORD, started=-5.0),
    )
    done = command("report", "--ledger", str(path))
    assert done.code == 0
    assert "2 calls of the ledger dated after now: a clock was wrong; see --until." in done.out
    told = json.loads(command("report", "--ledger", str(path), "--format", "json").out)
    assert (told["total"]["calls"], told["total"]["p50"], told["total"]["first_chunk_p50"]) == (1, 0.005, 0.005)
    assert told["future"] == 2
    assert (
        json.loads(command("report", "--ledger", str(path), "--format", "json", "--until", "9999-12-31").out)["total"][
            "calls"
        ]
        == 3
    )


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--since", "1d", "--until", "2d"],
        ["--since", "tomorrow"],
        ["--until", "2026-13-01"],
        ["--by", ",".join(f"tag{number}" for number in range(9))],
        ["--by", "team\x1b[31m"],
        ["--by", "\udc80"],
        ["--top", "many"],
        ["--wide", "--format", "csv"],
        ["--focus", "--wide"],
    ],
)
def test_a_question_without_sense_is_refused(command: Command, write: Any, path: Path, arguments: list[str]) -> None:
    write(replace(RECORD, started=NOW - 60))
    done = command("report", "--ledger", str(path), *arguments)
    assert (done.code, done.out) == (2, "")
    assert "\x1b" not in done.err


@pytest.mark.parametrize("since", ["999999w", "0001-01-01", "1969-12-31T23:59:59+14:00"])
def test_everything_there_is_can_be_asked_for(command: Command, write: Any, path: Path, since: str) -> None:
    write(replace(RECORD, started=NOW - 60))
    done = command("report", "--ledger", str(path), "--since", since)
    assert done.code == 0
    assert "1970-01-01 00:00 to" in done.out


def test_people_are_shown_fifty_groups_and_programs_all(command: Command, write: Any, path: Path) -> None:
    write(*[replace(RECORD, started=NOW - 60, cost=each, tags={"user": str(each)}) for each in range(1000, 1070)])
    done = command("report", "--ledger", str(path), "--by", "user")
    rows = [line.split() for line in done.out.splitlines()]
    assert ["20", "more", "20"] in [row[:3] for row in rows]
    assert ["1069", "1"] in [row[:2] for row in rows]
    assert "1019" not in done.out
    assert "| 20 more | 20 |" in command("report", "--ledger", str(path), "--by", "user", "--format", "md").out
    done = command("report", "--ledger", str(path), "--by", "user", "--format", "csv")
    assert len(list(csv.reader(io.StringIO(done.out)))) == 71


def test_more_groups_than_memory_holds_are_refused(write: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MOST", 10)
    write(*[replace(RECORD, started=NOW - each, tags={"user": str(each)}) for each in range(1, 40)])
    with pytest.raises(ReportError, match="--by user makes more than 10 groups; name fewer or coarser ones"):
        ledger.read(path, Period(NOW - DAY, NOW), by=("user",), top=0, now=NOW)


def test_hours_and_days_stand_in_their_order(write: Any, path: Path) -> None:
    write(*[replace(RECORD, started=NOW - DAY * number, cost=number) for number in (3, 1, 2)])
    report = ledger.read(path, Period(NOW - 5 * DAY, NOW), by=("model", "day"), top=0, now=NOW)
    days = [key[1] for key in report.groups]
    assert days == sorted(map(str, days))
    assert figures.TIMES == ("hour", "day")


def test_no_number_is_ever_cut(command: Command, write: Any, path: Path) -> None:
    call = replace(RECORD, started=NOW - 60, cost=123_456_789_012_345, host="a-host-with-a-name.example")
    write(*[replace(call, model=f"a-model-with-a-long-name-{number}") for number in range(3)])
    done = command("report", "--ledger", str(path), "--by", "model,host,team,operation,provider")
    lines = [line for line in done.out.splitlines() if line.startswith("a-m")]
    assert [line.split()[-5:] for line in lines] == [["1", "100%", "$123,456.79", "-", "1.55"]] * 3
    heading = next(line.split() for line in done.out.splitlines() if "calls" in line)
    assert heading[-6:] == ["calls", "ok", "spend", "wasted", "p95", "s"]
    assert max(map(len, done.out.splitlines())) <= 80


def test_names_as_long_as_a_page_keep_the_table_in_its_width(command: Command, write: Any, path: Path) -> None:
    write(replace(RECORD, started=NOW - 60, model="x" * 10_000), replace(RECORD, started=NOW - 60, model="\u202egpt"))
    done = command("report", "--ledger", str(path))
    assert max(map(len, done.out.splitlines())) <= 80
    assert "\u202e" not in done.out
