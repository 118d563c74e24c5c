"""`huddle-otel report`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN, USAGE, Commands, names

_MOST_NAMES: Final = 8
"""Groupings of one report: more is a mistake."""


def add(commands: Commands) -> None:
    """Add the command."""
    report = commands.add_parser(
        "report",
        help="show spend, waste, latency and outcomes from the ledger, or from Prometheus",
        description="Adds up the ledger that instrument(exporters=['ledger']) writes, or what a Prometheus server has "
        "of many machines. Times are UTC. Latencies are told to 5 ms up to a second, 50 ms up to ten, then a second.",
    )
    source = report.add_mutually_exclusive_group()
    source.add_argument(
        "--ledger", type=Path, metavar="FILE", help="the ledger (default: HUDDLE_OTEL_LEDGER, or the usual place)"
    )
    source.add_argument(
        "--prometheus", metavar="URL", help=f"ask this server instead; {PROMETHEUS_TOKEN} is its bearer token"
    )
    when = "90m, 24h, 7d, 2w ago, or a date or time as 2026-11-01T08:00"
    report.add_argument("--since", type=_moment, default="7d", help=f"{when} (default: 7d)")
    report.add_argument("--until", type=_moment, default="now", help="the same (default: now)")
    report.add_argument(
        "--by",
        type=_names,
        default="model",
        metavar="NAME[,NAME]",
        help="model, response_model, operation, provider, host, outcome, error, finish_reason, source, stream, hour, "
        "day, or any tag",
    )
    form = report.add_mutually_exclusive_group()
    form.add_argument("--format", choices=["table", "wide", "json", "csv", "md", "html", "focus"], default="table")
    form.add_argument(
        "--wide", action="store_const", dest="format", const="wide", help="every column, as --format wide"
    )
    form.add_argument(
        "--focus", action="store_const", dest="format", const="focus", help="rows of FOCUS 1.2, as --format focus"
    )
    form.add_argument("--html", type=Path, metavar="FILE", help="write one HTML page with charts, for any browser")
    form.add_argument("--advice", action="store_true", help="say instead what could be cheaper, with figures")
    report.add_argument("--top", type=int, default=5, metavar="N", help="list the N dearest calls (default: 5)")
    report.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import report  # noqa: PLC0415 - see the package
    from huddle_otel_exporters.ledger import LedgerError  # noqa: PLC0415 - see the package

    when = {"since": arguments.since, "until": arguments.until}
    try:
        _check(arguments)
        if arguments.advice:
            report.advise(arguments.ledger, **when)
        elif arguments.format == "focus":
            report.as_focus(arguments.ledger, **when, by=arguments.by)
        else:
            source = arguments.ledger if arguments.prometheus is None else arguments.prometheus
            what: dict[str, Any] = {**when, "by": arguments.by, "top": max(0, arguments.top)}
            if arguments.html is not None:
                report.write(source, **what, into=arguments.html)
            else:
                report.run(source, **what, form=arguments.format)
    except (LedgerError, report.ReportError) as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    return 0


def _check(arguments: argparse.Namespace) -> None:
    from huddle_otel.cli.report import ReportError  # noqa: PLC0415 - see the package

    if arguments.since >= arguments.until:
        raise ReportError("--since must be before --until")
    if arguments.prometheus is not None and (arguments.advice or arguments.format == "focus"):
        raise ReportError("--advice and --focus look at single calls, which only a ledger has")


def _moment(text: str) -> float:
    from huddle_otel.cli.report.period import moment  # noqa: PLC0415 - see the package

    try:
        return moment(text, now=time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(text: str) -> tuple[str, ...]:
    found = names(text)
    if '"' in text or not text.isprintable():
        raise argparse.ArgumentTypeError('a tag name holds neither a " nor what cannot be printed')
    if len(found) > _MOST_NAMES:
        raise argparse.ArgumentTypeError(f"at most {_MOST_NAMES} names, not {len(found)}")
    return found
