"""Telemetry that fails never reaches the app: the call is the same, the fault is said once and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import openai
import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracerProvider

from huddle_otel.client import exchange
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.telemetry import spans
from huddle_otel.telemetry.metrics import Metrics
from tests.client.support import FLAVOURS, KEY, SAY, TEXT, Instrument, Recorded, text_of, with_async


def _fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("telemetry is broken")


def _both(flavour: str) -> None:
    """A plain call and a stream, as ever."""

    async def later(client: Any) -> None:
        answer = await client.chat.completions.create(**SAY)
        assert answer.choices[0].message.content == TEXT
        assert text_of([chunk async for chunk in await client.chat.completions.create(**SAY, stream=True)]) == TEXT

    if flavour == "async":
        with_async(later)
        return
    with openai.OpenAI() as client:
        assert client.chat.completions.create(**SAY).choices[0].message.content == TEXT
        assert text_of(list(client.chat.completions.create(**SAY, stream=True))) == TEXT


PLACES: list[tuple[str, Any, str, str]] = [
    ("span-start", spans, "start", "spans"),
    ("span-finish", spans, "finish", "spans"),
    ("attempt", spans, "attempt_failed", "spans"),
    ("metrics-start", Metrics, "started", "metrics"),
    ("metrics-attempt", Metrics, "attempt_failed", "metrics"),
    ("metrics-finish", Metrics, "finished", "metrics"),
    ("account", exchange, "account", "spend"),
    ("object", exchange, "read_object", "reading"),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("owner", "name", "component"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
def test_a_fault_of_ours_costs_the_app_nothing(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flavour: str,
    owner: Any,
    name: str,
    component: str,
) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0, 2})])
    monkeypatch.setattr(owner, name, _fail)
    instrument()
    _both(flavour)
    warnings = [record for record in caplog.records if record.name == "huddle_otel"]
    assert [record.levelno for record in warnings] == [logging.WARNING], "said once, however often it happens"
    assert component in warnings[0].getMessage()
    assert recorded.total("huddle.telemetry.errors", component=component) >= 1


class _BadProcessor(SpanProcessor):
    def on_start(self, *_: Any, **__: Any) -> None:
        _fail()

    def on_end(self, *_: Any) -> None:
        _fail()


class _BadExporter(SpanExporter):
    def export(self, *_: Any) -> Any:
        _fail()


class _BadTracer(TracerProvider):
    def get_tracer(self, *_: Any, **__: Any) -> Any:
        tracer = super().get_tracer("x")
        tracer.start_span = _fail  # type: ignore[method-assign]
        return tracer


def _tracer_provider(kind: str) -> Any:
    if kind == "tracer":
        return _BadTracer(shutdown_on_exit=False)
    if kind == "noop":
        return NoOpTracerProvider()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(_BadProcessor() if kind == "processor" else SimpleSpanProcessor(_BadExporter()))
    return provider


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("kind", ["processor", "exporter", "tracer", "noop"])
def test_a_broken_trace_pipeline(instrument: Instrument, recorded: Recorded, flavour: str, kind: str) -> None:
    instrument(tracer_provider=_tracer_provider(kind))
    _both(flavour)
    assert recorded.total("huddle.client.calls", huddle__outcome="ok") == 2
    assert recorded.total("huddle.client.in_flight") == 0


class _BadMeters(MeterProvider):
    """Gives instruments that raise when they are used."""

    def get_meter(self, *args: Any, **kwargs: Any) -> Any:
        meter = super().get_meter(*args, **kwargs)
        create = meter.create_histogram

        def broken(*a: Any, **k: Any) -> Any:
            histogram = create(*a, **k)
            histogram.record = _fail  # type: ignore[method-assign]
            return histogram

        meter.create_histogram = broken  # type: ignore[method-assign]
        return meter


class _NoMeters(MeterProvider):
    """Gives no meter at all."""

    def get_meter(self, *_: Any, **__: Any) -> Any:
        _fail()


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("kind", [_BadMeters, NoOpMeterProvider, _NoMeters], ids=["histograms", "noop", "no-meter"])
def test_a_broken_metrics_pipeline(
    instrument: Instrument, recorded: Recorded, flavour: str, kind: Callable[..., Any]
) -> None:
    reader = [] if kind is NoOpMeterProvider else [[InMemoryMetricReader()]]
    arguments = {} if kind is NoOpMeterProvider else {"shutdown_on_exit": False}
    instrument(meter_provider=kind(*reader, **arguments))
    _both(flavour)
    assert [(span.attributes or {})["huddle.outcome"] for span in recorded.spans] == ["ok", "ok"]


@pytest.mark.parametrize("explicit", [False, True])
def test_a_fault_in_taking_a_call_in_hand_lets_it_out_as_it_is(
    explicit: bool,
    instrument: Instrument,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    make: Callable[..., Any],
) -> None:
    instrument()
    client = make(openai.OpenAI, **({"base_url": gateway.url, "api_key": KEY} if explicit else {}))
    monkeypatch.setattr("huddle_otel.client.runtime.Exchange", _fail)
    for _ in range(3):
        assert client.chat.completions.create(**SAY).choices[0].message.content == TEXT
    warnings = [record for record in caplog.records if record.name == "huddle_otel"]
    assert len(warnings) == 1
    assert "goes out as it is" in warnings[0].getMessage()


def test_counting_a_fault_may_itself_fail(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huddle_otel.telemetry.tallies.Tallies.add_all", _fail)
    instrument()
    _both("sync")
    assert [record.levelno for record in caplog.records if record.name == "huddle_otel"] == [logging.WARNING]


def test_a_strange_answer_costs_facts_and_nothing_else(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    odd = (
        b'{"id": 7, "model": ["x"], "choices": [{"finish_reason": 3}, null, "a"], '
        b'"usage": {"prompt_tokens": -1, "completion_tokens": "many", "cost": "NaN"}}'
    )
    headers = {
        "x-litellm-response-cost": "None",
        "x-litellm-attempted-retries": "x",
        "x-ratelimit-remaining-tokens": "-",
    }
    gateway.script([Rule(faults.status(200, body=odd, headers=headers))])
    instrument()
    make(openai.OpenAI).chat.completions.with_raw_response.create(**SAY)
    make(openai.OpenAI).chat.completions.create(**SAY)
    for span in recorded.spans:
        attributes = dict(span.attributes or {})
        assert attributes["huddle.outcome"] == "ok"
        assert "gen_ai.usage.input_tokens" not in attributes
        assert attributes["huddle.cost.source"] == "unknown"
    assert recorded.total("huddle.client.cost.unknown") == 2


def test_a_recorder_without_telemetry_configured_is_silent(
    gateway: Gateway, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(tracer_provider=None, meter_provider=None)
    _both("sync")
    assert [record for record in caplog.records if record.name == "huddle_otel"] == []
