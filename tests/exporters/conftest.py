"""Apps in processes of their own, a real collector, free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from huddle_otel.cli.stack.collector import program
from huddle_otel.gateway import Gateway
from tests.client.support import KEY
from tests.exporters.collector import Rotel

ROOT: Final = Path(__file__).parents[2]
App = Callable[..., "subprocess.Popen[str]"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def missing(what: str) -> NoReturn:
    """Skip for want of a real back end; in CI, where everything is installed, that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and CI is set")
    pytest.skip(f"{what} is not installed")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return ports nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def rotel(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Rotel]:
    """A collector of this test's own."""
    if program() is None:
        missing("rotel, or Python's shared library,")
    collector = Rotel(tmp_path, grpc=free_port(), http=free_port())
    yield collector
    collector.stop()


@pytest.fixture
def app(gateway: Gateway) -> Iterator[App]:
    """`app(code, NAME=value)`: start an app that may use `start`, `call`, `say` and the gateway."""
    started: list[subprocess.Popen[str]] = []

    def begin(code: str, **environment: Any) -> subprocess.Popen[str]:
        variables = {"APP_GATEWAY": gateway.url, "APP_KEY": KEY, "PYTHONPATH": str(ROOT), **environment}
        process = subprocess.Popen(
            [sys.executable, "-c", f"from tests.exporters.app import call, say, start\n{code}"],
            stdin=subprocess.PIPE,  # an app that reads it waits until the test ends
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            start_new_session=True,  # a forked child that hangs must end too: it holds the pipes that are read below
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def run(app: App) -> Run:
    """`run(code, NAME=value)`: the same, to its end, which must be a good one."""

    def finish(code: str, **environment: Any) -> subprocess.CompletedProcess[str]:
        process = app(code, **environment)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return finish


def warnings_of(err: str) -> list[str]:
    """Return the lines an app logged as a warning or worse."""
    return [line for line in err.splitlines() if line.startswith(("WARNING", "ERROR", "CRITICAL"))]
