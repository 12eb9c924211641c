// npm run soak [-- SUITE ...]: the long versions of the tests, from seeds: kills, crash schedules, faults, hostile lines, log lines, fan-out.
// The suites are the ordinary test files; AMLOPS_SOAK=1 and the counts below raise what they do. A shorter look: AMLOPS_SOAK_KILLS=20.
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
if (files.length === 0) {
  console.error(`No long test has '${wanted.join("' or '")}' in its name.`);
  process.exit(2);
}
for (const file of files) console.error(`Soak: ${file}`);
const began = Date.now();
const done = spawnSync(process.execPath, ['node_modules/mocha/bin/mocha.js', '--timeout', '0', ...files], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { AMLOPS_SOAK_KILLS: '200', AMLOPS_FUZZ_LINES: '100000', ...process.env, AMLOPS_SOAK: '1' },
});
process.exitCode = done.status ?? 1;
const minutes = ((Date.now() - began) / 60_000).toFixed(1);
console.error(
  `Soak: ${files.length} suites ${process.exitCode === 0 ? 'passed' : 'ran, with failures as listed above,'} in ${minutes} min.`,
);
