"""OTLP to a real collector: what arrives is what was recorded, over both protocols, and only once across forks."""

from __future__ import annotations

import signal

import pytest

from tests.exporters.collector import Rotel
from tests.exporters.conftest import App, Run, warnings_of


@pytest.mark.parametrize("how", ["http", "grpc", "otlp-grpc", "environment"])
def test_spans_and_metrics_arrive(how: str, rotel: Rotel, run: Run) -> None:
    names = {"otlp-grpc": ["otlp-grpc"], "environment": []}.get(how, ["otlp"])
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": rotel.grpc if "grpc" in how else rotel.http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc" if how == "grpc" else "http/protobuf",
        "OTEL_SERVICE_NAME": "shop",
    }
    done = run(f"start(*{names}, region='lab'); call(3)", **variables)
    rotel.wait_for(lambda: rotel.calls and rotel.last("huddle.client.calls"))
    assert len(rotel.calls) == 3
    span = rotel.calls[0]
    assert span.name == "chat gpt-4.1"
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.provider.name"] == "huddle01"
    assert span.attributes["gen_ai.usage.output_tokens"] == "8"
    assert span.attributes["huddle.outcome"] == "ok"
    assert float(span.attributes["gen_ai.usage.cost"]) == pytest.approx(6.8e-05)
    assert span.resource["service.name"] == "shop"
    assert span.resource["region"] == "lab"
    assert set(rotel.last("huddle.client.calls").values()) == {3}
    assert set(rotel.last("gen_ai.client.operation.duration").values()) == {3}
    assert not warnings_of(done.stderr)


def test_flush_delivers_before_the_process_is_cut_off(rotel: Rotel, run: Run) -> None:
    code = "import os\npipeline = start('otlp'); call(2); say(pipeline.flush(5)); os._exit(0)"
    done = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    assert done.stdout.split() == ["True"]
    assert len(rotel.calls) == 2
    assert set(rotel.last("huddle.client.calls").values()) == {2}


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ("", -signal.SIGTERM),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", 7),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0),
    ],
)
def test_sigterm_delivers_and_then_does_what_it_did(before: str, status: int, rotel: Rotel, app: App) -> None:
    code = f"""
import signal, sys, time
from huddle_otel_exporters import install_sigterm
{before}
pipeline = start("otlp"); assert install_sigterm(pipeline)
call(2); say("ready")
for _ in range(50):
    time.sleep(0.01)
"""
    process = app(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == status
    assert len(rotel.calls) == 2
    assert set(rotel.last("huddle.client.calls").values()) == {2}


def test_a_signal_handler_is_for_the_main_thread(run: Run) -> None:
    code = """
import threading
from huddle_otel_exporters import install_sigterm
pipeline = start("console")
thread = threading.Thread(target=lambda: say(install_sigterm(pipeline))); thread.start(); thread.join()
"""
    assert run(code).stdout.split() == ["False"]


FORK = """
import os
pipeline = start(os.environ["APP_EXPORTER"], "console"); call(3)
assert FLUSH
if not (child := os.fork()):
    call(2); delivered = pipeline.flush(10); os._exit(0 if delivered else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
call(1)
"""


@pytest.mark.parametrize("flushed", [True, False])
@pytest.mark.parametrize("name", ["otlp", "otlp-grpc"])
def test_a_forked_child_exports_its_own_and_nothing_of_its_parents(
    name: str, rotel: Rotel, run: Run, *, flushed: bool
) -> None:
    code = FORK.replace("FLUSH", "pipeline.flush(5)" if flushed else "True")
    endpoint = rotel.grpc if name == "otlp-grpc" else rotel.http
    done = run(code, APP_EXPORTER=name, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    rotel.wait_for(lambda: len(rotel.last("gen_ai.client.operation.duration")) == 2)
    rotel.wait_for(lambda: len(rotel.calls) >= 6)
    assert len({span.identifier for span in rotel.calls}) == len(rotel.calls) == 6
    assert sorted(rotel.last("gen_ai.client.operation.duration").values()) == [2, 4]
    assert done.stderr.count("huddle_otel: 4 calls") == 1
    assert done.stderr.count(" calls, ") == 1
    assert not warnings_of(done.stderr)


def test_a_forked_child_counts_from_nothing(rotel: Rotel, run: Run) -> None:
    run(FORK.replace("FLUSH", "True"), APP_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    assert sorted(rotel.last("huddle.client.calls").values()) == [2, 4]


def test_a_multiprocessing_child_delivers_when_it_ends(rotel: Rotel, run: Run) -> None:
    code = """
import multiprocessing
pipeline = start("otlp"); call(1)
child = multiprocessing.get_context("fork").Process(target=call, args=(2,)); child.start(); child.join()
assert child.exitcode == 0
"""
    run(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    rotel.wait_for(lambda: len(rotel.calls) >= 3)
    assert len(rotel.calls) == 3
    assert sorted(rotel.last("gen_ai.client.operation.duration").values()) == [1, 2]


def test_forking_among_busy_threads_locks_nothing_up(rotel: Rotel, run: Run) -> None:
    code = """
import os, threading
from huddle_otel_exporters import set_up
pipeline = set_up(["otlp"])
tracer, meter = pipeline.tracer_provider.get_tracer("busy"), pipeline.meter_provider.get_meter("busy")
histogram = meter.create_histogram("work")
def work():
    while True:
        with tracer.start_as_current_span("work"):
            histogram.record(1)
for _ in range(3): threading.Thread(target=work, daemon=True).start()
for _ in range(25):
    if not (child := os.fork()):
        histogram.record(1); tracer.start_span("child").end()
        os._exit(0 if pipeline.flush(20) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    variables: dict[str, object] = {
        "OTEL_METRIC_EXPORT_INTERVAL": 5,
        "OTEL_BSP_SCHEDULE_DELAY": 20,
        "OTEL_BSP_MAX_QUEUE_SIZE": 64,
        # Without coverage, whose own lock a busy thread may hold at the fork: then the child waits for it for ever.
        "COVERAGE_PROCESS_CONFIG": "",
    }
    run(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http, OTEL_EXPORTER_OTLP_TIMEOUT=20, **variables)
    assert sum(span.name == "child" for span in rotel.spans) == 25
