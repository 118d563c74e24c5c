"""One daemon thread per process that does what nobody else can: what finalisers ask for, and what falls due.

A finaliser runs wherever the garbage collector happens to, also in the middle of a critical section of OpenTelemetry or
of ours on the same thread, so it must take no lock. `SimpleQueue.put` is re-entrant and made for this.

Open bodies are watched for their clocks: each is looked at when its time may be up, not before, and only weakly held.
So a stream costs one entry here, whatever its number of chunks, and no timer outlives it.
"""

from __future__ import annotations

import atexit
import contextlib
import heapq
import itertools
import logging
import math
import os
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Final, Protocol

from huddle_otel.client.clock import clock


class Watched(Protocol):
    """Something with a clock and an end."""

    def look(self, now: float) -> float | None:
        """Act if time is up. Returns when to look again, None for never."""
        ...

    def dropped(self) -> None:
        """End: nobody will read on."""
        ...


_LOG: Final = logging.getLogger("huddle_otel")
_LONGEST: Final = 3600.0
"""Seconds the thread sleeps at most; a lock cannot be waited for much longer on some platforms."""
_asked: Final[queue.SimpleQueue[Callable[[], None]]] = queue.SimpleQueue()
_due: list[tuple[float, int, weakref.ref[Watched]]] = []
_open: weakref.WeakSet[Watched] = weakref.WeakSet()
_order: Final = itertools.count()
_forks = 0
_starting = threading.Lock()
_thread: threading.Thread | None = None

put = _asked.put
"""Ask for a function to be called. Safe in a finaliser."""


def forks() -> int:
    """Return how many forks lie between the first process and this one: what is open in a parent is not a child's."""
    return _forks


def watch(body: Watched, first: float) -> None:
    """Look at a body when its time may be up for the first time, by `clock()`, s; infinity is never.

    Starts the thread, unless it runs.
    """
    _open.add(body)
    if first < math.inf:
        ref = weakref.ref(body)
        put(lambda: heapq.heappush(_due, (first, next(_order), ref)))
    _ensure_running()


def _ensure_running() -> None:
    global _thread  # noqa: PLW0603 - one thread per process
    if _thread is None:
        with _starting:
            if _thread is None:
                _thread = threading.Thread(target=_run, name="huddle_otel-keeper", daemon=True)
                _thread.start()
                atexit.register(_close_all)


def _run() -> None:
    while True:
        wait = min(max(_due[0][0] - clock(), 0.0), _LONGEST) if _due else _LONGEST
        try:
            asked = _asked.get(timeout=wait)
        except queue.Empty:
            asked = _look
        try:
            asked()
        except Exception:  # noqa: BLE001 - the thread must live; whatever it was is told
            _LOG.warning("huddle_otel: a stream's end could not be settled", exc_info=True)


def _look() -> None:
    """Look at the bodies whose time may be up."""
    now = clock()
    while _due and _due[0][0] <= now:
        _, _, ref = heapq.heappop(_due)
        body = ref()
        again = body.look(now) if body is not None else None
        if again is not None:
            heapq.heappush(_due, (max(again, now + 0.001), next(_order), ref))


def _close_all() -> None:
    """End what is open at the interpreter's end; registered late, so that it runs before telemetry is shut down."""
    atexit.unregister(_close_all)
    with contextlib.suppress(queue.Empty):
        while True:
            _asked.get_nowait()()
    for body in list(_open):
        with contextlib.suppress(Exception):
            body.dropped()


def _forget_thread() -> None:
    global _thread, _starting, _due, _open, _forks  # noqa: PLW0603 - as above
    _thread, _starting, _due, _open = None, threading.Lock(), [], weakref.WeakSet()
    _forks += 1


os.register_at_fork(after_in_child=_forget_thread)
