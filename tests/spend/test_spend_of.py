"""What a call cost: the order of belief, and the arithmetic against an independent reference."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import huddle_otel.spend as door
from huddle_otel.spend import UNKNOWN, Price, PriceTable, Source, Spend, Usage, parts_of, spend_of
from huddle_otel.spend.price import MAX_RATE, PriceSource
from huddle_otel.spend.usage import MAX_TOKENS

TABLE = PriceTable.catalogue()
USAGE = Usage(input_tokens=1000, output_tokens=100)
# gpt-4.1 is listed at 2 and 8 USD per 1M tokens.
LISTED = Spend(
    total=2_800_000,
    source="catalogue",
    input=2_000_000,
    output=800_000,
    cache_read=0,
    cache_write=0,
    estimate=2_800_000,
)


def test_the_header_wins_and_the_estimate_stays_beside_it() -> None:
    usage = replace(USAGE, cost=129_000)
    spend = spend_of(usage, models=("gpt-4.1",), reported=141_000, table=TABLE)
    assert spend == Spend(total=141_000, source="gateway", estimate=2_800_000)


def test_usage_cost_is_the_gateways_word_when_no_header_is_given() -> None:
    usage = replace(USAGE, cost=129_000)
    assert spend_of(usage, models=("nope",), reported=None, table=TABLE) == Spend(total=129_000, source="gateway")


def test_a_reported_zero_is_believed_and_stays_comparable() -> None:
    spend = spend_of(USAGE, models=("gpt-4.1",), reported=0, table=TABLE)
    assert (spend.total, spend.source, spend.estimate) == (0, "gateway", 2_800_000)
    assert spend_of(replace(USAGE, cost=0), models=(), reported=None, table=TABLE).total == 0


def test_a_reported_cost_needs_no_usage() -> None:
    assert spend_of(None, models=("gpt-4.1",), reported=5, table=TABLE) == Spend(total=5, source="gateway")


def test_the_gateways_split_is_used_only_under_its_total() -> None:
    parts = parts_of(
        {
            "x-litellm-response-cost-input": "0.000001",
            "x-litellm-response-cost-output": "None",
            "x-litellm-response-cost-cache-read": "0.0000005",
            "x-litellm-response-cost-cache-creation": "2e-9",
        }
    )
    assert parts == {"input": 1000, "output": None, "cache_read": 500, "cache_write": 2}
    spend = spend_of(USAGE, models=("gpt-4.1",), reported=9, table=TABLE, reported_parts=parts)
    assert (spend.input, spend.output, spend.cache_read, spend.cache_write) == (1000, None, 500, 2)
    assert spend_of(USAGE, models=("gpt-4.1",), reported=None, table=TABLE, reported_parts=parts) == LISTED


def test_the_table_prices_what_the_gateway_does_not() -> None:
    assert spend_of(USAGE, models=("gpt-4.1",), reported=None, table=TABLE) == LISTED


def test_an_override_is_named_as_the_source() -> None:
    table = TABLE.with_overrides({"gpt-4.1": {"input": 1, "output": 1}})
    spend = spend_of(USAGE, models=("gpt-4.1",), reported=None, table=table)
    assert (spend.total, spend.source) == (1_100_000, "override")


def test_the_first_model_with_a_price_decides() -> None:
    for models in [("gpt-4.1", "o3"), ("nope", "gpt-4.1"), (None, "gpt-4.1"), ("", "gpt-4.1-2025-04-14", "o3")]:
        assert spend_of(USAGE, models=models, reported=None, table=TABLE) == LISTED


@pytest.mark.parametrize(
    ("usage", "models"),
    [
        (None, ("gpt-4.1",)),
        (USAGE, ()),
        (USAGE, (None, "")),
        (USAGE, ("nope", "nope-2025-01-01")),
        (USAGE, ("deepseek-chat",)),
        (Usage(input_tokens=5), ("gpt-4.1",)),
        (Usage(output_tokens=5), ("gpt-4.1",)),
        (Usage(), ("gpt-4.1",)),
    ],
)
def test_unknown_is_never_zero(usage: Usage | None, models: tuple[str | None, ...]) -> None:
    spend = spend_of(usage, models=models, reported=None, table=TABLE)
    assert spend == UNKNOWN
    assert all(getattr(spend, field.name) is None for field in fields(spend) if field.name != "source")


def test_cached_input_without_a_cache_price_costs_as_much_as_plain_input() -> None:
    usage = replace(USAGE, cache_read_tokens=400, cache_write_tokens=100)
    spend = spend_of(usage, models=("gpt-4.1",), reported=None, table=TABLE)
    assert spend.total == LISTED.total
    assert (spend.input, spend.cache_read, spend.cache_write) == (1_000_000, 800_000, 200_000)


def test_stated_cache_prices_are_used() -> None:
    table = TABLE.with_overrides({"m": {"input": 2, "output": 8, "cache_read": 0.5, "cache_write": 2.5}})
    usage = replace(USAGE, cache_read_tokens=400, cache_write_tokens=100, reasoning_tokens=50)
    spend = spend_of(usage, models=("m",), reported=None, table=table)
    assert (spend.input, spend.cache_read, spend.cache_write, spend.output) == (1_000_000, 200_000, 250_000, 800_000)
    assert spend.total == 2_250_000


def test_more_cached_than_input_means_counted_beside_it() -> None:
    usage = Usage(input_tokens=10, output_tokens=0, cache_read_tokens=400)
    spend = spend_of(usage, models=("gpt-4.1",), reported=None, table=TABLE)
    assert (spend.input, spend.cache_read, spend.total) == (20_000, 800_000, 820_000)


def test_a_free_embedding_output() -> None:
    usage = Usage(input_tokens=10, output_tokens=0)
    assert spend_of(usage, models=("gpt-4.1",), reported=None, table=TABLE).total == 20_000


TOKENS = st.one_of(st.integers(0, 10**6), st.integers(0, MAX_TOKENS))
RATES = st.one_of(st.integers(0, 10**11), st.integers(0, MAX_RATE))


@given(
    plain=TOKENS,
    read=st.none() | TOKENS,
    written=st.none() | TOKENS,
    output=TOKENS,
    rates=st.tuples(RATES, RATES, st.none() | RATES, st.none() | RATES),
)
def test_exact_to_the_nano_dollar(
    plain: int,
    read: int | None,
    written: int | None,
    output: int,
    rates: tuple[int, int, int | None, int | None],
) -> None:
    """Reference: dollars as fractions, summed exactly, then round() of a Fraction, which is half to even."""
    rate_in, rate_out, rate_read, rate_written = rates
    table = PriceTable(
        {
            "m": Price(
                input=rate_in, output=rate_out, cache_read=rate_read, cache_write=rate_written, source="genai-prices"
            )
        }
    )
    usage = Usage(
        input_tokens=plain + (read or 0) + (written or 0),
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    spend = spend_of(usage, models=("m",), reported=None, table=table)

    def dollars(tokens: int, rate: int) -> Fraction:
        return tokens * Fraction(rate, 10**9) / 10**6

    parts = [
        dollars(plain, rate_in),
        dollars(output, rate_out),
        dollars(read or 0, rate_in if rate_read is None else rate_read),
        dollars(written or 0, rate_in if rate_written is None else rate_written),
    ]
    assert spend.total == spend.estimate == round(sum(parts) * 10**9)
    split = [spend.input, spend.output, spend.cache_read, spend.cache_write]
    assert split == [round(part * 10**9) for part in parts]
    assert spend.total is not None
    assert abs(sum(part for part in split if part is not None) - spend.total) <= 2
    assert spend.source == "genai-prices"


def test_every_price_source_is_a_spend_source() -> None:
    assert set(get_args(Source)) == {"gateway", "unknown", *get_args(PriceSource)}


def test_the_annotations_of_the_record_resolve_at_run_time() -> None:
    assert get_type_hints(Spend)["source"] == Source


def test_the_door_is_sorted_and_complete() -> None:
    constants = [name for name in door.__all__ if name.isupper()]
    classes = [name for name in door.__all__ if name[0].isupper() and not name.isupper()]
    functions = [name for name in door.__all__ if name.islower()]
    assert door.__all__ == sorted(constants) + sorted(classes) + sorted(functions)
    assert all(hasattr(door, name) for name in door.__all__)
    assert callable(door.tags)
    assert callable(door.catalogue)
