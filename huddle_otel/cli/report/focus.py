"""The ledger as rows of FOCUS 1.2, the FinOps cost and usage specification: https://focus.finops.org.

A row is a day, or an hour, of one model, one kind of tokens, one source of the cost and one set of tags. The rows of a
period add up to its spend in the ledger, to the nano-dollar.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import add
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO, cast

from huddle_otel.cli.report.figures import DAY
from huddle_otel.cli.report.forms import cell, count
from huddle_otel.cli.report.ledger import BILLED, IN, PARTS, TOKENS, grouped, slices
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.snapshot import snapshot
from huddle_otel.spend import catalogue
from huddle_otel.spend.money import NANO

COLUMNS: Final = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency"),
    *("BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription"),
    *("ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit"),
    *("ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType"),
    *("ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId", "Tags"),
    *("x_CostSource", "x_Operation"),
)
"""In the order of the specification, then our own."""
_HOUR: Final = 3600
_ROUNDING: Final = 2
"""Nano-dollars by which the parts of a call's cost may differ from it, since each is rounded."""
_COUNTS: Final = (*TOKENS, "cost", *PARTS)
_SUMS: Final = ("count(*)", *(f"ifnull(sum({name}), 0)" for name in _COUNTS))


class _Charge(NamedTuple):
    """What the calls that make up rows have in common; `split`: it is known what each kind of tokens cost."""

    slot: int
    provider: str
    host: str
    operation: str
    model: str
    source: str
    tags: str | None
    split: bool


@dataclass(frozen=True, slots=True)
class _Line:
    """One row's figures."""

    kind: str
    cost: int
    quantity: int
    unit: str


def write(path: Path, period: Period, *, hourly: bool, out: TextIO) -> int:
    """Write a ledger's calls as FOCUS rows, from the start of the day, or hour, in which the period begins.

    Args:
        path: The ledger.
        period: Which calls count.
        hourly: Rows by hour, not by day.
        out: Where to.

    Returns:
        How many calls are left out, for they cost something nobody could price, and FOCUS has no row without a cost.

    Raises:
        LedgerError: There is none, or it cannot be read.
    """
    length = _HOUR if hourly else DAY
    span = Period(period.since // length * length, period.until)
    charges: defaultdict[_Charge, list[int]] = defaultdict(lambda: [0] * len(_SUMS))
    with snapshot(path) as moment:
        unpriced = moment.ask(_unpriced, span)
        cuts = moment.ask(slices, span).result()
        for part in [moment.ask(_charges, each, length) for each in cuts]:
            for charge, counts in part.result():
                charges[charge] = list(map(add, charges[charge], counts))
        left_out = unpriced.result()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    vendors = {model.id: model.vendor for model in catalogue()}
    for charge in sorted(charges, key=lambda each: tuple(map(str, each))):
        calls, *counts = charges[charge]
        for line in _lines(calls, dict(zip(_COUNTS, counts, strict=True)), split=charge.split):
            told = _row(charge, line, length, vendors)
            writer.writerow([told.get(name) for name in COLUMNS])
    return left_out


def _charges(connection: sqlite3.Connection, period: Period, length: int) -> list[tuple[_Charge, list[int]]]:
    """Return what makes up rows, and its sums."""
    keys = [f"CAST(started / {length} AS INT)", "provider", "host", "operation", "model", "cost_source", "tags"]
    span, priced = (period.since, period.until), f"{IN} AND cost IS NOT NULL"
    rows = grouped(connection, [*keys, "cost_input IS NOT NULL"], _SUMS, span, priced)
    return [(_Charge(*row[: -len(_SUMS)]), list(map(int, row[-len(_SUMS) :]))) for row in rows]


def _unpriced(connection: sqlite3.Connection, period: Period) -> int:
    """Return how many calls cost something nobody could price."""
    query = f"SELECT count(*) FROM calls {IN} AND cost IS NULL AND {BILLED}"  # noqa: S608 - SQL of ours
    (count,) = connection.execute(query, (period.since, period.until)).fetchone()
    return int(count)


def run(path: Path, period: Period, *, hourly: bool) -> None:
    """Print the rows, and say on standard error what is left out."""
    left_out = write(path, period, hourly=hourly, out=sys.stdout)
    if left_out:
        print(
            f"huddle-otel: left out: {count(left_out, 'call')} that cost something nobody could price", file=sys.stderr
        )


def _lines(calls: int, counts: dict[str, int], *, split: bool) -> Iterator[_Line]:
    """Yield what calls cost for each kind of tokens; without a split, for all of them together."""
    if not split:
        yield _Line("all", counts["cost"], counts["input_tokens"] + counts["output_tokens"], "Tokens")
        return
    costs = {name.removeprefix("cost_"): counts[name] for name in PARTS}
    rest = counts["cost"] - sum(costs.values())
    if abs(rest) <= _ROUNDING * calls:
        costs[max(costs, key=lambda kind: costs[kind])] += rest
        rest = 0
    for kind, cost in costs.items():
        quantity = _tokens(kind, counts)
        if cost or quantity:
            yield _Line(kind, cost, quantity, "Tokens")
    if rest:  # fees, margins and discounts of the gateway
        yield _Line("other", rest, calls, "Requests")


def _tokens(kind: str, counts: dict[str, int]) -> int:
    """Return the tokens of a kind, without those of the kinds inside it that have a cost of their own."""
    whole = counts[f"{kind}_tokens"]
    within = sum(counts[f"{other}_tokens"] for other in _WITHIN.get(kind, ()))
    return whole - within if whole >= within else whole  # as in `spend`: an upstream that counts them beside it


_PRICED: Final = tuple(name.removeprefix("cost_") for name in PARTS)
_WITHIN: Final = {
    "input": tuple(kind for kind in _PRICED if kind.startswith(("cache_", "input_"))),
    "output": tuple(kind for kind in _PRICED if kind.startswith(("reasoning", "output_"))),
}


def _row(charge: _Charge, line: _Line, length: int, vendors: dict[str, str]) -> dict[str, Any]:
    start = datetime.fromtimestamp(charge.slot * length, UTC)
    month = start.replace(day=1, hour=0)
    host, operation = _text(charge.host), _text(charge.operation)
    provider = _text(charge.provider) or host or "unknown"
    model = _text(charge.model) or operation or "unknown"
    meter = f"{line.kind.replace('_', ' ').title()} {line.unit}"
    cost = _decimal(line.cost)
    return {
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost),
        "BillingAccountId": host or provider,
        "BillingCurrency": "USD",
        "BillingPeriodStart": _time(month),
        "BillingPeriodEnd": _time((month + timedelta(days=32)).replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{model}: {meter.lower()}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _time(start),
        "ChargePeriodEnd": _time(start + timedelta(seconds=length)),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), line.quantity),
        **dict.fromkeys(("ConsumedUnit", "PricingUnit"), line.unit),
        **dict.fromkeys(("InvoiceIssuerName", "ProviderName"), provider),
        "PublisherName": vendors.get(model, provider),
        **dict.fromkeys(("ResourceId", "ResourceName", "SkuId"), model),
        "ResourceType": "Model",
        "PricingCategory": "Standard",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": f"{provider} {operation}".strip(),
        "SkuMeter": meter,
        "SkuPriceId": f"{model}/{line.kind}",
        "Tags": _tags(charge.tags),
        "x_CostSource": _text(charge.source),
        "x_Operation": operation,
    }


def _text(value: object) -> str:
    """Return text without space around it, of which a spreadsheet runs nothing."""
    return str(cell(str(value or "").strip()))


def _tags(text: str | None) -> str | None:
    """Return tags as a JSON object of plain values; None when there are none, or what stands there is not that."""
    try:
        said: Any = json.loads(text or "null")
    except ValueError:
        return None
    tags = cast("dict[str, object]", said) if isinstance(said, dict) else {}
    return json.dumps(tags) if tags and not any(isinstance(each, dict | list) for each in tags.values()) else None


def _decimal(amount: int) -> str:
    """Write nano-dollars as USD, exactly."""
    dollars, nanos = divmod(abs(amount), NANO)
    return f"{'-' if amount < 0 else ''}{dollars}.{nanos:09d}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
