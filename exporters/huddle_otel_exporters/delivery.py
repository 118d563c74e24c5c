"""Handing batches to an exporter off the call path, and saying once, not a thousand times, that it fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

_LOG: Final = logging.getLogger("huddle_otel")
_NOISY: Final = ("opentelemetry.exporter.",)
QUIET: Final = 600.0
"""Seconds between two warnings about a back end that keeps coming and going."""


class DeliveryError(Exception):
    """An exporter's own word on why a batch was not taken, fit to be shown."""


class Trouble:
    """Says that a back end does not take what it is sent, and that it does again. One for all signals of a back end."""

    def __init__(self, name: str, where: str, *, meanwhile: str = "batches are lost") -> None:
        """Take the exporter's name, the place to show (no credentials), and what happens while it takes nothing."""
        self._name, self._where, self._meanwhile = name, where, meanwhile
        self._lock = threading.Lock()
        self._down = False
        self._told_at = -QUIET
        self._refused = 0

    def failed(self, reason: str) -> None:
        """A batch was not taken."""
        with self._lock:
            self._down, self._refused = True, self._refused + 1
            now = time.monotonic()
            if now - self._told_at < QUIET:
                return
            self._told_at = now
        _LOG.warning(
            "huddle_otel: %s at %s does not take telemetry (%s). Calls go on; until it does, %s, "
            "and this is not said again",
            self._name,
            self._where,
            reason,
            self._meanwhile,
        )

    def delivered(self) -> None:
        """A batch was taken."""
        with self._lock:
            was_down, refused = self._down, self._refused
            self._down, self._refused = False, 0
        if was_down:
            _LOG.info(
                "huddle_otel: %s at %s takes telemetry again; %d batches were refused", self._name, self._where, refused
            )

    def in_child(self) -> None:
        """Replace the lock, which another thread of the parent may have held; what was said stays said."""
        self._lock = threading.Lock()


class Sink:
    """One exporter of the SDK's kind: anything with `export(batch)`, which returns an enum, and `shutdown()`."""

    def __init__(self, build: Callable[[], Any], trouble: Trouble) -> None:
        """Build the exporter, now and once more in each forked child: connections must not be shared."""
        self._build, self._trouble = build, trouble
        self.exporter = build()
        self._inherited: list[Any] = []
        self._stale = False
        self._sending = threading.Lock()
        self._held = False
        _listen()

    def send(self, batch: Any) -> bool:
        """Export one batch; return whether it was taken. Takes as long as the exporter's timeout."""
        with self._sending, suppress_instrumentation(), _muted() as heard:
            if self._stale:
                # the parent's exporter is kept: closing it might say goodbye on a connection the parent still uses
                self._inherited.append(self.exporter)
                self.exporter, self._stale = self._build(), False
            try:
                taken = bool(self.exporter.export(batch).name == "SUCCESS")
            except Exception as error:  # noqa: BLE001 - an exporter that raises has not delivered
                taken = False
                heard.append(str(error) if isinstance(error, DeliveryError) else type(error).__name__)
        if taken:
            self._trouble.delivered()
        else:
            self._trouble.failed(heard[-1] if heard else "no reason given")
        return taken

    def close(self) -> None:
        """Release the exporter's connections; an export that is waiting to try again gives up."""
        if not self._stale:
            with _muted():
                self.exporter.shutdown()

    # --- forks --------------------------------------------------------------------------------------------------------

    def before_fork(self, *, until: float) -> None:
        """Let an export under way end, until a time of `time.monotonic()`.

        An exporter holds locks that a child would inherit locked for ever: `requests` imports a module for each
        request, and import locks survive a fork. One that only waits for a back end holds none of these, so that it is
        not waited for long.
        """
        self._held = self._sending.acquire(timeout=max(0.0, until - time.monotonic()))

    def after_fork(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._sending.release()

    def in_child(self) -> None:
        """Use an exporter of this process's own from now on."""
        self._sending, self._held = threading.Lock(), False
        self._stale = True
        self._trouble.in_child()


# --- the SDK's own log lines ------------------------------------------------------------------------------------------

_hearing = threading.local()


class _Ear(logging.Filter):
    """Keeps what exporters log on our threads out of the app's log, and notes the reason; other threads log on."""

    def filter(self, record: logging.LogRecord) -> bool:
        heard: list[str] | None = getattr(_hearing, "heard", None)
        if heard is None or record.levelno < logging.WARNING:
            return True
        arguments: tuple[object, ...] = record.args if isinstance(record.args, tuple) else ()
        heard.extend(reason for each in arguments if (reason := _reason(each)))
        return False


_EAR: Final = _Ear()


def _listen() -> None:
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(_NOISY):
            logging.getLogger(name).addFilter(_EAR)


@contextmanager
def _muted() -> Generator[list[str]]:
    heard: list[str] = []
    _hearing.heard = heard
    try:
        yield heard
    finally:
        _hearing.heard = None


def _reason(argument: object) -> str:
    """Return what may be shown of a log argument: a kind of error, never a URL or a text from elsewhere."""
    if isinstance(argument, BaseException):
        return type(argument).__name__
    if isinstance(argument, int):
        return f"HTTP {argument}"
    return getattr(argument, "name", "") if type(argument).__name__ == "StatusCode" else ""
