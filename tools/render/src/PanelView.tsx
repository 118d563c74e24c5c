/** One panel in its frame. */

import { PanelChrome, useTheme2 } from '@grafana/ui';
import { Component, type ComponentType, type ReactNode } from 'react';

import { type Loaded } from './loading';
import { BarGaugePanel, StatPanel } from './panels/ValuePanels';
import { HeatmapPanel } from './panels/HeatmapPanel';
import { type PanelProps } from './panels/props';
import { StateTimelinePanel } from './panels/StateTimelinePanel';
import { TablePanel } from './panels/TablePanel';
import { TextPanel } from './panels/TextPanel';
import { TimeSeriesPanel } from './panels/TimeSeriesPanel';
import { ownRange } from './time';

const KINDS: Record<string, ComponentType<PanelProps>> = {
  bargauge: BarGaugePanel,
  heatmap: HeatmapPanel,
  stat: StatPanel,
  'state-timeline': StateTimelinePanel,
  table: TablePanel,
  text: TextPanel,
  timeseries: TimeSeriesPanel,
};
/** Kinds that have something to show without data. */
const SELF_SUFFICIENT = new Set(['stat', 'text']);

interface PanelViewProps extends Omit<PanelProps, keyof Loaded> {
  loaded: Loaded;
}

export function PanelView({ panel, loaded, width, height, ...rest }: PanelViewProps) {
  const Kind = KINDS[panel.type];
  const empty = !loaded.frames.some(({ length }) => length > 0);
  const error = loaded.error ?? (Kind === undefined ? `No drawing for panels of type ${panel.type}` : undefined);
  return (
    <div data-panel={panel.title} data-kind={panel.type} data-empty={empty} data-error={error}>
      <PanelChrome
        title={panel.title}
        description={panel.description}
        titleItems={<Aside text={ownRange(panel)} />}
        displayMode={panel.transparent ? 'transparent' : 'default'}
        statusMessage={error}
        width={width}
        height={height}
      >
        {(innerWidth, innerHeight) =>
          Kind === undefined || (empty && !SELF_SUFFICIENT.has(panel.type)) ? (
            <NoData text={error ?? panel.fieldConfig?.defaults.noValue ?? 'No data'} />
          ) : (
            <Guard>
              <Kind {...rest} {...loaded} panel={panel} width={innerWidth} height={innerHeight} />
            </Guard>
          )
        }
      </PanelChrome>
    </div>
  );
}

function Aside({ text }: { text: string | undefined }) {
  const { colors } = useTheme2();
  return <span style={{ color: colors.text.secondary, fontSize: 12, whiteSpace: 'nowrap' }}>{text}</span>;
}

function NoData({ text }: { text: string }) {
  const { colors } = useTheme2();
  return <div style={{ display: 'grid', placeItems: 'center', height: '100%', color: colors.text.secondary }}>{text}</div>;
}

/** Shows what a drawing threw in the place of the panel, so that one bad panel does not empty the page. */
class Guard extends Component<{ children: ReactNode }, { error?: Error }> {
  state: { error?: Error } = {};

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  render() {
    const { error } = this.state;
    return error === undefined ? this.props.children : <pre data-error={String(error)}>{error.stack}</pre>;
  }
}
