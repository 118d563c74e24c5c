"""What tokens cost: every kind, tier and fallback, held against the rules of `docs/prices.md` written once more here.

The reference is of dollars as fractions, and calls nothing of ours.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.spend import Price, PriceTable, Spend, Usage, spend_of
from huddle_otel.spend.price import MAX_RATE, OPTIONAL, RATES
from huddle_otel.spend.usage import MAX_TOKENS

TEXT = {"input": 2_000, "output": 8_000}
"""Nano-dollars per token: easier to multiply in the head."""


def cost(usage: Usage, *, text: bool = True, **rates: Any) -> Spend:
    stated: dict[str, Any] = {name: rate * 10**6 for name, rate in {**TEXT, **rates}.items()}
    price = Price(**stated, source="catalogue")
    return spend_of(usage, models=("m",), reported=None, table=PriceTable({"m": price}), text=text)


# --- the rules, one by one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "parts", "total"),
    [
        ({}, {}, 1000 * 2_000 + 100 * 8_000),
        ({"reasoning": 9_000}, {"reasoning_tokens": 40}, 1000 * 2_000 + 60 * 8_000 + 40 * 9_000),
        ({}, {"reasoning_tokens": 40}, 1000 * 2_000 + 100 * 8_000),
        ({"reasoning": 9_000}, {"reasoning_tokens": 400}, 1000 * 2_000 + 100 * 9_000),
        ({"input_audio": 5_000}, {"input_audio_tokens": 300}, 700 * 2_000 + 300 * 5_000 + 100 * 8_000),
        ({}, {"input_audio_tokens": 300}, None),
        ({}, {"output_audio_tokens": 1}, None),
        ({"input_audio": 5_000}, {"output_audio_tokens": 1}, None),
        ({"output_audio": 0}, {"output_audio_tokens": 100}, 1000 * 2_000),
        ({"output_image": 40_000}, {"output_image_tokens": 90}, 1000 * 2_000 + 10 * 8_000 + 90 * 40_000),
        ({}, {"output_image_tokens": 1}, None),
        ({"input_image": 3_000}, {"input_image_tokens": 300}, 700 * 2_000 + 300 * 3_000 + 100 * 8_000),
        ({}, {"input_image_tokens": 300}, 1000 * 2_000 + 100 * 8_000),
        # a cached token costs what the cache does, whatever it is; the rest of the input can be sound
        (
            {"cache_read": 500, "input_audio": 5_000},
            {"cache_read_tokens": 900, "input_audio_tokens": 300},
            900 * 500 + 100 * 5_000 + 100 * 8_000,
        ),
        ({}, {"cache_read_tokens": 1000, "input_audio_tokens": 300}, 1000 * 2_000 + 100 * 8_000),
        ({"request": 7}, {}, 1000 * 2_000 + 100 * 8_000 + 7_000_000),
    ],
)
def test_each_kind_of_token_has_its_rule(rates: dict[str, Any], parts: dict[str, int], total: int | None) -> None:
    spend = cost(Usage(input_tokens=1000, output_tokens=100, **parts), **rates)
    assert spend.total == total
    assert spend.source == ("unknown" if total is None else "catalogue")


def test_a_price_per_call_is_in_the_total_and_in_no_part() -> None:
    spend = cost(Usage(input_tokens=0, output_tokens=0), request=5)
    assert (spend.total, spend.input, spend.output, spend.cache_read, spend.cache_write) == (5_000_000, 0, 0, 0, 0)


def tiered() -> PriceTable:
    overrides = {
        "m": {
            "input": 1,
            "output": 10,
            "cache_read": "0.1",
            "tiers": [{"above": 200_000, "input": 2, "output": 15}, {"above": 400_000, "input": 4, "cache_read": 1}],
        }
    }
    return PriceTable({}).with_overrides(overrides)


@pytest.mark.parametrize(
    ("tokens", "read", "total"),
    [
        (200_000, 0, 200_000 * 1_000 + 10_000),
        (200_001, 0, 200_001 * 2_000 + 15_000),  # one token more, and all of them cost the tier's rate
        (200_001, 200_001, 200_001 * 100 + 15_000),  # cached input counts towards the limit; its rate is the base's
        (400_000, 0, 400_000 * 2_000 + 15_000),
        (400_001, 1, 400_000 * 4_000 + 1_000 + 10_000),  # a tier adds to the base, not to the tier below
        (100_000, 300_001, 100_000 * 4_000 + 300_001 * 1_000 + 10_000),  # cached beside the input: together
    ],
)
def test_a_tier_holds_for_the_whole_call(tokens: int, read: int, total: int) -> None:
    usage = Usage(input_tokens=tokens, output_tokens=1, cache_read_tokens=read)
    assert spend_of(usage, models=("m",), reported=None, table=tiered()).total == total


@pytest.mark.parametrize(
    ("usage", "known"),
    [
        (Usage(input_tokens=9, output_tokens=5), False),
        (Usage(input_tokens=9, output_tokens=5, input_text_tokens=9), False),
        (Usage(input_tokens=9, output_tokens=5, input_text_tokens=9, output_text_tokens=5), True),
        (Usage(input_tokens=9, output_tokens=0, input_text_tokens=9), True),
        (Usage(input_tokens=9, output_tokens=5, input_text_tokens=9, output_image_tokens=5), False),  # no rate
    ],
)
def test_where_tokens_may_be_anything_a_list_needs_to_know_what_they_are(usage: Usage, known: bool) -> None:
    assert (cost(usage, text=False).total is not None) is known


def test_a_users_own_price_counts_wherever_the_user_uses_the_model() -> None:
    table = PriceTable({}).with_overrides({"draw": {"input": 5, "output": 40}})
    usage = Usage(input_tokens=10, output_tokens=100)
    spend = spend_of(usage, models=("draw",), reported=None, table=table, text=False)
    assert (spend.total, spend.source) == (10 * 5_000 + 100 * 40_000, "override")


def test_what_cannot_be_priced_is_no_estimate_beside_a_reported_cost() -> None:
    usage = Usage(input_tokens=9, output_tokens=5, output_audio_tokens=5)
    table = PriceTable.catalogue()
    spend = spend_of(usage, models=("gpt-4.1",), reported=123, table=table)
    assert spend == Spend(total=123, source="gateway", estimate=None)


# --- all of them at once ----------------------------------------------------------------------------------------------

TOKENS = st.one_of(st.integers(0, 1000), st.integers(0, MAX_TOKENS))
RATE = st.one_of(st.integers(0, 10**11), st.integers(0, MAX_RATE))
RATES_OF = st.fixed_dictionaries({"input": RATE, "output": RATE}, optional=dict.fromkeys(OPTIONAL, RATE))
TIERS = st.dictionaries(
    st.one_of(st.integers(0, 2000), st.integers(0, MAX_TOKENS)),
    st.dictionaries(st.sampled_from(RATES), RATE, min_size=1),
    max_size=3,
)
COUNTS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
)
USAGE = st.fixed_dictionaries(
    {"input_tokens": TOKENS, "output_tokens": TOKENS}, optional=dict.fromkeys(COUNTS, st.none() | TOKENS)
)


def reference(
    usage: dict[str, int | None], base: dict[str, int], tiers: dict[int, dict[str, int]], request: int
) -> dict[str, Fraction] | None:
    """The documented rules, in dollars. None: the cost is unknown."""
    count = {name: usage.get(name) or 0 for name in ("input_tokens", "output_tokens", *COUNTS)}
    cached = count["cache_read_tokens"] + count["cache_write_tokens"]
    beside = cached > count["input_tokens"]
    fresh = count["input_tokens"] if beside else count["input_tokens"] - cached
    reached = [above for above in tiers if fresh + cached > above]
    rate = {**base, **(tiers[max(reached)] if reached else {})}

    def dollars(tokens: int, name: str, otherwise: str = "") -> Fraction:
        return Fraction(tokens * rate.get(name, rate.get(otherwise, 0)), 10**6 * 10**9)

    sound = min(count["input_audio_tokens"], fresh)
    seen = min(count["input_image_tokens"], fresh - sound)
    spoken = min(count["output_audio_tokens"], count["output_tokens"])
    drawn = min(count["output_image_tokens"], count["output_tokens"] - spoken)
    thought = min(count["reasoning_tokens"], count["output_tokens"] - spoken - drawn)
    unknown = {"input_audio": sound, "output_audio": spoken, "output_image": drawn}
    if any(tokens and name not in rate for name, tokens in unknown.items()):
        return None
    return {
        "input": dollars(fresh - sound - seen, "input")
        + dollars(sound, "input_audio")
        + dollars(seen, "input_image", "input"),
        "output": dollars(count["output_tokens"] - spoken - drawn - thought, "output")
        + dollars(spoken, "output_audio")
        + dollars(drawn, "output_image")
        + dollars(thought, "reasoning", "output"),
        "cache_read": dollars(count["cache_read_tokens"], "cache_read", "input"),
        "cache_write": dollars(count["cache_write_tokens"], "cache_write", "input"),
        "request": Fraction(request, 10**9),
    }


@given(usage=USAGE, base=RATES_OF, tiers=TIERS, request=st.integers(0, 10**9))
def test_exact_to_the_nano_dollar_whatever_the_kinds_and_tiers(
    usage: dict[str, int | None], base: dict[str, Any], tiers: dict[int, dict[str, int]], request: int
) -> None:
    price = Price(**base, request=request, source="override")
    for above in sorted(tiers):
        price = price.with_tier(above, **tiers[above])
    spend = spend_of(Usage(**usage), models=("m",), reported=None, table=PriceTable({"m": price}))
    expected = reference(usage, base, tiers, request)
    if expected is None:
        assert spend == Spend()
        return
    assert spend.total == spend.estimate == round(sum(expected.values()) * 10**9)
    split = {"input": spend.input, "output": spend.output, "read": spend.cache_read, "write": spend.cache_write}
    assert list(split.values()) == [round(part * 10**9) for part in list(expected.values())[:4]]
