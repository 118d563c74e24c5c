import { cacheFieldDisplayNames, type DataFrame, type TimeRange } from '@grafana/data';
import { type VizLegendOptions } from '@grafana/schema';
import { type GraphNGProps, preparePlotFrame, TimeSeries, type UPlotConfigBuilder, useTheme2 } from '@grafana/ui';
import type uPlot from 'uplot';

import { type Mark } from '../loading';
import { type Exemplar } from '../prometheus';
import { type PanelProps } from './props';

const NO_LEGEND: VizLegendOptions = {
  showLegend: false,
  displayMode: 'list' as VizLegendOptions['displayMode'],
  placement: 'bottom',
  calcs: [],
};

/** Lines, areas, bars and points over time, with the annotations' moments as dashed lines. */
export function TimeSeriesPanel({ panel, frames, exemplars, marks, range, width, height }: PanelProps) {
  const theme = useTheme2();
  const legend = { ...NO_LEGEND, ...(panel.options?.legend as Partial<VizLegendOptions> | undefined) };
  return (
    <TimeSeries
      frames={frames}
      width={width}
      height={height}
      timeRange={range}
      timeZone="utc"
      legend={legend}
      options={panel.options}
      preparePlotFrame={(each, dimensions) => aligned(each, dimensions, range)}
    >
      {(config: UPlotConfigBuilder, _aligned: DataFrame) => {
        config.addHook('draw', (plot) => {
          draw(plot, marks, (name) => theme.visualization.getColorByName(name));
          example(plot, exemplars, theme.visualization.getColorByName('blue'));
        });
        return null;
      }}
    </TimeSeries>
  );
}

/** Joining the series forgets their display names, by which a palette may colour them. */
function aligned(frames: DataFrame[], dimensions: NonNullable<GraphNGProps['fields']>, range: TimeRange) {
  const frame = preparePlotFrame(frames, dimensions, range);
  cacheFieldDisplayNames(frames);
  return frame;
}

function draw(plot: uPlot, marks: readonly Mark[], colorOf: (name: string) => string) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.setLineDash([3, 3]);
  for (const { at, color } of marks) {
    const x = Math.round(plot.valToPos(at, 'x', true)) + 0.5;
    ctx.strokeStyle = colorOf(color);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/** Single calls as diamonds, which in Grafana lead to their traces. Those beyond the axis are left out. */
function example(plot: uPlot, exemplars: readonly Exemplar[], color: string) {
  const { ctx, bbox } = plot;
  const scale = plot.series[1]?.scale ?? 'y';
  const size = 3;
  ctx.save();
  ctx.fillStyle = color;
  ctx.globalAlpha = 0.6;
  for (const { at, value } of exemplars) {
    const [x, y] = [plot.valToPos(at, 'x', true), plot.valToPos(value, scale, true)];
    if (y >= bbox.top && x >= bbox.left && x <= bbox.left + bbox.width) {
      ctx.fill(new Path2D(`M ${x} ${y - size} l ${size} ${size} l ${-size} ${size} l ${-size} ${-size} z`));
    }
  }
  ctx.restore();
}
