/** Coloured pieces of time in rows: the drawing that state timelines and heatmaps share. Grafana keeps its own to itself. */

import { type TimeRange } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation } from '@grafana/schema';
import { getTextColorForBackground, measureText, UPlotChart, UPlotConfigBuilder, useTheme2 } from '@grafana/ui';
import type uPlot from 'uplot';

/** From and to are ms, the row counts from the top. */
export interface Cell {
  row: number;
  from: number;
  to: number;
  color: string;
  text: string;
}

interface CellsProps {
  rows: readonly string[];
  cells: readonly Cell[];
  range: TimeRange;
  width: number;
  height: number;
}

const FONT_SIZE = 12;
const ROW_GAP = 0.12;

export function Cells({ rows, cells, range, width, height }: CellsProps) {
  const theme = useTheme2();
  const config = new UPlotConfigBuilder('utc');
  config.addScale({
    scaleKey: 'x',
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [range.from.valueOf(), range.to.valueOf()],
  });
  config.addScale({
    scaleKey: 'y',
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Down,
    range: () => [-0.5, rows.length - 0.5],
  });
  config.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: 'utc', theme });
  config.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    splits: () => rows.map((_, row) => row),
    values: () => [...rows],
    grid: { show: false },
    ticks: { show: false },
    space: FONT_SIZE,
    theme,
  });
  config.addSeries({ scaleKey: 'y', lineWidth: 0, theme });
  config.addHook('draw', (plot) => draw(plot, cells, theme.typography.fontFamily));
  const ends = [range.from.valueOf(), range.to.valueOf()];
  return <UPlotChart config={config} data={[ends, [0, 0]]} width={width} height={height} />;
}

function draw(plot: uPlot, cells: readonly Cell[], family: string) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${FONT_SIZE}px ${family}`;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'middle';
  for (const { row, from, to, color, text } of cells) {
    const left = Math.max(plot.valToPos(from, 'x', true), bbox.left);
    const top = plot.valToPos(row - 0.5 + ROW_GAP / 2, 'y', true);
    const width = plot.valToPos(to, 'x', true) - left;
    const height = plot.valToPos(row + 0.5 - ROW_GAP / 2, 'y', true) - top;
    ctx.fillStyle = color;
    ctx.fillRect(left, top, width, height);
    if (text && measureText(text, FONT_SIZE).width + 8 < width) {
      ctx.fillStyle = getTextColorForBackground(color);
      ctx.fillText(text, left + 4, top + height / 2);
    }
  }
  ctx.restore();
}
