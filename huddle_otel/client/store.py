"""The way to the shared accounts: one thread with one connection. Callers leave commands with it and touch no socket.

So one implementation serves threads, asyncio and trio, any number of event loops, and forks; a call waits for a future,
as long as it likes, and never for a name server; settling costs the call nothing; and commands arrive in order.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import parent_process, util
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from huddle_otel.client.connection import Connection, is_damage
from huddle_otel.settings import StoreUrl
from huddle_otel.spend.shared import Command, Word, read

_LOG: Final = logging.getLogger("huddle_otel")
PAUSE: Final = 5.0
"""Seconds a store that failed is left alone before it is tried again, off the call path."""
BACKLOG: Final = 10_000
"""Commands that wait for a store that is away; then the oldest are given up."""
_BATCH: Final = 100
"""Commands of one round trip."""
_MOST_TOLD: Final = 100
"""Accounts that cannot be used, of which it is said."""
GRACE: Final = 2.0
"""Seconds an exit may wait for settlements."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A command, and who is to hear what came of it."""

    command: Command
    done: Callable[[Word | None], None]
    lasting: bool


class Store:
    """A Redis or Valkey, reached or away. Safe for threads and finalisers."""

    def __init__(self, url: StoreUrl, timeout: float, failing: Callable[[], object]) -> None:
        """Take the URL, the seconds that connecting, and an answer, may take, and who counts failures.

        Nothing is opened yet.

        Raises:
            ConfigurationError: The URL has a query that redis does not understand.
        """
        self.url, self.timeout, self.pause = url, timeout, PAUSE
        self._failing = failing
        self.renew()
        _stores.add(self)
        # a multiprocessing child leaves by os._exit(), after its own finalizers, and a fork keeps none of these
        util.register_after_fork(self, _in_worker)
        if parent_process() is not None:
            _in_worker(self)

    def renew(self) -> None:
        """Start over, in a child process: the commands, the thread and the connection are the parent's."""
        self.away = False
        """Whether it is left alone for now."""
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._backlog: deque[Job] = deque(maxlen=BACKLOG)
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._retiring = False
        self._asked, self._met = itertools.count(1), 0
        self._told = threading.Condition()
        self._connection = Connection(self.url, self.timeout)
        self._damaged: set[tuple[str, ...]] = set()

    # --- for callers --------------------------------------------------------------------------------------------------

    def put(self, command: Command, done: Callable[[Word | None], None], *, lasting: bool) -> None:
        """Leave a command. One that finds no room, or no thread as the interpreter ends, has failed.

        Args:
            command: What to say.
            done: Told what the store answered, None for nothing; on the thread, in the order of the commands.
            lasting: Wait while the store is away; else fail at once.
        """
        job = Job(command, done, lasting)
        if self._queue.qsize() < BACKLOG and self._runs():
            self._queue.put(job)
            self._runs()  # it may have ended in between
        else:
            job.done(None)

    def failed(self, why: str) -> None:
        """Leave the store alone from now on, until the thread has found it well again."""
        with self._lock:
            first, self.away = not self.away, True
        self._failing()
        with self._told:
            self._told.notify_all()
        if first:
            _LOG.warning(
                "huddle_otel: the spend guard's store %s is left alone until it is well: %s; it is tried every %g s",
                self.url,
                why,
                self.pause,
            )

    def flush(self, until: float) -> bool:
        """Wait until what has been left so far is with the store, to a time of `time.monotonic()`.

        Returns:
            Whether it is. One that is away is not waited for.
        """
        with self._lock:
            if self._thread is None and self._queue.empty() and not self._backlog:
                return True
        ticket = next(self._asked)
        self.put(Command((), ()), lambda _: self._meet(ticket), lasting=True)
        with self._told:
            self._told.wait_for(lambda: self._met >= ticket or self.away, max(0.0, until - time.monotonic()))
            return self._met >= ticket

    def close(self) -> None:
        """End the thread and the connection when what waits is done; a later command starts them again, for itself.

        What waits for a store that is away is given up.
        """
        self._retiring = True
        if self._thread is not None:
            self._queue.put(None)

    def _meet(self, ticket: int) -> None:
        with self._told:
            self._met = max(self._met, ticket)
            self._told.notify_all()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _runs(self) -> bool:
        """See to it that the thread runs. Returns whether it does."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="huddle_otel-spend", daemon=True)
                    try:
                        thread.start()
                    except RuntimeError:  # too many threads, or too late
                        return False
                    self._thread = thread
        return True

    def _run(self) -> None:
        with suppress_instrumentation():  # the app's own spans of Redis are of the app's own commands
            rests_until = 0.0
            while not self._over():
                self._collect(rests_until)
                if (self._backlog or self.away) and time.monotonic() >= rests_until:
                    rests_until = 0.0 if self._attempt() else time.monotonic() + self.pause
                if self.away:
                    self._refuse()

    def _over(self) -> bool:
        """Tell whether the thread is to end; a command that comes later finds none and starts another."""
        with self._lock:
            if not self._retiring or not self._queue.empty() or (self._backlog and not self.away):
                return False
            self._thread = None
        self._connection.drop()
        return True

    def _collect(self, rests_until: float) -> None:
        """Wait for commands, or for the moment to try again, and take what has come."""
        patience = max(rests_until - time.monotonic(), 0.0) if self.away else None
        try:
            if not self._backlog or self.away:
                self._take(self._queue.get(timeout=patience))
            while True:
                self._take(self._queue.get_nowait())
        except queue.Empty:
            return

    def _take(self, job: Job | None) -> None:
        if job is not None:
            self._backlog.append(job)

    def _attempt(self) -> bool:
        """Send what waits, or try whether a store that is away is back. Returns whether it worked."""
        batch = list(itertools.islice(self._backlog, _BATCH))
        try:
            replies = self._connection.send([job.command for job in batch])
        except Exception as error:  # noqa: BLE001 - whatever redis runs into, the thread lives
            self._connection.drop()
            self.failed(self._connection.reason(error))
            return False
        trouble = None
        for job, reply in zip(batch, replies, strict=True):
            self._backlog.popleft()
            if isinstance(reply, Exception) and not is_damage(reply):
                trouble = reply
                self._backlog.append(job)
            else:
                self._tell(job, self._word(job.command, reply))
        if trouble is not None:
            self.failed(self._connection.reason(trouble))
            return False
        self._recovered()
        return True

    def _word(self, command: Command, reply: Any) -> Word | None:
        """Return the word in a reply, None if it has none; say once which accounts somebody has spoiled."""
        keys, error = command.keys, reply
        if not keys:
            return None
        if isinstance(reply, list):
            try:
                return read(reply)
            except (TypeError, ValueError) as unreadable:
                error = unreadable
        if keys not in self._damaged and len(self._damaged) < _MOST_TOLD:
            self._damaged.add(keys)
            _LOG.warning(
                "huddle_otel: a shared account cannot be used: %s; its keys are %s, and deleting them mends it",
                self._connection.reason(error),
                ", ".join(keys),
            )
        return None

    def _recovered(self) -> None:
        with self._lock:
            back, self.away = self.away, False
        if back:
            _LOG.info("huddle_otel: the spend guard's store %s is well again", self.url)

    def _tell(self, job: Job, word: Word | None) -> None:
        """Tell a job what came of it; the thread outlives whatever that leads to."""
        try:
            job.done(word)
        except Exception:  # noqa: BLE001 - whatever it is, the others go on
            _LOG.warning("huddle_otel: a shared account could not be kept", exc_info=True)

    def _refuse(self) -> None:
        """Let nobody wait for a store that is away."""
        waiting = list(self._backlog)
        self._backlog.clear()
        self._backlog.extend(job for job in waiting if job.lasting)
        for job in waiting:
            if not job.lasting:
                self._tell(job, None)


_stores: Final[weakref.WeakSet[Store]] = weakref.WeakSet()


def _flush_all() -> None:
    until = time.monotonic() + GRACE
    for store in list(_stores):
        store.flush(until)


def _in_worker(_: Store) -> None:
    util.Finalize(None, _flush_all, exitpriority=0)


def _renew_all() -> None:
    for store in list(_stores):
        store.renew()


atexit.register(_flush_all)  # before the keeper registers what ends open streams, so it runs after that
os.register_at_fork(after_in_child=_renew_all)
