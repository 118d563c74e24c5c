"""The HTML report without a browser: figures over time, escaping, and a document that holds all it needs."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.cli import page
from huddle_otel.cli.page import Chart, Series, Unit, element, shown
from huddle_otel.cli.page.markup import raw
from huddle_otel.cli.report import charts, html, series
from huddle_otel.cli.report.figures import DAY, Forecast, Group, Report
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.snapshot import snapshot
from huddle_otel.events import CallRecord
from tests.cli.serving import put
from tests.exporters.test_ledger import RECORD

if TYPE_CHECKING:
    from tests.cli.conftest import Command

NOW: Final = time.time()
STATIC: Final = Path(page.__file__).parent / "static"


class Read(HTMLParser):
    """Reads a page back: its elements, the text outside of scripts and styles, and theirs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.raw = "", dict[str, list[str]]()
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in {"script", "style"} else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.raw.setdefault(self._inside, []).append(data)
        else:
            self.text += data


def some(count: int) -> list[CallRecord]:
    """Return calls of the last two days."""
    random = Random(3)
    return [
        replace(
            RECORD,
            started=NOW - random.uniform(1, 2 * DAY),
            model=random.choice(["a", "b", "c"]),
            outcome=random.choice(["ok", "ok", "error", "truncated"]),
            answered=random.random() < 0.5,
            duration=random.lognormvariate(0, 1),
            cost=random.choice([None, random.randrange(10**12)]),
        )
        for _ in range(count)
    ]


def over_time(path: Path, period: Period) -> series.Timeline:
    """Return a period of a ledger in steps."""
    with snapshot(path) as moment:
        return series.timeline(period, series.slots(moment, period))


# --- over time --------------------------------------------------------------------------------------------------------


def test_a_timeline_is_the_sums_of_its_calls(path: Path) -> None:
    calls = some(800)
    put(path, *calls)
    period = Period(NOW - DAY, NOW)
    told = over_time(path, period)
    assert told.width == 3600
    assert len(told.starts) == 25
    within = [call for call in calls if call.started >= period.since]
    for at, start in enumerate(told.starts):
        inside = [call for call in within if start <= call.started < start + told.width]
        for model in "abc":
            assert told.spend[model][at] == sum(call.cost or 0 for call in inside if call.model == model)
        for outcome in ("ok", "error", "truncated"):
            ended = [call for call in inside if call.outcome == outcome]
            assert told.outcomes[outcome][at] == len(ended)
            if outcome != "ok":
                assert told.wasted[outcome][at] == sum(call.cost or 0 for call in ended if call.answered)
        longest = max((call.duration for call in inside), default=None)
        assert (told.durations[2][at] is None) == (longest is None)
        assert longest is None or longest <= (told.durations[2][at] or 0) <= longest + 1
    assert "ok" not in told.wasted
    assert [sum(told.spend[model]) for model in told.spend] == sorted(map(sum, told.spend.values()), reverse=True)


@given(
    since=st.floats(min_value=-1e11, max_value=1e11),
    length=st.one_of(st.floats(min_value=0, max_value=1e7), st.floats(min_value=0, max_value=1e11)),
)
def test_a_period_has_few_steps_that_begin_where_people_expect(since: float, length: float) -> None:
    width = series.width(Period(since, since + length))
    assert length / width <= 75
    assert width % 60 == 0
    assert 3600 % width == 0 or width % 3600 == 0
    assert 86_400 % width == 0 or width % 86_400 == 0


def test_a_period_that_ends_before_it_begins_has_no_steps(path: Path) -> None:
    put(path, replace(RECORD, started=NOW))
    told = over_time(path, Period(NOW + 500, NOW - 500))
    assert told.starts == ()
    assert charts.over_time(told) == ()


def test_seven_models_have_a_colour_and_the_rest_share_one() -> None:
    spend = {f"m{number}": (10 - number, 0) for number in range(9)}
    assert series.largest(spend, most=7, rest="rest") == {f"m{number}": (10 - number, 0) for number in range(7)} | {
        "rest": (5, 0)
    }
    assert series.largest({"a": (1,)}, most=7, rest="rest") == {"a": (1,)}


def test_the_way_to_the_end_of_a_month() -> None:
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
    today = int(noon // DAY)
    foreseen = Forecast(so_far=28 * 10**9, expected=30 * 10**9, low=29 * 10**9, high=32 * 10**9, days=14)
    chart = charts.month(dict.fromkeys(range(today - 40, today + 1), 10**9), foreseen, now=noon)
    named = {each.name: each.values for each in chart.series}
    assert named["so far"][:3] == (1.0, 2.0, 3.0)
    assert named["so far"][27:] == (28.0, None, None)
    assert named["expected"][26:] == (None, 28.0, 29.0, 30.0)
    assert named["low"][27:] == (28.0, 28.5, 29.0)
    assert named["95 %"][27:] == (28.0, 30.0, 32.0)
    last = charts.month({today + 2: 10**9}, foreseen, now=noon + 2 * DAY)
    assert {each.values[-1] for each in last.series} == {1.0}


def test_a_chart_is_as_long_as_its_labels() -> None:
    with pytest.raises(ValueError, match="'x' has 1 values for 2 labels"):
        Chart(
            title="", note="", unit=Unit.USD, labels=("a", "b"), series=(Series(name="x", values=(1.0,), tone="ink"),)
        )
    with pytest.raises(ValueError, match="tone = 'pink' is not permitted"):
        Series(name="x", values=(), tone="pink")


def test_a_charts_figures_say_what_is_unknown() -> None:
    chart = Chart(
        title="Spend",
        note="",
        unit=Unit.USD,
        labels=("a", "b", "c"),
        series=(
            Series(name="x", values=(0.5, 0.0, None), tone="ink"),
            Series(name="y", values=(None, 0.0, 2e-9), tone="ink"),
        ),
    )
    assert chart.table().rows == (("a", "$0.50", "-"), ("c", "-", "$0.000000002"))


# --- markup -----------------------------------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_any_text_is_only_text(child: str, attribute: str) -> None:
    read = Read(element("p", child, title=attribute))
    assert read.elements == [("p", {"title": attribute})]
    assert read.text == child


@given(st.text(max_size=300))
def test_what_is_shown_is_one_short_printable_line(text: str) -> None:
    told = shown(text, longest=50)
    assert told.isprintable()
    assert len(told) <= 51
    assert not text.isprintable() or len(text) > 50 or told == text


def test_a_script_cannot_be_ended_from_within() -> None:
    with pytest.raises(ValueError, match="cannot hold its own end"):
        raw("script", "'</SCRIPT>'")


# --- the document -----------------------------------------------------------------------------------------------------


def report(command: Command, path: Path, *arguments: str) -> str:
    done = command("report", "--ledger", str(path), "--format", "html", *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_the_page_refers_to_nothing_and_permits_only_itself(command: Command, path: Path) -> None:
    put(path, *some(50))
    text = report(command, path)
    assert text.isascii()
    read = Read(text)
    assert [attributes for _, attributes in read.elements if {"src", "action"} & set(attributes)] == []
    assert [attributes["href"] for _, attributes in read.elements if "href" in attributes] == ["data:,"]
    (policy,) = [
        str(attributes["content"])
        for name, attributes in read.elements
        if name == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = set(re.findall(r"'sha256-([^']+)'", policy))
    data, *scripts = read.raw["script"]
    assert {
        base64.b64encode(sha256(part.encode()).digest()).decode() for part in (*scripts, *read.raw["style"])
    } == hashes
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert [chart["title"] for chart in json.loads(data)] == ["Spend by model", "Latency", "Outcomes", "Waste"]


def test_hostile_names_are_text(command: Command, path: Path) -> None:
    names = ["</script><script>alert(1)</script>", '"><img src=x>', "a\u202eb\x1b", "]]>--><!--", "&lt;b&gt;"]
    put(path, *(replace(RECORD, started=NOW - 60, model=name, tags={"team": name}) for name in names))
    text = report(command, path, "--by", "model,team")
    read = Read(text)
    assert len(read.raw["script"]) == 3
    assert "img" not in {name for name, _ in read.elements}
    for name in names:
        assert shown(name) in read.text
    series_names = {each["name"] for each in json.loads(read.raw["script"][0])[0]["series"]}
    assert series_names == {shown(name) for name in names}


def test_the_page_has_the_figures_of_the_table(command: Command, path: Path) -> None:
    put(
        path,
        *[replace(RECORD, started=NOW - 60, cost=1_500_000_000)] * 2,
        replace(RECORD, started=NOW - 60, outcome="truncated", cost=None),
    )
    text = Read(report(command, path)).text
    assert "Spend$3.00and 1 call of unknown cost" in text
    assert "Answered66.7%1 call not" in text
    assert "Wastedunknown1 call without a whole answer, 1 at an unknown price" in text
    assert "Dearest calls" in text


def test_what_a_source_cannot_tell_is_not_made_up() -> None:
    """As from Prometheus, which may have spend by a tag and nothing else."""
    told = Report(
        period=Period(0, DAY),
        by=("team",),
        groups={("search",): Group(cost=2 * 10**9)},
        total=Group(cost=2 * 10**9),
        previous=Group(),
        top=(),
        forecast=None,
        unknown=frozenset({"calls", "ok", "attempts", "tokens", "waste", "waste_calls", "unpriced"}),
    )
    read = Read(html.page(told, ()))
    assert "Spend$2.00" in read.text
    assert "search??$2.00?" in read.text
    for name in ("Answered", "Wasted", "Over time", "Dearest"):
        assert name not in read.text
    assert read.raw["script"][0] == "[]"


def test_a_page_into_a_file_is_the_same(command: Command, path: Path, tmp_path: Path) -> None:
    put(path, replace(RECORD, started=NOW - 60))
    fixed = ("--since", "2h", "--until", datetime.fromtimestamp(NOW, UTC).isoformat())
    file = tmp_path / "out.html"
    done = command("report", "--ledger", str(path), *fixed, "--html", str(file))
    assert (done.code, done.out) == (0, "")
    assert Read(file.read_text("ascii")).text == Read(report(command, path, *fixed)).text


def test_no_calls_are_said_on_the_page_too(command: Command, path: Path) -> None:
    put(path, replace(RECORD, started=NOW - 3 * DAY))
    read = Read(report(command, path, "--since", "1d"))
    assert "No calls in this period." in read.text
    assert read.raw["script"][0] == "[]"


def test_a_file_that_cannot_be_written_is_said(command: Command, path: Path, tmp_path: Path) -> None:
    put(path, RECORD)
    done = command("report", "--ledger", str(path), "--html", str(tmp_path))
    assert done.code == 2
    assert done.err == f"huddle-otel: {tmp_path}: cannot be written (Is a directory)\n"
    assert command("report", "--ledger", str(tmp_path / "none"), "--html", str(tmp_path / "x.html")).code == 2


def test_the_chart_library_is_the_one_on_record() -> None:
    record = json.loads((STATIC / "chart.json").read_text("utf-8"))
    assert {name: sha256((STATIC / name).read_bytes()).hexdigest() for name in record["sha256"]} == record["sha256"]
    assert f"Chart.js v{record['version']}" in page.static("chart.umd.min.js")
    assert "sourceMappingURL" not in page.static("chart.umd.min.js")
    assert "The above copyright notice and this permission notice shall be included" in page.library()


@pytest.mark.parametrize("name", ["chart.umd.min.js", "charts.js", "page.css"])
def test_what_goes_into_a_page_is_ascii(name: str) -> None:
    assert page.static(name).isascii()
