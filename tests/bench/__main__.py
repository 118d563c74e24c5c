"""What huddle_otel costs: CPU per call and per chunk, import time, memory. Bare and instrumented in one run.

Rounds of bare and instrumented calls alternate, since machines drift. Medians of the rounds count; quote the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import openai
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import NoOpTracerProvider

import huddle_otel
from tests.bench import policies
from tests.bench.upstream import KEY, upstream

MESSAGES: list[Any] = [{"role": "user", "content": "How long is a day on Mars?"}]
_LARGE: list[Any] = [{"role": "user", "content": "x" * 1_000_000}]
CHUNKS = 64


class _Null(SpanExporter):
    """Takes spans and lets them go: what exporting costs is the exporter's account."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to do."""


def _plain(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="gpt-4.1", messages=MESSAGES)


def _stream(client: openai.OpenAI) -> None:
    for _chunk in client.chat.completions.create(
        model="gpt-4.1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    ):
        pass


async def _aplain(client: openai.AsyncOpenAI) -> None:
    await client.chat.completions.create(model="gpt-4.1", messages=MESSAGES)


async def _astream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="gpt-4.1", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    async for _chunk in stream:
        pass


def _large(client: openai.OpenAI) -> None:
    client.chat.completions.create(model="gpt-4.1", messages=_LARGE)


def _instrument(url: str, sampler: Sampler | None, *, http_spans: bool = True) -> None:
    """Put ours in force; without a sampler there is no telemetry at all, only the call story."""
    tracer_provider: TracerProvider | NoOpTracerProvider = NoOpTracerProvider()
    meter_provider: MeterProvider | NoOpMeterProvider = NoOpMeterProvider()
    if sampler is not None:
        tracer_provider = TracerProvider(sampler=sampler)
        tracer_provider.add_span_processor(BatchSpanProcessor(_Null()))
        meter_provider = MeterProvider([InMemoryMetricReader()])
    huddle_otel.instrument(
        base_url=url,
        api_key=KEY,
        http_spans=http_spans,
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
    )


def _cpu(work: Callable[[], None], calls: int) -> float:
    """Return microseconds of this thread's CPU per call."""
    before = time.thread_time()
    for _ in range(calls):
        work()
    return (time.thread_time() - before) / calls * 1e6


def _rounds(
    url: str,
    work: Callable[[openai.OpenAI], None],
    calls: int,
    rounds: int,
    sampler: Sampler | None,
    *,
    http_spans: bool = True,
) -> list[float]:
    """Alternate bare and instrumented rounds; return [bare, instrumented] medians, µs CPU per call."""
    figures: list[list[float]] = [[], []]
    client = openai.OpenAI(base_url=url, api_key=KEY)
    for _ in range(rounds + 1):
        for instrumented in (False, True):
            if instrumented:
                _instrument(url, sampler, http_spans=http_spans)
            figures[instrumented].append(_cpu(lambda: work(client), calls))
            huddle_otel.uninstrument()
    return [statistics.median(each[1:]) for each in figures]


def _arounds(url: str, work: Callable[[openai.AsyncOpenAI], Awaitable[None]], calls: int, rounds: int) -> list[float]:
    """As `_rounds`, for the async client in one event loop."""

    async def run() -> list[float]:
        figures: list[list[float]] = [[], []]
        client = openai.AsyncOpenAI(base_url=url, api_key=KEY)
        for _ in range(rounds + 1):
            for instrumented in (False, True):
                if instrumented:
                    _instrument(url, ALWAYS_ON)
                before = time.thread_time()
                for _ in range(calls):
                    await work(client)
                figures[instrumented].append((time.thread_time() - before) / calls * 1e6)
                huddle_otel.uninstrument()
        await client.close()
        return [statistics.median(each[1:]) for each in figures]

    return asyncio.run(run())


def _import_times(runs: int) -> tuple[float, float]:
    """Return ms to `import openai`, and ms more for `import huddle_otel` on top; medians of fresh processes."""
    script = (
        "import time; a=time.perf_counter(); import openai; b=time.perf_counter(); import huddle_otel; "
        "c=time.perf_counter(); print((b-a)*1e3, (c-b)*1e3)"
    )
    pairs = [
        [float(part) for part in subprocess.check_output([sys.executable, "-c", script], text=True).split()]
        for _ in range(runs)
    ]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def _resident() -> int:
    """Return this process's resident memory, KiB."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a kernel file
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def _growth(url: str, calls: int) -> tuple[int, int]:
    """Return KiB resident after a warm-up of a tenth, and after all calls; every fifth call is a stream left early."""
    _instrument(url, ALWAYS_ON)
    client = openai.OpenAI()
    warm = 0
    for number in range(calls):
        if number % 5 == 0:
            stream = client.chat.completions.create(model="gpt-4.1", messages=MESSAGES, stream=True)
            next(iter(stream))
            stream.close()
        else:
            _plain(client)
        if number == calls // 10:
            gc.collect()
            warm = _resident()
    gc.collect()
    huddle_otel.uninstrument()
    return warm, _resident()


def main() -> None:
    """Run everything and print a table, and one JSON line for machines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300, help="plain calls per round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory-calls", type=int, default=20_000)
    args = parser.parse_args()
    os.environ.setdefault("HUDDLE_API_KEY", KEY)
    streams = max(args.calls // 6, 5)
    with upstream(CHUNKS) as url:
        rows = {
            "plain chat": _rounds(url, _plain, args.calls, args.rounds, ALWAYS_ON),
            "plain chat, no HTTP span": _rounds(url, _plain, args.calls, args.rounds, ALWAYS_ON, http_spans=False),
            "plain chat, no telemetry": _rounds(url, _plain, args.calls, args.rounds, None, http_spans=False),
            "plain chat, a prompt of 1 MB": _rounds(url, _large, streams, args.rounds, ALWAYS_ON),
            "plain chat, not sampled": _rounds(url, _plain, args.calls, args.rounds, ALWAYS_OFF, http_spans=False),
            f"stream of {CHUNKS} chunks": _rounds(url, _stream, streams, args.rounds, ALWAYS_ON),
            "plain chat, async": _arounds(url, _aplain, args.calls, args.rounds),
            f"stream of {CHUNKS} chunks, async": _arounds(url, _astream, streams, args.rounds),
        }
        growth = _growth(url, args.memory_calls) if args.memory_calls else None
    print(f"openai {openai.__version__}, Python {sys.version.split()[0]}; CPU of the calling thread, medians\n")
    print(f"{'':32} {'bare µs':>9} {'ours µs':>9} {'added µs':>9} {'added':>7}")
    for name, (bare, ours) in rows.items():
        print(f"{name:32} {bare:9.0f} {ours:9.0f} {ours - bare:9.0f} {(ours - bare) / bare:6.2f}x")
    for name in (f"stream of {CHUNKS} chunks", f"stream of {CHUNKS} chunks, async"):
        plain = rows["plain chat, async" if "async" in name else "plain chat"]
        per_chunk = ((rows[name][1] - rows[name][0]) - (plain[1] - plain[0])) / CHUNKS
        print(f"  per chunk of {name}: {per_chunk:.2f} µs added")
    added = {name: instrumented - bare for name, (bare, instrumented) in rows.items()}
    for name in ("plain chat, no HTTP span", "plain chat, not sampled"):
        print(f"  spans, metrics, tokens and spend of {name}: {added[name] - added['plain chat, no telemetry']:.0f} µs")
    base, ours = _import_times(7)
    print(f"import openai {base:.0f} ms, import huddle_otel on top {ours:.1f} ms")
    if growth is not None:
        print(
            f"memory: {growth[0]} KiB after {args.memory_calls // 10} calls, {growth[1]} KiB after {args.memory_calls}"
        )
    with upstream(8) as url:
        alone = policies.report(url)
    print(json.dumps({"us": rows, "policies": alone, "import_ms": [base, ours], "memory_kib": growth}))


if __name__ == "__main__":
    main()
