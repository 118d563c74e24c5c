"""The client itself, whichever version is installed, takes the answers as it takes the real gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai
import pytest
from pydantic import BaseModel

from huddle_otel.gateway import Gateway, Rule, faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionStreamOptionsParam

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi there"}]


class Trip(BaseModel):
    city: str
    days: int
    stops: list[str] | None


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url, api_key="sk-huddle-test", max_retries=0, timeout=5) as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4.1", messages=ASK)
    assert answer.choices[0].message.content
    assert answer.usage
    assert answer.usage.total_tokens == 10


def test_stream(client: openai.OpenAI) -> None:
    options: ChatCompletionStreamOptionsParam = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="gpt-4.1", messages=ASK, stream=True, stream_options=options))
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage
    assert chunks[-1].usage.model_extra == {"cost": 6.8e-05}


def test_parse(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(model="gpt-4.1", messages=ASK, response_format=Trip)
    assert answer.choices[0].message.parsed == Trip(city="text", days=1, stops=["text"])


def test_stream_helper(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="gpt-4.1", messages=ASK) as stream:
        assert stream.get_final_completion().choices[0].finish_reason == "stop"


def test_embeddings_and_models(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="text-embedding-3-small", input="text").data[0].embedding) == 8
    assert "gpt-4.1" in [model.id for model in client.models.list()]


def test_errors_have_their_classes(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0}), Rule(faults.reset_before_first_byte())])
    with pytest.raises(openai.RateLimitError, match="litellm"):
        client.chat.completions.create(model="gpt-4.1", messages=ASK)
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4.1", messages=ASK)


def test_error_frame_raises(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.script([Rule(faults.error_frame(after=1))])
    with pytest.raises(openai.APIError, match="lost"):
        list(client.chat.completions.create(model="gpt-4.1", messages=ASK, stream=True))


def test_a_tidy_cut_raises_nothing(gateway: Gateway, client: openai.OpenAI) -> None:
    gateway.script([Rule(faults.cut(after=2))])
    assert len(list(client.chat.completions.create(model="gpt-4.1", messages=ASK, stream=True))) == 3
