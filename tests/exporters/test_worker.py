"""The thread that does the exporting."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from huddle_otel_exporters.environment import number
from huddle_otel_exporters.worker import Worker


def soon() -> float:
    return time.monotonic() + 5


def test_it_runs_by_itself_and_when_asked() -> None:
    runs, twice = [0], threading.Event()

    def job() -> bool:
        runs[0] += 1
        if runs[0] > 1:
            twice.set()
        return True

    worker = Worker("test", job, every=0.001)
    worker.start()
    assert twice.wait(5)
    assert worker.wait(worker.poke(), until=soon())
    worker.end()
    worker.end()
    assert worker.join(until=soon())


def test_an_asked_for_run_begins_after_the_asking() -> None:
    seen: list[int] = []
    box, inside, go = [1], threading.Event(), threading.Event()

    def job() -> bool:
        seen.append(box[0])
        inside.set()
        return go.wait(5)

    worker = Worker("test", job, every=60)
    worker.start()
    worker.poke()
    assert inside.wait(5)
    box[0] = 2
    ticket = worker.poke()
    go.set()
    assert worker.wait(ticket, until=soon())
    assert seen == [1, 2]
    worker.end()


def test_a_job_that_fails_or_raises_goes_on() -> None:
    ways = iter([False, None, True])

    def job() -> bool:
        way = next(ways, True)
        if way is None:
            raise ZeroDivisionError
        return way

    worker = Worker("test", job, every=60)
    worker.start()
    assert [worker.wait(worker.poke(), until=soon()) for _ in range(3)] == [False, False, True]
    worker.stop()
    assert worker.join(until=soon())
    assert not worker.wait(worker.poke(), until=soon()), "nobody runs it any more, and nobody waits"


@pytest.mark.parametrize(("value", "expected"), [("", 7), ("2.5", 2.5), ("0", 7), ("-1", 7), ("many", 7)])
def test_a_variable_that_is_no_number_is_said(
    value: str, expected: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", value)
    caplog.set_level(logging.WARNING)
    assert number("OTEL_BSP_SCHEDULE_DELAY", 7) == expected
    assert bool(caplog.messages) == (value in {"0", "-1", "many"})
