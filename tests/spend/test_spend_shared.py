"""What is said to a store of shared accounts, and how its answers are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.settings import SpendGuard
from huddle_otel.spend.accounts import Ask, Figures
from huddle_otel.spend.guard import Budget, leased, reserve, settle, settled
from huddle_otel.spend.shared import key_of, read, releasing, reserving, settling

NOON = 1_769_860_800.0


def _ask(amount: int | None = 7, *, key: str = "search", limit: float = 1, **fields: str) -> Ask:
    guard = SpendGuard(limit=limit, store="redis://host", **{"by": "team", "action": "block", **fields})  # type: ignore[arg-type]
    return Ask(Budget(guard), key, amount)


def test_all_accounts_of_a_call_are_asked_at_once() -> None:
    command = reserving([_ask(), _ask(None, by="", action="warn", per="month")], lease="l", lasts=660.0)
    assert command.keys == (
        "{huddle_otel:spend}:1:day:team:search",
        "{huddle_otel:spend}:1:day:team:search:leases",
        "{huddle_otel:spend}:1:month::search",
        "{huddle_otel:spend}:1:month::search:leases",
    )
    assert command.arguments == (
        *("reserve", "", "l", "660"),
        *("day", "7", "1000000000", "1"),
        *("month", "0", "1000000000", "0"),
    )


def test_what_was_reserved_there_is_settled_and_what_was_not_is_charged() -> None:
    ask = _ask()
    (there,) = leased([ask], [Figures(began=60.0, spent=0, reserved=7)], NOON, granted=True, ahead=0.0).holds
    assert settling([there], 5, lease="l", lasts=1).arguments == ("settle", "", "l", "1", "day", "7", "5", "60")
    assert settling([there], None, lease="l", lasts=1).arguments[6] == "7"
    (here,) = reserve([_ask()], NOON).holds
    assert settling([here], 5, lease="l", lasts=1).arguments[:3] == ("charge", "", "l")
    assert releasing([ask], lease="l").arguments == ("settle", "", "l", "0", "day", "7", "0", "0")


def test_an_absurd_amount_is_more_than_every_limit_and_no_more() -> None:
    assert reserving([_ask(10**40)], lease="l", lasts=1).arguments[5] == "9000000000000001"


@pytest.mark.parametrize("plain", ["", "search", "gpt-4.1", "a@b.example", "x" * 64])
def test_a_short_plain_value_stands_in_the_key_as_it_is(plain: str) -> None:
    assert key_of(_ask(key=plain)) == f"{{huddle_otel:spend}}:1:day:team:{plain}"


@pytest.mark.parametrize("hostile", ["a:b", "x" * 65, "a\nb", "{other}", "#5", "ключ", "\ud800", " "])
def test_any_other_is_hashed(hostile: str) -> None:
    prefix, _, value = key_of(_ask(key=hostile, by=hostile)).rpartition(":")
    assert len(value) == 33
    assert value.startswith("#")
    assert prefix == f"{{huddle_otel:spend}}:1:day:{value}"


@given(st.text(), st.text())
def test_no_two_values_share_a_key(one: str, other: str) -> None:
    assert (key_of(_ask(key=one)) == key_of(_ask(key=other))) == (one == other)


def test_an_answer_is_read_exactly() -> None:
    word = read([1, b"1769860800.250000", [b"1769817600", b"9007199254740993", b"0"]])
    assert (word.granted, word.now) == (True, 1769860800.25)
    assert word.figures == (Figures(began=1769817600.0, spent=9_007_199_254_740_993, reserved=0),)


# --- the account of this process, which goes by what the store tells --------------------------------------------------


def test_what_the_store_tells_is_what_is_shown_with_its_age() -> None:
    ask = _ask(10)
    leased([ask], [Figures(began=NOON, spent=3, reserved=30)], NOON + 5, granted=True, ahead=2.0)
    (row,) = ask.budget.snapshot(NOON + 9)
    assert (row["spent"], row["reserved"], row["age"]) == (3, 30, 4.0)
    assert row["resets_in"] == 86_400 - 11  # by the store's clock, which is two seconds ahead


def test_a_refusal_says_how_far_the_limit_is_used_and_once_that_it_is_the_first() -> None:
    ask = _ask(10, limit=1e-8)
    told = [leased([ask], [Figures(began=NOON, spent=3, reserved=1)], NOON, granted=False, ahead=0.0) for _ in "ab"]
    assert [(each.blocked, each.holds) for each in told] == [(True, []), (True, [])]
    assert [(each.exceeded[0].spent, each.exceeded[0].first) for each in told] == [(4, True), (4, False)]


def test_a_warning_does_not_count_the_call_itself_as_spent_before_it() -> None:
    ask = _ask(10, limit=1e-8, action="warn")
    taken = leased([ask], [Figures(began=NOON, spent=3, reserved=10)], NOON, granted=True, ahead=0.0)
    assert [over.spent for over in taken.exceeded] == [3]
    assert [hold.amount for hold in taken.holds] == [10]


def test_the_limit_itself_can_be_spent_there_too() -> None:
    ask = _ask(10, limit=1e-8)
    figures = [Figures(began=NOON, spent=0, reserved=10)]
    assert leased([ask], figures, NOON, granted=True, ahead=0.0).exceeded == []


def test_what_is_reserved_while_the_store_is_away_adds_to_what_was_last_seen() -> None:
    ask = _ask(400, limit=1e-6)
    leased([ask], [Figures(began=NOON, spent=500, reserved=0)], NOON, granted=False, ahead=0.0)
    first, second = reserve([ask], NOON), reserve([ask], NOON)
    assert (len(first.holds), second.blocked, second.exceeded[0].spent) == (1, True, 900)
    settle(first.holds, 100)
    (row,) = ask.budget.snapshot(NOON)
    assert (row["spent"], row["reserved"]) == (600, 0)


def test_what_the_store_has_not_been_told_is_kept_over_what_it_tells() -> None:
    ask = _ask(400)
    held = reserve([ask], NOON).holds  # while the store is away
    told = Figures(began=held[0].began, spent=50, reserved=70)

    def shown() -> tuple[int, int]:
        (row,) = ask.budget.snapshot(NOON)
        return row["spent"], row["reserved"]

    ask.budget.hear("search", told, NOON, ahead=0.0)
    assert shown() == (50, 470)
    settle(held, 100)
    assert shown() == (150, 70)
    ask.budget.hear("search", told, NOON, ahead=0.0)
    assert shown() == (150, 70)
    settled(held, 100, [Figures(began=held[0].began, spent=150, reserved=70)], NOON, ahead=0.0)
    assert shown() == (150, 70)


def test_a_period_that_the_store_begins_begins_here_with_nothing_unsaid() -> None:
    ask = _ask(400)
    held = reserve([ask], NOON).holds
    later = Figures(began=held[0].began + 86_400, spent=5, reserved=6)
    ask.budget.hear("search", later, NOON, ahead=0.0)
    settle(held, 100)
    settled(held, 100, [later], NOON, ahead=0.0)
    (row,) = ask.budget.snapshot(NOON)
    assert (row["spent"], row["reserved"]) == (5, 6)
