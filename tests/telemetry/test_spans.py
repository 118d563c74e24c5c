"""The span of a call: the same facts, under the same names, on every way to make the call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from pydantic import BaseModel, ValidationError

from huddle_otel import tags
from huddle_otel.client.request import _endpoint_name
from huddle_otel.gateway import Gateway, Model, Rule, faults
from tests.client.support import COST, FLAVOURS, KEY, SAY, Instrument, Recorded, instrumented, with_async
from tests.telemetry.ways import WAYS, Way


def _use(way: Way, flavour: str) -> object:
    async def later(client: Any) -> object:
        return await way.later(client.chat.completions)

    if flavour == "async":
        return with_async(later)
    with openai.OpenAI() as client:
        return way.sync(client.chat.completions)


def _expected(gateway: Gateway, way: Way) -> dict[str, Any]:
    call = gateway.calls[0]
    expected: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "huddle01",
        "gen_ai.request.model": "gpt-4.1",
        "server.address": "127.0.0.1",
        "server.port": gateway.port,
        "openai.api.type": "chat_completions",
        "huddle.outcome": way.outcome,
        "huddle.attempts": 1,
        "huddle.breaker.state": "closed",
        "huddle.request.id": call.headers["x-litellm-call-id"],
        "huddle.gateway.version": "1.106.2",
        "huddle.gateway.attempted_retries": 0,
        "huddle.gateway.attempted_fallbacks": 0,
    }
    if way.stream:
        expected["gen_ai.request.stream"] = True
    if way.parsed:
        expected["gen_ai.output.type"] = "json"
    if way.outcome == "ok":
        expected |= {
            "gen_ai.response.id": "chatcmpl-000000000000",
            "gen_ai.response.model": "gpt-4.1",
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": 2,
            "gen_ai.usage.output_tokens": 8,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.usage.reasoning.output_tokens": 0,
            "gen_ai.usage.cost": COST,
            "huddle.cost.source": "gateway",
        }
    return expected


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_span_of_every_way_to_make_a_call(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, way: Way, flavour: str
) -> None:
    gateway.script([Rule(faults.slow_drip(0.01), calls={0})] if way.outcome != "ok" else [])
    instrument()
    _use(way, flavour)
    span = recorded.span
    assert span.name == "chat gpt-4.1"
    assert span.kind is SpanKind.CLIENT
    assert span.status.is_unset
    assert span.events == ()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "huddle_otel"
    found: dict[str, Any] = dict(span.attributes or {})
    assert len(found.pop("huddle.gateway.model_id")) == 64
    first = found.pop("gen_ai.response.time_to_first_chunk", None)
    assert found.pop("huddle.attempt.time_to_first_chunk", None) == pytest.approx(first, abs=0.05)
    assert (first is not None) == (way.stream and way.outcome == "ok") or way.outcome != "ok"
    assert found.pop("huddle.gateway.duration_ms") > 0
    assert found.pop("huddle.gateway.overhead_ms") == 0.5
    expected = _expected(gateway, way)
    if way.outcome != "ok":  # how much of the answer was seen is a matter of luck; it is never less than this
        assert expected.items() <= found.items()
        return
    assert found == expected
    assert recorded.total("huddle.client.in_flight") == 0
    assert recorded.total("huddle.client.cost.usd", source="gateway") == COST
    assert recorded.total("huddle.client.tokens", type="output") == 8


# --- where the cost comes from ---------------------------------------------------------------------------------------

MINE = {"gpt-4.1": {"input": "1000", "output": "1000"}}
COSTS: list[tuple[str, str, str, dict[str, Any], str, float | None]] = [
    # name, persona, model, settings, source, USD
    ("gateway", "litellm", "gpt-4.1", {}, "gateway", COST),
    ("gateway-over-mine", "litellm", "gpt-4.1", {"prices": MINE}, "gateway", COST),
    ("catalogue", "openai", "gpt-4.1", {}, "catalogue", COST),
    ("mine", "openai", "gpt-4.1", {"prices": MINE}, "override", 0.01),
    ("unknown", "openai", "no-such-model", {}, "unknown", None),
    ("unknown-to-the-gateway", "litellm", "no-such-model", {}, "unknown", None),
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("persona", "model", "settings", "source", "cost"), [r[1:] for r in COSTS], ids=[r[0] for r in COSTS]
)
def test_who_says_what_it_cost(
    instrument: Instrument,
    recorded: Recorded,
    make: Callable[..., Any],
    persona: str,
    model: str,
    settings: dict[str, Any],
    source: str,
    cost: float | None,
    stream: bool,
) -> None:
    with Gateway(key=None, persona=persona) as server:
        instrument(base_url=server.url, **settings)
        answer = make(openai.OpenAI).chat.completions.create(**{**SAY, "model": model}, stream=stream)
        if stream:
            list(answer)
    attributes = recorded.attributes
    assert attributes["huddle.cost.source"] == source
    assert attributes.get("gen_ai.usage.cost") == cost, "unknown is never zero"
    assert recorded.total("huddle.client.cost.usd") == (cost or 0)
    assert recorded.total("huddle.client.cost.unknown") == (1 if cost is None else 0)
    if source in {"catalogue", "override"}:
        assert attributes["huddle.cost.input"] + attributes["huddle.cost.output"] == pytest.approx(cost)


@pytest.mark.parametrize("said", ["0.0", "123.4"])
def test_a_streams_cost_header_is_not_believed(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any], said: str
) -> None:
    gateway.script([Rule(faults.good({"x-litellm-response-cost": said}))])
    instrument()
    list(make(openai.OpenAI).chat.completions.create(**{**SAY, "model": "unpriced-model"}, stream=True))
    assert recorded.attributes["huddle.cost.source"] == "unknown"


@pytest.mark.parametrize("fault", [faults.status(500), faults.budget_exceeded()])
def test_a_failed_call_cost_nothing_we_know_of(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any], fault: Any
) -> None:
    """Errors say `x-litellm-response-cost: 0`, which is not a price."""
    gateway.script([Rule(fault)])
    instrument()
    with pytest.raises(openai.APIStatusError):
        make(openai.OpenAI).chat.completions.create(**SAY)
    assert "gen_ai.usage.cost" not in recorded.attributes
    assert recorded.points("huddle.client.cost.usd") == {}


# --- requests --------------------------------------------------------------------------------------------------------


def test_what_the_request_asked_for(instrument: Instrument, recorded: Recorded, make: Callable[..., Any]) -> None:
    instrument()
    make(openai.OpenAI).chat.completions.create(
        **SAY,
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        seed=7,
        stop=["a", "b"],
        n=2,
        reasoning_effort="low",
        service_tier="auto",
        response_format={"type": "json_object"},
    )
    wanted = {
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ("a", "b"),
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "low",
        "openai.request.service_tier": "auto",
        "gen_ai.output.type": "json",
        "gen_ai.response.finish_reasons": ("stop", "stop"),
        "gen_ai.usage.output_tokens": 10,
    }
    assert wanted.items() <= recorded.attributes.items()


@pytest.mark.parametrize(
    ("call", "name", "value"),
    [
        ({"n": 1}, "gen_ai.request.choice.count", None),
        ({"stop": "x"}, "gen_ai.request.stop_sequences", ("x",)),
        ({"max_completion_tokens": 9}, "gen_ai.request.max_tokens", 9),
        ({"response_format": {"type": "text"}}, "gen_ai.output.type", "text"),
        ({"stream": False}, "gen_ai.request.stream", None),
    ],
)
def test_shapes_of_request_fields(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], call: dict[str, Any], name: str, value: Any
) -> None:
    instrument()
    make(openai.OpenAI).chat.completions.create(**SAY, **call)
    assert recorded.attributes.get(name) == value


TOOL = {
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}],
    "tool_choice": "required",
}


@pytest.mark.parametrize("call", [{"n": 2}, TOOL], ids=["choices", "tools"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_several_choices_and_tool_calls(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], call: dict[str, Any], stream: bool
) -> None:
    instrument()
    answer = make(openai.OpenAI).chat.completions.create(**SAY, **call, stream=stream)
    if stream:
        assert len([c for c in answer if c.choices and c.choices[0].finish_reason]) == call.get("n", 1)
        assert recorded.attributes["gen_ai.response.time_to_first_chunk"] > 0
    reasons = ("stop", "stop") if "n" in call else ("tool_calls",)
    assert recorded.attributes["gen_ai.response.finish_reasons"] == reasons
    assert recorded.attributes["gen_ai.usage.output_tokens"] == 8 * len(reasons)


def test_token_details(instrument: Instrument, recorded: Recorded, make: Callable[..., Any]) -> None:
    model = Model("m", Decimal(1), Decimal(2), cached_tokens=1, reasoning_tokens=3)
    with Gateway(key=KEY, models=[model]) as server:
        instrument(base_url=server.url)
        make(openai.OpenAI).chat.completions.create(**{**SAY, "model": "m"})
    wanted = {
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 11,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 3,
    }
    assert wanted.items() <= recorded.attributes.items()
    counted = {
        kind: recorded.total("huddle.client.tokens", type=kind)
        for kind in ("input", "output", "cache_read", "reasoning")
    }
    assert counted == {"input": 2, "output": 11, "cache_read": 1, "reasoning": 3}


class _Strict(BaseModel):
    number: int


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_answer_that_parse_refuses_was_billed_all_the_same(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    """The gateway answers with text where a number was asked for, since the schema reaches it as a text field."""
    instrument()

    class Text(BaseModel):
        text: str

    class Refuses(Text):
        @classmethod
        def model_validate_json(cls, *_: Any, **__: Any) -> Any:
            return _Strict.model_validate({"number": "no"})

    async def later(client: Any) -> object:
        return await client.chat.completions.parse(**SAY, response_format=Refuses)

    with pytest.raises(ValidationError):
        if flavour == "async":
            with_async(later)
        else:
            with openai.OpenAI() as client:
                client.chat.completions.parse(**SAY, response_format=Refuses)
    assert len(gateway.calls) == 1, "the gateway answered well: asking again would cost again"
    attributes = recorded.attributes
    assert (attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]) == (2, 8)
    assert attributes["gen_ai.usage.cost"] == COST
    assert attributes["error.type"] == "ValidationError"
    assert not recorded.span.status.is_ok


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_long_document_read_as_bytes_keeps_its_usage(
    instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    """It is not kept whole for our sake: only its end, where the usage stands."""
    instrument()

    async def later(client: Any) -> int:
        async with client.chat.completions.with_streaming_response.create(**SAY, n=99) as response:
            return len(await response.read())

    if flavour == "async":
        assert with_async(later) > 8192
    else:
        with openai.OpenAI() as client, client.chat.completions.with_streaming_response.create(**SAY, n=99) as response:
            assert len(response.read()) > 8192
    assert recorded.attributes["gen_ai.usage.output_tokens"] == 8 * 99
    assert recorded.attributes["huddle.outcome"] == "ok"


# --- other endpoints -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_embeddings(instrument: Instrument, recorded: Recorded, flavour: str, raw: bool) -> None:
    instrument()
    call: dict[str, Any] = {"model": "text-embedding-3-small", "input": "hi there", "dimensions": 4}

    async def later(client: Any) -> object:
        return await (client.embeddings.with_raw_response if raw else client.embeddings).create(**call)

    if flavour == "async":
        with_async(later)
    else:
        with openai.OpenAI() as client:
            (client.embeddings.with_raw_response if raw else client.embeddings).create(**call)
    wanted = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.embeddings.dimension.count": 4,
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.cost": 4e-08,
        "huddle.cost.source": "gateway",
        "huddle.outcome": "ok",
    }
    assert wanted.items() <= recorded.attributes.items()
    assert recorded.span.name == "embeddings text-embedding-3-small"
    assert "gen_ai.response.finish_reasons" not in recorded.attributes


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_list_of_models(instrument: Instrument, recorded: Recorded, flavour: str) -> None:
    instrument()

    async def later(client: Any) -> list[Any]:
        return [model async for model in client.models.list()]

    if flavour == "async":
        assert with_async(later)
    else:
        with openai.OpenAI() as client:
            assert list(client.models.list())
    assert recorded.span.name == recorded.attributes["gen_ai.operation.name"] == "models.list"
    assert "gen_ai.request.model" not in recorded.attributes
    assert "gen_ai.usage.input_tokens" not in recorded.attributes


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [
        ("/models", "get", "models.list"),
        ("/models/gpt-4.1", "get", "models.retrieve"),
        ("/models/llama", "get", "models.retrieve"),
        ("/models/ft:mine", "delete", "models.delete"),
        ("/files", "post", "files.create"),
        ("/files/file-123", "get", "files.retrieve"),
        ("/files/file-123/content", "get", "files.content.retrieve"),
        ("/batches/batch_1/cancel", "post", "batches.cancel.create"),
        ("/fine_tuning/jobs", "get", "fine_tuning.jobs.list"),
        ("/fine_tuning/jobs/ftjob-1/events", "get", "fine_tuning.jobs.events.list"),
        ("/vector_stores/vs_1/files/file-2", "DELETE", "vector_stores.files.delete"),
        ("/responses/resp_1", "get", "responses.retrieve"),
        ("/custom?key=1", "put", "custom.update"),
        ("/x/y", "options", "x.y.options"),
        ("http://host.example/v1/models", "get", "models.list"),
    ],
)
def test_an_endpoint_without_a_name_of_its_own_is_named_without_ids(path: str, method: str, name: str) -> None:
    assert _endpoint_name(path, method) == name


def test_an_unknown_endpoint_is_a_call_like_any_other(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument()
    with pytest.raises(openai.NotFoundError):
        make(openai.OpenAI).files.retrieve("file-123")
    assert recorded.span.name == "files.retrieve"
    assert recorded.attributes["error.type"] == "404"


# --- failures, ids, tags, sampling, threads --------------------------------------------------------------------------


def test_a_failure_is_told_in_full(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0}), Rule(faults.context_window(), calls={1})])
    instrument()
    with pytest.raises(openai.BadRequestError):
        make(openai.OpenAI).chat.completions.create(**SAY)
    span, attributes = recorded.span, recorded.attributes
    assert "ContextWindowExceededError" in (span.status.description or "")
    assert attributes["error.type"] == "400"
    assert attributes["http.response.status_code"] == 400
    assert attributes["huddle.retry.causes"] == ("429",)
    assert attributes["huddle.request.id"] == gateway.calls[1].headers["x-litellm-call-id"]
    assert [dict(event.attributes or {}) for event in span.events] == [
        {
            "huddle.attempt.number": 1,
            "error.type": "429",
            "http.response.status_code": 429,
            "huddle.attempt.class": "B",
            "huddle.attempt.delay": 0.0,
        },
        {
            "huddle.attempt.number": 2,
            "error.type": "400",
            "http.response.status_code": 400,
            "huddle.attempt.class": "E",
        },
    ]


def test_another_hosts_request_id_is_taken_where_there_is_one(
    other: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument(hosts="127.0.0.1")
    make(openai.OpenAI, base_url=other.url, api_key="sk-app").chat.completions.create(**SAY)
    assert recorded.attributes["huddle.request.id"].startswith("req_")
    assert recorded.attributes["gen_ai.provider.name"] == "openai"


def test_tags_are_those_of_the_caller(instrument: Instrument, recorded: Recorded, make: Callable[..., Any]) -> None:
    instrument()
    client = make(openai.OpenAI)
    with tags(team="search", tier=1):
        stream = client.chat.completions.create(**SAY, stream=True)
    list(stream)  # read outside the block: the call was made inside it
    client.chat.completions.create(**SAY)
    first, second = (dict(span.attributes or {}) for span in recorded.spans)
    assert (first["huddle.tag.team"], first["huddle.tag.tier"]) == ("search", 1)
    assert not any(name.startswith("huddle.tag.") for name in second)


def test_the_span_is_a_child_of_the_apps_and_the_apps_stays_current(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    from opentelemetry import trace

    instrument()
    client = make(openai.OpenAI)
    with recorded.tracer_provider.get_tracer("app").start_as_current_span("app") as app:
        stream = client.chat.completions.create(**SAY, stream=True)
        assert trace.get_current_span() is app
        for _ in stream:
            assert trace.get_current_span() is app
    call = next(span for span in recorded.spans if span.name.startswith("chat"))
    assert call.parent is not None
    assert call.parent.span_id == app.get_span_context().span_id


@pytest.mark.parametrize("stream", [False, True])
def test_without_sampling_there_are_metrics_and_results(
    gateway: Gateway, make: Callable[..., Any], stream: bool
) -> None:
    recorded = Recorded(ALWAYS_OFF)
    gateway.script([Rule(faults.rate_limited(), calls={0})])
    instrumented(gateway, recorded)()
    answer = make(openai.OpenAI).chat.completions.create(**SAY, stream=stream)
    if stream:
        list(answer)
    assert recorded.spans == ()
    assert recorded.total("huddle.client.calls", huddle__outcome="ok") == 1
    assert recorded.total("huddle.client.attempts") == 2
    assert recorded.total("huddle.client.cost.usd") == COST


def test_sixteen_threads_are_counted_exactly(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.rate_limited(), rate=0.2)])
    from huddle_otel import RetryPolicy

    instrument(retry=RetryPolicy(base=0.0, max_attempts=20, budget=None))
    client = make(openai.OpenAI)
    barrier = threading.Barrier(16)

    def work() -> None:
        barrier.wait()
        for number in range(5):
            answer = client.chat.completions.create(**SAY, stream=bool(number % 2))
            if number % 2:
                list(answer)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorded.total("huddle.client.calls") == len(recorded.spans) == 80
    assert recorded.total("huddle.client.attempts") == len(gateway.calls)
    assert recorded.total("huddle.client.in_flight") == 0
    assert recorded.total("huddle.client.tokens", type="output") == 640
    assert recorded.total("huddle.client.cost.usd") == pytest.approx(80 * COST)
