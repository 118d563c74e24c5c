"""The `huddle-otel` command. Each subcommand imports what it needs when it runs, so that the others stay quick.

Exit codes: 0 all is well, 1 it ran and found a problem, 2 it could not run as asked, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, TypeAlias

from huddle_otel._version import __version__
from huddle_otel.errors import ConfigurationError

USAGE: Final = 2
_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
"""What `add_subparsers` returns; argparse has no public name for it."""
_INTERRUPTED: Final = 130
_NOBODY_READS: Final = 141
"""What a shell reports of a program that ended by SIGPIPE."""

DEMO_SECONDS: Final = 40.0
"""Length of the demo's two runs together, s; with starting and winding down it stays under 45."""
CHEAP_MODEL: Final = "gpt-4.1-nano"
"""For the one real call of `demo --live`: a hundredth of a cent at most, and not a reasoning model."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments after the command's name; the process's own when None.

    Returns:
        The exit code.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:  # argparse has said why
        return USAGE if end.code not in {0, None} else 0
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigurationError as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("huddle-otel: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # `huddle-otel prices list | head`: give the interpreter something else to flush into at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="huddle-otel",
        description="Observability and reliability for the openai client on Huddle01's gateway.",
    )
    parser.add_argument("--version", action="version", version=f"huddle-otel {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_doctor(commands)
    _add_prices(commands)
    _add_report(commands)
    return parser


def _add_demo(commands: _Commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="watch an ordinary app go through a bad minute, with and without huddle_otel",
        description="Run an ordinary app against an embedded gateway on this machine that is healthy, goes down, "
        "limits rates, fails and recovers; then the same calls without huddle_otel. Needs no key and no network.",
    )
    demo.add_argument(
        "--seconds",
        type=_seconds,
        default=DEMO_SECONDS,
        metavar="N",
        help="length of both runs together, 10 to 300 (default: %(default)g)",
    )
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="of the traffic (default: %(default)s)")
    demo.add_argument(
        "--live", action="store_true", help="instead, make one real call with HUDDLE_API_KEY and show its span"
    )
    demo.add_argument(
        "--model", default=CHEAP_MODEL, metavar="ID", help="the model of the real call (default: %(default)s)"
    )
    demo.set_defaults(run=_demo)


def _add_doctor(commands: _Commands) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check versions, settings, key, gateway and telemetry, and say how to fix what is wrong",
        description="Check what huddle_otel depends on. Keys are never shown. Exits with 1 when there is a problem.",
    )
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    network = doctor.add_mutually_exclusive_group()
    network.add_argument("--no-network", action="store_true", help="leave out every check that opens a connection")
    network.add_argument("--chat", metavar="MODEL", help="also make one smallest chat call, and show its headers")
    doctor.set_defaults(run=_doctor)


def _add_prices(commands: _Commands) -> None:
    prices = commands.add_parser("prices", help="show the prices used when the gateway states no cost")
    actions = prices.add_subparsers(title="actions", required=True, metavar="ACTION")
    actions.add_parser("list", help="all models of the catalogue").set_defaults(run=_prices, model=None)
    show = actions.add_parser("show", help="the price one model id stands for")
    show.add_argument("model", metavar="MODEL")
    show.set_defaults(run=_prices)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 10 <= value <= 300:  # noqa: PLR2004 - below, the openai client's own waits are longer than a phase
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 10 to 300")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import demo, output  # noqa: PLC0415 - see the module

    console = output.console()
    if arguments.live:
        return demo.live(console, model=arguments.model)
    return demo.show(console, seconds=arguments.seconds, seed=arguments.seed)


def _doctor(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import doctor, output  # noqa: PLC0415 - see the module

    checks = doctor.examine(network=not arguments.no_network, chat=arguments.chat)
    if arguments.json:
        print(doctor.as_json(checks))
    else:
        doctor.show(checks, output.console())
    return doctor.exit_code(checks)


def _prices(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import output, prices  # noqa: PLC0415 - see the module

    if arguments.model is None:
        return prices.show_all(output.console())
    return prices.show_one(output.console(), arguments.model)


def _add_report(commands: _Commands) -> None:
    report = commands.add_parser(
        "report",
        help="show spend, waste, latency and outcomes from the ledger",
        description="Adds up the ledger that instrument(exporters=['ledger']) writes. Times are UTC. Latencies are "
        "read to 5 ms up to a second, 50 ms up to ten, then to a second.",
    )
    report.add_argument("--ledger", metavar="FILE", help="the ledger (default: HUDDLE_OTEL_LEDGER, or the usual place)")
    when = "90m, 24h, 7d, 2w ago, or a date or time as 2026-11-01T08:00"
    report.add_argument("--since", type=_moment, default="7d", help=f"{when} (default: 7d)")
    report.add_argument("--until", type=_moment, help="the same (default: now)")
    report.add_argument(
        "--by",
        type=_names,
        default="model",
        metavar="NAME[,NAME]",
        help="model, response_model, operation, provider, host, outcome, error, source, stream, hour, day, or any tag",
    )
    report.add_argument("--format", choices=["table", "json", "csv", "md"], default="table")
    report.add_argument("--top", type=int, default=5, metavar="N", help="list the N dearest calls (default: 5)")
    report.add_argument("--advice", action="store_true", help="say instead what could be cheaper, with figures")
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import report  # noqa: PLC0415 - see above

    if arguments.advice:
        return report.advise(arguments.ledger, since=arguments.since, until=arguments.until)
    return report.run(
        arguments.ledger,
        since=arguments.since,
        until=arguments.until,
        by=arguments.by,
        form=arguments.format,
        top=max(0, arguments.top),
    )


def _moment(text: str) -> float:
    import time  # noqa: PLC0415 - see above

    from huddle_otel.cli.report.period import moment  # noqa: PLC0415 - see above

    try:
        return moment(text, now=time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if '"' in text:
        raise argparse.ArgumentTypeError('a tag name cannot hold a "')
    return names
