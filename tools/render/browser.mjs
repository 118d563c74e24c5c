// A headless Chromium that sees our page and Prometheus, and nothing else.

import { execFileSync } from 'node:child_process';
import { extname } from 'node:path';

import { chromium } from 'playwright-core';

const ORIGIN = 'http://boards.invalid/'; // answered here; a name that no server ever has
const PROMETHEUS = 'prometheus/';
const TYPES = {
  '': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const PATIENCE = 60_000;

/** Start the browser. `read` gives the page's files by path, `prometheus` is a URL. */
export async function open(read, prometheus) {
  const browser = await chromium.launch({ executablePath: executable(), args: ARGUMENTS });
  return {
    close: () => browser.close(),
    draw: (task) => draw(browser, read, prometheus, task),
  };
}

function executable() {
  const names = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(Boolean);
  const script = names.map((name) => `command -v ${JSON.stringify(name)}`).join(' || ');
  try {
    return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
  } catch {
    throw new Error('No Chromium found. On Debian: apt-get install chromium; elsewhere, set CHROMIUM to its path.');
  }
}

/** Draw one board. Returns its picture, its panels with their places on it, and what went wrong on the page. */
async function draw(browser, read, prometheus, task) {
  const faults = [];
  const page = await browser.newPage({ viewport: { width: task.width, height: 1000 } });
  page.on('console', (message) => message.type() === 'error' && faults.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => faults.push(`page: ${error.stack}`));
  await page.route('**/*', (route) => answer(route, read, prometheus, faults));
  await page.addInitScript((given) => (window.TASK = given), task);
  await page.goto(ORIGIN);
  await page.waitForFunction(() => document.documentElement.dataset.state, undefined, { timeout: PATIENCE });
  const failure = await page.evaluate(() => document.documentElement.dataset.failure);
  if (failure) {
    throw new Error(failure);
  }
  const height = await page.evaluate(() => Math.ceil(document.getElementById('root').getBoundingClientRect().height));
  await page.setViewportSize({ width: task.width, height: Math.max(height, 100) });
  await page.waitForLoadState('networkidle');
  await page.evaluate(async () => {
    await document.fonts.ready;
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  });
  const panels = await page.$$eval('[data-panel]', (elements) =>
    elements.map((element) => {
      const { x, y, width, height } = element.getBoundingClientRect();
      const box = { x: Math.round(x), y: Math.round(y), width: Math.round(width), height: Math.round(height) };
      const { panel: title, empty, error } = element.dataset;
      const inner = element.querySelector('[data-error]')?.dataset.error;
      return { title, box, empty: empty === 'true', error: error ?? inner };
    }),
  );
  const image = await settled(page);
  await page.close();
  return { image, panels, faults };
}

/** A picture like the one before it: by then icons, which arrive one by one, are all there. */
async function settled(page) {
  let before = Buffer.alloc(0);
  for (let tries = 0; tries < 20; tries++) {
    const image = await page.screenshot();
    if (image.equals(before)) {
      return image;
    }
    before = image;
  }
  throw new Error('the page does not come to rest');
}

async function answer(route, read, prometheus, faults) {
  const url = new URL(route.request().url());
  const path = url.pathname.slice(1);
  if (!url.href.startsWith(ORIGIN)) {
    faults.push(`asked for ${url.origin}`);
    return route.abort();
  }
  if (path.startsWith(PROMETHEUS)) {
    return forward(route, new URL(path.slice(PROMETHEUS.length) + url.search, `${prometheus.replace(/\/+$/, '')}/`));
  }
  const body = await read(path);
  return body === undefined
    ? route.fulfill({ status: 404 })
    : route.fulfill({ body, contentType: TYPES[extname(path)] });
}

/** Errors too come back as answers, in Prometheus' own form, so that a panel can show them. */
async function forward(route, url) {
  try {
    const response = await fetch(url);
    const body = await response.text();
    return await route.fulfill({ status: 200, contentType: 'application/json', body });
  } catch (error) {
    const body = JSON.stringify({ status: 'error', error: `${url.origin} does not answer (${error.cause ?? error})` });
    return route.fulfill({ status: 200, contentType: 'application/json', body });
  }
}
