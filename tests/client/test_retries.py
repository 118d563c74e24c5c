"""The retry loop over real sockets: how often, with what, and what the app is told."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from huddle_otel import DeadlineExceeded, RetryPolicy, TimeoutPolicy
from huddle_otel.client.failures import hint_of
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.kinds import Fault
from tests.client.support import FAST, FLAVOURS, SAY, TEXT, Instrument, Recorded, run, text_of, with_async

MANY = RetryPolicy(base=0.0, max_attempts=3, max_ambiguous=9)


def _create(flavour: str, *, client: dict[str, Any] | None = None, **call: Any) -> Any:
    """Make one call in the flavour asked for; read a stream to its end."""

    async def later(made: Any) -> Any:
        answer = await made.chat.completions.create(**{**SAY, **call})
        return [chunk async for chunk in answer] if call.get("stream") else answer

    if flavour == "async":
        return with_async(later, **(client or {}))
    with openai.OpenAI(**(client or {})) as made:
        answer = made.chat.completions.create(**{**SAY, **call})
        return list(answer) if call.get("stream") else answer


# --- which failures are tried again ----------------------------------------------------------------------------------

RETRIED: list[tuple[str, Fault, int]] = [
    ("429", faults.rate_limited(), 3),
    ("429-hint", faults.rate_limited(0), 3),
    ("529", faults.overloaded(), 3),
    ("503-hint", faults.status(503, retry_after=0), 3),
    ("cooldown", faults.cooldown(0), 3),
    ("500", faults.status(500), 2),
    ("502", faults.bad_gateway(), 2),
    ("503", faults.status(503), 2),
    ("504", faults.status(504), 2),
    ("408", faults.upstream_timeout(), 2),
    ("reset", faults.reset_before_first_byte(), 2),
    ("should-retry", faults.status(400, headers={"x-should-retry": "true"}), 2),
    ("should-not-retry", faults.status(503, headers={"x-should-retry": "false"}, retry_after=0), 1),
    ("quota", faults.insufficient_quota(), 1),
    ("budget", faults.budget_exceeded(), 1),
    ("budget-400", faults.budget_exceeded(400), 1),
    ("context", faults.context_window(), 1),
    ("policy", faults.content_policy(), 1),
    ("upstream-key", faults.upstream_key_bad(), 1),
    ("expired", faults.expired_key(), 1),
    ("denied", faults.model_denied(), 1),
    ("404", faults.status(404), 1),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("fault", "sends"), [row[1:] for row in RETRIED], ids=[row[0] for row in RETRIED])
def test_how_often_a_failure_is_sent(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, stream: bool, fault: Fault, sends: int
) -> None:
    gateway.script([Rule(fault)])
    instrument()
    with pytest.raises(openai.APIError) as caught:
        _create(flavour, stream=stream)
    assert len(gateway.calls) == sends
    attributes = recorded.attributes
    assert attributes["huddle.attempts"] == sends
    assert len(attributes.get("huddle.retry.causes", ())) == sends - 1
    assert attributes["huddle.outcome"] == "error"
    assert [event.name for event in recorded.span.events] == ["huddle.attempt"] * sends
    status = getattr(caught.value, "status_code", None)
    assert attributes["error.type"] == (str(status) if status else "disconnect")
    assert attributes.get("http.response.status_code") == status


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("fault", [faults.status(503), faults.rate_limited(0), faults.reset_before_first_byte()])
def test_what_fails_once_succeeds_for_the_app(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, stream: bool, fault: Fault
) -> None:
    gateway.script([Rule(fault, calls={0})])
    instrument()
    answer = _create(flavour, stream=stream)
    assert (text_of(answer) if stream else answer.choices[0].message.content) == TEXT
    assert recorded.attributes["huddle.outcome"] == "ok"
    assert recorded.attributes["huddle.attempts"] == 2
    assert recorded.span.status.is_unset
    ambiguous = "possible" if fault.name != "rate_limited" else None
    assert recorded.attributes.get("huddle.possible_double_billing", False) is (ambiguous is not None)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nobody_listening_is_class_a(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    instrument()
    gateway.pause()
    with pytest.raises(openai.APIConnectionError):
        _create(flavour)
    assert recorded.attributes["huddle.attempts"] == 3
    assert recorded.attributes["error.type"] == "connect_error"
    assert {str((e.attributes or {})["huddle.attempt.class"]) for e in recorded.span.events} == {"A"}


# --- limits the app set ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_the_clients_max_retries_is_an_upper_bound(
    gateway: Gateway, instrument: Instrument, flavour: str, most: int
) -> None:
    gateway.script([Rule(faults.rate_limited())])
    instrument(retry=RetryPolicy(base=0.0, max_attempts=4))
    with pytest.raises(openai.RateLimitError):
        _create(flavour, client={"max_retries": most})
    # 2 is what the openai client has when nobody chose: it cannot be told from a choice, and the policy rules
    assert len(gateway.calls) == {0: 1, 1: 2, 2: 4, 5: 4}[most]


@pytest.mark.parametrize("most", [0, 1, 2])
def test_max_retries_per_call(gateway: Gateway, instrument: Instrument, make: Callable[..., Any], most: int) -> None:
    gateway.script([Rule(faults.rate_limited())])
    instrument(retry=RetryPolicy(base=0.0, max_attempts=9))
    with pytest.raises(openai.RateLimitError):
        make(openai.OpenAI).with_options(max_retries=most).chat.completions.create(**SAY)
    assert len(gateway.calls) == (most + 1 if most != 2 else 9)
    gateway.reset()
    with pytest.raises(openai.RateLimitError):
        make(openai.OpenAI).post("/chat/completions", cast_to=object, body=SAY, options={"max_retries": most})
    assert len(gateway.calls) == most + 1, "given with the call, any number is a choice"


def test_without_a_policy_there_is_one_attempt(
    gateway: Gateway, instrument: Instrument, make: Callable[..., Any]
) -> None:
    """`retry=None` is one attempt: the client's own loop stays off, too."""
    gateway.script([Rule(faults.status(503))])
    instrument(retry=None)
    with pytest.raises(openai.InternalServerError):
        make(openai.OpenAI, max_retries=5).chat.completions.create(**SAY)
    assert len(gateway.calls) == 1


# --- hints -----------------------------------------------------------------------------------------------------------

NOW = 1_800_000_000.0
HINTS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "7"}, 7),
    ({"retry-after": "0"}, 0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after": email.utils.formatdate(NOW + 30, usegmt=True)}, 30),
    ({"retry-after": email.utils.formatdate(NOW - 30, usegmt=True)}, 0),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
    ({"retry-after-ms": "soon", "retry-after": "7"}, 7),
    ({"llm_provider-retry-after": "9"}, 9),
    ({"llm_provider-retry-after": "9", "retry-after": "60"}, 60),
    ({"retry-after": "soon", "llm_provider-retry-after": "9"}, 9),
    *(({"retry-after": text}, None) for text in ("soon", "-1", "nan", "inf", "", "1e999", "Mon, 99 Foo 2026")),
]


@pytest.mark.parametrize(("headers", "expected"), HINTS)
def test_a_hint_is_read_in_all_its_spellings(headers: dict[str, str], expected: float | None) -> None:
    assert hint_of(headers, wall=NOW) == expected


@pytest.mark.parametrize("headers", [("retry-after",), ("llm_provider-retry-after",)], ids=["own", "of-the-upstream"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_hint_beyond_the_deadline_is_the_real_error_at_once(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, headers: tuple[str, ...]
) -> None:
    gateway.script([Rule(faults.rate_limited(600, hint_headers=headers))])
    instrument(timeout=TimeoutPolicy(total=60))
    started = time.monotonic()
    with pytest.raises(openai.RateLimitError):
        _create(flavour)
    assert time.monotonic() - started < 5
    assert len(gateway.calls) == 1
    assert recorded.attributes["error.type"] == "429"


@pytest.mark.parametrize(
    ("headers", "least"),
    [({"retry-after": "0.1"}, 0.1), ({"retry-after-ms": "120"}, 0.12), ({"llm_provider-retry-after": "0.1"}, 0.1)],
)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_hint_is_waited_for(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, headers: dict[str, str], least: float
) -> None:
    gateway.script([Rule(faults.status(429, headers=headers), calls={0})])
    instrument()
    _create(flavour)
    assert gateway.calls[1].at - gateway.calls[0].at >= least
    assert recorded.attributes["huddle.wait.seconds"] >= least
    (event,) = recorded.span.events
    assert (event.attributes or {})["huddle.attempt.delay"] == least


# --- what each attempt sends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_each_attempt_sends(gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0, 1})])
    instrument()
    _create(flavour)
    calls = gateway.calls
    assert [call.headers["x-stainless-retry-count"] for call in calls] == ["0", "1", "2"]
    assert {call.headers["x-litellm-num-retries"] for call in calls} == {"0"}
    assert len({call.headers.get("idempotency-key") for call in calls}) == 1
    ids = [call.headers["x-litellm-call-id"] for call in calls]
    assert len(set(ids)) == 3, "each attempt is a request of its own to the gateway"
    assert recorded.attributes["huddle.request.id"] == ids[-1]
    assert all(call.body == calls[0].body for call in calls)


def test_the_idempotency_key_is_the_same_for_all_attempts(
    gateway: Gateway, instrument: Instrument, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0, 1})])
    instrument()
    client = make(openai.OpenAI)
    client._idempotency_header = "Idempotency-Key"  # the client makes a key, and sends it only where it has a name
    client.chat.completions.create(**SAY)
    client.chat.completions.create(**SAY)
    keys = [call.headers["idempotency-key"] for call in gateway.calls]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]


@pytest.mark.parametrize(("retry", "expected"), [(FAST, "0"), (RetryPolicy(gateway_retries=2), "2")])
def test_the_gateways_own_retries_are_set(
    gateway: Gateway, instrument: Instrument, retry: RetryPolicy, expected: str
) -> None:
    instrument(retry=retry)
    _create("sync")
    assert gateway.calls[0].headers["x-litellm-num-retries"] == expected


@pytest.mark.parametrize("retry", [RetryPolicy(gateway_retries=None), None])
def test_the_gateways_own_retries_are_left_alone(
    gateway: Gateway, instrument: Instrument, retry: RetryPolicy | None
) -> None:
    instrument(retry=retry)
    _create("sync")
    assert "x-litellm-num-retries" not in gateway.calls[0].headers


def test_what_the_app_says_to_the_gateway_stands(gateway: Gateway, instrument: Instrument, recorded: Recorded) -> None:
    instrument()
    mine = {
        "X-LiteLLM-Num-Retries": "4",
        "x-litellm-timeout": "9",
        "X-LITELLM-CALL-ID": "mine",
        "X-Stainless-Retry-Count": "7",
    }
    _create("sync", extra_headers=mine)
    headers = gateway.calls[0].headers
    assert {name.lower(): headers[name.lower()] for name in mine} == {
        name.lower(): value for name, value in mine.items()
    }
    assert recorded.attributes["huddle.request.id"] == "mine"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("mine", "expected"), [(None, 600.0), (20.0, 20.0), (5000.0, 600.0)])
def test_the_gateway_is_given_a_little_less_time_than_we_have(
    gateway: Gateway, instrument: Instrument, flavour: str, mine: float | None, expected: float
) -> None:
    instrument()
    call: dict[str, Any] = {} if mine is None else {"timeout": mine}
    _create(flavour, **call)
    headers = gateway.calls[0].headers
    sent, ours = float(headers["x-litellm-timeout"]), float(headers["x-stainless-read-timeout"])
    assert 0.9 * expected <= sent < ours <= expected


def test_without_clocks_the_apps_own_are_left_alone(gateway: Gateway, instrument: Instrument) -> None:
    instrument(timeout=None)
    _create("sync", timeout=None)
    assert "x-litellm-timeout" not in gateway.calls[0].headers
    _create("sync", timeout=20)
    assert gateway.calls[1].headers["x-litellm-timeout"] == "19"


# --- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("how", ["policy", "call", "client"])
def test_the_total_time_is_a_ceiling_for_all_attempts_together(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, how: str
) -> None:
    gateway.script([Rule(faults.hang())])
    limits = {"timeout": TimeoutPolicy(connect=0.3, first_token=0.3, stall=0.3, total=0.3)} if how == "policy" else {}
    instrument(retry=MANY, **limits)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        _create(
            flavour,
            client={"timeout": 0.3} if how == "client" else {},
            **({"timeout": 0.3} if how == "call" else {}),
        )
    assert time.monotonic() - started < 2
    assert isinstance(caught.value, openai.APITimeoutError)
    assert caught.value.limit == 0.3
    assert str(caught.value.request.url).startswith(gateway.url)
    assert recorded.attributes["huddle.outcome"] == "error"
    assert recorded.attributes["huddle.attempts"] == 1
    assert recorded.total("huddle.client.in_flight") == 0


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_read_timeout_before_the_deadline_is_the_clients_own_error(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    gateway.script([Rule(faults.hang())])
    instrument()
    with pytest.raises(openai.APITimeoutError) as caught:
        _create(flavour, stream=True, timeout=0.15)  # of a stream the app's timeout is the longest silence
    assert not isinstance(caught.value, DeadlineExceeded)
    assert len(gateway.calls) == 2, "ambiguous: tried once more"
    assert recorded.attributes["error.type"] == "read_timeout"
    assert recorded.attributes["huddle.possible_double_billing"] is True


def test_no_clock_of_ours_with_timeout_none(gateway: Gateway, instrument: Instrument) -> None:
    gateway.script([Rule(faults.hang())])
    instrument(timeout=None, retry=None)
    with pytest.raises(openai.APITimeoutError):
        _create("sync", timeout=0.15)


# --- streams ---------------------------------------------------------------------------------------------------------

BEFORE_CONTENT: list[Fault] = [
    faults.reset_after_headers(),
    faults.reset(0),
    faults.cut(0, tidy=False),
    faults.error_frame(0),
    faults.error_frame(0, role=False),
    faults.malformed_chunk(0),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("fault", BEFORE_CONTENT, ids=lambda fault: fault.name)
def test_a_stream_that_dies_before_its_first_content_is_sent_again(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, fault: Fault
) -> None:
    gateway.script([Rule(fault, calls={0})])
    instrument()
    chunks = _create(flavour, stream=True)
    assert text_of(chunks) == TEXT
    assert [chunk.choices[0].delta.role for chunk in chunks].count("assistant") == 1, "nothing of the first is seen"
    assert recorded.attributes["huddle.attempts"] == 2
    assert recorded.attributes["huddle.outcome"] == "ok"


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    "fault",
    [faults.reset(2), faults.cut(2, tidy=False), faults.error_frame(2), faults.malformed_chunk(2)],
    ids=lambda fault: fault.name,
)
def test_a_stream_that_dies_after_its_first_content_never_is(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str, fault: Fault
) -> None:
    gateway.script([Rule(fault)])
    instrument(retry=MANY)
    with pytest.raises(Exception):  # noqa: B017, PT011 - the client's own error, whatever it is, see test_streams
        _create(flavour, stream=True)
    assert len(gateway.calls) == 1
    assert recorded.attributes["huddle.attempts"] == 1
    assert {str((e.attributes or {})["huddle.attempt.class"]) for e in recorded.span.events} == {"D"}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_upstream_that_refuses_stream_options_is_asked_without(
    instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    with Gateway(key=None, refuse_stream_options=True) as stubborn:
        instrument(base_url=stubborn.url)
        for _ in range(2):
            assert text_of(_create(flavour, stream=True)) == TEXT
        _create(flavour, stream=True, model="claude-sonnet-4.6")
        asked = [(call.model, "stream_options" in call.body) for call in stubborn.calls]
        assert asked == [
            ("gpt-4.1", True),
            ("gpt-4.1", False),
            ("gpt-4.1", False),
            ("claude-sonnet-4.6", True),
            ("claude-sonnet-4.6", False),
        ]
        assert [span.attributes["huddle.attempts"] for span in recorded.spans if span.attributes] == [1, 1, 1]
        with pytest.raises(openai.BadRequestError):  # what the app itself asked for is the app's
            _create(flavour, stream=True, stream_options={"include_usage": True})


# --- raw requests ----------------------------------------------------------------------------------------------------


def test_absolute_urls_and_other_verbs_are_calls_too(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0})])
    instrument()
    make(openai.OpenAI).get(f"{gateway.url}/models", cast_to=object)
    assert recorded.attributes["huddle.attempts"] == 2
    assert [call.method for call in gateway.calls] == ["GET", "GET"]


def test_many_tasks_at_once(gateway: Gateway, instrument: Instrument, recorded: Recorded) -> None:
    """Each task's call finds its own way back to its own exchange."""
    import asyncio

    gateway.script([Rule(faults.rate_limited(), rate=0.3)])
    instrument(retry=RetryPolicy(base=0.0, max_attempts=20))

    async def work() -> list[Any]:
        async with openai.AsyncOpenAI() as client:
            calls = [client.chat.completions.create(**{**SAY, "model": f"m{number}"}) for number in range(30)]
            return await asyncio.gather(*calls)

    answers = run(work())
    assert [answer.model for answer in answers] == [f"m{number}" for number in range(30)]
    by_model = {(span.attributes or {})["gen_ai.request.model"]: dict(span.attributes or {}) for span in recorded.spans}
    sends = {f"m{n}": sum(call.model == f"m{n}" for call in gateway.calls) for n in range(30)}
    assert {model: attributes["huddle.attempts"] for model, attributes in by_model.items()} == sends
    assert all(attributes["gen_ai.response.model"] == model for model, attributes in by_model.items())
