"""What a ledger is told of a call: every ended one, sampled or not, and nothing of what was said."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

import huddle_otel
from huddle_otel.events import CallRecord, finish_reason
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.gateway.kinds import Reply
from huddle_otel_exporters import names
from huddle_otel_exporters.ledger import open_reader
from huddle_otel_exporters.ledger.spans import LedgerSpanExporter, record_of
from huddle_otel_exporters.part import Part
from tests.client.support import KEY, SAY, Instrument, Recorded


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[CallRecord]:
    """What an exporter by the name `kept` was told."""
    records: list[CallRecord] = []
    monkeypatch.setitem(names.BUILDERS, "kept", lambda _: Part(ledger=records.append))
    monkeypatch.setattr(names, "_current", None)
    return records


def three_calls(client: openai.OpenAI, gateway: Gateway) -> None:
    """Make a plain call, a stream, and one that is refused."""
    with huddle_otel.tags(team="search"):
        client.chat.completions.create(**SAY)
        list(client.chat.completions.create(**SAY, stream=True))
    gateway.script([Rule(faults.status(400))])
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**SAY)


def test_every_call_is_told_sampled_or_not(
    gateway: Gateway, instrument: Instrument, kept: list[CallRecord], make: Callable[..., Any]
) -> None:
    unsampled = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    instrument(exporters="kept", tracer_provider=unsampled)
    three_calls(make(openai.OpenAI), gateway)
    plain, stream, failed = kept
    assert [record.outcome for record in kept] == ["ok", "ok", "error"]
    assert [record.cost for record in kept] == [68_000, 68_000, None]
    assert (plain.operation, plain.model, plain.response_model, plain.attempts) == ("chat", "gpt-4.1", "gpt-4.1", 1)
    assert (plain.input_tokens, plain.output_tokens, plain.cost_source) == (2, 8, "gateway")
    assert plain.tags == {"team": "search"}
    assert plain.request_id
    assert plain.first_chunk is None
    assert stream.stream
    assert stream.first_chunk is not None
    assert 0 < stream.first_chunk <= stream.duration
    assert plain.started <= stream.started <= failed.started
    assert (failed.error_type, failed.status, failed.answered) == ("400", 400, False)
    told = repr(kept)
    assert KEY not in told
    assert "hi there" not in told
    assert "steady answer" not in told


def test_a_call_refused_before_it_is_sent_has_its_tags(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, kept: list[CallRecord], make: Callable[..., Any]
) -> None:
    instrument(exporters="kept", spend_guard=huddle_otel.SpendGuard(limit="0.000000001", action="block"))
    with huddle_otel.tags(team="search"), pytest.raises(huddle_otel.SpendLimitError):
        make(openai.OpenAI).chat.completions.create(**SAY)
    assert gateway.calls == []
    (blocked,) = kept
    assert (blocked.outcome, blocked.tags) == ("blocked", {"team": "search"})
    assert recorded.attributes["huddle.tag.team"] == "search"


def test_a_ledger_that_fails_is_counted_and_the_call_goes_on(
    instrument: Instrument, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, make: Callable[..., Any]
) -> None:
    def full(_record: CallRecord) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(names.BUILDERS, "full", lambda _: Part(ledger=full))
    monkeypatch.setattr(names, "_current", None)
    instrument(exporters="full")
    assert make(openai.OpenAI).chat.completions.create(**SAY).choices
    assert recorded.total("huddle.telemetry.errors", component="ledger") == 1
    assert recorded.attributes["huddle.outcome"] == "ok"


def test_a_span_tells_the_same_as_far_as_it_goes(
    gateway: Gateway, instrument: Instrument, kept: list[CallRecord], make: Callable[..., Any]
) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrument(exporters="kept", tracer_provider=provider, http_spans=False)
    gateway.script([Rule(faults.status(503), calls={0})])
    three_calls(make(openai.OpenAI), gateway)
    read = [record_of(span) for span in spans.get_finished_spans()]
    assert len(read) == len(kept) == 3
    for ours, told in zip(kept, read, strict=True):
        assert told.started == pytest.approx(ours.started, abs=0.1)
        assert told.duration == pytest.approx(ours.duration, abs=0.1)
        # a span carries no estimate beside what was reported
        same: dict[str, Any] = {"started": 0, "duration": 0, "cost_estimate": None}
        assert replace(told, **same) == replace(ours, **same)


# --- why an answer ended ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        ((), None),
        (("stop",), "stop"),
        (("stop", "tool_calls"), "stop"),
        (("stop", "length", "content_filter"), "length"),
        (("tool_calls", "max_output_tokens"), "max_output_tokens"),
        (("stop", "content_filter"), "content_filter"),
        (("of_another_upstream", "stop"), "of_another_upstream"),
    ],
)
def test_one_reason_stands_for_all_choices(reasons: tuple[str, ...], told: str | None) -> None:
    assert finish_reason(reasons) == told


def cut_off(kind: str, *reasons: str) -> tuple[Reply, Reply]:
    """Return an answer whose choices end with these reasons, whole and as a stream."""
    made = {"id": "c-1", "created": 1, "model": "gpt-4.1"}
    said = {"text": "A"} if kind == "text_completion" else {"message": {"role": "assistant", "content": "A"}}
    piece = said if kind == "text_completion" else {"delta": {"role": "assistant", "content": "A"}}
    choices = [{"index": index, "finish_reason": reason} for index, reason in enumerate(reasons)]
    whole = {**made, "object": kind, "choices": [{**said, **each} for each in choices]}
    last = {**made, "object": kind, "choices": [{**piece, **each} for each in choices]}
    events = f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode()
    return (
        Reply(name="whole", code=200, body=json.dumps(whole).encode()),
        Reply(name="stream", code=200, body=events, content_type="text/event-stream"),
    )


CHAT: dict[str, Any] = {"model": "gpt-4.1", "messages": SAY["messages"], "max_tokens": 1}
TEXT: dict[str, Any] = {"model": "gpt-4.1", "prompt": "hi there", "max_tokens": 1}
ASK: dict[str, Any] = {"model": "gpt-4.1", "input": "hi there", "max_output_tokens": 1}


@pytest.mark.parametrize(
    ("answers", "use", "told"),
    [
        (cut_off("chat.completion", "length"), lambda c, **how: c.chat.completions.create(**CHAT, **how), "length"),
        (
            cut_off("chat.completion", "stop", "content_filter"),
            lambda c, **how: c.chat.completions.create(**CHAT, n=2, **how),
            "content_filter",
        ),
        (cut_off("text_completion", "length"), lambda c, **how: c.completions.create(**TEXT, **how), "length"),
        (None, lambda c, **how: c.responses.create(**ASK, **how), "max_output_tokens"),
    ],
    ids=["chat", "one-choice-of-two", "text", "responses"],
)
def test_an_answer_cut_off_is_an_answer_that_says_so(
    answers: tuple[Reply, Reply] | None,
    use: Callable[..., Any],
    told: str,
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    kept: list[CallRecord],
    make: Callable[..., Any],
) -> None:
    instrument(exporters="kept")
    client = make(openai.OpenAI)
    if answers is not None:
        gateway.script([Rule(answers[0], calls={0}), Rule(answers[1], calls={1})])
    use(client)
    list(use(client, stream=True))
    assert [(record.outcome, record.finish_reason) for record in kept] == [("ok", told)] * 2
    assert [record_of(span).finish_reason for span in recorded.spans] == [told] * 2


def test_what_ended_without_a_reason_has_none(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, kept: list[CallRecord], make: Callable[..., Any]
) -> None:
    instrument(exporters="kept")
    gateway.script([Rule(faults.cut(2), calls={0}), Rule(faults.status(400), calls={1})])
    client = make(openai.OpenAI)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**SAY, stream=True))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**SAY)
    client.embeddings.create(model="text-embedding-3-small", input="hi there")
    assert [(record.outcome, record.finish_reason) for record in kept] == [
        ("truncated", None),
        ("error", None),
        ("ok", None),
    ]
    assert [record_of(span).finish_reason for span in recorded.spans] == [None] * 3


# --- as a span exporter -----------------------------------------------------------------------------------------------


def test_the_sdk_finds_the_ledger_as_a_span_exporter(
    instrument: Instrument, make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `OTEL_TRACES_EXPORTER=huddle_ledger` does, which needs opentelemetry-distro to be heeded."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("HUDDLE_OTEL_LEDGER", str(path))
    (entry,) = entry_points(group="opentelemetry_traces_exporter", name="huddle_ledger")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(entry.load()()))
    instrument(tracer_provider=provider)
    make(openai.OpenAI).chat.completions.create(**SAY)
    with provider.get_tracer("the app's").start_as_current_span("not a call", kind=SpanKind.CLIENT):
        pass
    assert provider.force_flush()
    with closing(open_reader(path)) as ledger:
        rows = ledger.execute("SELECT model, outcome, attempts, input_tokens, cost, cost_source FROM calls").fetchall()
    assert rows == [("gpt-4.1", "ok", 1, 2, 68_000, "gateway")]
    provider.shutdown()


def test_a_span_exporter_says_when_the_ledger_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_LEDGER", str(tmp_path))  # a folder
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    provider.get_tracer("huddle_otel").start_span("chat", kind=SpanKind.CLIENT).end()
    exporter = LedgerSpanExporter()
    assert exporter.export([]) is SpanExportResult.SUCCESS
    assert exporter.export(spans.get_finished_spans()) is SpanExportResult.FAILURE
    assert exporter.force_flush()
    exporter.shutdown()
