"""Metrics: tallies, limits on cardinality, and the numbers of a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openai
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from huddle_otel.events import Finished, Outcome, Request
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.spend import Spend
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.answer import Answer
from huddle_otel.telemetry.metrics import MAX_MODELS, Metrics
from huddle_otel.telemetry.tallies import Tallies
from tests.client.support import SAY, Instrument, Recorded

DONE = Finished(
    outcome=Outcome.OK, attempts=1, failure=None, waited=0.0, causes=(), last_result="ok", double_billing=False
)


def _request(model: str) -> Request:
    return Request(
        operation="chat",
        model=model,
        host="h",
        port=None,
        provider="p",
        stream=False,
        body={},
        path="/chat/completions",
    )


def test_in_flight_counts_calls_under_way_and_returns_to_zero(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.slow_headers(0.2))])
    instrument()
    client = make(openai.OpenAI)
    threads = [threading.Thread(target=lambda: client.chat.completions.create(**SAY)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert gateway.wait_for(lambda: gateway.in_flight == 3)
    assert recorded.points("huddle.client.in_flight") == {frozenset({("model", "gpt-4.1")}): 3}
    for thread in threads:
        thread.join()
    assert recorded.points("huddle.client.in_flight") == {frozenset({("model", "gpt-4.1")}): 0}


def test_what_the_gateway_says_is_left_of_its_limits(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument()
    make(openai.OpenAI).chat.completions.create(**SAY)
    assert recorded.total("huddle.client.ratelimit.remaining", type="requests") == 9_999
    assert recorded.total("huddle.client.ratelimit.remaining", type="tokens") == 1_999_000


def test_the_attributes_of_attempts_and_calls(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.status(500), calls={0}), Rule(faults.context_window(), calls={1})])
    instrument()
    client = make(openai.OpenAI)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**SAY)
    client.chat.completions.create(**SAY)
    attempts = {(dict(k)["result"], dict(k)["class"]): v for k, v in recorded.points("huddle.client.attempts").items()}
    assert attempts == {("500", "C"): 1, ("400", "E"): 1, ("ok", ""): 1}
    calls = {
        (dict(k)["huddle.outcome"], dict(k).get("error.type")): v
        for k, v in recorded.points("huddle.client.calls").items()
    }
    assert calls == {("error", "400"): 1, ("ok", None): 1}
    assert recorded.total("huddle.client.double_billing.possible") == 1
    errors = {dict(key).get("error.type") for key in recorded.points("gen_ai.client.operation.duration")}
    assert errors == {"400", None}
    assert not any("error.type" in dict(key) for key in recorded.points("gen_ai.client.token.usage"))


def test_token_histograms(instrument: Instrument, recorded: Recorded, make: Callable[..., Any]) -> None:
    instrument()
    make(openai.OpenAI).chat.completions.create(**SAY)
    sums = {dict(k)["gen_ai.token.type"]: p.sum for k, p in recorded.points("gen_ai.client.token.usage").items()}
    assert sums == {"input": 2, "output": 8}


def test_chunk_times_are_recorded_once_per_stream(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.slow_drip(0.01))])
    instrument()
    list(make(openai.OpenAI).chat.completions.create(**SAY, stream=True))
    (first,) = recorded.points("gen_ai.client.operation.time_to_first_chunk").values()
    (each,) = recorded.points("gen_ai.client.operation.time_per_output_chunk").values()
    (whole,) = recorded.points("gen_ai.client.operation.duration").values()
    assert first.count == each.count == whole.count == 1
    assert 0.005 < each.sum < whole.sum
    assert first.sum + 7 * each.sum <= whole.sum + 0.001


def test_the_first_chunk_is_timed_from_the_call_and_from_its_last_attempt(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.status(503), calls={0}), Rule(faults.slow_drip(0.01))])
    instrument()
    list(make(openai.OpenAI).chat.completions.create(**SAY, stream=True))
    (from_the_call,) = recorded.points("gen_ai.client.operation.time_to_first_chunk").values()
    (from_the_attempt,) = recorded.points("huddle.client.attempt.time_to_first_chunk").values()
    waited = recorded.total("huddle.client.wait", model=SAY["model"])
    assert from_the_attempt.count == 1
    assert waited == recorded.attributes["huddle.wait.seconds"] > 0
    assert 0 < from_the_attempt.sum < from_the_call.sum - waited
    assert recorded.attributes["huddle.attempt.time_to_first_chunk"] == pytest.approx(from_the_attempt.sum)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False), "0")


@pytest.mark.parametrize("outcome", ["error", "truncated", "cancelled", "abandoned"])
def test_what_a_call_without_a_whole_answer_cost_is_waste(metrics: Metrics, outcome: str) -> None:
    spent = Answer(spend=Spend(total=1_500_000_000, source="catalogue", estimate=1_500_000_000))
    metrics.started(_request("m"))
    for each in (Outcome(outcome), Outcome.OK):
        metrics.finished(_request("m"), replace(DONE, outcome=each), spent, duration=0.1, tag_names=())
    waste = metrics.tallies.read(contract.COST_WASTE)
    assert {key: value for key, value in waste.items() if value} == {(("model", "m"), (contract.OUTCOME, outcome)): 1.5}
    assert sum(metrics.tallies.read(contract.COST_USD).values()) == 3


def test_the_difference_between_what_is_reported_and_the_table(metrics: Metrics) -> None:
    spends = (
        Spend(total=1_500_000_000, source="gateway", estimate=1_000_000_000),
        Spend(total=250_000_000, source="gateway", estimate=1_000_000_000),
        Spend(total=9_000_000_000, source="gateway"),  # not in the table: no difference to speak of
        Spend(total=1_000_000_000, source="catalogue", estimate=1_000_000_000),
    )
    for spend in spends:
        metrics.finished(_request("m"), DONE, Answer(spend=spend), duration=0.1, tag_names=())
    assert metrics.tallies.read(contract.COST_DIFFERENCE) == {(("model", "m"),): -0.25}


def test_model_names_are_bounded(metrics: Metrics) -> None:
    names = [metrics.model(f"m{number}") for number in range(MAX_MODELS + 50)]
    assert names[:MAX_MODELS] == [f"m{number}" for number in range(MAX_MODELS)]
    assert set(names[MAX_MODELS:]) == {contract.OTHER_MODEL}
    assert metrics.model("m7") == "m7"


def test_beyond_the_limit_metrics_say_other_and_spans_the_name(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument()
    client = make(openai.OpenAI)
    for number in range(MAX_MODELS + 3):
        client.chat.completions.create(**{**SAY, "model": f"m{number}"})
    for name in ("huddle.client.calls", "huddle.client.tokens", "huddle.client.in_flight", "huddle.client.attempts"):
        models = {dict(key)["model"] for key in recorded.points(name)}
        assert len(models) <= MAX_MODELS + 1, name
        assert "other" in models, name
    assert recorded.total("huddle.client.calls", model="other") == 3
    assert recorded.total("huddle.client.in_flight") == 0
    durations = recorded.points("gen_ai.client.operation.duration")
    assert len({dict(key)["gen_ai.request.model"] for key in durations}) <= MAX_MODELS + 1
    assert (recorded.spans[-1].attributes or {})["gen_ai.request.model"] == f"m{MAX_MODELS + 2}"


def test_metrics_are_made_once_per_provider() -> None:
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    assert Metrics.on(provider, "0") is Metrics.on(provider, "0")
    assert Metrics.on(provider, "0") is not Metrics.on(MeterProvider(shutdown_on_exit=False), "0")


def test_counts_go_on_over_a_change_of_settings(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    """OpenTelemetry cannot take an instrument back: a second set of them would double every series."""
    for name in ("a", "b", "c"):
        instrument(provider_name=name)
        make(openai.OpenAI).chat.completions.create(**SAY)
    assert recorded.total("huddle.client.calls") == 3


def test_tallies_are_exact_under_threads() -> None:
    tallies = Tallies()
    key = (("model", "m"),)
    changes = [(contract.CALLS, key, 1), (contract.COST_USD, key, 0.5)]

    def work() -> None:
        for _ in range(500):
            tallies.add_all(changes)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tallies.read(contract.CALLS) == {key: 8_000}
    assert tallies.read(contract.COST_USD) == {key: 4_000}
    tallies.put_all([(contract.RATELIMIT, key, 5)])
    tallies.put_all([(contract.RATELIMIT, key, 3)])
    assert tallies.read(contract.RATELIMIT) == {key: 3}
    copy = tallies.read(contract.CALLS)
    copy[key] = 0
    assert tallies.read(contract.CALLS) == {key: 8_000}


def test_a_finaliser_in_the_middle_of_a_write_may_end_a_call(metrics: Metrics) -> None:
    """The collector runs anywhere, also inside `add_all`: the lock must let its own thread in again."""

    def changes() -> Any:
        yield contract.CALLS, (("model", "outer"),), 1
        metrics.finished(_request("inner"), DONE, Answer(), duration=0.1, tag_names=())
        yield contract.CALLS, (("model", "outer"),), 1

    metrics.tallies.add_all(changes())
    assert metrics.tallies.read(contract.CALLS)[(("model", "outer"),)] == 2
