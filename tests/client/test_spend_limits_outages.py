"""A real Redis that is killed, frozen, emptied, full, read-only, closed to us or spoiled: what calls do then."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.client import store
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.spend_calls import BOUNDED, COST, ask, seconds_of
from tests.client.support import FLAVOURS, KEY, Instrument
from tests.redis_server import PASSWORD, RedisServer, until

pytestmark = pytest.mark.backend

AWAY, BACK = "is left alone until it is well", "is well again"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(store, "PAUSE", 0.1)
    caplog.set_level(logging.INFO, "huddle_otel")


def _shared(redis_server: RedisServer, **fields: Any) -> SpendGuard:
    return SpendGuard(**{"limit": 1, "action": "block", "store": redis_server.url, "store_timeout": 1.0, **fields})


def _said(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    return [each for each in caplog.messages if what in each]


def _seen() -> tuple[int, int]:
    (row,) = huddle_otel.current_health()["budgets"]
    return row["spent"], row["reserved"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_killed_and_started_again_with_nothing_it_counts_what_is_spent_from_there(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, flavour: str
) -> None:
    instrument(spend_guard=_shared(redis_server, store_timeout=10))
    ask(flavour)
    assert huddle_otel.flush()
    redis_server.kill()
    for _ in range(3):
        assert seconds_of(flavour) < 5.0
    assert _seen() == (4 * COST, 0)  # what was last seen, and what came since
    redis_server.start()
    until(lambda: _said(caplog, BACK))
    until(huddle_otel.flush)
    assert redis_server.account("day::") == {"spent": 3 * COST, "reserved": 0}  # the first is forgotten with the rest
    ask(flavour)
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 4 * COST, "reserved": 0}
    assert (len(_said(caplog, AWAY)), len(_said(caplog, BACK))) == (1, 1)
    assert PASSWORD not in caplog.text


def test_killed_and_started_again_with_its_data_it_has_lost_nothing(
    instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=_shared(redis_server))
    ask()
    assert huddle_otel.flush()
    redis_server.ask("SAVE")
    redis_server.kill()
    ask()
    redis_server.start()
    until(lambda: _said(caplog, BACK))
    until(huddle_otel.flush)
    assert redis_server.account("day::") == {"spent": 2 * COST, "reserved": 0}


def test_a_user_with_the_rights_that_the_docs_name_may_keep_accounts(
    instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    rights = ["+eval", "+ping", "+time", "+del", "+expire", "+@hash", "+@sortedset"]
    redis_server.ask("ACL", "SETUSER", "guard", "on", ">its-own-word", "~{huddle_otel:spend}:*", *rights)
    own = redis_server.url.replace(f":{PASSWORD}", "guard:its-own-word")
    instrument(spend_guard=_shared(redis_server, store=own, on_store_failure="closed"))
    ask()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": COST, "reserved": 0}
    assert caplog.messages == []


def test_what_was_last_seen_still_limits_while_it_is_away(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    instrument(spend_guard=_shared(redis_server, limit=0.0002))
    ask()
    ask()
    assert huddle_otel.flush()
    redis_server.kill()
    with pytest.raises(huddle_otel.SpendLimitError, match=r"\$0.000136 are spent or reserved"):
        ask()
    assert len(gateway.calls) == 2


def test_a_call_under_way_when_it_is_killed_is_settled_when_it_is_back(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=_shared(redis_server))
    with openai.OpenAI() as client:
        stream: Any = client.chat.completions.create(**BOUNDED, stream=True)
        redis_server.freeze()
        list(stream)
    until(lambda: _said(caplog, AWAY))
    redis_server.thaw()
    until(huddle_otel.flush)
    assert redis_server.account("day::") == {"spent": COST, "reserved": 0}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_frozen_it_costs_the_calls_under_way_one_wait_and_the_others_none(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture, flavour: str
) -> None:
    instrument(spend_guard=_shared(redis_server, store_timeout=1.5))
    ask(flavour)
    redis_server.freeze()
    first, *others = [seconds_of(flavour) for _ in range(5)]
    assert 1.5 <= first < 3.0
    assert max(others) < 1.4
    redis_server.thaw()
    until(huddle_otel.flush)
    assert redis_server.account("day::") == {"spent": 6 * COST, "reserved": 0}
    assert (len(_said(caplog, AWAY)), len(_said(caplog, BACK))) == (1, 1)


def test_closed_a_limit_blocks_while_it_is_away_and_no_longer(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=_shared(redis_server, on_store_failure="closed"))
    redis_server.kill()
    with pytest.raises(huddle_otel.SpendLimitError, match="cannot be used"):
        ask()
    assert gateway.calls == []
    redis_server.start()
    until(lambda: _said(caplog, BACK))
    ask()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": COST, "reserved": 0}


def test_without_its_scripts_it_works_on(
    instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=_shared(redis_server))
    ask()
    redis_server.ask("SCRIPT", "FLUSH")
    ask()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 2 * COST, "reserved": 0}
    assert caplog.messages == []


def test_a_connection_closed_while_nobody_used_it_is_no_failure(
    instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=_shared(redis_server, on_store_failure="closed"))
    for _ in range(3):
        ask()
        assert huddle_otel.flush()
        redis_server.ask("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
    ask()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": 4 * COST, "reserved": 0}
    assert caplog.messages == []


_CONDITIONS = {
    "full": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"], "OutOfMemoryError"),
    "a replica": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"], "ReadOnlyError"),
    "without our right": (
        ["ACL", "SETUSER", "default", "-eval"],
        ["ACL", "SETUSER", "default", "+eval"],
        "NoPermission",
    ),
}


@pytest.mark.parametrize("condition", _CONDITIONS)
def test_one_that_takes_nothing_counts_as_away(
    gateway: Gateway,
    instrument: Instrument,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    condition: str,
) -> None:
    worse, better, named = _CONDITIONS[condition]
    instrument(spend_guard=_shared(redis_server))
    ask()
    assert huddle_otel.flush()
    redis_server.ask(*worse)
    for _ in range(2):
        ask()
    assert _seen() == (3 * COST, 0)
    redis_server.ask(*better)
    until(huddle_otel.flush)
    assert redis_server.account("day::") == {"spent": 3 * COST, "reserved": 0}
    assert named in _said(caplog, AWAY)[0]


def test_a_wrong_password_is_named_and_not_shown(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = redis_server.url.replace(PASSWORD, "not-the-word")
    instrument(spend_guard=_shared(redis_server, store=wrong))
    ask()
    assert _seen() == (COST, 0)
    assert "AuthenticationError" in _said(caplog, AWAY)[0]
    assert "not-the-word" not in caplog.text
    assert redis_server.account("day::") == {}


@pytest.mark.parametrize("spoil", [["SET", "{}", "5"], ["HSET", "{}", "began", "1e12", "spent", "much"]])
def test_an_account_that_is_spoiled_leaves_the_others_alone(
    gateway: Gateway,
    instrument: Instrument,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    spoil: list[str],
) -> None:
    key = "{huddle_otel:spend}:1:day:team:spoiled"
    redis_server.ask(*(key if part == "{}" else part for part in spoil))
    instrument(spend_guard=_shared(redis_server, by="team"))
    for team in ("spoiled", "search", "spoiled"):
        with huddle_otel.tags(team=team):
            ask()
    assert huddle_otel.flush()
    assert redis_server.account("day:team:search") == {"spent": COST, "reserved": 0}
    figures = {each["key"]: each["spent"] for each in huddle_otel.current_health()["budgets"]}
    assert figures == {"spoiled": 2 * COST, "search": COST}
    told = caplog.messages[0]
    assert caplog.messages.count(told) == 1
    assert key in told
    assert "deleting them mends it" in told
    redis_server.ask("DEL", key)
    with huddle_otel.tags(team="spoiled"):
        ask()
    assert huddle_otel.flush()
    assert redis_server.account("day:team:spoiled") == {"spent": COST, "reserved": 0}


@pytest.mark.parametrize("left", ["", "sys.exit(3)"])
def test_an_exit_settles_the_streams_it_ends(gateway: Gateway, redis_server: RedisServer, left: str) -> None:
    code = f"""if True:
        import sys, openai, huddle_otel
        url, key, store = sys.argv[1:]
        guard = huddle_otel.SpendGuard(limit=1, store=store, store_timeout=10)
        huddle_otel.instrument(base_url=url, api_key=key, exporters="none", spend_guard=guard)
        client = openai.OpenAI()
        stream = client.chat.completions.create(**{BOUNDED!r}, stream=True)
        next(iter(stream))
        {left}
    """
    done = subprocess.run(
        [sys.executable, "-c", code, gateway.url, KEY, redis_server.url], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (3 if left else 0, "")
    account = redis_server.account("day::")
    assert account["spent"] >= COST
    assert account["reserved"] == 0


def test_a_settlement_is_not_lost_to_an_exit_of_a_worker(
    gateway: Gateway, instrument: Instrument, redis_server: RedisServer
) -> None:
    import multiprocessing

    gateway.script([Rule(faults.slow_headers(0.05))])
    instrument(spend_guard=_shared(redis_server))
    child = multiprocessing.get_context("fork").Process(target=ask)
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert redis_server.account("day::") == {"spent": COST, "reserved": 0}
