"""`huddle-otel report --focus`: rows by the specification's rules, written here as data, and every nano-dollar."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huddle_otel.cli.report import focus
from huddle_otel.cli.report.period import Period
from huddle_otel.events import CallRecord
from huddle_otel_exporters.ledger.writer import Writer
from tests.exporters.test_ledger import RECORD

if TYPE_CHECKING:
    from tests.cli.conftest import Command

NOON: Final = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
DAY: Final = 86_400
Row = dict[str, str]


# --- the specification, FOCUS 1.2 -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """What the specification says of a column's values."""

    form: Callable[[str], bool]
    nullable: bool = False
    mandatory: bool = True
    """Whether a dataset must have the column; others it must have under a condition, or should have."""


def one_of(*allowed: str) -> Callable[[str], bool]:
    return lambda text: text in allowed


def decimal(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def moment(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text) is not None


def string(text: str) -> bool:
    return text.strip() == text and text.lower() not in {"null", "none", "n/a", "not applicable"}


def key_value(text: str) -> bool:
    pairs = json.loads(text)
    return isinstance(pairs, dict) and not any(isinstance(value, dict | list) for value in pairs.values())


SPECIFICATION: Final = {
    "BilledCost": Rule(decimal),
    "BillingAccountId": Rule(string),
    "BillingAccountName": Rule(string, nullable=True),
    "BillingCurrency": Rule(one_of("USD")),
    "BillingPeriodEnd": Rule(moment),
    "BillingPeriodStart": Rule(moment),
    "ChargeCategory": Rule(one_of("Usage", "Purchase", "Tax", "Credit", "Adjustment")),
    "ChargeClass": Rule(one_of("Correction"), nullable=True),
    "ChargeDescription": Rule(string, nullable=True),
    "ChargeFrequency": Rule(one_of("One-Time", "Recurring", "Usage-Based"), mandatory=False),
    "ChargePeriodEnd": Rule(moment),
    "ChargePeriodStart": Rule(moment),
    "ConsumedQuantity": Rule(decimal, mandatory=False),
    "ConsumedUnit": Rule(one_of("Tokens", "Requests"), mandatory=False),
    "ContractedCost": Rule(decimal),
    "EffectiveCost": Rule(decimal),
    "InvoiceIssuerName": Rule(string),
    "ListCost": Rule(decimal),
    "PricingCategory": Rule(one_of("Standard", "Dynamic", "Committed", "Other"), mandatory=False),
    "PricingQuantity": Rule(decimal),
    "PricingUnit": Rule(one_of("Tokens", "Requests")),
    "ProviderName": Rule(string),
    "PublisherName": Rule(string),
    "RegionId": Rule(string, nullable=True, mandatory=False),
    "RegionName": Rule(string, nullable=True, mandatory=False),
    "ResourceId": Rule(string, nullable=True, mandatory=False),
    "ResourceName": Rule(string, nullable=True, mandatory=False),
    "ResourceType": Rule(string, nullable=True, mandatory=False),
    "ServiceCategory": Rule(one_of("AI and Machine Learning")),
    "ServiceName": Rule(string),
    "ServiceSubcategory": Rule(one_of("Generative AI"), mandatory=False),
    "SkuId": Rule(string, mandatory=False),
    "SkuMeter": Rule(string, mandatory=False),
    "SkuPriceId": Rule(string, mandatory=False),
    "Tags": Rule(key_value, nullable=True, mandatory=False),
}
"""Columns of a row of usage. Source: the specification's repository at v1.2, folder `specification/columns`."""


def faults(header: list[str], rows: list[Row]) -> list[str]:
    """Return every breach of the rules."""
    found = [f"{name} is missing" for name, rule in SPECIFICATION.items() if rule.mandatory and name not in header]
    found += [f"{name} is no column" for name in header if name not in SPECIFICATION and not name.startswith("x_")]
    for row in rows:
        for name, rule in SPECIFICATION.items():
            value = row.get(name, "")
            if not value and not rule.nullable and name in header:
                found.append(f"{name} is null")
            if value and not rule.form(value):
                found.append(f"{name} = {value!r}")
        found += _between(row)
    return found


def _between(row: Row) -> list[str]:
    start, end = _moment(row, "ChargePeriodStart"), _moment(row, "ChargePeriodEnd")
    first, last = _moment(row, "BillingPeriodStart"), _moment(row, "BillingPeriodEnd")
    return [
        what
        for what, right in (
            ("charge period", first <= start < end <= last),
            ("billing period", (first.day, last.day) == (1, 1) and timedelta(27) < last - first < timedelta(32)),
            (
                "consumed",
                (row["ConsumedQuantity"], row["ConsumedUnit"]) == (row["PricingQuantity"], row["PricingUnit"]),
            ),
            ("sku price", row["SkuPriceId"].startswith(row["SkuId"])),
        )
        if not right
    ]


def _moment(row: Row, name: str) -> datetime:
    return datetime.fromisoformat(row[name])


def test_the_rules_find_a_breach() -> None:
    good = dict.fromkeys(focus.COLUMNS, "")
    assert "BilledCost is null" in faults(list(focus.COLUMNS), [{**good, **PERIODS}])
    assert "BilledCost = '1e'" in faults(list(focus.COLUMNS), [{**good, **PERIODS, "BilledCost": "1e"}])
    assert "charge period" in faults([], [{**good, **PERIODS, "ChargePeriodEnd": "2026-12-02T00:00:00Z"}])
    assert "ListCost is missing" in faults(["BilledCost"], [])
    assert "Cost is no column" in faults(["Cost"], [])


PERIODS: Final = {
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-24T00:00:00Z",
    "ChargePeriodEnd": "2026-11-25T00:00:00Z",
}


# --- rows of a ledger -------------------------------------------------------------------------------------------------


def rows_of(path: Path, *records: CallRecord, period: Period, hourly: bool = False) -> tuple[list[str], list[Row], int]:
    writer = Writer(path)
    writer.export(records)
    writer.shutdown()
    out = io.StringIO(newline="")
    left_out = focus.write(path, period, hourly=hourly, out=out)
    reader = csv.DictReader(io.StringIO(out.getvalue()))
    return list(reader.fieldnames or ()), list(reader), left_out


def amounts(rows: list[Row], name: str = "BilledCost") -> Decimal:
    return sum((Decimal(row[name]) for row in rows), Decimal(0))


CALLS: Final = st.builds(
    replace,
    st.just(RECORD),
    started=st.floats(NOON - 3 * DAY, NOON - 1, allow_nan=False),
    model=st.sampled_from(["gpt-4.1", "=1+1", "", " spaced "]),
    provider=st.sampled_from(["openai", "", "@x"]),
    outcome=st.sampled_from(["ok", "error", "cancelled"]),
    cost=st.none() | st.integers(0, 2**63 - 1) | st.integers(0, 10**6),
    cost_input=st.none() | st.integers(0, 10**6),
    cost_source=st.sampled_from(["gateway", "catalogue"]),
    input_tokens=st.none() | st.integers(0, 10**6),
    tags=st.dictionaries(st.sampled_from(["team", "=x"]), st.text(max_size=5) | st.booleans(), max_size=2),
)


@settings(deadline=None, max_examples=20)
@given(records=st.lists(CALLS, max_size=8), hourly=st.booleans())
def test_rows_keep_the_rules_and_add_up_to_the_nano_dollar(records: list[CallRecord], hourly: bool) -> None:
    with TemporaryDirectory() as folder:
        header, rows, left_out = rows_of(
            Path(folder) / "ledger.db", *records, period=Period(NOON - 4 * DAY, NOON), hourly=hourly
        )
    assert faults(header, rows) == []
    known = [record.cost for record in records if record.cost is not None]
    for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
        assert amounts(rows, name) == Decimal(sum(known)).scaleb(-9)
    assert left_out == len(records) - len(known)
    hours = {
        datetime.fromisoformat(row["ChargePeriodEnd"]) - datetime.fromisoformat(row["ChargePeriodStart"])
        for row in rows
    }
    assert hours <= {timedelta(hours=1) if hourly else timedelta(days=1)}


def test_each_kind_of_tokens_is_a_row_with_its_cost(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"cost_input": 16_000, "cost_output": 64_000, "cost_cache_read": 2_000}
    call = replace(RECORD, started=NOON, cost_cache_write=0, cost=82_001, **parts)
    _, rows, _ = rows_of(tmp_path / "ledger.db", call, call, period=Period(NOON - 1, NOON + 1))
    told = {row["SkuMeter"]: (row["BilledCost"], row["PricingQuantity"]) for row in rows}
    assert told == {
        "Input Tokens": ("0.000032000", "16"),  # the 4 of 12 tokens that were read from cache are not in it
        "Output Tokens": ("0.000128002", "16"),  # with what rounding left over
        "Cache Read Tokens": ("0.000004000", "8"),
    }
    assert {row["PublisherName"] for row in rows} == {"OpenAI"}
    assert json.loads(rows[0]["Tags"]) == {"team": "search", "paid": True}


def test_what_no_kind_of_tokens_accounts_for_is_a_row_of_its_own(tmp_path: Path) -> None:
    discounted = replace(RECORD, started=NOON, cost=80_000, cost_cache_read=0, cost_cache_write=0)
    undivided = replace(RECORD, started=NOON, model="m", cost=5, cost_input=None, cost_output=None)
    _, rows, _ = rows_of(tmp_path / "ledger.db", discounted, undivided, period=Period(NOON - 1, NOON + 1))
    told = {(row["SkuId"], row["SkuMeter"]): (row["BilledCost"], row["PricingQuantity"]) for row in rows}
    assert told["gpt-4.1", "Other Requests"] == ("-0.000008000", "1")
    assert told["m", "All Tokens"] == ("0.000000005", "20")


def test_a_period_begins_with_its_day_and_what_is_unpriced_is_named(command: Command, tmp_path: Path) -> None:
    path, morning = tmp_path / "ledger.db", NOON - DAY / 2
    writer = Writer(path)
    writer.export([replace(RECORD, started=morning), replace(RECORD, started=morning - 1)])
    writer.export([replace(RECORD, started=NOON, cost=None)] * 2)
    writer.shutdown()
    when = ("--since", "2026-11-24T11:00", "--until", "2026-11-25", "--ledger", str(path))
    for asked in ("--focus", "--format=focus"):
        done = command("report", asked, *when)
        rows = list(csv.DictReader(io.StringIO(done.out)))
        assert done.code == 0
        assert amounts(rows) == Decimal("0.000088")
        assert done.err == "huddle-otel: left out: 2 calls that cost something nobody could price\n"
        assert {row["ChargePeriodStart"] for row in rows} == {"2026-11-24T00:00:00Z"}
    done = command("report", "--focus", "--by", "hour", *when)
    assert amounts(list(csv.DictReader(io.StringIO(done.out)))) == 0  # the hour from 11:00 has only unpriced ones


def test_a_spreadsheet_runs_nothing_of_it(tmp_path: Path) -> None:
    call = replace(RECORD, started=NOON, model="=cmd|' /C calc'!A0", provider="+1", tags={"=1": "@x"})
    _, rows, _ = rows_of(tmp_path / "ledger.db", call, period=Period(NOON - 1, NOON + 1))
    text = [value for row in rows for value in row.values() if not decimal(value)]
    assert not [value for value in text if value.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[0]["SkuId"] == "'=cmd|' /C calc'!A0"


@pytest.mark.parametrize("tags", ["not json", '["a"]', '{"a": {"b": 1}}', "NaN"])
def test_tags_that_are_none_are_left_out(tags: str) -> None:
    assert focus._tags(tags) is None
