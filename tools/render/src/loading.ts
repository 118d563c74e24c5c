/** Everything a panel needs before it can be drawn. */

import { cacheFieldDisplayNames, type DataFrame, type DataTransformerConfig, type GrafanaTheme2, standardTransformers, standardTransformersRegistry, type TimeRange, transformDataFrame } from '@grafana/data';
import { type AnnotationQuery, type Panel } from '@grafana/schema';
import { lastValueFrom } from 'rxjs';

import { configOf, configured } from './fields';
import { type Exemplar, exemplars, query, type Scope, type Target } from './prometheus';
import { substitute } from './variables';

standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: () => Promise.resolve(transformation),
    editor: () => null,
    imageDark: '',
    imageLight: '',
  })),
);

/** What came of a panel's queries. */
export interface Loaded {
  frames: DataFrame[];
  range: TimeRange;
  exemplars: Exemplar[];
  /** Why there is nothing to draw, if that is an error. */
  error?: string;
}

/** Run a panel's queries, transformations and field configuration. Never throws: a board with one bad panel is drawn. */
export async function load(panel: Panel, scope: Scope, theme: GrafanaTheme2): Promise<Loaded> {
  const nothing = { frames: [], range: scope.range, exemplars: [] };
  try {
    const targets = ((panel.targets ?? []) as unknown as Target[]).filter(({ hide }) => !hide);
    const elsewhere = targets.find(({ expr }) => expr === undefined);
    if (elsewhere) {
      return { ...nothing, error: `no drawing of what ${elsewhere.datasource?.type} answers` };
    }
    const tables = targets.filter(({ format }) => format === 'table').length;
    const answers = await Promise.all(targets.map((target) => query(target, scope, tables === 1)));
    const transformations = (panel.transformations ?? []) as DataTransformerConfig[];
    const context = { interpolate: (text: string) => substitute(text, scope.variables) };
    const shaped = await lastValueFrom(transformDataFrame(transformations, answers.flat(), context));
    const frames = configured(shaped, configOf(panel), theme, context.interpolate);
    cacheFieldDisplayNames(frames);
    const examples = await Promise.all(targets.map((target) => exemplars(target, scope)));
    return { ...nothing, frames, exemplars: examples.flat() };
  } catch (error) {
    return { ...nothing, error: String(error) };
  }
}

/** A moment (ms) of an annotation. */
export interface Mark {
  at: number;
  color: string;
}

/** The moments at which an annotation's query has a value that it had not a step before. */
export async function marksOf(annotation: AnnotationQuery & { expr?: string }, scope: Scope): Promise<Mark[]> {
  if (!annotation.enable || !annotation.expr) {
    return [];
  }
  const frames = await query({ refId: 'marks', expr: annotation.expr }, scope);
  return frames.flatMap((frame) => {
    const times: number[] = frame.fields[0]?.values ?? [];
    const values: Array<number | null> = frame.fields[1]?.values ?? [];
    const first = times.filter((_, index) => values[index] !== null && (values[index - 1] ?? null) === null);
    return first.map((at) => ({ at, color: annotation.iconColor }));
  });
}
