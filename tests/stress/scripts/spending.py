"""One machine of a fleet: `spending.py URL KEY STORE LIMIT CALLS`. Prints one line of JSON: calls made and blocked."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

import openai

import huddle_otel
from huddle_otel import SpendGuard

URL, KEY, STORE, LIMIT, CALLS = sys.argv[1:]
SAY: dict[str, Any] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi there"}], "max_tokens": 8}
THREADS, TASKS = 3, 6
made: list[str] = []


def sync() -> None:
    with openai.OpenAI() as client:
        for number in range(int(CALLS)):
            try:
                answer = client.chat.completions.create(**SAY, stream=bool(number % 2))
                if number % 2:
                    list(answer)
                made.append("made")
            except huddle_otel.SpendLimitError:
                made.append("blocked")


async def task(client: openai.AsyncOpenAI) -> None:
    for _ in range(int(CALLS)):
        try:
            await client.chat.completions.create(**SAY)
            made.append("made")
        except huddle_otel.SpendLimitError:
            made.append("blocked")


async def tasks() -> None:
    async with openai.AsyncOpenAI() as client:
        await asyncio.gather(*(task(client) for _ in range(TASKS)))


# the calls compete for two processors: a slow answer of the store is not what is tested
guards = [
    SpendGuard(limit=LIMIT, action="block", store=STORE, store_timeout=30, on_store_failure="closed"),
    SpendGuard(limit=1, by="model", action="block", store=STORE, store_timeout=30, on_store_failure="closed"),
]
huddle_otel.instrument(base_url=URL, api_key=KEY, spend_guard=guards, breaker=None, bulkhead=None, exporters="none")
threads = [threading.Thread(target=sync) for _ in range(THREADS)]
for thread in threads:
    thread.start()
asyncio.run(tasks())
for thread in threads:
    thread.join()
assert huddle_otel.flush(30)
sys.stdout.write(json.dumps({what: made.count(what) for what in ("made", "blocked")}))
