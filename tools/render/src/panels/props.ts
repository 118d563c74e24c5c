import { type DataFrame, type TimeRange } from '@grafana/data';
import { type Panel } from '@grafana/schema';

import { type Mark } from '../loading';
import { type Exemplar } from '../prometheus';

/** What every kind of panel is drawn from. */
export interface PanelProps {
  panel: Panel;
  /** Transformed, with the field configuration applied. */
  frames: DataFrame[];
  exemplars: readonly Exemplar[];
  marks: readonly Mark[];
  range: TimeRange;
  width: number;
  height: number;
}
