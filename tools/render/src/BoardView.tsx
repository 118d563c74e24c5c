/** A whole board: its heading, its rows, its panels. */

import { type TimeRange } from '@grafana/data';
import { type Dashboard, type Panel } from '@grafana/schema';
import { Icon, useTheme2 } from '@grafana/ui';

import { heightOf, isRow, layout } from './layout';
import { type Loaded, type Mark } from './loading';
import { PanelView } from './PanelView';
import { substitute, type Values } from './variables';

const MARGIN = 16;

interface BoardViewProps {
  board: Dashboard;
  loaded: ReadonlyMap<Panel, Loaded>;
  marks: readonly Mark[];
  range: TimeRange;
  variables: Values;
  width: number;
}

export function BoardView({ board, loaded, marks, range, variables, width }: BoardViewProps) {
  const { colors } = useTheme2();
  const places = layout(board, width - 2 * MARGIN);
  return (
    <main style={{ width, padding: MARGIN, background: colors.background.canvas }}>
      <Heading board={board} range={range} variables={variables} />
      <div style={{ position: 'relative', height: heightOf(places) }}>
        {places.map(({ panel, left, top, width, height }, index) => (
          <div key={index} style={{ position: 'absolute', left, top, width, height }}>
            {isRow(panel) ? (
              <h2 style={{ fontSize: 16, lineHeight: `${height}px`, margin: 0 }}>
                <Icon name="angle-down" /> {panel.title}
              </h2>
            ) : (
              <PanelView
                panel={titled(panel, variables)}
                loaded={loaded.get(panel) ?? { frames: [], exemplars: [], range }}
                marks={marks}
                width={width}
                height={height}
              />
            )}
          </div>
        ))}
      </div>
    </main>
  );
}

function Heading({ board, range, variables }: Pick<BoardViewProps, 'board' | 'range' | 'variables'>) {
  const { colors } = useTheme2();
  const shown = (board.templating?.list ?? []).filter(({ type, hide }) => type !== 'datasource' && hide !== 2);
  const format = 'YYYY-MM-DD HH:mm:ss';
  return (
    <header style={{ display: 'flex', gap: 16, alignItems: 'baseline', marginBottom: 12, color: colors.text.secondary }}>
      <h1 style={{ fontSize: 20, margin: 0, color: colors.text.primary }}>{board.title}</h1>
      {shown.map(({ name, label }) => (
        <span key={name}>
          {label ?? name}: <strong>{readable(variables.get(name))}</strong>
        </span>
      ))}
      <span style={{ marginLeft: 'auto' }}>
        {range.from.utc().format(format)} to {range.to.utc().format(format)} UTC
      </span>
    </header>
  );
}

function titled(panel: Panel, variables: Values): Panel {
  const text = (template = '') => substitute(template, variables);
  return { ...panel, title: text(panel.title), description: text(panel.description) };
}

function readable(value: string | undefined): string {
  return value === undefined || value === '.*' || value === '.+' ? 'All' : value;
}
