"""Everything that can happen to a call, as data. Policies produce these; one recorder turns them into telemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Outcome(StrEnum):
    """How a call ended, for `huddle.outcome`."""

    OK = "ok"
    ERROR = "error"
    REJECTED = "rejected"
    """Refused by a policy of ours before it was sent."""
    CANCELLED = "cancelled"
    """The app cancelled the task, or interrupted the thread, that made the call."""
    ABANDONED = "abandoned"
    """The app closed or dropped a stream before its end."""
    TRUNCATED = "truncated"
    """The stream ended tidily but without `finish_reason` and without `[DONE]`."""
    BLOCKED = "blocked"
    """Refused by a spend limit."""


class RetryClass(StrEnum):
    """What a failure means for trying again. LLM calls cost money, so ambiguity is a class of its own."""

    NEVER_REACHED = "A"
    """Nothing was sent: DNS, connect refused, connect timeout."""
    REFUSED = "B"
    """Refused before any work: a rate limit, an overload that says so."""
    AMBIGUOUS = "C"
    """May have been worked on, and billed: read timeout, disconnect, most 5xx."""
    COMMITTED = "D"
    """The app already has content."""
    DETERMINISTIC = "E"
    """The same request would fail the same way: bad request, bad key, quota, budget, too long a context."""


class Fault(StrEnum):
    """Where an attempt broke, before any judgement of it."""

    CONNECT = "connect"
    """No connection: DNS, refused, TLS, connect timeout, no free place in the local pool."""
    TIMEOUT = "timeout"
    """A read or write took too long on a connection that stood."""
    DEADLINE = "deadline"
    """The call's total time is used up."""
    DISCONNECT = "disconnect"
    """The connection broke after the request was sent."""
    STATUS = "status"
    """The gateway answered with an error status."""
    STREAM_ERROR = "error_event"
    """An error frame inside a stream that began with 200."""
    TRUNCATED = "truncated"
    """The stream ended without `finish_reason` and without `[DONE]`."""
    MALFORMED = "malformed"
    """A 200 whose body, or a stream one of whose chunks, is not JSON."""
    REJECTED = "rejected"
    """Refused by a policy of ours; nothing was sent."""
    APP = "app"
    """Raised on the app's side of the line: a hook, a validator, an unusable argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt, as the policies see it."""

    fault: Fault
    error_type: str
    """Low-cardinality name for `error.type`: the status as text, or a name from the documented list."""
    message: str = ""
    """What the upstream said, redacted and bounded."""
    status: int | None = None
    """HTTP status."""
    kind: str | None = None
    """The body's `error.type`, as the gateway wrote it."""
    hint: float | None = None
    """How long the upstream asks to wait, s from its answer."""
    should_retry: bool | None = None
    """`x-should-retry`, which overrides our own judgement of the status."""
    delivered: bool = False
    """Content had reached the app."""
    answered: bool = False
    """The upstream answered in full; what failed is our side's reading of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed:
    """An attempt failed; `delay` tells what follows."""

    number: int
    """1 for the first."""
    failure: Failure
    retry_class: RetryClass
    delay: float | None
    """Seconds until the next attempt; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The call is over. Exactly one per call."""

    outcome: Outcome
    attempts: int
    """Sends made."""
    failure: Failure | None
    """What the app is told; None when it got what it asked for."""
    waited: float
    """Seconds spent waiting between attempts."""
    causes: tuple[str, ...]
    """`error_type` of each attempt that was retried."""
    fell_back_from: str = ""
    """The model first asked, when another answered in its place; else empty."""
    circuit: str = ""
    """State of the circuit when it last let an attempt through, or refused one; empty without a breaker."""
    last_result: str
    """Result of the last attempt where no `AttemptFailed` told it (`ok`, `abandoned`, …); empty where one did."""
    double_billing: bool
    """An ambiguous failure was retried: two answers may be billed."""
    may_be_billed: bool = False
    """An attempt that brought no answer may have been worked on: broken off, late, or interrupted on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack:
    """The call goes on with another model."""

    before: str
    after: str
    why: str
    """`error_type` of what ended the attempts with the model before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged:
    """A circuit changed its state."""

    circuit: str
    """`host/model/operation`."""
    before: str
    after: str


Event = AttemptFailed | FellBack | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call as the policies and the recorder see it: no prompt, no key."""

    operation: str
    """`gen_ai.operation.name`, or the endpoint's own low-cardinality name."""
    model: str
    """The requested model; empty when the endpoint has none."""
    host: str
    """Host name the call goes to."""
    port: int | None
    """Port, None when it is the scheme's own."""
    provider: str
    """`gen_ai.provider.name`."""
    stream: bool
    body: dict[str, Any]
    """The request's own JSON fields, by reference and read-only; empty when the body is not JSON."""
    path: str
    """Path below the base URL, `/chat/completions`."""


AT_LIMIT: Final = ("length", "max_output_tokens")
"""Finish reasons of an answer cut off at a limit on its tokens: of chat and text completions, and of responses."""
FILTERED: Final = "content_filter"
"""The one of an answer that a filter stopped; the API has the same word everywhere."""


def finish_reason(reasons: Sequence[str]) -> str | None:
    """Return the finish reason that stands for all choices of an answer: the first that was cut off, else the first."""
    cut = (reason for reason in reasons if reason in AT_LIMIT or reason == FILTERED)
    return next(cut, reasons[0] if reasons else None)


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """One ended call as a ledger keeps it: what it was, what it used and cost. No prompt, no answer, no key.

    Money is in nano-dollars; None is unknown, never free. Not frozen, which would double what making one takes.
    """

    started: float
    """Unix time, s."""
    duration: float
    """Seconds, retries and the waits between them included."""
    first_chunk: float | None
    """Seconds from the start to the first content of a stream."""
    operation: str
    model: str
    """The model asked for; empty when the endpoint has none."""
    response_model: str | None
    provider: str
    host: str
    stream: bool
    outcome: str
    error_type: str | None
    status: int | None
    """HTTP status of what the app was told; None for a call that was answered."""
    finish_reason: str | None
    """Why the answer ended, in the upstream's word; of several choices see `finish_reason()`."""
    attempts: int
    waited: float
    """Seconds between attempts."""
    double_billing: bool
    """An ambiguous failure was retried: two answers may be billed."""
    answered: bool
    """Some of an answer came, or an upstream may have worked on one: its cost is a question, also where unknown."""
    fell_back_from: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    input_image_tokens: int | None
    output_audio_tokens: int | None
    output_image_tokens: int | None
    cost: int | None
    cost_source: str
    """`gateway`, `override`, `catalogue`, `genai-prices` or `unknown`."""
    cost_input: int | None
    cost_output: int | None
    cost_cache_read: int | None
    cost_cache_write: int | None
    cost_estimate: int | None
    """What the price table says, also where the gateway reported."""
    request_id: str | None
    response_id: str | None
    trace_id: int
    """0 without a trace."""
    span_id: int
    tags: Mapping[str, str | int | float | bool]
