"""The three kinds of fault, as data: another answer, none, or the good answer bent. `faults` makes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Ending = Literal[
    "good",
    "reset",
    "cut",
    "cut_in_chunk",
    "half_close",
    "malformed",
    "error_frame",
    "failed",
    "fake_finish",
    "stall",
    "ping_forever",
    "empty_deltas",
    "no_done",
    "no_finish",
]
Headers = tuple[tuple[str, str], ...]

FOREVER: Final = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a rule asks for. `name` is recorded in `Call.fault`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Fault):
    """An answer of its own, sent instead of the good one, to streams and plain requests alike."""

    code: int
    """HTTP status."""
    message: str = ""
    """`error.message`; for an upstream error the upstream's words, which LiteLLM wraps in its own."""
    type: str | None = None
    """`error.type` in the `litellm` persona."""
    param: str | None = None
    """`error.param`."""
    exception: str | None = None
    """LiteLLM's class for an upstream error; None: the gateway's own error, worded by `message` alone."""
    upstream_type: str | None = None
    """`error.type` in the `openai` persona; None: as `type`."""
    upstream_code: str | None = None
    """`error.code` in the `openai` persona, where LiteLLM repeats the status."""
    retry_after: float | None = None
    """The hint (s)."""
    hint_headers: tuple[str, ...] | None = ("retry-after",)
    """Names that carry the hint; None: the persona's (`llm_provider-retry-after` for `litellm`)."""
    headers: Headers = ()
    """Extra headers."""
    bare: bool = False
    """No gateway headers at all, as on LiteLLM's authentication and budget errors."""
    body: bytes | None = None
    """The whole body; None: an error object made of the fields above."""
    content_type: str = "application/json"
    """Media type of the body."""

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:  # noqa: PLR2004 -- the range of final HTTP statuses
            raise ValueError(f"code must be an HTTP status in 200..599, got {self.code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Fault):
    """No byte of an answer for `seconds`, then a reset; `inf` lasts until the client leaves or the gateway stops."""

    seconds: float = FOREVER

    def __post_init__(self) -> None:
        _not_negative(seconds=self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Fault):
    """The good answer, bent: late, slow, or ended in another way. All times in seconds."""

    before_head: float = 0.0
    """Wait before the status line."""
    before_content: float = 0.0
    """Wait between headers and the first byte of the body."""
    ping_every: float | None = None
    """Interval of `: ping` comments during `before_content`; None: silence."""
    per_chunk: float | None = None
    """Wait before each content chunk; None: the model's own."""
    headers: Headers = ()
    """Extra headers."""
    role: bool = True
    """Whether the stream starts with the role chunk."""
    after: int | None = None
    """Content chunks before the ending; None: all."""
    ending: Ending = "good"
    """What happens then."""
    tidy: bool = True
    """Whether a cut still closes the HTTP body properly, so that no HTTP library can see it."""
    seconds: float = 0.0
    """Length of a stall (after a finite one the good answer goes on); interval of endless pings and empty deltas."""
    message: str = ""
    """Message of an error event, or of a failed answer."""
    code: str = ""
    """Code of a failed answer."""

    def __post_init__(self) -> None:
        _not_negative(
            before_head=self.before_head,
            before_content=self.before_content,
            per_chunk=self.per_chunk,
            after=self.after,
            seconds=self.seconds,
        )
        if self.ping_every is not None and not self.ping_every > 0:
            raise ValueError(f"ping_every must be above 0, got {self.ping_every}")


def _not_negative(**fields: float | None) -> None:
    for field, value in fields.items():
        if value is not None and not value >= 0:  # `not >=` also refuses nan
            raise ValueError(f"{field} must be 0 or more, got {value}")


def header_pairs(headers: Mapping[str, str] | None) -> Headers:
    """Headers as the hashable pairs that frozen data holds."""
    return tuple((headers or {}).items())
