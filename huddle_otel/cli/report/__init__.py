"""`huddle-otel report`: what the ledger comes to: `period` is when, `ledger` reads, `figures` adds, `forms` prints.

`html` makes a page of it, with `charts` of the `series` over time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from huddle_otel.cli.report import advice, forms, html, ledger
from huddle_otel.cli.report.period import Period
from huddle_otel.errors import ConfigurationError
from huddle_otel_exporters.ledger import default_path

if TYPE_CHECKING:
    from collections.abc import Sequence


def advise(path: Path | None, *, since: float, until: float) -> None:
    """Print what could be cheaper. Arguments and errors are those of `run`."""
    forms.as_advice(advice.advise(path or default_path(), Period(since, until)))


def run(
    path: Path | None, *, since: float, until: float, by: Sequence[str], form: str, top: int, into: Path | None = None
) -> None:
    """Print a report, or write it into a file.

    Args:
        path: The ledger; None is the usual one.
        since: Unix time, s, from which calls count.
        until: Unix time, s, before which they do.
        by: What to group by: names in `ledger.KEYS`, others are tags.
        form: A name in `forms.FORMS`, or `html`.
        top: How many of the dearest calls to list.
        into: A file for the HTML page; None prints.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        ConfigurationError: The file cannot be written.
    """
    path, now = path or default_path(), time.time()
    report = ledger.read(path, Period(since, until), by=tuple(by), top=top, now=now)
    if form != "html" and into is None:
        forms.FORMS[form](report)
        return
    page = html.of_ledger(path, report, now=now)
    if into is None:
        sys.stdout.write(page)
        return
    try:
        into.write_text(page, "ascii")
    except OSError as error:
        raise ConfigurationError(
            field="--html", value=str(into), permitted=f"a file that can be written ({error.strerror})"
        ) from error
