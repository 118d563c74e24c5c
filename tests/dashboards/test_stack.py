"""The files for a container engine fit each other, what they mount is there, and no port is open to the world."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

import huddle_otel_dashboards
from tests.exporters.conftest import missing

STACK: Final = Path(__file__).parents[2] / "stack"
PACKAGE: Final = Path(huddle_otel_dashboards.__file__).parent
_COMPOSER: Final = os.environ.get("HUDDLE_TEST_COMPOSE", "docker-compose")
COMPOSE: Final = (STACK / "compose.yaml").read_text(encoding="utf-8")


def test_images_are_pinned() -> None:
    images = re.findall(r"image: (\S+)", COMPOSE)
    assert len(images) == 5
    assert all(re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", image) for image in images)


def test_ports_are_open_on_this_machine_only() -> None:
    ports = re.findall(r'^ +- "(\S+:\d+:\d+)"', COMPOSE, re.MULTILINE)
    assert [port.rpartition(":")[2] for port in ports] == ["4317", "4318", "9090", "9093", "3000"]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_is_mounted_is_there() -> None:
    sources = re.findall(r"^ +- (\.\.?/[^:]+):\S+:ro$", COMPOSE, re.MULTILINE)
    assert len(sources) == 8
    packaged = "../dashboards/huddle_otel_dashboards"
    paths = [Path(source.replace(packaged, str(PACKAGE))) for source in sources]
    assert [path for path in paths if not (STACK / path).exists()] == []


def test_the_collector_listens_where_others_look() -> None:
    collector = (STACK / "collector.yaml").read_text(encoding="utf-8")
    listening = re.findall(r"endpoint: 0\.0\.0\.0:(\d+)", collector)
    assert listening == ["4317", "4318", "8889"]
    assert 'targets: ["collector:8889"]' in (STACK / "prometheus.yml").read_text(encoding="utf-8")
    assert "endpoint: tempo:4317" in collector
    assert "endpoint: 0.0.0.0:4317" in (STACK / "tempo.yaml").read_text(encoding="utf-8")


def test_exemplars_lead_to_the_traces() -> None:
    sources = (STACK / "grafana" / "datasources.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +uid: (\w+)$", sources, re.MULTILINE) == ["prometheus", "tempo", "alertmanager"]
    assert re.findall(r"datasourceUid: (\w+)", sources) == ["tempo"]
    urls = re.findall(r"url: http://(\w+):(\d+)", sources)
    assert urls == [("prometheus", "9090"), ("tempo", "3200"), ("alertmanager", "9093")]


@pytest.mark.backend
def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        missing("promtool")
    shutil.copy(STACK / "prometheus.yml", tmp_path)
    shutil.copy(PACKAGE / "generated" / "alerts.yml", tmp_path)
    command = ["promtool", "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "37 rules found" in done.stdout


@pytest.mark.backend
def test_compose_takes_the_file() -> None:
    client = shutil.which(_COMPOSER)
    if client is None:
        missing("docker-compose")
    command = [client, "--file", str(STACK / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
