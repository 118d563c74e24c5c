"""`huddle-otel report`: what the ledger comes to: `period` is when, `ledger` reads, `figures` adds, `forms` prints.

`html` makes a page of it, with `charts` of the `series` over time.
"""

from __future__ import annotations

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


def run(path: Path | None, *, since: float, until: float, by: Sequence[str], form: str, top: int) -> None:
    """Print a report.

    Args:
        path: The ledger; None is the usual one.
        since: Unix time, s, from which calls count.
        until: Unix time, s, before which they do.
        by: What to group by: names in `ledger.KEYS`, others are tags.
        form: A name in `forms.FORMS`, or `html`.
        top: How many of the dearest calls to list.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
    """
    path, period, now = path or default_path(), Period(since, until), time.time()
    report = ledger.read(path, period, by=tuple(by), top=top, now=now)
    if form == "html":
        print(html.of_ledger(path, report, now=now), end="")
    else:
        forms.FORMS[form](report)


def write(path: Path | None, *, since: float, until: float, by: Sequence[str], top: int, into: Path) -> None:
    """Write a report into a file, as an HTML page; the other arguments are those of `run`.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        ConfigurationError: The file cannot be written.
    """
    path, period, now = path or default_path(), Period(since, until), time.time()
    page = html.of_ledger(path, ledger.read(path, period, by=tuple(by), top=top, now=now), now=now)
    try:
        into.write_text(page, "ascii")
    except OSError as error:
        raise ConfigurationError(
            field="--html", value=str(into), permitted=f"a file that can be written ({error.strerror})"
        ) from error
