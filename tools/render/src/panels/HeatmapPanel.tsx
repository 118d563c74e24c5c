import { type DataFrame, formattedValueToString, getValueFormat, type GrafanaTheme2 } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';
import * as chromatic from 'd3-scale-chromatic';

import { type Cell, Cells } from './Cells';
import { type PanelProps } from './props';

interface Options {
  yAxis?: { unit?: string };
  color?: { scheme?: string };
}

/** A histogram's buckets over time, the more calls, the brighter. Series are cumulative, one per `le`. */
export function HeatmapPanel({ panel, frames, range, width, height }: PanelProps) {
  const theme = useTheme2();
  const { yAxis, color }: Options = panel.options ?? {};
  const buckets = frames
    .map((frame) => ({ bound: boundOf(frame), frame }))
    .sort((one, other) => one.bound - other.bound);
  const counts = buckets.map(({ frame }, index) => less(frame, buckets[index - 1]?.frame));
  const most = Math.max(...counts.flatMap((each) => [...each.values()]), 0);
  const step = frames[0]?.fields[0]?.config.interval ?? 0;
  const cells = counts.flatMap((each, row) =>
    [...each]
      .filter(([, count]) => count > 0)
      .map(([from, count]): Cell => ({
        row: buckets.length - 1 - row,
        from,
        to: from + step,
        color: shade(theme, color?.scheme ?? 'Oranges', count / most),
        text: '',
      })),
  );
  const format = getValueFormat(yAxis?.unit);
  const rows = buckets
    .map(({ bound }) => (bound === Infinity ? '+Inf' : formattedValueToString(format(bound))))
    .reverse();
  return <Cells rows={rows} cells={cells} range={range} width={width} height={height} />;
}

function boundOf(frame: DataFrame): number {
  return Number(
    (frame.fields[1]?.labels?.le ?? frame.fields[1]?.config.displayNameFromDS ?? 'NaN').replace('+Inf', 'Infinity'),
  );
}

/** What this cumulative bucket holds beyond the one below it, by time. */
function less(frame: DataFrame, below: DataFrame | undefined): Map<number, number> {
  const under = new Map(below === undefined ? [] : points(below));
  return new Map(points(frame).map(([time, count]) => [time, count - (under.get(time) ?? 0)]));
}

function points(frame: DataFrame): Array<[number, number]> {
  return (frame.fields[0]?.values ?? []).map((time: number, index: number) => [
    time,
    frame.fields[1]?.values[index] ?? 0,
  ]);
}

/** A colour of one of the schemes that Grafana offers by name; on dark, its far end is dark too. */
function shade(theme: GrafanaTheme2, scheme: string, share: number): string {
  const interpolate = (chromatic as unknown as Record<string, (share: number) => string>)[`interpolate${scheme}`];
  return (interpolate ?? chromatic.interpolateOranges)(theme.isDark ? 1 - share : share);
}
