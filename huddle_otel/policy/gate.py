"""The 429 gate: when the upstream says when to come back, new calls wait for that moment, in the order they came."""

from __future__ import annotations

from typing import Final

SPACING: Final = 0.01
"""Seconds between the calls the gate lets go, so that they leave in order and not as a herd."""
DRAIN: Final = 1.0
"""Seconds after its opening by which everyone may go. Without it, more callers than one per `SPACING` would keep the
line growing for ever, and so would those that ask, are told to wait too long, and leave."""


class Gate:
    """One circuit's gate. Holds no lock: callers serialise."""

    __slots__ = ("_next", "until")

    def __init__(self) -> None:
        """Start open."""
        self.until = 0.0
        """Closed until then, s."""
        self._next = 0.0

    def close(self, until: float) -> None:
        """The upstream asked to be left alone until then; the longest wish counts."""
        self.until = max(self.until, until)

    def wait(self, now: float) -> float:
        """Take a place in the line; return the seconds until its turn, 0 when the gate is open and nobody waits."""
        turn = max(now, min(max(self.until, self._next), self.until + DRAIN))
        if turn > now:
            self._next = turn + SPACING
        return turn - now
