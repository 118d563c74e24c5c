"""An app that leaves in the middle of things: `leaving.py URL KEY HOW`. Prints the outcome of each span exported."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Sequence
from typing import Any

import openai
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import huddle_otel

URL, KEY, HOW = sys.argv[1:]
SAY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi there"}]}


class Printer(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            if "huddle.outcome" in (span.attributes or {}):
                sys.stdout.write(str((span.attributes or {})["huddle.outcome"]) + "\n")
        return SpanExportResult.SUCCESS


def under_way(count: int) -> None:
    """Wait until that many attempts are under way."""
    pause = threading.Event()
    while sum(each["in_flight"] for each in huddle_otel.current_health()["circuits"]) < count:
        pause.wait(0.01)


async def words(client: openai.AsyncOpenAI) -> Any:
    async for chunk in await client.chat.completions.create(model="gpt-4.1", stream=True, **SAY):
        yield chunk


async def drop() -> None:
    # neither the generator nor the client is closed
    client = openai.AsyncOpenAI()
    kept.append(words(client))
    await anext(kept[-1])


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Printer()))
huddle_otel.instrument(base_url=URL, api_key=KEY, tracer_provider=provider)
kept: list[Any] = []
client = openai.OpenAI()
client.chat.completions.create(model="gpt-4.1", **SAY)
if HOW == "open stream":
    kept.append(client.chat.completions.create(model="gpt-4.1", stream=True, **SAY))
    next(kept[-1])
elif HOW == "call in a thread":
    call = {"model": "hangs", **SAY}
    threading.Thread(target=client.chat.completions.create, kwargs=call, daemon=True).start()
    under_way(1)
elif HOW == "stream in a thread":
    threading.Thread(
        target=lambda: list(client.chat.completions.create(model="stalls", stream=True, **SAY)), daemon=True
    ).start()
    under_way(1)
elif HOW == "dropped generator":
    asyncio.run(drop())
elif HOW == "exit in the loop":
    for _ in client.chat.completions.create(model="gpt-4.1", stream=True, **SAY):
        sys.exit(3)
