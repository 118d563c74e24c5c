"""What the ledger costs: on the caller for each call, and how many rows a second one writer gets into the file.

`python -m tests.bench.ledger`: prints a table; the ratio is the rows written per second to the promised 20,000.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from huddle_otel_exporters.delivery import Sink, Trouble
from huddle_otel_exporters.ledger.writer import BATCH, Calls, Writer
from tests.exporters.test_ledger import RECORD

ROWS: Final = 100_000
PROMISED: Final = 20_000
ROUNDS: Final = 5


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


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        rates = []
        for number in range(ROUNDS):
            (Path(folder) / str(number)).mkdir()
            rates.append(writing(Path(folder) / str(number)))
    caller = median(adding() for _ in range(ROUNDS))
    print(f"on the caller: {caller * 1e6:.2f} us a call (promised: 5)")
    print(f"written: {median(rates):,.0f} rows/s, {median(rates) / PROMISED:.1f} times what is promised")


if __name__ == "__main__":
    main()
