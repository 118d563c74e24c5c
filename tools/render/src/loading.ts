/** Everything a panel needs before it can be drawn. */

import { cacheFieldDisplayNames, type DataFrame, type DataTransformerConfig, type GrafanaTheme2, standardTransformers, standardTransformersRegistry, transformDataFrame } from '@grafana/data';
import { type Panel } from '@grafana/schema';
import { lastValueFrom } from 'rxjs';

import { configOf, configured } from './fields';
import { query, type Scope, type Target } from './prometheus';
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
  /** Why there is nothing to draw, if that is an error. */
  error?: string;
}

/** Run a panel's queries, transformations and field configuration. Never throws: a board with one bad panel is drawn. */
export async function load(panel: Panel, scope: Scope, theme: GrafanaTheme2): Promise<Loaded> {
  try {
    const targets = ((panel.targets ?? []) as unknown as Target[]).filter(({ hide }) => !hide);
    const tables = targets.filter(({ format }) => format === 'table').length;
    const answers = await Promise.all(targets.map((target) => query(target, scope, tables === 1)));
    const transformations = (panel.transformations ?? []) as DataTransformerConfig[];
    const context = { interpolate: (text: string) => substitute(text, scope.variables) };
    const shaped = await lastValueFrom(transformDataFrame(transformations, answers.flat(), context));
    const frames = configured(shaped, configOf(panel), theme, context.interpolate);
    cacheFieldDisplayNames(frames);
    return { frames };
  } catch (error) {
    return { frames: [], error: String(error) };
  }
}

/** The moments (ms) an annotation query marks: those at which it has a value that it had not a step before. */
export async function marks(expression: string, scope: Scope): Promise<number[]> {
  const frames = await query({ refId: 'marks', expr: expression }, scope);
  return frames.flatMap((frame) => {
    const times: number[] = frame.fields[0]?.values ?? [];
    const step = frame.fields[0]?.config.interval ?? 0;
    const values: number[] = frame.fields[1]?.values ?? [];
    return times.filter((time, index) => values[index] !== 0 && time - (times[index - 1] ?? -Infinity) > step);
  });
}
