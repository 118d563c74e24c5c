"""What the ledger costs: on the caller for each call, rows a second into the file, and reports over a million of them.

`python -m tests.bench.ledger`: prints a line for each, beside what is promised.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from huddle_otel.events import CallRecord
from huddle_otel_exporters.delivery import Sink, Trouble
from huddle_otel_exporters.ledger.writer import BATCH, Calls, Writer
from tests.exporters.test_ledger import RECORD

ROWS: Final = 100_000
PROMISED: Final = 20_000
ROUNDS: Final = 5
MILLION: Final = 10**6
FORMS: Final = {
    "table": ("--format", "table"),
    "wide": ("--wide",),
    "focus": ("--focus",),
    "html": ("--format", "html"),
    "advice": ("--advice",),
}
"""Name of a form -> how it is asked for."""
SPACING: Final = 5.0
"""Seconds between two calls: a million are two months."""


def adding() -> float:
    """Return the seconds `Calls.add` takes of the caller, with the worker's pokes, nothing written."""
    queue = Calls(Sink(lambda: None, Trouble("ledger", "nowhere")))
    begun = time.thread_time()
    for _ in range(ROWS):
        queue.add(RECORD)
    return (time.thread_time() - begun) / ROWS


def writing(folder: Path) -> float:
    """Return rows a second, transactions and conversion included."""
    writer = Writer(folder / "ledger.db")
    records = [replace(RECORD, attempts=number) for number in range(BATCH)]
    begun = time.perf_counter()
    for _ in range(ROWS // BATCH):
        writer.export(records)
    writer.shutdown()
    return ROWS / (time.perf_counter() - begun)


def fill(path: Path, now: float) -> None:
    """Write a million calls up to now."""
    random, writer = Random(1), Writer(path)
    for number in range(MILLION // BATCH):
        batch = (_some(random, now - (MILLION - number * BATCH - each) * SPACING) for each in range(BATCH))
        writer.export(batch)
    writer.shutdown()


def reporting(path: Path, *form: str) -> list[tuple[float, float]]:
    """Return the seconds, and the seconds of CPU, that the whole command takes over a million rows, each time."""
    command = [sys.executable, "-m", "huddle_otel.cli", "report", "--ledger", str(path), "--since", "90d"]
    took = []
    for _ in range(ROUNDS):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*command, *form], check=True, stdout=subprocess.DEVNULL)
        whole, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append((whole, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return took


def _some(random: Random, started: float) -> CallRecord:
    return replace(
        RECORD,
        started=started,
        model=random.choice(["gpt-4.1", "gpt-4.1-mini", "claude-sonnet-4.6", "deepseek-v3.2", "gemini-2.5-flash"]),
        outcome=random.choice(["ok"] * 20 + ["error", "timeout"]),
        duration=random.lognormvariate(0.5, 0.8),
        cost=random.randrange(10**7),
    )


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        rates = []
        for number in range(ROUNDS):
            (Path(folder) / str(number)).mkdir()
            rates.append(writing(Path(folder) / str(number)))
        path = Path(folder) / "million.db"
        fill(path, time.time())
        reports = {name: reporting(path, *form) for name, form in FORMS.items()}
    caller = median(adding() for _ in range(ROUNDS))
    print(f"on the caller: {caller * 1e6:.2f} us a call (promised: 5)")
    print(f"written: {median(rates):,.0f} rows/s, {median(rates) / PROMISED:.1f} times what is promised")
    for form, took in reports.items():
        whole, cpu = zip(*took, strict=True)
        promised = " (promised: 2)" if form == "table" else ""
        print(
            f"a million rows as {form}, the whole command: {median(whole):.2f} s, {min(whole):.2f} at least{promised}, "
            f"{median(cpu):.2f} s of CPU on two threads"
        )


if __name__ == "__main__":
    main()
