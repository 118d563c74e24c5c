"""The same app scraped and pushed, over OTLP, a collector and remote write, on an older and a newer Prometheus."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from huddle_otel.cli.stack.local import Stack, running
from huddle_otel.cli.stack.processes import answers, free_port, server
from huddle_otel.gateway import Gateway
from tests.dashboards.lab.outage import HEALTHY, KEY, App, Told, alert, models, plan, rules, wait_for
from tests.exporters.conftest import missing

pytestmark = [pytest.mark.backend, pytest.mark.timeout(180)]
_PROGRAMS: Final = {
    "prometheus": "prometheus",
    "HUDDLE_TEST_PROMETHEUS_3": os.environ.get("HUDDLE_TEST_PROMETHEUS_3", ""),
    "HUDDLE_TEST_VMAGENT": os.environ.get("HUDDLE_TEST_VMAGENT", ""),
    "prometheus-alertmanager": "prometheus-alertmanager",
}
"""Programs, some by variables that hold their paths: they are in newer Debian releases only."""
_RELABEL: Final = """\
- {source_labels: [service_name], target_label: job}
- {source_labels: [service_instance_id], target_label: instance}
"""
_ADDED: Final = re.compile("job|instance|le|(otel_)?scope_.*|service_.*|telemetry_.*")
"""Labels of where a series comes from, on the one path or the other."""


def _program(name: str) -> str:
    found = shutil.which(_PROGRAMS[name])
    if found is None:
        missing(name)
    return found


@contextmanager
def _collecting(folder: Path, port: int, stack: Stack) -> Generator[None]:
    """Take OTLP on a port, and write it on to Prometheus."""
    (folder / "relabel.yml").write_text(_RELABEL)
    command = [
        _program("HUDDLE_TEST_VMAGENT"),
        f"-httpListenAddr=127.0.0.1:{port}",
        "-opentelemetry.usePrometheusNaming",
        f"-remoteWrite.url={stack.prometheus}/api/v1/write",
        f"-remoteWrite.relabelConfig={folder / 'relabel.yml'}",
        f"-remoteWrite.tmpDataPath={folder / 'vmagent'}",
        "-remoteWrite.flushInterval=200ms",
        "-remoteWrite.forcePromProto",
    ]
    ready = partial(answers, f"http://127.0.0.1:{port}/health")
    with server("vmagent", command, log=folder / "vmagent.log", ready=ready, longest=180):
        yield


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway(models=models(), key=KEY) as running_one:
        yield running_one


@pytest.mark.parametrize("version", ["prometheus", "HUDDLE_TEST_PROMETHEUS_3"])
def test_names_are_the_same_on_both_paths_and_both_page(version: str, gateway: Gateway, tmp_path: Path) -> None:
    told, port = Told(), free_port()
    _program("prometheus-alertmanager")
    app = App("pushed", gateway, otlp=f"http://127.0.0.1:{port}/opentelemetry", interval=0.5)
    pages = [alert("CircuitOpen", "down", job=job) for job in ("scraped", "pushed")]
    with ExitStack() as stack:
        stack.enter_context(told.listening())
        watched = plan(
            {"scraped": app},
            told,
            prometheus=_program(version),
            options=("--web.enable-remote-write-receiver",),
        )
        local = stack.enter_context(running(watched, tmp_path))
        stack.enter_context(_collecting(tmp_path, port, local))
        stack.callback(app.kill)
        app.start()
        app.call(HEALTHY)
        wait_for(lambda: len(local.ask("query", query="huddle_client_calls_total > 2")["result"]) == len(pages))
        scraped, pushed = _series(local, "scraped"), _series(local, "pushed")
        assert len(scraped) > 20
        assert scraped == pushed

        gateway.script(rules())
        app.call(HEALTHY, "down")
        wait_for(lambda: all(told.of(each) for each in pages))
        assert all(told.of(each) for each in pages)
        gateway.script([])
        wait_for(lambda: all(told.is_over(each) for each in pages))
        assert all(told.is_over(each) for each in pages)
        worked_out = [rule for group in local.ask("rules")["groups"] for rule in group["rules"]]
        assert len(worked_out) == 37
        assert {rule["health"] for rule in worked_out} == {"ok"}


def _series(local: Stack, job: str) -> set[tuple[str, frozenset[str]]]:
    """Return name and labels of each kind of series of ours."""
    found = local.ask("series", **{"match[]": f'{{job="{job}", __name__=~"(huddle|gen_ai)_.*"}}'})
    return {
        (each.pop("__name__"), frozenset(name for name in each if _ADDED.fullmatch(name) is None)) for each in found
    }
