"""The price table: which id finds which price, and what an override may say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.spend import Price, PriceTable, catalogue
from huddle_otel.spend.price import MAX_RATE
from huddle_otel.spend.prices import table_of

TABLE = PriceTable.catalogue()
PRICE = Price(input=1, output=2, source="override")


def test_the_catalogue_is_loaded_once_and_is_exact() -> None:
    assert PriceTable.catalogue() is TABLE
    for model in catalogue():
        if model.input is None or model.output is None:
            assert model.id not in TABLE
            continue
        price = TABLE[model.id]
        assert Fraction(price.input, 10**9) == Fraction(model.input)
        assert Fraction(price.output, 10**9) == Fraction(model.output)
        assert (price.cache_read, price.cache_write) == (None, None)
        assert (price.source, price.as_of) == ("catalogue", model.as_of)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gpt-4.1", "gpt-4.1"),
        ("openai/gpt-4.1", "gpt-4.1"),
        ("hudl/gpt-4.1", "gpt-4.1"),
        ("huddle01/claude-sonnet-4.5", "claude-sonnet-4.5"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("openai/gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
        ("anthropic/claude-opus-4-6", "claude-opus-4.6"),
        ("gemini/gemini-2.5-flash", "gemini-2.5-flash"),
        ("x-ai/grok-4.1-fast", "grok-4.1-fast"),
        ("gpt4.1", "gpt-4.1"),
        ("gemini 2.5 pro", "gemini-2.5-pro"),
        ("mistral large", "mistral-large"),
    ],
)
def test_listed_spellings_find_the_price(written: str, meant: str) -> None:
    assert TABLE.find(written) is TABLE[meant]


@pytest.mark.parametrize(
    "model",
    [
        "",
        "gpt-4",
        "gpt-4.1-nan",
        "gpt-4.1-turbo",
        "GPT-4.1",
        "claude",  # family names move on
        "opus",
        "grok 3",
        "default",
        "cheap model",
        "openai/deepseek-r1",  # LiteLLM's spelling of a self-hosted server
        "ollama/deepseek-r1",
        "azure/gpt-4.1",  # a reseller has its own price
        "openrouter/openai/gpt-4.1",
        "ft:gpt-4.1:acme",
        "deepseek-chat",  # in the catalogue, without a price
        "deepseek/deepseek-chat",
        "gpt-4.1-2025-13-14",
        "gpt-4.1-2025-04-00",
        "gpt-4.1-1999-04-14",
        "gpt-4.1-2025-04-1x",
        "gpt-4.1-20250532",
        "gpt-4.1-12345678",
        "gpt-4.12025-04-14",
        "gpt-4.1-2025/04/14",
        "gpt-4.1-²0250514",
        "-2025-04-14",
        "20250514",
    ],
)
def test_nothing_is_guessed(model: str) -> None:
    assert TABLE.find(model) is None


def test_every_id_finds_itself_under_every_prefix_of_its_vendor() -> None:
    for model in TABLE:
        assert TABLE.find(model) is TABLE.find(f"hudl/{model}") is TABLE.find(f"{model}-2026-01-31") is TABLE[model]


@given(st.text(alphabet="gpt-4.1/20250 \0é²", max_size=24))
def test_any_text_is_safe_to_look_up(model: str) -> None:
    price = TABLE.find(model)
    assert price is None or price.source == "catalogue"


def test_a_spelling_two_models_claim_means_neither() -> None:
    first, *_ = catalogue()
    twins = (
        replace(first, id="m-1.5", aliases=("m 1.5",)),
        replace(first, id="m-1-5", aliases=("m15",)),
        replace(first, id="other", vendor="Nobody", aliases=("m-1.5",)),
    )
    table = table_of(twins)
    assert table.find("m-1.5") is table["m-1.5"]
    assert table.find("m-1-5") is table["m-1-5"]
    assert table.find("hudl/m-1-5") is None
    assert table.find("hudl/m-1.5") is table["m-1.5"]
    assert table.find("openai/other") is None
    assert table.find("hudl/other") is table["other"]


def test_the_table_is_a_mapping_and_does_not_follow_its_source() -> None:
    source = {"a": PRICE}
    table = PriceTable(source)
    source.clear()
    assert dict(table) == {"a": PRICE}
    assert len(table) == 1
    assert repr(table) == "PriceTable(1 models)"
    with pytest.raises(KeyError):
        table["b"]
    with pytest.raises(TypeError):
        table["b"] = PRICE  # type: ignore[index]


def test_overrides_win_and_leave_the_original_alone() -> None:
    changed = TABLE.with_overrides(
        {"gpt-4.1": {"input": 3, "output": "15.5", "cache_read": 0.3}, "mine": {"input": 0, "output": 0}}
    )
    expected = Price(input=3 * 10**9, output=15_500_000_000, cache_read=300_000_000, source="override")
    for written in ("gpt-4.1", "openai/gpt-4.1", "gpt-4.1-2025-04-14"):
        assert changed.find(written) == expected
    assert changed.find("mine") == changed.find("hudl/mine") == Price(input=0, output=0, source="override")
    assert changed.find("o3") is TABLE["o3"]
    assert TABLE["gpt-4.1"].source == "catalogue"
    assert "mine" not in TABLE


def test_an_override_as_written_wins_over_the_spelling_rules() -> None:
    changed = TABLE.with_overrides(
        {
            "openai/gpt-4.1": {"input": 1, "output": 1},
            "gpt-4.1-2025-04-14": {"input": 2, "output": 2},
            "deepseek-chat": {"input": 3, "output": 3, "cache_write": 4},
        }
    )
    assert changed.find("openai/gpt-4.1") is changed["openai/gpt-4.1"]
    assert changed.find("gpt-4.1-2025-04-14") is changed["gpt-4.1-2025-04-14"]
    assert changed.find("gpt-4.1") is TABLE["gpt-4.1"]
    assert changed.find("deepseek/deepseek-chat") is changed["deepseek-chat"]
    assert changed["deepseek-chat"].cache_write == 4 * 10**9


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"m": {"input": -1, "output": 1}}, ["'m'", "input", "-1", "$0 to $1,000,000.00"]),
        ({"m": {"input": 1, "output": float("nan")}}, ["'m'", "output", "nan"]),
        ({"m": {"input": 1, "output": 1, "cache_read": True}}, ["'m'", "cache_read", "True"]),
        ({"m": {"input": 1, "output": 1, "cache_write": None}}, ["'m'", "cache_write", "None"]),
        ({"m": {"input": "cheap", "output": 1}}, ["'m'", "input", "'cheap'"]),
        ({"m": {"input": 1_000_001, "output": 1}}, ["'m'", "input", "1000001"]),
        ({"m": {"input": 1}}, ["'m'", "output is missing"]),
        ({"m": {}}, ["'m'", "input is missing"]),
        ({"m": {"input": 1, "output": 1, "cached": 3}}, ["'m'", "'cached'", "3", "cache_read"]),
        ({"m": {"input": 1, "output": 1, 7: 3}}, ["'m'", "7", "cache_read"]),
        ({"m": 3}, ["'m'", "3", "mapping"]),
        ({"": {"input": 1, "output": 1}}, ["''", "non-empty"]),
        ({None: {"input": 1, "output": 1}}, ["None", "non-empty"]),
    ],
)
def test_bad_overrides_are_named(overrides: Any, parts: list[str]) -> None:
    with pytest.raises(ValueError, match="price override") as caught:
        TABLE.with_overrides(overrides)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", -1),
        ("input", None),
        ("output", 1.5),
        ("cache_read", True),
        ("cache_write", MAX_RATE + 1),
        ("source", "rumour"),
    ],
)
def test_a_price_checks_its_fields(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Price\.{field} must be") as caught:
        replace(PRICE, **{field: value})
    assert repr(value) in str(caught.value)


def test_the_range_of_a_price_includes_its_ends() -> None:
    assert replace(PRICE, input=0, output=MAX_RATE, cache_read=0, source="genai-prices").output == MAX_RATE
