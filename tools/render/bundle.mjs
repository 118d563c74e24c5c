// The page as the browser gets it: files by their path.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const HTML = `<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <title>board</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="page.css">
  <style>body { margin: 0; } main { box-sizing: border-box; }</style>
  <script>window.__grafana_public_path__ = 'public/';</script>
  <div id="root"></div>
  <script src="page.js"></script>
</html>`;

/** Where @grafana/ui looks for fonts, and what we have for them: the same faces, packaged by Fontsource. */
const FONTS = {
  'inter/Inter-Regular.woff2': '@fontsource/inter/files/inter-latin-400-normal.woff2',
  'inter/Inter-Medium.woff2': '@fontsource/inter/files/inter-latin-500-normal.woff2',
  'inter/Inter-Italic.woff2': '@fontsource/inter/files/inter-latin-400-italic.woff2',
  'inter/Inter-MediumItalic.woff2': '@fontsource/inter/files/inter-latin-500-italic.woff2',
};
const MONO = '@fontsource/roboto-mono/files/roboto-mono-latin-400-normal.woff2';
const ICONS = join(dirname(require.resolve('@grafana/ui/package.json')), 'dist', 'public', 'img', 'icons');

/** Build the page. Returns a function from a path to the file's bytes, undefined for one it does not have. */
export async function bundle() {
  const { outputFiles } = await build({
    absWorkingDir: HERE,
    entryPoints: ['src/page.tsx'],
    outdir: '/',
    bundle: true,
    minify: true,
    write: false,
    jsx: 'automatic',
    format: 'iife',
    target: 'es2022',
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.ttf': 'empty' }, // of the code editor, which no board shows
    logLevel: 'error',
  });
  const made = new Map(outputFiles.map(({ path, contents }) => [path.slice(1), Buffer.from(contents)]));
  made.set('', Buffer.from(HTML));
  return async (path) => made.get(path) ?? readFile(located(path)).catch(() => undefined);
}

function located(path) {
  const [, kind, rest] = /^public\/(?:build\/img\/)?(icons|fonts)\/(.+)$/.exec(path) ?? [];
  if (kind === 'icons') {
    return join(ICONS, rest);
  }
  return require.resolve(rest?.startsWith('roboto/') ? MONO : (FONTS[rest] ?? path));
}
