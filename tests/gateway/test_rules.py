from __future__ import annotations

from typing import Any

import pytest

from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.rules import Book
from tests.gateway.wiring import HELLO, ask

A, B = faults.status(500), faults.status(503)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def book(*rules: Rule, seed: int = 0, remember: int = 100, clock: Any = None) -> Book:
    return Book(rules, seed=seed, remember=remember, clock=clock or Clock())


def names(book: Book, count: int, model: str = "m", path: str = "/p") -> list[str | None]:
    return [book.open("POST", path, {}, {"model": model})[0].fault for _ in range(count)]


def test_first_match_wins() -> None:
    assert names(book(Rule(A), Rule(B)), 2) == ["status_500", "status_500"]


def test_rules_number_calls_on_their_own() -> None:
    sequence = book(Rule(A, calls={0}), Rule(B, calls=range(1, 3)))
    assert names(sequence, 4) == ["status_500", "status_503", "status_503", None]


def test_patterns() -> None:
    assert names(book(Rule(A, model="gpt-*")), 1, model="gpt-4.1") == ["status_500"]
    assert names(book(Rule(A, model="gpt-*")), 1, model="claude") == [None]
    assert names(book(Rule(A, path="*/embeddings")), 1, path="/v1/embeddings") == ["status_500"]
    assert names(book(Rule(A, path="*/embeddings")), 1) == [None]


def test_calls_of_other_models_are_not_numbered() -> None:
    counted = book(Rule(A, model="m", calls={0}))
    assert names(counted, 3, model="other") == [None] * 3
    assert names(counted, 2) == ["status_500", None]


def test_windows_follow_the_script() -> None:
    clock = Clock()
    timed = book(Rule(A, after=1, until=2), clock=clock)
    assert names(timed, 1) == [None]
    clock.now += 1
    assert names(timed, 1) == ["status_500"]
    clock.now += 1
    assert names(timed, 1) == [None]
    timed.script([Rule(B, until=1)])
    assert names(timed, 1) == ["status_503"]


def test_rates_are_drawn_from_the_seed() -> None:
    first, again, other = (names(book(Rule(A, rate=0.5), seed=seed), 200) for seed in (1, 1, 2))
    assert first == again != other
    assert 60 < sum(name is not None for name in first) < 140
    assert names(book(Rule(A, rate=0)), 5) == [None] * 5


def test_reset_draws_and_counts_again() -> None:
    counted = book(Rule(A, calls={0}), Rule(B, rate=0.5))
    before = names(counted, 20)
    counted.reset()
    assert counted.calls() == []
    assert names(counted, 20) == before
    assert counted.calls()[0].number == 0


def test_the_record_is_bounded() -> None:
    small = book(remember=3)
    names(small, 5)
    assert [call.number for call in small.calls()] == [2, 3, 4]


@pytest.mark.parametrize("bad", [{"rate": 1.1}, {"rate": float("nan")}, {"after": -1}, {"after": 2, "until": 1}])
def test_rules_are_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Rule(A, **bad)  # type: ignore[arg-type]


def test_a_gateway_records_what_arrived() -> None:
    with Gateway(remember=2) as gateway:
        for number in range(3):
            ask(gateway, HELLO | {"user": str(number)}, X_Custom="yes")
        assert gateway.wait_for(lambda: gateway.in_flight == 0)
        first, last = gateway.calls
    assert (first.number, last.number) == (1, 2)
    assert last.body == HELLO | {"user": "2"}
    assert (last.method, last.path, last.model, last.fault) == ("POST", "/v1/chat/completions", "gpt-4.1", None)
    assert (last.status, last.finished, last.disconnected) == (200, True, False)
    assert last.headers["x-custom"] == "yes"
    assert last.headers["authorization"] == "Bearer sk-huddle-test"
    assert 0 <= first.at <= last.at
    assert "sk-huddle-test" not in repr(last)


def test_a_gateway_takes_a_new_script() -> None:
    with Gateway([Rule(A, calls={0})]) as gateway:
        assert [ask(gateway).status for _ in range(2)] == [500, 200]
        gateway.script([Rule(B, calls={0})])
        assert [ask(gateway).status for _ in range(2)] == [503, 200]
        gateway.reset()
        assert ask(gateway).status == 503
        assert len(gateway.calls) == 1
