"""Reads along with a body that the app takes as bytes: server-sent events, or one JSON document."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace
from typing import Any, Final

from huddle_otel.client.reading import StreamFold

_TAIL: Final = 8192
"""Of a JSON document only so many last bytes are kept: usage stands at its end."""


class Tap:
    """Sees every piece of a body on its way to the app. Holds back at most one unfinished event."""

    def __init__(self, fold: StreamFold, content_type: str, *, events: bool) -> None:
        """Read server-sent events with `events`, else keep the tail of a JSON document, and nothing of other kinds."""
        self._fold = fold
        self._events = events or content_type.startswith("text/event-stream")
        self._opaque = not self._events and "json" not in content_type
        self._rest = b""
        self._whole = True

    def feed(self, piece: bytes) -> bytes:
        """Take a piece in; return what the app gets of it now."""
        if self._opaque:
            return piece
        if not self._events:
            self._rest += piece
            if len(self._rest) > _TAIL:
                self._whole, self._rest = False, self._rest[-_TAIL:]
            return piece
        *events, self._rest = (self._rest + piece).split(b"\n\n")
        shown = b"".join(event + b"\n\n" for event in events if self._see(event))
        # only when an event may have to be taken out must the app wait for whole ones
        return shown if self._fold.hide_usage else piece

    def _see(self, event: bytes) -> bool:
        data = b"".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if data.startswith(b"[DONE]"):
            self._fold.done = True
        if not data.startswith(b"{"):
            return True
        try:
            return self._fold.see(_attributes(json.loads(data)))
        except ValueError:
            return True

    def finish(self) -> bytes:
        """Take the end in; return what was held back."""
        rest, self._rest = self._rest, b""
        if self._events:
            return rest if rest and self._see(rest) and self._fold.hide_usage else b""
        self._fold.done = True
        if not self._opaque:
            self._read_tail(rest)
        return b""

    def _read_tail(self, tail: bytes) -> None:
        """Read a document that was short enough to keep; of a longer one find the usage, which stands at its end."""
        if self._whole:
            with contextlib.suppress(ValueError):
                self._fold.whole(json.loads(tail))
            return
        at = tail.rfind(b'"usage"')
        start = tail.find(b"{", at) if at >= 0 else -1
        if start < 0:
            return
        try:
            usage, _ = json.JSONDecoder().raw_decode(tail[start:].decode("utf-8", "replace"))
        except ValueError:
            return
        self._fold.see(SimpleNamespace(usage=usage, choices=[]))


def _attributes(value: Any) -> Any:
    """Make the objects of a JSON document readable like the client's models."""
    if isinstance(value, dict):
        return SimpleNamespace(**{str(name): _attributes(each) for name, each in value.items()})
    return [_attributes(each) for each in value] if isinstance(value, list) else value
