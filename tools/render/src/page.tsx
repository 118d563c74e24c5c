/** The page: reads the task that the driver left for it, draws it, and says when it has. */

import { createTheme, ThemeContext } from '@grafana/data';
import { type Dashboard, type Panel } from '@grafana/schema';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

import { BoardView } from './BoardView';
import { isRow, layout } from './layout';
import { load, type Loaded, marksOf } from './loading';
import { type Scope, scrapeInterval } from './prometheus';
import { boardRange, panelRange } from './time';
import { ofBoard } from './variables';

declare global {
  interface Window {
    /** What to draw: a board, in which theme, how wide (px), and until when (ms since the epoch). */
    TASK: { board: Dashboard; theme: 'dark' | 'light'; width: number; end: number; range?: string };
  }
}

async function main() {
  const { board, theme: mode, width, end, range: length } = window.TASK;
  const theme = createTheme({ colors: { mode } });
  const range = boardRange(board, end, length);
  const variables = ofBoard(board.templating?.list ?? []);
  const scrape = await scrapeInterval();
  const common = { range, resolution: width, scrape, variables };
  const scopeOf = (panel: Panel, pixels: number): Scope => ({
    ...common,
    resolution: panel.maxDataPoints ?? pixels,
    interval: panel.interval,
    range: panelRange(panel, range),
  });

  const places = layout(board, width).flatMap(({ panel, width: pixels }) => (isRow(panel) ? [] : [{ panel, pixels }]));
  const loaded = new Map<Panel, Loaded>(
    await Promise.all(
      places.map(async ({ panel, pixels }) => [panel, await load(panel, scopeOf(panel, pixels), theme)] as const),
    ),
  );
  const annotations = board.annotations?.list ?? [];
  const marks = (await Promise.all(annotations.map((annotation) => marksOf(annotation, common)))).flat();

  const root = createRoot(document.getElementById('root') as HTMLElement);
  const page = (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <BoardView board={board} loaded={loaded} marks={marks} range={range} variables={variables} width={width} />
      <PortalContainer />
    </ThemeContext.Provider>
  );
  flushSync(() => root.render(page)); // all of it stands when the driver looks
}

main()
  .catch((error) => (document.documentElement.dataset.failure = String(error)))
  .finally(() => (document.documentElement.dataset.state = 'over'));
