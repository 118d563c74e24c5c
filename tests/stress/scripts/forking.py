"""A pre-forking server in small: `forking.py URL KEY`. Each process prints one line of JSON when all went well."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

import openai
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

import huddle_otel
from huddle_otel import TimeoutPolicy

URL, KEY = sys.argv[1:]
SAY: dict[str, Any] = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi there"}]}
STALLS: dict[str, Any] = {**SAY, "model": "stalls"}
WORKERS, THREADS = 3, 4


class Count(SpanProcessor):
    started = ended = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started += 1

    def on_end(self, span: Any) -> None:
        self.ended += 1


def use(client: openai.OpenAI, done: list[str]) -> None:
    plain = client.chat.completions.create(**SAY)
    chunks = list(client.chat.completions.create(stream=True, **SAY))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == plain.choices[0].message.content
    done.append(text)


def in_threads(client: openai.OpenAI) -> None:
    done: list[str] = []
    threads = [threading.Thread(target=use, args=(client, done)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == THREADS


def stalled(client: openai.OpenAI) -> None:
    """Have the stall clock fire: without the thread that watches it, the socket's timeout would, under another name."""
    try:
        list(client.chat.completions.create(stream=True, **STALLS))
    except huddle_otel.StallTimeout:
        return
    raise AssertionError("the stall clock did not fire")


def report(role: str, count: Count) -> None:
    circuits = huddle_otel.current_health()["circuits"]
    figures = {name: sum(each[name] for each in circuits) for name in ("admitted", "ok", "failure", "ignored")}
    line = {"role": role, "started": count.started, "ended": count.ended, **figures}
    os.write(1, json.dumps(line).encode() + b"\n")  # in one piece: the processes share the pipe


def worker() -> None:
    count = Count()
    provider.add_span_processor(count)
    with openai.OpenAI() as client:  # as an app must: the parent's sockets are the parent's
        in_threads(client)
        stalled(client)
    report("worker", count)


total = Count()
provider = TracerProvider()
provider.add_span_processor(total)
clocks = TimeoutPolicy(first_token=1.5, stall=0.5, total=40)
huddle_otel.instrument(base_url=URL, api_key=KEY, timeout=clocks, tracer_provider=provider)
with openai.OpenAI() as shared:
    in_threads(shared)
    stalled(shared)  # the thread that watches runs, and will not in the workers
    still_open = shared.chat.completions.create(stream=True, **SAY)
    next(still_open)
    workers = []
    for _ in range(WORKERS):
        pid = os.fork()
        if not pid:
            worker()
            sys.stdout.flush()
            os._exit(0)  # as servers do; what an interpreter does at its end is another test
        workers.append(pid)
    rest = list(still_open)
    in_threads(shared)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    assert codes == [0] * WORKERS, codes
    assert rest
    stalled(shared)
report("parent", total)
