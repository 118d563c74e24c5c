"""Forks and exits: children of an instrumented process work, and nothing of ours keeps one from ending."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import KEY, SDK

SCRIPTS = Path(__file__).parent / "scripts"
EXITS = {
    "open stream": 0,
    "call in a thread": 0,
    "stream in a thread": 0,
    "dropped generator": 0,
    "exit in the loop": 3,
}
CUT_OFF = {"call in a thread", "stream in a thread"}


@pytest.fixture
def moody() -> Iterator[Gateway]:
    """A gateway two of whose models never finish."""
    rules = [Rule(faults.hang(), model="hangs"), Rule(faults.stall(2), model="stalls")]
    with Gateway(rules=rules, key=KEY) as server:
        yield server


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Python 3.12 warns of any fork of a process with threads; that it goes well is what is tested
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(SCRIPTS / script), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=20)
    finally:
        with suppress(ProcessLookupError):  # a child that hangs would hold the pipes open for ever
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_workers_call_with_threads_clocks_and_figures_of_their_own(moody: Gateway) -> None:
    done = _run("forking.py", moody.url, KEY)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(line["role"] for line in lines) == ["parent", "worker", "worker", "worker"]
    for line in lines:
        assert line["started"] == line["ended"], line
        # a worker has nothing to do with the stream that its parent had open
        assert line["admitted"] == line["ok"] + line["failure"] + line["ignored"], line


@pytest.mark.parametrize("how", EXITS)
def test_the_interpreter_ends_at_once_and_quietly(moody: Gateway, how: str) -> None:
    done = _run("leaving.py", moody.url, KEY, how)
    assert done.returncode == EXITS[how]
    # openai 3 leaves three generators inside one another to the event loop, which may say so; it is so without us, too
    known = SDK >= 3 and how == "dropped generator" and "asynchronous generator is already running" in done.stderr
    assert not done.stderr or (known and "huddle_otel" not in done.stderr)
    outcomes = done.stdout.split()
    if how in CUT_OFF:
        assert outcomes[0] == "ok"  # what a thread was in the middle of, the interpreter cuts off
    else:
        assert outcomes == ["ok", "abandoned"]
