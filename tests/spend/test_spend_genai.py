"""The lists of `genai-prices` as a table of ours, held against that package's own calculation where the rules agree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from huddle_otel.spend import PriceTable, Usage, genai_table, spend_of
from huddle_otel.spend import genai as genai_module
from tests.client.support import SDK

if SDK < 3:  # lanes without httpx2, which the package needs
    pytest.importorskip("genai_prices")

from genai_prices import types
from genai_prices.data import providers

USAGES = (
    {"input_tokens": 1000, "output_tokens": 10},
    {"input_tokens": 100_000, "output_tokens": 777, "cache_read_tokens": 60_000, "cache_write_tokens": 1_234},
    {"input_tokens": 300_000, "output_tokens": 5_000, "cache_write_tokens": 299_999},
)
MOMENTS = (datetime(2025, 1, 1, 2, tzinfo=UTC), datetime(2026, 8, 20, 12, tzinfo=UTC))


@pytest.fixture
def table() -> PriceTable:
    made = genai_table()
    assert made is not None
    return made


def models() -> Iterator[tuple[types.Provider, types.ModelInfo]]:
    return ((provider, model) for provider in providers for model in provider.models)


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_every_listed_model_costs_what_the_package_says(table: PriceTable, moment: datetime) -> None:
    compared = 0
    for provider, model in models():
        name = f"{provider.id}/{model.id}"
        if name not in table:
            continue
        for usage in USAGES:
            theirs = model.calc_price(types.Usage(**usage), provider, genai_request_timestamp=moment)
            ours = spend_of(Usage(**usage), models=(name,), reported=None, table=table, when=moment.timestamp())
            if theirs.model_price.output_mtok is None:  # they take output for free
                ours_input = (ours.input or 0) + (ours.cache_read or 0) + (ours.cache_write or 0)
                assert abs(ours_input - Fraction(theirs.total_price) * 10**9) <= 2
                continue
            assert ours.total == round(Fraction(theirs.total_price) * 10**9), (name, usage)
            assert ours.source == "genai-prices"
            compared += 1
    assert compared > 3 * 2_000


def test_sound_and_pictures_cost_what_the_package_says(table: PriceTable) -> None:
    usage = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "input_audio_tokens": 300,
        "input_image_tokens": 200,
        "output_audio_tokens": 50,
        "output_image_tokens": 0,
    }
    compared, unknown = set(), 0
    for provider, model in models():
        name = f"{provider.id}/{model.id}"
        if name not in table:
            continue
        price = model.get_prices(MOMENTS[1])
        ours = spend_of(Usage(**usage), models=(name,), reported=None, table=table, when=MOMENTS[1].timestamp())
        if price.input_audio_mtok is None or price.output_audio_mtok is None:
            unknown += 1
            assert ours.total is None
            continue
        theirs = price.calc_price(types.Usage(**usage))
        assert ours.total == round(Fraction(theirs["total_price"]) * 10**9), name
        compared.add(name)
    assert "openai/gpt-audio" in compared
    assert unknown > 2_000


@pytest.mark.parametrize(
    ("written", "row"),
    [
        ("gpt-4.1", "openai/gpt-4.1"),
        ("hudl/gpt-4.1", "openai/gpt-4.1"),
        ("openai/gpt-4.1-2025-04-14", "openai/gpt-4.1"),
        ("claude-sonnet-4.5", "anthropic/claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("groq/llama-3.3-70b-versatile", "groq/llama-3.3-70b-versatile"),
        ("azure/gpt-4.1", "openai/gpt-4.1"),
    ],
)
def test_names_that_are_listed_whole_are_known(table: PriceTable, written: str, row: str) -> None:
    assert table.find(written) is table[row]


@pytest.mark.parametrize(
    "written",
    [
        "deepseek-r1-distill-qwen-32b",  # the package takes it for deepseek-r1
        "claude-sonnet-4-5-unreal",
        "gpt-4.1-turbo",
        "GPT-4.1",
        "nobody/gpt-4.1",
        "openai/deepseek-r1",
        "llama-3.3-70b-versatile",  # whose?
    ],
)
def test_likeness_is_no_match_here_either(table: PriceTable, written: str) -> None:
    assert table.find(written) is None


def test_a_name_leads_to_the_model_that_the_package_finds(table: PriceTable) -> None:
    compared = 0
    for provider, model in models():
        for name in genai_module._names(model):
            theirs, ours = provider.find_model(name), table.find(f"{provider.id}/{name}")
            assert theirs is not None
            listed = table.entry(f"{provider.id}/{theirs.id}")
            if listed is not None:
                assert ours is listed.at(None)
                compared += 1
    assert compared > 3_000


def test_it_is_asked_after_the_catalogue(table: PriceTable) -> None:
    both = PriceTable.catalogue().before(table)
    assert both.find("gpt-4.1") is PriceTable.catalogue()["gpt-4.1"]
    assert both.find("claude-opus-4-1") is table["anthropic/claude-opus-4-1"]
    assert both.find("nobody-knows") is None
    steps = both.explain("hudl/claude-opus-4-1").steps
    assert steps == (
        "hudl/claude-opus-4-1 is not in the catalogue",
        "hudl/ is the gateway's prefix: anthropic/claude-opus-4-1",
        "price list of genai-prices: anthropic/claude-opus-4-1",
    )


def test_a_price_that_is_no_amount_is_left_out() -> None:
    from decimal import Decimal

    tiers = types.TieredPrices(base=Decimal(1), tiers=[types.Tier(start=5, price=Decimal(-1))])
    for listed in (
        types.ModelPrice(output_mtok=Decimal(1)),
        types.ModelPrice(input_mtok=Decimal("NaN"), output_mtok=Decimal(1)),
        types.ModelPrice(input_mtok=Decimal(-1), output_mtok=Decimal(1)),
        types.ModelPrice(input_mtok=tiers, output_mtok=Decimal(1)),
    ):
        assert genai_module._price(listed) is None


def test_without_the_package_there_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        assert name == "genai_prices"

    monkeypatch.setattr(genai_module, "find_spec", absent)
    assert genai_module.genai_table.__wrapped__() is None


def test_it_is_not_imported_before_it_is_asked_for_and_never_connects() -> None:
    script = """
import socket, sys
import huddle_otel.spend as spend
assert "genai_prices" not in sys.modules
def connect(*_): raise AssertionError("no network")
socket.socket.connect = socket.getaddrinfo = connect
assert spend.genai_table().find("openai/gpt-4.1") is not None
import threading
print(threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"
