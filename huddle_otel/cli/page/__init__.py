"""The look our pages share: `parts` is what is on them, `markup` escapes, `document` draws parts, `static` holds files.

The HTML report carries everything in itself; `huddle-otel serve` sends the same parts as JSON, and `charts.js` draws
the charts of both.
"""

from __future__ import annotations

from importlib.resources import files

from huddle_otel.cli.page.markup import Markup, element, shown
from huddle_otel.cli.page.parts import Chart, Series, Style, Table, Tile, Unit

__all__ = ["Chart", "Markup", "Series", "Style", "Table", "Tile", "Unit", "element", "library", "shown", "static"]


def static(name: str) -> str:
    """Return a file beside the pages, such as `page.css` or `charts.js`."""
    return files(__name__).joinpath("static", name).read_text("utf-8")


def library() -> str:
    """Return the chart library, with its licence, which asks to be in every copy."""
    return f"/*\n{static('chart.LICENSE.md')}*/\n{static('chart.umd.min.js')}"
