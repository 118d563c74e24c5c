"""What is known of an answer when its call ends: the recorder's input beside the events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from huddle_otel.spend import UNKNOWN, Spend, TagValue, Usage
from huddle_otel.telemetry import contract


@dataclass(slots=True)
class Answer:
    """Facts read off an answer. Everything is optional: an answer may be missing, cut or odd."""

    id: str | None = None
    model: str | None = None
    """The model that answered."""
    finish_reasons: tuple[str, ...] = ()
    service_tier: str | None = None
    fingerprint: str | None = None
    usage: Usage | None = None
    spend: Spend = UNKNOWN
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The response headers that start with `x-`, lower case."""
    request_id: str | None = None
    """What the last attempt was sent as, for when no answer named one."""
    answered: bool = False
    """An upstream took the request and (some of) its answer came: what it cost is a question."""
    first_chunk: float | None = None
    """Seconds from the start of the call to the first content of its stream."""
    sent_after: float = 0.0
    """Seconds from the start of the call to the sending of its last attempt."""
    per_chunk: float | None = None
    """Mean seconds between content chunks."""
    content: list[dict[str, Any]] | None = None
    """Output messages, when they are to be recorded."""
    tags: Mapping[str, TagValue] = field(default_factory=dict[str, TagValue])

    def named(self) -> str | None:
        """Return the id that the gateway knows the call by: its own, else what we sent."""
        headers = self.headers
        return next((headers[name] for name in contract.REQUEST_ID_HEADERS if name in headers), self.request_id)
