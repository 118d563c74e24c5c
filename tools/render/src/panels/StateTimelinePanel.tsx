import { type DataFrame, FieldType, getFieldDisplayName } from '@grafana/data';

import { type Cell, Cells } from './Cells';
import { type PanelProps } from './props';

/** One band per series; neighbours that read the same are one piece, as Grafana's `mergeValues` has it. */
export function StateTimelinePanel({ frames, range, width, height }: PanelProps) {
  const bands = frames.flatMap(states);
  const end = range.to.valueOf();
  return (
    <Cells
      rows={bands.map(({ name }) => name)}
      cells={bands.flatMap(({ pieces }, row) =>
        pieces.map((piece) => ({ ...piece, row, to: Math.min(piece.to, end) })),
      )}
      range={range}
      width={width}
      height={height}
    />
  );
}

interface Band {
  name: string;
  pieces: Array<Omit<Cell, 'row'>>;
}

function states(frame: DataFrame, _index: number, frames: DataFrame[]): Band[] {
  const time = frame.fields.find(({ type }) => type === FieldType.time);
  if (time === undefined) {
    return [];
  }
  const step = time.config.interval ?? 0;
  return frame.fields
    .filter((field) => field !== time && !field.config.custom?.hideFrom?.viz)
    .map((field) => {
      const pieces: Band['pieces'] = [];
      field.values.forEach((value, index) => {
        const from: number = time.values[index];
        const { text = '', color = 'transparent' } = field.display?.(value) ?? {};
        const before = pieces.at(-1);
        if (value === null || Number.isNaN(value)) {
          return;
        }
        if (before !== undefined && before.text === text && before.color === color && from <= before.to) {
          before.to = from + step;
        } else {
          pieces.push({ from, to: from + step, color, text });
        }
      });
      return { name: getFieldDisplayName(field, frame, frames), pieces };
    });
}
