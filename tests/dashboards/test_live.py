"""Every query of every board and rule on a real Prometheus that has scraped a real app through a bad time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import huddle_otel_dashboards
from huddle_otel.cli.dashboards import Check, Status, validate
from huddle_otel.cli.stack.processes import free_port
from huddle_otel_dashboards.alerts import Fleet, Intervals, render_rules
from tests.dashboards.server import playing, prometheus
from tests.exporters.conftest import missing

pytestmark = pytest.mark.backend

SECONDS: Final = 15.0
FAST: Final = Intervals(scale=1 / 60, shortest=4, evaluation=1)
CONFIG: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
"""
QUIET: Final = {
    "Failures of our own",  # our telemetry has none
    "Month's forecast",  # sums of 5 minutes, and the test is over before the first
    "By model",  # of the SLO board: as the forecast
}
"""Panels with nothing to show after a quarter of a minute."""
SUMS: Final = {"In this range", "Spend today", "Today by model", "Calls without a price, by model"}
"""Panels of a fleet that are as the forecast."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has seen the app's traffic from its first call to its last."""
    for binary in ("prometheus", "promtool"):
        if shutil.which(binary) is None:
            missing(binary)
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "rules.yml").write_text(render_rules(fleet=Fleet(), intervals=FAST))
    config = CONFIG.format(rules=folder / "rules.yml", port=port)
    with prometheus(folder, config, "--enable-feature=exemplar-storage") as url, playing(port, SECONDS) as said:
        assert said.result() == "done\n"
        yield url


@pytest.fixture(scope="module")
def moment(server: str) -> float:
    """When the last calls were scraped, Unix time, s."""
    until = time.monotonic() + 20
    while True:
        now = time.time()
        if not unsettled(validate(server, seconds=60, scrape=1, now=now)) or time.monotonic() > until:
            return now
        time.sleep(0.5)


def unsettled(checks: list[Check]) -> list[str]:
    return [
        f"{each.board}/{each.panel}: {each.status} {each.missing} {each.note}"
        for each in checks
        if each.bad(strict=each.board != "rules") and each.panel not in QUIET
    ]


def test_every_panel_shows_something_and_every_rule_works(server: str, moment: float) -> None:
    checks = validate(server, seconds=60, scrape=1, now=moment)
    assert unsettled(checks) == []
    assert len(checks) > 120
    assert {each.board for each in checks if each.status is Status.SKIPPED} == {"huddle-traces"}


def test_every_panel_of_a_fleet_shows_something_and_every_rule_works(server: str, moment: float) -> None:
    checks = validate(server, fleet=True, seconds=60, scrape=1, now=moment)
    assert unsettled([each for each in checks if each.panel not in SUMS]) == []
    assert len(checks) > 150
    assert {each.board for each in checks if each.status is Status.SKIPPED} == {"huddle-fleet-traces"}


def test_boards_without_rules_say_which_metric_is_missing(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        missing("prometheus")
    with prometheus(tmp_path, "global: {scrape_interval: 1s}") as url:
        found = {(each.board, each.panel): each for each in validate(url, seconds=60, scrape=1)}
    calls = found["huddle-overview", "Calls"]
    assert (calls.status, calls.missing) == (Status.MISSING, ("huddle_client_calls_total",))
    burn = found["huddle-slo", "Burn rate, 1h"]
    assert burn.missing == ("job:huddle_client_calls_bad:ratio1h",)
    assert burn.note == "the recording rules are not loaded: huddle-otel dashboards alerts"
    limits = found["huddle-spend", "Used of each limit"]
    assert (limits.status, limits.note) == (Status.EMPTY, "no spend limit is set")


def test_a_query_that_prometheus_refuses_is_an_error_with_its_words(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = huddle_otel_dashboards.read

    def broken(name: str) -> str:
        return whole(name).replace("histogram_quantile(0.95, sum by (le)", "histogram_quantile(sum by (le)")

    monkeypatch.setattr(huddle_otel_dashboards, "read", broken)
    found = {(each.board, each.panel): each for each in validate(server, seconds=60, scrape=1)}
    refused = found["huddle-overview", "First token, p95"]
    assert refused.status is Status.ERROR
    assert "expected 2 argument(s)" in refused.note
