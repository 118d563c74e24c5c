"""The load of one run, a process of its own: calls at their due times, whatever becomes of those before (open loop).

Prints `ready`, reads one line, the start on the monotonic clock, offers the load, and prints what became of each call:
`{"late": s, "calls": [[due after s, took s, outcome], …], "leaked": permits}`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import random
import sys
import time
from typing import Any

import openai
import openai._base_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import huddle_otel
from tests.bench.storm import scenarios

MESSAGES: list[Any] = [{"role": "user", "content": scenarios.PROMPT}]
WARM_CALLS = 30
Row = tuple[float, float, str]


class _Null(SpanExporter):
    """Takes spans and lets them go."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to do."""


def official() -> Any:
    """Return the instrumentor of the official OpenTelemetry package, or None where it is not installed."""
    try:
        return importlib.import_module("opentelemetry.instrumentation.genai.openai").OpenAIInstrumentor
    except ImportError:
        return None


def prepare(contender: str, url: str, scale: float) -> None:
    """Put the contender in force, every waiting time divided by the scale, counts and shares as they are."""
    # the client's own waits between retries, which are constants of its module
    for name in ("INITIAL_RETRY_DELAY", "MAX_RETRY_DELAY"):
        setattr(openai._base_client, name, getattr(openai._base_client, name) / scale)
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(_Null()))
    meter_provider = MeterProvider([InMemoryMetricReader()])
    if contender == "otel":
        official()().instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
    if contender == "ours":
        huddle_otel.instrument(
            base_url=url,
            api_key=scenarios.KEY,
            timeout=huddle_otel.TimeoutPolicy(
                connect=5 / scale, first_token=60 / scale, stall=30 / scale, total=600 / scale
            ),
            retry=huddle_otel.RetryPolicy(base=0.5 / scale, cap=8 / scale),
            breaker=huddle_otel.BreakerPolicy(
                window=30 / scale, open_for=5 / scale, max_open=10 / scale, probe_first_token=20 / scale
            ),
            bulkhead=huddle_otel.BulkheadPolicy(max_wait=1 / scale),
            rate_limit=huddle_otel.RateLimitPolicy(max_wait=60 / scale),
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
        )


async def _call(client: openai.AsyncOpenAI) -> str:
    waited = False

    def turned() -> None:
        nonlocal waited
        waited = True

    # runs when the event loop next gets its turn, so not before a call that is refused at the door is over
    asyncio.get_running_loop().call_soon(turned)
    try:
        await client.chat.completions.create(model=scenarios.MODEL_ID, messages=MESSAGES)
    except huddle_otel.CircuitOpenError:
        return "open, queued" if waited else "open"
    except huddle_otel.BulkheadFullError:
        return "full"
    except openai.OpenAIError:
        return "error"
    return "ok"


async def offer(client: openai.AsyncOpenAI, began: float, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Offer calls at random moments (Poisson), `rate` a second; those unfinished soon after the end are cut off."""
    draws, rows, tasks, late = random.Random(seed), list[Row](), set[asyncio.Task[None]](), 0.0

    async def one(due: float) -> None:
        before = time.monotonic()
        outcome = "cut off"
        try:
            outcome = await _call(client)
        finally:
            rows.append((round(due - began, 4), round(time.monotonic() - before, 6), outcome))

    due = began
    while (due := due + draws.expovariate(rate)) < began + seconds:
        ahead = due - time.monotonic()
        if ahead > 0:
            await asyncio.sleep(ahead)
        late = max(late, -ahead)
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"late": late, "calls": rows, "leaked": _leaked()}


def _leaked() -> int:
    """Return the permits that did not come back: by the law of conservation none."""
    return sum(
        abs(each["admitted"] - each["ok"] - each["failure"] - each["ignored"]) + each["waiting"]
        for each in huddle_otel.current_health()["circuits"]
    )


async def _run(contender: str, url: str, scale: float, rate: float, seed: int) -> None:
    prepare(contender, url, scale)
    client = openai.AsyncOpenAI(base_url=url, api_key=scenarios.KEY, timeout=scenarios.PATIENCE / scale)
    await asyncio.gather(*(_call(client) for _ in range(WARM_CALLS)))
    gc.freeze()  # what imports left behind is not to be looked through while the load runs
    print("ready", flush=True)
    began = float(await asyncio.to_thread(sys.stdin.readline))
    print(json.dumps(await offer(client, began, rate, scenarios.TOTAL / scale, seed)), flush=True)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what it costs to write warnings to a terminal is not the question
    contender, url, scale, rate, seed = sys.argv[1:]
    asyncio.run(_run(contender, url, float(scale), float(rate), int(seed)))
