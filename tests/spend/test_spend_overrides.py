"""A user's own prices: what they may say, from where, and what is said of those that cannot be."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.spend import Price, PriceTable, entry_of, read_prices
from huddle_otel.spend.overrides import as_stated
from huddle_otel.spend.price import MAX_RATE, OPTIONAL, RATES, Row, Schedule

ONE = {"input": 1, "output": 1}
TABLE = PriceTable.catalogue()


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_every_kind_may_be_stated() -> None:
    rates = {name: number for number, name in enumerate(RATES, 1)}
    price = entry_of("m", {**rates, "request": "0.005", "as_of": "2026-04-01"})
    in_nano: dict[str, Any] = {name: number * 10**9 for name, number in rates.items()}
    assert price == Price(**in_nano, request=5_000_000, as_of="2026-04-01", source="override")


def test_a_tier_takes_what_it_does_not_state_from_the_base() -> None:
    stated = {"input": 1, "output": 2, "cache_read": "0.1", "tiers": [{"above": 5, "input": 3}]}
    price = entry_of("m", stated)
    assert isinstance(price, Price)
    (tier,) = price.tiers
    assert (tier.above, tier.price.input, tier.price.output, tier.price.cache_read) == (5, 3 * 10**9, 2 * 10**9, 10**8)
    assert tier.price.tiers == ()


# --- over time --------------------------------------------------------------------------------------------------------

ROWS = [
    {"input": 3, "output": 9, "until": "2026-01-01"},
    {"input": 2, "output": 6, "from": "2026-01-01", "until": "2026-03-01T12:00:00+02:00"},
    {"input": 1, "output": 3, "from": "2026-04-01"},
]


@pytest.mark.parametrize(
    ("when", "rate"),
    [
        ("1999-01-01T00:00Z", 3),
        ("2025-12-31T23:59:59.999Z", 3),
        ("2026-01-01T00:00Z", 2),
        ("2026-01-01T00:30+01:00", 3),  # still the old year in UTC
        ("2026-03-01T09:59:59Z", 2),
        ("2026-03-01T10:00Z", None),
        ("2026-04-01T00:00Z", 1),
        ("2999-01-01T00:00Z", 1),
    ],
)
def test_the_row_that_holds_when_the_call_begins_counts(when: str, rate: int | None) -> None:
    price = PriceTable({}).with_overrides({"m": ROWS}).find("m", when=unix(when))
    assert (None if price is None else price.input) == (None if rate is None else rate * 10**9)


def test_where_no_row_holds_the_price_before_does() -> None:
    table = TABLE.with_overrides({"gpt-4.1": {**ONE, "from": "2026-01-01", "until": "2026-02-01"}})
    january, march = unix("2026-01-15T00:00Z"), unix("2026-03-01T00:00Z")
    prefixed = TABLE.with_overrides({"openai/gpt-4.1": {**ONE, "from": "2026-01-01", "until": "2026-02-01"}})
    assert prefixed.find("openai/gpt-4.1", when=march) is TABLE["gpt-4.1"]
    for written in ("gpt-4.1", "openai/gpt-4.1-2025-04-14"):
        held, after = table.find(written, when=january), table.find(written, when=march)
        assert held is not None
        assert (held.input, held.source) == (10**9, "override")
        assert after is TABLE["gpt-4.1"]


def test_without_a_time_the_newest_row_counts() -> None:
    table = PriceTable({}).with_overrides({"m": [ROWS[2], ROWS[0]]})
    assert table["m"].input == 10**9
    assert table.find("m") is table["m"]


def test_times_may_be_what_toml_makes_of_them() -> None:
    row = entry_of("m", {**ONE, "from": date(2026, 1, 1), "until": datetime(2026, 1, 2, 3, 4)})  # noqa: DTZ001 - TOML has such
    assert isinstance(row, Schedule)
    assert row.rows[0].start == unix("2026-01-01T00:00Z")
    assert row.rows[0].end == unix("2026-01-02T03:04Z")


MOMENTS = st.sampled_from([-math.inf, *(float(each) for each in range(0, 60, 10)), math.inf])


@given(st.lists(st.tuples(MOMENTS, MOMENTS).filter(lambda span: span[0] < span[1]), max_size=4), st.integers(-5, 65))
def test_of_two_rows_of_others_the_later_counts(spans: list[tuple[float, float]], when: int) -> None:
    prices = [Price(input=number, output=0, source="genai-prices") for number in range(len(spans))]
    rows = tuple(Row(price=price, start=start, end=end) for price, (start, end) in zip(prices, spans, strict=True))
    expected = None
    for price, (start, end) in zip(prices, spans, strict=True):
        if start <= when and when < end:  # noqa: PLR1716 - as the rule is said
            expected = price
    assert Schedule(rows=rows).at(float(when)) is expected


@pytest.mark.parametrize(
    ("daily", "hour", "held"),
    [
        ((1, 4), 0, False),
        ((1, 4), 1, True),
        ((1, 4), 4, False),
        ((22, 2), 23, True),
        ((22, 2), 1, True),
        ((22, 2), 2, False),
        ((22, 2), 12, False),
    ],
)
def test_a_row_may_hold_for_hours_of_the_day(daily: tuple[int, int], hour: int, held: bool) -> None:
    price = Price(input=1, output=1, source="genai-prices")
    row = Row(price=price, daily=(daily[0] * 3600.0, daily[1] * 3600.0))
    assert row.covers(unix(f"2026-05-05T{hour:02}:00Z")) is held


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([ROWS[0], {**ONE, "from": "2025-12-31"}], "rows 1 and 2 both hold at 2025-12-31T00:00:00+00:00"),
        ([{**ONE, "from": "2026-02-01"}, ROWS[0], ROWS[1]], "rows 1 and 3 both hold at 2026-02-01T00:00:00+00:00"),
        ([ROWS[0], {**ONE, "until": "2027-01-01"}], "rows 1 and 2 both hold before 2026-01-01T00:00:00+00:00"),
        ([ONE, ONE], "rows 1 and 2 both hold before the end of time"),
    ],
)
def test_two_rows_for_one_moment_are_refused(rows: Any, told: str) -> None:
    with pytest.raises(ValueError, match="price override for 'm'") as caught:
        entry_of("m", rows)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("stated", "parts"),
    [
        ({**ONE, "until": "soon"}, ["until", "2026-01-31T08:00Z", "'soon'"]),
        ({**ONE, "from": 2026}, ["from", "2026"]),
        ({**ONE, "from": "2026-02-01", "until": "2026-01-01"}, ["later than from", "2026-02-01", "2026-01-01"]),
        ({**ONE, "as_of": "spring"}, ["as_of", "'spring'"]),
        ({**ONE, "request": -1}, ["request", "per call", "-1"]),
        ({**ONE, "tiers": {"above": 5}}, ["tiers must be a list", "5"]),
        ({**ONE, "tiers": [5]}, ["tier 1", "mapping", "5"]),
        ({**ONE, "tiers": [{"above": 5}]}, ["tier 1", "no rate"]),
        ({**ONE, "tiers": [{"input": 5}]}, ["tier 1", "above", "None"]),
        ({**ONE, "tiers": [{"above": True, "input": 5}]}, ["tier 1", "True"]),
        ({**ONE, "tiers": [{"above": 5, "input": 2}, {"above": 5, "input": 3}]}, ["tier 2", "larger", "(5)", "got 5"]),
        ({**ONE, "tiers": [{"above": 5, "from": "2026-01-01"}]}, ["tier 1", "'from'", "above"]),
        ([], ["empty"]),
        ([ONE, 3], ["row 2", "3"]),
        ([{**ONE, "input": "free"}], ["row 1", "input", "'free'"]),
    ],
)
def test_bad_prices_are_named(stated: Any, parts: list[str]) -> None:
    with pytest.raises(ValueError, match="price override for 'm'") as caught:
        entry_of("m", stated)
    for part in parts:
        assert part in str(caught.value)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_json_file_keeps_numbers_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"m": {"input": 0.1234567890123456789, "output": 1e1}}', encoding="utf-8")
    price = PriceTable({}).with_overrides(read_prices(path))["m"]
    assert (price.input, price.output) == (123_456_789, 10 * 10**9)


def test_a_toml_file_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        """
["gpt-4.1"]
input = 1.5
output = 8
tiers = [{above = 200_000, input = 4}]
[[mine]]
input = 3
output = 9
until = 2026-01-01
[[mine]]
input = 2
output = 6
from = 2026-01-01T00:00:00Z
""",
        encoding="utf-8",
    )
    table = PriceTable({}).with_overrides(read_prices(path))
    assert (table["gpt-4.1"].input, table["gpt-4.1"].tiers[0].price.input) == (1_500_000_000, 4 * 10**9)
    held = table.find("mine", when=unix("2025-01-01T00:00Z"))
    assert held is not None
    assert held.input == 3 * 10**9


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.json", '{"m": {"input": 1, "input": 2}}', "'input' is there twice"),
        ("p.json", '{"m": {}, "m": {}}', "'m' is there twice"),
        ("p.json", '{"m": ', "line 1 column"),
        ("p.json", "[]", "expected an object of model ids"),
        ("p.json", "[" * 100_000, "p.json"),
        ("p.json", "\udcff", "utf-8"),
        ("p.toml", "m = {input = }", "line 1"),
        ("p.toml", "[m]\ninput = 1\n[m]\ninput = 2", "m"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match="p") as caught:
        read_prices(path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"prices\.json: cannot be read \(No such file"):
        read_prices(tmp_path / "prices.json")
    with pytest.raises(ValueError, match=r"cannot be read \(Is a directory"):
        read_prices(tmp_path)
    with pytest.raises(ValueError, match="home directory"):
        read_prices(Path("~nobody-here/prices.json"))


RATE = st.integers(0, MAX_RATE)


@given(
    st.fixed_dictionaries({"input": RATE, "output": RATE}, optional=dict.fromkeys(OPTIONAL, RATE)),
    st.dictionaries(st.integers(0, 10**6), st.fixed_dictionaries({"input": RATE}), max_size=2),
    st.integers(0, MAX_RATE),
)
def test_what_is_written_is_read_back_the_same(
    rates: dict[str, Any], tiers: dict[int, dict[str, int]], request: int
) -> None:
    price = Price(**rates, request=request, source="override", as_of="2026-04-01")
    for above in sorted(tiers):
        if tiers[above]["input"] != price.input:
            price = price.with_tier(above, **tiers[above])
    assert entry_of("m", json.loads(json.dumps(as_stated(price)))) == price


def test_the_example_of_the_documentation_is_taken_as_it_stands() -> None:
    text = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    table = PriceTable({}).with_overrides(example)
    assert set(table) == {"gpt-4.1", "gemini-2.5-pro", "mine"}
    assert table["gemini-2.5-pro"].tiers[0].price.input == 2_500_000_000
