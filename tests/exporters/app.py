"""What the apps of these tests share: each runs in a process of its own, for OpenTelemetry's globals are set once."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import openai

import huddle_otel
from huddle_otel_exporters import Pipeline, set_up

logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpx2").setLevel(logging.WARNING)


def start(*names: str, **resource_attributes: str) -> Pipeline:
    """Set up exporters, then the middleware on them."""
    pipeline = set_up(names, resource_attributes=resource_attributes)
    given = {"tracer_provider": pipeline.tracer_provider, "meter_provider": pipeline.meter_provider}
    changes: dict[str, Any] = {name: provider for name, provider in given.items() if provider is not None}
    huddle_otel.instrument(base_url=os.environ["APP_GATEWAY"], api_key=os.environ["APP_KEY"], **changes)
    return pipeline


def call(times: int = 1) -> None:
    """Ask the embedded gateway for an answer, several times."""
    with openai.OpenAI() as client:
        for _ in range(times):
            client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "hi there"}])


def say(line: str) -> None:
    """Tell the test something, at once."""
    print(line, flush=True)  # noqa: T201
