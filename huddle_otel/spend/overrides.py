"""A user's own prices: what they may say, and reading them from a file.

A price is a mapping with ``input`` and ``output``, in USD per 1M tokens, and optionally more::

    {"gpt-4.1": {"input": 2, "output": 8, "cache_read": "0.5"},
     "gemini-2.5-pro": {"input": 1.25, "output": 10, "tiers": [{"above": 200_000, "input": 2.5, "output": 15}]},
     "mine": [{"input": 3, "output": 9, "until": "2026-01-01"}, {"input": 2, "output": 6, "from": "2026-01-01"}]}

Numbers may be decimal text; a date is the beginning of that day, and a time without an offset is UTC. Whatever else is
said is refused, with the model, the field, the value and what is permitted.
"""

from __future__ import annotations

import functools
import json
import math
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

from huddle_otel.spend.money import decimal, format_usd, nano
from huddle_otel.spend.price import MAX_RATE, RATES, REQUIRED, Entry, Price, Row, Schedule
from huddle_otel.spend.usage import MAX_TOKENS

_TIMES: Final = ("from", "until")
_FIELDS: Final = (*RATES, "request", "tiers", *_TIMES, "as_of")
_TIER_FIELDS: Final = ("above", *RATES)


def entry_of(model: object, stated: object, *, otherwise: Entry | None = None) -> Entry:
    """Read one model's price.

    Args:
        model: Its id.
        stated: A mapping, or a list of mappings that hold at different times.
        otherwise: What holds where no row does.

    Raises:
        ValueError: Names the model, the field, the value and what is permitted.
    """
    if not isinstance(model, str) or not model:
        raise ValueError(f"price override: the model must be a non-empty string, got {model!r}")
    where = f"price override for {model!r}"
    if not isinstance(stated, list | tuple):
        row = _row(where, stated)
        timeless = row.start == -math.inf and row.end == math.inf
        return row.price if timeless else Schedule(rows=(row,), otherwise=otherwise)
    listed = cast("list[object]", stated)
    if not listed:
        raise ValueError(f"{where}: the list of rows is empty")
    rows = tuple(_row(f"{where}, row {number}", each) for number, each in enumerate(listed, 1))
    _check_apart(where, rows)
    return Schedule(rows=rows, otherwise=otherwise)


def read_prices(path: Path) -> Mapping[str, object]:
    """Read a file of prices: TOML if its name ends in ``.toml``, else JSON.

    Args:
        path: Where it is; ``~`` is understood.

    Raises:
        ValueError: It cannot be read, is neither, or says a thing twice; the message names the file and the place.
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8")
        # Decimal: a float would lose what is written
        if path.suffix.lower() == ".toml":
            read: Any = tomllib.loads(text, parse_float=Decimal)
        else:
            read = json.loads(text, parse_float=Decimal, object_pairs_hook=_once)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RuntimeError) as error:  # bad syntax, text or nesting; nobody's home
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(read, dict):
        raise ValueError(f"{path}: expected an object of model ids and their prices, got {type(read).__name__}")  # noqa: TRY004 - one error type for every bad override
    return cast("dict[str, object]", read)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return made


def _row(where: str, stated: object) -> Row:
    fields = _fields(where, stated, _FIELDS)
    start, end = (_moment(where, name, fields.get(name)) for name in _TIMES)
    if start is not None and end is not None and not start < end:
        raise ValueError(f"{where}: until must be later than from ({fields['from']}), got {fields['until']}")
    rates = {name: _rate(where, name, fields[name]) for name in (*RATES, "request") if name in fields}
    for name in REQUIRED:
        if name not in rates:
            raise ValueError(f"{where}: {name} is missing; required: {', '.join(REQUIRED)}")
    make: Any = functools.partial(Price, source="override", as_of=_day(where, fields.get("as_of")))
    price: Price = make(**rates)
    for above, dearer in _tiers(where, fields.get("tiers", [])):
        price = price.with_tier(above, **dearer)
    return Row(price=price, start=-math.inf if start is None else start, end=math.inf if end is None else end)


def _fields(where: str, stated: object, permitted: tuple[str, ...]) -> Mapping[str, object]:
    listed = ", ".join(permitted)
    if not isinstance(stated, Mapping):
        raise ValueError(f"{where}: expected a mapping with the fields {listed}, got {stated!r}")  # noqa: TRY004 - one error type for every bad override
    fields = cast("Mapping[object, object]", stated)
    for name, value in fields.items():
        if not isinstance(name, str) or name not in permitted:
            raise ValueError(f"{where}: unknown field {name!r} (value {value!r}); permitted: {listed}")
    return cast("Mapping[str, object]", fields)


def _rate(where: str, name: str, value: object) -> int:
    rate = nano(value)
    if rate is None or rate > MAX_RATE:
        per = "per call" if name == "request" else "per 1M tokens"
        raise ValueError(f"{where}: {name} must be $0 to {format_usd(MAX_RATE)} {per}, got {value!r}")
    return rate


def _tiers(where: str, stated: object) -> list[tuple[int, dict[str, int]]]:
    if not isinstance(stated, list | tuple):
        raise ValueError(f"{where}: tiers must be a list of mappings, got {stated!r}")  # noqa: TRY004 - as above
    tiers: list[tuple[int, dict[str, int]]] = []
    for number, each in enumerate(cast("list[object]", stated), 1):
        place = f"{where}, tier {number}"
        fields = _fields(place, each, _TIER_FIELDS)
        above = fields.get("above")
        if type(above) is not int or not 0 <= above <= MAX_TOKENS:
            raise ValueError(f"{place}: above must be a whole number of tokens from 0 to {MAX_TOKENS}, got {above!r}")
        if tiers and above <= tiers[-1][0]:
            raise ValueError(f"{place}: above must be larger than the tier's before ({tiers[-1][0]}), got {above}")
        rates = {name: _rate(place, name, fields[name]) for name in RATES if name in fields}
        if not rates:
            raise ValueError(f"{place}: no rate; permitted: {', '.join(RATES)}")
        tiers.append((above, rates))
    return tiers


def _moment(where: str, name: str, value: object) -> float | None:
    if value is None:
        return None
    moment = _parsed(value)
    if moment is None:
        raise ValueError(f"{where}: {name} must be a date or time as 2026-01-31 or 2026-01-31T08:00Z, got {value!r}")
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _parsed(value: object) -> datetime | None:
    """Read a date or time: text, or what TOML makes of one."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _day(where: str, value: object) -> str | None:
    if value is None:
        return None
    moment = _parsed(value)
    if moment is None:
        raise ValueError(f"{where}: as_of must be a date as 2026-01-31, got {value!r}")
    return moment.date().isoformat()


def _check_apart(where: str, rows: tuple[Row, ...]) -> None:
    """Refuse two rows for one moment. In order of their starts, two that overlap have neighbours that do."""
    numbered = sorted(enumerate(rows, 1), key=lambda item: item[1].start)
    for (first, before), (second, after) in pairwise(numbered):
        if after.start < before.end:
            when = f"at {_written(after.start)}" if after.start > -math.inf else f"before {_written(before.end)}"
            raise ValueError(f"{where}: rows {min(first, second)} and {max(first, second)} both hold {when}")


def _written(moment: float) -> str:
    return "the end of time" if moment == math.inf else datetime.fromtimestamp(moment, UTC).isoformat()


def as_stated(price: Price) -> dict[str, Any]:
    """Return a price as the mapping that says it, amounts in USD as decimal text: what :func:`entry_of` reads."""
    said: dict[str, Any] = _rates_of(price)
    if price.request:
        said["request"] = decimal(price.request)
    if price.tiers:
        base = _rates_of(price)
        said["tiers"] = [
            {"above": tier.above}
            | {name: text for name, text in _rates_of(tier.price).items() if text != base.get(name)}
            for tier in price.tiers
        ]
    if price.as_of is not None:
        said["as_of"] = price.as_of
    return said


def _rates_of(price: Price) -> dict[str, str]:
    rates = {name: getattr(price, name) for name in RATES}
    return {name: decimal(rate) for name, rate in rates.items() if rate is not None}
