"""`huddle-otel report`: `period` is when, `ledger` and `prometheus` read, `figures` adds, `columns` and `forms` print.

`snapshot` is one moment of the ledger, asked by several threads.

`focus` prints rows for FinOps tools, `advice` what could be cheaper. `html` makes a page, with `charts` of the `series`
over time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN
from huddle_otel.cli.report import forms, ledger
from huddle_otel.cli.report.figures import Report, ReportError
from huddle_otel.cli.report.period import Period
from huddle_otel_exporters.ledger import default_path

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ReportError", "advise", "as_focus", "read", "run", "write"]


def advise(path: Path | None, *, since: float, until: float) -> None:
    """Print what could be cheaper. Arguments and errors are those of `run`.

    Raises:
        ConfigurationError: `HUDDLE_OTEL_PRICES` names no file of prices.
    """
    from huddle_otel.cli.report import advice  # noqa: PLC0415 - the prices are read for this alone

    forms.as_advice(advice.advise(path or default_path(), Period(since, until)))


def as_focus(path: Path | None, *, since: float, until: float, by: Sequence[str]) -> None:
    """Print FOCUS rows, by day, or by hour where `by` names it. Other arguments and errors are those of `run`."""
    from huddle_otel.cli.report import focus  # noqa: PLC0415 - only for this

    focus.run(path or default_path(), Period(since, until), hourly="hour" in by)


def run(source: Path | str | None, *, since: float, until: float, by: Sequence[str], form: str, top: int) -> None:
    """Print a report.

    Args:
        source: The ledger, or the URL of a Prometheus server; None is the usual ledger.
        since: Unix time, s, from which calls count.
        until: Unix time, s, before which they do.
        by: What to group by: names in `ledger.KEYS`, others are tags.
        form: A name in `forms.FORMS`, or `html`.
        top: How many of the dearest calls to list.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        ReportError: It cannot be made as asked.
    """
    period = Period(since, until)
    if form == "html":
        print(_page(source, period, by=tuple(by), top=top), end="")
    else:
        forms.FORMS[form](read(source, period, by=tuple(by), top=top, everything=form != "table"))


def write(source: Path | str | None, *, since: float, until: float, by: Sequence[str], top: int, into: Path) -> None:
    """Write a report into a file, as an HTML page. Other arguments and errors are those of `run`."""
    page = _page(source, Period(since, until), by=tuple(by), top=top)
    try:
        into.write_text(page, "ascii")
    except OSError as error:
        raise ReportError(f"{into}: cannot be written ({error.strerror})") from error


def read(
    source: Path | str | None, period: Period, *, by: tuple[str, ...], top: int, everything: bool = True
) -> Report:
    """Read the figures of a report; everything, or what 80 columns hold. Arguments and errors are those of `run`."""
    now = time.time()
    if isinstance(source, str):
        return _ask(source, period, by=by, now=now)
    return ledger.read(source or default_path(), period, by=by, top=top, now=now, everything=everything)


def _ask(url: str, period: Period, *, by: tuple[str, ...], now: float) -> Report:
    from huddle_otel.cli.prometheus import Prometheus, PrometheusError, QueryError  # noqa: PLC0415 - only for this
    from huddle_otel.cli.report import prometheus  # noqa: PLC0415 - as above

    try:
        server = Prometheus(url, token=os.environ.get(PROMETHEUS_TOKEN, ""))
        return prometheus.read(server, period, by=by, now=now)
    except QueryError as error:
        raise ReportError(f"Prometheus refuses a query: {error}") from error
    except PrometheusError as error:
        raise ReportError(str(error)) from error


def _page(source: Path | str | None, period: Period, *, by: tuple[str, ...], top: int) -> str:
    from huddle_otel.cli.report import html  # noqa: PLC0415 - only for this

    if isinstance(source, str):
        return html.page(read(source, period, by=by, top=top), ())
    return html.of_ledger(source or default_path(), period, by=by, top=top, now=time.time())
