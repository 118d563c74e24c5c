"""`huddle-otel report --prometheus`: a real server's figures are the ledger's, and what it cannot tell is said."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import pytest

from huddle_otel.cli.report import ledger, prometheus
from huddle_otel.cli.report.figures import Report, ReportError, edge
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.server import Server
from tests.cli.report_support import bad_day
from tests.exporters.conftest import missing

if TYPE_CHECKING:
    from tests.cli.conftest import Command

DAY: Final = 86_400
PATIENCE: Final = 20.0
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
        theirs = prometheus.read(Server(self.url, None), self.period, by=by, now=now)
        return theirs, ledger.read(self.path, self.period, by=by, top=0, now=now)


def a_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(folder: Path, config: str) -> Iterator[Server]:
    """A Prometheus on a folder of data, once it is ready."""
    if shutil.which("prometheus") is None:
        missing("prometheus")
    file, address, log = folder / "prometheus.yml", f"127.0.0.1:{a_port()}", folder / "prometheus.log"
    file.write_text(config)
    options = [f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    command = ["prometheus", *options, "--storage.tsdb.retention.time=90d"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        server = Server(f"http://{address}", None)
        eventually(lambda: server.query("vector(1)", time.time()) != [], log)
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def eventually(true: Callable[[], bool], log: Path) -> None:
    """Ask until it is so."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with suppress(ReportError):
            if true():
                return
        time.sleep(0.1)
    pytest.fail(log.read_text()[-2000:])


# --- a real server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder, port, begun = tmp_path_factory.mktemp("watched"), a_port(), time.time()
    config = (
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f'scrape_configs: [{{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]\n'
    )
    path, seen = folder / "ledger.db", "count(count_over_time(huddle_client_calls_total[1m]) > 2)"
    with bad_day(path, "prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=port), running(folder, config) as server:
        eventually(lambda: server.query(seen, time.time()) != [], folder / "prometheus.log")
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
            (theirs,) = server.query(f"histogram_quantile({share}, sum by (le) (increase({name}[7d])))", now)
            told = group.percentile(share)
            assert told is not None
            assert told == pytest.approx(theirs[1], abs=0.06)  # a step is 0.05 s


# --- servers that do not answer ---------------------------------------------------------------------------------------


class Odd(HTTPServer):
    """Answers every question as it is told to, and keeps what was sent."""

    status, body = 200, b""
    headers: Mapping[str, str] = MappingProxyType({})
    asked: list[tuple[str | None, dict[str, list[str]]]]


class _Handler(BaseHTTPRequestHandler):
    server: Odd

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append((self.headers["Authorization"], form))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[Odd]:
    with Odd(("127.0.0.1", 0), _Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "headers", "why"),
    [
        (401, "no", {}, "refused with status 401; the bearer token comes from HUDDLE_OTEL_PROMETHEUS_TOKEN"),
        (403, "no", {}, "refused with status 403"),
        (404, "nothing here", {}, "does not answer as Prometheus does at /api/v1/query; status 404"),
        (302, "", {"Location": "http://127.0.0.1:9/login"}, "does not answer as Prometheus does"),
        (200, "<html>welcome</html>", {}, "does not answer as Prometheus does at /api/v1/query"),
        (200, '{"data": {"result": [{"metric": {}}]}}', {}, "does not answer as Prometheus does"),
        (422, '{"error": "too\\u001b[31m many samples"}', {}, "too [31m many samples"),
        (503, "<html>busy</html>", {}, "does not answer as Prometheus does"),
        (200, '{"data": {"result": []}}', {}, "has no calls of huddle_otel in this period"),
    ],
)
def test_why_there_is_no_answer_is_said(
    odd: Odd,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: str,
    headers: dict[str, str],
    why: str,
) -> None:
    odd.status, odd.body, odd.headers = status, body.encode(), headers
    monkeypatch.setenv("HUDDLE_OTEL_PROMETHEUS_TOKEN", TOKEN)
    done = command("report", "--prometheus", f"http://127.0.0.1:{odd.server_port}/")
    assert (done.code, done.out) == (2, "")
    assert why in done.err
    assert TOKEN not in done.err
    assert done.err.startswith(f"huddle-otel: http://127.0.0.1:{odd.server_port}: ")
    assert {token for token, _ in odd.asked} == {f"Bearer {TOKEN}"}
    assert all(set(form) == {"query", "time", "timeout"} for _, form in odd.asked)


def test_a_server_that_is_not_there(command: Command) -> None:
    done = command("report", "--prometheus", f"http://127.0.0.1:{a_port()}")
    assert done.code == 2
    assert "cannot be reached" in done.err


@pytest.mark.parametrize(
    ("url", "token", "why"),
    [
        ("ftp://host", None, "must be the http or https URL"),
        ("prometheus:9090", None, "must be the http or https URL"),
        ("http://", None, "must be the http or https URL"),
        ("http://host:port", None, "not a URL"),
        ("http://user:hunter2@host", None, "credentials do not belong into a URL"),
        ("http://host", "two words", "must be ASCII text without spaces"),
        ("http://host", "line\nX-Evil: 1", "must be ASCII text without spaces"),
    ],
)
def test_what_cannot_be_asked_is_refused(url: str, token: str | None, why: str) -> None:
    with pytest.raises(ReportError, match=why) as caught:
        Server(url, token)
    assert "hunter2" not in str(caught.value)
    assert "words" not in str(caught.value)


def test_no_url_is_not_the_ledger(command: Command) -> None:
    done = command("report", "--prometheus", "")
    assert done.code == 2
    assert "must be the http or https URL" in done.err


@pytest.mark.parametrize("arguments", [["--advice"], ["--focus"], ["--ledger", "x.db"]])
def test_single_calls_are_only_in_a_ledger(command: Command, arguments: list[str]) -> None:
    assert command("report", "--prometheus", "http://127.0.0.1:9", *arguments).code == 2


def test_too_many_days_are_refused_before_the_first_question(odd: Odd, command: Command) -> None:
    done = command("report", "--prometheus", f"http://127.0.0.1:{odd.server_port}", "--by", "hour", "--since", "90d")
    assert done.code == 2
    assert "more than 100 hours or days" in done.err
    assert odd.asked == []


def test_a_bucket_spreads_over_its_steps() -> None:
    steps = prometheus._steps({"0.32": 0.0, "0.64": 64.0, "+Inf": 66.0})
    assert steps.total() == 66
    assert min(map(edge, steps)) == pytest.approx(0.325)
    assert max(map(edge, steps)) == pytest.approx(0.645)  # beyond the last bucket's edge nobody knows


def test_the_question_is_written_as_meant(odd: Odd) -> None:
    odd.body = b'{"data": {"result": []}}'
    with pytest.raises(ReportError):
        prometheus.read(Server(f"http://127.0.0.1:{odd.server_port}", None), Period(0, 60), by=("model",), now=60)
    (token, form), *_ = odd.asked
    assert token is None
    name, length = "huddle_client_calls_total", "60000ms"
    new = f"(min_over_time({name}[{length}]) unless last_over_time({name}[1d] offset {length}))"
    grown = f"increase({name}[{length}])"
    assert form["query"] == [f"sum by (model, huddle_outcome) (({grown} + {new}) or {grown} or {new})"]
    assert form["time"] == ["60.000"]
