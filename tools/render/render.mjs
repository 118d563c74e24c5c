#!/usr/bin/env node
// Draws dashboards with @grafana/ui from their JSON and live Prometheus data: one PNG per board.
// Exit code 1: a panel failed, the page logged an error or asked for anything that is not on this machine; 2: no picture.

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

/** Read the command line. Throws what is wrong with it. */
function read() {
  const { values, positionals } = parseArgs({
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
  const end = Number(values.end);
  const width = Number(values.width);
  if (!['dark', 'light'].includes(values.theme)) {
    throw new Error(`--theme must be dark or light, got ${values.theme}`);
  }
  if (!Number.isFinite(end) || end <= 0) {
    throw new Error(`--end must be seconds since the epoch, got ${values.end}`);
  }
  if (!Number.isInteger(width) || width < 400 || width > 4000) {
    throw new Error(`--width must be from 400 to 4000 (px), got ${values.width}`);
  }
  if (positionals.length === 0) {
    throw new Error('which boards?');
  }
  return { ...values, end, width, files: positionals };
}

/** Draw one board into a picture. Returns what is wrong with it. */
async function draw(browser, file, { theme, range, end, width, out, strict }) {
  const board = JSON.parse(await readFile(file, 'utf8'));
  const { image, panels, faults } = await browser.draw({ board, theme, range, width, end: end * 1000 });
  const states = await Promise.all(panels.map((panel) => state(panel, image)));
  const bad = panels.flatMap(({ title }, index) => {
    const passes = states[index] === 'ok' || (states[index] === 'empty' && !strict);
    return passes ? [] : [`${title}: ${states[index]}`];
  });
  const picture = join(out, `${basename(file, '.json').replace('huddle-', 'board-')}.png`);
  await writeFile(picture, await smaller(image));
  const empty = panels.filter((_, index) => states[index] === 'empty').map(({ title }) => title);
  const note = empty.length > 0 ? ` (${empty.join(', ')})` : '';
  console.log(
    `${picture}: ${panels.length} panels, ${empty.length} empty${note}, ${bad.length + faults.length} faults`,
  );
  return [...bad, ...faults];
}

/** How a panel came out: ok, empty, blank although it has data, or its error. */
async function state({ error, empty, box }, image) {
  if (error) {
    return error;
  }
  return empty ? 'empty' : (await blank(image, box)) ? 'blank' : 'ok';
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

async function main({ files, ...options }) {
  await mkdir(options.out, { recursive: true });
  const browser = await open(await bundle(), options.prometheus);
  try {
    for (const file of files) {
      for (const fault of await draw(browser, file, options)) {
        console.error(`  ${fault}`);
        process.exitCode = 1;
      }
    }
  } finally {
    await browser.close();
  }
}

try {
  await main(read());
} catch (error) {
  console.error(`render: ${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
