"""What tests of money share: the rows of a real ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import huddle_otel
from huddle_otel_exporters import set_up
from huddle_otel_exporters.ledger import open_reader

Rows = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rows]:
    """`rows()`: those of the ledger that `instrument(exporters=["ledger"])` writes in this test."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("HUDDLE_OTEL_LEDGER", str(path))

    def read() -> list[dict[str, Any]]:
        assert huddle_otel.flush()
        with closing(open_reader(path)) as connection:
            found = connection.execute("SELECT * FROM calls ORDER BY id")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    yield read
    set_up(["ledger"]).shutdown()  # the process has one pipeline, and the next test another file
