"""Two accounts of the same thousand calls: ours, and the gateway's own; docs/reconciliation.md says what came of it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

import huddle_otel
from huddle_otel import RetryPolicy
from huddle_otel_exporters import set_up
from huddle_otel_exporters.ledger import open_reader
from tests.client.support import SDK, Recorded
from tests.litellm.mix import KINDS, OWN_PRICES, RULES, Kind, Planned, Verdict, plan
from tests.litellm.play import play
from tests.litellm.tables import estimates, unknowns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from huddle_otel.gateway import Gateway
    from tests.litellm.book import Entry
    from tests.litellm.proxy import Proxy

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(400)]  # the first test waits for the gateway to start

CALLS: Final = 1000 if SDK == 3 else 250
SEED: Final = 20261126
_WRITTEN: Final = 15.0
"""Seconds for the proxy to write its book; it is usually a moment behind its answers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One call in both accounts."""

    planned: Planned
    row: dict[str, Any]
    """Of our ledger."""
    entries: list[Entry]
    """Of the proxy's book, for the last attempt."""

    @property
    def kind(self) -> Kind:
        """What was asked."""
        return self.planned.kind


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything both sides say."""

    pairs: list[Pair]
    earlier: list[Entry]
    """Of attempts that another one followed: our row names the last."""
    recorded: Recorded
    seconds: float
    """What the calls took."""


@pytest.fixture(scope="module")
def accounts(proxy: Proxy, upstream: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """The mix, played once."""
    ledger, recorded, planned = tmp_path_factory.mktemp("ledger") / "ledger.db", Recorded(), plan(CALLS, seed=SEED)
    upstream.script(RULES)
    upstream.reset()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HUDDLE_OTEL_LEDGER", str(ledger))
        huddle_otel.instrument(
            base_url=proxy.url,
            api_key=proxy.key(),
            exporters=["ledger"],
            tracer_provider=recorded.tracer_provider,
            meter_provider=recorded.meter_provider,
            prices=OWN_PRICES,
            # every call is to be sent: what a policy refuses has no second account
            breaker=None,
            rate_limit=None,
            retry=RetryPolicy(base=0.01, cap=0.05, budget=None),
        )
        began = time.monotonic()
        play(planned)
        seconds = time.monotonic() - began
        assert huddle_otel.flush(30)
        huddle_otel.uninstrument()
        set_up(["ledger"]).shutdown()
    rows = _rows(ledger)
    ids = {row["request_id"] for row in rows.values()}
    _wait(lambda: ids <= set(proxy.book()), _WRITTEN)
    book, names = proxy.book(), {kind.name for kind in KINDS}
    return Accounts(
        pairs=[
            Pair(each, rows[number], book.get(rows[number]["request_id"], [])) for number, each in enumerate(planned)
        ],
        earlier=[each for name in set(book) - ids for each in book[name] if each.model in names],
        recorded=recorded,
        seconds=seconds,
    )


def _rows(ledger: Path) -> dict[int, dict[str, Any]]:
    """Return our ledger's rows by the number of their call."""
    with closing(open_reader(ledger)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM calls")]
    numbered = {json.loads(row["tags"])["call"]: row for row in rows}
    assert len(numbered) == len(rows), "a call has one row"
    return numbered


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    until, pause = time.monotonic() + seconds, threading.Event()
    while not condition() and time.monotonic() < until:
        pause.wait(0.1)


def test_every_call_is_in_our_account_with_its_outcome(accounts: Accounts) -> None:
    for each in accounts.pairs:
        assert each.row["outcome"] in each.kind.outcome.split("|"), each
        assert each.row["model"] == each.kind.name


def test_what_the_gateway_told_is_what_it_wrote_down_to_the_nano_dollar(accounts: Accounts) -> None:
    known = [each for each in accounts.pairs if each.row["cost"] is not None]
    for each in known:
        (entry,) = each.entries
        row = each.row
        assert (row["cost"], row["cost_source"]) == (entry.cost, "gateway"), each
        assert (row["input_tokens"], row["output_tokens"]) == entry.tokens, each
        assert entry.status == "success"
        assert row["cost"] > 0
    assert {each.kind.name for each in known} == {kind.name for kind in KINDS if kind.verdict is Verdict.EQUAL}
    assert sum(each.row["cost"] for each in known) == sum(each.entries[0].cost or 0 for each in known)


def test_a_call_that_used_nothing_costs_nothing_in_either_account(accounts: Accounts) -> None:
    free = [each for each in accounts.pairs if each.kind.verdict is Verdict.FREE]
    for each in free:
        assert (each.row["cost"], each.row["answered"]) == (None, 0), each
        assert [(entry.status, entry.cost) for entry in each.entries] == [("failure", 0)], each
    assert len(free) >= 4


def test_what_nobody_told_is_unknown_and_counted(accounts: Accounts) -> None:
    unknown = [each for each in accounts.pairs if each.row["cost"] is None and each.kind.verdict is not Verdict.FREE]
    for each in unknown:
        assert each.kind.verdict is Verdict.UNKNOWN or each.row["outcome"] != "ok", each
        assert (each.row["cost_source"], each.row["answered"]) == ("unknown", 1), each
    names = {each.kind.name for each in unknown}
    assert names >= {kind.name for kind in KINDS if kind.verdict is Verdict.UNKNOWN}
    assert accounts.recorded.total("huddle.client.cost.unknown") == len(unknown)


def test_what_only_the_gateway_wrote_down_are_attempts_before_the_last(accounts: Accounts) -> None:
    assert len(accounts.earlier) == sum(each.row["attempts"] - 1 for each in accounts.pairs)
    assert {(each.status, each.cost) for each in accounts.earlier} == {("failure", 0)}
    assert {each.model for each in accounts.earlier} == {"mix-429", "mix-500", "mix-shaky"}


def test_the_metrics_say_what_the_ledger_says(accounts: Accounts) -> None:
    spent = sum(each.row["cost"] or 0 for each in accounts.pairs)
    assert nanos(accounts.recorded.total("huddle.client.cost.usd")) == spent
    assert nanos(accounts.recorded.total("huddle.client.cost.usd", source="gateway")) == spent
    for kind in KINDS:
        own = sum(each.row["cost"] or 0 for each in accounts.pairs if each.kind is kind)
        assert nanos(accounts.recorded.total("huddle.client.cost.usd", model=kind.name)) == own
    assert accounts.recorded.total("huddle.client.calls") == len(accounts.pairs)
    assert accounts.recorded.total("huddle.telemetry.errors") == 0


def nanos(dollars: float) -> int:
    return round(Decimal(repr(dollars)) * 10**9)


def test_an_estimate_by_the_gateways_own_prices_is_no_estimate(
    accounts: Accounts, report: Callable[[str], None]
) -> None:
    """What the table is worth where it is not the gateway's is printed; nothing can be asserted of it."""
    compared = [each for each in accounts.pairs if each.row["cost"] is not None]
    for each in compared:
        if each.kind.exact:
            assert each.row["cost_estimate"] == each.row["cost"], each
    report(
        f"{len(accounts.pairs)} calls through a real LiteLLM proxy in {accounts.seconds:.1f} s, "
        f"{len(accounts.earlier)} attempts had to be made again. {len(compared)} told a cost: "
        f"{sum(each.row['cost'] for each in compared):,} nano-dollars in our account, "
        f"{sum(each.entries[0].cost or 0 for each in compared):,} in the gateway's."
    )
    report(estimates((each.kind.name, each.row["cost"], each.row["cost_estimate"]) for each in compared))
    report(unknowns((each.kind.name, each.row, each.entries) for each in accounts.pairs if each.row["cost"] is None))
