"""The load of one run, a process of its own: calls at their due times, whatever becomes of those before (open loop).

Prints `ready`, reads one line, the start on the monotonic clock, offers the load, and prints what became of each call:
`{"late": s, "calls": [[due after s, took s, outcome], …]}`.
"""

from __future__ import annotations

import asyncio
import gc
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


def official() -> type[Any] | None:
    """Return the instrumentor of the official OpenTelemetry package, under its new or its old name."""
    try:
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as New
    except ImportError:
        try:
            from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor as Old
        except ImportError:
            return None
        return Old  # type: ignore[no-any-return,unused-ignore]  # it may not be installed
    return New  # type: ignore[no-any-return,unused-ignore]  # as above


def prepare(contender: str, url: str, scale: float) -> None:
    """Put the contender in force, every waiting time divided by the scale, counts and shares as they are."""
    # the client's own waits between retries, which are constants of its module
    openai._base_client.INITIAL_RETRY_DELAY /= scale  # type: ignore[misc]
    openai._base_client.MAX_RETRY_DELAY /= scale  # type: ignore[misc]
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(_Null()))
    meter_provider = MeterProvider([InMemoryMetricReader()])
    if contender == "otel":
        instrumentor = official()
        assert instrumentor is not None
        instrumentor().instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
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
    return {"late": late, "calls": rows}


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
    asyncio.run(_run(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:5]), seed=int(sys.argv[5])))
