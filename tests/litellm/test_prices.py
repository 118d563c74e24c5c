"""`huddle-otel prices update` against the real gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from huddle_otel.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.litellm.proxy import Proxy

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(240)]  # the first test waits for the gateway to start


def test_what_the_gateway_charges_becomes_a_price_file(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", proxy.url)
    monkeypatch.setenv("HUDDLE_API_KEY", proxy.key())
    path = tmp_path / "prices.json"
    assert main(["prices", "update", "--output", str(path)]) == 0
    prices = json.loads(path.read_text())
    today = datetime.now(UTC).date().isoformat()
    assert prices["priced"] == {"input": "3", "output": "15", "cache_read": "0.3", "as_of": today}
    assert "unpriced" not in prices, "unknown is never free"
    assert "unpriced" in capsys.readouterr().out


def test_a_key_that_the_gateway_refuses_is_said(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", proxy.url)
    monkeypatch.setenv("HUDDLE_API_KEY", "sk-nobody-0123456789")
    assert main(["prices", "update", "--output", str(tmp_path / "prices.json")]) == 1
    assert "refuses the key ****6789" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.iterdir())
