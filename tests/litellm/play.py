"""Makes the calls of a mix: by threads and by tasks at once, few at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import openai

import huddle_otel
from tests.litellm.mix import Planned, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE: Final = 8
"""Calls under way by each driver."""
_STREAMS: Final = {Way.STREAM, Way.RESPONSE_STREAM, Way.LEFT}
_CHUNKS_OF_LEFT: Final = 2
_PATIENCE: Final = 0.25
"""Seconds until a call is cancelled; its upstream takes twice as long."""


def play(planned: Sequence[Planned]) -> None:
    """Make every call; each has its number in the plan as the tag `call`."""
    numbered = list(enumerate(planned))
    with ThreadPoolExecutor(AT_ONCE + 1) as threads, openai.OpenAI() as client:
        tasks = threads.submit(asyncio.run, _tasks([each for each in numbered if each[1].driver == "async"]))
        calls = [threads.submit(_call, client, number, each) for number, each in numbered if each.driver == "sync"]
        for each in [tasks, *calls]:
            each.result()


def _begin(client: Any, planned: Planned) -> Any:
    """Make the call; an async client's is still to be awaited."""
    kind, prompt = planned.kind, planned.prompt
    more: dict[str, Any] = {"model": kind.name, **({"stream": True} if kind.way in _STREAMS else {}), **kind.call}
    match kind.way:
        case Way.EMBEDDINGS:
            return client.embeddings.create(input=prompt, **more)
        case Way.RESPONSE | Way.RESPONSE_STREAM:
            return client.responses.create(input=prompt, **more)
        case _:
            return client.chat.completions.create(messages=[{"role": "user", "content": prompt}], **more)


def _call(client: openai.OpenAI, number: int, planned: Planned) -> None:
    kind = planned.kind
    with huddle_otel.tags(call=number), suppress(openai.OpenAIError):
        answer = _begin(client, planned)
        if kind.way in _STREAMS:
            for _ in islice(answer, _CHUNKS_OF_LEFT if kind.way is Way.LEFT else None):
                pass
            answer.close()


async def _tasks(numbered: Sequence[tuple[int, Planned]]) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    async with openai.AsyncOpenAI() as client:
        await asyncio.gather(*(_acall(client, places, number, each) for number, each in numbered))


async def _acall(client: openai.AsyncOpenAI, places: asyncio.Semaphore, number: int, planned: Planned) -> None:
    kind = planned.kind
    async with places:
        with huddle_otel.tags(call=number), suppress(openai.OpenAIError, TimeoutError):
            patience = _PATIENCE if kind.way is Way.CANCELLED else None
            answer = await asyncio.wait_for(_begin(client, planned), patience)
            if kind.way in _STREAMS:
                left = _CHUNKS_OF_LEFT if kind.way is Way.LEFT else None
                async for _ in answer:
                    if left is not None and (left := left - 1) == 0:
                        break
                await answer.close()
