"""Names, providers that are there already, and none at all."""

from __future__ import annotations

import logging
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from importlib.metadata import entry_points

import pytest
from opentelemetry import metrics, trace

import huddle_otel_exporters
from huddle_otel import ConfigurationError
from huddle_otel_exporters import MissingExtraError, set_up
from huddle_otel_exporters.names import BUILDERS, EXTRAS
from tests.exporters.collector import Rotel
from tests.exporters.conftest import ROOT, Run, warnings_of


def untouched() -> bool:
    """Whether this process still has no global providers."""
    return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider) and "Proxy" in repr(
        metrics.get_meter_provider()
    )


def test_the_public_names() -> None:
    assert huddle_otel_exporters.__all__ == sorted(huddle_otel_exporters.__all__)
    assert all(getattr(huddle_otel_exporters, name) for name in huddle_otel_exporters.__all__)
    with pytest.raises(AttributeError):
        _ = huddle_otel_exporters.nothing


@pytest.mark.parametrize("names", [["otpl"], ["console", "zipkin"], ["none", "console"]])
def test_an_unknown_name_is_refused(names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="console, ledger, otlp, otlp-grpc, prometheus; or only none"):
        set_up(names)
    assert untouched()


@pytest.mark.parametrize(
    ("name", "package", "module"),
    [
        ("otlp", "opentelemetry.exporter.otlp.proto.http.trace_exporter", ""),
        ("otlp-grpc", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", ""),
        ("prometheus", "prometheus_client.exposition", "huddle_otel_exporters.prometheus"),
    ],
)
def test_a_missing_extra_says_what_to_install(
    name: str, package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delattr(huddle_otel_exporters, module.rpartition(".")[2] or "-", raising=False)
    with pytest.raises(MissingExtraError, match=rf"pip install 'huddle-otel\[{EXTRAS[name]}\]'"):
        set_up([name])
    assert untouched()
    assert set(EXTRAS) <= set(BUILDERS)


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "otlp"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "thrift", "otlp"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "http", "prometheus"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "65536", "prometheus"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused(
    variable: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        set_up([name])
    assert untouched()


def test_without_exporters_nothing_is_set_and_one_line_says_how(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pipeline = set_up([])
    assert (pipeline.tracer_provider, pipeline.meter_provider) == (None, None)
    assert untouched()
    (line,) = caplog.messages
    assert "HUDDLE_OTEL_EXPORTERS=console" in line
    assert pipeline.flush(1)
    pipeline.shutdown()


@pytest.mark.parametrize("how", ["none", "disabled", "both signals off"])
def test_what_is_turned_off_stays_off(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    if how == "disabled":
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    if how == "both signals off":
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    assert set_up(["none"] if how == "none" else []).tracer_provider is None
    assert untouched()
    assert not caplog.messages


def test_an_endpoint_without_an_exporter_is_a_warning_not_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    assert set_up([]).tracer_provider is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    assert set_up([]).tracer_provider is None
    assert "huddle-otel[otlp]" in caplog.messages[0]
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in caplog.messages[1]
    assert untouched()


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("opentelemetry.sdk", "grpc", "prometheus_client")
    code = f"import sys, huddle_otel_exporters; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_providers_of_the_app_stay_and_are_served(rotel: Rotel, run: Run) -> None:
    code = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from huddle_otel_exporters import set_up
memory, reader = InMemorySpanExporter(), InMemoryMetricReader()
tracers, meters = TracerProvider(), MeterProvider([reader])
tracers.add_span_processor(SimpleSpanProcessor(memory))
trace.set_tracer_provider(tracers); metrics.set_meter_provider(meters)
assert set_up([]).tracer_provider is None, "an endpoint alone adds nothing to an app that has its own"
pipeline = start("otlp", "console"); call(2)
assert trace.get_tracer_provider() is tracers is pipeline.tracer_provider
assert metrics.get_meter_provider() is meters is not pipeline.meter_provider
assert len([span for span in memory.get_finished_spans() if span.instrumentation_scope.name == "huddle_otel"]) == 2
assert reader.get_metrics_data() is None
metrics.get_meter("app").create_counter("orders").add(1)
"""
    done = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    assert len(rotel.calls) == 2
    assert set(rotel.last("huddle.client.calls").values()) == {2}
    assert not rotel.last("orders")
    assert not warnings_of(done.stderr)


def test_providers_of_another_kind_are_left_alone(run: Run) -> None:
    code = """
from opentelemetry import metrics, trace
trace.set_tracer_provider(trace.NoOpTracerProvider()); metrics.set_meter_provider(metrics.NoOpMeterProvider())
pipeline = start("otlp", "console"); call(1)
assert "NoOp" in repr(trace.get_tracer_provider()) and "NoOp" in repr(metrics.get_meter_provider())
assert pipeline.tracer_provider is not trace.get_tracer_provider()
"""
    assert "huddle_otel: 1 call," in run(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9").stderr


def test_the_same_names_are_the_same_pipeline_and_others_replace_it(rotel: Rotel, run: Run) -> None:
    code = """
from opentelemetry import trace
from huddle_otel_exporters import set_up
import huddle_otel
first = start("otlp", "console")
assert set_up(["OTLP ", "console", "otlp"]) is first is set_up()
call(1); huddle_otel.uninstrument()
second = start("otlp")
assert second is not first and first.is_shut_down
assert second.tracer_provider is first.tracer_provider is trace.get_tracer_provider()
assert second.meter_provider is first.meter_provider
call(2); second.shutdown(); second.shutdown()
third = start("console"); assert third.tracer_provider is None
"""
    done = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    assert len(rotel.calls) == 3
    assert set(rotel.last("huddle.client.calls").values()) == {3}
    assert done.stderr.count("huddle_otel: 1 call,") == 1
    assert done.stderr.count("huddle_otel: 3 calls,") == 1
    assert not warnings_of(done.stderr)


def test_the_sdk_finds_our_readers_by_their_names(free_port: Callable[[], int], run: Run) -> None:
    assert {"huddle_console", "huddle_prometheus"} <= entry_points(group="opentelemetry_metrics_exporter").names
    port = free_port()
    code = f"""
import urllib.request
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
_OTelSDKConfigurator().configure()
start(); call(1)
say(urllib.request.urlopen("http://127.0.0.1:{port}/metrics").read().decode())
"""
    done = run(
        code,
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="huddle_prometheus,huddle_console",
        OTEL_EXPORTER_PROMETHEUS_PORT=port,
    )
    assert "huddle_client_calls_total{" in done.stdout
    assert done.stderr.count("huddle_otel: 1 call,") == 1
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")
