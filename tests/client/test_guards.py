"""The guards over real sockets: circuit, gate, bulkhead, budget, clocks, fallbacks; and every permit comes back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel import (
    BreakerPolicy,
    BulkheadPolicy,
    RateLimitPolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    TimeoutPolicy,
)
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.kinds import Fault
from tests.client.support import FLAVOURS, SAY, Instrument, Recorded, with_async

SOON = TimeoutPolicy(connect=1, first_token=0.3, stall=0.3, total=5)
QUICK = RetryPolicy(max_attempts=2, base=0.0, cap=0.0)
EAGER = BreakerPolicy(min_calls=4, open_for=0.2, jitter=0)


@pytest.fixture(autouse=True)
def _every_permit_comes_back() -> Iterator[None]:
    yield
    for each in huddle_otel.current_health()["circuits"]:
        assert each["admitted"] == each["ok"] + each["failure"] + each["ignored"], each
        assert (each["in_flight"], each["waiting"]) == (0, 0), each


def _ask(flavour: str, **call: Any) -> Any:
    """Make one call; read a stream to its end."""

    async def later(client: Any) -> Any:
        answer = await client.chat.completions.create(**{**SAY, **call})
        return [chunk async for chunk in answer] if call.get("stream") else answer

    if flavour == "async":
        return with_async(later)
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(**{**SAY, **call})
        return list(answer) if call.get("stream") else answer


def _circuit() -> dict[str, Any]:
    (circuit,) = huddle_otel.current_health()["circuits"]
    assert isinstance(circuit, dict)
    return circuit


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True])
def test_an_open_circuit_refuses_without_a_request_and_closes_after_good_probes(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, stream: bool
) -> None:
    instrument(breaker=EAGER, retry=None)
    gateway.script([Rule(faults.status(500))])
    for _ in range(4):
        with pytest.raises(openai.InternalServerError):
            _ask(flavour, stream=stream)
    assert _circuit()["state"] == "open"
    with pytest.raises(huddle_otel.CircuitOpenError) as refused:
        _ask(flavour, stream=stream)
    assert isinstance(refused.value, openai.APIConnectionError)
    assert refused.value.circuit == _circuit()["circuit"]
    assert 0 < refused.value.retry_in <= 0.2
    assert refused.value.last_cause == "500"
    assert len(gateway.calls) == 4
    assert recorded.total("huddle.client.rejections", reason="breaker_open") == 1
    gateway.script([])
    assert gateway.wait_for(lambda: _circuit()["state"] == "half_open")
    _ask(flavour, stream=stream)
    _ask(flavour, stream=stream)
    assert _circuit()["state"] == "closed"
    assert recorded.total("huddle.client.breaker.transitions") == 3
    seen = [(span.attributes or {})["huddle.breaker.state"] for span in recorded.spans]
    assert seen == ["closed"] * 4 + ["open"] + ["half_open"] * 2
    changes = [
        ((event.attributes or {})["from"], (event.attributes or {})["to"])
        for span in recorded.spans
        for event in span.events
        if event.name == "huddle.breaker.transition"
    ]
    assert changes == [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]


def test_a_circuit_by_hand(gateway: Gateway, instrument: Instrument) -> None:
    instrument()
    _ask("sync")
    name = _circuit()["circuit"]
    huddle_otel.force(name, "forced_open")
    with pytest.raises(huddle_otel.CircuitOpenError):
        _ask("sync")
    huddle_otel.reset(name)
    _ask("sync")
    with pytest.raises(KeyError):
        huddle_otel.reset("no/such/circuit")
    with pytest.raises(ValueError, match="forced into"):
        huddle_otel.force(name, "open")
    assert len(gateway.calls) == 2


@pytest.mark.parametrize("policy", [None, BreakerPolicy(min_calls=2, shadow=True)])
def test_a_breaker_that_is_off_or_only_watches_refuses_nothing(
    gateway: Gateway, instrument: Instrument, policy: BreakerPolicy | None
) -> None:
    instrument(breaker=policy, retry=None)
    gateway.script([Rule(faults.status(500))])
    for _ in range(6):
        with pytest.raises(openai.InternalServerError):
            _ask("sync")
    assert len(gateway.calls) == 6


def test_the_budget_ends_retries(gateway: Gateway, instrument: Instrument) -> None:
    budget = RetryBudgetPolicy(capacity=3, per_success=0)
    instrument(breaker=None, retry=RetryPolicy(max_attempts=2, base=0, cap=0, budget=budget))
    gateway.script([Rule(faults.rate_limited())])
    for _ in range(5):
        with pytest.raises(openai.RateLimitError):
            _ask("sync")
    assert len(gateway.calls) == 5 + 3


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_closed_gate_holds_the_next_call_or_tells_it_the_429(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    instrument(retry=None)
    gateway.script([Rule(faults.rate_limited(0.3), calls={0})])
    with pytest.raises(openai.RateLimitError):
        _ask(flavour)
    with pytest.raises(openai.RateLimitError, match="429"):
        _ask(flavour, timeout=0.1)  # its time is up before the gate opens
    assert len(gateway.calls) == 1
    _ask(flavour)
    assert len(gateway.calls) == 2
    assert gateway.calls[1].at - gateway.calls[0].at >= 0.25
    assert recorded.total("huddle.client.rejections", reason="rate_limited") == 1


def test_without_a_gate_nothing_waits(gateway: Gateway, instrument: Instrument) -> None:
    instrument(retry=None, rate_limit=None)
    gateway.script([Rule(faults.rate_limited(60), calls={0})])
    with pytest.raises(openai.RateLimitError):
        _ask("sync")
    _ask("sync")


def test_a_limit_that_is_used_up_pauses(gateway: Gateway, instrument: Instrument) -> None:
    instrument(rate_limit=RateLimitPolicy(max_wait=1))
    left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s"}
    gateway.script([Rule(faults.good(left), calls={0})])
    _ask("sync")
    with pytest.raises(huddle_otel.RateLimitedError) as refused:
        _ask("sync")
    assert 85 < refused.value.retry_in <= 90


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_full_bulkhead_refuses(gateway: Gateway, instrument: Instrument, flavour: str) -> None:
    instrument(bulkhead=BulkheadPolicy(max_in_flight=1, max_wait=0.05))
    gateway.script([Rule(faults.slow_headers(0.6), calls={0})])
    first = threading.Thread(target=_ask, args=("sync",))
    first.start()
    assert gateway.wait_for(lambda: len(gateway.calls) == 1)
    with pytest.raises(huddle_otel.BulkheadFullError) as refused:
        _ask(flavour)
    assert refused.value.limit == 1
    first.join()
    assert len(gateway.calls) == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_place_is_handed_on(gateway: Gateway, instrument: Instrument, flavour: str) -> None:
    instrument(bulkhead=BulkheadPolicy(max_in_flight=1, max_wait=5))
    gateway.script([Rule(faults.slow_headers(0.2), calls={0})])
    first = threading.Thread(target=_ask, args=("sync",))
    first.start()
    assert gateway.wait_for(lambda: len(gateway.calls) == 1)
    _ask(flavour)
    first.join()
    assert len(gateway.calls) == 2


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_another_model_answers(gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str) -> None:
    instrument(retry=QUICK, fallbacks={SAY["model"]: ("claude-sonnet-4.6",)})
    gateway.script([Rule(faults.status(503), model=SAY["model"])])
    assert _ask(flavour).model == "claude-sonnet-4.6"
    assert [call.model for call in gateway.calls] == [SAY["model"], SAY["model"], "claude-sonnet-4.6"]
    attributes = recorded.attributes
    assert attributes["gen_ai.request.model"] == attributes["huddle.fallback.from"] == SAY["model"]
    assert attributes["gen_ai.response.model"] == "claude-sonnet-4.6"
    gateway.script([Rule(faults.context_window(), model=SAY["model"])])
    with pytest.raises(openai.BadRequestError):  # the request is at fault: no other model is asked
        _ask(flavour)


CLOCKS: list[tuple[str, Fault, type[Exception], str, int]] = [
    ("hang", faults.hang(), huddle_otel.FirstTokenTimeout, "first_token_timeout", 2),
    ("pings", faults.ping_forever(0.05), huddle_otel.FirstTokenTimeout, "first_token_timeout", 2),
    ("role only", faults.role_only(), huddle_otel.FirstTokenTimeout, "first_token_timeout", 2),
    ("empty deltas", faults.empty_deltas(), huddle_otel.FirstTokenTimeout, "first_token_timeout", 2),
    ("stall", faults.stall(2), huddle_otel.StallTimeout, "stall_timeout", 1),
    ("pings later", faults.ping_forever(0.05, 2), huddle_otel.StallTimeout, "stall_timeout", 1),
    ("cut", faults.cut(2), huddle_otel.StreamTruncatedError, "stream_truncated", 1),
    ("not JSON", faults.malformed_chunk(2), huddle_otel.MalformedResponseError, "malformed_response", 1),
    ("error early", faults.error_frame(0), openai.APIError, "stream_error", 2),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("fault", "error", "name", "calls"), [row[1:] for row in CLOCKS], ids=[r[0] for r in CLOCKS])
def test_a_stream_is_judged_at_its_end(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    flavour: str,
    fault: Fault,
    error: type[Exception],
    name: str,
    calls: int,
) -> None:
    instrument(timeout=SOON, retry=QUICK)
    gateway.script([Rule(fault)])
    with pytest.raises(error):
        _ask(flavour, stream=True)
    assert recorded.attributes["error.type"] == name
    assert len(gateway.calls) == calls
    assert _circuit()["failure"] == calls


@pytest.mark.parametrize("fault", [faults.hang(), faults.slow_drip(0.2)])
def test_the_total_bounds_plain_and_streamed_calls(gateway: Gateway, instrument: Instrument, fault: Fault) -> None:
    instrument(timeout=TimeoutPolicy(connect=0.5, first_token=0.5, stall=0.5, total=0.5), retry=None)
    gateway.script([Rule(fault)])
    for flavour in FLAVOURS:
        for stream in (False, True):
            with pytest.raises(huddle_otel.DeadlineExceeded):
                _ask(flavour, stream=stream)


def test_a_model_may_have_clocks_of_its_own(gateway: Gateway, instrument: Instrument) -> None:
    patient = TimeoutPolicy(first_token=5, total=9, stall=5)
    instrument(timeout=TimeoutPolicy(first_token=0.2, stall=0.2, total=9, per_model={SAY["model"]: patient}))
    gateway.script([Rule(faults.slow_success(0.5))])
    _ask("sync", stream=True)
    assert len(gateway.calls) == 1
