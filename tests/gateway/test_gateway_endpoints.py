"""The endpoints beside chat and embeddings, as they come over the wire."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from huddle_otel.gateway import Gateway, Model, Rule, faults, media
from huddle_otel.gateway.loose import parsed
from tests.gateway.wiring import HELLO, ask

ASK = {"model": "gpt-4.1", "input": "hi there"}
RESPONSES = "/v1/responses"


def get(gateway: Gateway, path: str, method: str = "GET") -> Any:
    return ask(gateway, None, path, method=method).json


def test_a_response(gateway: Gateway) -> None:
    answer = ask(gateway, ASK, RESPONSES)
    assert answer.headers["x-litellm-response-cost"] == "6.8e-05"
    made = answer.json
    assert made["status"] == "completed"
    assert made["output"][0]["content"][0]["text"].startswith("A steady answer")
    assert made["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 8,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }
    assert get(gateway, f"{RESPONSES}/{made['id']}") == made
    assert get(gateway, f"{RESPONSES}/{made['id']}/input_items")["data"][0]["content"][0]["text"] == "hi there"
    assert ask(gateway, {}, f"{RESPONSES}/{made['id']}/cancel").json["status"] == "completed"
    assert get(gateway, f"{RESPONSES}/{made['id']}", "DELETE")["deleted"] is True
    for method, path in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
        assert ask(gateway, None, f"{RESPONSES}/{made['id']}{path}", method=method).status == 404


def test_a_response_in_the_background(gateway: Gateway) -> None:
    answer = ask(gateway, {**ASK, "background": True}, RESPONSES)
    path = f"{RESPONSES}/{answer.json['id']}"
    looks = [answer.json, *(get(gateway, path) for _ in range(3))]
    assert [look["status"] for look in looks] == ["queued", "in_progress", "completed", "completed"]
    assert [look["usage"] is None for look in looks] == [True, True, False, False]
    assert "x-litellm-response-cost" not in answer.headers
    assert ask(gateway, None, path, method="GET").headers.get("x-litellm-response-cost") is None
    other = ask(gateway, {**ASK, "background": True}, RESPONSES).json["id"]
    assert ask(gateway, {}, f"{RESPONSES}/{other}/cancel").json["status"] == "cancelled"
    assert get(gateway, f"{RESPONSES}/{other}")["status"] == "cancelled"


@pytest.mark.parametrize(
    ("request_", "kind", "text"),
    [
        ({}, "output_text", "A steady answer from the embedded gateway arrives"),
        ({"text": {"format": {"type": "json_object"}}}, "output_text", '{"answer":"text"}'),
        (
            {"tools": [{"type": "function", "name": "look"}], "tool_choice": {"type": "function", "name": "look"}},
            "function_call_arguments",
            "{}",
        ),
    ],
)
def test_a_streamed_response(gateway: Gateway, request_: dict[str, Any], kind: str, text: str) -> None:
    answer = ask(gateway, {**ASK, **request_, "stream": True}, RESPONSES)
    events = [json.loads(block.partition("data: ")[2]) for block in answer.body.decode().split("\n\n") if block]
    assert [each["sequence_number"] for each in events] == list(range(1, len(events) + 1))
    assert "".join(each["delta"] for each in events if each["type"] == f"response.{kind}.delta") == text
    assert [events[0]["type"], events[-1]["type"]] == ["response.created", "response.completed"]
    assert events[-1]["response"]["usage"]["cost"] == 6.8e-05
    again = ask(gateway, None, f"{RESPONSES}/{events[0]['response']['id']}?stream=true", method="GET")
    assert again.body == answer.body


def test_how_a_response_ends(gateway: Gateway) -> None:
    short = ask(gateway, {**ASK, "max_output_tokens": 2}, RESPONSES).json
    assert (short["status"], short["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    gateway.script([Rule(faults.failed_response(1, code="server_error", message="sorry"))])
    failed = ask(gateway, ASK, RESPONSES).json
    assert (failed["status"], failed["error"]) == ("failed", {"code": "server_error", "message": "sorry"})
    body = ask(gateway, {**ASK, "stream": True}, RESPONSES).body.decode()
    assert body.count("response.output_text.delta") == 2, "once as the event's name, once in its data"
    assert '"type":"response.failed"' in body
    assert ask(gateway, {**HELLO, "stream": True}).events[-1].startswith('{"error":')
    gateway.script([])


def test_what_else_is_asked_of_responses(gateway: Gateway) -> None:
    items = [{"role": "user", "content": [{"type": "input_text", "text": "hi there"}]}]
    assert ask(gateway, {**ASK, "input": items}, f"{RESPONSES}/input_tokens").json["input_tokens"] == 2
    assert ask(gateway, ASK, f"{RESPONSES}/compact").json["object"] == "response.compaction"


def test_legacy_completions(gateway: Gateway) -> None:
    answer = ask(gateway, {"model": "gpt-4.1", "prompt": "hi there", "n": 2}, "/v1/completions").json
    assert answer["object"] == "text_completion"
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "stop"]
    assert answer["usage"]["total_tokens"] == 18
    stream = ask(gateway, {"model": "gpt-4.1", "prompt": "hi", "stream": True}, "/v1/completions")
    assert stream.done
    assert "usage" not in stream.chunks[-1]


def test_chats_that_are_kept(gateway: Gateway) -> None:
    kept = ask(gateway, {**HELLO, "store": True, "metadata": {"a": "b"}}).json["id"]
    ask(gateway)
    assert [each["id"] for each in get(gateway, "/v1/chat/completions")["data"]] == [kept]
    path = f"/v1/chat/completions/{kept}"
    assert ask(gateway, {"metadata": {"c": "d"}}, path).json["metadata"] == {"c": "d"}
    assert get(gateway, path)["usage"]["total_tokens"] == 10
    assert get(gateway, path, "DELETE")["deleted"] is True
    assert [ask(gateway, None, path, method=method).status for method in ("GET", "DELETE")] == [404, 404]


def test_one_model(gateway: Gateway) -> None:
    assert get(gateway, "/v1/models/gpt-4.1")["object"] == "model"
    assert ask(gateway, None, "/v1/models/nobody", method="GET").status == 404


@pytest.mark.parametrize("kind", ["batches", "vector_stores"])
def test_things(gateway: Gateway, kind: str) -> None:
    made = ask(gateway, {"name": "mine"}, f"/v1/{kind}").json
    path = f"/v1/{kind}/{made['id']}"
    assert made["id"] in [each["id"] for each in get(gateway, f"/v1/{kind}")["data"]]
    assert get(gateway, path)["status"] == "completed"
    action = "cancel" if kind == "batches" else "search"
    assert ask(gateway, {"query": "x"}, f"{path}/{action}").status == 200
    assert get(gateway, path, "DELETE")["deleted"] is True
    assert [ask(gateway, {}, f"{path}/{action}").status, ask(gateway, None, path, method="GET").status] == [404, 404]
    assert ask(gateway, None, path, method="DELETE").status == 404
    assert ask(gateway, None, f"/v1/files/{made['id']}/content", method="GET").status == 404


def test_speech_and_text_are_not_json(gateway: Gateway) -> None:
    speech = ask(gateway, {"model": "tts-1", "input": "hi"}, "/v1/audio/speech")
    assert (speech.headers["content-type"], speech.body) == ("audio/mpeg", media.SOUND)
    text = ask(gateway, {"model": "whisper-1", "response_format": "vtt"}, "/v1/audio/transcriptions")
    assert text.headers["content-type"].startswith("text/plain")
    assert "-->" in text.body.decode()


def test_pictures_have_a_price_when_the_model_has_one() -> None:
    with Gateway(models=[Model("p", Decimal(10), Decimal(40))]) as gateway:
        answer = ask(gateway, {"model": "p", "prompt": "a cat"}, "/v1/images/generations")
    assert float(answer.headers["x-litellm-response-cost"]) == pytest.approx((2 * 10 + 196 * 40) / 1e6)


def test_a_form() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = part % (b"model", b"m") + part % (b"tag", b"one") + part % (b"tag", b"two") + part % (b"tag", b"three")
    body += b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n\xff\r\n\r\n--b--\r\n'
    form = parsed(body, 'multipart/form-data; boundary="b"')
    assert form == {"model": "m", "tag": ["one", "two", "three"], "file": b"\xff\r\n"}
    assert parsed(b"no form", "multipart/form-data; boundary=b") == {}


def test_nothing_is_kept_for_ever(gateway: Gateway) -> None:
    first = ask(gateway, {"name": "first"}, "/v1/vector_stores").json["id"]
    from huddle_otel.gateway.serving import Store

    store = Store()
    for number in range(1001):
        store.put(f"{first}{number}", number)
    assert (store.get(f"{first}0"), store.get(f"{first}1")) == (None, 1)
