"""A page that needs nothing but itself: parts, styles and scripts in one document, which may load nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256

from huddle_otel.cli.page.markup import Markup, element, raw
from huddle_otel.cli.page.parts import Chart, Table, Tile


def document(title: str, body: Markup, charts: Sequence[Chart], *, styles: str, scripts: Sequence[str]) -> str:
    """Return a whole HTML document, in ASCII: it survives any terminal's and file's encoding.

    Its Content-Security-Policy lets these styles and scripts run, by their hashes, and nothing else load or run.

    Args:
        title: Of the window.
        body: What is seen; it has a `figure` for each chart, from `drawn`.
        charts: What the scripts draw, as JSON in the page.
        styles: A style sheet of ours, in ASCII: a character reference means nothing in it.
        scripts: JavaScript of ours, in order, likewise.
    """
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; style-src {_hash(styles)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),  # quotes and hashes of ours
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        raw("style", styles),
    )
    data = json.dumps([asdict(chart) for chart in charts]).replace("<", "\\u003c")
    scripted = element(
        "body",
        body,
        raw("script", data, type="application/json", id="charts"),
        *(raw("script", script) for script in scripts),
    )
    whole = f"<!doctype html>\n{element('html', head, scripted, lang='en')}\n"
    return whole.encode("ascii", "xmlcharrefreplace").decode("ascii")


def tiles(parts: Sequence[Tile]) -> Markup:
    """Return tiles, as a list of terms."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", part.name),
                element("dd", part.value, class_=f"value tone-{part.tone}"),
                element("dd", part.note, class_="note"),
            )
            for part in parts
        ),
        class_="tiles",
    )


def table(part: Table) -> Markup:
    """Return a table that scrolls sideways where it must."""
    headings = (element("th", heading, scope="col", class_=_side(part, at)) for at, heading in enumerate(part.headings))
    total = element("tfoot", _row(part, part.total)) if part.total is not None else Markup()
    return element(
        "div",
        element(
            "table",
            element("caption", part.title),
            element("thead", element("tr", *headings)),
            element("tbody", *(_row(part, row) for row in part.rows)),
            total,
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=part.title,
    )


def drawn(chart: Chart) -> Markup:
    """Return the place for a chart, with its figures as a table to unfold."""
    return element(
        "figure",
        element("figcaption", element("strong", chart.title), element("span", chart.note)),
        element("div", element("canvas", role="img", aria_label=f"{chart.title}. {chart.note}"), class_="canvas"),
        element("details", element("summary", "Figures"), table(chart.table())),
    )


def _row(part: Table, cells: Sequence[str]) -> Markup:
    return element(
        "tr", *(element("td", element("bdi", cell), class_=_side(part, at)) for at, cell in enumerate(cells))
    )


def _side(part: Table, at: int) -> str | None:
    return "n" if at >= part.left else None


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
