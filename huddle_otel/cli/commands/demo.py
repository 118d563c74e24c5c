"""`huddle-otel demo`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from huddle_otel.cli.commands.shape import USAGE, Commands

if TYPE_CHECKING:
    from rich.console import Console

DEMO_SECONDS: Final = 40.0
"""Length of the demo's two runs together, s; with starting and winding down it stays under 45."""
STACK_SECONDS: Final = 300.0
"""The same with `--stack`, s: long enough for alerts to come and go several times."""
CHEAP_MODEL: Final = "gpt-4.1-nano"
"""For the one real call of `demo --live`: a hundredth of a cent at most, and not a reasoning model."""


def add(commands: Commands) -> None:
    """Add the command."""
    demo = commands.add_parser(
        "demo",
        help="watch an ordinary app go through a bad minute, with and without huddle_otel",
        description="Run an ordinary app against an embedded gateway on this machine that is healthy, goes down, "
        "limits rates, fails and recovers; then the same calls without huddle_otel. Needs no key and no network.",
    )
    demo.add_argument(
        "--seconds",
        type=_seconds,
        metavar="N",
        help=f"length of both runs together, 10 to 300 (default: {DEMO_SECONDS:g}, with --stack {STACK_SECONDS:g})",
    )
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="of the traffic (default: %(default)s)")
    what = demo.add_mutually_exclusive_group()
    what.add_argument(
        "--stack",
        action="store_true",
        help="instead, play it in a loop, watched by Prometheus and Alertmanager on this machine, with our alerts",
    )
    what.add_argument(
        "--live", action="store_true", help="instead, make one real call with HUDDLE_API_KEY and show its span"
    )
    demo.add_argument(
        "--model", default=CHEAP_MODEL, metavar="ID", help="the model of the real call (default: %(default)s)"
    )
    demo.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import demo, output  # noqa: PLC0415 - see the package

    console = output.console()
    if arguments.live:
        return demo.live(console, model=arguments.model)
    if arguments.stack:
        return _stack(console, arguments)
    return demo.show(console, seconds=arguments.seconds or DEMO_SECONDS, seed=arguments.seed)


def _stack(console: Console, arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import stack  # noqa: PLC0415 - see the package

    try:
        return stack.show(console, seconds=arguments.seconds or STACK_SECONDS, seed=arguments.seed)
    except stack.StackError as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 10 <= value <= 300:  # noqa: PLR2004 - below, the openai client's own waits are longer than a phase
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 10 to 300")
    return value
