/** Time ranges, counted from the moment the driver calls now, in UTC. */

import { dateMath, dateTimeForTimeZone, rangeUtil, type TimeRange } from '@grafana/data';
import { type Dashboard, type Panel } from '@grafana/schema';

/** The board's own range, or the length asked for, until `end` (ms since the epoch). */
export function boardRange(board: Dashboard, end: number, length: string | undefined): TimeRange {
  return until(end, length ? `now-${length}` : (board.time?.from ?? 'now-6h'));
}

/** The range of a panel that has one of its own, such as today, else the board's. */
export function panelRange({ timeFrom }: Panel, board: TimeRange): TimeRange {
  return timeFrom ? until(board.to.valueOf(), rangeUtil.describeTextRange(timeFrom).from) : board;
}

/** What a panel says of a range of its own, as Grafana writes it beside the title. */
export function ownRange({ timeFrom, hideTimeOverride }: Panel): string | undefined {
  return timeFrom && !hideTimeOverride ? rangeUtil.describeTextRange(timeFrom).display : undefined;
}

function until(end: number, from: string): TimeRange {
  const to = dateTimeForTimeZone('utc', end);
  const start = dateMath.parseDateMath(from.replace('now', ''), dateTimeForTimeZone('utc', end));
  if (start === undefined || !start.isValid()) {
    throw new Error(`not a beginning of a time range: ${from}`);
  }
  return { from: start, to, raw: { from, to: 'now' } };
}
