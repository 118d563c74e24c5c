#!/usr/bin/env node
// Draws dashboards with @grafana/ui from their JSON and live Prometheus data: one PNG per board.
// Exit code 1: a panel failed, the page logged an error or asked for anything that is not on this machine.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

import sharp from 'sharp';

import { open } from './browser.mjs';
import { bundle } from './bundle.mjs';

const USAGE = `usage: node render.mjs [options] BOARD.json ...

  --prometheus URL   where to ask                         (default: http://127.0.0.1:9090)
  --out DIR          where the pictures go, board-*.png   (default: .)
  --theme NAME       dark or light                        (default: dark)
  --range LENGTH     such as 15m, instead of the board's own range
  --end SECONDS      until when, s since the epoch        (default: now)
  --width PIXELS                                          (default: 1600)
  --strict           empty panels are failures too`;

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    prometheus: { type: 'string', default: 'http://127.0.0.1:9090' },
    out: { type: 'string', default: '.' },
    theme: { type: 'string', default: 'dark' },
    range: { type: 'string' },
    end: { type: 'string', default: String(Date.now() / 1000) },
    width: { type: 'string', default: '1600' },
    strict: { type: 'boolean', default: false },
  },
});

/** Draw one board. Returns what is wrong with it. */
async function draw(browser, file) {
  const board = JSON.parse(await readFile(file, 'utf8'));
  const { theme, range } = options;
  const task = { board, theme, range, width: Number(options.width), end: Number(options.end) * 1000 };
  const { image, panels, faults } = await browser.draw(task);
  const picture = join(options.out, `${basename(file, '.json').replace('huddle-', 'board-')}.png`);
  await writeFile(picture, await smaller(image));
  const empty = panels.filter((panel) => panel.empty);
  for (const panel of panels) {
    const state = panel.error ? `error: ${panel.error}` : panel.empty ? 'empty' : (await blank(image, panel.box)) ? 'blank' : 'ok';
    if (state !== 'ok') {
      console.log(`  ${panel.title}: ${state}`);
    }
    if (panel.error || state === 'blank' || (options.strict && panel.empty)) {
      faults.push(`${panel.title}: ${state}`);
    }
  }
  console.log(`${picture}: ${panels.length} panels, ${empty.length} empty, ${faults.length} faults`);
  return faults;
}

/** 256 colours are enough for a dashboard, and a third of the bytes. */
function smaller(image) {
  return sharp(image).png({ palette: true, colours: 256, quality: 90, effort: 10, dither: 0 }).toBuffer();
}

/** Whether the inside of a panel, below its title, is of one colour. */
async function blank(image, { x, y, width, height }) {
  const title = 40;
  const inside = { left: x + 4, top: y + title, width: width - 8, height: height - title - 4 };
  const { channels } = await sharp(image).extract(inside).stats();
  return channels.every(({ stdev }) => stdev < 0.5);
}

if (files.length === 0) {
  console.error(USAGE);
  process.exit(2);
}
await mkdir(options.out, { recursive: true });
const browser = await open(await bundle(), options.prometheus);
try {
  for (const file of files) {
    for (const fault of await draw(browser, file)) {
      console.error(`  ${fault}`);
      process.exitCode = 1;
    }
  }
} finally {
  await browser.close();
}
