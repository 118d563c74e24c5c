"""The `huddle-otel` command. Each subcommand imports what it needs when it runs, so that the others stay quick.

Exit codes: 0 all is well, 1 it ran and found a problem, 2 it could not run as asked, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

import huddle_otel
from huddle_otel._version import __version__
from huddle_otel.cli.commands import COMMANDS
from huddle_otel.cli.commands.shape import USAGE

_INTERRUPTED: Final = 130
_NOBODY_READS: Final = 141
"""What a shell reports of a program that ended by SIGPIPE."""


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
    except KeyboardInterrupt:
        print("huddle-otel: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # `huddle-otel prices list | head`: give the interpreter something else to flush into at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    except huddle_otel.ConfigurationError as error:  # the last, for only here is the openai client imported
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="huddle-otel",
        description="Observability and reliability for the openai client on Huddle01's gateway.",
    )
    parser.add_argument("--version", action="version", version=f"huddle-otel {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
