"""Every fault there is, over real sockets: what the app sees, what was sent, what the circuit and the span say of it."""

from __future__ import annotations

import inspect
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import openai
import pytest

import huddle_otel
from huddle_otel import DeadlineExceeded, TimeoutPolicy
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.fault_table import CALM, CONNECT, FIRST, LOST, NO_CONTENT, ROWS, TOO_LATE, WORDS, End, Row, fails
from tests.client.support import FLAVOURS, SAY, Instrument, Recorded, with_async

PATIENCE: Final = 15.0
"""Seconds that no row takes, on the slowest machine."""
ASKED: Final = {"responses": {"model": SAY["model"], "input": "hi there"}, "chat": SAY}


def _text(piece: Any) -> str:
    """What a complete answer, a chunk or an event says."""
    if hasattr(piece, "choices"):
        parts = (getattr(choice, "delta", None) or choice.message for choice in piece.choices)
        return "".join(part.content or "" for part in parts)
    if hasattr(piece, "output_text"):
        return str(piece.output_text)
    return str(piece.delta) if piece.type == "response.output_text.delta" else ""


def _play(flavour: str, *, stream: bool, api: str = "chat") -> tuple[str, Exception | None]:
    """Make one call, read a stream to its end; return what reached the app and what it caught."""
    heard: list[Any] = []
    asked = {**ASKED[api], "stream": stream}

    async def later(client: Any) -> None:
        create = client.responses.create if api == "responses" else client.chat.completions.create
        answer = await create(**asked)
        if not stream:
            heard.append(answer)
            return
        async for chunk in answer:
            heard.append(chunk)

    def now(client: Any) -> None:
        create = client.responses.create if api == "responses" else client.chat.completions.create
        answer = create(**asked)
        heard.extend(answer if stream else [answer])

    caught: Exception | None = None
    try:
        if flavour == "async":
            with_async(later)
        else:
            with openai.OpenAI() as client:
                now(client)
    except Exception as error:  # noqa: BLE001 - which one is what is tested
        caught = error
    return "".join(map(_text, heard)), caught


def _check(end: End, recorded: Recorded, text: str, caught: Exception | None, took: float) -> None:
    """Compare what the app, the circuit, the span and the metrics say with the table."""
    if end.error:
        assert type(caught) in end.error, repr(caught)
    else:
        assert caught is None, repr(caught)
    assert getattr(caught, "status_code", None) == end.status
    assert text.split() == list(WORDS[: end.words])
    assert took < PATIENCE

    (circuit,) = huddle_otel.current_health()["circuits"]
    assert {name: circuit[name] for name in end.counts} == end.counts
    assert circuit["admitted"] == end.sent == sum(end.counts.values())
    assert (circuit["in_flight"], circuit["waiting"]) == (0, 0)

    attributes = recorded.attributes
    assert attributes["huddle.outcome"] == end.outcome
    assert attributes.get("error.type") == end.kind
    assert attributes.get("http.response.status_code") == end.status
    assert attributes["huddle.attempts"] == end.sent
    assert attributes.get("huddle.possible_double_billing", False) is end.billed_twice
    told = [event.attributes or {} for event in recorded.span.events if event.name == "huddle.attempt"]
    assert "".join(str(each["huddle.attempt.class"]) for each in told) == end.classes
    assert len(recorded.span.events) == len(told)

    assert recorded.total("huddle.client.attempts") == end.sent
    for letter in "ABCDE":
        assert recorded.total("huddle.client.attempts", **{"class": letter}) == end.classes.count(letter)
    assert recorded.total("huddle.client.double_billing.possible") == end.billed_twice
    assert recorded.total("huddle.client.calls", huddle__outcome=end.outcome) == 1
    assert recorded.total("huddle.client.in_flight") == 0


# --- the gateway's faults ---------------------------------------------------------------------------------------------


def _cases(rows: tuple[Row, ...]) -> Iterator[Any]:
    for row in rows:
        for shape, end in (("plain", row.plain), ("stream", row.stream)):
            if end is not None:
                yield pytest.param(row, end, shape == "stream", id=f"{row.name}-{shape}")


def test_the_table_has_every_fault() -> None:
    makers = {name for name in faults.__all__ if inspect.isfunction(getattr(faults, name))}
    assert {row.maker for row in ROWS} == makers
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("row", "end", "stream"), _cases(ROWS))
def test_a_fault(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, row: Row, end: End, stream: bool, flavour: str
) -> None:
    instrument(timeout=end.clocks)
    gateway.script([Rule(row.fault, calls=row.calls)])
    started = time.monotonic()
    text, caught = _play(flavour, stream=stream, api=row.api)
    _check(end, recorded, text, caught, time.monotonic() - started)
    assert len(gateway.calls) == end.sent + row.hops
