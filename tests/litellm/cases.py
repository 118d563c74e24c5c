"""What an upstream does, what a LiteLLM 1.106.2 proxy makes of it, and what the app and the span then say: as data.

One row is one kind of trouble. A row of `STATUSES` holds for plain calls and for streams alike, because the gateway
answers both before it has sent anything; `PLAIN` and `STREAMS` hold for one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from huddle_otel import TimeoutPolicy
from huddle_otel.gateway import faults

if TYPE_CHECKING:
    from collections.abc import Container

    from huddle_otel.gateway.kinds import Fault, Shape

WHOLE: Final = 8
"""Content chunks of a complete answer, each one word and one token."""
FAST: Final = TimeoutPolicy(connect=5, first_token=20, stall=20, total=20)
"""For calls that end by themselves: never the reason for an end, even on a busy machine."""
SHORT: Final = TimeoutPolicy(connect=1, first_token=1, stall=1, total=1)
"""For calls that nobody but a clock ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row. The defaults are those of a call that succeeds at once."""

    name: str
    fault: Fault
    calls: Container[int] | None = None
    """Which upstream calls get the fault; None: all. The others are answered well."""
    timeout: TimeoutPolicy = FAST
    extra: tuple[tuple[str, float], ...] = ()
    """The gateway's own settings for this model."""

    # what the app sees
    error: str = ""
    """Exception class, or classes with `|` where two clocks race; empty: none."""
    status: int | None = None
    """`status_code`."""
    kind: str | None = None
    """`error.type` of the body."""
    says: str = ""
    """Part of the message; what a classification by message rests on."""
    content: int = WHOLE
    """Content chunks that reach the app (of a plain answer: words)."""
    finish: str | None = "stop"
    """`finish_reason` of the last choice the app sees."""

    # what the span says
    outcome: str = "ok"
    error_type: str | None = None
    """`error.type`, with `|` as in `error`."""
    classes: str = ""
    """Retry class of each failed attempt; a pattern where two clocks race."""
    headers: bool = True
    """Whether the gateway's own headers came with the answer."""
    cost: bool = True
    """Whether the gateway told a cost."""

    # what happened at the upstream
    disconnected: bool = False
    """The gateway hung up on it, so that it can stop working."""

    def __str__(self) -> str:
        return self.name

    @property
    def racing(self) -> bool:
        """Whether the gateway's clock and ours run out within the same instant."""
        return "|" in self.error


def failing(
    name: str, fault: Fault, error: str, status: int | None, kind: str | None, classes: str, says: str = "", **more: Any
) -> Case:
    """A row that ends in an exception: by default in an answer with an error status."""
    row: dict[str, Any] = {"outcome": "error", "error_type": str(status), "content": 0, "finish": None}
    row |= {"headers": False, "cost": False, **more}
    return Case(name=name, fault=fault, error=error, status=status, kind=kind, classes=classes, says=says, **row)


def frame(name: str, fault: Fault, classes: str, says: str, *, kind: str | None = None, **more: Any) -> Case:
    """A row that ends in an error frame inside a 200."""
    row: dict[str, Any] = {"error_type": "stream_error", "headers": True, **more}
    return failing(name, fault, "APIError", None, kind, classes, says, **row)


def timed(name: str, fault: Fault, error: str, error_type: str, classes: str, **more: Any) -> Case:
    """A row that only a clock ends."""
    row: dict[str, Any] = {"timeout": SHORT, "error_type": error_type, "disconnected": True, **more}
    return failing(name, fault, error, None, None, classes, **row)


def paced(shape: Shape) -> Shape:
    """Chunks one by one: of what comes together with a reset the gateway may pass on all, some or nothing."""
    return replace(shape, per_chunk=0.04)


_400: Final = "invalid_request_error"
_401: Final = "authentication_error"
_429: Final = "throttling_error"
_500: Final = "internal_server_error"

# Every clock of SHORT is a second, and of clocks that run out together the total's is named.
_LATE: Final = "deadline_exceeded"
# The gateway's clock first, then perhaps ours in the attempt after; or ours at once.
_EITHER: Final = "CC?|C?E"

STATUSES: Final = (
    failing("500", faults.status(500), "InternalServerError", 500, _500, "CC", "litellm.InternalServerError"),
    failing("502-page", faults.bad_gateway(), "InternalServerError", 502, _500, "CC", "litellm.BadGatewayError"),
    failing("503", faults.status(503), "InternalServerError", 503, _500, "CC", "litellm.ServiceUnavailableError"),
    # The hint arrives as llm_provider-retry-after, and makes a refusal of it.
    failing("503-hint", faults.status(503, retry_after=0.02), "InternalServerError", 503, _500, "BBB"),
    failing("504", faults.status(504), "APIStatusError", 408, _400, "CC", "litellm.Timeout"),
    failing("529", faults.overloaded(), "InternalServerError", 529, _500, "BBB", "Overloaded"),
    failing("408", faults.status(408), "APIStatusError", 408, _400, "CC", "litellm.Timeout"),
    failing("409", faults.status(409), "ConflictError", 409, _400, "CC", "litellm.BadRequestError"),
    failing("429", faults.rate_limited(), "RateLimitError", 429, _429, "BBB", "litellm.RateLimitError"),
    failing("429-hint", faults.rate_limited(0.02), "RateLimitError", 429, _429, "BBB"),
    # Longer than the call may last: the real error at once.
    failing("429-long-hint", faults.rate_limited(600), "RateLimitError", 429, _429, "B"),
    # Only the message tells it from a rate limit.
    failing("quota", faults.insufficient_quota(), "RateLimitError", 429, _429, "E", "exceeded your current quota"),
    failing("context", faults.context_window(), "BadRequestError", 400, _400, "E", "ContextWindowExceededError"),
    failing("filter", faults.content_policy(), "BadRequestError", 400, _400, "E", "ContentPolicyViolationError"),
    failing("400", faults.status(400), "BadRequestError", 400, _400, "E", "litellm.BadRequestError"),
    # About the gateway's own key for its upstream: the message names the upstream's exception; the user's key is good.
    failing("401", faults.upstream_key_bad(), "AuthenticationError", 401, _401, "E", "litellm.AuthenticationError"),
    failing("403", faults.status(403), "PermissionDeniedError", 403, _400, "E", "litellm.BadRequestError"),
    failing("404", faults.status(404), "NotFoundError", 404, _400, "E", "litellm.BadRequestError"),
    failing("422", faults.status(422), "UnprocessableEntityError", 422, _400, "E", "litellm.BadRequestError"),
    failing("reset", faults.reset_before_first_byte(), "InternalServerError", 500, _500, "CC", "Connection error"),
    # The gateway stops its upstream at x-litellm-timeout and says 408, a moment before our own clock says it is late.
    timed("hang", faults.hang(), "APIStatusError|DeadlineExceeded", f"408|{_LATE}", _EITHER),
    # One bad answer, then good ones.
    Case(name="500-once", fault=faults.status(500), calls={0}, classes="C"),
    Case(name="429-once", fault=faults.rate_limited(0.02), calls={0}, classes="B"),
    Case(name="reset-once", fault=faults.reset_before_first_byte(), calls={0}, classes="C"),
    Case(name="slow-headers", fault=faults.slow_headers(0.3)),
)

PLAIN: Final = (
    failing("body-reset", faults.reset(1), "InternalServerError", 500, _500, "CC", "Connection error"),
    failing("body-cut", faults.truncated_body(), "InternalServerError", 500, _500, "CC", "Connection error"),
    failing("body-not-json", faults.unparsable_body(), "InternalServerError", 500, _500, "CC", "Unterminated string"),
    timed("body-stalls", faults.stall(1), "APIStatusError|DeadlineExceeded", f"408|{_LATE}", _EITHER),
    Case(name="body-slow", fault=faults.slow_success(0.3)),
)

_LOST: Final = "litellm.APIConnectionError"
_START: Final = "Error processing stream start"
_EARLY: Final[dict[str, Any]] = {"headers": False, "extra": (("keepalive_seconds", 0.001),)}

STREAMS: Final = (
    # Dead before the gateway has passed anything on: a status, not a frame. The upstream may have worked: class C.
    failing("reset-first", faults.reset_after_headers(), "InternalServerError", 500, None, "CC", _LOST, headers=True),
    failing("error-first", faults.error_frame(role=False), "InternalServerError", 500, None, "CC", _LOST, headers=True),
    # Dead after the role chunk, before content: an error frame inside the 200, and nothing is lost by trying again.
    frame("error-early", faults.error_frame(0), "CC", _LOST),
    frame("malformed-early", faults.malformed_chunk(0), "CC", _LOST),
    # Dead after content: committed.
    frame("reset-later", paced(faults.reset(2)), "D", _LOST, content=2),
    frame("cut-later", paced(faults.cut(2, tidy=False)), "D", _LOST, content=2),
    frame("cut-in-chunk-later", paced(faults.cut_in_chunk(2, tidy=False)), "D", _LOST, content=2),
    frame("half-close-later", paced(faults.half_close(2)), "D", _LOST, content=2),
    frame("error-later", faults.error_frame(2), "D", _LOST, content=2),
    # This version parses every chunk, so that no malformed one gets through to the client's JSON parser.
    frame("malformed-later", faults.malformed_chunk(2), "D", _LOST, content=2),
    # Whichever clock is first: the gateway's, on bytes from its upstream, or ours.
    timed("stall-early", faults.stall(0), "APIError|DeadlineExceeded", f"stream_error|{_LATE}", _EITHER),
    timed("stall-later", faults.stall(2), "APIError|DeadlineExceeded", f"stream_error|{_LATE}", "D", content=2),
    # Pings of the upstream are not passed on, but they keep the gateway's clock from running out: ours is the only one.
    timed("pings-only", faults.ping_forever(0.05), "DeadlineExceeded", _LATE, "E", headers=True),
    timed("pings-only-later", faults.ping_forever(0.05, 2), "DeadlineExceeded", _LATE, "D", content=2, headers=True),
    timed("empty-deltas", faults.empty_deltas(0.02), "DeadlineExceeded", _LATE, "E", headers=True),
    timed("empty-deltas-later", faults.empty_deltas(0.02, 2), "DeadlineExceeded", _LATE, "D", content=2, headers=True),
    # A tidy end is believed: the gateway makes up finish_reason, usage and [DONE]. No client can see what is missing.
    Case(name="cut-tidy-early", fault=faults.cut(0), content=0),
    Case(name="cut-tidy-later", fault=paced(faults.cut(2)), content=2),
    Case(name="cut-in-chunk-tidy", fault=paced(faults.cut_in_chunk(2)), content=2),
    Case(name="fake-finish", fault=faults.fake_finish(2), content=2),
    Case(name="no-done", fault=faults.no_done()),
    Case(name="no-finish", fault=faults.no_finish()),
    # A gateway that pings while its upstream is silent opens the answer before it knows any header of its own, and from
    # then on an error is a frame inside the 200: only `code` says which one, the message is mostly the same for all.
    Case(name="early-good", fault=faults.slow_headers(0.3), headers=False, extra=(("keepalive_seconds", 0.05),)),
    frame("early-500", faults.status(500), "CC", _START, kind=_500, **_EARLY),
    frame("early-400", faults.status(400), "E", _START, kind=_400, **_EARLY),
    frame("early-context", faults.context_window(), "E", _START, kind=_400, **_EARLY),
    frame("early-401", faults.upstream_key_bad(), "E", _START, kind=_401, **_EARLY),
    frame("early-429", faults.rate_limited(), "BBB", "litellm.RateLimitError", kind=_429, **_EARLY),
    frame("early-quota", faults.insufficient_quota(), "E", "exceeded your current quota", kind=_429, **_EARLY),
    timed("early-hang", faults.hang(), "APIError|DeadlineExceeded", f"stream_error|{_LATE}", _EITHER, **_EARLY),
    # Slow, and good.
    Case(name="slow-content", fault=faults.slow_success(0.3)),
    Case(name="pings-first", fault=faults.pings(0.05, 0.3)),
    Case(name="stall-short", fault=faults.stall(2, 0.3)),
    Case(name="drip", fault=faults.slow_drip(0.03)),
    # Tried again, with success: the app never knows.
    Case(name="error-early-once", fault=faults.error_frame(0), calls={0}, classes="C"),
    Case(name="reset-first-once", fault=faults.reset_after_headers(), calls={0}, classes="C"),
)
