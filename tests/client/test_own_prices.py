"""A user's own prices through real calls: from a mapping, a file, the environment, a function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel.client import pricing
from huddle_otel.errors import ConfigurationError
from huddle_otel.gateway import Gateway
from huddle_otel.spend import Usage
from tests.client.support import COST, FAST, KEY, SAY, Instrument, Recorded, instrumented

MINE = '{"gpt-4.1": {"input": 1000, "output": 1000}}'
"""2 tokens in and 8 out: a cent."""
Make = Callable[..., Any]


@pytest.fixture
def gateway() -> Any:
    """One that states no cost for plain answers."""
    with Gateway(key=KEY, persona="openai") as server:
        yield server


def spent(recorded: Recorded) -> tuple[str, float | None]:
    said = recorded.attributes
    return said["huddle.cost.source"], said.get("gen_ai.usage.cost")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file(instrument: Instrument, recorded: Recorded, make: Make, tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "prices.json"
    path.write_text(MINE)
    instrument(prices=kind(path))
    make(openai.OpenAI).chat.completions.create(**SAY)
    assert spent(recorded) == ("override", 0.01)


def test_a_file_that_the_environment_names(
    gateway: Gateway, recorded: Recorded, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('["gpt-4.1"]\ninput = 1000\noutput = 1000\n')
    monkeypatch.setenv("HUDDLE_OTEL_PRICES", str(path))
    instrumented(gateway, recorded)()
    make(openai.OpenAI).chat.completions.create(**SAY)
    assert spent(recorded) == ("override", 0.01)


def test_a_bad_file_is_named_with_who_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"m": {"input": "free", "output": 1}}')
    with pytest.raises(ConfigurationError, match="prices = ") as caught:
        huddle_otel.instrument(api_key=KEY, prices=str(path))
    assert "'free'" in str(caught.value)
    monkeypatch.setenv("HUDDLE_OTEL_PRICES", str(tmp_path / "nowhere.json"))
    with pytest.raises(ConfigurationError, match=r"HUDDLE_OTEL_PRICES \(prices\) = ") as caught:
        huddle_otel.instrument(api_key=KEY)
    assert "cannot be read" in str(caught.value)


def test_what_cannot_be_prices_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="prices = 3 "):
        huddle_otel.instrument(api_key=KEY, prices=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_function_is_asked_with_model_usage_and_time(
    instrument: Instrument, recorded: Recorded, make: Make, stream: bool
) -> None:
    asked: list[tuple[str, Usage, datetime]] = []

    def price(model: str, usage: Usage, when: datetime) -> Mapping[str, Any]:
        asked.append((model, usage, when))
        return {"input": 1000, "output": 1000}

    begun = datetime.now(UTC)
    instrument(prices=price)
    answer = make(openai.OpenAI).chat.completions.create(**SAY, stream=stream)
    for _ in answer if stream else ():
        pass
    assert spent(recorded) == ("override", 0.01)
    ((model, usage, when),) = asked
    assert (model, usage.input_tokens, usage.output_tokens) == ("gpt-4.1", 2, 8)
    assert begun <= when <= datetime.now(UTC)


def test_a_function_that_knows_nothing_leaves_it_to_the_catalogue(
    instrument: Instrument, recorded: Recorded, make: Make
) -> None:
    asked: list[str] = []
    instrument(prices=lambda model, *_: asked.append(model))
    make(openai.OpenAI).chat.completions.create(**SAY)
    assert spent(recorded) == ("catalogue", COST)
    assert asked == ["gpt-4.1"]


def fails(*_: Any) -> Any:
    raise RecursionError(f"no bottom for {KEY}")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (fails, "the function prices= raised RecursionError for 'gpt-4.1'"),
        (lambda *_: {"input": -1, "output": 1}, "per 1M tokens, got -1"),
        (lambda *_: "cheap", "'cheap'"),
    ],
    ids=["raises", "odd", "no-mapping"],
)
def test_a_function_that_fails_costs_its_price_and_nothing_else(
    instrument: Instrument,
    recorded: Recorded,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    function: Any,
    told: str,
) -> None:
    caplog.set_level(logging.WARNING, "huddle_otel")
    instrument(prices=function)
    client = make(openai.OpenAI)
    for _ in range(3):
        assert client.chat.completions.create(**SAY).usage.total_tokens == 10
    assert [span.attributes["huddle.cost.source"] for span in recorded.spans if span.attributes] == ["catalogue"] * 3
    assert recorded.total("huddle.telemetry.errors", component="spend") == 3
    (said,) = caplog.messages
    assert told in said
    assert KEY not in caplog.text


def test_own_prices_lose_to_what_the_gateway_says(recorded: Recorded, make: Make) -> None:
    with Gateway(key=KEY) as gateway:
        instrumented(gateway, recorded)(prices=lambda *_: {"input": 1000, "output": 1000}, retry=FAST)
        make(openai.OpenAI).chat.completions.create(**SAY)
        assert spent(recorded) == ("gateway", COST)
        assert recorded.total("huddle.client.cost.difference.usd") == pytest.approx(COST - 0.01)


def test_lists_of_another_shape_are_left_out(
    instrument: Instrument, recorded: Recorded, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed() -> Any:
        raise AttributeError("providers")

    monkeypatch.setattr(pricing, "genai_table", changed)
    instrument()
    make(openai.OpenAI).chat.completions.create(**SAY)
    assert spent(recorded) == ("catalogue", COST)
    assert recorded.total("huddle.telemetry.errors", component="spend") == 1


def test_prices_over_time_go_by_the_start_of_the_call(instrument: Instrument, recorded: Recorded, make: Make) -> None:
    today = datetime.now(UTC).date().isoformat()
    rows = [{"input": 1, "output": 1, "until": today}, {"input": 1000, "output": 1000, "from": today}]
    instrument(prices={"gpt-4.1": rows})
    make(openai.OpenAI).chat.completions.create(**SAY)
    assert spent(recorded) == ("override", 0.01)
