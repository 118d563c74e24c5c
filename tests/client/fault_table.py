"""Every fault of the embedded gateway, and how a call ends that meets it: as data, for plain calls and for streams.

A row's fault meets every attempt, unless it names the calls it is for. What follows from an `End` is not said twice:
how often was sent, what the circuit counted, and whether two answers may be billed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import openai

from huddle_otel import (
    DeadlineExceeded,
    FirstTokenTimeout,
    MalformedResponseError,
    StallTimeout,
    StreamTruncatedError,
    TimeoutPolicy,
)
from huddle_otel.gateway import faults
from tests.client.support import SDK, TEXT

if TYPE_CHECKING:
    from collections.abc import Container

    from huddle_otel.gateway.kinds import Fault

WORDS: Final = tuple(TEXT.split())
"""A complete answer: each word is one content chunk."""

# --- clocks: in each, only the one that is to run out is short, so that a slow machine changes nothing ----------------

CALM: Final = TimeoutPolicy(connect=20, first_token=20, stall=20, total=20)
CONNECT: Final = TimeoutPolicy(connect=0.05, first_token=20, stall=20, total=20)
FIRST: Final = TimeoutPolicy(connect=20, first_token=0.1, stall=20, total=20)
STALL: Final = TimeoutPolicy(connect=20, first_token=20, stall=0.15, total=20)
TOTAL: Final = TimeoutPolicy(connect=0.15, first_token=0.15, stall=0.15, total=0.15)
LATE: Final = TimeoutPolicy(connect=1, first_token=1, stall=1, total=1)
"""For what is to arrive before the total time is used up."""
HURRIED: Final = (CONNECT, FIRST, TOTAL)
"""With these a busy machine may give an attempt up before the upstream has seen it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What the app, the span and the circuit see. The defaults are those of a good answer at once."""

    error: tuple[type[Exception], ...] = ()
    """The very class the app catches, or the few it can be; none: nothing is raised."""
    kind: str | None = None
    """`error.type`; an error status as text."""
    classes: str = ""
    """Retry class of each failed attempt."""
    verdict: str = "failure"
    """What a failed attempt counts as."""
    outcome: str = "ok"
    words: int = len(WORDS)
    """Words that reach the app."""
    clocks: TimeoutPolicy = CALM

    @property
    def sent(self) -> int:
        """Attempts made."""
        return len(self.classes) + (self.outcome == "ok")

    @property
    def counts(self) -> dict[str, int]:
        """What the circuit has counted."""
        counts = {"ok": int(self.outcome == "ok"), "failure": 0, "ignored": 0}
        counts[self.verdict] += len(self.classes)
        return counts

    @property
    def billed_twice(self) -> bool:
        """Whether an attempt that may have been billed was followed by another."""
        return "C" in self.classes[: self.sent - 1]

    @property
    def retried(self) -> bool:
        """Whether the fault is followed by another attempt."""
        return len(self.classes) > 1 and self.clocks is CALM

    @property
    def status(self) -> int | None:
        """The error status, if there was one."""
        return int(self.kind) if self.kind is not None and self.kind.isdecimal() else None


GOOD: Final = End()


def fails(error: type[Exception] | tuple[type[Exception], ...], kind: str, classes: str, **more: Any) -> End:
    """The app catches an exception; by default nothing has reached it before."""
    errors = error if isinstance(error, tuple) else (error,)
    return End(**{"error": errors, "kind": kind, "classes": classes, "outcome": "error", "words": 0, **more})


_STATUS: Final[dict[int, type[Exception]]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    408: openai.APIStatusError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
_TROUBLE: Final = (408, 500, 502, 503, 504, 529)


def answers(code: int, classes: str, verdict: str | None = None) -> End:
    """The app catches an error status."""
    verdict = verdict or ("failure" if code in _TROUBLE else "ignored")
    return fails(_STATUS.get(code, openai.InternalServerError), str(code), classes, verdict=verdict)


HTTP: Final = import_module("httpx2" if SDK >= 3 else "httpx")
# openai 1.x and 2.x pass on, bare, what breaks while a stream is read
READING: Final[tuple[type[Exception], ...]] = (
    (openai.APIConnectionError,) if SDK >= 3 else (HTTP.ReadError, HTTP.RemoteProtocolError)
)
LOST: Final = fails(openai.APIConnectionError, "disconnect", "CC")
LOST_EARLY: Final = fails(READING, "disconnect", "CC")
LOST_LATE: Final = fails(READING, "disconnect", "D", words=2)
CUT_EARLY: Final = fails(StreamTruncatedError, "stream_truncated", "CC")
CUT_LATE: Final = fails(StreamTruncatedError, "stream_truncated", "D", words=2, outcome="truncated")
NOT_JSON: Final = fails(MalformedResponseError, "malformed_response", "CC")
TOLD_EARLY: Final = fails(openai.APIError, "stream_error", "CC")
TOLD_LATE: Final = fails(openai.APIError, "stream_error", "D", words=2)
NO_CONTENT: Final = fails(FirstTokenTimeout, "first_token_timeout", "CC", clocks=FIRST)
NO_MORE: Final = fails(StallTimeout, "stall_timeout", "D", words=2, clocks=STALL)
# the total time is used up: nothing is left to try again in
TOO_LATE: Final = fails(DeadlineExceeded, "deadline_exceeded", "E", clocks=TOTAL)
TOO_LONG: Final = fails(DeadlineExceeded, "deadline_exceeded", "D", words=2, clocks=LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault and what becomes of a call."""

    name: str
    fault: Fault
    plain: End | None = None
    """None: the fault needs a stream."""
    stream: End | None = None
    """None: a stream has nothing of its own to say."""
    calls: Container[int] | None = None
    """Upstream calls that get the fault; None: all. The others are answered well."""
    hops: int = 0
    """Upstream calls that are not attempts: redirects followed."""
    api: str = "chat"
    """Which API is asked: `chat` or `responses`."""

    @property
    def maker(self) -> str:
        """Name of the function in `faults` that makes the fault."""
        return re.sub(r"_\d+$", "", self.fault.name)


def both(name: str, fault: Fault, end: End, **more: Any) -> Row:
    """A row that is the same for plain calls and for streams: answered, or not, before the first byte of a body."""
    return Row(name=name, fault=fault, plain=end, stream=end, **more)


LONG: Final = 60.0
"""Longer than any clock of a row, s."""
_SHOULD: Final = "x-should-retry"

ROWS: Final = (
    # --- another answer -------------------------------------------------------------------------------------------
    both("400", faults.status(400), answers(400, "E")),
    both("401", faults.status(401), answers(401, "E")),
    both("403", faults.status(403), answers(403, "E")),
    both("404", faults.status(404), answers(404, "E")),
    both("408", faults.status(408), answers(408, "CC")),
    both("409", faults.status(409), answers(409, "CC")),
    both("413", faults.status(413), fails(openai.APIStatusError, "413", "E", verdict="ignored")),
    both("422", faults.status(422), answers(422, "E")),
    both("429", faults.status(429), answers(429, "BBB")),
    both("500", faults.status(500), answers(500, "CC")),
    both("502", faults.status(502), answers(502, "CC")),
    both("503", faults.status(503), answers(503, "CC")),
    both("504", faults.status(504), answers(504, "CC")),
    both("529", faults.status(529), answers(529, "BBB")),
    # a hint makes a refusal of it, and one beyond the deadline ends it at once
    both("503-hint", faults.status(503, retry_after=0.01), answers(503, "BBB")),
    both("503-long-hint", faults.status(503, retry_after=LONG), answers(503, "B")),
    both("503-never", faults.status(503, headers={_SHOULD: "false"}), answers(503, "E")),
    both("400-again", faults.status(400, headers={_SHOULD: "true"}), answers(400, "CC")),
    both("html", faults.bad_gateway(), answers(502, "CC")),
    both("overloaded", faults.overloaded(), answers(529, "BBB")),
    both("rate", faults.rate_limited(), answers(429, "BBB")),
    both("rate-hint", faults.rate_limited(0.01), answers(429, "BBB")),
    both("rate-long-hint", faults.rate_limited(LONG), answers(429, "B")),
    both("key-rate", faults.key_rate_limited(0.01), answers(429, "BBB")),
    both("key-rate-long", faults.key_rate_limited(LONG), answers(429, "B")),
    both("cooldown", faults.cooldown(0.01), answers(429, "BBB")),
    both("cooldown-long", faults.cooldown(LONG), answers(429, "B")),
    # older gateways say the seconds only in the message
    both("cooldown-long-said", faults.cooldown(LONG, header=False), answers(429, "B")),
    # money and keys: the same again would fail the same way, whatever the status
    both("quota", faults.insufficient_quota(), answers(429, "E")),
    both("budget", faults.budget_exceeded(), answers(422, "E")),
    both("budget-400", faults.budget_exceeded(400), answers(400, "E")),
    both("context", faults.context_window(), answers(400, "E")),
    both("filter", faults.content_policy(), answers(400, "E")),
    both("upstream-key", faults.upstream_key_bad(), answers(401, "E")),
    both("expired", faults.expired_key(), answers(401, "E")),
    both("denied", faults.model_denied(), answers(403, "E")),
    both("denied-401", faults.model_denied(401), answers(401, "E")),
    both("upstream-timeout", faults.upstream_timeout(), answers(408, "CC")),
    # a stream that holds no event at all is one that was cut
    Row(name="not-json", fault=faults.unparsable_body(), plain=NOT_JSON, stream=CUT_EARLY),
    both("redirect", faults.redirect("/v1/chat/completions"), GOOD, calls={0}, hops=1),
    both(
        "redirect-loop",
        faults.redirect("/v1/chat/completions"),
        fails(openai.APIConnectionError, "too_many_redirects", "E", verdict="ignored"),
        hops=20,
    ),
    # --- no answer ------------------------------------------------------------------------------------------------
    Row(name="hang", fault=faults.hang(), plain=TOO_LATE, stream=NO_CONTENT),
    Row(name="hang-total", fault=faults.hang(), stream=TOO_LATE),
    both("reset-first", faults.reset_before_first_byte(), LOST),
    # --- late, and good or too late -------------------------------------------------------------------------------
    both("good", faults.good({"x-extra": "1"}), GOOD),
    both("slow-headers", faults.slow_headers(0.05), GOOD),
    Row(name="late-headers", fault=faults.slow_headers(LONG), plain=TOO_LATE, stream=NO_CONTENT),
    both("slow-content", faults.slow_success(0.05), GOOD),
    both("drip", faults.slow_drip(0.01), GOOD),
    Row(name="late-content", fault=faults.slow_drip(LONG), plain=TOO_LATE, stream=NO_CONTENT),
    both("pings", faults.pings(0.01, 0.05), GOOD),
    Row(name="pings-only", fault=faults.pings(0.02), plain=TOO_LATE, stream=NO_CONTENT),
    Row(name="pings-total", fault=faults.pings(0.02), stream=TOO_LATE),
    # --- broken off before the first content: one more try --------------------------------------------------------
    Row(name="reset-headers", fault=faults.reset_after_headers(), plain=LOST, stream=LOST_EARLY),
    Row(name="reset-role", fault=faults.reset(0), plain=LOST, stream=LOST_EARLY),
    Row(name="cut-role", fault=faults.cut(0), plain=LOST, stream=CUT_EARLY),
    Row(name="cut-role-hard", fault=faults.cut(0, tidy=False), stream=LOST_EARLY),
    Row(name="cut-first-chunk", fault=faults.cut_in_chunk(0), stream=CUT_EARLY),
    Row(name="cut-first-chunk-hard", fault=faults.cut_in_chunk(0, tidy=False), stream=LOST_EARLY),
    Row(name="half-close-role", fault=faults.half_close(0), plain=LOST, stream=LOST_EARLY),
    Row(name="half-body", fault=faults.truncated_body(), plain=LOST, stream=LOST_EARLY),
    Row(name="malformed-first", fault=faults.malformed_chunk(0), stream=NOT_JSON),
    Row(name="error-first", fault=faults.error_frame(0), stream=TOLD_EARLY),
    Row(name="error-only", fault=faults.error_frame(0, role=False), stream=TOLD_EARLY),
    Row(name="failed-chat", fault=faults.failed_response(0), stream=TOLD_EARLY),
    # only the message of the frame tells that the same again would fail the same way
    Row(
        name="quota-frame",
        fault=faults.error_frame(0, message="You exceeded your current quota"),
        stream=fails(openai.APIError, "stream_error", "E", verdict="ignored"),
    ),
    # --- broken off after it: committed ---------------------------------------------------------------------------
    Row(name="reset", fault=faults.reset(2), stream=LOST_LATE),
    Row(name="cut", fault=faults.cut(2), stream=CUT_LATE),
    Row(name="cut-hard", fault=faults.cut(2, tidy=False), stream=LOST_LATE),
    Row(name="cut-chunk", fault=faults.cut_in_chunk(2), stream=CUT_LATE),
    Row(name="cut-chunk-hard", fault=faults.cut_in_chunk(2, tidy=False), stream=LOST_LATE),
    Row(name="half-close", fault=faults.half_close(2), stream=LOST_LATE),
    Row(
        name="malformed",
        fault=faults.malformed_chunk(2),
        stream=fails(MalformedResponseError, "malformed_response", "D", words=2),
    ),
    Row(name="error", fault=faults.error_frame(2), stream=TOLD_LATE),
    Row(name="failed-chat-late", fault=faults.failed_response(2), stream=TOLD_LATE),
    # --- silence before the first content, and after it -----------------------------------------------------------
    Row(name="stall-role", fault=faults.stall(0), plain=TOO_LATE, stream=NO_CONTENT),
    Row(name="role-only", fault=faults.role_only(), stream=NO_CONTENT),
    Row(name="pings-role", fault=faults.ping_forever(0.02), stream=NO_CONTENT),
    Row(name="empty-role", fault=faults.empty_deltas(0.02), stream=NO_CONTENT),
    both("stall-short", faults.stall(2, 0.05), GOOD),
    Row(name="stall", fault=faults.stall(2), stream=NO_MORE),
    Row(name="stall-total", fault=faults.stall(2), stream=TOO_LONG),
    Row(name="pings-later", fault=faults.ping_forever(0.02, 2), stream=NO_MORE),
    Row(name="empty-later", fault=faults.empty_deltas(0.02, 2), stream=NO_MORE),
    # --- ends that say less than they should, and are believed ----------------------------------------------------
    Row(name="fake-finish", fault=faults.fake_finish(2), stream=End(words=2)),
    Row(name="fake-finish-empty", fault=faults.fake_finish(), stream=End(words=0)),
    Row(name="no-done", fault=faults.no_done(), stream=GOOD),
    Row(name="no-finish", fault=faults.no_finish(), stream=GOOD),
    # --- a 200 that says it failed: the client hands it out without raising ---------------------------------------
    Row(
        name="failed",
        fault=faults.failed_response(2),
        plain=End(kind="server_error", classes="D", outcome="error", words=0),
        stream=End(kind="server_error", classes="D", outcome="error", words=2),
        api="responses",
    ),
    Row(
        name="failed-prompt",
        fault=faults.failed_response(2, code="invalid_prompt"),
        plain=End(kind="invalid_prompt", classes="D", verdict="ignored", outcome="error", words=0),
        stream=End(kind="invalid_prompt", classes="D", verdict="ignored", outcome="error", words=2),
        api="responses",
    ),
)
