"""The console all subcommands print on."""

from __future__ import annotations

import sys
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH: Final = 80
"""Columns of a pipe or a file, and the width every screen is designed for."""
_WIDEST: Final = 100
"""Columns used at most: a line that crosses a wide screen is hard to follow."""


def console() -> Console:
    """Return a console on standard output: with colours on a terminal, plain text of 80 columns anywhere else."""
    terminal = sys.stdout.isatty()
    made = Console(force_terminal=terminal, highlight=False, no_color=None if terminal else True)
    made.width = min(made.width, _WIDEST) if terminal else WIDTH
    return made


def table(title: str | None, *headings: str, left: int = 1, gap: int = 2) -> Table:
    """Return an empty table whose first `left` columns are text and whose others are numbers, `gap` spaces apart."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    made.padding = (0, gap - 1, 0, 0)  # the box brings the other space
    made.pad_edge = False
    made.show_edge = False
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="left" if index < left else "right", no_wrap=True, header_style="dim")
    return made


def seconds(value: float | None) -> str:
    """Write a duration in seconds; `-` is none."""
    return "-" if value is None else f"{value:.2f}"


def plain(text: str, style: str = "") -> Text:
    """Return text that is printed as it is: what an upstream said is not markup."""
    return Text(text, style=style)
