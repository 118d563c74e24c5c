"""`huddle-otel serve`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from huddle_otel.cli.commands.shape import Commands, names

PORT: Final = 9463
"""Next to 9464, where OpenTelemetry's Prometheus exporters listen."""
_PORTS: Final = range(65_536)


def add(commands: Commands) -> None:
    """Add the command."""
    serve = commands.add_parser(
        "serve",
        help="show the ledger as a live page, and as /metrics for all processes",
        description="Serves the ledger that instrument(exporters=['ledger']) writes: a live page, and one /metrics for "
        "all processes of this machine. It only reads, and only this machine can ask.",
    )
    serve.add_argument(
        "--ledger", type=Path, metavar="FILE", help="the ledger (default: HUDDLE_OTEL_LEDGER, or the usual place)"
    )
    serve.add_argument("--port", type=_port, default=PORT, metavar="N", help="0 is any free one (default: %(default)s)")
    serve.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default: %(default)s")
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        help="permit an address or a proxy that other machines reach; asks for a token",
    )
    serve.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token (default: HUDDLE_OTEL_SERVE_TOKEN)"
    )
    serve.add_argument(
        "--tags",
        type=names,
        default=(),
        metavar="NAME[,NAME]",
        help="tags that /metrics tells spend and tokens by, as tag_metrics does in an app",
    )
    serve.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import serve  # noqa: PLC0415 - see the package

    serve.run(
        arguments.ledger,
        host=arguments.host,
        port=arguments.port,
        allow_remote=arguments.allow_remote,
        token_file=arguments.token_file,
        tags=arguments.tags,
    )
    return 0


def _port(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) in _PORTS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
