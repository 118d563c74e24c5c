/** A panel's field configuration on its data: what Grafana does between the query and the drawing. */

import {
  applyFieldOverrides,
  type DataFrame,
  FieldConfigOptionsRegistry,
  type FieldConfigPropertyItem,
  type FieldConfigSource,
  type GrafanaTheme2,
  identityOverrideProcessor,
} from '@grafana/data';
import { type Panel } from '@grafana/schema';

/** What Grafana's panels take for granted where a board's JSON says nothing. */
const DEFAULTS: Record<string, Record<string, unknown>> = {
  timeseries: {
    drawStyle: 'line',
    lineInterpolation: 'linear',
    lineWidth: 1,
    fillOpacity: 0,
    gradientMode: 'none',
    showPoints: 'auto',
    pointSize: 5,
    spanNulls: false,
    barAlignment: 0,
    stacking: { mode: 'none', group: 'A' },
    axisPlacement: 'auto',
    axisGridShow: true,
    scaleDistribution: { type: 'linear' },
    thresholdsStyle: { mode: 'off' },
    hideFrom: { legend: false, tooltip: false, viz: false },
  },
  'state-timeline': { fillOpacity: 70, lineWidth: 0 },
};

/** The panel's configuration with the defaults of its type. */
export function configOf(panel: Panel): FieldConfigSource {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const custom = { ...DEFAULTS[panel.type], ...defaults.custom };
  const color = defaults.color ?? { mode: panel.type === 'timeseries' ? 'palette-classic' : 'thresholds' };
  return structuredClone({ defaults: { ...defaults, color, custom }, overrides }) as FieldConfigSource;
}

/** Apply units, thresholds, mappings, colours and overrides. */
export function configured(
  data: DataFrame[],
  fieldConfig: FieldConfigSource,
  theme: GrafanaTheme2,
  replaceVariables: (text: string) => string,
): DataFrame[] {
  const fieldConfigRegistry = registryOf(fieldConfig);
  return applyFieldOverrides({ data, fieldConfig, fieldConfigRegistry, replaceVariables, theme, timeZone: 'utc' });
}

/** In Grafana the registry lists what an editor offers. Here it permits what the panel uses. */
function registryOf({ defaults, overrides }: FieldConfigSource): FieldConfigOptionsRegistry {
  const ids = new Set([
    ...Object.keys(defaults).filter((name) => name !== 'custom'),
    ...Object.keys(defaults.custom ?? {}).map((name) => `custom.${name}`),
    ...overrides.flatMap(({ properties }) => properties.map(({ id }) => id)),
  ]);
  return new FieldConfigOptionsRegistry(() => [...ids].map(property));
}

function property(id: string): FieldConfigPropertyItem {
  const isCustom = id.startsWith('custom.');
  const path = isCustom ? id.slice('custom.'.length) : id;
  const nothing = () => null;
  return {
    id,
    path,
    isCustom,
    name: id,
    editor: nothing,
    override: nothing,
    process: identityOverrideProcessor,
    shouldApply: () => true,
  };
}
