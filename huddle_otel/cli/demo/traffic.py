"""The app: ordinary code on the openai client, which does not know whether huddle_otel is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from openai import OpenAI

from huddle_otel.cli.demo.scenario import Ask

ANSWERED: Final = "answered"
CUT_SHORT: Final = "cut short"
"""The stream ended without an error and without its end: the app has half an answer and does not know it."""
UNFINISHED: Final = "unfinished"
_TICK: Final = 0.1
_PATIENCE: Final = 8.0
"""Seconds for the calls under way when the last one has begun; they need about three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the app got of one call."""

    ask: Ask
    seconds: float
    """How long the call took, as the app felt it."""
    ended: str
    """`answered`, `cut short`, or the class of the exception."""


def ask(client: OpenAI, question: Ask) -> str | None:
    """Make one call. Returns the `finish_reason` of the answer, None when it never came."""
    if not question.stream:
        answer = client.chat.completions.create(
            model=question.model,
            messages=[{"role": "user", "content": question.prompt}],
            max_tokens=question.max_tokens,
        )
        return answer.choices[0].finish_reason
    finish: str | None = None
    for chunk in client.chat.completions.create(
        model=question.model,
        messages=[{"role": "user", "content": question.prompt}],
        max_tokens=question.max_tokens,
        stream=True,
    ):
        if chunk.choices:
            finish = chunk.choices[0].finish_reason or finish
    return finish


def play(client: OpenAI, plan: Iterable[Ask], tick: Callable[[float, list[Result]], None]) -> list[Result]:
    """Make every call of a plan at its time, however long the others take, each in a thread of its own.

    Args:
        client: The app's client.
        plan: The calls, in order of their time.
        tick: Called about ten times a second with the seconds since the start and the results so far.

    Returns:
        A result for each call, in no particular order.
    """
    results: list[Result] = []
    threads: list[tuple[Ask, threading.Thread]] = []
    started = time.perf_counter()

    def once(question: Ask) -> None:
        began = time.perf_counter()
        try:
            ended = ANSWERED if ask(client, question) is not None else CUT_SHORT
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the app would have to handle
            ended = type(error).__name__
        results.append(Result(ask=question, seconds=time.perf_counter() - began, ended=ended))

    for question in plan:
        while (early := question.at - (time.perf_counter() - started)) > 0:
            time.sleep(min(early, _TICK))
            tick(time.perf_counter() - started, results)
        thread = threading.Thread(target=once, args=(question,), daemon=True)  # a Ctrl-C need not wait for it
        thread.start()
        threads.append((question, thread))
    deadline = time.perf_counter() + _PATIENCE
    while any(thread.is_alive() for _, thread in threads) and time.perf_counter() < deadline:
        time.sleep(_TICK)
        tick(time.perf_counter() - started, results)
    late = [question for question, thread in threads if thread.is_alive()]
    return [*results, *(Result(ask=question, seconds=_PATIENCE, ended=UNFINISHED) for question in late)]
