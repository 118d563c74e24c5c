"""Another instrumentation of the openai client beside ours, in a process of its own: who records what.

`python -m tests.frameworks.beside logfire before` prints what was seen as JSON; without arguments, every
instrumentation in both orders, as a table. A process each: not every instrumentation takes itself back completely.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# the frameworks are in virtual environments of their own

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import openai
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from huddle_otel.gateway import Gateway
from huddle_otel.telemetry import contract
from tests.client.support import KEY, SAY, Recorded, instrumented, text_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

ORDERS: Final = ("before", "after")
APP_KEY: Final = "sk-app-own-0123456789abcdef"
CONTEXT_KEYS: Final = ("opentelemetry.genai.client.inference.context", "opentelemetry.genai.client.embedding.context")
MARKS: Final = (contract.OPERATION, contract.REQUEST_MODEL, "openinference.span.kind", "llm.request.type")
INPUT: Final = ("gen_ai.usage.input_tokens", "llm.token_count.prompt")
CONVENTIONAL: Final = ("gen_ai.client.operation.duration", "gen_ai.client.token.usage")
_RESPONSE: Final[dict[str, Any]] = {"model": SAY["model"], "input": "hi there"}
_EMBEDDING: Final[dict[str, Any]] = {"model": "text-embedding-3-small", "input": "hi there"}
_USAGE: Final[dict[str, Any]] = {"stream_options": {"include_usage": True}}


# --- the instrumentations, set up the way their documentation does ----------------------------------------------------


def _genai(recorded: Recorded) -> None:
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)


def _openinference(recorded: Recorded) -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=recorded.tracer_provider)


def _openllmetry(recorded: Recorded) -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)


def _logfire(recorded: Recorded) -> None:
    import logfire

    logfire.instrument_openai()


def _logfire_open(recorded: Recorded) -> None:
    import logfire

    logfire.instrument_openai(suppress_other_instrumentation=False)


INSTRUMENTATIONS: Final[dict[str, Callable[[Recorded], None]]] = {
    "genai-openai": _genai,
    "openinference": _openinference,
    "openllmetry": _openllmetry,
    "logfire": _logfire,
    "logfire, not suppressing": _logfire_open,
}


def _recorded(name: str) -> Recorded:
    """Return what records; for logfire, on the provider that it makes the global one, as in an app that uses it."""
    recorded = Recorded()
    if name.startswith("logfire"):
        import logfire

        processors = [SimpleSpanProcessor(recorded.exporter)]
        logfire.configure(send_to_logfire=False, console=False, metrics=False, additional_span_processors=processors)
        recorded.tracer_provider = trace.get_tracer_provider()  # type: ignore[assignment]
    return recorded


# --- the ways to call -------------------------------------------------------------------------------------------------


def _chat(client: openai.OpenAI) -> str:
    return client.chat.completions.create(**SAY).choices[0].message.content or ""


def _raw(client: openai.OpenAI) -> str:
    return client.chat.completions.with_raw_response.create(**SAY).parse().choices[0].message.content or ""


def _stream(client: openai.OpenAI) -> str:
    return text_of(list(client.chat.completions.create(stream=True, **SAY)))


def _usage_stream(client: openai.OpenAI) -> str:
    return text_of(list(client.chat.completions.create(stream=True, **_USAGE, **SAY)))


def _respond(client: openai.OpenAI) -> str:
    return str(client.responses.create(**_RESPONSE).output_text)


def _respond_stream(client: openai.OpenAI) -> str:
    events = client.responses.create(stream=True, **_RESPONSE)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def _embed(client: openai.OpenAI) -> str:
    return str(len(client.embeddings.create(**_EMBEDDING).data[0].embedding))


async def _async_chat(client: openai.AsyncOpenAI) -> str:
    return (await client.chat.completions.create(**SAY)).choices[0].message.content or ""


async def _async_stream(client: openai.AsyncOpenAI) -> str:
    return text_of([chunk async for chunk in await client.chat.completions.create(stream=True, **SAY)])


WAYS: Final[dict[str, Callable[[Any], Any]]] = {
    "chat": _chat,
    "chat, raw": _raw,
    "chat, streamed": _stream,
    "chat, streamed with usage": _usage_stream,
    "chat, async": _async_chat,
    "chat, async streamed": _async_stream,
    "responses": _respond,
    "responses, streamed": _respond_stream,
    "embeddings": _embed,
}


def _call(way: Callable[[Any], Any]) -> str:
    if not inspect.iscoroutinefunction(way):
        with openai.OpenAI() as client:
            return str(way(client))

    async def work() -> str:
        async with openai.AsyncOpenAI() as client:
            return str(await way(client))

    return asyncio.run(work())


# --- what is seen -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Theirs:
    """A span of the other instrumentation."""

    name: str
    kind: str
    place: str
    """`around` ours, `below` it, or `beside` it."""
    ends: str
    """`after` ours or `before` it."""
    usage: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One call with both active."""

    way: str
    answer: str
    calls: int
    ours: list[dict[str, Any]]
    """Attributes of each of our spans."""
    theirs: list[Theirs]
    http: int
    """Spans of HTTP requests."""
    signs: list[str]
    """What the current context tells of the other, as our span starts."""
    metrics: dict[str, int]
    """How often each conventional metric was recorded, by whom."""
    tokens: dict[str, float]
    cost: float
    errors: float
    leaked: bool
    """The Huddle01 key, or the app's, is somewhere in a span; or the Huddle01 key went out other than as it should."""

    @property
    def counted(self) -> int:
        """How many spans say how many tokens went in."""
        spans = [*self.ours, *(each.usage for each in self.theirs)]
        return sum(any(name in span for name in INPUT) for span in spans)


class _Signs(SpanProcessor):
    """Looks at what is current when a span of ours starts."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.instrumentation_scope is None or span.instrumentation_scope.name != contract.SCOPE:
            return
        within = parent_context or context.get_current()
        attributes = getattr(trace.get_current_span(within), "attributes", None) or {}
        marks = [f"{name}={attributes[name]}" for name in MARKS if name in attributes]
        self.found = [*marks, *(key for key in CONTEXT_KEYS if key in within)]


def observe(name: str, order: str) -> list[Seen]:
    """Call in every way, with the other instrumentation set up `before` or `after` ours. Once per process."""
    os.environ["OPENAI_API_KEY"] = APP_KEY
    recorded, signs = _recorded(name), _Signs()
    recorded.tracer_provider.add_span_processor(signs)
    with Gateway(key=KEY) as gateway:
        ours, theirs = instrumented(gateway, recorded), INSTRUMENTATIONS[name]
        steps: list[Callable[[], None]] = [ours, lambda: theirs(recorded)]
        for step in steps if order == "after" else reversed(steps):
            step()
        return [_observe(way, gateway, recorded, signs) for way in WAYS]


def _observe(way: str, gateway: Gateway, recorded: Recorded, signs: _Signs) -> Seen:
    recorded.exporter.clear()
    gateway.reset()
    signs.found = []
    before = _counts(recorded)
    with recorded.tracer_provider.get_tracer("app").start_as_current_span("app"):
        answer = _call(WAYS[way])
    after = _counts(recorded)
    change = {key: after[key] - before.get(key, 0) for key in after}
    spans = recorded.exporter.get_finished_spans()
    ours = [span for span in spans if _scope(span) == contract.SCOPE]
    known = {"app", contract.SCOPE}
    others = [span for span in spans if _scope(span) not in known and not _scope(span).endswith(".httpx")]
    told = [span.to_json() for span in spans]
    sent = [call.headers for call in gateway.calls]
    return Seen(
        way=way,
        answer=answer,
        calls=len(gateway.calls),
        ours=[dict(span.attributes or {}) for span in ours],
        theirs=[_theirs(span, ours[0] if ours else None) for span in others],
        http=sum(_scope(span).endswith(".httpx") for span in spans),
        signs=signs.found,
        metrics={key: int(value) for key, value in change.items() if key.startswith(("ours ", "theirs ")) and value},
        tokens={kind: change.get(kind, 0) for kind in ("input", "output")},
        cost=change.get("cost", 0),
        errors=change.get("errors", 0),
        leaked=any(key in text for key in (KEY, APP_KEY) for text in told)
        or any([name for name, value in headers.items() if KEY in value] != ["authorization"] for headers in sent),
    )


def _scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope is not None else ""


def _theirs(span: ReadableSpan, ours: ReadableSpan | None) -> Theirs:
    place, ends = "alone", "alone"
    if ours is not None:
        around, below = _parent_of(ours) == _id_of(span), _parent_of(span) == _id_of(ours)
        place = "around" if around else "below" if below else "beside"
        ends = "after" if (span.end_time or 0) >= (ours.end_time or 0) else "before"
    usage = {name: value for name, value in (span.attributes or {}).items() if "usage" in name or "token" in name}
    return Theirs(span.name, SpanKind(span.kind).name, place, ends, usage)


def _id_of(span: ReadableSpan) -> int | None:
    return span.context.span_id if span.context is not None else None


def _parent_of(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent is not None else 0


def _counts(recorded: Recorded) -> dict[str, float]:
    """Everything that was counted so far: our figures, and how often the conventional metrics were recorded."""
    counts: dict[str, float] = {
        "cost": recorded.total("huddle.client.cost.usd"),
        "errors": recorded.total("huddle.telemetry.errors"),
        **{kind: recorded.total("huddle.client.tokens", type=kind) for kind in ("input", "output")},
    }
    data = recorded.reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            owner = "ours" if scope.scope.name == contract.SCOPE else "theirs"
            for metric in scope.metrics:
                if metric.name in CONVENTIONAL:
                    key = f"{owner} {metric.name}"
                    points: Any = metric.data.data_points
                    counts[key] = counts.get(key, 0) + sum(point.count for point in points)
    return counts


# --- from outside -----------------------------------------------------------------------------------------------------


def watch(name: str, order: str) -> list[Seen]:
    """`observe` in a new process."""
    command = [sys.executable, "-m", "tests.frameworks.beside", name, order]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    return [Seen(**{**row, "theirs": [Theirs(**each) for each in row["theirs"]]}) for row in rows]


def table() -> list[str]:
    """The rows of the table."""
    lines = ["| instrumentation | set up | call | its spans | tokens on | both record |", "|---|---|---|---|---|---|"]
    for name in INSTRUMENTATIONS:
        for order in ORDERS:
            for seen in watch(name, order):
                spans = [f"{each.place}, ends {each.ends}" for each in seen.theirs]
                counts = [place for place, where in _where(seen) if any(key in where for key in INPUT)]
                both = [metric for metric in CONVENTIONAL if {f"ours {metric}", f"theirs {metric}"} <= {*seen.metrics}]
                cells = (name, order, seen.way, "; ".join(spans) or "none", ", ".join(counts), ", ".join(both) or "-")
                lines.append(f"| {' | '.join(cells)} |")
    return lines


def _where(seen: Seen) -> list[tuple[str, dict[str, Any]]]:
    return [*(("ours", each) for each in seen.ours), *((f"its {each.place}", each.usage) for each in seen.theirs)]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.stdout.write("\n" + json.dumps([asdict(seen) for seen in observe(*sys.argv[1:3])]) + "\n")
    else:
        sys.stdout.write("\n".join(table()) + "\n")
