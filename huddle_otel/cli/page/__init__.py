"""The look our pages share: `parts` is what is on them, `markup` escapes, `document` draws parts, `static` holds files.

The HTML report carries everything in itself; `huddle-otel serve` sends the same parts as JSON, and `charts.js` draws
the charts of both.
"""

from __future__ import annotations

from importlib.resources import files

from huddle_otel.cli.page.markup import Markup, element, shown
from huddle_otel.cli.page.parts import Chart, Series, Style, Table, Tile, Unit

__all__ = ["Chart", "Markup", "Series", "Style", "Table", "Tile", "Unit", "element", "shown", "static"]


def static(name: str) -> str:
    """Return a file of ours: `page.css`, `charts.js`, or the chart library, `chart.umd.min.js`."""
    return files(__name__).joinpath("static", name).read_text("utf-8")
