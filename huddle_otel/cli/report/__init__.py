"""`huddle-otel report`: what the ledger comes to: `period` is when, `ledger` reads, `figures` adds, `forms` prints."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from huddle_otel.cli.report import advice, forms, ledger
from huddle_otel.cli.report.period import Period
from huddle_otel_exporters.ledger import default_path

if TYPE_CHECKING:
    from collections.abc import Sequence


def advise(path: Path | None, *, since: float, until: float) -> None:
    """Print what could be cheaper. Arguments and errors are those of `run`."""
    forms.as_advice(advice.advise(path or default_path(), Period(since, until)))


def run(path: Path | None, *, since: float, until: float, by: Sequence[str], form: str, top: int) -> None:
    """Print a report.

    Args:
        path: The ledger; None is the usual one.
        since: Unix time, s, from which calls count.
        until: Unix time, s, before which they do.
        by: What to group by: names in `ledger.KEYS`, others are tags.
        form: A name in `forms.FORMS`.
        top: How many of the dearest calls to list.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
    """
    period = Period(since, until)
    forms.FORMS[form](ledger.read(path or default_path(), period, by=tuple(by), top=top, now=time.time()))
