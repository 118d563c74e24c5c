"""What could be cheaper or fail less, each line with the figures it rests on.

Nothing is said of money below a hundredth of the spend, nor of failures below a twentieth of a model's calls.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from os.path import commonprefix
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.prices.force import table
from huddle_otel.cli.report.forms import count
from huddle_otel.cli.report.ledger import IN, WASTED
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.snapshot import snapshot
from huddle_otel.events import AT_LIMIT, FILTERED
from huddle_otel.spend import Price, PriceTable, catalogue, format_usd

SHORT_OUT: Final = 200
SHORT_IN: Final = 2_000
"""Tokens of a call that is short enough to try on a smaller model, at most."""
LONG_IN: Final = 1_024
"""Tokens of input from which upstreams cache prompts; the mean of a model's calls."""
CACHED: Final = 0.1
"""Share of input read from cache below which caching is missed."""
_WORTH: Final = 0.01
_OFTEN: Final = 0.05
_FEWEST: Final = 20
"""Calls that failed, or were cut off, in one way that are a pattern, at least."""
_MILLION: Final = 10**6
_QUERY: Final = f"""
SELECT ifnull(model, ''),
    count(*),
    total(cost),
    total(input_tokens),
    total(cache_read_tokens),
    sum({WASTED}),
    total(CASE WHEN {WASTED} THEN cost END),
    sum(outcome = 'truncated'),
    sum(attempts > 1),
    sum(double_billing),
    sum(short),
    total(CASE WHEN short THEN cost END),
    total(CASE WHEN short THEN input_tokens END),
    total(CASE WHEN short THEN output_tokens END)
FROM (
    SELECT *,
        outcome = 'ok' AND cost IS NOT NULL AND input_tokens <= {SHORT_IN} AND output_tokens <= {SHORT_OUT} AS short
    FROM calls {IN}
)
GROUP BY 1
ORDER BY total(cost) DESC
"""  # noqa: S608 - numbers and SQL of ours
_FAILURES: Final = f"""
SELECT ifnull(model, ''), ifnull(error_type, 'an unknown error'), count(*), total(attempts) / count(*)
FROM calls {IN} AND outcome NOT IN ('ok', 'cancelled', 'abandoned')
GROUP BY 1, 2
HAVING count(*) >= {_FEWEST}
ORDER BY 3 DESC
"""  # noqa: S608 - numbers and SQL of ours
_CUT_OFF: Final = f"""
SELECT ifnull(model, ''), finish_reason = '{FILTERED}', count(*), total(cost), sum(cost IS NULL), avg(output_tokens)
FROM calls {IN} AND finish_reason IN {(*AT_LIMIT, FILTERED)}
GROUP BY 1, 2
ORDER BY 4 DESC
"""  # noqa: S608 - words and SQL of ours


@dataclass(frozen=True, slots=True)
class _CutOff:
    """What a model's answers come to that were cut off in one way; money is in nano-dollars."""

    model: str
    filtered: int
    calls: int
    cost: float
    unpriced: int
    output_tokens: float | None
    """Mean, of the calls that tell."""


@dataclass(frozen=True, slots=True)
class _Model:
    """What a model's calls come to; money is in nano-dollars."""

    name: str
    calls: int
    cost: float
    input_tokens: float
    cache_read_tokens: float
    wasted_calls: int | None
    wasted: float
    truncated: int | None
    retried: int | None
    doubled: int | None
    short_calls: int | None
    short_cost: float
    short_input: float
    short_output: float


def advise(path: Path, period: Period) -> list[str]:
    """Return a line for everything in a period of a ledger that could be cheaper, then for what often fails.

    Raises:
        LedgerError: There is none, or it cannot be read.
        ConfigurationError: `HUDDLE_OTEL_PRICES` names no file of prices.
    """
    with snapshot(path) as moment:
        asked = [moment.ask(_rows, query, period) for query in (_QUERY, _CUT_OFF, _FAILURES)]
        found, ended_early, failures = (each.result() for each in asked)
    models, cut_off = [_Model(*row) for row in found], [_CutOff(*row) for row in ended_early]
    prices = table()
    worth = sum(model.cost for model in models) * _WORTH
    savings = [
        line
        for model in models
        for saving, line in (*_cheaper(model, prices), *_caching(model, prices), *_waste(model))
        if saving > worth
    ]
    whole = {model.name: model for model in models}
    savings += [
        _cut_off(cut, whole[cut.model])
        for cut in cut_off
        if cut.cost > worth or cut.calls >= max(_FEWEST, whole[cut.model].calls * _OFTEN)
    ]
    return savings + [
        f"{name or 'no model'}: {failed:,} of {count(whole[name].calls, 'call')} ended with {error}, "
        f"after {attempts:.1f} attempts each."
        for name, error, failed, attempts in failures
        if failed >= whole[name].calls * _OFTEN
    ]


def _rows(connection: sqlite3.Connection, query: str, period: Period) -> list[tuple[Any, ...]]:
    return connection.execute(query, (period.since, period.until)).fetchall()


def _cut_off(cut: _CutOff, model: _Model) -> str:
    """Say what was cut off. Whether it was asked for again, by another call, no ledger knows."""
    of = f"{cut.model or 'no model'}: {cut.calls:,} of {count(model.calls, 'call')} ({cut.calls / model.calls:.0%})"
    unpriced = f", {cut.unpriced:,} of them at an unknown price" if cut.unpriced else ""
    paid = f"they cost {format_usd(round(cut.cost))} of {format_usd(round(model.cost))}{unpriced}"
    if cut.unpriced == cut.calls:
        paid = "what they cost is unknown"
    if cut.filtered:
        return f"{of} were stopped by a content filter; {paid}."
    at = f", at {cut.output_tokens:,.0f} tokens out on average" if cut.output_tokens is not None else ""
    return (
        f"{of} were cut off at their limit on tokens{at}; {paid}. "
        "Raise the limit, or ask for less: what has to be asked for again is paid twice."
    )


def _cheaper(model: _Model, prices: PriceTable) -> Iterator[tuple[float, str]]:
    price = prices.find(model.name)
    other = _next_below(model.name, price, prices) if price is not None else None
    if price is None or other is None or not model.short_calls:
        return
    name, cheaper = other
    listed, then = _at(price, model), _at(cheaper, model)
    share = then / listed if listed else 1.0  # what is paid may differ from the list: the ratio carries over better
    line = (
        f"{model.name}: {count(model.short_calls, 'short call')} (at most {SHORT_IN:,} tokens in, {SHORT_OUT} out) "
        f"cost {format_usd(round(model.short_cost))}. By list prices {name} takes {share:.0%} of that, about "
        f"{format_usd(round(model.short_cost * share))}. Where its answers do, change `model`."
    )
    yield model.short_cost * (1 - share), line


def _at(price: Price, model: _Model) -> float:
    """Return what the short calls' tokens cost by a price list that knows no cache."""
    return (model.short_input * price.input + model.short_output * price.output) / _MILLION


def _next_below(name: str, price: Price, prices: PriceTable) -> tuple[str, Price] | None:
    """Return the nearest by name, then the dearest, of the same vendor's models that cost at most half."""
    vendors = {each.vendor for each in catalogue() if prices.get(each.id) == price}
    found = [
        (each.id, other)
        for each in catalogue()
        if each.vendor in vendors
        and (other := prices.get(each.id)) is not None
        and 0 < 2 * other.input <= price.input
        and 0 < 2 * other.output <= price.output
    ]
    alike = {each: len(commonprefix([name, each])) for each, _ in found}  # noqa: RUF071 - names, not paths
    return max(found, key=lambda item: (alike[item[0]], item[1].output, item[0]), default=None)


def _caching(model: _Model, prices: PriceTable) -> Iterator[tuple[float, str]]:
    price = prices.find(model.name)
    share = model.cache_read_tokens / model.input_tokens if model.input_tokens else 1.0
    if price is None or share >= CACHED or model.input_tokens < LONG_IN * model.calls:
        return
    listed = model.input_tokens * price.input / _MILLION
    cached, least = 0.0, ""
    if price.cache_read is not None:
        cached = model.input_tokens * price.cache_read / _MILLION
        least = f", {format_usd(round(cached))} if all came from cache"
    line = (
        f"{model.name}: {share:.0%} of {model.input_tokens:,.0f} tokens of input were read from cache, at "
        f"{model.input_tokens / model.calls:,.0f} a call; this input is {format_usd(round(listed))} by list prices"
        f"{least}. Upstreams ask less for what repeats at the beginning of a prompt: put what changes last."
    )
    yield listed - cached, line


def _waste(model: _Model) -> Iterator[tuple[float, str]]:
    if model.wasted_calls:
        cut = f", {model.truncated:,} of them truncated" if model.truncated else ""
        line = (
            f"{model.name}: {format_usd(round(model.wasted))} of {format_usd(round(model.cost))} went to "
            f"{count(model.wasted_calls, 'call')} without a whole answer{cut}."
        )
        yield model.wasted, line
    if model.doubled:
        twice = model.doubled * model.cost / model.calls
        retried = count(model.retried or 0, "retried call")
        line = (
            f"{model.name}: {model.doubled:,} of {retried} may be billed twice, about "
            f"{format_usd(round(twice))} at what its calls cost on average. A longer timeout retries less."
        )
        yield twice, line
