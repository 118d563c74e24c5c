"""`huddle-otel demo --stack`: real servers, started and gone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from huddle_otel.cli import main
from huddle_otel.cli.stack.processes import StackError, find, free_port, listens, server
from tests.exporters.conftest import missing

_SERVE: Final = "import http.server as h; print('up'); h.HTTPServer(('127.0.0.1', {port}), h.BaseHTTPRequestHandler)"


def test_what_is_not_installed_is_named_with_its_package() -> None:
    with pytest.raises(StackError, match=r"^no-such is not installed\. On Debian and Ubuntu: apt-get install some$"):
        find(["no-such", "nor-such"], "some")


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert main(["demo", "--stack", "--seconds", "10"]) == 2
    assert capsys.readouterr().err.startswith("huddle-otel: prometheus is not installed.")


def test_a_server_runs_as_long_as_the_block(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", _SERVE.format(port=port) + ".serve_forever()"]
    with server("it", command, log=tmp_path / "log", ready=lambda: listens(port), longest=60):
        assert listens(port)
    assert not listens(port)


def test_a_server_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room')"]
    with (
        pytest.raises(StackError, match="it did not start:\nno room"),
        server("it", command, log=tmp_path / "log", ready=lambda: False, longest=60),
    ):
        pass


@pytest.mark.backend
def test_it_prints_where_to_look_and_leaves_nothing_behind() -> None:
    for binary in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(binary) is None:
            missing(binary)
    before = set(Path(tempfile.gettempdir()).glob("huddle-otel-*"))
    command = [sys.executable, "-m", "huddle_otel.cli", "demo", "--stack", "--seconds", "10"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, env=environment)
    ports = re.findall(r"http://127\.0\.0\.1:(\d+)", done.stdout)
    assert len(ports) == 5
    assert not [port for port in ports if listens(int(port))]
    assert [name for name in ("healthy", "outage", "recovering") if name in done.stdout] == [
        "healthy",
        "outage",
        "recovering",
    ]
    assert set(Path(tempfile.gettempdir()).glob("huddle-otel-*")) <= before
