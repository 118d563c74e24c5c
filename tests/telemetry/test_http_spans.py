"""The spans of HTTP requests: one per attempt, below the call's, and none where they are not wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

import huddle_otel
from huddle_otel import tags
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import FLAVOURS, KEY, SAY, SDK, Instrument, Recorded, ids_of, instrumented, with_async

INSTRUMENTOR: Any = HTTPX2ClientInstrumentor if SDK > 2 else HTTPXClientInstrumentor


def _say(flavour: str, **arguments: Any) -> None:
    async def later(client: Any) -> None:
        await client.chat.completions.create(**SAY)

    if flavour == "async":
        with_async(later, **arguments)
        return
    with openai.OpenAI(**arguments) as client:
        client.chat.completions.create(**SAY)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_attempt_has_a_span_below_the_calls(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    gateway.script([Rule(faults.status(503), calls={0})])
    instrument()
    _say(flavour)
    first, second = recorded.http_spans
    call = recorded.span
    for span in (first, second):
        assert span.parent is not None
        assert span.parent.span_id == ids_of(call)[1]
        assert call.start_time <= span.start_time <= span.end_time <= call.end_time  # type: ignore[operator]
    assert "http.request.resend_count" not in (first.attributes or {})
    assert (second.attributes or {})["http.request.resend_count"] == 1
    sent = [call.headers["traceparent"].split("-") for call in gateway.calls]
    assert [(parts[1], parts[2]) for parts in sent] == [
        (f"{trace:032x}", f"{span:016x}") for trace, span in map(ids_of, (first, second))
    ]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_switch(gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str) -> None:
    instrument(http_spans=False)
    _say(flavour)
    assert recorded.http_spans == ()
    assert len(recorded.spans) == 1
    assert "traceparent" not in gateway.calls[0].headers


@pytest.fixture
def _app_traces_httpx(recorded: Recorded) -> Iterator[None]:
    INSTRUMENTOR().instrument(tracer_provider=recorded.tracer_provider)
    yield
    INSTRUMENTOR().uninstrument()


@pytest.mark.usefixtures("_app_traces_httpx")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_app_that_traces_httpx_itself_sees_no_request_twice(
    instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    instrument()
    _say(flavour)
    (span,) = recorded.http_spans
    assert span.parent is not None
    assert span.parent.span_id == ids_of(recorded.span)[1]


def test_a_client_the_app_has_instrumented(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    client = make(openai.OpenAI, api_key="sk-app")
    INSTRUMENTOR.instrument_client(client._client, tracer_provider=recorded.tracer_provider)
    instrument()
    client.chat.completions.create(**SAY)
    huddle_otel.uninstrument()
    assert len(recorded.http_spans) == 1
    assert client._client._is_instrumented_by_opentelemetry, "the app's own stays"
    assert caplog.records == []


def test_it_is_taken_back(instrument: Instrument, recorded: Recorded, make: Callable[..., Any]) -> None:
    client = make(openai.OpenAI, api_key="sk-app")
    instrument()
    client.chat.completions.create(**SAY)
    assert hasattr(client._client._transport.handle_request, "__wrapped__")
    huddle_otel.uninstrument()
    assert not hasattr(client._client._transport.handle_request, "__wrapped__")


def test_new_settings_move_the_spans_to_the_new_provider(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    client = make(openai.OpenAI, api_key="sk-app")
    instrument()
    client.chat.completions.create(**SAY)
    later = Recorded()
    instrumented(gateway, later)()
    client.chat.completions.create(**SAY)
    assert (len(recorded.http_spans), len(later.http_spans)) == (1, 1)


def test_an_unsampled_call_says_so_upstream(gateway: Gateway) -> None:
    recorded = Recorded(ParentBased(ALWAYS_OFF))
    instrumented(gateway, recorded)()
    _say("sync")
    assert recorded.http_spans == ()
    assert not int(gateway.calls[0].headers["traceparent"][-2:], 16) & 1, "the bit that says sampled"


def test_the_key_is_on_no_span_even_when_all_headers_are_asked_for(
    instrument: Instrument, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST", ".*")
    instrument()
    _say("sync")
    (span,) = recorded.http_spans
    assert (span.attributes or {})["http.request.header.authorization"] == ("[REDACTED]",)
    assert KEY not in span.to_json()


@pytest.mark.skipif(SDK < 3, reason="before 3.x every client is an httpx client")
def test_a_client_of_the_other_httpx(instrument: Instrument, recorded: Recorded) -> None:
    instrument()
    with httpx.Client() as http:
        openai.OpenAI(http_client=http).chat.completions.create(**SAY)  # type: ignore[arg-type, unused-ignore]
    assert len(recorded.http_spans) == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_tags_leave_the_process_only_when_asked(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, flavour: str
) -> None:
    instrument()
    with tags(team="search", plan="a b"):
        _say(flavour)
    with tags(baggage=True, team="search", plan="a b"), tags(feature="answer"):
        _say(flavour)
        with tags(team="other"):
            _say(flavour)
    assert [call.headers.get("baggage") for call in gateway.calls] == [None, "team=search,plan=a+b", "plan=a+b"]
    assert all("search" not in str(call.body) for call in gateway.calls)
    assert [(span.attributes or {})["huddle.tag.team"] for span in recorded.spans] == ["search", "search", "other"]
