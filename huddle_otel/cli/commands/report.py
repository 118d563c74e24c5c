"""`huddle-otel report`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from huddle_otel.cli.commands.shape import USAGE, Commands


def add(commands: Commands) -> None:
    """Add the command."""
    report = commands.add_parser(
        "report",
        help="show spend, waste, latency and outcomes from the ledger",
        description="Adds up the ledger that instrument(exporters=['ledger']) writes. Times are UTC. Latencies are "
        "read to 5 ms up to a second, 50 ms up to ten, then to a second.",
    )
    report.add_argument(
        "--ledger", type=Path, metavar="FILE", help="the ledger (default: HUDDLE_OTEL_LEDGER, or the usual place)"
    )
    when = "90m, 24h, 7d, 2w ago, or a date or time as 2026-11-01T08:00"
    report.add_argument("--since", type=_moment, default="7d", help=f"{when} (default: 7d)")
    report.add_argument("--until", type=_moment, default="now", help="the same (default: now)")
    report.add_argument(
        "--by",
        type=_names,
        default="model",
        metavar="NAME[,NAME]",
        help="model, response_model, operation, provider, host, outcome, error, source, stream, hour, day, or any tag",
    )
    report.add_argument("--format", choices=["table", "json", "csv", "md", "html"], default="table")
    report.add_argument("--html", type=Path, metavar="FILE", help="write one HTML page with charts, for any browser")
    report.add_argument("--top", type=int, default=5, metavar="N", help="list the N dearest calls (default: 5)")
    report.add_argument("--advice", action="store_true", help="say instead what could be cheaper, with figures")
    report.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import report  # noqa: PLC0415 - see the package
    from huddle_otel_exporters.ledger import LedgerError  # noqa: PLC0415 - see the package

    when = {"since": arguments.since, "until": arguments.until}
    try:
        if arguments.advice:
            report.advise(arguments.ledger, **when)
            return 0
        what = {**when, "by": arguments.by, "top": max(0, arguments.top)}
        if arguments.html:
            report.write(arguments.ledger, **what, into=arguments.html)
        else:
            report.run(arguments.ledger, **what, form=arguments.format)
    except LedgerError as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    return 0


def _moment(text: str) -> float:
    from huddle_otel.cli.report.period import moment  # noqa: PLC0415 - see the package

    try:
        return moment(text, now=time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if '"' in text:
        raise argparse.ArgumentTypeError('a tag name cannot hold a "')
    return names
