/**
 * Grafana's variables in a query, by Grafana's rules:
 * https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/
 */

import { type TimeRange } from '@grafana/data';
import { type VariableModel } from '@grafana/schema';

/** What a name stands for: the text that replaces it. */
export type Values = ReadonlyMap<string, string>;

const REFERENCE = /\$(\w+)|\$\{(\w+)(?::\w+)?\}|\[\[(\w+)(?::\w+)?\]\]/g;
/** Of `$__rate_interval`: four scrapes, so that one may fail. */
const SCRAPES = 4;
const ALL = '$__all';

/** Replace every `$name`, `${name}`, `${name:format}` and `[[name]]` that has a value; leave the others. */
export function substitute(text: string, values: Values): string {
  return text.replace(REFERENCE, (whole, plain, braced, square) => values.get(plain ?? braced ?? square) ?? whole);
}

/** The variables every query has. `step` and `scrape` are seconds. */
export function builtIn(range: TimeRange, step: number, scrape: number): Values {
  const length = Math.round((range.to.valueOf() - range.from.valueOf()) / 1000);
  return new Map([
    ['__interval', duration(step)],
    ['__interval_ms', String(step * 1000)],
    ['__rate_interval', duration(Math.max(step + scrape, SCRAPES * scrape))],
    ['__range', `${length}s`],
    ['__range_s', String(length)],
    ['__range_ms', String(length * 1000)],
    ['__from', String(range.from.valueOf())],
    ['__to', String(range.to.valueOf())],
  ]);
}

function duration(seconds: number): string {
  return `${Math.round(seconds * 1000)}ms`;
}

/** The values that a board's own variables start with: their current one, or all. */
export function ofBoard(variables: readonly VariableModel[]): Values {
  return new Map(variables.map((variable) => [variable.name, initial(variable)]));
}

function initial(variable: VariableModel): string {
  const value = variable.current?.value ?? (variable.includeAll ? ALL : optionValue(variable.query));
  const chosen = [value].flat().map(String);
  if (chosen.includes(ALL)) {
    return variable.allValue ?? '.*';
  }
  if (!variable.multi && !variable.includeAll) {
    return chosen[0] ?? '';
  }
  return chosen.length === 1 ? escaped(chosen[0] ?? '') : `(${chosen.map(escaped).join('|')})`;
}

/** The first option of a custom, constant or text variable's comma-separated definition. */
function optionValue(query: unknown): string {
  return typeof query === 'string' ? (query.split(',')[0] ?? '').trim() : '';
}

/** A value inside a regular expression inside a quoted PromQL string. */
function escaped(value: string): string {
  return value.replace(/[\\^$*+?.()|[\]{}]/g, '\\\\$&');
}
