"""What `huddle-otel dashboards` prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import huddle_otel_dashboards
from huddle_otel.cli.dashboards.validation import Check, Status
from huddle_otel.cli.output import plain, table

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Final = {
    Status.OK: "green",
    Status.EMPTY: "dim",
    Status.SKIPPED: "dim",
    Status.MISSING: "bold red",
    Status.ERROR: "bold red",
}


def show_boards(console: Console, *, fleet: bool) -> None:
    """Print a table of the boards."""
    screen = table(None, "uid", "title", "panels", left=2)
    screen.add_column("what for", header_style="dim", overflow="fold")
    for name in huddle_otel_dashboards.names(fleet=fleet):
        board = json.loads(huddle_otel_dashboards.read(name))
        panels = sum(panel["type"] != "row" for panel in board["panels"])
        title = board["title"].partition(" / ")[2]
        screen.add_row(name, title, str(panels), board["description"])
    console.print(screen)


def show_checks(console: Console, checks: Sequence[Check], *, every: bool) -> None:
    """Print what is wrong, or every check, and the sum of it."""
    board = ""
    for check in checks:
        if not every and check.status in {Status.OK, Status.SKIPPED}:
            continue
        if check.board != board:
            board = check.board
            console.print(plain(f"\n{board}", "bold"))
        console.print(plain(f"  {check.status:8}", _STYLES[check.status]), plain(check.panel), end="")
        told = ", ".join(filter(None, (*check.missing, check.note)))
        console.print(plain(f": {told}" if told else "", "dim"))
        if check.status is Status.ERROR:
            console.print(plain(f"           {check.query}", "dim"))
    counts = Counter(check.status for check in checks)
    console.print(plain("\n" + ", ".join(f"{counts[status]} {status}" for status in Status if counts[status]), "bold"))
