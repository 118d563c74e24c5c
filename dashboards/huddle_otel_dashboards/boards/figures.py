"""Panels that say how things are now: big numbers, bars, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, stat, table, tempo
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    BarGaugeSizing,
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    VizOrientation,
)
from grafana_foundation_sdk.models.tempo import SearchTableType

from huddle_otel_dashboards.boards.colours import CALM, FAINT, GOOD
from huddle_otel_dashboards.boards.panels import TRACES, Panel, Steps, by_name, thresholds

_LARGE: Final = 34
_SMALL: Final = 14
"""Pixels: figures of one size on every board, whatever the size of their panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """A big number, with its recent past behind it where the query has one."""

    width: int = 3
    height: int = 4
    points: int = 100

    def shape(self) -> Builder[model.Panel]:
        """Return the builder."""
        past = any(not query.instant for query in self.queries)
        return (
            stat.Panel()
            .graph_mode(BigValueGraphMode.AREA if past else BigValueGraphMode.NONE)
            .color_mode(BigValueColorMode.VALUE)
            .text_mode(BigValueTextMode.VALUE)
            .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
            .reduce_options(_last())
            .text(common.VizTextDisplayOptions().value_size(_LARGE))
            .mappings([_nothing(self.no_value)] if self.no_value else [])
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars(Panel):
    """Some figures beside each other."""

    def shape(self) -> Builder[model.Panel]:
        """Return the builder."""
        scheme = build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
        if not self.steps:
            # by place in the order of values a model would change its colour, and from panel to panel
            scheme = build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(CALM)
        return (
            bargauge.Panel()
            .display_mode(BarGaugeDisplayMode.BASIC)
            .orientation(VizOrientation.HORIZONTAL)
            .show_unfilled(True)
            .sizing(BarGaugeSizing.MANUAL)
            .min_viz_height(12)
            .max_viz_height(_LARGE)
            .text(common.VizTextDisplayOptions().title_size(_SMALL).value_size(_SMALL))
            .color_scheme(scheme)
            .reduce_options(_last())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: what it is called, and how its values are shown."""

    title: str
    unit: str = ""
    decimals: int | None = None
    steps: Steps = ()
    """Colours of the text, by value."""
    base: str = GOOD
    width: int | None = None
    """In pixels; None leaves it to Grafana."""
    link: str = ""
    """Where a click on a value leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """Instant queries side by side, a row for each combination of their labels."""

    columns: Mapping[str, Column]
    """Label, or `Value #A` of the first query and so on, -> its column. Other fields are left out."""
    sort_by: str = ""
    """Title of the column whose greatest values come first."""

    def shape(self) -> Builder[model.Panel]:
        """Return the builder."""
        made = table.Panel().show_header(True)
        if self.sort_by:
            made = made.sort_by([common.TableSortByFieldState().display_name(self.sort_by).desc(True)])
        return made

    def transformations(self) -> list[model.DataTransformerConfig]:
        """Merge the answers into one table, and keep the columns in their order."""
        names = {name: column.title for name, column in self.columns.items()}
        return [
            model.DataTransformerConfig(id_val="merge", options={}),
            model.DataTransformerConfig(
                id_val="filterFieldsByName", options={"include": {"names": list(self.columns)}}
            ),
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {},
                    "indexByName": {name: index for index, name in enumerate(self.columns)},
                    "renameByName": names,
                },
            ),
        ]

    def overrides(self) -> Iterator[model.DashboardFieldConfigSourceOverrides]:
        """Yield how each column is shown."""
        for column in self.columns.values():
            properties: dict[str, Any] = {}
            if column.unit:
                properties["unit"] = column.unit
            if column.decimals is not None:
                properties["decimals"] = column.decimals
            if column.width is not None:
                properties["custom_width"] = column.width
            if column.steps:
                properties["thresholds"] = thresholds(column.steps, column.base)
                properties["color"] = {"mode": "thresholds"}
                properties["custom_cellOptions"] = {"type": "color-text"}
            if column.link:
                properties["links"] = [{"title": "Show", "url": column.link}]
            if properties:
                yield by_name(column.title, **properties)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces(Panel):
    """Spans that a TraceQL query finds."""

    traceql: str
    limit: int = 50
    unit: str = "string"
    width: int = 24
    height: int = 9
    datasource: DataSourceRef = TRACES

    def shape(self) -> Builder[model.Panel]:
        """Return the builder."""
        return table.Panel().show_header(True)

    def targets(self) -> list[Dataquery]:
        """Return the one TraceQL query."""
        made = tempo.Dataquery().ref_id(ascii_uppercase[0]).datasource(TRACES).query_type("traceql")
        return [made.query(self.traceql).limit(self.limit).spss(3).table_type(SearchTableType.SPANS).build()]


def _nothing(text: str) -> model.SpecialValueMap:
    """Return what stands for no value: in no colour that could be taken for good or bad."""
    faint = model.ValueMappingResult(text=text, color=FAINT, index=0)
    absent = model.DashboardSpecialValueMapOptions(match=model.SpecialValueMatch.NULL_AND_NAN, result=faint)
    return model.SpecialValueMap(options=absent)


def _last() -> common.ReduceDataOptions:
    # not `lastNotNull`: a figure that has ended would stand there as the present one
    return common.ReduceDataOptions().calcs(["last"]).fields("").values(False)
