"""When a process forks, exits or is told to end."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import weakref
from multiprocessing import parent_process, util
from types import FrameType
from typing import Any, Final

from huddle_otel_exporters.pipeline import Pipeline
from huddle_otel_exporters.worker import GRACE

_LOG: Final = logging.getLogger("huddle_otel")
_pipelines: Final[weakref.WeakSet[Pipeline]] = weakref.WeakSet()
_hooked = False


def watch(pipeline: Pipeline) -> None:
    """Shut a pipeline down when the process exits, and start it over in forked children."""
    global _hooked  # noqa: PLW0603 - hooks cannot be taken back, so they are set once
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_in_child)
    _pipelines.add(pipeline)
    atexit.register(_at_exit, weakref.ref(pipeline))
    # A multiprocessing child leaves by os._exit(), past atexit, after its own finalizers; a fork keeps none of these.
    util.register_after_fork(pipeline, _finalize)
    if parent_process() is not None:
        _finalize(pipeline)


def install_sigterm(pipeline: Pipeline) -> bool:
    """Deliver what has been recorded when SIGTERM comes, in 2 s at most, then do what SIGTERM did before.

    Without it, SIGTERM ends a Python process on the spot and loses what has not been exported. A handler of the app
    that is installed earlier is called afterwards; one installed later replaces this one.

    Returns:
        Whether it was installed: only the main thread can, and not over a handler that is not Python's.
    """
    try:
        before = signal.getsignal(signal.SIGTERM)
        if before is None:
            return False
        signal.signal(signal.SIGTERM, _Handler(pipeline, before))
    except ValueError:
        _LOG.info("huddle_otel: signal handlers can be installed from the main thread only; SIGTERM is left as it is")
        return False
    return True


class _Handler:
    def __init__(self, pipeline: Pipeline, before: Any) -> None:
        self._pipeline, self._before = pipeline, before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before):  # it may let the app go on for a while
            self._pipeline.flush(GRACE)
            self._before(number, frame)
        elif self._before is signal.SIG_IGN:
            self._pipeline.flush(GRACE)
        else:
            self._pipeline.shutdown()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)  # so that the exit status says what happened


def _at_exit(reference: weakref.ref[Pipeline]) -> None:
    pipeline = reference()
    if pipeline is not None:
        pipeline.shutdown()


def _finalize(pipeline: Pipeline) -> None:
    util.Finalize(pipeline, _at_exit, args=(weakref.ref(pipeline),), exitpriority=0)


def _before() -> None:
    for pipeline in list(_pipelines):
        pipeline.before_fork()


def _after() -> None:
    for pipeline in list(_pipelines):
        pipeline.after_fork()


def _in_child() -> None:
    for pipeline in list(_pipelines):
        pipeline.in_child()
