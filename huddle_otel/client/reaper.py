"""Runs what a finaliser asks for, on a thread of its own.

A finaliser runs wherever the garbage collector happens to, also in the middle of a critical section of OpenTelemetry or
of ours on the same thread, so it must take no lock. `SimpleQueue.put` is re-entrant and made for this; the work is done
by one daemon thread, started with the first open body of a process.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable

_asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
_starting = threading.Lock()
_thread: threading.Thread | None = None

put = _asked.put
"""Ask for a function to be called. Safe in a finaliser."""


def ensure_running() -> None:
    """Start the thread, unless it runs."""
    global _thread  # noqa: PLW0603 - one thread per process
    if _thread is None:
        with _starting:
            if _thread is None:
                _thread = threading.Thread(target=_run, name="huddle_otel-reaper", daemon=True)
                _thread.start()


def _run() -> None:
    while True:
        _asked.get()()


def drain() -> None:
    """Do what has been asked for so far, here and now; for the end of the process."""
    while not _asked.empty():
        try:
            asked = _asked.get_nowait()
        except queue.Empty:
            return
        asked()


def _forget_thread() -> None:
    global _thread, _starting
    _thread, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_thread)
