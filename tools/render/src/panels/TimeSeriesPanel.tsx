import { type DataFrame } from '@grafana/data';
import { type VizLegendOptions } from '@grafana/schema';
import { TimeSeries, type UPlotConfigBuilder } from '@grafana/ui';
import type uPlot from 'uplot';

import { type PanelProps } from './props';

const NO_LEGEND: VizLegendOptions = { showLegend: false, displayMode: 'list' as VizLegendOptions['displayMode'], placement: 'bottom', calcs: [] };

/** Lines, areas, bars and points over time, with the annotations' moments as dashed lines. */
export function TimeSeriesPanel({ panel, frames, marks, range, width, height }: PanelProps) {
  const legend = { ...NO_LEGEND, ...(panel.options?.legend as Partial<VizLegendOptions> | undefined) };
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={range} timeZone="utc" legend={legend} options={panel.options}>
      {(config: UPlotConfigBuilder, _aligned: DataFrame) => {
        config.addHook('draw', (plot) => mark(plot, marks));
        return null;
      }}
    </TimeSeries>
  );
}

function mark(plot: uPlot, moments: readonly number[]) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = '#8e8e8e';
  ctx.setLineDash([3, 3]);
  ctx.beginPath();
  for (const moment of moments) {
    const x = Math.round(plot.valToPos(moment, 'x', true)) + 0.5;
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
  }
  ctx.stroke();
  ctx.restore();
}
