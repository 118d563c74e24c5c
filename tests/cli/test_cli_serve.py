"""`huddle-otel serve`: the figures of the live page, searching calls, and the command itself."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from huddle_otel.cli.serve import calls, overview
from huddle_otel.cli.serve.cache import Cache
from huddle_otel.cli.serve.days import Day, Days
from huddle_otel_exporters.ledger import COLUMNS, LedgerError
from tests.cli.serving import Served, put, serving
from tests.exporters.test_ledger import RECORD

if TYPE_CHECKING:
    from tests.cli.conftest import Command

NOW: Final = time.time()
DAY: Final = 86_400.0
HOSTILE: Final = "<img src=x onerror=alert(1)>\u202egnp.\x1b[31m" + "x" * 10_000


@pytest.fixture
def served(path: Path) -> Iterator[Served]:
    with serving(path) as running:
        yield running


# --- figures ----------------------------------------------------------------------------------------------------------


def test_now_is_the_last_five_minutes(path: Path) -> None:
    old = replace(RECORD, started=NOW - 400, outcome="error", cost=10**12)
    put(path, old, *[replace(RECORD, started=NOW - 60, cost=10**9, duration=2.0)] * 9)
    put(path, replace(RECORD, started=NOW - 1, outcome="error", cost=None, duration=8.0))
    tiles = {tile.name: (tile.value, tile.note, tile.tone) for tile in overview.now_tiles(path, NOW)}
    assert tiles == {
        "Calls a minute": ("2.0", "mean of the last 5 minutes", "ink"),
        "Not answered": ("10.0%", "1 call of 10", "bad"),
        "p95": ("8.05 s", "whole calls, last 5 minutes", "ink"),
        "Spend a minute": ("$1.80", "and 1 call of unknown cost", "ink"),
    }


def test_a_quiet_ledger_claims_nothing(path: Path) -> None:
    put(path, replace(RECORD, started=NOW - DAY))
    assert [tile.value for tile in overview.now_tiles(path, NOW)] == ["0.0", "-", "-", "-"]
    charts, models = overview.over_time(path, "1h", NOW)
    assert (charts, models.rows) == ((), ())
    assert overview.circuits(path, NOW).rows == ()


def test_circuits_are_told_by_what_they_refused(path: Path) -> None:
    refused = replace(RECORD, outcome="rejected", error_type="breaker_open", model="busy", cost=None)
    put(
        path,
        replace(refused, started=NOW - 590),
        replace(refused, started=NOW - 40),
        replace(RECORD, started=NOW - 500, model="busy"),
        replace(refused, started=NOW - 10, model="other", error_type="bulkhead_full"),
        replace(refused, started=NOW - 700, model="long ago"),
    )
    assert overview.circuits(path, NOW).rows == (("gru.huddle01.io", "busy", "chat", "2", "40 s ago", "8 min ago"),)


def test_models_beyond_thirty_are_added_up(path: Path) -> None:
    put(
        path,
        *(replace(RECORD, started=NOW - 9, model=f"model-{number:02}", cost=number * 10**9) for number in range(33)),
    )
    _, table = overview.over_time(path, "15m", NOW)
    assert [row[0] for row in table.rows[:2]] == ["model-32", "model-31"]
    assert (len(table.rows), table.rows[-1][0], table.rows[-1][3]) == (31, "3 other models", "$3.00")


def test_days_are_added_up_as_calls_come(path: Path) -> None:
    days, today = Days(path), int(NOW // DAY)
    noon = (today + 0.5) * DAY
    put(path, replace(RECORD, started=noon - 2 * DAY, cost=None))
    for back, cost in ((0, 1), (1, 10), (2, 100), (31, 1000), (32, 10_000)):
        put(path, replace(RECORD, started=noon - back * DAY, cost=cost))
    first = {today: Day(1, 0), today - 1: Day(10, 0), today - 2: Day(100, 1), today - 31: Day(1000, 0)}
    assert days.read(noon + 60) == days.read(noon + 61) == first
    put(path, replace(RECORD, started=noon - 2 * DAY, cost=5))  # it ended late
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM calls WHERE started < ?", (noon - 2.5 * DAY,))  # as the ledger is trimmed
    assert days.read(noon + 62) == {**first, today - 2: Day(105, 1)}
    put(path, replace(RECORD, started=noon + DAY, cost=7))
    assert today + 1 not in days.read(noon + 63)
    later = days.read(noon + DAY + 1)
    assert later == {today + 1: Day(7, 0), today: Day(1, 0), today - 1: Day(10, 0), today - 2: Day(105, 1)}


def test_another_file_in_the_ledgers_place_is_added_up_anew(path: Path) -> None:
    days = Days(path)
    put(path, *[replace(RECORD, started=NOW - 1, cost=10)] * 3)
    assert days.read(NOW)[int(NOW // DAY)] == Day(30, 0)
    path.rename(path.with_name("old.db"))
    put(path, *[replace(RECORD, started=NOW - 1, cost=1)] * 5)
    assert days.read(NOW)[int(NOW // DAY)] == Day(5, 0)


def test_the_month_is_foretold_and_what_nobody_could_price_is_said(path: Path) -> None:
    noon = 20_765 * DAY + DAY / 2  # 2026-11-08
    days = dict.fromkeys(range(20_758, 20_765), Day(10**9, 1)) | {20_765: Day(5 * 10**8, 2)}
    tiles, charts = overview.month(days, noon)
    assert [(tile.name, tile.value, tile.note) for tile in tiles] == [
        ("Spend today", "$0.50", "and 2 calls of unknown cost"),
        ("This month", "$7.50", "and 9 calls of unknown cost"),
        ("This month, expected", "$30.00", "95 %: $30.00 to $30.00"),
    ]
    (chart,) = charts
    assert (chart.title, len(chart.labels)) == ("November", 30)
    so_far = next(series for series in chart.series if series.name == "so far")
    assert so_far.values == (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 7.5, *[None] * 22)
    assert overview.month({}, noon)[1] == ()
    assert [tile.value for tile in overview.month({20_765: Day(0, 3)}, noon)[0]] == ["unknown", "unknown", "-"]


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_a_ledger_that_is_not_there_yet_is_waited_for(served: Served, path: Path) -> None:
    assert served.ask("/api/now").json == {"waiting": str(path)}
    assert served.ask("/api/calls").status == 503
    put(path, replace(RECORD, started=time.time()))
    assert [tile["value"] for tile in served.ask("/api/now").json["tiles"]][:2] == ["0.2", "0.0%"]
    assert served.ask("/api/calls").json["rows"][0]["id"] == 1


def test_a_damaged_ledger_is_an_error_that_says_so(served: Served, path: Path) -> None:
    put(path, *[replace(RECORD, started=time.time())] * 50)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)
    told = served.ask("/api/calls")
    assert told.status == 503
    assert "the ledger is damaged" in told.json["error"]
    path.write_text("no database at all " * 100)
    assert "not a ledger" in served.ask("/api/now").json["error"]
    assert served.ask("/metrics").status == 503


@pytest.mark.parametrize("window", ["15m", "1h", "6h", "24h", "7d", "30d"])
def test_every_window_has_charts_with_their_figures(served: Served, path: Path, window: str) -> None:
    put(path, replace(RECORD, started=time.time() - 5, cost=2 * 10**9))
    told = served.ask(f"/api/window?window={window}").json
    charts = {chart["title"]: chart for chart in told["charts"]}
    assert set(charts) == {"Spend by model", "Latency", "Outcomes"}
    assert sum(charts["Spend by model"]["series"][0]["values"]) == 2.0
    assert 10 <= len(charts["Outcomes"]["labels"]) <= 76
    assert charts["Outcomes"]["table"]["rows"][0][1] == "1"
    assert told["models"]["rows"][0][0] == "gpt-4.1"


@pytest.mark.parametrize(
    "target",
    [
        "/api/window?window=2h",
        "/api/window?window=1h%27",
        "/api/call",
        "/api/call?id=",
        "/api/call?id=-1",
        "/api/call?id=9999999999999999999999",
        "/api/call?id=%D9%A1",
        "/api/call?id=2",
        "/api/calls?below=x",
    ],
)
def test_senseless_questions_are_refused(served: Served, path: Path, target: str) -> None:
    put(path, RECORD)
    told = served.ask(target)
    assert told.status == 400
    assert told.json["error"]


def test_too_many_arguments_are_none(served: Served, path: Path) -> None:
    put(path, RECORD)
    assert served.ask("/api/call?" + "&".join(f"a{number}=1" for number in range(50))).status == 404


def test_hostile_names_are_cut_and_made_visible(served: Served, path: Path) -> None:
    put(path, replace(RECORD, started=time.time(), model=HOSTILE, tags={"team": HOSTILE}))
    told = served.ask("/api/calls").json["rows"][0]["cells"][1]
    assert told == "<img src=x onerror=alert(1)>\ufffdgnp.\ufffd[31m" + "x" * 82 + "…"
    columns = dict(served.ask("/api/call?id=1").json["columns"])
    assert len(columns["model"]) == 2001
    for target in ("/api/now", "/api/window", "/api/month", "/api/calls", "/api/call?id=1"):
        answer = served.ask(target)
        assert answer.headers["Content-Type"] == "application/json"
        assert "\u202e" not in str(answer.json)
        assert "\x1b" not in str(answer.json)


# --- calls ------------------------------------------------------------------------------------------------------------


def ids(found: calls.Found) -> list[int]:
    return [row.id for row in found.rows]


def test_calls_are_found_by_any_of_their_texts(path: Path) -> None:
    put(
        path,
        replace(RECORD, model="GPT-Odd"),
        replace(RECORD, request_id="req-needle-9"),
        replace(RECORD, trace_id=0xBEEF),
        replace(RECORD, tags={"team": "needle'works"}),
        replace(RECORD, outcome="error", error_type="read_timeout", status=None),
        replace(RECORD, model="100%_sure"),
    )
    assert ids(calls.search(path, words="gpt-odd")) == [1]
    assert ids(calls.search(path, words="NEEDLE")) == [4, 2]
    assert ids(calls.search(path, words="needle'works")) == [4]
    assert ids(calls.search(path, words="beef")) == [3]
    assert ids(calls.search(path, words="timeout", outcome="error")) == [5]
    assert ids(calls.search(path, words="timeout", outcome="ok")) == []
    assert ids(calls.search(path, words="%_")) == [6]
    assert ids(calls.search(path, words="' OR 1=1 --")) == []
    assert ids(calls.search(path)) == [6, 5, 4, 3, 2, 1]


def test_pages_are_whole_and_never_overlap(path: Path) -> None:
    put(path, *(replace(RECORD, model="even" if number % 2 else "odd") for number in range(1, 132)))
    found: list[int] = []
    below: int | None = None
    for full in (True, True, False):
        told = calls.search(path, words="even", below=below)
        assert (len(told.rows) == 25, told.finished) == (full, True)
        found += ids(told)
        below = told.below
    assert below is None
    assert found == [number for number in range(131, 0, -1) if number % 2]


def test_a_long_search_says_how_far_it_came_and_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_STRETCH", 10)
    put(path, replace(RECORD, model="needle"), *[RECORD] * 49)
    ticks = count()
    told = calls.search(path, words="needle", clock=lambda: next(ticks) * 0.4)
    assert (told.rows, told.below, told.finished) == ((), 31, False)
    told = calls.search(path, words="needle", below=told.below)
    assert (ids(told), told.below, told.finished) == ([1], None, True)


def test_nothing_is_found_in_an_empty_ledger(path: Path) -> None:
    put(path)
    assert calls.search(path) == calls.Found(rows=(), below=None, finished=True)


def test_a_call_is_shown_with_every_column(path: Path) -> None:
    put(path, replace(RECORD, started=4_102_444_800.0, cost=1_234, first_chunk=None, fell_back_from=None))
    told = dict(calls.detail(path, 1) or ())
    assert list(told) == ["id", *COLUMNS]
    assert told["started"] == "2100-01-01 00:00:00 UTC"
    assert told["cost"] == "$0.00000123 (1,234 nano-dollars)"
    assert (told["cost_source"], told["cost_cache_read"]) == ("gateway", "unknown")
    assert (told["duration"], told["stream"], told["first_chunk"]) == ("1.500 s", "yes", "-")
    assert told["tags"] == '{"paid": true, "team": "search"}'
    assert calls.detail(path, 2) is None


@pytest.mark.parametrize("started", [1e300, float("inf"), float("nan")])
def test_a_mad_clock_breaks_no_page(served: Served, path: Path, started: float) -> None:
    put(path, replace(RECORD, started=started))
    assert served.ask("/api/calls").status == 200
    assert served.ask("/api/call?id=1").status == 200
    assert served.ask("/api/now").status == 200


# --- cache ------------------------------------------------------------------------------------------------------------


def test_an_answer_is_kept_a_second_and_a_dear_one_longer() -> None:
    times = [0.0]
    cache, made = Cache(lambda: times[0]), count()

    def dear() -> int:
        times[0] += 2.0
        return next(made)

    assert cache.get("a", lambda: next(made)) == 0
    times[0] = 0.9
    assert cache.get("a", lambda: next(made)) == 0
    times[0] = 1.0
    assert cache.get("a", lambda: next(made)) == 1
    assert cache.get("b", dear) == 2
    times[0] = 3.0 + 17.9
    assert cache.get("b", dear) == 2
    times[0] = 3.0 + 18.0
    assert cache.get("b", dear) == 3


def test_a_failure_is_not_kept_and_questions_are_bounded() -> None:
    cache = Cache(lambda: 0.0)

    def fail() -> int:
        raise LedgerError("no")

    with pytest.raises(LedgerError):
        cache.get("a", fail)
    assert cache.get("a", lambda: 1) == 1
    for number in range(1000):
        cache.get(number, lambda: 0)
    assert len(cache._entries) == 64


def test_many_ask_and_one_works() -> None:
    cache, made, gate = Cache(), count(), threading.Event()

    def slow() -> int:
        assert gate.wait(10)
        return next(made)

    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(cache.get("a", slow))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert answers == [0] * 8


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def start(path: Path) -> Iterator[Callable[..., Any]]:
    """`start(*arguments)`: run the command in a process of its own; returns it and its first line."""
    begun: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "huddle_otel.cli", "serve", "--ledger", str(path), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    yield run
    for process in begun:
        process.kill()
        process.communicate()


def test_the_command_says_where_it_is_and_ends_quietly(start: Callable[..., Any], path: Path) -> None:
    process, line = start("--port", "0")
    url = line.split()[0]
    assert line == f"{url} shows {path}; Ctrl-C ends it\n"
    with urllib.request.urlopen(f"{url}api/now", timeout=10) as answer:  # noqa: S310 - an http URL of ours
        assert b"waiting" in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0


def test_a_port_in_use_is_said_in_one_line(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = command("serve", "--port", str(port))
    assert done.code == 2
    assert done.err == (
        f"huddle-otel: --port = {port} is not permitted: it must be one that is free; --port 0 finds one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--host = '0.0.0.0' is not permitted: it must be a loopback address"),  # noqa: S104
        (["--host", "0.0.0.0", "--allow-remote"], "a token, from --token-file or HUDDLE_OTEL_SERVE_TOKEN"),  # noqa: S104
        (["--token-file", os.devnull], "--token-file = '***' is not permitted"),
        (["--host", "127.0.0.1.example"], "--host"),
        (["--port", "65536"], "'65536' is not a port"),
        (["--port", "x"], "'x' is not a port"),
    ],
)
def test_what_cannot_be_served_is_refused(command: Command, arguments: list[str], said: str) -> None:
    done = command("serve", *arguments)
    assert done.code == 2
    assert said in done.err


def test_an_address_of_another_machine_is_refused(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_SERVE_TOKEN", "correct-horse-battery")
    done = command("serve", "--host", "192.0.2.1", "--allow-remote", "--port", "0")
    assert done.code == 2
    assert os.strerror(errno.EADDRNOTAVAIL) in done.err
