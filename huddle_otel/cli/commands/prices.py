"""`huddle-otel prices`."""

from __future__ import annotations

import argparse

from huddle_otel.cli.commands.shape import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    prices = commands.add_parser("prices", help="show the prices used when the gateway states no cost")
    actions = prices.add_subparsers(title="actions", required=True, metavar="ACTION")
    actions.add_parser("list", help="all models of the catalogue").set_defaults(run=_run, model=None)
    show = actions.add_parser("show", help="the price one model id stands for")
    show.add_argument("model", metavar="MODEL")
    show.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import output, prices  # noqa: PLC0415 - see the package

    if arguments.model is None:
        return prices.show_all(output.console())
    return prices.show_one(output.console(), arguments.model)
