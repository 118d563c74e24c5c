"""`huddle-otel report --prometheus`: a real server's figures are the ledger's, and what it cannot tell is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN
from huddle_otel.cli.prometheus import Prometheus
from huddle_otel.cli.report import ledger, prometheus
from huddle_otel.cli.report.figures import Report, ReportError, edge
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.stack.processes import free_port
from tests.cli.odd_server import Odd
from tests.cli.report_support import bad_day, eventually
from tests.dashboards.server import prometheus as a_prometheus
from tests.exporters.conftest import missing

if TYPE_CHECKING:
    from tests.cli.conftest import Command

DAY: Final = 86_400
FIELDS: Final = (
    *("calls", "ok", "attempts", "tokens", "cost", "sources", "unpriced"),
    *("waste", "waste_unpriced", "double_billing"),
)
TOKEN: Final = "prom-0123456789abcdef"


@dataclass(frozen=True)
class Watched:
    """A server that has watched an app of ours, and the app's own ledger."""

    url: str
    path: Path
    period: Period

    def told(self, *by: str) -> tuple[Report, Report]:
        """Return the same report from both, the server's first."""
        now = self.period.until
        theirs = prometheus.read(Prometheus(self.url), self.period, by=by, now=now)
        return theirs, ledger.read(self.path, self.period, by=by, top=0, now=now)


@contextmanager
def running(folder: Path, config: str) -> Iterator[Prometheus]:
    """A Prometheus on a folder of data, once it is ready."""
    if shutil.which("prometheus") is None:
        missing("prometheus")
    with a_prometheus(folder, config, "--storage.tsdb.retention.time=90d") as url:
        yield Prometheus(url)


# --- a real server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, port, begun = tmp_path_factory.mktemp("watched"), free_port(), time.time()
    config = (
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f'scrape_configs: [{{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]\n'
    )
    path, seen = folder / "ledger.db", "count(count_over_time(huddle_client_calls_total[1m]) > 2)"
    with bad_day(path, "prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=port), running(folder, config) as server:
        eventually(server, seen)
        yield Watched(server.url, path, Period(begun, time.time()))


@pytest.mark.backend
@pytest.mark.parametrize("by", [("model",), ("day", "model"), ()])
def test_prometheus_tells_what_the_ledger_tells(watched: Watched, by: tuple[str, ...]) -> None:
    theirs, ours = watched.told(*by)
    assert set(theirs.groups) == set(ours.groups)
    for key, group in ours.groups.items():
        told = theirs.groups[key]
        for field in FIELDS:
            assert getattr(told, field) == getattr(group, field), (key, field)
        assert told.durations.total() == group.durations.total()
        assert told.first_chunks.total() == group.first_chunks.total()
    assert (theirs.total.calls, ours.total.calls) == (12, 12)
    assert theirs.total.waste_unpriced == {"truncated": 1, "error": 1, "abandoned": 1, "cancelled": 1}


@pytest.mark.backend
@pytest.mark.parametrize(
    ("by", "field"), [("team", "cost"), ("team", "tokens"), ("outcome", "calls"), ("source", "cost")]
)
def test_what_the_metrics_carry_is_grouped_by(watched: Watched, by: str, field: str) -> None:
    theirs, ours = watched.told(by)
    values = {key: getattr(group, field) for key, group in ours.groups.items() if getattr(group, field)}
    assert {key: getattr(group, field) for key, group in theirs.groups.items()} == values
    assert field not in theirs.unknown
    assert "parts" in theirs.unknown
    assert ("durations" in theirs.unknown) == (("calls" in theirs.unknown) or by == "outcome")


@pytest.mark.backend
@pytest.mark.parametrize("form", ["table", "wide", "md", "csv", "json"])
def test_every_form_prints_it(watched: Watched, command: Command, form: str) -> None:
    done = command("report", "--prometheus", watched.url, "--since", "10m", "--format", form)
    assert (done.code, done.err) == (0, "")
    assert "gpt-4.1-mini" in done.out
    if form == "json":
        told = json.loads(done.out)["total"]
        assert (told["calls"], told["cost"]) == (12, 411_600)
        assert told["difference"] is told["wasted_calls"] is None


@pytest.mark.backend
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--by", "stream"], "cannot group by stream: no metric has it"),
        (["--by", "team,outcome"], "no metric has all of them"),
        (["--by", "project"], "no label project: list the tag in instrument(tag_metrics=...)"),
        (["--since", "2h", "--until", "1h"], "has no calls of huddle_otel in this period"),
    ],
)
def test_what_it_cannot_tell_is_said(watched: Watched, command: Command, arguments: list[str], why: str) -> None:
    done = command("report", "--prometheus", watched.url, *arguments)
    assert (done.code, done.out) == (2, "")
    assert why in done.err


@pytest.mark.backend
def test_weeks_of_samples_add_up(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        missing("promtool")
    now = int(time.time() // 3600 * 3600)  # 20 days of a call and a cent an hour, with a new process in the middle
    hours = range(20 * 24 + 1)
    times = [now - (hours[-1] - hour) * 3600 for hour in hours]
    grown = [hour if hour < 240 else hour - 240 for hour in hours]  # at 240 the process begins anew
    series = {
        ("huddle_client_calls_total", 'model="m",huddle_outcome="ok"'): (grown, 1.0),
        ("huddle_client_cost_usd_total", 'model="m",source="gateway"'): (grown, 0.01),
    }
    lines = []
    for (name, labels), (values, factor) in series.items():
        lines.append(f"# TYPE {name.removesuffix('_total')} counter")
        lines += [f"{name}{{{labels}}} {value * factor} {at}" for value, at in zip(values, times, strict=True)]
    lines.append("# TYPE gen_ai_client_operation_duration_seconds histogram")
    name, labels = "gen_ai_client_operation_duration_seconds_bucket", 'gen_ai_request_model="m"'
    for le, share in (("1.28", 0.0), ("2.56", 0.9), ("5.12", 1.0), ("+Inf", 1.0)):
        lines += [f'{name}{{{labels},le="{le}"}} {v * share} {at}' for v, at in zip(grown, times, strict=True)]
    (tmp_path / "samples").write_text("\n".join([*lines, "# EOF", ""]))
    made = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=960h", "openmetrics"]
    made += [str(tmp_path / "samples"), str(tmp_path / "data")]
    subprocess.run(made, check=True, capture_output=True)
    with running(tmp_path, "scrape_configs: []\n") as server:
        report = prometheus.read(server, Period(now - 7 * DAY, now), by=("model",), now=now)
        group = report.groups[("m",)]
        assert group.calls == pytest.approx(7 * 24, rel=0.02)
        assert group.cost == pytest.approx(7 * 24 * 10**7, rel=0.02)
        assert report.previous.cost == pytest.approx(7 * 24 * 10**7, rel=0.02)
        assert report.forecast is not None
        assert report.forecast.days == 14
        for share in (0.5, 0.95):
            (theirs,) = server.instant(f"histogram_quantile({share}, sum by (le) (increase({name}[7d])))", time=now)
            told = group.percentile(share)
            assert told is not None
            assert told == pytest.approx(theirs[1], abs=0.06)  # a step is 0.05 s


# --- servers that do not answer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (401, "no", "{url} answers 401: set HUDDLE_OTEL_PROMETHEUS_TOKEN to a bearer token that it takes"),
        (200, "<html>welcome</html>", "{url} answers 200, and not as Prometheus' API does"),
        (422, '{"status": "error", "error": "too many samples"}', "Prometheus refuses a query: too many samples"),
        (
            200,
            '{"status": "success", "data": {"resultType": "vector", "result": []}}',
            "{url}: has no calls of huddle_otel in this period",
        ),
    ],
)
def test_why_there_is_no_report_is_said(
    odd: Odd, command: Command, monkeypatch: pytest.MonkeyPatch, status: int, text: str, why: str
) -> None:
    odd.status, odd.text = status, text
    monkeypatch.setenv(PROMETHEUS_TOKEN, TOKEN)
    done = command("report", "--prometheus", f"{odd.url}/")
    assert (done.code, done.out, done.err) == (2, "", f"huddle-otel: {why.format(url=odd.url)}\n")
    assert {each.authorization for each in odd.asked} == {f"Bearer {TOKEN}"}


def test_a_server_that_is_not_there(command: Command) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = command("report", "--prometheus", url)
    assert done.code == 2
    assert done.err.startswith(f"huddle-otel: no answer from {url}: ")


def test_user_and_password_of_the_address_are_sent_and_not_shown(odd: Odd, command: Command) -> None:
    odd.find()
    done = command("report", "--prometheus", odd.url.replace("//", "//ops:hunter2@"))
    assert (done.code, done.err) == (2, f"huddle-otel: {odd.url}: has no calls of huddle_otel in this period\n")
    assert {each.authorization for each in odd.asked} == {"Basic b3BzOmh1bnRlcjI="}


def test_a_token_that_cannot_be_sent_is_a_mistake(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROMETHEUS_TOKEN, "two words")
    done = command("report", "--prometheus", "http://127.0.0.1:9")
    assert (done.code, done.err) == (2, f"huddle-otel: {PROMETHEUS_TOKEN} must be ASCII text without spaces\n")


def test_no_url_is_not_the_ledger(command: Command) -> None:
    done = command("report", "--prometheus", "")
    assert done.code == 2
    assert "the address must be an http or https URL" in done.err


@pytest.mark.parametrize("arguments", [["--advice"], ["--focus"], ["--ledger", "x.db"]])
def test_single_calls_are_only_in_a_ledger(command: Command, arguments: list[str]) -> None:
    assert command("report", "--prometheus", "http://127.0.0.1:9", *arguments).code == 2


def test_too_many_days_are_refused_before_the_first_question(odd: Odd, command: Command) -> None:
    done = command("report", "--prometheus", odd.url, "--by", "hour", "--since", "90d")
    assert done.code == 2
    assert "more than 100 hours or days" in done.err
    assert odd.asked == []


def test_a_bucket_spreads_over_its_steps() -> None:
    steps = prometheus._steps({"0.32": 0.0, "0.64": 64.0, "+Inf": 66.0})
    assert steps.total() == 66
    assert min(map(edge, steps)) == pytest.approx(0.325)
    assert max(map(edge, steps)) == pytest.approx(0.645)  # beyond the last bucket's edge nobody knows


def test_the_question_is_written_as_meant(odd: Odd) -> None:
    odd.find()
    with pytest.raises(ReportError):
        prometheus.read(Prometheus(odd.url), Period(0, 60), by=("model",), now=60)
    asked = odd.asked[0].arguments
    name, length = "huddle_client_calls_total", "60000ms"
    new = f"(min_over_time({name}[{length}]) unless last_over_time({name}[1d] offset {length}))"
    grown = f"increase({name}[{length}])"
    assert asked["query"] == [f"sum by (model, huddle_outcome) (({grown} + {new}) or {grown} or {new})"]
    assert asked["time"] == ["60.000"]
