"""Limits on spend over real sockets: what is blocked sends nothing, and every call is settled, however it ends."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator

import openai
import pytest

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.client.exchange import Exchange
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.spend_calls import BOUNDED, COST, ask
from tests.client.support import FLAVOURS, Instrument, Recorded


@pytest.fixture(autouse=True)
def _every_reservation_is_settled() -> Iterator[None]:
    yield
    assert [each["reserved"] for each in huddle_otel.current_health()["budgets"] if each["reserved"]] == []


def _spent() -> dict[str, int]:
    return {each["key"]: each["spent"] for each in huddle_otel.current_health()["budgets"]}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_blocked_call_sends_nothing(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, stream: bool
) -> None:
    instrument(spend_guard=SpendGuard(limit=0.0001, action="block"))
    ask(flavour, stream=stream)
    assert _spent() == {"": COST}
    with pytest.raises(huddle_otel.SpendLimitError, match=r"the spend limit of \$0.0001 per day blocks") as blocked:
        ask(flavour, stream=stream)
    assert isinstance(blocked.value, openai.APIError)
    assert not isinstance(blocked.value, openai.APIConnectionError)  # what apps try again
    assert 0 < blocked.value.resets_in <= 86_400
    assert len(gateway.calls) == 1
    blocked_span = dict(recorded.spans[-1].attributes or {})
    assert blocked_span["huddle.outcome"] == "blocked"
    assert blocked_span["error.type"] == "budget_exceeded"
    assert recorded.total("huddle.client.rejections", reason="budget_exceeded") == 1
    assert recorded.total("huddle.client.budget.used.usd", budget="day") == pytest.approx(COST / 1e9)
    assert recorded.total("huddle.client.budget.limit.usd", budget="day") == 0.0001
    assert huddle_otel.current_health()["circuits"][0]["admitted"] == 1


def test_a_warning_is_said_once_and_the_calls_go_on(
    gateway: Gateway, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(spend_guard=SpendGuard(limit=0.0001))
    with caplog.at_level(logging.WARNING, "huddle_otel"):
        for _ in range(4):
            ask()
    assert len(gateway.calls) == 4
    assert _spent() == {"": 4 * COST}
    assert len([each for each in caplog.messages if "does not block" in each]) == 1


def test_each_team_has_its_own_limit(gateway: Gateway, instrument: Instrument) -> None:
    instrument(spend_guard=[SpendGuard(limit=0.0001, by="team", action="block"), SpendGuard(limit=1, per="month")])
    for team in ("search", "ads"):
        with huddle_otel.tags(team=team):
            ask()
            with pytest.raises(huddle_otel.SpendLimitError, match=f"of team '{team}' blocks"):
                ask()
    assert _spent() == {"search": COST, "ads": COST, "": 2 * COST}


def test_calls_at_once_cannot_overshoot(gateway: Gateway, instrument: Instrument) -> None:
    instrument(spend_guard=SpendGuard(limit=0.0005, action="block"))
    gateway.script([Rule(faults.slow_headers(0.2))])
    blocked: list[Exception] = []

    def work() -> None:
        try:
            ask()
        except huddle_otel.SpendLimitError as error:
            blocked.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(gateway.calls) == 16 - len(blocked)
    assert COST <= _spent()[""] <= 500_000


def test_a_failure_that_reached_nobody_is_free_and_one_that_may_be_billed_is_not(
    gateway: Gateway, instrument: Instrument
) -> None:
    instrument(spend_guard=SpendGuard(limit=1), retry=None)
    gateway.script([Rule(faults.rate_limited())])
    with pytest.raises(openai.RateLimitError):
        ask()
    assert _spent() == {"": 0}
    gateway.script([Rule(faults.status(500))])
    with pytest.raises(openai.InternalServerError):
        ask()
    assert _spent()[""] >= COST


def test_a_stream_left_early_keeps_its_reservation(gateway: Gateway, instrument: Instrument) -> None:
    instrument(spend_guard=SpendGuard(limit=1))
    with openai.OpenAI() as client:
        stream = client.chat.completions.create(**BOUNDED, stream=True)
        next(iter(stream))
        stream.close()
    assert _spent()[""] >= COST


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_call_cut_off_between_two_steps_leaves_nothing_reserved(
    gateway: Gateway, instrument: Instrument, monkeypatch: pytest.MonkeyPatch, flavour: str
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    instrument(spend_guard=SpendGuard(limit=1))
    monkeypatch.setattr(Exchange, "_admit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ask(flavour)
    assert gateway.calls == []
    assert _spent() == {"": 0}


def test_looking_at_models_reserves_nothing(instrument: Instrument) -> None:
    instrument(spend_guard=SpendGuard(limit=0.0000001, action="block", unpriced="block"))
    with openai.OpenAI() as client:
        assert client.models.list().data
    with pytest.raises(huddle_otel.SpendLimitError):
        ask(model="who-knows")


def test_new_settings_do_not_forget_what_was_spent(instrument: Instrument) -> None:
    guard = SpendGuard(limit=1)
    instrument(spend_guard=guard)
    ask()
    instrument(spend_guard=[guard, SpendGuard(limit=1, by="model")], retry=None)
    assert _spent() == {"": COST}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_goes_on_from_what_was_spent(instrument: Instrument) -> None:
    instrument(spend_guard=SpendGuard(limit=1))
    ask()
    child = os.fork()
    if not child:
        os._exit(_spent() != {"": COST})
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
