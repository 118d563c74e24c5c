"""Faults that answer nothing, or the good answer late, slowly or in part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huddle_otel.gateway.kinds import FOREVER, Shape, Silence, header_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping


def hang() -> Silence:
    """Never answers."""
    return Silence(name="hang")


def reset_before_first_byte(seconds: float = 0.0) -> Silence:
    """RST instead of an answer, after `seconds`."""
    return Silence(name="reset_before_first_byte", seconds=seconds)


def good(headers: Mapping[str, str] | None = None) -> Shape:
    """The good answer with extra headers; as the first rule it shields calls from the rules below it."""
    return Shape(name="good", headers=header_pairs(headers))


def slow_headers(seconds: float) -> Shape:
    """The status line comes after `seconds`."""
    return Shape(name="slow_headers", before_head=seconds)


def slow_success(seconds: float) -> Shape:
    """The status line comes at once, the first content after `seconds`."""
    return Shape(name="slow_success", before_content=seconds)


def slow_drip(per_chunk: float) -> Shape:
    """`per_chunk` seconds before every content chunk."""
    return Shape(name="slow_drip", per_chunk=per_chunk)


def pings(every: float, before: float = FOREVER) -> Shape:
    """A `: ping` comment every `every` seconds for `before` seconds; early headers without any of the gateway's own."""
    return Shape(name="pings", ping_every=every, before_content=before)


def reset_after_headers() -> Shape:
    """RST after the headers, before the first event."""
    return Shape(name="reset_after_headers", role=False, after=0, ending="reset")


def reset(after: int) -> Shape:
    """RST after `after` content chunks. Unread chunks survive it on Linux; other systems may drop them."""
    return Shape(name="reset", after=after, ending="reset")


def cut(after: int, *, tidy: bool = True) -> Shape:
    """FIN after `after` content chunks, no `finish_reason`, no `[DONE]`; not tidy: HTTP itself is cut short too."""
    return Shape(name="cut", after=after, ending="cut", tidy=tidy)


def cut_in_chunk(after: int, *, tidy: bool = True) -> Shape:
    """FIN inside the JSON of the next chunk."""
    return Shape(name="cut_in_chunk", after=after, ending="cut_in_chunk", tidy=tidy)


def half_close(after: int) -> Shape:
    """FIN after `after` content chunks while the gateway goes on reading until the client leaves."""
    return Shape(name="half_close", after=after, ending="half_close", tidy=False)


def truncated_body() -> Shape:
    """Half of a plain body, then FIN; a stream is cut before its first content, without closing the HTTP body."""
    return Shape(name="truncated_body", after=0, ending="cut", tidy=False)


def malformed_chunk(after: int = 0) -> Shape:
    """One event that is not JSON after `after` content chunks, then the rest of the good answer."""
    return Shape(name="malformed_chunk", after=after, ending="malformed")


def error_frame(after: int = 0, *, message: str = "The upstream connection was lost.", role: bool = True) -> Shape:
    """An error event inside the 200 after `after` content chunks, and a tidy end (LiteLLM 1.106)."""
    return Shape(name="error_frame", after=after, ending="error_frame", message=message, role=role)


def failed_response(
    after: int = 0, *, code: str = "server_error", message: str = "The model had an error while answering."
) -> Shape:
    """A 200 that tells of a failed response, after `after` content chunks of a stream; chat gets an error event."""
    return Shape(name="failed_response", after=after, ending="failed", code=code, message=message)


def fake_finish(after: int = 0) -> Shape:
    """`finish_reason: "stop"`, usage and `[DONE]` after `after` content chunks: a dead upstream, hidden (1.83)."""
    return Shape(name="fake_finish", after=after, ending="fake_finish")


def stall(after: int, seconds: float = FOREVER) -> Shape:
    """Silence for `seconds` after `after` content chunks, then the rest of the good answer."""
    return Shape(name="stall", after=after, ending="stall", seconds=seconds)


def role_only() -> Shape:
    """The role chunk, then silence."""
    return Shape(name="role_only", after=0, ending="stall", seconds=FOREVER)


def ping_forever(every: float, after: int = 0) -> Shape:
    """Only `: ping` comments every `every` seconds after `after` content chunks."""
    return Shape(name="ping_forever", after=after, ending="ping_forever", seconds=every)


def empty_deltas(every: float = 0.01, after: int = 0) -> Shape:
    """Only chunks with an empty delta every `every` seconds after `after` content chunks."""
    return Shape(name="empty_deltas", after=after, ending="empty_deltas", seconds=every)


def no_done() -> Shape:
    """All content and `finish_reason`, a tidy end without `[DONE]`."""
    return Shape(name="no_done", ending="no_done")


def no_finish() -> Shape:
    """All content and `[DONE]`, no `finish_reason`."""
    return Shape(name="no_finish", ending="no_finish")
