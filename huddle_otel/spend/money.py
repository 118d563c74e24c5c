"""Money as integers: one nano-dollar is 1e-9 USD.

A single small call costs around 1e-4 USD, and sums run over millions of calls, so floats would drift. Integers do not.
Floats exist only at the two edges: what the gateway sends comes in through :func:`nano`, what OpenTelemetry wants goes
out through :func:`usd`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

NANO: Final = 1_000_000_000
"""Nano-dollars in one US dollar."""

MAX_NANO: Final = 2**63 - 1
"""Largest amount accepted, in nano-dollars (about 9.2e9 USD): what a signed 64-bit ledger column or attribute holds."""

_MAX_TEXT: Final = 64
"""Longest number read from text. The longest ``repr`` of a float has 24 characters; beyond this it is not a price."""

_MAX_USD: Final = Decimal(MAX_NANO).scaleb(-9)
_STEP: Final = Decimal("1e-9")
# An own context, because an application may lower the precision or set traps in its own. 28 digits hold MAX_NANO (19).
_CONTEXT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[])

_DECIMALS: Final = 9
_SIGNIFICANT: Final = 3
_MIN_DECIMALS: Final = 2


def nano(value: object) -> int | None:
    """Convert US dollars to nano-dollars, exactly where possible, else rounded half to even.

    A float counts as the decimal it prints as: ``1.41e-4`` is 141000 nano-dollars although the nearest binary
    fraction is not.

    Args:
        value: USD as ``str``, ``int``, ``float`` or ``Decimal``.

    Returns:
        Nano-dollars, ``0 <= n <= MAX_NANO``; ``None`` for anything else: other types, ``bool``, negative or non-finite
        numbers, amounts beyond :data:`MAX_NANO`, and text that is no plain ASCII number of at most 64 characters.
    """
    if isinstance(value, float):
        # float.__repr__, not repr(): subclasses such as numpy's print themselves with their type name.
        amount = Decimal(float.__repr__(value))
    elif isinstance(value, int):
        if isinstance(value, bool) or not 0 <= value <= MAX_NANO // NANO:
            return None
        return int(value) * NANO
    elif isinstance(value, Decimal):
        amount = value
    elif isinstance(value, str):
        parsed = _decimal(value)
        if parsed is None:
            return None
        amount = parsed
    else:
        return None
    # is_finite first: ordering a signalling NaN raises. The ordering comes before any scaling, so 1e999999 stays cheap.
    if not amount.is_finite() or not 0 <= amount <= _MAX_USD:
        return None
    return int(_CONTEXT.quantize(amount, _STEP).scaleb(_DECIMALS, _CONTEXT))


def cost_header(text: str | None) -> int | None:
    """Read a cost header such as ``x-litellm-response-cost``.

    Args:
        text: The header's value, in USD; ``None`` when the header is absent. LiteLLM also sends the word ``None``.

    Returns:
        Nano-dollars, or ``None`` when the header states no usable amount. ``None`` means unknown, never free.
    """
    return None if text is None else nano(text)


def usd(amount: int) -> float:
    """Convert nano-dollars to US dollars, for the OpenTelemetry edge only.

    Args:
        amount: Nano-dollars.

    Returns:
        The float nearest to the exact amount, in USD.
    """
    return amount / NANO


def divide(numerator: int, denominator: int) -> int:
    """Divide two integers and round half to even, without floats.

    Args:
        numerator: Any integer.
        denominator: A positive integer.

    Returns:
        The integer nearest to the exact quotient; the even one when two are equally near.
    """
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def format_usd(amount: int | None) -> str:
    """Write an amount for people: ``$1.23``, ``$0.000141``, ``-$0.05``, or ``unknown``.

    From one dollar up there are two decimals; below it, three significant digits (at most nine decimals), without
    trailing zeros after the second decimal. Rounding is half to even.

    Args:
        amount: Nano-dollars. Negative amounts occur as differences.
    """
    if amount is None:
        return "unknown"
    size = abs(amount)
    places = _MIN_DECIMALS
    if size < NANO:
        places = min(_DECIMALS, max(_MIN_DECIMALS, _DECIMALS + _SIGNIFICANT - len(str(size))))
    step = 10 ** (_DECIMALS - places)
    dollars, fraction = divmod(divide(size, step) * step, NANO)
    digits = f"{fraction:09d}"
    decimals = digits[:_MIN_DECIMALS] + digits[_MIN_DECIMALS:].rstrip("0")
    sign = "-" if amount < 0 and (dollars or fraction) else ""
    return f"{sign}${dollars:,}.{decimals}"


def decimal(amount: int) -> str:
    """Write an amount exactly, for files and JSON: ``2.5`` USD, without exponent, trailing zeros or sign for dollars.

    Args:
        amount: Nano-dollars, not negative.
    """
    dollars, fraction = divmod(amount, NANO)
    return f"{dollars}.{fraction:09d}".rstrip("0").rstrip(".")


def _decimal(text: str) -> Decimal | None:
    # Decimal() also reads underscores and foreign digits, which no header and no price list contains.
    if len(text) > _MAX_TEXT or "_" in text or not text.isascii():
        return None
    try:
        return Decimal(text)
    except ArithmeticError:  # decimal.InvalidOperation: not a number
        return None
