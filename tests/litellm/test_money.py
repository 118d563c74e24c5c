"""Spend, tokens and usage as the real gateway reports them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from huddle_otel.gateway import Rule, faults
from tests.litellm.cases import WHOLE

if TYPE_CHECKING:
    from tests.litellm.lab import Lab

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(240)]  # the first test waits for the gateway to start


def nanos(dollars: float | str) -> int:
    return round(Decimal(str(dollars)) * 10**9)


def test_a_plain_answer_costs_what_the_header_says(lab: Lab) -> None:
    seen = lab.ask("priced")
    span = seen.attributes
    assert nanos(span["gen_ai.usage.cost"]) == nanos(seen.headers["x-litellm-response-cost"]) == 135_000
    assert nanos(span["huddle.cost.input"]) == nanos(seen.headers["x-litellm-response-cost-input"]) == 15_000
    assert nanos(span["huddle.cost.output"]) == nanos(seen.headers["x-litellm-response-cost-output"]) == 120_000
    assert span["huddle.cost.source"] == "gateway"
    assert span["huddle.request.id"] == seen.headers["x-litellm-call-id"]
    assert span["huddle.gateway.model_id"] == seen.headers["x-litellm-model-id"]
    assert span["huddle.gateway.version"] == seen.headers["x-litellm-version"]
    assert span["huddle.gateway.attempted_retries"] == span["huddle.gateway.attempted_fallbacks"] == 0
    assert span["huddle.gateway.duration_ms"] >= span["huddle.gateway.overhead_ms"] > 0
    assert span["gen_ai.response.finish_reasons"] == ("stop",)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_cached_and_reasoning_tokens(stream: bool, lab: Lab) -> None:
    span = lab.ask("cached", stream=stream).attributes
    tokens = {name.removeprefix("gen_ai.usage."): span[name] for name in span if name.endswith("_tokens")}
    assert tokens["input_tokens"] == 5
    assert tokens["cache_read.input_tokens"] == 3
    assert tokens["output_tokens"] == 12
    assert tokens["reasoning.output_tokens"] == 4
    # 2 plain, 3 cached, 12 out, at 3, 0.3 and 15 USD per 1M
    assert nanos(span["gen_ai.usage.cost"]) == 2 * 3_000 + 3 * 300 + 12 * 15_000
    assert span["huddle.cost.source"] == "gateway"
    if not stream:
        assert nanos(span["huddle.cost.cache_read"]) == 3 * 300


@pytest.mark.parametrize("asked", [None, False, True], ids=["not-asked", "refused", "asked"])
def test_a_stream_costs_what_its_last_chunk_says(asked: bool | None, lab: Lab) -> None:
    options: dict[str, Any] = {} if asked is None else {"stream_options": {"include_usage": asked}}
    seen = lab.ask("priced", stream=True, **options)
    told = [chunk.usage for chunk in seen.chunks if chunk.usage]
    span = seen.attributes
    assert seen.content == WHOLE
    assert seen.finish == "stop"
    if asked is False:  # the app's word: without usage nobody knows
        assert span["huddle.cost.source"] == "unknown"
        assert "gen_ai.usage.cost" not in span
    else:
        assert nanos(span["gen_ai.usage.cost"]) == 135_000
        assert span["huddle.cost.source"] == "gateway"
        assert span["gen_ai.usage.output_tokens"] == WHOLE
    if asked:
        (usage,) = told
        assert nanos((usage.model_extra or {})["cost"]) == 135_000
        assert seen.chunks[-1].choices  # LiteLLM's usage chunk has a choice, OpenAI's has none
    else:
        assert told == []
    assert all(chunk.choices for chunk in seen.chunks)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_unpriced_model_costs_nobody_knows_what(stream: bool, lab: Lab) -> None:
    seen = lab.ask("unpriced", stream=stream)
    assert seen.attributes["huddle.cost.source"] == "unknown"
    assert "gen_ai.usage.cost" not in seen.attributes
    assert seen.attributes["gen_ai.usage.output_tokens"] == WHOLE
    assert "x-litellm-response-cost" not in seen.headers


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_catalogue_prices_what_the_gateway_does_not(stream: bool, lab: Lab) -> None:
    span = lab.ask("glm-5", stream=stream).attributes
    assert span["huddle.cost.source"] == "catalogue"
    assert span["gen_ai.usage.cost"] > 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_failed_call_costs_nobody_knows_what(stream: bool, lab: Lab) -> None:
    """The gateway says 0 on every error, also where its upstream worked and will bill."""
    lab.script(Rule(faults.status(500)))
    seen = lab.ask("priced", stream=stream)
    assert seen.headers["x-litellm-response-cost"] == "0"
    assert "gen_ai.usage.cost" not in seen.attributes
    assert seen.attributes.get("huddle.cost.source", "unknown") == "unknown"
