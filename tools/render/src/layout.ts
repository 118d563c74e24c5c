/** Where panels stand: Grafana's grid of 24 columns, with every row open. */

import { type Dashboard, type Panel, type RowPanel } from '@grafana/schema';

const COLUMNS = 24;
const CELL_HEIGHT = 30;
const GAP = 8;

/** A panel or the heading of a row, px. */
export interface Place {
  panel: Panel | RowPanel;
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Cell {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** Lay a board out in that width, px. What is inside a collapsed row moves the rest of the board down. */
export function layout(board: Dashboard, width: number): Place[] {
  const places: Place[] = [];
  let pushed = 0;
  for (const panel of [...(board.panels ?? [])].sort((one, other) => cell(one).y - cell(other).y)) {
    places.push(place(panel, pushed, width));
    const inside = isRow(panel) ? panel.panels : [];
    if (inside.length > 0) {
      const first = Math.min(...inside.map((each) => cell(each).y));
      const last = Math.max(...inside.map((each) => cell(each).y + cell(each).h));
      const moved = cell(panel).y + 1 + pushed - first;
      places.push(...inside.map((each) => place(each, moved, width)));
      pushed += last - first;
    }
  }
  return places;
}

export function isRow(panel: Panel | RowPanel): panel is RowPanel {
  return panel.type === 'row';
}

/** Height of everything, px. */
export function heightOf(places: readonly Place[]): number {
  return Math.max(0, ...places.map(({ top, height }) => top + height));
}

function cell(panel: Panel | RowPanel): Cell {
  return panel.gridPos ?? { x: 0, y: 0, w: COLUMNS, h: 1 };
}

function place(panel: Panel | RowPanel, pushed: number, width: number): Place {
  const { x, y, w, h } = cell(panel);
  const column = (width + GAP) / COLUMNS;
  return {
    panel,
    left: Math.round(x * column),
    top: (y + pushed) * (CELL_HEIGHT + GAP),
    width: Math.round(w * column - GAP),
    height: h * (CELL_HEIGHT + GAP) - GAP,
  };
}
