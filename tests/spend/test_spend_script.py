"""The script that keeps shared accounts, on a real Redis with the time given."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from huddle_otel.settings import SpendGuard
from huddle_otel.spend.accounts import Ask, Hold
from huddle_otel.spend.guard import Budget, leased, reserve, settle
from huddle_otel.spend.periods import next_after, start_of
from huddle_otel.spend.shared import Command, Word, key_of, releasing, reserving, settling
from tests.redis_server import RedisServer

pytestmark = pytest.mark.backend

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).timestamp()
LONG = 1e9
"""Seconds of a lease that plays no part."""
PERIODS = ("minute", "hour", "day", "month", "total")
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _ask(amount: int, *, limit: str = "0.000001", per: str = "day", by: str = "", action: str = "block") -> Ask:
    """Ask for an amount; the limit is 1,000 nano-dollars."""
    return Ask(Budget(SpendGuard(limit=limit, per=per, by=by, action=action, store="redis://host")), "", amount)


def _reserve(server: RedisServer, asks: list[Ask], lease: str, *, now: float = NOON, lasts: float = LONG) -> Word:
    return server.run(reserving(asks, lease=lease, lasts=lasts, now=now))


def _settle(server: RedisServer, asks: list[Ask], word: Word, cost: int | None, lease: str, now: float = NOON) -> Word:
    holds = leased(asks, word.figures, now, granted=True, ahead=0.0).holds
    return server.run(settling(holds, cost, lease=lease, lasts=LONG, now=now))


def _held(server: RedisServer, asks: list[Ask], *, now: float = NOON) -> list[tuple[int, int]]:
    """Return spent and reserved of accounts, through a settlement of nothing."""
    return [(each.spent, each.reserved) for each in server.run(_nothing(asks, now)).figures]


def _nothing(asks: list[Ask], now: float) -> Command:
    command = releasing(asks, lease="nobody")
    verb, _, *rest = command.arguments
    return replace(command, arguments=(verb, repr(now), *rest))


def test_a_call_reserves_and_what_it_cost_takes_the_place_of_that(redis_server: RedisServer) -> None:
    asks = [_ask(600)]
    word = _reserve(redis_server, asks, "a")
    assert (word.granted, word.now) == (True, NOON)
    assert (word.figures[0].began, word.figures[0].reserved) == (NOON - 12 * 3600, 600)
    refused = _reserve(redis_server, [_ask(401)], "b")
    assert (refused.granted, refused.figures[0].reserved) == (False, 600)
    assert _reserve(redis_server, [_ask(400)], "c").granted
    assert [(each.spent, each.reserved) for each in _settle(redis_server, asks, word, 150, "a").figures] == [(150, 400)]


def test_all_accounts_reserve_or_none_does(redis_server: RedisServer) -> None:
    wide, narrow = _ask(500, limit="1"), _ask(500, limit="0.0000001", per="hour")
    assert not _reserve(redis_server, [wide, narrow], "a").granted
    assert _held(redis_server, [wide, narrow]) == [(0, 0), (0, 0)]
    assert redis_server.leases("day::") == redis_server.leases("hour::") == 0


def test_a_limit_that_only_warns_reserves_beyond_it(redis_server: RedisServer) -> None:
    word = _reserve(redis_server, [_ask(5000, action="warn")], "a")
    assert (word.granted, word.figures[0].reserved) == (True, 5000)


def test_everything_may_be_said_twice_and_counts_once(redis_server: RedisServer) -> None:
    asks = [_ask(300)]
    word = _reserve(redis_server, asks, "a")
    _reserve(redis_server, asks, "a")
    assert _held(redis_server, asks) == [(0, 300)]
    for _ in range(2):
        _settle(redis_server, asks, word, 100, "a")
    assert _held(redis_server, asks) == [(100, 0)]
    away = reserve([_ask(300)], NOON).holds
    for _ in range(2):
        redis_server.run(settling(away, 50, lease="b", lasts=LONG, now=NOON))
    assert _held(redis_server, asks) == [(150, 0)]


def test_what_nobody_settles_in_time_counts_as_spent(redis_server: RedisServer) -> None:
    asks = [_ask(300)]
    word = _reserve(redis_server, asks, "crashed", lasts=60)
    assert _held(redis_server, asks, now=NOON + 59) == [(0, 300)]
    refused = _reserve(redis_server, [_ask(701)], "b", now=NOON + 60)
    assert [(each.spent, each.reserved) for each in refused.figures] == [(300, 0)]
    assert redis_server.leases("day::") == 0
    _settle(redis_server, asks, word, 100, "crashed", now=NOON + 61)  # too late
    assert _held(redis_server, asks, now=NOON + 61) == [(300, 0)]


def test_a_settlement_in_time_counts_though_the_sweep_is_due(redis_server: RedisServer) -> None:
    asks = [_ask(300)]
    word = _reserve(redis_server, asks, "slow", lasts=60)
    assert _settle(redis_server, asks, word, 100, "slow", now=NOON + 90).figures[0].spent == 100


def test_what_may_have_been_granted_unheard_is_given_back(redis_server: RedisServer) -> None:
    asks = [_ask(300)]
    redis_server.run(reserving(asks, lease="a", lasts=60))
    assert redis_server.account("day::") == {"spent": 0, "reserved": 300}
    redis_server.run(releasing(asks, lease="a"))
    assert redis_server.account("day::") == {"spent": 0, "reserved": 0}
    assert redis_server.leases("day::") == 0


def test_a_call_that_outlasts_its_period_leaves_the_next_alone(redis_server: RedisServer) -> None:
    asks, later = [_ask(300)], NOON + 86_400
    word = _reserve(redis_server, asks, "a")
    _reserve(redis_server, [_ask(5)], "b", now=later)
    away = reserve([_ask(300)], NOON).holds
    _settle(redis_server, asks, word, 300, "a", now=later)
    redis_server.run(settling(away, 50, lease="c", lasts=LONG, now=later))
    assert _held(redis_server, asks, now=later) == [(0, 5)]


def test_a_clock_that_goes_back_opens_no_period_again(redis_server: RedisServer) -> None:
    _reserve(redis_server, [_ask(1000)], "a")
    assert not _reserve(redis_server, [_ask(1)], "b", now=NOON - 86_400).granted


def test_amounts_are_exact_where_doubles_are_not(redis_server: RedisServer) -> None:
    asks = [_ask(2**53 - 1, limit="9000000", action="warn")]
    for lease in ("a", "b"):
        _reserve(redis_server, asks, lease)
    _reserve(redis_server, [_ask(1, limit="9000000", action="warn")], "c")
    assert _held(redis_server, asks) == [(0, 18_000_000_000_000_003)]  # two at the most a call may reserve, and one


def test_the_limit_is_exact_where_it_is_highest(redis_server: RedisServer) -> None:
    assert _reserve(redis_server, [_ask(9 * 10**15 - 1, limit="9000000")], "a").granted
    assert not _reserve(redis_server, [_ask(2, limit="9000000")], "b").granted
    assert _reserve(redis_server, [_ask(1, limit="9000000")], "c").granted


@pytest.mark.parametrize("per", PERIODS)
def test_keys_end_after_their_period(redis_server: RedisServer, per: str) -> None:
    ask = _ask(1, per=per)
    _reserve(redis_server, [ask], "a")
    lives = [redis_server.ask("TTL", key) for key in (key_of(ask), f"{key_of(ask)}:leases")]
    expected = -1 if per == "total" else next_after(per, start_of(per, NOON)) - NOON + 3600
    assert lives == [pytest.approx(expected, abs=2)] * 2


def test_by_its_own_clock_it_is_now(redis_server: RedisServer) -> None:
    before = datetime.now(UTC).timestamp()
    word = redis_server.run(reserving([_ask(1)], lease="a", lasts=LONG))
    assert before - 1 <= word.now <= datetime.now(UTC).timestamp() + 1


@many
@given(st.sampled_from(PERIODS), st.floats(0, 4e9))
@example("month", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC).timestamp())
@example("month", datetime(2100, 3, 1, tzinfo=UTC).timestamp())
@example("month", datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
@example("month", datetime(2000, 2, 29, 12, tzinfo=UTC).timestamp())
def test_a_period_begins_when_it_does_in_this_process(redis_server: RedisServer, per: str, now: float) -> None:
    redis_server.ask("FLUSHALL")
    assert _reserve(redis_server, [_ask(1, per=per)], "a", now=now).figures[0].began == start_of(per, now)


_STEPS = st.lists(
    st.tuples(
        st.integers(0, 500),  # asked for
        st.none() | st.integers(0, 600),  # the cost
        st.integers(0, 3),  # which of those under way ends now; none if there are fewer
        st.sampled_from([0, 0, 0, 30, 3599, 86_400, 20 * 86_400]),  # seconds to the next step
    ),
    max_size=25,
)


@many
@given(st.sampled_from(PERIODS), st.sampled_from(["block", "warn"]), _STEPS)
def test_a_shared_account_is_kept_as_one_of_this_process(
    redis_server: RedisServer, per: str, action: str, steps: list[tuple[int, int | None, int, int]]
) -> None:
    redis_server.ask("FLUSHALL")
    own, names, now = _ask(0, per=per, action=action).budget, count(), NOON
    under_way: list[tuple[str, list[Ask], Word, list[Hold]]] = []
    for asked, cost, ending, seconds in steps:
        shared, lease = [_ask(asked, per=per, action=action)], str(next(names))
        word = _reserve(redis_server, shared, lease, now=now)
        here = reserve([Ask(own, "", asked)], now)
        assert word.granted != here.blocked
        if word.granted:
            under_way.append((lease, shared, word, here.holds))
        if ending < len(under_way):
            lease, shared, word, holds = under_way.pop(ending)
            _settle(redis_server, shared, word, cost, lease, now=now)
            settle(holds, cost)
        (row,) = own.snapshot(now)
        assert _held(redis_server, shared, now=now) == [(row["spent"], row["reserved"])]
        now += seconds
