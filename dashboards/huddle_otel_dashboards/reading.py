"""What a board asks, read from its JSON, with its variables put in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from huddle_otel_dashboards.substitution import Window, chosen, substitute


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query of a board, ready to be run."""

    panel: str
    """The panel's title, or the annotation's name."""
    query: str
    window: Window
    instant: bool
    """For the window's end only, not for every step of it."""
    source: str
    """Kind of data source: `prometheus` or `tempo`."""
    mark: bool = False
    """It finds moments to mark in graphs, and is no panel's."""


def asked(board: Mapping[str, Any], window: Window) -> Iterator[Asked]:
    """Yield every query of a board: its panels', then its annotations'.

    Args:
        board: A dashboard's JSON.
        window: The time it shows; a panel with a time range of its own has that.
    """
    values = chosen(board)
    for panel in board["panels"]:
        own = window.since(panel["timeFrom"]) if panel.get("timeFrom") else window
        own = replace(own, points=panel.get("maxDataPoints") or own.points)
        for target in panel.get("targets", ()):
            yield Asked(
                panel=panel["title"],
                query=substitute(target.get("expr") or target["query"], {**values, **own.variables()}),
                window=own,
                instant=target.get("instant", False),
                source=panel["datasource"]["type"],
            )
    for mark in board["annotations"]["list"]:
        query = substitute(mark["expr"], {**values, **window.variables()})
        source = mark["datasource"]["type"]
        yield Asked(panel=mark["name"], query=query, window=window, instant=False, source=source, mark=True)
