"""A real Prometheus scrapes the endpoint of a real app, keeps its exemplars, and answers queries."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.exporters.conftest import App, missing

pytestmark = pytest.mark.backend

_CONFIG: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: shop, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
"""
_PATIENCE: Final = 20.0
Ask = Callable[..., Any]


@pytest.fixture
def endpoint(app: App, free_port: Callable[[], int]) -> int:
    """The port of an app that has called and waits."""
    port = free_port()
    code = 'start("prometheus", "otlp", region="lab"); call(4); say("ready"); input()'
    process = app(code, OTEL_EXPORTER_PROMETHEUS_PORT=port, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return port


@pytest.fixture
def prometheus(endpoint: int, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Ask]:
    """`prometheus(path, **arguments)`: ask Prometheus' API until there is an answer that is not empty."""
    for binary in ("prometheus", "promtool"):
        if shutil.which(binary) is None:
            missing(binary)
    config, port = tmp_path / "prometheus.yml", free_port()
    config.write_text(_CONFIG.format(port=endpoint))
    subprocess.run(["promtool", "check", "config", config], check=True, capture_output=True)
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=log,
            stderr=log,
        )

    def ask(path: str, **arguments: Any) -> Any:
        until = time.monotonic() + _PATIENCE
        url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(url) as answer:
                    data = json.load(answer)["data"]
            except OSError:
                data = None
            found = data.get("result") if isinstance(data, dict) else data
            if found:
                return found
            time.sleep(0.1)
        return pytest.fail((tmp_path / "prometheus.log").read_text()[-2000:])

    yield ask
    process.terminate()
    process.wait(_PATIENCE)


def test_prometheus_scrapes_the_metrics_and_the_exemplars(prometheus: Ask) -> None:
    (calls,) = prometheus("query", query="huddle_client_calls_total > 0")
    assert calls["value"][1] == "4"
    assert calls["metric"]["huddle_outcome"] == "ok"
    assert calls["metric"]["otel_scope_name"] == "huddle_otel"
    (spend,) = prometheus("query", query="sum(huddle_client_cost_usd_total)")
    assert float(spend["value"][1]) == pytest.approx(4 * 6.8e-05)
    (p95,) = prometheus(
        "query", query="histogram_quantile(0.95, sum by (le) (gen_ai_client_operation_duration_seconds_bucket))"
    )
    assert 0 < float(p95["value"][1]) < 82
    (target,) = prometheus("query", query="target_info")
    assert target["metric"]["region"] == "lab"
    now = time.time()
    (series, *_) = prometheus(
        "query_exemplars", query="gen_ai_client_operation_duration_seconds_bucket", start=now - 600, end=now + 600
    )
    labels = series["exemplars"][0]["labels"]
    assert (len(labels["trace_id"]), len(labels["span_id"])) == (32, 16)


def test_promtool_finds_no_fault(endpoint: int) -> None:
    if shutil.which("promtool") is None:
        missing("promtool")
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint}/metrics") as answer:
        done = subprocess.run(["promtool", "check", "metrics"], input=answer.read(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
