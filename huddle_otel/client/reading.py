"""Reads answers: the facts in a parsed object, a chunk, a raw body or the headers. Bad input gives fewer facts."""

from __future__ import annotations

import json
from typing import Any, Final

from huddle_otel.client.clock import clock
from huddle_otel.spend import cost_header, parts_of, spend_of, usage_of
from huddle_otel.spend.prices import PriceTable
from huddle_otel.telemetry.answer import Answer

_CONTENT_FIELDS: Final = (
    "content",
    "tool_calls",
    "function_call",
    "refusal",
    "audio",
    "reasoning_content",
    "reasoning",
)
_MAX_RAW: Final = 32 * 2**20
"""Raw bodies above this are not parsed a second time for their usage, bytes."""


def headers_of(response: Any) -> dict[str, str]:
    """Return the response headers that start with `x-`, by lower-case name.

    Read off the raw list: a look-up in the client's header class costs more than this whole loop.
    """
    found: dict[str, str] = {}
    for name, value in response.headers.raw:
        if name[:2] in {b"x-", b"X-"}:
            found[name.decode("latin-1").lower()] = value.decode("latin-1")
    return found


def read_object(answer: Answer, value: Any) -> None:
    """Take the facts of a complete answer: a parsed model, or the mapping it was parsed from."""
    fields = value if isinstance(value, dict) else getattr(value, "__dict__", None)
    if not isinstance(fields, dict):
        return
    _read_identity(answer, fields)
    choices = fields.get("choices")
    if isinstance(choices, list):
        answer.finish_reasons = tuple(
            reason for each in choices if isinstance(reason := _get(each, "finish_reason"), str)
        )
    if fields.get("usage") is not None:
        answer.usage = usage_of(fields["usage"])


def read_raw(answer: Answer, response: Any) -> None:
    """Take the facts of a JSON body that was read whole but handed out unparsed."""
    if "json" not in response.headers.get("content-type", "") or len(response.content) > _MAX_RAW:
        return
    try:
        read_object(answer, json.loads(response.content))
    except ValueError:
        return


def _read_identity(answer: Answer, fields: dict[str, Any]) -> None:
    for name, field in (
        ("id", "id"),
        ("model", "model"),
        ("service_tier", "service_tier"),
        ("fingerprint", "system_fingerprint"),
    ):
        value = fields.get(field)
        if isinstance(value, str) and value:
            setattr(answer, name, value)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def price(answer: Answer, *, requested: str, stream: bool, table: PriceTable) -> None:
    """Decide what the answer cost. A stream's cost headers are not believed: they are absent, zero or wrong."""
    reported = parts = None
    if not stream and answer.answered and "x-litellm-response-cost" in answer.headers:  # errors say 0, meaning nothing
        reported = cost_header(answer.headers["x-litellm-response-cost"])
        parts = parts_of(answer.headers)
    if answer.usage is None and reported is None:
        return
    answer.spend = spend_of(
        answer.usage, models=(requested, answer.model), reported=reported, table=table, reported_parts=parts
    )


class StreamFold:
    """Folds the chunks of one stream into an answer. About a microsecond per chunk."""

    __slots__ = ("_answer", "_first", "_judged", "_reasons", "_started", "chunks", "done", "hide_usage", "last")

    def __init__(self, answer: Answer, *, started: float, hide_usage: bool, judged: bool) -> None:
        """Fold into `answer`.

        Args:
            answer: Takes the facts.
            started: When the call began, by `clock()`.
            hide_usage: Hide the chunk that only tells usage: it is we who asked for it.
            judged: This kind of stream says when it is complete.
        """
        self._judged = judged
        self._answer = answer
        self._started = started
        self._first = 0.0
        self.last = 0.0
        """When the last chunk with content came."""
        self._reasons: dict[int, str] = {}
        self.hide_usage = hide_usage
        self.chunks = 0
        """Chunks with content so far."""
        self.done = False
        """The upstream said `[DONE]`, or gave an event that ends its kind of stream."""

    @property
    def complete(self) -> bool:
        """The stream said that it was over, one way or the other."""
        return self.done or bool(self._reasons) or not self._judged

    def see(self, chunk: Any) -> bool:
        """Take a chunk in; tell whether the app gets to see it."""
        fields = getattr(chunk, "__dict__", None)
        if fields is None:
            return True
        if self._answer.id is None:
            _read_identity(self._answer, fields)
        choices = fields.get("choices")
        usage = fields.get("usage")
        content = False
        if choices:
            for choice in choices:
                content |= self._see_choice(choice.__dict__)
        elif choices is None:
            content = self._see_event(fields)
        if content:
            self.last = clock()
            if not self.chunks:
                self._first = self.last
            self.chunks += 1
        if usage is None:
            return True
        self._answer.usage = usage_of(usage) or self._answer.usage
        return not (self.hide_usage and not content and not any(_get(each, "finish_reason") for each in choices or ()))

    def _see_choice(self, choice: dict[str, Any]) -> bool:
        reason = choice.get("finish_reason")
        if reason is not None:
            self._reasons[choice.get("index", 0)] = str(reason)
        if choice.get("text"):  # legacy completions
            return True
        delta = choice.get("delta")
        fields = getattr(delta, "__dict__", None)
        if not fields:
            return False
        if fields.get("content"):
            return True
        extra = getattr(delta, "__pydantic_extra__", None) or {}
        return any(fields.get(name) or extra.get(name) for name in _CONTENT_FIELDS)

    def _see_event(self, fields: dict[str, Any]) -> bool:
        """Take an event of a stream without choices: the Responses API, and whatever has `type` and `delta`."""
        kind = fields.get("type")
        if not isinstance(kind, str):
            return True
        if kind in {"response.completed", "response.failed", "response.incomplete"}:
            self.done = True
            read_object(self._answer, fields.get("response"))
            self._reasons[0] = kind.rpartition(".")[2]
        return kind.endswith(".delta")

    def whole(self, document: Any) -> None:
        """Take in an answer that turned out to be one JSON document."""
        read_object(self._answer, document)

    def settle(self) -> None:
        """Write what only the end tells into the answer."""
        answer = self._answer
        if self._reasons:
            answer.finish_reasons = tuple(self._reasons[index] for index in sorted(self._reasons))
        if self.chunks:
            answer.first_chunk = self._first - self._started
            if self.chunks > 1:
                answer.per_chunk = (self.last - self._first) / (self.chunks - 1)
