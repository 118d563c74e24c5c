from __future__ import annotations

import base64
import struct
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from huddle_otel.gateway import LITELLM, Gateway, Model
from huddle_otel.gateway.examples import example
from huddle_otel.gateway.models import Usage
from tests.gateway.wiring import HELLO, STREAM, USAGE, ask

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("first", "second")]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    rich = Model("rich", Decimal(3), Decimal(15), chunks=3, cached_tokens=1, reasoning_tokens=5)
    models = [Model("gpt-4.1", Decimal(2), Decimal(8)), rich, Model("free"), Model("text-embedding-3-small")]
    with Gateway(models=models) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def plain_openai() -> Iterator[Gateway]:
    with Gateway(persona="openai") as gateway:
        yield gateway


def test_plain_answer(gateway: Gateway) -> None:
    answer = ask(gateway, HELLO | {"max_tokens": 17})
    assert answer.status == 200
    assert answer.json["object"] == "chat.completion"
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert answer.json["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": 17,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert answer.headers["x-litellm-response-cost"] == "0.00014"


def test_headers_are_the_gateways_own(gateway: Gateway) -> None:
    headers = ask(gateway).headers
    assert str(uuid.UUID(headers["x-litellm-call-id"])) == headers["x-litellm-call-id"]
    assert headers["x-litellm-model-group"] == "gpt-4.1"
    assert headers["x-litellm-version"] == "1.106.2"
    assert headers["x-litellm-attempted-retries"] == headers["x-litellm-attempted-fallbacks"] == "0"
    assert float(headers["x-litellm-response-duration-ms"]) >= float(headers["x-litellm-overhead-duration-ms"]) > 0
    for kind in ("limit", "remaining"):
        assert int(headers[f"x-ratelimit-{kind}-requests"]) > 0
        assert int(headers[f"x-ratelimit-{kind}-tokens"]) > 0
    assert "x-request-id" not in headers


def test_call_id_is_echoed(gateway: Gateway) -> None:
    assert ask(gateway, x_litellm_call_id="mine").headers["x-litellm-call-id"] == "mine"


def test_an_unpriced_model_says_no_cost(gateway: Gateway) -> None:
    assert "x-litellm-response-cost" not in ask(gateway, HELLO | {"model": "free"}).headers


def test_stream_without_usage(gateway: Gateway) -> None:
    answer = ask(gateway, STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "x-litellm-response-cost" not in answer.headers
    assert answer.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(answer.texts) == ask(gateway).json["choices"][0]["message"]["content"]
    assert len(answer.texts) == 8
    assert answer.finish == "stop"
    assert answer.done
    assert answer.complete
    assert not any("usage" in chunk for chunk in answer.chunks)


def test_usage_chunk_in_litellm_style(gateway: Gateway) -> None:
    last = ask(gateway, USAGE | {"max_tokens": 17}).chunks[-1]
    assert last["choices"] == [{"index": 0, "delta": {}}]
    assert last["usage"]["total_tokens"] == 19
    assert last["usage"]["cost"] == 0.00014


def test_usage_chunk_of_an_unpriced_model(gateway: Gateway) -> None:
    assert "cost" not in ask(gateway, USAGE | {"model": "free"}).chunks[-1]["usage"]


def test_a_persona_can_be_mixed() -> None:
    with Gateway(persona=replace(LITELLM, usage_with_choice=False)) as gateway:
        last = ask(gateway, USAGE).chunks[-1]
    assert last["choices"] == []
    assert "cost" in last["usage"]


def test_openai_persona(plain_openai: Gateway) -> None:
    answer, stream = ask(plain_openai), ask(plain_openai, USAGE)
    assert answer.headers["x-request-id"].startswith("req_")
    assert not any("litellm" in name for name in answer.headers | stream.headers)
    assert stream.chunks[-1]["choices"] == []
    assert "cost" not in stream.chunks[-1]["usage"]


def test_token_details_and_choices(gateway: Gateway) -> None:
    answer = ask(gateway, HELLO | {"model": "rich", "n": 2})
    assert [choice["index"] for choice in answer.json["choices"]] == [0, 1]
    usage = answer.json["usage"]
    assert usage["completion_tokens"] == 2 * (3 + 5)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2 * 5
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1
    stream = ask(gateway, STREAM | {"model": "rich", "n": 2})
    assert [chunk["choices"][0]["index"] for chunk in stream.chunks] == [0, 1] * 5


@pytest.mark.parametrize(
    ("choice", "name"), [("required", "first"), ({"type": "function", "function": {"name": "second"}}, "second")]
)
def test_forced_tool_call(gateway: Gateway, choice: Any, name: str) -> None:
    asked = {"tools": TOOLS, "tool_choice": choice}
    plain = ask(gateway, HELLO | asked).json["choices"][0]
    assert plain["finish_reason"] == "tool_calls"
    function = plain["message"]["tool_calls"][0]["function"]
    assert function == {"name": name, "arguments": '{"city":"text","days":1}'}
    stream = ask(gateway, STREAM | asked)
    calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in stream.chunks[1:-1]]
    assert calls[0]["function"]["name"] == name
    assert "".join(call["function"]["arguments"] for call in calls) == function["arguments"]
    assert stream.finish == "tool_calls"


def test_tools_that_are_not_forced_are_not_called(gateway: Gateway) -> None:
    assert ask(gateway, HELLO | {"tools": TOOLS}).json["choices"][0]["message"]["content"]


def test_structured_output(gateway: Gateway) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "trip", "schema": SCHEMA}}
    content = ask(gateway, HELLO | {"response_format": wanted}).json["choices"][0]["message"]["content"]
    assert content == '{"city":"text","days":1}'
    assert "".join(ask(gateway, STREAM | {"response_format": wanted}).texts) == content


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": ["b", "a"]}, "b"),
        ({"const": None}, None),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": ["null", "number"]}, 1.5),
        ({"type": "array", "items": {"type": "integer", "minimum": 4}, "minItems": 2}, [4, 4]),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"$defs": {"a": {"type": "integer"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}, {"x": 1}),
        ({"$ref": "#"}, None),
    ],
)
def test_examples_fit_their_schema(schema: dict[str, Any], value: Any) -> None:
    assert example(schema) == value


def test_a_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert '"next": None' in str(example(node)).replace("'", '"')


def test_embeddings_in_both_encodings(gateway: Gateway) -> None:
    asked = {"model": "text-embedding-3-small", "input": ["one", "two words"], "dimensions": 5}
    floats = ask(gateway, asked, "/v1/embeddings").json
    packed = ask(gateway, asked | {"encoding_format": "base64"}, "/v1/embeddings").json
    assert floats["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert [row["index"] for row in floats["data"]] == [0, 1]
    for plain, coded in zip(floats["data"], packed["data"], strict=True):
        assert list(struct.unpack("<5f", base64.b64decode(coded["embedding"]))) == plain["embedding"]


def test_an_embedding_of_token_numbers_is_one(gateway: Gateway) -> None:
    answer = ask(gateway, {"model": "text-embedding-3-small", "input": [1, 2, 3]}, "/v1/embeddings").json
    assert len(answer["data"]) == 1
    assert answer["usage"]["prompt_tokens"] == 3


def test_models(gateway: Gateway) -> None:
    listed = ask(gateway, None, "/v1/models", method="GET").json
    assert [row["id"] for row in listed["data"]] == ["gpt-4.1", "rich", "free", "text-embedding-3-small"]


def test_other_paths_are_not_found(gateway: Gateway) -> None:
    answer = ask(gateway, HELLO, "/v1/nothing")
    assert answer.status == 404
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}


def test_wrong_key(gateway: Gateway) -> None:
    answer = ask(gateway, key="sk-wrong-key")
    assert answer.status == 401
    assert answer.json["error"]["type"] == "token_not_found_in_db"
    assert answer.json["error"]["code"] == "401"
    assert "sk-wrong-key" not in answer.body.decode()
    assert "x-litellm-call-id" not in answer.headers


def test_no_key_check() -> None:
    with Gateway(key=None) as gateway:
        assert ask(gateway, key=None).status == 200


def test_unknown_model_of_a_closed_list(gateway: Gateway) -> None:
    answer = ask(gateway, HELLO | {"model": "gpt-99"})
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert "Invalid model name" in answer.json["error"]["message"]


def test_unknown_model_of_an_open_list(plain_openai: Gateway) -> None:
    assert ask(plain_openai, HELLO | {"model": "gpt-99\nx: y"}).json["model"] == "gpt-99\nx: y"


def test_a_model_name_cannot_add_headers() -> None:
    with Gateway() as gateway:
        headers = ask(gateway, HELLO | {"model": "a\r\nx-evil: 1"}).headers
    assert "x-evil" not in headers


@pytest.mark.parametrize("body", [b"{", b"[1]", {}, {"messages": []}])
def test_bad_bodies(gateway: Gateway, body: Any) -> None:
    assert ask(gateway, body).status == 400


def test_stream_options_refused() -> None:
    with Gateway(refuse_stream_options=True) as gateway:
        answer = ask(gateway, USAGE)
        assert answer.status == 400
        assert "stream_options" in answer.json["error"]["message"]
        assert ask(gateway, STREAM).done


def test_costs_are_exact() -> None:
    model = Model("m", Decimal("0.1"), Decimal("0.2"), cached_per_1m=Decimal("0.01"))
    assert model.cost(Usage(prompt=10, completion=3, cached=4)) == Decimal("0.00000124")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"input_per_1m": 0.1, "output_per_1m": Decimal(1)}, TypeError),
        ({"input_per_1m": Decimal(1)}, ValueError),
        ({"chunks": 0}, ValueError),
        ({"first_token": -1.0}, ValueError),
    ],
)
def test_models_are_checked(bad: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(bad))):
        Model("m", **bad)
