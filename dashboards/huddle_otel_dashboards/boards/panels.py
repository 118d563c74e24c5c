"""What every panel has, whatever it looks like: title, meaning, queries, unit, thresholds, links."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final, TypeAlias

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from huddle_otel_dashboards.boards.colours import GOOD
from huddle_otel_dashboards.series import label

GRID: Final = 24
"""Columns of Grafana's grid."""
METRICS: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
TRACES: Final = DataSourceRef(type_val="tempo", uid="${traces}")
_EXEMPLARS: Final = "Points are exemplars: each is one call, and opens its trace."
Steps: TypeAlias = tuple[tuple[float, str], ...]
"""From this value on, this colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL query of a panel."""

    expr: str
    legend: str = "__auto"
    """A legend format; `{{label}}` is replaced. `__auto` leaves it to Grafana."""
    instant: bool = False
    """Ask for now only, not for every step of the range."""
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES
    exemplars: bool = False
    """Ask also for calls to show as points, which open their traces."""

    def build(self, ref: str) -> Dataquery:
        """Return the target with its letter."""
        made = prometheus.Dataquery().ref_id(ref).expr(self.expr).legend_format(self.legend).datasource(METRICS)
        made = made.instant() if self.instant else made.range()
        return made.format(self.form).exemplar(self.exemplars).build()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel(ABC):
    """One panel; subclasses say how it is drawn.

    Raises:
        ValueError: The size does not fit the grid, or a text is missing.
    """

    title: str
    description: str
    """What it means for users, and what to do when it is bad."""
    queries: tuple[Query, ...] = ()
    unit: str
    """A unit id of Grafana's."""
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    steps: Steps = ()
    base: str = GOOD
    """The colour below the first step."""
    colours: Mapping[str, str] | None = None
    """Name of a series -> its colour."""
    no_value: str = ""
    """What to show where there is no data."""
    width: int = 8
    height: int = 9
    points: int = 300
    """How many points are asked for at most: more cost Prometheus time, and nobody sees them."""
    time_from: str = ""
    """A time range of its own, such as `now/d`, today so far."""
    runbook: str = ""
    """Anchor in the runbook."""
    datasource: DataSourceRef = METRICS

    def __post_init__(self) -> None:
        """Check size and texts."""
        if not 1 <= self.width <= GRID:
            raise ValueError(f"width of {self.title!r} must be from 1 to {GRID}, got {self.width}")
        for name in ("title", "description", "unit"):
            if not getattr(self, name):
                raise ValueError(f"{name} of {self.title!r} must not be empty")

    @abstractmethod
    def shape(self) -> Builder[model.Panel]:
        """Return the SDK's builder with what is particular to the way the panel is drawn."""

    def targets(self) -> list[Dataquery]:
        """Return the queries as the SDK has them."""
        return [query.build(ref) for ref, query in zip(ascii_uppercase, self.queries, strict=False)]

    def transformations(self) -> list[model.DataTransformerConfig]:
        """Return what is done to the answers before they are drawn."""
        return []

    def overrides(self) -> Iterator[model.DashboardFieldConfigSourceOverrides]:
        """Yield what differs from series to series."""
        for name, colour in (self.colours or {}).items():
            yield by_name(name, color={"mode": "fixed", "fixedColor": colour})

    def build(self, number: int, place: model.GridPos) -> model.Panel:
        """Return the panel as the SDK has it, at its place."""
        made = self.shape().build()
        made.id_val, made.grid_pos = number, place
        points = any(query.exemplars for query in self.queries)
        made.title, made.description = self.title, f"{self.description} {_EXEMPLARS}" if points else self.description
        made.datasource, made.targets = self.datasource, self.targets()
        made.transformations = self.transformations() or None
        made.max_data_points = self.points
        made.time_from, made.hide_time_override = self.time_from or None, bool(self.time_from)
        made.links = [runbook_link(self.runbook)] if self.runbook else None
        config = made.field_config if made.field_config is not None else model.FieldConfigSource()
        defaults = config.defaults
        defaults.unit, defaults.decimals = self.unit, self.decimals
        defaults.min_val, defaults.max_val = self.least, self.most
        defaults.no_value = self.no_value or None
        defaults.thresholds = thresholds(self.steps, self.base)
        config.overrides = list(self.overrides())
        made.field_config = config
        return made


def rows(*queries: str) -> tuple[Query, ...]:
    """Return queries for a table: each label is a column, each query's value one more."""
    return tuple(Query(expr=query, instant=True, form=PromQueryFormat.TABLE) for query in queries)


def legend(*attributes: str) -> str:
    """Return a legend that names series by the values of some attributes."""
    return " ".join(f"{{{{{label(each)}}}}}" for each in attributes)


def thresholds(steps: Steps, base: str = GOOD) -> model.ThresholdsConfig:
    """Return thresholds: a colour, and from each value on another."""
    made = [model.Threshold(value=None, color=base)]
    made += [model.Threshold(value=round(value, 9), color=colour) for value, colour in steps]
    return model.ThresholdsConfig(mode=model.ThresholdsMode.ABSOLUTE, steps=made)


def by_name(name: str, **properties: Any) -> model.DashboardFieldConfigSourceOverrides:
    """Return an override for the series of that name; `custom_` in front of a property stands for `custom.`."""
    return model.DashboardFieldConfigSourceOverrides(
        matcher=model.MatcherConfig(id_val="byName", options=name),
        properties=[
            model.DynamicConfigValue(id_val=key.replace("custom_", "custom."), value=value)
            for key, value in properties.items()
        ],
    )


def runbook_link(anchor: str) -> model.DashboardLink:
    """Return the link of a panel to a section of the runbook, whose address is a variable of the board."""
    return model.DashboardLink(
        title="Runbook", type_val=model.DashboardLinkType.LINK, url=f"${{runbook:raw}}#{anchor}", target_blank=True
    )
