"""An app that has calls of every outcome, on a gateway that fails as `RULES` say: `python -m tests.cli.bad_day`.

Settings come from the environment. It says `done` when its calls have ended, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Any, Final

import openai

import huddle_otel
from huddle_otel.gateway import Rule, faults

RULES: Final = [
    Rule(faults.status(500), model="claude-sonnet-4.6", calls={0}),
    Rule(faults.cut(2), model="deepseek-v3.2"),
    Rule(faults.error_frame(after=2), model="gemini-2.5-flash"),
    Rule(faults.slow_drip(0.05), model="gpt-4o"),
    Rule(faults.hang(), model="gpt-4o-mini"),
    Rule(faults.status(400), model="gpt-5"),
]
ASK: Final[list[Any]] = [{"role": "user", "content": "hi there"}]


def calls(client: openai.OpenAI) -> None:
    """Make calls that are answered, and calls that fail, break off and are given up."""
    create = client.chat.completions.create
    for _ in range(4):
        create(model="gpt-4.1", messages=ASK)
    with huddle_otel.tags(team="ads"):
        for _ in create(model="gpt-4.1-mini", messages=ASK, stream=True):
            pass
    create(model="claude-sonnet-4.6", messages=ASK)  # a 500 that may be billed, then an answer
    create(model="nobody/has-a-price", messages=ASK)
    for model in ("deepseek-v3.2", "gemini-2.5-flash"):  # truncated; failed after some of the answer
        with contextlib.suppress(openai.APIError):
            for _ in create(model=model, messages=ASK, stream=True):
                pass
    given_up = create(model="gpt-4o", messages=ASK, stream=True)
    next(iter(given_up))
    given_up.close()
    with contextlib.suppress(openai.APIError):
        create(model="gpt-5", messages=ASK)


async def cancelled() -> None:
    """Cancel a call that the upstream may be working on."""
    async with openai.AsyncOpenAI() as client:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.chat.completions.create(model="gpt-4o-mini", messages=ASK), 0.5)


def main() -> None:
    """Make the calls."""
    huddle_otel.instrument(tag_metrics=("team",), exporters=os.environ["APP_EXPORTERS"].split(","))
    with huddle_otel.tags(team="search"):
        with openai.OpenAI() as client:
            calls(client)
        asyncio.run(cancelled())
    huddle_otel.flush()
    print("done", flush=True)  # noqa: T201 - what the test waits for
    sys.stdin.read()


if __name__ == "__main__":
    main()
