"""What the tests of the command share: a clean environment, a gateway, and a way to call it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from huddle_otel.cli import main
from huddle_otel.gateway import Gateway
from huddle_otel_exporters.ledger.writer import Writer
from tests.cli.odd_server import Odd

KEY = "sk-huddle-0123456789abcdef"


@dataclass(frozen=True)
class Done:
    """A command that has run."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "HUDDLE_", "OTEL_")) and not name.startswith("HUDDLE_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(key=KEY) as running:
        yield running


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str) -> Done:
        code = main(arguments)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def odd() -> Iterator[Odd]:
    with Odd() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger will be."""
    return tmp_path / "ledger.db"


@pytest.fixture
def write(path: Path) -> Iterator[Any]:
    """`write(record, ...)`: put calls into the ledger."""
    writer = Writer(path)
    yield lambda *records: writer.export(records)
    writer.shutdown()
