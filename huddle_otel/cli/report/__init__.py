"""`huddle-otel report`: what the ledger comes to: `period` is when, `ledger` reads, `figures` adds, `forms` prints."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from huddle_otel.cli.output import console, plain
from huddle_otel.cli.report import advice, forms, ledger
from huddle_otel.cli.report.period import Period
from huddle_otel_exporters.ledger import LedgerError, default_path

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_POSSIBLE = 2


def advise(path: str | None, *, since: float, until: float | None) -> int:
    """Print what could be cheaper; arguments and exit code as of `run`."""
    try:
        lines = advice.advise(
            Path(path) if path else default_path(), Period(since, time.time() if until is None else until)
        )
    except LedgerError as error:
        return _refused(error)
    screen = console()
    for line in lines or ["Nothing stands out: no saving here would be a hundredth of the spend."]:
        screen.print(plain(f"* {forms.one_line(line)}"))
    return 0


def run(path: str | None, *, since: float, until: float | None, by: Sequence[str], form: str, top: int) -> int:
    """Print a report.

    Args:
        path: The ledger; None is the usual one.
        since: Unix time, s, from which calls count.
        until: Unix time, s, before which they do; None is now.
        by: What to group by: names in `ledger.KEYS`, others are tags.
        form: A name in `forms.FORMS`.
        top: How many of the dearest calls to list.

    Returns:
        The exit code: 2 when there is no ledger that can be read.
    """
    now = time.time()
    try:
        report = ledger.read(
            Path(path) if path else default_path(),
            Period(since, now if until is None else until),
            by=tuple(by),
            top=top,
            now=now,
        )
    except LedgerError as error:
        return _refused(error)
    forms.FORMS[form](report)
    return 0


def _refused(error: LedgerError) -> int:
    print(f"huddle-otel: {error}", file=sys.stderr)
    return _NOT_POSSIBLE
