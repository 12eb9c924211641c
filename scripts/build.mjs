// Builds dist/: the command line (modules split per command, packages from node_modules) and one bundle per task.
import { pathToFileURL } from 'node:url';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root, setup } from './lib/setup.mjs';

/** Builds everything that is run: dist/cli and dist/tasks. */
export async function build({ quiet = false, clean = false } = {}) {
  setup();
  const started = Date.now();
  const esbuild = await import('esbuild');
  // Old chunks stay until a clean build: a running `amlops up` may still load one of them.
  if (clean) rmSync(join(root, 'dist', 'cli'), { recursive: true, force: true });
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: { amlops: 'cli/amlops.ts', ...workers() },
    outdir: 'dist/cli',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    packages: 'external',
    sourcemap: true,
    logLevel: 'warning',
  });
  const tasks = join(root, 'scripts', 'lib', 'build-tasks.mjs');
  if (existsSync(tasks)) await (await import(pathToFileURL(tasks).href)).buildTasks({ quiet });
  if (!quiet) console.error(`Built in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
}

/** Child processes of the local side: every local/**\/*.worker.ts becomes dist/cli/<name>.worker.js. */
function workers() {
  const found = {};
  for (const entry of readdirSync(join(root, 'local'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.worker.ts')) continue;
    found[entry.name.replace(/\.ts$/, '')] = join(entry.parentPath ?? entry.path, entry.name);
  }
  return found;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  await build({ clean: process.argv.includes('--clean') });
