"""Every query of every board and rule on a real Prometheus that has scraped a real app through a bad time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import huddle_otel_dashboards
from huddle_otel.cli.dashboards import Check, Status, validate
from huddle_otel.cli.stack.processes import free_port
from huddle_otel_dashboards.alerts import Intervals, render_rules
from tests.dashboards.server import prometheus
from tests.exporters.conftest import ROOT, missing

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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has seen the app's traffic from its first call to its last."""
    for binary in ("prometheus", "promtool"):
        if shutil.which(binary) is None:
            missing(binary)
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "rules.yml").write_text(render_rules(intervals=FAST))
    config = CONFIG.format(rules=folder / "rules.yml", port=port)
    environment = {**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    with prometheus(folder, config, "--enable-feature=exemplar-storage") as url:
        command = [sys.executable, "-m", "tests.dashboards.app", str(SECONDS)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        ) as app:
            assert app.stdout is not None
            assert app.stdout.readline() == "done\n"
            yield url
            app.communicate()


@pytest.fixture(scope="module")
def checks(server: str) -> list[Check]:
    """What came of every query, once the last calls are scraped."""
    until = time.monotonic() + 20
    while True:
        made = validate(server, seconds=60, scrape=1)
        if not unsettled(made) or time.monotonic() > until:
            return made
        time.sleep(0.5)


def unsettled(checks: list[Check]) -> list[str]:
    return [
        f"{each.board}/{each.panel}: {each.status} {each.missing} {each.note}"
        for each in checks
        if each.bad(strict=each.board != "rules") and each.panel not in QUIET
    ]


def test_every_panel_shows_something_and_every_rule_works(checks: list[Check]) -> None:
    assert unsettled(checks) == []
    assert len(checks) > 120
    assert {each.board for each in checks if each.status is Status.SKIPPED} == {"huddle-traces"}


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
