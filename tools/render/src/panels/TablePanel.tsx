import { type TableCellHeight } from '@grafana/schema';
import { TableNG } from '@grafana/ui/unstable';

import { configOf } from '../fields';
import { type PanelProps } from './props';

interface Options {
  showHeader?: boolean;
  cellHeight?: TableCellHeight;
  sortBy?: Array<{ displayName: string; desc?: boolean }>;
}

/** The first frame as a table; as in Grafana, several need a transformation that makes them one. */
export function TablePanel({ panel, frames, range, width, height }: PanelProps) {
  const options: Options = panel.options ?? {};
  const [frame] = frames;
  return frame === undefined ? null : (
    <TableNG
      data={frame}
      fieldConfig={configOf(panel)}
      noHeader={options.showHeader === false}
      cellHeight={options.cellHeight}
      sortBy={options.sortBy}
      timeRange={range}
      width={width}
      height={height}
      enableVirtualization={false}
    />
  );
}
