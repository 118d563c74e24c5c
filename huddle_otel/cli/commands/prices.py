"""`huddle-otel prices`."""

from __future__ import annotations

import argparse
from pathlib import Path

from huddle_otel.cli.commands.shape import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    prices = commands.add_parser(
        "prices",
        help="show, compare and fetch the prices used when the gateway states no cost",
        description="Prices used when the gateway states no cost: your own (HUDDLE_OTEL_PRICES), the catalogue's, "
        "those of genai-prices if it is installed.",
    )
    actions = prices.add_subparsers(title="actions", required=True, metavar="ACTION")
    everything = actions.add_parser("list", help="all models of the catalogue, and your own")
    everything.add_argument("--format", choices=["table", "json"], default="table")
    everything.set_defaults(run=_run, action="list")
    show = actions.add_parser("show", help="the price one model id stands for, and by which rules")
    show.add_argument("model", metavar="MODEL")
    show.set_defaults(run=_run, action="show")
    diff = actions.add_parser(
        "diff",
        help="where the catalogue differs from your own prices and from genai-prices; exits with 1 if it does",
    )
    diff.add_argument("--with", dest="other", type=Path, metavar="FILE", help="also compare with this price file")
    diff.set_defaults(run=_run, action="diff")
    update = actions.add_parser(
        "update",
        help="ask the gateway for its prices and write them to a file for HUDDLE_OTEL_PRICES",
        description="Asks the gateway (HUDDLE_OTEL_BASE_URL) with HUDDLE_API_KEY for /v1/models and, as LiteLLM has "
        "it, /v1/model/info. What was in the file before is kept beside it.",
    )
    update.add_argument(
        "--output", type=Path, metavar="FILE", help="default: huddle-otel/prices.json in your configuration folder"
    )
    update.set_defaults(run=_run, action="update")


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import output  # noqa: PLC0415 - see the package
    from huddle_otel.cli.prices import difference, listing, update  # noqa: PLC0415 - see the package

    console = output.console()
    match arguments.action:
        case "list":
            return listing.show_all(console, as_json=arguments.format == "json")
        case "show":
            return listing.show_one(console, arguments.model)
        case "diff":
            return difference.run(console, arguments.other)
        case _:
            return update.run(console, arguments.output)
