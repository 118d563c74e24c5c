"""Keeps what an answer says, for calls whose content is recorded; the fold of all others knows nothing of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from huddle_otel.client.reading import StreamFold
from huddle_otel.telemetry.answer import Answer
from huddle_otel.telemetry.content import Transcript, answered


def transcribe(answer: Answer, result: Any, raw: Any) -> None:
    """Keep the content of a complete answer: the parsed object, or the body of a `raw` response."""
    answer.content = answered(result if raw is None else json.loads(raw.content))


class TranscribedFold(StreamFold):
    """A fold that also puts the text together."""

    __slots__ = ("_transcript",)

    def __init__(self, answer: Answer, *, started: float, hide_usage: bool, judged: bool) -> None:
        """As a `StreamFold`."""
        super().__init__(answer, started=started, hide_usage=hide_usage, judged=judged)
        self._transcript: Transcript | None = Transcript()

    def see(self, chunk: Any) -> bool:
        """Take a chunk in; tell whether the app gets to see it."""
        if self._transcript is not None:
            try:
                self._transcript.see(chunk)
            except Exception:  # noqa: BLE001 - a chunk of unknown shape costs the transcript, not the stream
                self._transcript = None
        return super().see(chunk)

    def whole(self, document: Any) -> None:
        """Take in an answer that turned out to be one JSON document."""
        super().whole(document)
        with contextlib.suppress(Exception):
            self._answer.content = answered(document)

    def settle(self) -> None:
        """Write what only the end tells into the answer."""
        super().settle()
        if self._transcript is not None and self._answer.content is None:
            self._answer.content = self._transcript.messages(self._answer.finish_reasons)
