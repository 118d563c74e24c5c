/** Queries to Prometheus' HTTP API, and their answers as data frames the way Grafana's data source makes them. */

import { type DataFrame, FieldType, type Labels, rangeUtil, type TimeRange, toDataFrame } from '@grafana/data';

import { builtIn, substitute, type Values } from './variables';

/** The part of a panel's target that we read. */
export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  interval?: string;
  exemplar?: boolean;
  hide?: boolean;
  datasource?: { type?: string };
}

/** When and how finely to ask. */
export interface Scope {
  range: TimeRange;
  /** Points that fit the panel. */
  resolution: number;
  /** The lowest step the panel asks for, such as `30s`. */
  interval?: string;
  /** Seconds between scrapes. */
  scrape: number;
  variables: Values;
}

type Sample = [seconds: number, value: string | null];

interface Series {
  metric: Labels;
  values: Sample[];
}

/** Ask the API; `path` is what follows `/api/v1/`. Throws what Prometheus says of a bad query. */
export async function ask<T>(path: string, parameters: Record<string, string>): Promise<T> {
  const response = await fetch(`prometheus/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = await response.json();
  if (answer.status !== 'success') {
    throw new Error(`${answer.error} in ${parameters.query}`);
  }
  return answer.data;
}

/** The seconds between scrapes that Prometheus is set to. */
export async function scrapeInterval(): Promise<number> {
  const { yaml } = await ask<{ yaml: string }>('status/config', {});
  return rangeUtil.intervalToSeconds(/scrape_interval: (\w+)/.exec(yaml)?.[1] ?? '15s');
}

/** Run one query. Returns a frame per series, or one table, whose values have the query's name unless it is the only one. */
export async function query(target: Target, scope: Scope, onlyTable = false): Promise<DataFrame[]> {
  const step = stepOf(target, scope);
  const expression = expand(target.expr, scope, step);
  const series = target.instant
    ? await instant(expression, scope.range)
    : await range(expression, scope.range, step);
  if (target.format === 'table') {
    return series.length === 0 ? [] : [table(series, target.refId, onlyTable ? 'Value' : `Value #${target.refId}`)];
  }
  return series.map((each) => frame(each, target, target.instant ? undefined : step));
}

/** Seconds between the points of a query's answer. */
function stepOf(target: Target, scope: Scope): number {
  const lowest = substitute(target.interval || scope.interval || `${scope.scrape}s`, scope.variables);
  return rangeUtil.calculateInterval(scope.range, scope.resolution, lowest).intervalMs / 1000;
}

/** A single call that a histogram kept as an example: a moment (ms) and what was measured. */
export interface Exemplar {
  at: number;
  value: number;
}

/** Some exemplars of a query, none for a query that asks for none. */
export async function exemplars(target: Target, scope: Scope): Promise<Exemplar[]> {
  if (!target.exemplar) {
    return [];
  }
  type Answer = Array<{ exemplars: Array<{ timestamp: number; value: string }> }>;
  const [start, end] = [scope.range.from, scope.range.to].map((moment) => String(moment.valueOf() / 1000)) as [string, string];
  const step = stepOf(target, scope);
  const answer = await ask<Answer>('query_exemplars', { query: expand(target.expr, scope, step), start, end });
  const all = answer.flatMap(({ exemplars: kept }) => kept.map(({ timestamp, value }) => ({ at: timestamp * 1000, value: Number(value) })));
  return sampled(all, step * 1000);
}

/** Of each step the greatest, and what lies two standard deviations below one that is taken: as Grafana thins them out. */
export function sampled(all: readonly Exemplar[], step: number): Exemplar[] {
  const mean = all.reduce((sum, { value }) => sum + value, 0) / all.length;
  const deviation = Math.sqrt(all.reduce((sum, { value }) => sum + (value - mean) ** 2, 0) / all.length);
  const lowest = new Map<number, number>();
  return [...all].sort((one, other) => other.value - one.value).filter(({ at, value }) => {
    const slot = Math.floor(at / step);
    const taken = (lowest.get(slot) ?? Infinity) - value > 2 * deviation;
    if (taken) {
      lowest.set(slot, value);
    }
    return taken;
  });
}

/** The query as it is sent. `step` is seconds. */
export function expand(expression: string, scope: Scope, step: number): string {
  return substitute(expression, new Map([...scope.variables, ...builtIn(scope.range, step, scope.scrape)]));
}

async function range(expression: string, { from, to }: TimeRange, step: number): Promise<Series[]> {
  const [start, end] = [from, to].map((moment) => Math.floor(moment.valueOf() / 1000 / step) * step) as [number, number];
  const parameters = { query: expression, start: String(start), end: String(end), step: String(step) };
  const { result } = await ask<{ result: Series[] }>('query_range', parameters);
  return result.map(({ metric, values }) => ({ metric, values: complete(values, start, end, step) }));
}

/** A sample for every step, so that a plot shows where there is none. */
function complete(values: Sample[], start: number, end: number, step: number): Sample[] {
  const known = new Map(values);
  const steps = Array.from({ length: Math.round((end - start) / step) + 1 }, (_, index) => start + index * step);
  return steps.map((seconds) => [seconds, known.get(seconds) ?? null]);
}

async function instant(expression: string, { to }: TimeRange): Promise<Series[]> {
  type Answer =
    | { resultType: 'vector'; result: Array<{ metric: Labels; value: Sample }> }
    | { resultType: 'scalar'; result: Sample };
  const answer = await ask<Answer>('query', { query: expression, time: String(to.valueOf() / 1000) });
  return answer.resultType === 'scalar'
    ? [{ metric: {}, values: [answer.result] }]
    : answer.result.map(({ metric, value }) => ({ metric, values: [value] }));
}

function frame({ metric, values }: Series, { refId, legendFormat }: Target, step: number | undefined): DataFrame {
  const { __name__, ...labels } = metric;
  const named = legendFormat && legendFormat !== '__auto' ? { displayNameFromDS: legend(legendFormat, metric) } : {};
  return toDataFrame({
    refId,
    fields: [
      {
        name: 'Time',
        type: FieldType.time,
        values: values.map(([seconds]) => seconds * 1000),
        config: step === undefined ? {} : { interval: step * 1000 },
      },
      { name: __name__ ?? 'Value', type: FieldType.number, labels, values: values.map(number), config: named },
    ],
  });
}

function table(series: Series[], refId: string, valueName: string): DataFrame {
  const names = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const rows = series.flatMap(({ metric, values }) => values.map((value) => ({ metric, value })));
  return toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: rows.map(({ value }) => value[0] * 1000) },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        values: rows.map(({ metric }) => metric[name] ?? ''),
        config: { filterable: true },
      })),
      { name: valueName, type: FieldType.number, values: rows.map(({ value }) => number(value)) },
    ],
  });
}

function legend(format: string, labels: Labels): string {
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, name) => labels[name] ?? '');
}

/** JavaScript reads "NaN" itself, but not Prometheus' infinities. */
function number([, text]: Sample): number | null {
  return text === null ? null : Number(text.replace("Inf", "Infinity"));
}
