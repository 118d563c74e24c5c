"""Prompts and answers on spans and log events: nothing unless asked, then in the conventions' parts, always sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import httpx
import openai
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from huddle_otel import ContentPolicy
from huddle_otel.events import Request
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.settings import Settings
from huddle_otel.telemetry import content, contract
from tests.client.support import FLAVOURS, SAY, TEXT, Instrument, Recorded, ids_of, with_async

SECRET: Final = "the merger is on Friday"
PIXEL: Final = "data:image/png;base64," + "iVBORw0KGgo" * 400


def _names(recorded: Recorded) -> set[str]:
    return {name for name in recorded.attributes if name.split(".")[1] in {"input", "output", "system_instructions"}}


def _on_span(recorded: Recorded, name: str) -> Any:
    return json.loads(recorded.attributes[name])


def _ask(flavour: str, *, stream: bool = False, **call: Any) -> None:
    arguments = {**SAY, **call, "stream": stream}

    async def later(client: Any) -> None:
        answer = await client.chat.completions.create(**arguments)
        if stream:
            async for _ in answer:
                pass

    if flavour == "async":
        with_async(later)
        return
    with openai.OpenAI() as client:
        answer: Any = client.chat.completions.create(**arguments)
        if stream:
            for _ in answer:
                pass


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_recorded_unless_asked(instrument: Instrument, recorded: Recorded, stream: bool) -> None:
    instrument()
    _ask("sync", stream=stream, messages=[{"role": "user", "content": SECRET}])
    assert SECRET not in recorded.span.to_json()
    assert TEXT not in recorded.span.to_json()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_on_the_span(instrument: Instrument, recorded: Recorded, flavour: str, stream: bool) -> None:
    instrument(content=ContentPolicy())
    _ask(flavour, stream=stream)
    assert _on_span(recorded, contract.INPUT_MESSAGES) == [
        {"role": "user", "parts": [{"type": "text", "content": "hi there"}]}
    ]
    assert _on_span(recorded, contract.OUTPUT_MESSAGES) == [
        {"role": "assistant", "parts": [{"type": "text", "content": TEXT}], "finish_reason": "stop"}
    ]


def test_never_on_a_metric(instrument: Instrument, recorded: Recorded) -> None:
    instrument(content=ContentPolicy(events=True))
    _ask("sync", messages=[{"role": "user", "content": SECRET}])
    assert SECRET not in repr(recorded.metrics())


@pytest.mark.parametrize("how", ["raw", "streaming-read", "raw-stream", "responses", "responses-stream", "legacy"])
def test_every_way_to_take_an_answer(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], how: str
) -> None:
    instrument(content=ContentPolicy())
    client = make(openai.OpenAI)
    chat = client.chat.completions
    if how == "raw":
        chat.with_raw_response.create(**SAY).parse()
    elif how == "streaming-read":
        with chat.with_streaming_response.create(**SAY) as response:
            response.read()
    elif how == "raw-stream":
        with chat.with_streaming_response.create(**SAY, stream=True) as response:
            list(response.iter_bytes())
    elif how == "responses":
        client.responses.create(model="gpt-4.1", input="hi there", instructions="be brief")
    elif how == "responses-stream":
        list(client.responses.create(model="gpt-4.1", input="hi there", instructions="be brief", stream=True))
    else:
        client.completions.create(model="gpt-4.1", prompt="hi there")
    (asked,) = _on_span(recorded, contract.INPUT_MESSAGES)
    assert asked["parts"] == [{"type": "text", "content": "hi there"}]
    (said,) = _on_span(recorded, contract.OUTPUT_MESSAGES)
    assert said["role"] == "assistant"
    assert said["parts"][0]["content"].strip().startswith("A steady answer")
    if "responses" in how:
        assert _on_span(recorded, contract.SYSTEM_INSTRUCTIONS) == [{"type": "text", "content": "be brief"}]


def test_a_stream_that_breaks_keeps_what_was_said(gateway: Gateway, instrument: Instrument, recorded: Recorded) -> None:
    gateway.script([Rule(faults.reset(2))])
    instrument(content=ContentPolicy())
    with pytest.raises((openai.APIError, httpx.HTTPError)):  # which, depends on the generation
        _ask("sync", stream=True)
    (said,) = _on_span(recorded, contract.OUTPUT_MESSAGES)
    assert said["finish_reason"] == "error"
    assert TEXT.startswith(said["parts"][0]["content"].strip())


def test_as_log_events(instrument: Instrument, recorded: Recorded) -> None:
    exporter: Any = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call, unused-ignore]
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    instrument(content=ContentPolicy(spans=False, events=True), logger_provider=provider)
    _ask("sync")
    (event,) = (each.log_record for each in exporter.get_finished_logs())
    assert event.event_name == contract.CONTENT_EVENT
    assert event.span_id == ids_of(recorded.span)[1]
    attributes: Any = event.attributes
    assert attributes[contract.OUTPUT_MESSAGES][0]["parts"][0]["content"] == TEXT
    assert _names(recorded) == set()


# --- redaction -------------------------------------------------------------------------------------------------------


def test_a_hook_sees_parts_and_decides(instrument: Instrument, recorded: Recorded) -> None:
    seen: dict[str, Any] = {}

    def redact(name: str, value: Any) -> Any:
        seen[name] = value
        if name == contract.OUTPUT_MESSAGES:
            return None
        return [{**message, "parts": [{"type": "text", "content": "[hidden]"}]} for message in value]

    instrument(content=ContentPolicy(redact=redact))
    _ask("sync", messages=[{"role": "user", "content": SECRET}])
    assert seen[contract.INPUT_MESSAGES][0]["parts"][0]["content"] == SECRET
    assert _on_span(recorded, contract.INPUT_MESSAGES)[0]["parts"][0]["content"] == "[hidden]"
    assert contract.OUTPUT_MESSAGES not in recorded.attributes
    assert SECRET not in recorded.span.to_json()


def test_a_hook_that_fails_costs_the_content_not_the_call(
    instrument: Instrument, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    def redact(_name: str, _value: Any) -> Any:
        raise RuntimeError("no")

    instrument(content=ContentPolicy(redact=redact))
    _ask("sync", messages=[{"role": "user", "content": SECRET}])
    assert SECRET not in recorded.span.to_json()
    assert recorded.attributes["huddle.outcome"] == "ok"
    assert [record.getMessage() for record in caplog.records if "content" in record.getMessage()]


# --- shapes ----------------------------------------------------------------------------------------------------------


def _request(path: str = "/chat/completions", **body: Any) -> Request:
    return Request(operation="chat", model="m", host="h", port=None, provider="p", stream=False, body=body, path=path)


def test_parts_of_chat_messages() -> None:
    messages: list[Any] = [
        {"role": "system", "content": "be kind"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                {"type": "image_url", "image_url": {"url": PIXEL}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "assistant", "content": "", "refusal": "no"},
    ]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    said = content.asked(_request(messages=messages, tools=[tool]))
    assert [message["role"] for message in said[contract.INPUT_MESSAGES]] == [
        "system", "user", "assistant", "tool", "assistant",
    ]  # fmt: skip
    assert said[contract.INPUT_MESSAGES][1]["parts"] == [
        {"type": "text", "content": "what is this?"},
        {"type": "uri", "modality": "image", "uri": "https://example.com/cat.png"},
        {
            "type": "blob",
            "modality": "image",
            "mime_type": "image/png",
            "content": f"[{len(PIXEL)} characters left out]",
        },
        {"type": "blob", "modality": "audio", "mime_type": "wav", "content": "[4 characters left out]"},
        {"type": "file", "modality": "file", "file_id": "file-1"},
    ]
    assert said[contract.INPUT_MESSAGES][2]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}}
    ]
    assert said[contract.INPUT_MESSAGES][3]["parts"] == [
        {"type": "tool_call_response", "id": "c1", "response": "a cat"}
    ]
    assert said[contract.INPUT_MESSAGES][4]["parts"] == [{"type": "refusal", "content": "no"}]
    assert said[contract.TOOL_DEFINITIONS] == [{"type": "function", "name": "look", "parameters": {"type": "object"}}]


def test_items_of_the_responses_api() -> None:
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{broken"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
    ]
    said = content.asked(_request("/responses", input=items))[contract.INPUT_MESSAGES]
    assert said == [
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": "{broken"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "a cat"}]},
    ]


def test_endpoints_without_messages_say_nothing() -> None:
    assert content.asked(_request("/embeddings", input="hi")) == {}


def test_tool_calls_of_a_stream_are_put_together() -> None:
    transcript = content.Transcript()
    pieces = [
        {"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}},
        {"index": 1, "id": "c2", "function": {"name": "hear", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": '{"at"'}},
        {"index": 0, "function": {"arguments": ": 1}"}},
    ]
    for piece in pieces:
        transcript.see({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]})
    (message,) = transcript.messages(("tool_calls",))
    assert message["finish_reason"] == "tool_calls"
    assert message["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
        {"type": "tool_call", "id": "c2", "name": "hear", "arguments": {}},
    ]


@pytest.mark.parametrize("limit", [1000, 3000, 20_000])
@pytest.mark.parametrize("shape", ["one long text", "many messages", "deep arguments"])
def test_what_is_too_long_is_cut_and_stays_json(shape: str, limit: int) -> None:
    messages: list[Any] = {
        "one long text": [{"role": "user", "parts": [{"type": "text", "content": "x" * 100_000}]}],
        "many messages": [{"role": "user", "parts": [{"type": "text", "content": f"{n} " * 9}]} for n in range(3000)],
        "deep arguments": [{"role": "assistant", "parts": [{"type": "tool_call", "arguments": {"a": ["y" * 50_000]}}]}],
    }[shape]
    text = content.as_json(content.fitted(messages, limit))
    assert len(text) <= limit
    assert "left out" in text
    assert json.loads(text)[-1]["role"] == messages[-1]["role"], "the newest message is kept"


def test_what_fits_is_untouched() -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": "x"}]}]
    assert content.fitted(messages, 1000) is messages


def test_odd_text_can_be_encoded() -> None:
    text = content.as_json([{"content": "half a \ud83d pair, \x00, ☃"}])
    assert text.encode("utf-8")
    assert json.loads(text) == [{"content": "half a \ud83d pair, \x00, ☃"}]


@pytest.mark.parametrize(
    "odd", [7, None, [None], [7], [[]], [{"role": 3, "content": {"a": object()}}], {"role": "user"}]
)
def test_odd_messages_do_not_raise(odd: Any) -> None:
    json.loads(content.as_json(content.asked(_request(messages=odd))))
    json.loads(content.as_json(content.answered(odd)))


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "policy"),
    [
        ("NO_CONTENT", None),
        ("span_only", ContentPolicy()),
        ("EVENT_ONLY", ContentPolicy(spans=False, events=True)),
        ("SPAN_AND_EVENT", ContentPolicy(events=True)),
        ("", None),
    ],
)
def test_the_conventions_variable(value: str, policy: ContentPolicy | None) -> None:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert Settings.load({name: value}).content == policy
    assert Settings.load({name: "SPAN_ONLY"}, content=None).content is None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"max_chars": 10}, "max_chars"),
        ({"spans": 1}, "spans"),
        ({"redact": "no"}, "redact"),
    ],
)
def test_an_impossible_policy_is_refused(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"ContentPolicy\.{named}"):
        ContentPolicy(**given)


def test_an_unknown_capture_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"):
        Settings.load({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "ALL"})
