"""`huddle-otel report`: figures against sums made in Python, and forms that survive hostile names."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

from huddle_otel.cli.report import figures, ledger
from huddle_otel.cli.report.figures import DAY, Group, edge, forecast
from huddle_otel.cli.report.period import Period, moment
from huddle_otel.events import CallRecord
from tests.exporters.test_ledger import RECORD

if TYPE_CHECKING:
    from tests.cli.conftest import Command

NOW: Final = time.time()
NOON: Final = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
EDGE: Final = 0.05
"""Of the steps that durations are told in, as a share; below 100 ms they are 5 ms wide."""


def some(count: int, seed: int = 1) -> list[CallRecord]:
    """Return calls of many kinds within the last two days."""
    random = Random(seed)
    return [
        replace(
            RECORD,
            started=NOW - random.uniform(1, 2 * DAY),
            model=random.choice(["gpt-4.1", "claude-sonnet-4.6", "deepseek-v3.2"]),
            outcome=(outcome := random.choice(["ok", "ok", "ok", "error", "cancelled"])),
            answered=outcome == "ok" or random.random() < 0.5,
            double_billing=random.random() < 0.1,
            duration=random.lognormvariate(0, 1.5),
            cost=random.choice([None, random.randrange(10**12)]),
            cost_source=random.choice(["gateway", "catalogue"]),
            input_tokens=random.choice([None, random.randrange(10**6)]),
            tags={"team": random.choice(["search", "ads"])} if random.random() < 0.8 else {},
        )
        for _ in range(count)
    ]


def test_figures_are_the_sums_of_the_calls(write: Any, path: Path) -> None:
    calls = some(2000)
    write(*calls)
    period = Period(NOW - DAY, NOW)
    report = ledger.read(path, period, by=("model", "team"), top=3, now=NOW)
    within = [call for call in calls if call.started >= period.since]
    before = [call for call in calls if call.started < period.since]
    assert 0 < len(within) < len(calls)
    assert {(call.model, call.tags.get("team")) for call in within} == set(report.groups)
    for (model, team), group in report.groups.items():
        check(group, [call for call in within if (call.model, call.tags.get("team")) == (model, team)])
    check(report.total, within)
    check(report.previous, before)
    dearest = sorted((call.cost for call in within if call.cost is not None), reverse=True)[:3]
    assert [call.cost for call in report.top] == dearest
    assert [group.cost for group in report.groups.values()] == sorted(
        (group.cost for group in report.groups.values()), reverse=True
    )


def check(group: Group, calls: list[CallRecord]) -> None:
    """Compare a group with the calls that should be in it."""
    billed = [call for call in calls if call.answered or call.double_billing]
    wasted = [call for call in billed if call.outcome != "ok"]
    assert group.calls == len(calls)
    assert group.ok == sum(call.outcome == "ok" for call in calls)
    assert group.attempts == sum(call.attempts for call in calls)
    assert group.input_tokens == sum(call.input_tokens or 0 for call in calls)
    assert group.output_tokens == sum(call.output_tokens or 0 for call in calls)
    assert group.cost == sum(call.cost or 0 for call in calls)
    assert group.unpriced == sum(call.cost is None for call in billed)
    assert group.wasted == sum(call.cost or 0 for call in wasted)
    assert group.wasted_calls == len(wasted)
    assert group.wasted_unpriced == sum(call.cost is None for call in wasted)
    for outcome in ("error", "cancelled"):
        assert group.waste[outcome] == sum(call.cost or 0 for call in wasted if call.outcome == outcome)
        assert group.waste_calls[outcome] == sum(call.outcome == outcome for call in wasted)
    assert group.sources["gateway"] == sum(call.cost or 0 for call in calls if call.cost_source == "gateway")
    assert group.sources.total() == group.cost
    assert (group.split, group.parts["cost_output"]) == (len(calls), 64_000 * len(calls))
    assert group.double_billing == sum(call.double_billing for call in calls)
    both = [call.cost - 90_000 for call in calls if call.cost is not None and call.cost_source == "gateway"]
    assert (group.difference, group.compared) == (sum(both), len(both))
    durations = sorted(call.duration for call in calls)
    for share in (0.5, 0.95, 0.99, 1.0):
        told, exact = group.percentile(share), durations[max(0, -int(-share * len(durations) // 1) - 1)]
        assert told is not None
        assert exact <= told <= max(exact * (1 + 2 * EDGE), exact + 0.005) or exact > 10
        assert told - exact <= 1


@pytest.mark.parametrize("seconds", [0.0, 0.004, 0.005, 0.5, 0.999, 1.0, 1.049, 9.99, 10.0, 61.5, 1e9])
def test_a_step_holds_what_is_put_in_it(seconds: float, write: Any, path: Path) -> None:
    write(replace(RECORD, duration=seconds, started=NOW))
    report = ledger.read(path, Period(NOW - 1, NOW + 1), by=(), top=0, now=NOW)
    told = report.total.percentile(0.5)
    assert told is not None
    assert seconds <= told <= max(seconds * 1.1, seconds + 0.0051) or seconds > 1e6
    steps = [figures.edge(step) for step in range(1000)]
    assert steps == sorted(set(steps))
    assert edge(0) == 0.005


def test_absurd_amounts_do_not_overflow(write: Any, path: Path) -> None:
    write(*[replace(RECORD, cost=2**63 - 1, input_tokens=2**53, started=NOW)] * 3)
    report = ledger.read(path, Period(NOW - 1, NOW + 1), by=("model",), top=1, now=NOW)
    assert report.total.cost == 3 * (2**63 - 1)
    assert report.total.input_tokens == 3 * 2**53


# --- forecast ---------------------------------------------------------------------------------------------------------


def test_a_month_of_equal_days_is_foreseen_exactly() -> None:
    today = int(NOON // DAY)
    daily = dict.fromkeys(range(today - 30, today), 100) | {today: 50}
    told = forecast(daily, now=NOON)
    assert told is not None
    assert (told.so_far, told.days) == (2350, 14)  # 23 whole days of November, and half a one
    assert told.expected == told.low == told.high == 3000


def test_days_without_calls_count_and_uneven_ones_widen_the_interval() -> None:
    today = int(NOON // DAY)
    told = forecast({today - 4: 400, today: 0}, now=NOON)
    assert told is not None
    assert told.expected == 400 + 650  # a hundred a day for six and a half days
    assert told.low < told.expected < told.high
    assert told.low >= told.so_far


@pytest.mark.parametrize("daily", [{}, {int(NOON // DAY): 5}, {int(NOON // DAY) - 2: 5}])
def test_too_few_days_foretell_nothing(daily: dict[int, int]) -> None:
    assert forecast(daily, now=NOON) is None


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_table_says_what_was_spent_wasted_and_left_unknown(command: Command, write: Any, path: Path) -> None:
    write(
        *[replace(RECORD, started=NOW - 60, cost=1_500_000_000)] * 2,
        replace(RECORD, started=NOW - 60, outcome="truncated", cost=250_000_000),
        replace(RECORD, started=NOW - 60, model="mystery", cost=None),
        replace(RECORD, started=NOW - 5400, cost=1_000_000_000),
    )
    done = command("report", "--ledger", str(path), "--since", "1h")
    assert done.code == 0
    assert "$3.25 (+225%); calls: 4 (+300%)" in done.out
    assert "Wasted: $0.25 on 1 call without a whole answer." in done.out
    assert "In brackets" in done.out
    assert "Not in it: 1 call that cost something nobody could price." in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("mystery")]
    assert "unknown" in line
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_free_call_beside_one_of_unknown_cost_does_not_make_it_free(command: Command, write: Any, path: Path) -> None:
    write(
        replace(RECORD, started=NOW - 60, cost=None),
        replace(RECORD, started=NOW - 60, outcome="error", error_type="400", cost=None, answered=False),
    )
    done = command("report", "--ledger", str(path))
    (line,) = [line for line in done.out.splitlines() if line.startswith("gpt-4.1")]
    assert line.split()[1:4] == ["2", "50%", "unknown"]


def test_waste_that_nobody_can_price_is_not_nothing(command: Command, write: Any, path: Path) -> None:
    write(replace(RECORD, started=NOW - 60, outcome="abandoned", cost=None))
    done = command("report", "--ledger", str(path))
    assert "Wasted: unknown on 1 call without a whole answer, 1 of them at an unknown price." in done.out
    assert "In brackets" not in done.out
    (line,) = [line for line in done.out.splitlines() if line.startswith("gpt-4.1")]
    assert line.split()[1:5] == ["1", "0%", "unknown", "unknown"]


def test_a_spreadsheet_runs_nothing(command: Command, write: Any, path: Path) -> None:
    evil = ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\tx", "plain", 'quo"te,comma']
    write(*[replace(RECORD, started=NOW - 60, model=name) for name in evil])
    done = command("report", "--ledger", str(path), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {row["model"] for row in rows} == {f"'{name}" for name in evil[:5]} | set(evil[5:])
    assert {row["cost"] for row in rows} == {"88000"}


def test_names_cannot_break_a_table(command: Command, write: Any, path: Path) -> None:
    write(replace(RECORD, started=NOW - 60, model="a|b<script>\n\x1b[31m[bold]red"))
    done = command("report", "--ledger", str(path), "--format", "md")
    assert "| a\\|b&lt;script>  [31m[bold]red | 1 |" in done.out
    done = command("report", "--ledger", str(path))
    assert "\x1b" not in done.out
    assert "[bold]" in done.out


def test_json_is_for_programs(command: Command, write: Any, path: Path) -> None:
    write(*some(50))
    done = command("report", "--ledger", str(path), "--by", "outcome,team", "--format", "json", "--top", "1")
    told = json.loads(done.out)
    assert told["total"]["calls"] == sum(group["calls"] for group in told["groups"]) == 50
    assert {tuple(group["key"]) for group in told["groups"]} == {("outcome", "team")}
    assert len(told["top"]) == 1


def test_nothing_to_report_is_said(command: Command, write: Any, path: Path) -> None:
    done = command("report", "--ledger", str(path))
    assert (done.code, done.out) == (2, "")
    assert "no ledger yet" in done.err
    write(replace(RECORD, started=NOW - 3 * DAY))
    done = command("report", "--ledger", str(path), "--since", "1d")
    assert done.code == 0
    assert "No calls in this period." in done.out
    path.write_text("not a database at all, " * 50)
    done = command("report", "--ledger", str(path))
    assert done.code == 2
    assert "not a ledger" in done.err


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", NOON),
        ("90m", NOON - 5400),
        ("24h", NOON - DAY),
        ("7d", NOON - 7 * DAY),
        ("2w", NOON - 14 * DAY),
        ("2026-11-24", NOON - DAY / 2),
        ("2026-11-24T12:00", NOON),
        ("2026-11-24T13:00+01:00", NOON),
    ],
)
def test_moments(text: str, meant: float) -> None:
    assert moment(text, now=NOON) == meant


@pytest.mark.parametrize("arguments", [["--since", "yesterday"], ["--by", 'te"am'], ["--format", "xml"]])
def test_what_cannot_be_meant_is_refused(command: Command, arguments: list[str]) -> None:
    done = command("report", *arguments)
    assert done.code == 2
    assert "usage: huddle-otel report" in done.err


def test_a_report_waits_for_no_client_to_be_imported(write: Any, path: Path) -> None:
    write(replace(RECORD, started=NOW - 60))
    code = "import sys; from huddle_otel.cli import main; print(main(sys.argv[1:]), *sys.modules)"
    command = [sys.executable, "-c", code, "report", "--format", "csv", "--ledger", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result, *modules = done.stdout.splitlines()[-1].split()
    assert result == "0"
    assert {"sqlite3", "rich"} <= set(modules)
    assert not {"httpx", "httpx2", "openai", "opentelemetry.sdk", "pydantic"} & set(modules)


# --- advice -----------------------------------------------------------------------------------------------------------


def test_advice_comes_with_its_figures(command: Command, write: Any, path: Path) -> None:
    now: dict[str, Any] = {"started": NOW - 60, "cache_read_tokens": 0}
    write(
        *[replace(RECORD, **now, model="gpt-4.1", input_tokens=1000, output_tokens=100, cost=2_800_000)] * 10,
        *[replace(RECORD, **now, model="gpt-4.1", input_tokens=9000, output_tokens=900, cost=25_200_000)] * 10,
        replace(RECORD, **now, model="deepseek-v3.2", outcome="truncated", cost=9_000_000),
        *[replace(RECORD, **now, model="mystery", cost=10_000_000, double_billing=True)] * 2,
    )
    done = command("report", "--ledger", str(path), "--advice")
    assert done.code == 0
    told = " ".join(done.out.split())
    assert "gpt-4.1: 10 short calls (at most 2,000 tokens in, 200 out) cost $0.028. By list prices" in told
    assert "gpt-4.1-mini takes 20% of that, about $0.0056." in told
    assert "gpt-4.1: 0% of 100,000 tokens of input were read from cache, at 5,000 a call; this input is $0.20" in told
    assert "deepseek-v3.2: $0.009 of $0.009 went to 1 call without a whole answer, 1 of them truncated." in told
    assert "mystery: 2 of 2 retried calls may be billed twice, about $0.02" in told
    assert told.count("* ") == 4


def test_advice_heeds_own_prices(
    command: Command, write: Any, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = replace(RECORD, started=NOW - 60, model="house-llama", input_tokens=5000, cache_read_tokens=0, cost=10**7)
    write(*[call] * 10)
    assert command("report", "--ledger", str(path), "--advice").out.startswith("* Nothing stands out")
    prices = tmp_path / "prices.json"
    monkeypatch.setenv("HUDDLE_OTEL_PRICES", str(prices))
    prices.write_text('{"house-llama": {"input": 2, "output": 4, "cache_read": 0.5}}')
    told = " ".join(command("report", "--ledger", str(path), "--advice").out.split())
    assert "0% of 50,000 tokens of input were read from cache" in told
    assert "this input is $0.10 by list prices, $0.025 if all came from cache." in told
    prices.write_text("[]")
    done = command("report", "--ledger", str(path), "--advice")
    assert done.code == 2
    assert done.err.startswith(f"huddle-otel: HUDDLE_OTEL_PRICES = '{prices}' is not permitted")


def test_what_often_fails_is_said_with_its_figures(command: Command, write: Any, path: Path) -> None:
    failed = replace(RECORD, started=NOW - 60, model="mystery", outcome="error", answered=False, cost=None, attempts=3)
    write(
        *[replace(failed, error_type="429")] * 20,
        *[replace(failed, error_type="503")] * 19,
        *[replace(RECORD, started=NOW - 60, model="mystery", input_tokens=10)] * 61,
    )
    told = command("report", "--ledger", str(path), "--advice").out
    assert told == "* mystery: 20 of 100 calls ended with 429, after 3.0 attempts each.\n"


def test_answers_cut_off_are_said_with_their_figures(command: Command, write: Any, path: Path) -> None:
    asked = replace(RECORD, started=NOW - 60, model="mystery", input_tokens=10, cost=20_000_000)
    write(
        *[asked] * 45,
        replace(asked, finish_reason="length", output_tokens=250),
        replace(asked, finish_reason="max_output_tokens", output_tokens=262, outcome="abandoned", answered=False),
        replace(asked, finish_reason="length", output_tokens=None, cost=None),
        *[replace(asked, finish_reason="content_filter", cost=10_000_000)] * 2,
        *[replace(asked, model="free", finish_reason="length", output_tokens=64, cost=None)] * 20,
        *[replace(asked, model="rare", cost=0)] * 381,
        *[replace(asked, model="rare", finish_reason="length", cost=0)] * 20,
    )
    told = " ".join(command("report", "--ledger", str(path), "--advice").out.split())
    assert told == (
        "* mystery: 3 of 50 calls (6%) were cut off at their limit on tokens, at 256 tokens out on average; they cost "
        "$0.04 of $0.96, 1 of them at an unknown price. Raise the limit, or ask for less: what has to be asked for "
        "again is paid twice. "
        "* mystery: 2 of 50 calls (4%) were stopped by a content filter; they cost $0.02 of $0.96. "
        "* free: 20 of 20 calls (100%) were cut off at their limit on tokens, at 64 tokens out on average; what "
        "they cost is unknown. Raise the limit, or ask for less: what has to be asked for again is paid twice."
    )


def test_calls_group_by_why_they_ended(command: Command, write: Any, path: Path) -> None:
    write(*[replace(RECORD, started=NOW - 60, finish_reason=reason) for reason in ("stop", "length", "length", None)])
    done = command("report", "--ledger", str(path), "--by", "finish_reason", "--format", "json")
    groups = [(group["key"]["finish_reason"], group["calls"]) for group in json.loads(done.out)["groups"]]
    assert groups == [("length", 2), ("stop", 1), (None, 1)]


def test_no_advice_is_made_up(command: Command, write: Any, path: Path) -> None:
    write(replace(RECORD, started=NOW - 60, model="mystery"))
    assert "Nothing stands out" in command("report", "--ledger", str(path), "--advice").out
    assert command("report", "--ledger", str(path) + ".none", "--advice").code == 2
