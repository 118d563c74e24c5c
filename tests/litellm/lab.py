"""One call through the real gateway, in the words the tables use: what the app saw, the span, the upstream's calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import openai

from huddle_otel import RetryPolicy, TimeoutPolicy, instrument, uninstrument
from huddle_otel.gateway import Rule
from huddle_otel.telemetry.contract import SCOPE

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from huddle_otel.gateway import Call, Gateway
    from tests.litellm.proxy import Proxy

MESSAGES: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "hello there, friend"}]
QUICK: Final = RetryPolicy(base=0.01, cap=0.05)
_SETTLED: Final = 3.0
"""Seconds for the gateway to notice that its client has left and to hang up on the upstream; it needs milliseconds."""


@dataclass(slots=True)
class Seen:
    """What became of one call."""

    span: ReadableSpan
    calls: list[Call]
    """Of the upstream."""
    error: Exception | None = None
    answer: ChatCompletion | None = None
    chunks: list[ChatCompletionChunk] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Of a plain answer, or of an error that has a response; names in lower case."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the span."""
        return dict(self.span.attributes or {})

    @property
    def classes(self) -> str:
        """Retry class of each failed attempt, in order."""
        events = [event for event in self.span.events if event.name == "huddle.attempt"]
        return "".join(str((event.attributes or {})["huddle.attempt.class"]) for event in events)

    @property
    def content(self) -> int:
        """Content chunks, or words, that reached the app."""
        if self.answer is not None:
            return len((self.answer.choices[0].message.content or "").split())
        return sum(bool(choice.delta.content) for chunk in self.chunks for choice in chunk.choices)

    @property
    def finish(self) -> str | None:
        """The last `finish_reason` that reached the app."""
        if self.answer is not None:
            return self.answer.choices[0].finish_reason
        reasons = [choice.finish_reason for chunk in self.chunks for choice in chunk.choices]
        return next((reason for reason in reversed(reasons) if reason), None)


class Lab:
    """The instrumented client of one kind (`sync` or `async`), the gateway, and the upstream behind it."""

    def __init__(
        self, driver: str, proxy: Proxy, upstream: Gateway, tracer_provider: TracerProvider, spans: InMemorySpanExporter
    ) -> None:
        self.driver = driver
        self.proxy = proxy
        self.upstream = upstream
        self._tracer_provider = tracer_provider
        self._spans = spans

    def script(self, *rules: Rule) -> None:
        """Say how the upstream answers from now on, and forget its calls."""
        self.upstream.script(rules)
        self.upstream.reset()

    def ask(
        self,
        model: str,
        *,
        stream: bool = False,
        key: str = "good",
        timeout: TimeoutPolicy | None = None,
        retry: RetryPolicy | None = QUICK,
        settled: bool = True,
        **arguments: Any,
    ) -> Seen:
        """Make one call, read it to its end, and wait until the upstream is done with it (not if `settled` is off)."""
        assert self.proxy.died() is None, self.proxy.output()
        self._spans.clear()
        before = len(self._of(model))
        instrument(
            base_url=self.proxy.url,
            api_key=self.proxy.key(key),
            tracer_provider=self._tracer_provider,
            timeout=timeout or TimeoutPolicy(),
            retry=retry,
        )
        arguments = {"model": model, "messages": MESSAGES, **arguments}
        outcome: dict[str, Any] = {"chunks": []}
        try:
            if self.driver == "sync":
                _call(outcome, arguments, stream=stream)
            else:
                asyncio.run(_acall(outcome, arguments, stream=stream))
        except Exception as error:  # noqa: BLE001 -- the tables say which one it should be
            outcome["error"] = error
            response = getattr(error, "response", None)
            outcome["headers"] = {} if response is None else dict(response.headers)
        finally:
            uninstrument()
        if settled:
            assert self.upstream.wait_for(lambda: all(map(_over, self._of(model)[before:])), _SETTLED)
        finished = self._spans.get_finished_spans()
        (span,) = [each for each in finished if each.instrumentation_scope and each.instrumentation_scope.name == SCOPE]
        return Seen(span=span, calls=self._of(model)[before:], **outcome)

    def _of(self, model: str) -> list[Call]:
        return [call for call in self.upstream.calls if call.model == model]


def _over(call: Call) -> bool:
    return call.finished or call.disconnected


def _call(outcome: dict[str, Any], arguments: dict[str, Any], *, stream: bool) -> None:
    with openai.OpenAI() as client:
        if stream:
            for chunk in client.chat.completions.create(stream=True, **arguments):
                outcome["chunks"].append(chunk)
        else:
            raw = client.chat.completions.with_raw_response.create(**arguments)
            outcome["answer"], outcome["headers"] = raw.parse(), dict(raw.headers)


async def _acall(outcome: dict[str, Any], arguments: dict[str, Any], *, stream: bool) -> None:
    async with openai.AsyncOpenAI() as client:
        if stream:
            async for chunk in await client.chat.completions.create(stream=True, **arguments):
                outcome["chunks"].append(chunk)
        else:
            raw = await client.chat.completions.with_raw_response.create(**arguments)
            outcome["answer"], outcome["headers"] = raw.parse(), dict(raw.headers)
