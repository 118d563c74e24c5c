"""The endpoint: names as the stock exporter's and as the OTLP path's, exemplars, ports that are taken."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from huddle_otel.telemetry import contract
from huddle_otel_exporters import otlp
from huddle_otel_exporters.exposition import unit_suffix
from huddle_otel_exporters.pipeline import Pipeline
from huddle_otel_exporters.prometheus import PrometheusReader
from tests.exporters.collector import Rotel
from tests.exporters.conftest import App, Run, warnings_of
from tests.exporters.contract_points import SPAN_ID, TRACE_ID, record_all, scraped_name

OPENMETRICS: Final = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
PLAIN: Final = "text/plain;version=0.0.4"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrometheusReader]:
    """A reader that serves on a port of the system's choice."""
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    made = PrometheusReader()
    made.serve()
    yield made
    made.close()


def scrape(reader: PrometheusReader, accept: str = PLAIN, path: str = "/metrics") -> str:
    assert reader.address is not None
    request = urllib.request.Request(f"http://127.0.0.1:{reader.address[1]}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - the literal above
        assert ("openmetrics" in answer.headers["Content-Type"]) == (accept == OPENMETRICS)
        return str(answer.read().decode())


def families(text: str) -> dict[str, Any]:
    return {
        family.name: (
            family.type,
            {(sample.name, tuple(sorted(sample.labels.items())), sample.value) for sample in family.samples},
        )
        for family in parse_text(text)
    }


def test_every_metric_is_named_as_the_stock_exporter_names_it(reader: PrometheusReader) -> None:
    registry = CollectorRegistry()
    provider = MeterProvider(
        [reader, PrometheusMetricReader(registry=registry)], Resource({"service.name": "shop", "9lives": True})
    )
    record_all(provider)
    stock, ours = families(generate_latest(registry).decode()), families(scrape(reader))
    assert ours == stock
    assert len(ours) == len(contract.METRICS) + 1
    assert ("target_info", (("_lives", "true"), ("service_name", "shop")), 1.0) in ours["target_info"][1]
    labels = dict(next(iter(ours["huddle_client_calls"][1]))[1])
    assert (labels["otel_scope_name"], labels["otel_scope_version"]) == (contract.SCOPE, "1.2.3")
    provider.shutdown()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_pushed_and_scraped_names_agree(
    protocol: str, reader: PrometheusReader, rotel: Rotel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", rotel.grpc if protocol == "grpc" else rotel.http)
    part = otlp.build("otlp", protocol=protocol, signals=["METRICS"])
    assert part.reader is not None
    provider = MeterProvider([reader, part.reader], shutdown_on_exit=False)
    pipeline = Pipeline([part], meter_provider=provider)
    pipeline.start()
    record_all(provider)
    assert pipeline.flush(10)
    rotel.wait_for(lambda: len({metric.name for metric in rotel.metrics}) >= len(contract.METRICS))
    pushed = {metric.name: metric for metric in rotel.metrics}
    assert pushed.keys() == {metric.name for metric in contract.METRICS}
    translated = {scraped_name(each.name, each.unit, monotonic=each.monotonic) for each in pushed.values()}
    text = scrape(reader)
    scraped = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")} - {"target_info"}
    assert translated == scraped
    pipeline.shutdown()


def test_exemplars_come_with_openmetrics_only(reader: PrometheusReader) -> None:
    provider = MeterProvider([reader])
    record_all(provider)
    assert "# {" not in scrape(reader, PLAIN)
    provider.shutdown()


def test_exemplars_point_to_the_trace(reader: PrometheusReader) -> None:
    provider = MeterProvider([reader])
    record_all(provider)
    text = scrape(reader, OPENMETRICS)
    assert text.endswith("# EOF\n")
    parsed: Iterator[Any] = parse_openmetrics(text)  # type: ignore[no-untyped-call]  # not typed
    (duration,) = (each for each in parsed if each.name == "gen_ai_client_operation_duration_seconds")
    assert duration.unit == "seconds"
    (sample,) = (sample for sample in duration.samples if sample.exemplar)
    assert sample.labels["le"] == "0.32"
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {"trace_id": f"{TRACE_ID:032x}", "span_id": f"{SPAN_ID:016x}"}
    assert sample.exemplar.value == 0.3
    provider.shutdown()


def test_metrics_of_the_app_are_served_as_far_as_the_format_goes(reader: PrometheusReader) -> None:
    view = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], views=[view])
    meter = provider.get_meter("app", attributes={"team": "search"})
    meter.create_histogram("exponential").record(1)
    meter.create_counter("twice", unit="By").add(2)
    provider.get_meter("other").create_gauge("twice", unit="By").set(3)
    meter.create_counter("orders_total").add(1)
    meter.create_up_down_counter("Floor-2/b.c").add(-1, {"list": [1, 2]})
    found = families(scrape(reader))
    assert set(found) == {"target_info", "twice_bytes", "orders", "floor_2_b_c"}
    assert found["twice_bytes"][0] == "counter"
    ((_, labels, value),) = found["floor_2_b_c"][1]
    assert (dict(labels)["otel_scope_team"], dict(labels)["list"], value) == ("search", "[1, 2]", -1)
    provider.shutdown()


@pytest.mark.parametrize(
    ("unit", "suffix"), [("s", "seconds"), ("{call}", ""), ("1", ""), ("By/s", "bytes_per_second"), ("m3.x", "m3_x")]
)
def test_units(unit: str, suffix: str) -> None:
    assert unit_suffix(unit) == suffix


def test_a_collection_that_fails_is_an_error_of_the_scrape_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(PrometheusReader):
        def read(self) -> MetricsData | None:
            raise TimeoutError

    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", "0")
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "::1")
    reader = Broken()
    reader.serve()
    for path, status in {"/metrics": 500, "/secrets": 404}.items():
        assert reader.address is not None
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://[::1]:{reader.address[1]}{path}")
        assert refused.value.status == status
        refused.value.close()
    reader.close()


def test_a_second_worker_warns_once_and_goes_on(free_port: Callable[[], int], app: App, run: Run) -> None:
    port = free_port()
    first = app('start("prometheus"); say("ready"); input()', OTEL_EXPORTER_PROMETHEUS_PORT=port)
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"
    second = run('start("prometheus"); call(2); say("called")', OTEL_EXPORTER_PROMETHEUS_PORT=port)
    (warning,) = warnings_of(second.stderr)
    assert f"127.0.0.1:{port} is taken" in warning
    assert "exporters=['otlp']" in warning


def test_forked_workers_leave_the_port_to_their_parent_and_warn_once(free_port: Callable[[], int], run: Run) -> None:
    port = free_port()
    code = f"""
import os, urllib.request
pipeline = start("prometheus"); call(1)
for _ in range(3):
    if not os.fork():
        call(1); pipeline.shutdown(); os._exit(0)
for _ in range(3): assert os.wait()[1] == 0
lines = urllib.request.urlopen("http://127.0.0.1:{port}/metrics").read().decode().splitlines()
values = [line.split()[-1] for line in lines if line.startswith("huddle_client_calls_total")]
say([value for value in values if value != "0.0"])
"""
    done = run(code, OTEL_EXPORTER_PROMETHEUS_PORT=port)
    assert done.stdout.strip() == "['1.0']"
    assert len(warnings_of(done.stderr)) == 1


def test_an_address_that_cannot_be_opened_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "203.0.113.1")
    reader = PrometheusReader()
    reader.serve()
    reader.serve()
    assert reader.address is None
    (line,) = caplog.messages
    assert "203.0.113.1:9464 cannot be opened (OSError)" in line
