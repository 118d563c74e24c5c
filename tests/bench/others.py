"""What other instrumentations add to a call, beside ours: each in a process of its own, in one run.

All of them export to nowhere, with every span sampled and metrics read by nobody. Medians of alternating rounds, CPU of
the calling thread. An instrumentation that cannot be taken back is measured after the bare rounds instead.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import openai
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import huddle_otel
from tests.bench.__main__ import CHUNKS, _cpu, _Null, _plain, _stream
from tests.bench.upstream import KEY, upstream

Switch = tuple[Callable[[], object], Callable[[], object]]
"""What puts a contender in force, and what takes it back."""


def _providers() -> dict[str, Any]:
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(_Null()))
    return {"tracer_provider": tracer_provider, "meter_provider": MeterProvider([InMemoryMetricReader()])}


def _ours(**settings: Any) -> Switch:
    def on() -> None:
        huddle_otel.instrument(base_url=os.environ["OPENAI_BASE_URL"], api_key=KEY, **settings, **_providers())

    return on, huddle_otel.uninstrument


def _instrumentor(module: str) -> Switch:
    instrumentor = importlib.import_module(module).OpenAIInstrumentor()
    return lambda: instrumentor.instrument(**_providers()), instrumentor.uninstrument


def _logfire() -> Switch:
    logfire: Any = importlib.import_module("logfire")
    logfire.configure(send_to_logfire=False, console=False)
    taken: list[Any] = []

    def on() -> None:
        taken.append(logfire.instrument_openai())
        taken[-1].__enter__()

    return on, lambda: taken.pop().__exit__(None, None, None)


CONTENDERS: Final[dict[str, Callable[[], Switch]]] = {
    "huddle_otel": _ours,
    "huddle_otel, no HTTP spans": lambda: _ours(http_spans=False),
    "official OpenTelemetry": lambda: _instrumentor("opentelemetry.instrumentation.genai.openai"),
    "OpenLLMetry": lambda: _instrumentor("opentelemetry.instrumentation.openai"),
    "OpenInference": lambda: _instrumentor("openinference.instrumentation.openai"),
    "Logfire": _logfire,
}


def measure(name: str, calls: int, rounds: int) -> dict[str, list[float]]:
    """Return [bare, instrumented] medians of a contender, µs a call, plain and streamed."""
    figures: dict[str, list[float]] = {}
    on, off = CONTENDERS[name]()
    for kind, work, each in (("plain", _plain, calls), ("stream", _stream, max(calls // 6, 5))):
        client = openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=KEY)
        seen: list[list[float]] = [[], []]
        for _ in range(rounds + 1):
            for instrumented in (False, True):
                if instrumented:
                    on()
                    client = openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=KEY)
                seen[instrumented].append(_cpu(lambda: work(client), each))  # noqa: B023 - called at once
                if instrumented:
                    off()
                    client = openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=KEY)
        figures[kind] = [statistics.median(values[1:]) for values in seen]
    return figures


def main() -> None:
    """Measure every contender that is installed, print a table, and one JSON line for machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--contender", choices=list(CONTENDERS), help="in this process; what the run itself uses")
    args = parser.parse_args()
    if args.contender:
        print(json.dumps(measure(args.contender, args.calls, args.rounds)))
        return
    print(f"openai {openai.__version__}, Python {sys.version.split()[0]}; a stream has {CHUNKS} chunks\n")
    print(f"{'':28} {'plain: bare':>12} {'added µs':>9} {'':>7} {'stream: bare':>13} {'added µs':>9}")
    rows: dict[str, Any] = {}
    with upstream(CHUNKS) as url:
        for name in CONTENDERS:
            command = [sys.executable, "-m", "tests.bench.others", "--contender", name]
            command += ["--calls", str(args.calls), "--rounds", str(args.rounds)]
            done = subprocess.run(
                command, env={**os.environ, "OPENAI_BASE_URL": url}, capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"{name:28} {done.stderr.strip().splitlines()[-1][:90]}")
                continue
            rows[name] = json.loads(done.stdout.splitlines()[-1])
            (bare, ours), (stream, streamed) = rows[name]["plain"], rows[name]["stream"]
            print(
                f"{name:28} {bare:12.0f} {ours - bare:9.0f} {(ours - bare) / bare:6.2f}x {stream:13.0f} "
                f"{streamed - stream:9.0f} {(streamed - stream) / stream:6.2f}x",
                flush=True,
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
