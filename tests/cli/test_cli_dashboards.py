"""`huddle-otel dashboards`: list, export, alerts; validate against servers that are not what they should be."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import huddle_otel_dashboards
from huddle_otel.cli.commands.dashboards import LIMITS, TOKEN
from huddle_otel_dashboards import Limits

if TYPE_CHECKING:
    from tests.cli.conftest import Command

SECRET = "prom-0123456789abcdef"
Server = Callable[[int, str], str]


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with what its server was made with, and keeps the request's headers."""

    server: _Fixed

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))
        self.send_response(self.server.status)
        self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing."""


class _Fixed(http.server.ThreadingHTTPServer):
    status = 200
    text = location = ""
    seen: list[dict[str, str]]


@pytest.fixture
def answering() -> Iterator[_Fixed]:
    """A server on loopback that gives one answer to all."""
    with _Fixed(("127.0.0.1", 0), _Answers) as server:
        server.seen = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: _Fixed) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def succeeded(data: object) -> str:
    return json.dumps({"status": "success", "data": data})


def test_list_shows_every_board(command: Command) -> None:
    done = command("dashboards", "list")
    assert done.code == 0
    for name in huddle_otel_dashboards.names():
        assert name in done.out
    assert "Upstream & resilience" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_export_writes_boards_provider_and_rules(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "grafana"
    done = command(
        "dashboards", "export", str(folder), "--datasource-uid", "p1", "--runbook-url", "https://wiki.example/r"
    )
    assert (done.code, done.err) == (0, "")
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["alerts.yml", *(f"{name}.json" for name in huddle_otel_dashboards.names()), "provider.yaml"]
    assert done.out.splitlines() == [f"wrote {folder / name}" for name in (*files[1:], files[0])]
    assert "https://wiki.example/r#huddlecircuitopen" in (folder / "alerts.yml").read_text()
    assert '"value": "p1"' in (folder / "huddle-slo.json").read_text()


def test_export_into_a_file_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = command("dashboards", "export", str(tmp_path / "taken"))
    assert done.code == 2
    assert done.err.startswith("huddle-otel: cannot write: ")


def test_alerts_are_made_with_ones_own_limits(command: Command) -> None:
    done = command("dashboards", "alerts", "--slo", "99.9", "--runbook-url", "https://wiki.example/r")
    assert done.code == 0
    assert "> 14.4 * 0.001" in done.out
    assert "https://wiki.example/r#huddleerrorbudgetburn" in done.out


def test_alerts_can_be_written_with_their_routing(command: Command, tmp_path: Path) -> None:
    done = command("dashboards", "alerts", "--output", str(tmp_path / "rules"))
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "rules").iterdir()) == ["alertmanager.yml", "alerts.yml"]


def test_a_limit_that_makes_no_sense_is_refused(command: Command) -> None:
    done = command("dashboards", "alerts", "--slo", "100")
    assert (done.code, done.out) == (2, "")
    assert done.err == "huddle-otel: slo must be above 93.1 and below 100 (percent), got 100.0\n"


def test_every_limit_has_an_option() -> None:
    assert list(LIMITS) == list(asdict(Limits()))


def test_validate_says_what_is_wrong_with_each_panel(command: Command, answering: _Fixed) -> None:
    answering.text = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})
    done = command("dashboards", "validate", url(answering))
    assert done.code == 1
    assert "huddle-overview" in done.out
    assert "missing  Calls: huddle_client_calls_total" in done.out
    assert "empty    Used of each limit: no spend limit is set" in done.out
    assert "skipped" in done.out.splitlines()[-1]


def test_validate_sends_the_token_and_never_shows_it(
    command: Command, answering: _Fixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    answering.status, answering.text = 401, "who are you?"
    done = command("dashboards", "validate", url(answering))
    assert done.code == 2
    assert done.err == (
        f"huddle-otel: {url(answering)} answers 401: set HUDDLE_OTEL_PROMETHEUS_TOKEN to a bearer token that it takes\n"
    )
    assert answering.seen[0]["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize(
    ("status", "text"), [(200, "<html>a login page</html>"), (200, "[]"), (502, "bad gateway"), (302, "")]
)
def test_validate_recognises_what_is_not_prometheus(
    command: Command, answering: _Fixed, status: int, text: str
) -> None:
    answering.status, answering.text = status, text
    done = command("dashboards", "validate", url(answering))
    assert done.code == 2
    assert done.err == f"huddle-otel: {url(answering)} answers {status}, and not as Prometheus' API does\n"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9", "no answer from http://127.0.0.1:9"),
        ("http://[::1]:9/prometheus/", "no answer from http://[::1]:9/prometheus"),
        ("localhost:9090", "the address is not an http or https URL"),
        ("file:///etc/hosts", "the address is not an http or https URL"),
        ("http://", "the address is not an http or https URL"),
        ("http://[::1", "the address is not a URL"),
        ("http://127.0.0.1:99999", "the address is not a URL: Port out of range"),
        ("http://user:secret-0123@127.0.0.1:9", "no answer from http://127.0.0.1:9"),
    ],
)
def test_validate_says_why_it_cannot_ask(command: Command, address: str, reason: str) -> None:
    done = command("dashboards", "validate", address)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"huddle-otel: {reason}")
    assert "secret-0123" not in done.err


def test_validate_takes_user_and_password_from_the_address(command: Command, answering: _Fixed) -> None:
    answering.status = 403
    command("dashboards", "validate", url(answering).replace("//", "//ops:p%40ss@"))
    assert answering.seen[0]["Authorization"] == "Basic b3BzOnBAc3M="


def test_validate_takes_its_token_to_no_other_host(
    command: Command, answering: _Fixed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, SECRET)
    answering.status, answering.location = 302, f"{url(answering)}/elsewhere"
    assert command("dashboards", "validate", url(answering)).code == 2
    assert len(answering.seen) == 1


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_a_range_that_is_none_is_refused(command: Command, value: str) -> None:
    done = command("dashboards", "validate", "http://127.0.0.1:9", f"--seconds={value}")
    assert done.code == 2
    assert f"'{value}' is not a number above 0" in done.err
