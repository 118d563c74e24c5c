import { type DataFrame, type TimeRange } from '@grafana/data';
import { type Panel } from '@grafana/schema';

/** What every kind of panel is drawn from. */
export interface PanelProps {
  panel: Panel;
  /** Transformed, with the field configuration applied. */
  frames: DataFrame[];
  /** Moments of annotations, ms. */
  marks: readonly number[];
  range: TimeRange;
  width: number;
  height: number;
}
