"""A board: rows of panels, and what all boards have: variables, annotations, links to each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from huddle_otel_dashboards.boards import variables
from huddle_otel_dashboards.boards.panels import GRID, METRICS, Panel
from huddle_otel_dashboards.boards.queries import Reader

TAG: Final = "huddle_otel"
"""On every board, so that they can link to each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A titled row; its panels fill one line of the grid after the other.

    Raises:
        ValueError: A line is not full, or its panels differ in height.
    """

    title: str
    panels: tuple[Panel, ...]

    def __post_init__(self) -> None:
        """Check that the panels leave no gap."""
        for line in self.lines():
            if sum(panel.width for panel in line) != GRID or len({panel.height for panel in line}) != 1:
                sizes = [(panel.title, panel.width, panel.height) for panel in line]
                raise ValueError(f"panels must fill {GRID} columns at one height, got {sizes} in {self.title!r}")

    def lines(self) -> Iterator[list[Panel]]:
        """Yield the panels line by line."""
        line: list[Panel] = []
        for panel in self.panels:
            line.append(panel)
            if sum(each.width for each in line) >= GRID:
                yield line
                line = []
        if line:
            yield line


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard."""

    name: str
    """What its uid ends with."""
    title: str
    description: str
    """What it is for, in a sentence."""
    read: Reader
    """Where its figures come from."""
    rows: tuple[Row, ...]
    start: str
    """Where its time range begins."""
    refresh: str = "30s"
    extra: tuple[model.VariableModel, ...] = ()
    """Variables of this board only."""

    @property
    def uid(self) -> str:
        """Grafana's name for it; links and bookmarks hold it."""
        return f"{self.read.prefix}-{self.name}"

    @property
    def _note(self) -> str:
        """Return what to say of where its metrics come from, if it shows any."""
        return self.read.note if any(panel.datasource == METRICS for row in self.rows for panel in row.panels) else ""

    def build(self) -> model.Dashboard:
        """Return the board as the SDK has it, schema version 42."""
        return model.Dashboard(
            uid=self.uid,
            title=f"{self.read.family} / {self.title}",
            description=f"{self.description} {self._note}".rstrip(),
            tags=[TAG, "llm"],
            timezone="utc",  # budgets and `huddle-otel report` count UTC days
            editable=True,
            graph_tooltip=DashboardCursorSync.CROSSHAIR,
            time=model.DashboardDashboardTime(from_val=self.start, to="now"),
            refresh=self.refresh,
            templating=model.DashboardDashboardTemplating(list_val=[*variables.common(self.read), *self.extra]),
            annotations=model.AnnotationContainer(list_val=variables.marks(self.read)),
            links=[_other_boards(), _runbook()],
            panels=list(self._panels()),
        )

    def _panels(self) -> Iterator[model.Panel | model.RowPanel]:
        number, top = 1, 0
        for row in self.rows:
            yield model.RowPanel(
                title=row.title, id_val=number, panels=[], grid_pos=model.GridPos(h=1, w=GRID, x=0, y=top)
            )
            number, top = number + 1, top + 1
            for line in row.lines():
                left = 0
                for panel in line:
                    yield panel.build(number, model.GridPos(h=panel.height, w=panel.width, x=left, y=top))
                    number, left = number + 1, left + panel.width
                top += line[0].height


def _other_boards() -> model.DashboardLink:
    return model.DashboardLink(
        title="huddle_otel",
        type_val=model.DashboardLinkType.DASHBOARDS,
        tags=[TAG],
        keep_time=True,
        include_vars=True,
    )


def _runbook() -> model.DashboardLink:
    return model.DashboardLink(
        title="Runbook",
        type_val=model.DashboardLinkType.LINK,
        icon="doc",
        url="${runbook:raw}",
        target_blank=True,
    )
