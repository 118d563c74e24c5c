"""What costs without answering: each class of it in the ledger, on the span and in the metrics, or unknown there."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import openai
import pytest

import huddle_otel
from huddle_otel import TimeoutPolicy
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.kinds import Fault
from huddle_otel.gateway.personas import LITELLM
from tests.client.support import FLAVOURS, KEY, SAY, Instrument, Recorded, with_async
from tests.client.test_streams import _ctrl_c
from tests.telemetry.conftest import Rows

WHOLE: Final = 68_000
"""What the gateway says of an answer: 2 tokens in, 8 out; nano-dollars."""
TWO: Final = 20_000
"""By the catalogue: 2 tokens in, and the 2 out that had come."""
SO_FAR: Final = replace(LITELLM, usage_so_far=True)
HASTY: Final = {"timeout": TimeoutPolicy(connect=0.2, first_token=0.2, stall=0.2, total=0.3), "retry": None}
ONCE: Final = {"retry": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """One class of calls, and what is known of its cost."""

    name: str
    stream: bool = False
    faults: tuple[Fault, ...] = ()
    """Of the first calls of the upstream; the last also of all others."""
    so_far: bool = False
    """The upstream tells on every chunk what was used up to it."""
    leaves: int | None = None
    """Chunks that the app takes: the role's and those with content."""
    cancelled: bool = False
    """The app gives the call up: before an answer, or after `leaves` chunks."""
    settings: dict[str, Any]
    flavours: tuple[str, ...] = FLAVOURS

    outcome: str
    answered: bool = True
    """The call used something, or may have."""
    cost: int | None = None
    source: str = "unknown"
    double: bool = False

    def __str__(self) -> str:
        return self.name


def plain(name: str, outcome: str, *faults: Fault, **more: Any) -> Class:
    """A plain call, made once unless it says otherwise."""
    return Class(name=f"plain-{name}", outcome=outcome, faults=faults, **{"settings": ONCE, **more})


def stream(name: str, outcome: str, *faults: Fault, **more: Any) -> Class:
    """A streamed one."""
    return Class(name=f"stream-{name}", stream=True, outcome=outcome, faults=faults, **{"settings": ONCE, **more})


def so_far(name: str, outcome: str, *faults: Fault, **more: Any) -> Class:
    """A streamed one whose upstream tells the usage as it goes."""
    told = {"so_far": True, "cost": TWO, "source": "catalogue", **more}
    return stream(f"{name}-usage-so-far", outcome, *faults, **told)


_500, _429 = faults.status(500), faults.rate_limited()
_RETRIED: Final[dict[str, Any]] = {"settings": {}}
_NOTHING: Final[dict[str, Any]] = {"answered": False}
CLASSES: Final = (
    plain("whole", "ok", cost=WHOLE, source="gateway"),
    plain("refused", "error", faults.status(400), **_NOTHING),
    plain("rate-limited", "error", _429, **_NOTHING),
    # an upstream may have worked on these; only the gateway's 0 says that it did not, and it says so of every error
    plain("failed", "error", _500),
    plain("reset", "error", faults.reset_before_first_byte()),
    plain("late", "error", faults.hang(), settings=HASTY),
    plain("cancelled", "cancelled", faults.hang(), cancelled=True),
    # the head of the answer told its cost before the body broke; the async client shows nobody a head without a body
    plain("cut", "error", faults.reset(1), cost=WHOLE, source="gateway", flavours=("sync",)),
    plain("cut", "error", faults.reset(1), flavours=("async",)),
    plain("retried", "ok", _500, faults.good(), cost=WHOLE, source="gateway", double=True, **_RETRIED),
    plain("retried-in-vain", "error", _500, _429, double=True, **_RETRIED),
    plain("retried-after-refusal", "ok", _429, faults.good(), cost=WHOLE, source="gateway", **_RETRIED),
    stream("whole", "ok", cost=WHOLE, source="gateway"),
    stream("refused", "error", faults.status(400), **_NOTHING),
    stream("failed", "error", faults.error_frame(2)),
    stream("failed-early", "error", faults.error_frame(0)),
    stream("truncated", "truncated", faults.cut(2)),
    stream("broken", "error", faults.cut(2, tidy=False)),
    stream("late", "error", faults.hang(), settings=HASTY),
    stream("stalled", "error", faults.stall(2), settings=HASTY),
    stream("left", "abandoned", leaves=3),
    # at the reason it ended for, one chunk before usage and cost
    stream("left-at-its-end", "ok", leaves=10),
    stream("cancelled-early", "cancelled", faults.hang(), cancelled=True),
    stream("cancelled", "cancelled", faults.stall(2), leaves=3, cancelled=True),
    stream(
        "retried", "ok", faults.error_frame(0), faults.good(), cost=WHOLE, source="gateway", double=True, **_RETRIED
    ),
    so_far("whole", "ok", cost=WHOLE, source="gateway"),
    so_far("failed", "error", faults.error_frame(2)),
    so_far("truncated", "truncated", faults.cut(2)),
    so_far("broken", "error", faults.cut(2, tidy=False)),
    so_far("stalled", "error", faults.stall(2), settings=HASTY),
    so_far("left", "abandoned", leaves=3),
    so_far("left-at-its-end", "ok", leaves=10, cost=WHOLE),
    so_far("cancelled", "cancelled", faults.stall(2), leaves=3, cancelled=True),
)


def _play(case: Class, flavour: str, instrument: Instrument, **settings: Any) -> None:
    """Make the one call, against an upstream of its own."""
    last = len(case.faults) - 1
    rules = [Rule(each, calls={at} if at < last else range(at, 99)) for at, each in enumerate(case.faults)]
    with Gateway(rules, key=KEY, persona=SO_FAR if case.so_far else LITELLM) as gateway:
        instrument(base_url=gateway.url, **settings, **case.settings)
        if flavour == "sync":
            _sync(case, gateway)
        else:
            with_async(lambda client: _async(case, gateway, client))


def _sync(case: Class, gateway: Gateway) -> None:
    reached = threading.Event()

    def ready() -> object:
        return reached.wait(10) if case.leaves else gateway.wait_for(lambda: gateway.in_flight == 1)

    with openai.OpenAI() as client, suppress(Exception):  # openai 1 lets errors of its transport through
        if not case.cancelled:
            answer: Any = client.chat.completions.create(**SAY, stream=case.stream)
            if case.stream:
                list(islice(answer, case.leaves))
                answer.close()
            return
        with pytest.raises(KeyboardInterrupt), _ctrl_c(ready):
            for number, _ in enumerate(client.chat.completions.create(**SAY, stream=case.stream), 1):
                if number == case.leaves:
                    reached.set()


async def _async(case: Class, gateway: Gateway, client: openai.AsyncOpenAI) -> None:
    reached = asyncio.Event()

    async def ask() -> None:
        answer: Any = await client.chat.completions.create(**SAY, stream=case.stream)
        if not case.stream:
            return
        number = 0
        async for _ in answer:
            number += 1
            if number == case.leaves and not case.cancelled:
                break
            if number == case.leaves:
                reached.set()
        await answer.close()

    task = asyncio.ensure_future(ask())
    if case.cancelled:
        if case.leaves:
            await reached.wait()
        else:
            await asyncio.to_thread(gateway.wait_for, lambda: gateway.in_flight == 1)
        task.cancel()
    with suppress(Exception, asyncio.CancelledError):
        await task


BOTH: Final = [pytest.param(case, flavour, id=f"{case}-{flavour}") for case in CLASSES for flavour in case.flavours]


@pytest.mark.parametrize(("case", "flavour"), BOTH)
def test_every_class_is_accounted_for(
    instrument: Instrument, recorded: Recorded, rows: Rows, case: Class, flavour: str
) -> None:
    _play(case, flavour, instrument, exporters=["ledger"])
    (told,) = rows()
    assert (told["outcome"], bool(told["answered"])) == (case.outcome, case.answered)
    assert (told["cost"], told["cost_source"]) == (case.cost, case.source)
    assert bool(told["double_billing"]) == case.double

    span = recorded.attributes
    assert span["huddle.outcome"] == case.outcome
    assert span.get("gen_ai.usage.cost") == (None if case.cost is None else case.cost / 1e9)
    assert span.get("huddle.cost.source") == (case.source if case.answered else None)
    assert span.get("huddle.possible_double_billing", False) == case.double

    wasted = case.cost if case.cost is not None and case.outcome != "ok" else 0
    unknown = case.cost is None and case.answered
    assert recorded.total("huddle.client.cost.usd") == (case.cost or 0) / 1e9
    assert recorded.total("huddle.client.cost.waste.usd", huddle__outcome=case.outcome) == wasted / 1e9
    assert recorded.total("huddle.client.cost.unknown", huddle__outcome=case.outcome) == unknown
    assert recorded.total("huddle.client.cost.unknown") == unknown
    assert recorded.total("huddle.client.double_billing.possible") == case.double


def _failed_response(usage: dict[str, int]) -> dict[str, Any]:
    error = {"code": "server_error", "message": "lost"}
    base = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4.1", "status": "failed"}
    more = {"output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage}
    return {**base, "error": error, **more}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
def test_a_failed_response_tells_what_it_used(
    instrument: Instrument, recorded: Recorded, rows: Rows, streamed: bool
) -> None:
    body = _failed_response({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})
    event = {"type": "response.failed", "sequence_number": 1, "response": body}
    data = f"event: response.failed\ndata: {json.dumps(event)}\n\n" if streamed else json.dumps(body)
    kind = "text/event-stream" if streamed else "application/json"
    rule = Rule(faults.status(200, body=data.encode(), content_type=kind))
    with Gateway([rule], key=KEY, persona="openai") as gateway:
        instrument(base_url=gateway.url, exporters=["ledger"], retry=None)
        with openai.OpenAI() as client:
            answer: Any = client.responses.create(model="gpt-4.1", input="hi", stream=streamed)
            list(answer if streamed else ())
    (told,) = rows()
    assert (told["outcome"], told["cost"], told["cost_source"]) == ("error", 10 * 2_000 + 5 * 8_000, "catalogue")
    assert recorded.total("huddle.client.cost.waste.usd", huddle__outcome="error") == 6e-05


@pytest.mark.parametrize(("case", "flavour"), BOTH)
def test_a_limit_on_spend_keeps_what_may_be_billed(instrument: Instrument, case: Class, flavour: str) -> None:
    """Its reservation where nobody knows, which is more than any of these calls used."""
    _play(case, flavour, instrument, spend_guard=huddle_otel.SpendGuard(limit=100))
    (account,) = huddle_otel.current_health()["budgets"]
    assert account["reserved"] == 0
    if case.cost is not None:
        assert account["spent"] == case.cost
    else:
        assert (account["spent"] > WHOLE) == case.answered
        assert account["spent"] > WHOLE or account["spent"] == 0
