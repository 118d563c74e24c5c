"""What other instrumentations add to a call, beside ours: each in a process and a virtual environment of its own.

All of them export to nowhere, with every span sampled and metrics read by nobody. Medians of alternating rounds, CPU of
the calling thread. What cannot be taken back is measured after the bare rounds instead of between them. Each comes as
its documentation sets it up; those that record prompts by default do so here.
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
from pathlib import Path
from typing import Any, Final

import openai
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import huddle_otel
from tests.bench.__main__ import CHUNKS, _cpu, _Null, _plain, _stream
from tests.bench.upstream import KEY, upstream

VENVS: Final = Path(__file__).parents[2] / ".venv"
Switch = tuple[Callable[[], object], Callable[[], object] | None]
"""What puts a contender in force, and what takes it back, if anything does."""


class _Count(SpanProcessor):
    """Counts spans, so that nothing is measured that records nothing."""

    ended = 0

    def on_end(self, span: ReadableSpan) -> None:
        _Count.ended += 1


def _providers() -> dict[str, Any]:
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(_Null()))
    tracer_provider.add_span_processor(_Count())
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
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[_Count()])
    taken: list[Any] = []

    def on() -> None:
        taken.append(logfire.instrument_openai())
        taken[-1].__enter__()

    return on, lambda: taken.pop().__exit__(None, None, None)


def _langfuse() -> Switch:
    langfuse: Any = importlib.import_module("langfuse")
    provider = TracerProvider()
    provider.add_span_processor(_Count())
    langfuse.Langfuse(
        public_key="pk-lf-bench", secret_key="sk-lf-bench", tracer_provider=provider, span_exporter=_Null()
    )
    return lambda: importlib.import_module("langfuse.openai"), None


CONTENDERS: Final[dict[str, tuple[str, Callable[[], Switch]]]] = {
    "huddle_otel": ("openai-3", _ours),
    "huddle_otel, no HTTP spans": ("openai-3", lambda: _ours(http_spans=False)),
    "official OpenTelemetry": ("beside-official", lambda: _instrumentor("opentelemetry.instrumentation.genai.openai")),
    "OpenLLMetry": ("beside-openllmetry", lambda: _instrumentor("opentelemetry.instrumentation.openai")),
    "OpenInference": ("beside-openinference", lambda: _instrumentor("openinference.instrumentation.openai")),
    "Logfire": ("beside-logfire", _logfire),
    "Langfuse": ("beside-langfuse", _langfuse),
}
"""Name -> its virtual environment below `.venv/`, and how it is switched."""


def measure(name: str, calls: int, rounds: int) -> dict[str, list[float]]:
    """Return [bare, instrumented] medians of a contender, µs a call, plain and streamed."""
    on, off = CONTENDERS[name][1]()
    works = (("plain", _plain, calls), ("stream", _stream, max(calls // 6, 5)))
    seen: dict[str, list[list[float]]] = {kind: [[], []] for kind, *_ in works}

    def go(*, instrumented: bool) -> None:
        for kind, work, each in works:
            client = openai.OpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key=KEY)
            seen[kind][instrumented].append(_cpu(lambda: work(client), each))  # noqa: B023 - called at once

    if off is None:
        for instrumented in (False, True):
            if instrumented:
                on()
            for _ in range(rounds + 1):
                go(instrumented=instrumented)
    else:
        for _ in range(rounds + 1):
            go(instrumented=False)
            on()
            go(instrumented=True)
            off()
    if _Count.ended < 2 * rounds * len(works):
        sys.exit(f"it recorded {_Count.ended} spans")
    return {kind: [statistics.median(values[1:]) for values in pair] for kind, pair in seen.items()}


def main() -> None:
    """Measure every contender, print a table, and one JSON line for machines."""
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
        for name, (venv, _) in CONTENDERS.items():
            python = VENVS / venv / "bin" / "python"
            command = [str(python), "-m", "tests.bench.others", "--contender", name]
            command += ["--calls", str(args.calls), "--rounds", str(args.rounds)]
            done = subprocess.run(
                command, env={**os.environ, "OPENAI_BASE_URL": url}, capture_output=True, text=True, check=False
            )
            if done.returncode:
                sys.exit(f"{name}: {done.stderr}")
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
