"""One thread that does one job, every so often and when asked; flushing, stopping and forking with a bound."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

_LOG: Final = logging.getLogger("huddle_otel")
GRACE: Final = 2.0
"""Seconds an exit may wait, unless the user's own OTLP timeout is longer."""


class Worker:
    """Runs `job` on a daemon thread. A run that was asked for begins after the asking, so it sees what came before.

    The SDK's own batch processor and periodic reader are not used: they flush without regard for the timeout, wait up
    to 30 s at exit, and warn again and again that the queue is full.
    """

    def __init__(self, name: str, job: Callable[[], bool], *, every: float) -> None:
        """Take a job, which returns whether it succeeded, and its period in seconds. Nothing runs before `start`."""
        self._name, self._job, self._every = name, job, every
        self._in_child()

    def _in_child(self) -> None:
        self._condition = threading.Condition()  # on a re-entrant lock: a signal handler may flush inside `poke`
        self._asked = self._done = 0
        self._failed = 0
        self._stopping = self._ended = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
        self._thread.start()

    def in_child(self) -> None:
        """Start again in a forked child, which has neither the thread nor a lock it may trust."""
        stopped = self._stopping
        self._in_child()
        self._stopping = stopped
        if not stopped:
            self.start()

    def poke(self) -> int:
        """Ask for a run now; return its ticket."""
        with self._condition:
            self._asked += 1
            self._condition.notify_all()
            return self._asked

    def wait(self, ticket: int, *, until: float) -> bool:
        """Wait for a run asked for, until a time of `time.monotonic()`. Return whether it was made and succeeded."""
        with self._condition:
            self._condition.wait_for(lambda: self._done >= ticket or self._ended, max(0.0, until - time.monotonic()))
            return self._done >= ticket > self._failed

    def stop(self) -> None:
        """Make a last run, then end; does not wait."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def join(self, *, until: float) -> bool:
        """Wait for the end until a time of `time.monotonic()`. Return whether it came."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(max(0.0, until - time.monotonic()))
        return not thread.is_alive()

    def end(self) -> None:
        """Stop and wait, `GRACE` at most; nothing when it was stopped before."""
        if not self._stopping:
            self.stop()
            self.join(until=time.monotonic() + GRACE)

    def _loop(self) -> None:
        condition = self._condition
        while True:
            with condition:
                if not self._stopping and self._asked == self._done:
                    condition.wait(self._every)
                ticket, last = self._asked, self._stopping
            succeeded = self._run()
            with condition:
                self._done = ticket
                if not succeeded:
                    self._failed = ticket
                self._ended = last
                condition.notify_all()
            if last:
                return

    def _run(self) -> bool:
        try:
            return self._job()
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever a job runs into
            _LOG.debug("huddle_otel: %s failed (%s)", self._name, type(error).__name__)
            return False
