"""`huddle-otel doctor`."""

from __future__ import annotations

import argparse

from huddle_otel.cli.commands.shape import Commands


def add(commands: Commands) -> None:
    """Add the command."""
    doctor = commands.add_parser(
        "doctor",
        help="check versions, settings, key, gateway and telemetry, and say how to fix what is wrong",
        description="Check what huddle_otel depends on. Keys are never shown. Exits with 1 when there is a problem.",
    )
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    network = doctor.add_mutually_exclusive_group()
    network.add_argument("--no-network", action="store_true", help="leave out every check that opens a connection")
    network.add_argument("--chat", metavar="MODEL", help="also make one smallest chat call, and show its headers")
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import doctor, output  # noqa: PLC0415 - see the package

    checks = doctor.examine(network=not arguments.no_network, chat=arguments.chat)
    if arguments.json:
        print(doctor.as_json(checks))
    else:
        doctor.show(checks, output.console())
    return doctor.exit_code(checks)
