"""Calls for the tests of limits on spend, of which it is known what they cost and reserve."""

from __future__ import annotations

import time
from typing import Any, Final

import openai

from huddle_otel.events import Request
from tests.client.support import SAY, with_async

COST: Final = 68_000
"""Of one call, in nano-dollars."""
RESERVED: Final = 72_000
"""What it may cost."""
BOUNDED: Final[dict[str, Any]] = {**SAY, "max_tokens": 8}


def ask(flavour: str = "sync", **call: Any) -> Any:
    """Make a call with a client of its own; a stream is read to its end."""

    async def later(client: Any) -> Any:
        answer = await client.chat.completions.create(**{**BOUNDED, **call})
        return [chunk async for chunk in answer] if call.get("stream") else answer

    if flavour == "async":
        return with_async(later)
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(**{**BOUNDED, **call})
        return list(answer) if call.get("stream") else answer


def seconds_of(flavour: str = "sync") -> float:
    """Make a call; returns the seconds it took."""
    begun = time.perf_counter()
    ask(flavour)
    return time.perf_counter() - begun


def request(**body: Any) -> Request:
    """Return the same call as the limits see it."""
    return Request(
        operation="chat",
        model="gpt-4.1",
        host="host",
        port=None,
        provider="huddle01",
        stream=False,
        body={**BOUNDED, **body},
        path="/chat/completions",
    )
