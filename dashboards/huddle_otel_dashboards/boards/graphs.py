"""Panels with a time axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, heatmap, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    GraphGradientMode,
    GraphThresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode

from huddle_otel_dashboards.boards.colours import STATES
from huddle_otel_dashboards.boards.panels import Panel

_WIDE: Final = 12
"""Columns from which a legend stands beside the lines, where it has room for more series than below them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph(Panel):
    """Lines over time, or areas on each other."""

    stacked: bool = False
    lines: bool = False
    """Draw the thresholds as dashed lines."""
    soft_most: float | None = None
    """The axis reaches at least this far, so that a line at 0 does not look like one at the top."""
    calcs: tuple[str, ...] = ("last", "max")
    """What the legend tells of each line. Not `lastNotNull`: of what has ended, that is not the present."""

    def shape(self) -> Builder[model.Panel]:
        """Return the builder."""
        made = (
            timeseries.Panel()
            .line_width(1 if self.stacked else 2)
            .line_interpolation(LineInterpolation.LINEAR)
            .fill_opacity(35 if self.stacked else 8)
            .gradient_mode(GraphGradientMode.NONE if self.stacked else GraphGradientMode.OPACITY)
            .show_points(VisibilityMode.AUTO)
            .point_size(4)
            .axis_soft_min(0)
            .span_nulls(False)
            # by name would keep a model's colour everywhere, but gives two of a handful the same one
            .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
            .legend(_legend(self.calcs, beside=self.width >= _WIDE))
            .tooltip(_tooltip())
        )
        if self.stacked:
            made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        if self.soft_most is not None:
            made = made.axis_soft_max(self.soft_most)
        if self.lines:
            made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap(Panel):
    """How many calls took how long, over time; buckets are the histogram's own."""

    def shape(self) -> Builder[model.Panel]:
        """Return the builder."""
        return (
            heatmap.Panel()
            .calculate(False)
            .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
            .rows_frame(heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE))
            .y_axis(heatmap.YAxisConfig().unit(self.unit))
            .cell_values(heatmap.CellValues().unit("short").decimals(0))
            .tooltip(heatmap.HeatmapTooltip().mode(TooltipDisplayMode.SINGLE).y_histogram(True))
            .filter_values(heatmap.FilterValueRange().le(1e-9))
            .cell_gap(1)
            .exemplars_color("rgba(255,255,255,0.8)")
            .show_legend()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Panel):
    """The states of circuits over time."""

    def shape(self) -> Builder[model.Panel]:
        """Return the builder, with a word and a colour for each number."""
        results = {
            str(number): model.ValueMappingResult(text=state, color=colour, index=number)
            for number, (state, colour) in enumerate(STATES.items())
        }
        return (
            statetimeline.Panel()
            .merge_values(True)
            .show_value(VisibilityMode.AUTO)
            .row_height(0.8)
            .line_width(0)
            .fill_opacity(85)
            .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
            .mappings([model.ValueMap(options=results)])
            .legend(common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM))
            .tooltip(_tooltip())
        )


def _legend(calcs: tuple[str, ...], *, beside: bool) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.RIGHT if beside else LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(list(calcs))
        .sort_by("Last")
        .sort_desc(True)
    )


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
