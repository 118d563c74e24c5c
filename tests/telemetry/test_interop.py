"""Under another instrumentation's span of the same call, tokens and spend are there once, and nothing is lost."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import openai
import pytest
from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan

from huddle_otel.telemetry import contract
from tests.client.support import COST, FLAVOURS, SAY, Instrument, Recorded, ids_of, with_async

KEY: Final = "opentelemetry.genai.client.inference.context"
MODEL: Final = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1"}
OUTERS: Final[dict[str, dict[str, Any]]] = {
    "conventions": MODEL,
    "no operation": {"gen_ai.request.model": "gpt-4.1"},
    "OpenInference": {"openinference.span.kind": "LLM"},
    "OpenLLMetry": {"llm.request.type": "chat"},
}
NOT_CALLS: Final[dict[str, dict[str, Any]]] = {
    "an agent": {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-4.1"},
    "a tool": {"gen_ai.operation.name": "execute_tool"},
    "a chain": {"openinference.span.kind": "CHAIN"},
    "a request": {"http.route": "/ask"},
}


def _ask(flavour: str, *, stream: bool) -> None:
    async def later(client: Any) -> None:
        answer = await client.chat.completions.create(**SAY, stream=stream)
        if stream:
            async for _ in answer:
                pass

    if flavour == "async":
        with_async(later)
        return
    with openai.OpenAI() as client:
        answer: Any = client.chat.completions.create(**SAY, stream=stream)
        if stream:
            list(answer)


@contextmanager
def _outer(recorded: Recorded, attributes: dict[str, Any], scope: str = "other") -> Iterator[Any]:
    with recorded.tracer_provider.get_tracer(scope).start_as_current_span("outer", attributes=attributes) as span:
        yield span


def _outer_of(recorded: Recorded) -> ReadableSpan:
    (span,) = (each for each in recorded.exporter.get_finished_spans() if each.name == "outer")
    return span


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", OUTERS)
def test_what_the_outer_span_lacks_is_put_there(
    instrument: Instrument, recorded: Recorded, name: str, flavour: str, stream: bool
) -> None:
    instrument()
    with _outer(recorded, OUTERS[name]):
        _ask(flavour, stream=stream)
    outer, ours = dict(_outer_of(recorded).attributes or {}), recorded.attributes
    assert outer["gen_ai.usage.output_tokens"] == 8
    assert outer[contract.COST] == COST
    assert outer[contract.RESPONSE_MODEL] == "gpt-4.1"
    assert not any(name.startswith("gen_ai.") for name in ours)
    assert ours["huddle.outcome"] == "ok"
    assert ours["huddle.attempts"] == 1
    assert recorded.span.parent is not None
    assert recorded.span.parent.span_id == ids_of(_outer_of(recorded))[1]
    assert recorded.total("huddle.client.cost.usd") == COST
    assert recorded.points("gen_ai.client.operation.duration"), "another scope's metrics are told apart by the scope"


def test_what_the_outer_span_says_itself_is_left(instrument: Instrument, recorded: Recorded) -> None:
    instrument()
    with _outer(recorded, {**MODEL, "gen_ai.usage.output_tokens": 7}):
        _ask("sync", stream=False)
    assert (_outer_of(recorded).attributes or {})["gen_ai.usage.output_tokens"] == 7


def test_an_outer_span_that_ended_before_us_takes_nothing(instrument: Instrument, recorded: Recorded) -> None:
    instrument()
    with openai.OpenAI() as client:
        with _outer(recorded, MODEL):
            stream: Any = client.chat.completions.create(**SAY, stream=True)
        list(stream)
    assert recorded.attributes[contract.COST] == COST
    assert recorded.attributes["gen_ai.usage.output_tokens"] == 8
    assert contract.COST not in (_outer_of(recorded).attributes or {})


def test_what_an_outer_span_said_before_it_ended_is_not_said_again(instrument: Instrument, recorded: Recorded) -> None:
    instrument()
    with openai.OpenAI() as client:
        with _outer(recorded, {**MODEL, "gen_ai.usage.output_tokens": 8}):
            stream: Any = client.chat.completions.create(**SAY, stream=True)
        list(stream)
    assert recorded.attributes[contract.COST] == COST
    assert "gen_ai.usage.output_tokens" not in recorded.attributes


@pytest.mark.parametrize("name", NOT_CALLS)
def test_a_span_that_only_contains_calls_changes_nothing(instrument: Instrument, recorded: Recorded, name: str) -> None:
    instrument()
    with _outer(recorded, NOT_CALLS[name]):
        _ask("sync", stream=False)
    assert recorded.attributes["gen_ai.operation.name"] == "chat"
    assert recorded.attributes[contract.COST] == COST
    assert dict(_outer_of(recorded).attributes or {}) == NOT_CALLS[name]


@pytest.mark.parametrize("kind", ["inference", "embedding", "fetch_response"])
def test_under_util_genai_the_conventional_metrics_are_its_own(
    instrument: Instrument, recorded: Recorded, kind: str
) -> None:
    instrument()
    token = context.attach(context.set_value(KEY.replace("inference", kind), object()))
    try:
        with _outer(recorded, MODEL):
            _ask("sync", stream=True)
    finally:
        context.detach(token)
    assert not recorded.points("gen_ai.client.operation.duration")
    assert not recorded.points("gen_ai.client.token.usage")
    assert recorded.total("huddle.client.calls", huddle__outcome="ok") == 1
    assert recorded.total("huddle.client.tokens", type="output") == 8


@pytest.mark.parametrize("theirs", ["true", "false"])
def test_what_openllmetry_records_is_recorded_once(
    instrument: Instrument, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    monkeypatch.setenv("TRACELOOP_METRICS_ENABLED", theirs)
    instrument()
    with _outer(recorded, OUTERS["OpenLLMetry"], "opentelemetry.instrumentation.openai.v1"):
        _ask("sync", stream=True)
    ours = theirs == "false"
    assert bool(recorded.points("gen_ai.client.operation.duration")) is ours
    assert bool(recorded.points("gen_ai.client.token.usage")) is ours
    assert recorded.points("gen_ai.client.operation.time_to_first_chunk")


def test_util_genai_is_told_of_us_when_it_is_in_use(
    instrument: Instrument, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs inside our call, such as a transport that asks another model, sees that it is recorded."""
    module = types.ModuleType("opentelemetry.util.genai.invocation")
    module.InferenceData = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    seen: list[Any] = []
    instrument()
    with openai.OpenAI() as client:
        client._client.event_hooks = {"request": [lambda _: seen.append(context.get_value(KEY))]}
        client.chat.completions.create(**SAY)
        assert context.get_value(KEY) is None
    assert seen == [{}]
    assert recorded.attributes["huddle.outcome"] == "ok"
