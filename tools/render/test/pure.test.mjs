// What decides before anything is drawn: variables, time ranges, places. The drawing itself is tried by `make render`.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

import { build } from 'esbuild';

const { builtIn, boardRange, layout, ofBoard, panelRange, sampled, substitute } = await sources('variables', 'time', 'layout', 'prometheus');
const END = Date.UTC(2026, 10, 24, 17, 40);

/** Import TypeScript modules of the page. */
async function sources(...names) {
  const contents = names.map((name) => `export * from './${name}';`).join('\n');
  const resolveDir = fileURLToPath(new URL('../src', import.meta.url));
  const stdin = { contents, resolveDir, loader: 'ts' };
  const { outputFiles } = await build({ stdin, bundle: true, write: false, format: 'esm', platform: 'node', logLevel: 'error' });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

test('a variable is replaced in each of its spellings, an unknown one stays', () => {
  const values = new Map([['model', 'a']]);
  assert.equal(substitute('$model ${model} ${model:regex} [[model]] $other $models', values), 'a a a a $other $models');
});

test('all is what the variable says it is, or everything', () => {
  const all = { includeAll: true, current: { value: ['$__all'] } };
  const values = ofBoard([
    { name: 'model', ...all },
    { name: 'job', allValue: 'shop.*', ...all },
  ]);
  assert.deepEqual([...values], [['model', '.*'], ['job', 'shop.*']]);
});

test('chosen values become a regular expression that matches them and nothing else', () => {
  const chosen = (...value) => ofBoard([{ name: 'model', multi: true, current: { value } }]).get('model');
  assert.equal(chosen('gpt-4.1'), 'gpt-4\\\\.1');
  assert.equal(chosen('gpt-4.1', 'o3'), '(gpt-4\\\\.1|o3)');
});

test('text that is typed in is taken as it is', () => {
  assert.equal(ofBoard([{ name: 'tag', type: 'textbox', query: 'team' }]).get('tag'), 'team');
});

test('a rate looks back four scrapes, or a step and a scrape where that is more', () => {
  const range = boardRange({ time: { from: 'now-3h' } }, END);
  assert.equal(builtIn(range, 15, 15).get('__rate_interval'), '60000ms');
  assert.equal(builtIn(range, 120, 15).get('__rate_interval'), '135000ms');
  assert.equal(builtIn(range, 15, 15).get('__range'), '10800s');
});

test('a panel of today begins at midnight UTC, whatever the board shows', () => {
  const board = boardRange({ time: { from: 'now-3h' } }, END);
  const seconds = ({ from, to }) => (to.valueOf() - from.valueOf()) / 1000;
  assert.equal(seconds(panelRange({ timeFrom: 'now/d' }, board)), 17 * 3600 + 40 * 60);
  assert.equal(seconds(panelRange({}, board)), 3 * 3600);
  assert.throws(() => boardRange({ time: { from: 'yesterday' } }, END), /not a beginning of a time range: yesterday/);
});

test('panels fill the width, and what a collapsed row holds moves the rest down', () => {
  const panel = (title, x, y, w, h) => ({ type: 'stat', title, gridPos: { x, y, w, h } });
  const row = { type: 'row', gridPos: { x: 0, y: 4, w: 24, h: 1 }, panels: [panel('inside', 0, 5, 24, 2)] };
  const places = layout({ panels: [panel('left', 0, 0, 12, 4), panel('right', 12, 0, 12, 4), row, panel('below', 0, 5, 24, 3)] }, 1000);
  const boxes = places.map(({ panel: { title }, left, top, width, height }) => [title, left, top, width, height]);
  assert.deepEqual(boxes, [
    ['left', 0, 0, 496, 144],
    ['right', 504, 0, 496, 144],
    [undefined, 0, 152, 1000, 30],
    ['inside', 0, 190, 1000, 68],
    ['below', 0, 266, 1000, 106],
  ]);
});

test('of the exemplars of a step the greatest is kept, and what is far below it', () => {
  const usual = [1, 2, 3, 2, 1, 2].map((value, index) => ({ at: index, value }));
  const slow = { at: 6, value: 30 };
  const later = { at: 10, value: 2 };
  assert.deepEqual(sampled([...usual, slow, later], 10), [slow, { at: 2, value: 3 }, later]);
  assert.deepEqual(sampled([], 10), []);
});
