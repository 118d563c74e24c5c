"""What an exception means, as the policies' data: the one place that knows the openai client's error classes."""

from __future__ import annotations

import email.utils
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import openai

from huddle_otel.errors import (
    DeadlineExceeded,
    FirstTokenTimeout,
    MalformedResponseError,
    StallTimeout,
    StreamTruncatedError,
)
from huddle_otel.events import Failure, Fault
from huddle_otel.text import sound

_MAX_MESSAGE: Final = 300
_KEYS: Final = re.compile(r"(?i)\b(?:sk|pk|hud|hudl)[-_][\w\-]{6,}|\bbearer\s+\S+|\b[0-9a-f]{32,}\b")
"""Keys, and the hex digests of keys that gateways print in their messages."""

# How a broken attempt shows in `__cause__`: class names, since httpx and httpx2 share them and we import neither.
_CAUSES: Final[Mapping[str, tuple[Fault, str]]] = {
    "ReadError": (Fault.DISCONNECT, "disconnect"),
    "WriteError": (Fault.DISCONNECT, "disconnect"),
    "CloseError": (Fault.DISCONNECT, "disconnect"),
    "RemoteProtocolError": (Fault.DISCONNECT, "disconnect"),
    "ConnectError": (Fault.CONNECT, "connect_error"),
    "ConnectTimeout": (Fault.CONNECT, "connect_timeout"),
    "PoolTimeout": (Fault.CONNECT, "pool_timeout"),
    "ProxyError": (Fault.CONNECT, "connect_error"),
    "DecodingError": (Fault.MALFORMED, "malformed_response"),
    "TooManyRedirects": (Fault.APP, "too_many_redirects"),
    "UnsupportedProtocol": (Fault.APP, "unsupported_protocol"),
    "LocalProtocolError": (Fault.APP, "local_protocol_error"),
    "ReadTimeout": (Fault.TIMEOUT, "read_timeout"),
    "WriteTimeout": (Fault.TIMEOUT, "write_timeout"),
}


def redact(text: str) -> str:
    """Return text with keys, key digests and bearer tokens masked, bounded in length."""
    return sound(_KEYS.sub("****", text[: _MAX_MESSAGE * 4])[:_MAX_MESSAGE])


def failure_of(error: Exception, *, wall: float, delivered: bool = False, answered: bool = False) -> Failure:
    """Read an exception of the openai client.

    Args:
        error: What was raised.
        wall: Wall-clock time, s since the epoch, for hints that are HTTP dates.
        delivered: Content had reached the app.
        answered: The upstream had answered in full.
    """
    if isinstance(error, openai.APIStatusError):
        return _status_failure(error, wall=wall, delivered=delivered)
    fault, name = _read(error)
    return Failure(
        fault=fault,
        error_type=name,
        message=redact(str(error)) or name,
        delivered=delivered,
        answered=answered and fault is Fault.APP,
        kind=_frame_status(error) if fault is Fault.STREAM_ERROR else _text(_field(error, "type")),
    )


_OURS: Final = (
    (DeadlineExceeded, Fault.DEADLINE, "deadline_exceeded"),
    (FirstTokenTimeout, Fault.TIMEOUT, "first_token_timeout"),
    (StallTimeout, Fault.TIMEOUT, "stall_timeout"),
    (StreamTruncatedError, Fault.TRUNCATED, "stream_truncated"),
    (MalformedResponseError, Fault.MALFORMED, "malformed_response"),
)


def _read(error: Exception) -> tuple[Fault, str]:
    for kind, fault, name in _OURS:
        if isinstance(error, kind):
            return fault, name
    # openai 1.x and 2.x pass on, bare, what httpx raises while a stream is read
    bare = any(each.__name__ in {"TransportError", "DecodingError"} for each in type(error).__mro__)
    if bare or isinstance(error, openai.APIConnectionError):
        known = _CAUSES.get(type(error if bare else error.__cause__).__name__)
        timed_out = isinstance(error, openai.APITimeoutError)
        return known or ((Fault.TIMEOUT, "timeout") if timed_out else (Fault.DISCONNECT, "disconnect"))
    if isinstance(error, openai.APIResponseValidationError | json.JSONDecodeError | UnicodeDecodeError):
        return Fault.MALFORMED, "malformed_response"
    if type(error) is openai.APIError:  # an error frame in a stream has no status
        return Fault.STREAM_ERROR, "stream_error"
    return Fault.APP, type(error).__qualname__


def _frame_status(error: Exception) -> str | None:
    """Return the status an error frame stands for, else its type.

    A gateway that has opened a stream early can only put its error into a frame, where `code` is the status it would
    have been; the type is shared by several (a 408 is an `invalid_request_error`), and the message may say nothing.
    """
    code = _text(_field(error, "code"))
    return code if code is not None and code.isdecimal() else _text(_field(error, "type"))


def _status_failure(error: openai.APIStatusError, *, wall: float, delivered: bool) -> Failure:
    headers = error.response.headers
    said = headers.get("x-should-retry")
    return Failure(
        fault=Fault.STATUS,
        error_type=str(error.status_code),
        message=redact(str(error)),
        status=error.status_code,
        kind=_text(_field(error, "type")) or _text(_field(error, "code")),
        hint=hint_of(headers, wall=wall, message=str(error) if error.status_code == _RATE_LIMITED else ""),
        should_retry={"true": True, "false": False}.get(said or ""),
        delivered=delivered,
    )


def hint_of(headers: Mapping[str, str], *, wall: float, message: str = "") -> float | None:
    """Return how long the upstream asks to wait, s, or None. Source: RFC 9110 `Retry-After` and its relatives.

    The gateway hands its upstream's hint on as `llm_provider-retry-after`; its own comes first. Older ones tell of a
    cooldown only in the message.
    """
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    for name in ("retry-after", "llm_provider-retry-after"):
        text = headers.get(name)
        if text is None:
            continue
        seconds = _number(text)
        if seconds is None:
            seconds = _until(text, wall)
        if seconds is not None:
            return seconds
    told = _COOLDOWN.search(message)
    return float(told[1]) if told else None


def renewal_of(headers: Mapping[str, str]) -> float | None:
    """Return in how many seconds a limit is renewed of which an answer says that nothing is left, or None.

    Source: `x-ratelimit-remaining-*` and `x-ratelimit-reset-*`, the latter as `20ms`, `6m0s` or plain seconds.
    """
    waits = [
        _duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        for kind in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0"
    ]
    return max((wait for wait in waits if wait is not None), default=None)


def _duration(text: str) -> float | None:
    if (plain := _number(text)) is not None:
        return plain
    parts = _DURATION.findall(text)
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts) if parts else None


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_COOLDOWN: Final = re.compile(r"(?i)(?:try again in|cooldown_time[=:]|retry after)\s*(\d+(?:\.\d+)?)")
_RATE_LIMITED: Final = 429


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _until(text: str, wall: float) -> float | None:
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - wall, 0.0)
    except (ValueError, OverflowError):
        return None


def _field(error: Exception, name: str) -> Any:
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        return body.get(name)
    return getattr(error, name, None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value != "None" else None


def refuses_stream_options(error: Exception) -> bool:
    """Tell whether an upstream refused a stream because it was asked for usage."""
    return isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError) and "stream_options" in str(
        error
    )
