"""Reads answers: the facts in a parsed object, a chunk, a raw body or the headers. Bad input gives fewer facts."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from huddle_otel.client.clock import clock
from huddle_otel.client.failures import redact
from huddle_otel.events import Failure, Fault, Request
from huddle_otel.spend import cost_header, parts_of, spend_of, usage_of
from huddle_otel.spend.prices import PriceTable
from huddle_otel.spend.usage import fields_of
from huddle_otel.telemetry.answer import Answer
from huddle_otel.text import sound

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
_ANSWERS: Final = ("chat.", "text_completion", "response", "list")
"""How the `object` of a model's answer begins; files, batches and the like have ids and models, too."""
_UNFINISHED: Final = frozenset({"queued", "in_progress"})
"""What a background response says of itself until its usage is known."""
_STATUS_OF: Final = {
    "server_error": "500",
    "rate_limit_exceeded": "429",
    "vector_store_timeout": "504",
    "invalid_prompt": "400",
}
"""Why a response failed -> the status it would have been, had it been known in time; it decides as in error frames."""


def headers_of(response: Any) -> dict[str, str]:
    """Return the response headers that start with `x-`, by lower-case name.

    Read off the raw list: a look-up in the client's header class costs more than this whole loop.
    """
    found: dict[str, str] = {}
    for name, value in response.headers.raw:
        if name[:2] in {b"x-", b"X-"}:
            found[name.decode("latin-1").lower()] = value.decode("latin-1")
    return found


def read_object(answer: Answer, value: Any) -> Failure | None:
    """Take the facts of a complete answer: a parsed model, or the mapping it was parsed from.

    Returns:
        What went wrong, when the answer itself says that it failed: a 200 can hold a failed response.
    """
    if hasattr(type(value), "http_version"):  # the app asked for the HTTP response itself
        return read_raw(answer, value)
    fields = fields_of(value)
    kind = fields.get("object")
    if kind is None or str(kind).startswith(_ANSWERS):
        _read_identity(answer, fields)
    choices = fields.get("choices")
    if isinstance(choices, list):
        answer.finish_reasons = tuple(
            reason for each in choices if isinstance(reason := _get(each, "finish_reason"), str)
        )
    status = fields.get("status") if kind == "response" else None
    if status in _UNFINISHED:
        return None
    if isinstance(status, str):
        answer.finish_reasons = (_reason(fields, status),)
    if fields.get("usage") is not None:
        answer.usage = usage_of(fields["usage"])
    return _told(fields.get("error")) if status == "failed" else None


def _reason(response: Mapping[Any, Any], status: str) -> str:
    """Return why a response ended: its status, or what made it incomplete."""
    why = fields_of(response.get("incomplete_details")).get("reason") if status == "incomplete" else None
    return why if isinstance(why, str) else status


def _told(error: Any, name: str = "response_failed") -> Failure:
    """Return the failure that an answer tells of, which the client hands to the app without raising."""
    fields = fields_of(error)
    code, message = _text(fields.get("code")), _text(fields.get("message"))
    status = _STATUS_OF.get(code)
    if status is None:  # a failed response's other codes are about what was put in
        kind = "400" if code and name == "response_failed" else code or None
    else:
        kind, name = status, code
    said = redact(": ".join(filter(None, (code, message))))
    return Failure(fault=Fault.STREAM_ERROR, error_type=name, message=said or name, kind=kind, delivered=True)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def read_raw(answer: Answer, response: Any) -> Failure | None:
    """Take the facts of a JSON body that was read whole but handed out unparsed; returns as `read_object`."""
    if "json" not in response.headers.get("content-type", "") or len(response.content) > _MAX_RAW:
        return None
    try:
        return read_object(answer, json.loads(response.content))
    except ValueError:
        return None


def _read_identity(answer: Answer, fields: Mapping[Any, Any]) -> None:
    for name, field in (
        ("id", "id"),
        ("model", "model"),
        ("service_tier", "service_tier"),
        ("fingerprint", "system_fingerprint"),
    ):
        value = fields.get(field)
        if isinstance(value, str) and value:
            setattr(answer, name, sound(value))


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _tells(choice: Any) -> bool:
    """Tell whether a choice without content says anything else: who speaks, or why it ends."""
    return bool(_get(choice, "finish_reason") or _get(_get(choice, "delta"), "role"))


class Responses:
    """Responses of this process whose usage did not come with the call that made them. Thread-safe, bounded."""

    MOST = 4096
    """Ids kept; the oldest are forgotten, and the usage of those is not counted."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, bool]] = {}  # id -> model, and whether it has been counted

    def add(self, response_id: str, model: str) -> None:
        """Keep a response that was made here."""
        with self._lock:
            self._known[response_id] = (model, False)
            while len(self._known) > self.MOST:
                del self._known[next(iter(self._known))]

    def model(self, path: str) -> str:
        """Return the model of the response a path leads to, if it was made here and its usage is, or was, to come."""
        return self._known.get(_response_id(path), ("", True))[0] if path.startswith(_RESPONSES) else ""

    def count(self, path: str) -> bool:
        """Tell whether the usage of the response a path leads to is to be counted: made here, and for the first time.

        The path has the id the app was given; the answer's own may be written differently by a gateway.
        """
        response_id = _response_id(path) if path.startswith(_RESPONSES) else ""
        with self._lock:
            model, counted = self._known.get(response_id, ("", True))
            if not counted:
                self._known[response_id] = (model, True)
        return not counted


_RESPONSES: Final = "/responses/"
responses: Final = Responses()


def _response_id(path: str) -> str:
    return unquote(path[len(_RESPONSES) :].partition("/")[0])


def account(answer: Answer, request: Request, table: PriceTable, *, when: float) -> None:
    """Decide what of an answer this call used, and what that cost.

    What is used is counted once, at the call that had the work done: a POST to an endpoint that is not addressed by an
    id. Whatever else tells of usage (a stored completion, a batch, a run) tells of another call's. One exception: a
    response made here whose making did not tell its usage, which is background mode, is counted by the first later
    call that sees it complete. A response made elsewhere is shown without usage, as it was counted there.

    Args:
        answer: Takes the spend.
        request: What was asked.
        table: The prices in force.
        when: When the call began, Unix time, s.
    """
    if does_work(request):
        if request.path == "/responses" and answer.usage is None and answer.id is not None:
            responses.add(answer.id, request.model)
            if not (request.stream or answer.finish_reasons):
                answer.answered = False  # the answer is still to come, and so is its cost
                return
        price(answer, request, headers=not request.stream, table=table, when=when)
    elif answer.usage is not None and responses.count(request.path):
        # a header would tell the cost of looking
        price(answer, request, headers=False, table=table, when=when)
    else:
        answer.usage, answer.answered = None, False


def does_work(request: Request) -> bool:
    """Tell whether a call has work done, instead of looking at or managing what there is."""
    *names, verb = request.operation.split(".")
    return not names or (verb == "create" and names == request.path[1:].split("/"))


def _is_text(operation: str) -> bool:
    """Tell whether an endpoint's tokens are text where usage does not say otherwise."""
    return operation in {"chat", "text_completion", "embeddings"} or operation.startswith("responses.")


def price(answer: Answer, request: Request, *, headers: bool, table: PriceTable, when: float) -> None:
    """Find what the answer cost. A stream's cost headers are not believed: they are absent, zero or wrong."""
    reported = parts = None
    if headers and answer.answered and "x-litellm-response-cost" in answer.headers:  # errors say 0, meaning nothing
        reported = cost_header(answer.headers["x-litellm-response-cost"])
        parts = parts_of(answer.headers)
    if answer.usage is None and reported is None:
        return
    answer.spend = spend_of(
        answer.usage,
        models=(request.model, answer.model),
        reported=reported,
        table=table,
        when=when,
        text=_is_text(request.operation),
        reported_parts=parts,
    )


_LAST: Final = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})


class StreamFold:
    """Folds the chunks of one stream into an answer. About a microsecond per chunk."""

    __slots__ = (
        "_answer",
        "_first",
        "_judged",
        "_reasons",
        "_started",
        "chunks",
        "done",
        "failure",
        "hide_usage",
        "last",
    )

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
        self.failure: Failure | None = None
        """What the upstream said went wrong, in an event that the client hands on like any other."""

    @property
    def complete(self) -> bool:
        """The stream said that it was over, one way or the other."""
        return self.done or bool(self._reasons) or not self._judged

    def see(self, chunk: Any) -> bool:
        """Take a chunk in; tell whether the app gets to see it."""
        fields = getattr(chunk, "__dict__", None)
        if fields is None:
            return True
        choices = fields.get("choices")
        usage = fields.get("usage")
        content = False
        if choices is None:
            content = self._see_event(fields)
        else:
            if self._answer.id is None:
                _read_identity(self._answer, fields)
            for choice in choices:
                content |= self._see_choice(choice.__dict__)
        if content:
            self.last = clock()
            if not self.chunks:
                self._first = self.last
            self.chunks += 1
        if usage is None:
            return True
        # some upstreams tell on every chunk what was used so far: the last word counts, also of a stream cut short
        self._answer.usage = usage_of(usage) or self._answer.usage
        return not (self.hide_usage and not content and not any(map(_tells, choices or ())))

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
        """Take an event of a stream without choices: of the Responses API, of images, of sound, or of an unknown kind.

        What tells only of the state of things is no content; of unknown kinds all is, so that none is held back.
        """
        kind = fields.get("type")
        if not isinstance(kind, str):
            return True
        if kind in _LAST:
            self.done = True
            told = read_object(self._answer, fields.get("response"))
            self.failure = told or (_told(None) if kind == "response.failed" else None)
            self._reasons[0] = (*self._answer.finish_reasons, kind.rpartition(".")[2])[0]
        elif kind == "response.created":  # a stream that is left or broken has no later word of its id
            _read_identity(self._answer, fields_of(fields.get("response")))
        elif kind == "error":
            self.done = True
            self.failure, self._reasons[0] = _told(fields, "stream_error"), "error"
        if kind.startswith("response.") or kind == "error":
            return kind.endswith((".delta", ".partial_image"))
        self.done = self.done or kind.endswith((".done", ".completed"))
        return not kind.endswith(".done")

    def whole(self, document: Any) -> None:
        """Take in an answer that turned out to be one JSON document."""
        self.failure = read_object(self._answer, document)

    def settle(self) -> None:
        """Write what only the end tells into the answer."""
        answer = self._answer
        if self._reasons:
            answer.finish_reasons = tuple(self._reasons[index] for index in sorted(self._reasons))
        if self.chunks:
            answer.first_chunk = self._first - self._started
            if self.chunks > 1:
                answer.per_chunk = (self.last - self._first) / (self.chunks - 1)
