"""`huddle-otel dashboards`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN, USAGE, Commands

if TYPE_CHECKING:
    from huddle_otel_dashboards.alerts import Fleet

LIMITS: Final = {
    "slo": "percent of calls that are to be answered, over 30 days",
    "p95": "seconds that 95 of 100 calls are to stay below",
    "first_chunk": "seconds to the first content of 95 of 100 streams",
    "budget_usd_day": "USD that a day may cost",
    "spend_factor": "how many times its usual rate spend may reach",
    "amplification": "requests per call",
    "faults": "percent that one kind of failure may take",
    "stream_faults": "percent of calls whose stream may break",
    "flaps": "how often a circuit may open in half an hour",
    "minimum": "calls in a window below which a ratio says nothing",
    "minimum_failures": "failed calls below which nobody is woken",
}
"""Fields of `huddle_otel_dashboards.Limits` -> what they mean; an option each."""


_FLEET: Final = "for a fleet, from recording rules"


def add(commands: Commands) -> None:
    """Add the command and its actions."""
    dashboards = commands.add_parser("dashboards", help="write Grafana dashboards, and try them on a live Prometheus")
    actions = dashboards.add_subparsers(title="actions", required=True, metavar="ACTION")
    _add_list(actions)
    _add_export(actions)
    _add_alerts(actions)
    _add_validate(actions)


def _add_list(actions: Commands) -> None:
    boards = actions.add_parser("list", help="the boards there are")
    boards.add_argument("--fleet", action="store_true", help=f"those {_FLEET}")
    boards.set_defaults(run=_list)


def _add_export(actions: Commands) -> None:
    export = actions.add_parser(
        "export",
        help="write the boards for Grafana, and the rules for Prometheus",
        description="Writes a JSON file per board, which Grafana imports or provisions with the provider.yaml beside "
        "them, and alerts.yml for Prometheus' rule_files.",
    )
    export.add_argument("folder", type=Path, metavar="DIR", help="where to; it is made if need be")
    export.add_argument("--fleet", action="store_true", help=f"the boards {_FLEET}, and the rules with what they read")
    _add_tag(export)
    export.add_argument("--datasource-uid", default="", metavar="UID", help="Prometheus data source chosen at first")
    export.add_argument("--traces-uid", default="", metavar="UID", help="Tempo data source chosen at first")
    export.add_argument("--folder", dest="grafana_folder", default="huddle_otel", metavar="NAME", help="in Grafana")
    export.add_argument("--runbook-url", default="", metavar="URL", help="where your runbook is; links add #section")
    export.set_defaults(run=_export)


def _add_alerts(actions: Commands) -> None:
    alerts = actions.add_parser(
        "alerts",
        help="write the alert and recording rules with your own limits",
        description="Prints the rules for Prometheus' rule_files; --output writes them, and Alertmanager's routing.",
    )
    alerts.add_argument("--fleet", action="store_true", help=f"record also what the boards {_FLEET} read")
    _add_tag(alerts)
    for name, meaning in LIMITS.items():
        alerts.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="N", help=meaning)
    alerts.add_argument("--runbook-url", default="", metavar="URL", help="where your runbook is; alerts add #section")
    alerts.add_argument("--output", type=Path, metavar="DIR", help="write files there instead")
    alerts.set_defaults(run=_alerts)


def _add_validate(actions: Commands) -> None:
    validate = actions.add_parser(
        "validate",
        help="run every query against a live Prometheus",
        description="Runs every panel's query, with its variables at All, and every rule's expression, and says which "
        f"metric is missing. {PROMETHEUS_TOKEN} may hold a bearer token. Exits with 1 when a query fails or lacks its "
        "metric.",
    )
    validate.add_argument("url", metavar="URL", help="Prometheus' address, such as http://127.0.0.1:9090")
    validate.add_argument("--fleet", action="store_true", help=f"try the boards {_FLEET}, and their rules")
    validate.add_argument("--strict", action="store_true", help="exit with 1 also when a panel has nothing to show")
    validate.add_argument("--all", action="store_true", dest="every", help="show also what is in order")
    validate.add_argument(
        "--seconds", type=_positive, default=3600.0, metavar="N", help="how far to look back (default: %(default)g)"
    )
    validate.add_argument(
        "--scrape-interval", type=_positive, default=15.0, metavar="N", help="Prometheus', s (default: %(default)g)"
    )
    validate.set_defaults(run=_validate)


def _add_tag(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--tag",
        action="append",
        dest="tags",
        metavar="NAME",
        help="with --fleet: a tag that spend can be split by; may be given again (default: team)",
    )


def _list(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import output  # noqa: PLC0415 - see the package
    from huddle_otel.cli.dashboards import screens  # noqa: PLC0415 - see the package

    screens.show_boards(output.console(), fleet=arguments.fleet)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import dashboards  # noqa: PLC0415 - see the package

    try:
        written = dashboards.export(
            arguments.folder,
            fleet=_fleet(arguments),
            datasource_uid=arguments.datasource_uid,
            traces_uid=arguments.traces_uid,
            grafana_folder=arguments.grafana_folder,
            runbook_url=arguments.runbook_url,
        )
    except OSError as error:
        print(f"huddle-otel: cannot write: {error}", file=sys.stderr)
        return USAGE
    except ValueError as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    for path in written:
        print(f"wrote {path}")
    return 0


def _alerts(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import dashboards  # noqa: PLC0415 - see the package

    limits = {name: value for name in LIMITS if (value := getattr(arguments, name)) is not None}
    try:
        files = dashboards.rule_files(limits, fleet=_fleet(arguments), runbook_url=arguments.runbook_url)
        if arguments.output is None:
            print(files[dashboards.RULES], end="")
            return 0
        for path in dashboards.write(arguments.output, files):
            print(f"wrote {path}")
    except (OSError, ValueError) as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from huddle_otel.cli import dashboards, output  # noqa: PLC0415 - see the package
    from huddle_otel.cli.dashboards import screens  # noqa: PLC0415 - see the package

    try:
        checks = dashboards.validate(
            arguments.url,
            fleet=arguments.fleet,
            token=os.environ.get(PROMETHEUS_TOKEN, ""),
            seconds=arguments.seconds,
            scrape=arguments.scrape_interval,
        )
    except dashboards.PrometheusError as error:
        print(f"huddle-otel: {error}", file=sys.stderr)
        return USAGE
    screens.show_checks(output.console(), checks, every=arguments.every)
    return int(any(check.bad(strict=arguments.strict) for check in checks))


def _fleet(arguments: argparse.Namespace) -> Fleet | None:
    """Return what a fleet's rules are made with, None where it is no fleet.

    Raises:
        ValueError: There are tags and no fleet, or one that is none.
    """
    from huddle_otel.cli.dashboards import Fleet  # noqa: PLC0415 - see the package

    if not arguments.fleet:
        if arguments.tags:
            raise ValueError("--tag goes with --fleet: other boards can split spend by every tag")
        return None
    return Fleet(tags=tuple(arguments.tags)) if arguments.tags else Fleet()


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
