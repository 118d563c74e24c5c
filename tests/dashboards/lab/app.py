"""An app that calls models without end, the ones a line on its standard input names; ends when that is closed."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import time
from typing import Any, Final

import openai

import huddle_otel
from huddle_otel import BreakerPolicy, ContentPolicy, SpendGuard, TimeoutPolicy

_THREADS: Final = 3
"""Of each model."""
_PACE: Final = 0.6
"""Seconds from one call of a thread to its next."""
_TYPOS: Final = itertools.count()
_MANY: Final = 250
"""Wrong names to get through fast: metrics keep 200 apart."""
_traffic: frozenset[str] = frozenset()


def _redact(_name: str, messages: Any) -> Any:
    if "secret" in str(messages):
        raise RuntimeError
    return None


def _call(client: openai.OpenAI, model: str, name: str) -> None:
    text = "my secret" if model == "talkative" else "hi there"
    question: Any = {"model": name, "messages": [{"role": "user", "content": text}]}
    if model.startswith("stream-"):
        for _ in client.chat.completions.create(**question, stream=True):
            pass
    else:
        client.chat.completions.create(**question)


def _work(client: openai.OpenAI, model: str) -> None:
    while model in _traffic:
        began = time.monotonic()
        number = next(_TYPOS) if model == "typo" else _MANY
        with contextlib.suppress(openai.OpenAIError):
            _call(client, model, f"typo-{number}" if model == "typo" else model)
        pace = 0 if number < _MANY else _PACE
        time.sleep(max(pace - (time.monotonic() - began), 0))


def main() -> None:
    global _traffic
    huddle_otel.instrument(
        base_url=os.environ["LAB_GATEWAY"],
        api_key=os.environ["LAB_KEY"],
        exporters=("prometheus", "otlp"),
        http_spans=False,
        timeout=TimeoutPolicy(connect=1, first_token=1, stall=1, total=3),
        breaker=BreakerPolicy(
            window=2, min_calls=5, failure_rate=0.8, open_for=0.4, max_open=0.8, probe_first_token=None
        ),
        content=ContentPolicy(redact=_redact),
        spend_guard=SpendGuard(limit=1, per="total"),
    )
    client = openai.OpenAI()
    for line in sys.stdin:
        wanted = frozenset(line.split())
        begun, _traffic = wanted - _traffic, wanted
        for model in begun:
            for _ in range(_THREADS):
                threading.Thread(target=_work, args=(client, model), daemon=True).start()
    os._exit(0)  # whatever is under way


main()
