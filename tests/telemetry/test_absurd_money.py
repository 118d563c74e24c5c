"""Odd numbers about money from an upstream, and clocks that jump: the call goes on, and every account stays sound."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any, Final

import openai
import pytest

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.client import patch
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.kinds import Fault
from tests.client.support import KEY, SAY, Instrument, Recorded
from tests.telemetry.conftest import Rows

ESTIMATE: Final = 2 * 2_000 + 8 * 8_000
"""By the catalogue, nano-dollars."""
DAY: Final = 86_400
COUNTS: Final = (-1, math.nan, math.inf, -math.inf, "many", 1.5, 2**53 + 1, 10**30, [3], {"n": 3})
"""No numbers of tokens."""
COSTS: Final = (-1, -1e-9, math.nan, math.inf, -math.inf, True, "many", 2**53 + 1, 10**30, [3], {"n": 3})
"""No amounts of USD."""
HEADERS: Final = ("-1", "NaN", "Infinity", "1e400", "None", "", "many", "9" * 70, "0x10", "1_000", "1,5", "true")
"""No amounts either."""


def answer(usage: dict[str, Any], headers: dict[str, str]) -> Fault:
    """A plain answer that tells this usage."""
    message = {"role": "assistant", "content": "Steady."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1", "choices": [choice]}
    return faults.status(200, body=json.dumps({**body, "usage": usage}).encode(), headers=headers)


def stream(usage: dict[str, Any], headers: dict[str, str]) -> Fault:
    """A stream that tells it, on its last chunk of content and once more at its end."""
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4.1"}
    content = {"index": 0, "delta": {"role": "assistant", "content": "Steady."}, "finish_reason": "stop"}
    chunks = ({"choices": [content], "usage": usage}, {"choices": [], "usage": usage})
    lines = [*(json.dumps({**head, **chunk}) for chunk in chunks), "[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return faults.status(200, body=body, headers=headers, content_type="text/event-stream")


def tokens(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """An odd number of tokens in."""
    return {"prompt_tokens": value, "completion_tokens": 8, "total_tokens": value}, {}


def details(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """An odd number among the details."""
    told = {"prompt_tokens": 2, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": value}}
    return {**told, "total_tokens": 10, "completion_tokens_details": {"reasoning_tokens": value}}, {}


def cost(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """An odd cost beside sound tokens."""
    return {"prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10, "cost": value}, {}


def header(value: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """An odd cost in the header."""
    return cost(None)[0], {"x-litellm-response-cost": value, "x-litellm-response-cost-input": value}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("tell", "values", "known"),
    [(tokens, COUNTS, None), (details, COUNTS, ESTIMATE), (cost, COSTS, ESTIMATE), (header, HEADERS, ESTIMATE)],
    ids=["tokens", "details", "cost", "header"],
)
def test_an_odd_number_becomes_unknown_and_nothing_else_changes(
    instrument: Instrument,
    recorded: Recorded,
    rows: Rows,
    tell: Callable[[Any], tuple[dict[str, Any], dict[str, str]]],
    values: tuple[Any, ...],
    known: int | None,
    streamed: bool,
) -> None:
    make = stream if streamed else answer
    rules = [Rule(make(*tell(value)), calls={number}) for number, value in enumerate(values)]
    with Gateway(rules, key=KEY, persona="openai") as gateway:
        instrument(base_url=gateway.url, exporters=["ledger"], spend_guard=SpendGuard(limit=100))
        with openai.OpenAI() as client:
            for _ in values:
                got: Any = client.chat.completions.create(**SAY, stream=streamed)
                first, *_ = got if streamed else [got]
                said = first.choices[0].delta if streamed else first.choices[0].message
                assert said.content == "Steady."
    told = rows()
    assert [each["outcome"] for each in told] == ["ok"] * len(values)
    assert [each["cost"] for each in told] == [known] * len(values)
    assert {each["cost_source"] for each in told} == {"unknown" if known is None else "catalogue"}
    assert {each["input_tokens"] for each in told} == {None if tell is tokens else 2}
    assert {each["cache_read_tokens"] for each in told} == {None}
    _check_sound(told, recorded)
    (account,) = huddle_otel.current_health()["budgets"]
    assert account["reserved"] == 0
    if known is None:  # each keeps its reservation, which is more than it can have used
        assert len(values) * ESTIMATE < account["spent"] < 100 * 10**9
    else:
        assert account["spent"] == len(values) * known


@pytest.mark.parametrize("value", [True, "12"])
def test_a_number_that_the_client_makes_of_something_else_counts_as_the_app_sees_it(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any], value: Any
) -> None:
    gateway.script([Rule(answer(*tokens(value)))])
    instrument()
    shown = make(openai.OpenAI).chat.completions.create(**SAY).usage.prompt_tokens
    assert recorded.attributes.get("gen_ai.usage.input_tokens") == (shown if type(shown) is int else None)


def _check_sound(told: list[dict[str, Any]], recorded: Recorded) -> None:
    """Every number in the ledger and in the metrics is finite, and none is below 0."""
    numbers = [value for each in told for value in each.values() if isinstance(value, int | float)]
    assert all(math.isfinite(number) and number >= 0 for number in numbers)
    for name in recorded.metrics():
        for point in recorded.points(name).values():
            assert 0 <= getattr(point, "sum", point) < math.inf, name
    assert recorded.total("huddle.telemetry.errors") == 0
    spent = sum(each["cost"] or 0 for each in told)
    assert round(recorded.total("huddle.client.cost.usd") * 10**9) == spent
    assert recorded.total("huddle.client.cost.unknown") == sum(each["cost"] is None for each in told)


class Wall:
    """A clock on the wall that can be set. Others go on by the real one."""

    def __init__(self) -> None:
        """Show noon."""
        self._set_by = DAY / 2 - time.time() % DAY

    def __call__(self) -> float:
        """Return Unix time, s."""
        return time.time() + self._set_by

    def jump(self, seconds: float) -> None:
        """Be set forward, or back."""
        self._set_by += seconds


@pytest.fixture
def wall(instrument: Instrument, rows: Rows) -> Wall:
    """The only clock on the wall, with a limit on spend per day and a ledger that look at it."""
    instrument(exporters=["ledger"], spend_guard=SpendGuard(limit=100, per="day"))
    runtime, clock = patch.active(), Wall()
    assert runtime is not None
    assert runtime.spending is not None
    runtime.recorder._wall = runtime.spending._wall = clock
    return clock


@pytest.mark.parametrize("jump", [DAY, -DAY, 30 * DAY, -30 * DAY])
def test_a_clock_set_in_the_middle_of_a_call(
    wall: Wall, rows: Rows, recorded: Recorded, make: Callable[..., Any], jump: float
) -> None:
    before = time.monotonic()
    chunks = make(openai.OpenAI).chat.completions.create(**SAY, stream=True)
    next(chunks)
    wall.jump(jump)
    list(chunks)
    took, ended = time.monotonic() - before, wall()
    (row,) = rows()
    assert 0 < row["duration"] <= took
    assert 0 < row["first_chunk"] <= row["duration"]
    # it ended when the clock says now, and began as long before as it took
    assert 0 <= ended - (row["started"] + row["duration"]) <= took
    (duration,) = recorded.points("gen_ai.client.operation.duration").values()
    assert 0 < duration.sum <= took
    assert row["cost"] == ESTIMATE


def _check_spent(spent: int, *, resets_in: float) -> None:
    (account,) = huddle_otel.current_health()["budgets"]
    assert (account["spent"], account["reserved"]) == (spent, 0)
    assert abs(account["resets_in"] - resets_in) < 60


def test_a_limit_goes_on_with_a_clock_set_forward_and_stays_in_its_period_with_one_set_back(
    wall: Wall, make: Callable[..., Any]
) -> None:
    completions = make(openai.OpenAI).chat.completions
    completions.create(**SAY)
    _check_spent(ESTIMATE, resets_in=DAY / 2)
    chunks = completions.create(**SAY, stream=True)
    wall.jump(DAY)
    list(chunks)  # on the account of the day it began in, which is over
    _check_spent(0, resets_in=DAY / 2)
    completions.create(**SAY)
    wall.jump(-DAY)
    completions.create(**SAY)
    _check_spent(2 * ESTIMATE, resets_in=1.5 * DAY)  # no day is begun twice, so this one lasts longer
    wall.jump(2 * DAY)
    _check_spent(0, resets_in=DAY / 2)
