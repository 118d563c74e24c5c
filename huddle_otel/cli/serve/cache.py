"""Answers that are kept for a moment, so that ten open pages cost what one does."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

KEPT: Final = 1.0
"""Seconds an answer is kept, at least."""
_RESTING: Final = 9
"""An answer is also kept this many times as long as making it took: a tenth of one core is all that pages can take."""
_MOST: Final = 64
Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = float("-inf")
    value: Any = None


class Cache:
    """Remembers the answers to the last 64 questions. While one thread works on an answer, others wait for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock, s."""
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Answer]) -> Answer:
        """Return the answer to a question: the one at hand, or a new one. What `make` raises is not kept."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            if len(self._entries) > _MOST:
                self._entries.popitem(last=False)
        with entry.lock:
            begun = self._clock()
            if begun >= entry.until:
                entry.value = make()
                ended = self._clock()
                entry.until = ended + max(KEPT, _RESTING * (ended - begun))
            value: Answer = entry.value
            return value
