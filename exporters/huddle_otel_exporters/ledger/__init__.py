"""The ledger: one row for every call, in a SQLite file that outlives the process.

`file` can be used without the OpenTelemetry SDK, which the rest of the package imports when it is asked for.
"""

from __future__ import annotations

from huddle_otel_exporters.ledger.file import (
    COLUMNS,
    CorruptLedgerError,
    LedgerError,
    default_path,
    open_reader,
    reading,
)

__all__ = ["COLUMNS", "CorruptLedgerError", "LedgerError", "default_path", "open_reader", "reading"]
