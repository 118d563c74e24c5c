"""Money: exact against an independent decimal reference, and None for everything that is no amount."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from huddle_otel.spend.money import MAX_NANO, NANO, cost_header, divide, format_usd, nano, usd


def reference(text: str) -> int | None:
    """Dollars as decimal text to nano-dollars, through fractions; round() of a Fraction is half to even."""
    exact = Fraction(text) * NANO
    return round(exact) if 0 <= exact <= MAX_NANO else None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.41e-4, 141_000),
        (5.4e-5, 54_000),
        (0.1 + 0.2, 300_000_000),
        ("0.00014099999999999998", 141_000),
        ("1.41e-4", 141_000),
        (" 0.5 ", 500_000_000),
        ("-0.0", 0),
        (-0.0, 0),
        (0, 0),
        (3, 3 * NANO),
        (Decimal("0.0816"), 81_600_000),
        ("0.0000000005", 0),  # half a nano-dollar goes to the even neighbour
        ("0.0000000015", 2),
        ("0.00000000050000000000000000000000000000000000000000000001", 1),
        (5e-324, 0),
        ("1e-999999", 0),
        (MAX_NANO // NANO, MAX_NANO // NANO * NANO),
        (str(Decimal(MAX_NANO).scaleb(-9)), MAX_NANO),
    ],
)
def test_amounts(value: object, expected: int) -> None:
    assert nano(value) == expected
    assert type(nano(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        -1,
        -1e-12,
        "-0.01",
        Decimal(-1),
        math.nan,
        math.inf,
        -math.inf,
        "nan",
        "snan",
        "inf",
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        "",
        "None",
        "free",
        "$1",
        "1,5",
        "1_000",
        "\u0661",  # a digit to Python, in no header
        "\ud800",
        "0" * 65,
        1e10,
        10**10,
        10**400,
        "1e999999999",
        Decimal("1e999999999"),
        b"1",
        [],
        {},
        object(),
        1j,
        Fraction(1, 2),
    ],
)
def test_nonsense_is_none(value: object) -> None:
    assert nano(value) is None


class LoudFloat(float):
    """Prints itself with its type, as numpy's scalars do."""

    def __repr__(self) -> str:
        return f"LoudFloat({float(self)})"


def test_float_subclasses_print_themselves_differently() -> None:
    assert nano(LoudFloat(1.41e-4)) == 141_000


@given(st.floats(min_value=0, max_value=9e9))
def test_floats_are_the_decimal_they_print_as(value: float) -> None:
    assert nano(value) == reference(repr(value))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=14, min_value=-10, max_value=10_000_000_000))
@example(Decimal("9223372036.854775807"))
@example(Decimal("9223372036.8547758071"))
@example(Decimal("9223372036.8547758075"))
def test_decimals_and_text_agree_with_fractions(value: Decimal) -> None:
    assert nano(value) == nano(str(value)) == reference(str(value))


@given(st.integers(-5, 10**11))
def test_integers(value: int) -> None:
    assert nano(value) == reference(str(value))


@given(st.text())
def test_any_text_is_safe(text: str) -> None:
    amount = nano(text)
    assert amount is None or 0 <= amount <= MAX_NANO


def test_the_applications_decimal_context_changes_nothing() -> None:
    with decimal.localcontext() as context:
        context.prec = 2
        context.rounding = decimal.ROUND_UP
        for signal in context.traps:
            context.traps[signal] = True
        assert nano("1.234567891") == 1_234_567_891
        assert nano(1.41e-4) == 141_000
        assert nano("nonsense") is None
    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = False
        assert nano("nonsense") is None


@pytest.mark.parametrize(("text", "expected"), [(None, None), ("None", None), ("0", 0), ("1.41e-4", 141_000)])
def test_cost_header(text: str | None, expected: int | None) -> None:
    assert cost_header(text) == expected


@given(st.integers(0, MAX_NANO))
def test_usd_is_the_nearest_float(amount: int) -> None:
    assert usd(amount) == float(Fraction(amount, NANO))


@given(st.integers(0, 10**15))
def test_usd_and_back(amount: int) -> None:
    assert nano(usd(amount)) == amount


@given(st.integers(), st.integers(1, 10**12))
@example(5, 10)
@example(15, 10)
@example(-5, 10)
def test_divide_rounds_half_to_even(numerator: int, denominator: int) -> None:
    assert divide(numerator, denominator) == round(Fraction(numerator, denominator))


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (1, "$0.000000001"),
        (141_000, "$0.000141"),
        (141_499, "$0.000141"),
        (50_000_000, "$0.05"),
        (123_456_789, "$0.123"),
        (999_900_000, "$1.00"),
        (1_230_000_000, "$1.23"),
        (1_235_000_000, "$1.24"),
        (1_225_000_000, "$1.22"),
        (1_234_567_000_000_000, "$1,234,567.00"),
        (-50_000_000, "-$0.05"),
        (-1_230_000_000, "-$1.23"),
        (-1, "-$0.000000001"),
    ],
)
def test_format_usd(amount: int | None, text: str) -> None:
    assert format_usd(amount) == text


@given(st.integers(-MAX_NANO, MAX_NANO))
def test_formatted_amounts_read_back_within_half_a_step(amount: int) -> None:
    text = format_usd(amount)
    shown = Fraction(text.replace("$", "").replace(",", ""))
    exact = Fraction(amount, NANO)
    tolerance = Fraction(1, 200) if abs(exact) >= 1 else abs(exact) / 200  # half a cent, or half of three digits
    assert abs(shown - exact) <= tolerance
