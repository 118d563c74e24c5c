"""Limits on spend: periods, reservations, and what a call may cost at most."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import Settings, SpendGuard
from huddle_otel.spend.accounts import Ask, Hold, Over, Taken
from huddle_otel.spend.guard import MAX_KEYS, OTHER, Budget, Budgets, reserve, settle
from huddle_otel.spend.tags import TagValue
from huddle_otel.spend.worst_case import worst_case

NANO = 1_000_000_000
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).timestamp()


def _blocking(limit: object = 1, **fields: Any) -> Budget:
    return Budget(SpendGuard(limit=limit, action="block", **fields))  # type: ignore[arg-type]


def _asked(budget: Budget, amount: int | None, *, key: str = "", now: float = NOON) -> tuple[Hold | None, Over | None]:
    return budget.reserve(Ask(budget, key, amount), now)


def _reserved(budgets: Budgets, tags: dict[str, TagValue], amount: int) -> Taken:
    return reserve(budgets.asks("m", tags, lambda _: amount), NOON)


def _held(budget: Budget, amount: int | None, *, key: str = "", now: float = NOON) -> Hold:
    hold, over = _asked(budget, amount, key=key, now=now)
    assert hold is not None
    assert over is None
    return hold


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"limit": 0}, "SpendGuard.limit"),
        ({"limit": -1}, "SpendGuard.limit"),
        ({"limit": True}, "SpendGuard.limit"),
        ({"limit": float("nan")}, "SpendGuard.limit"),
        ({"limit": float("inf")}, "SpendGuard.limit"),
        ({"limit": "ten"}, "SpendGuard.limit"),
        ({"limit": 2e9}, "SpendGuard.limit"),
        ({"limit": 1, "per": "week"}, "SpendGuard.per"),
        ({"limit": 1, "action": "stop"}, "SpendGuard.action"),
        ({"limit": 1, "unpriced": "warn"}, "SpendGuard.unpriced"),
        ({"limit": 1, "by": None}, "SpendGuard.by"),
        ({"limit": 1, "output_tokens": -1}, "SpendGuard.output_tokens"),
        ({"limit": 1, "store": "localhost:6379"}, "SpendGuard.store"),
        ({"limit": 1, "store": "https://host/0"}, "SpendGuard.store"),
        ({"limit": 1, "store": "redis://host:port"}, "SpendGuard.store"),
        ({"limit": 1, "store": "redis://"}, "SpendGuard.store"),
        ({"limit": 1, "store": 6379}, "SpendGuard.store"),
        ({"limit": 9_000_001, "store": "redis://host"}, "SpendGuard.limit"),
        ({"limit": 1, "store_timeout": 0}, "SpendGuard.store_timeout"),
        ({"limit": 1, "on_store_failure": "shut"}, "SpendGuard.on_store_failure"),
        ({"limit": 1, "on_store_failure": "closed", "action": "block"}, "SpendGuard.on_store_failure"),
        ({"limit": 1, "on_store_failure": "closed", "store": "redis://host"}, "SpendGuard.on_store_failure"),
    ],
)
def test_what_is_not_permitted_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        SpendGuard(**fields)
    assert raised.value.field == named


@pytest.mark.parametrize(
    "store", ["redis://me:hidden-word@host:6379/0?password=hidden-word", "http://:hidden-word@host"]
)
def test_the_password_of_a_store_is_shown_nowhere(store: str) -> None:
    try:
        shown = repr(SpendGuard(limit=1, store=store)) + str(SpendGuard(limit=1, store=store).store)
        assert "redis://****@host:6379/0" in shown
    except ConfigurationError as error:
        shown = str(error) + repr(error.value)
    assert "hidden-word" not in shown
    assert "me:" not in shown


def test_all_shared_limits_are_in_one_store() -> None:
    one, other = (SpendGuard(limit=1, per=per, store=f"redis://{per}") for per in ("day", "hour"))
    with pytest.raises(ConfigurationError, match="share one `store`"):
        Settings.load({}, spend_guard=[one, other])
    guards = (one, SpendGuard(limit=1, per="hour", store="redis://day"), SpendGuard(limit=1, per="month"))
    assert Settings.load({}, spend_guard=guards).guards == guards


@pytest.mark.parametrize("limit", [0.1, "0.1"])
def test_a_limit_is_exact(limit: object) -> None:
    assert _blocking(limit).limit == 100_000_000


def test_guards_come_as_one_or_several_and_from_the_environment() -> None:
    one, other = SpendGuard(limit=1), SpendGuard(limit=2, by="team")
    assert Settings.load({}, spend_guard=one).guards == (one,)
    assert Settings.load({}, spend_guard=[one, other]).guards == (one, other)
    assert Settings.load({}, spend_guard=None).guards == ()
    variables = {"HUDDLE_OTEL_SPEND_GUARD_LIMIT": "12.5", "HUDDLE_OTEL_SPEND_GUARD_ACTION": "block"}
    assert Settings.load(variables).guards == (SpendGuard(limit="12.5", action="block"),)
    variables |= {"HUDDLE_OTEL_SPEND_GUARD_STORE": "redis://h", "HUDDLE_OTEL_SPEND_GUARD_ON_STORE_FAILURE": "closed"}
    (shared,) = Settings.load(variables).guards
    assert (str(shared.store), shared.on_store_failure) == ("redis://h", "closed")


@pytest.mark.parametrize("given", ["10", 3, [SpendGuard(limit=1), SpendGuard(limit=2)]])
def test_two_limits_for_the_same_are_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="spend_guard"):
        Settings.load({}, spend_guard=given)


def test_a_call_that_does_not_fit_is_blocked_and_says_how_far_the_limit_is_used() -> None:
    budget = _blocking(1)
    _held(budget, 600_000_000)
    hold, over = _asked(budget, 500_000_000)
    assert hold is None
    assert over is not None
    assert (over.spent, over.limit, over.resets_in, over.first) == (600_000_000, NANO, 12 * 3600, True)
    assert _held(budget, 400_000_000).amount == 400_000_000


def test_the_limit_itself_can_be_spent() -> None:
    settle([_held(_blocking(1), NANO)], NANO)


def test_a_warning_lets_the_call_go_on_and_is_the_first_once_a_period() -> None:
    budget = Budget(SpendGuard(limit=1))
    seen = [_asked(budget, 2 * NANO, now=NOON + day * 86_400) for day in (0, 0, 1)]
    assert all(hold is not None for hold, _ in seen)
    assert [over is not None and over.first for _, over in seen] == [True, False, True]


def test_what_a_call_cost_takes_the_place_of_its_reservation() -> None:
    budget = _blocking(1)
    settle([_held(budget, 900_000_000)], 100_000_000)
    settle([_held(budget, 500_000_000)], None)
    (account,) = budget.snapshot(NOON)
    assert (account["spent"], account["reserved"]) == (600_000_000, 0)


def test_each_value_of_a_tag_has_the_limit_to_itself() -> None:
    budget = _blocking(1, by="team")
    keys = [budget.key_of("m", tags) for tags in ({"team": "a"}, {"team": 7}, {})]
    assert keys == ["a", "7", ""]
    for key in keys:
        _held(budget, NANO, key=key)
    assert [account["key"] for account in budget.snapshot(NOON)] == keys
    assert _blocking(1, by="model").key_of("gpt", {"model": "x"}) == "gpt"


def test_accounts_are_bounded() -> None:
    budget = _blocking(1, by="user")
    for number in range(MAX_KEYS + 5):
        _held(budget, 1, key=budget.key_of("m", {"user": number}))
    assert len(budget.accounts) == MAX_KEYS + 1
    assert budget.accounts[OTHER].reserved == 5
    assert budget.key_of("m", {"user": 3}) == "3"


@pytest.mark.parametrize(
    ("per", "within", "after"),
    [
        ("minute", 59, 60),
        ("hour", 3599, 3600),
        ("day", 43_199, 43_200),
        ("month", 43_199, 43_200),  # it is noon of the last day of January
        ("total", 10**9, None),
    ],
)
def test_a_period_is_a_calendar_one_and_begins_with_nothing_spent(per: str, within: float, after: float | None) -> None:
    budget = _blocking(1, per=per)
    settle([_held(budget, NANO)], NANO)
    assert _asked(budget, 1, now=NOON + within)[0] is None
    if after is not None:
        assert budget.snapshot(NOON + after)[0]["spent"] == 0
        _held(budget, NANO, now=NOON + after)


def test_a_call_that_outlasts_its_period_leaves_the_next_alone() -> None:
    budget = _blocking(1)
    hold = _held(budget, NANO)
    _held(budget, 5, now=NOON + 86_400)
    settle([hold], NANO)
    (account,) = budget.snapshot(NOON + 86_400)
    assert (account["spent"], account["reserved"]) == (0, 5)


def test_a_clock_that_goes_back_opens_no_period_again() -> None:
    budget = _blocking(1)
    settle([_held(budget, NANO)], NANO)
    assert _asked(budget, 1, now=NOON - 86_400)[0] is None


def test_a_call_nobody_can_price_follows_the_rule() -> None:
    allowing, refusing = _blocking(1), _blocking(1, unpriced="block")
    assert _held(allowing, None).amount == 0
    assert _asked(refusing, None)[0] is None


def test_a_limit_that_blocks_gives_the_others_their_reservations_back() -> None:
    wide, narrow = SpendGuard(limit=10, action="block"), SpendGuard(limit=1, by="team", action="block")
    budgets = Budgets((wide, narrow))
    taken = _reserved(budgets, {"team": "a"}, 2 * NANO)
    assert taken.blocked
    assert taken.holds == []
    assert [over.guard for over in taken.exceeded] == [narrow]
    assert [account["reserved"] for account in budgets.snapshot(NOON)] == [0, 0]


def test_limits_that_stay_keep_their_accounts_over_new_settings() -> None:
    kept, gone, new = (SpendGuard(limit=1, per=per) for per in ("day", "hour", "month"))
    before, after = Budgets((kept, gone)), Budgets((kept, new))
    holds = _reserved(before, {}, 7).holds
    after.take_over(before)
    settle(holds, 5)
    assert [(each["budget"], each["spent"]) for each in after.snapshot(NOON)] == [("day", 5)]


def test_a_child_process_keeps_what_was_spent_and_no_reservation() -> None:
    budgets = Budgets((SpendGuard(limit=1),))
    settle(_reserved(budgets, {}, 7).holds, 5)
    _reserved(budgets, {}, 7)
    budgets.forget_holds()
    (account,) = budgets.snapshot(NOON)
    assert (account["spent"], account["reserved"]) == (5, 0)


@given(st.lists(st.tuples(st.integers(0, 400), st.one_of(st.none(), st.integers(0, 500)), st.booleans()), max_size=60))
def test_a_limit_is_overshot_by_no_more_than_calls_exceed_their_reservations(
    calls: list[tuple[int, int | None, bool]],
) -> None:
    """A call reserves, and is settled at once or stays under way."""
    budget = _blocking("0.000001")  # 1000 nano-dollars
    excess = 0
    for amount, cost, ended in calls:
        hold, over = _asked(budget, amount)
        assert (hold is None) == (over is not None)
        if hold is not None and ended:
            settle([hold], cost)
            excess += max((amount if cost is None else cost) - amount, 0)
        account = budget.accounts[""]
        assert account.reserved >= 0
        assert account.spent + account.reserved <= budget.limit + excess


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, (0, 9)),
        ({"messages": [{"role": "user", "content": "x" * 296}]}, (100, 9)),
        ({"input": "x" * 298, "max_output_tokens": 5}, (100, 5)),
        ({"prompt": [1, 2, 3], "max_tokens": 50, "max_completion_tokens": 40, "n": 3}, (3, 120)),
        ({"messages": [{"content": [{"image_url": {"url": "data:image/png;base64," + "A" * 9999}}]}]}, (1500, 9)),
        ({"messages": object(), "max_tokens": True, "n": "2"}, (0, 9)),
        ({"max_tokens": -4, "tools": ({"name": "abc"},), "instructions": None}, (1, 9)),
    ],
)
def test_what_a_request_may_use(body: dict[str, Any], tokens: tuple[int, int]) -> None:
    usage = worst_case(body, output_tokens=9)
    assert (usage.input_tokens, usage.output_tokens) == tokens
