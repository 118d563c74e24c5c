"""Absurd input: the app gets what the bare client gives it, and what is recorded can be encoded and sent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Final

import openai
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import huddle_otel
from huddle_otel import ContentPolicy, tags
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import COST, KEY, SAY, TEXT, Instrument, Recorded

HALF: Final = "\ud83d"
"""Half of an emoji: no UTF-8 can hold it."""
CALLS: Final[dict[str, dict[str, Any]]] = {
    "half an emoji in the prompt": {"messages": [{"role": "user", "content": f"hi {HALF}"}]},
    "half an emoji for a model": {"model": f"m{HALF}"},
    "half an emoji for a stop": {"stop": [HALF, "x"]},
    "a number beyond 64 bits": {"max_tokens": 10**30, "seed": -(10**30)},
    "no number": {"temperature": math.nan, "top_p": math.inf},
    "a mapping for a number": {"temperature": {"a": 1}, "max_tokens": [1]},
    "nothing said": {"messages": []},
    "odd messages": {"messages": [{"role": "user"}, {"role": 7, "content": [{"type": None}, {}]}]},
    "an unknown field": {"extra_body": {"stop": {"a": object}, "n": "many"}},
}


def _encoded(recorded: Recorded) -> bytes:
    """As the OTLP exporter encodes it."""
    recorded.tracer_provider.force_flush()
    spans: bytes = encode_spans(recorded.exporter.get_finished_spans()).SerializeToString()
    data = recorded.reader.get_metrics_data()
    assert data is not None
    metrics: bytes = encode_metrics(data).SerializeToString()
    return spans + metrics


def _outcome(client: openai.OpenAI, call: dict[str, Any]) -> tuple[str, str]:
    try:
        answer = client.chat.completions.create(**{**SAY, **call})
    except Exception as error:  # noqa: BLE001 - whichever it is, both must raise it
        return type(error).__name__, str(error)
    return "", str(answer.choices[0].message.content)


@pytest.mark.parametrize("content", [None, ContentPolicy()], ids=["plain", "captured"])
@pytest.mark.parametrize("name", CALLS)
def test_absurd_arguments(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    make: Callable[..., Any],
    name: str,
    content: ContentPolicy | None,
) -> None:
    bare = _outcome(make(openai.OpenAI, base_url=gateway.url, api_key=KEY), CALLS[name])
    instrument(content=content, retry=None)
    assert _outcome(make(openai.OpenAI), CALLS[name]) == bare
    assert len(recorded.spans) == 1
    assert _encoded(recorded)
    assert recorded.total("huddle.telemetry.errors") == 0


def test_an_upstream_that_answers_in_halves(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    message = {"role": "assistant", "content": HALF}
    answer = {
        "id": HALF,
        "object": "chat.completion",
        "created": 1,
        "model": f"m{HALF}",
        "system_fingerprint": HALF,
        "choices": [{"index": 0, "finish_reason": HALF, "message": message}],
        "usage": {"prompt_tokens": 10**26, "completion_tokens": 1, "total_tokens": 1},
    }
    refusal = {"error": {"message": HALF, "type": HALF, "code": HALF}}
    gateway.script(
        [
            Rule(faults.status(200, body=json.dumps(answer).encode()), calls={0}),
            Rule(faults.status(400, body=json.dumps(refusal).encode()), calls={1}),
        ]
    )
    instrument(content=ContentPolicy())
    client = make(openai.OpenAI)
    with tags(team=f"t{HALF}"):
        assert client.chat.completions.create(**SAY).choices[0].message.content == HALF
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**SAY)
    assert _encoded(recorded)
    assert recorded.total("huddle.telemetry.errors") == 0


@pytest.mark.parametrize("content", [None, ContentPolicy(max_chars=2000)], ids=["plain", "captured"])
def test_a_prompt_of_50_megabytes(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    make: Callable[..., Any],
    content: ContentPolicy | None,
) -> None:
    instrument(content=content)
    messages: Any = [{"role": "user", "content": "word " * 10_000_000}]
    answer = make(openai.OpenAI).chat.completions.create(model=SAY["model"], messages=messages)
    assert answer.choices[0].message.content == TEXT
    assert recorded.attributes["gen_ai.usage.input_tokens"] > 10_000_000
    assert recorded.attributes["gen_ai.usage.cost"] > COST
    assert len(_encoded(recorded)) < 20_000
    assert huddle_otel.current_health()["circuits"][0]["ok"] == 1
