"""A real Prometheus scrapes `huddle-otel serve` and the processes themselves, and has the same sums of both."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from huddle_otel.cli.prometheus import Prometheus
from huddle_otel.cli.report import ledger
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.serve.measures import COUNTED, MEASURED
from huddle_otel.cli.stack.processes import free_port
from huddle_otel.spend import nano
from huddle_otel_dashboards.series import every_name
from tests.cli.report_support import ROOT, bad_day, eventually
from tests.dashboards.server import prometheus as a_prometheus
from tests.exporters.conftest import missing

pytestmark = pytest.mark.backend
NAMES: Final = tuple(name for metric in (*COUNTED, *MEASURED) for name in every_name(metric))
NOTHING: Final = tuple(
    f"huddle_client_{name}" for name in ("rejections_total", "cost_waste_usd_total", "cost_difference_usd")
)
"""What this day has none of: no call is refused, what is wasted has no known price, and estimates are right."""
SCRAPES: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: apps, static_configs: [{{targets: ["127.0.0.1:{one}", "127.0.0.1:{two}"]}}]}}
  - {{job_name: serve, static_configs: [{{targets: ["127.0.0.1:{serve}"]}}]}}
"""
BESIDE: Final = "instance, job, server_port, otel_scope_name, otel_scope_version, otel_scope_schema_url"
"""Labels of who is scraped: of the target, its port, and the instrumentation in it."""


@dataclass(frozen=True)
class Watched:
    """A server that has watched two processes and `serve`, and the ledger that the two write."""

    server: Prometheus
    path: Path
    period: Period

    def sums(self, name: str, job: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return what a job's series of a name add up to, by their labels, without those that are 0."""
        found = self.server.instant(f'sum without ({BESIDE}) ({name}{{job="{job}"}})', time=self.period.until)
        return {
            frozenset((key, value) for key, value in labels.items() if value): round(value, 9)
            for labels, value in found
            if value
        }


@contextmanager
def served(path: Path, port: int) -> Iterator[None]:
    """Run the command until the end of the block."""
    command = [sys.executable, "-m", "huddle_otel.cli", "serve", "--ledger", str(path), "--port", str(port)]
    process = subprocess.Popen([*command, "--tags", "team"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"http://127.0.0.1:{port}/ shows {path}; Ctrl-C ends it\n"
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if shutil.which("prometheus") is None:
        missing("prometheus")
    folder, begun = tmp_path_factory.mktemp("watched"), time.time()
    path, one, two, port = folder / "ledger.db", *(free_port() for _ in range(3))
    config = SCRAPES.format(one=one, two=two, serve=port)
    with (
        served(path, port),
        bad_day(path, "prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=one),
        bad_day(path, "prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=two),
        a_prometheus(folder / "prometheus", config) as url,
    ):
        server = Prometheus(url)
        # each of the three has been scraped twice since its calls ended
        eventually(server, "count(count by (instance) (count_over_time(huddle_client_calls_total[1m]) > 1)) == 3")
        yield Watched(server, path, Period(begun, time.time()))


@pytest.mark.parametrize("name", NAMES)
def test_one_scrape_tells_what_those_of_all_processes_come_to(watched: Watched, name: str) -> None:
    here, there = watched.sums(name, "serve"), watched.sums(name, "apps")
    assert here.keys() == there.keys()
    assert bool(here) == (name not in NOTHING)
    for labels, value in there.items():
        assert here[labels] == pytest.approx(value, rel=1e-9), labels


def test_its_sums_are_the_ledgers(watched: Watched) -> None:
    ours = ledger.read(watched.path, watched.period, by=("team",), top=0, now=watched.period.until)
    calls, cost = (watched.sums(f"huddle_client_{name}_total", "serve") for name in ("calls", "cost_usd"))
    assert sum(calls.values()) == ours.total.calls == 24
    spend = Counter[str]()
    for labels, value in cost.items():
        spend[dict(labels)["team"]] += nano(value) or 0
    assert spend == {str(team): group.cost for (team,), group in ours.groups.items()}
    assert spend.total() == ours.total.cost == 823_200
