// npm run soak [-- SUITE ...]: the long versions of the tests, from seeds: kills, crash schedules, faults, hostile lines, log lines, fan-out.
// The suites are the ordinary test files; AMLOPS_SOAK=1 and the counts below raise what they do.
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root, setup } from './lib/setup.mjs';

setup();
await (await import('./build.mjs')).build();
const wanted = process.argv.slice(2);
const files = readdirSync(join(root, 'tests'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
  .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
  .filter((file) => /AMLOPS_(SOAK|FUZZ)/.test(readFileSync(join(root, file), 'utf8')))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
console.error(`Soak: ${files.join(', ')}`);
const done = spawnSync(process.execPath, ['node_modules/mocha/bin/mocha.js', '--timeout', '0', ...files], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, AMLOPS_SOAK: '1', AMLOPS_SOAK_KILLS: '200', AMLOPS_FUZZ_LINES: '100000' },
});
process.exitCode = done.status ?? 1;
