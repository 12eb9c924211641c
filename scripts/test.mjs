// npm test [unit|integration|e2e ...] [-- mocha options]: every test, and one closing line "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root, setup } from './lib/setup.mjs';
import { ownTemp } from './lib/temp.mjs';

const suites = [
  {
    name: 'unit',
    of: (file) => /\.test\.ts$/.test(file) && !/\.(int|e2e)\.test\.ts$/.test(file),
    options: ['--parallel', '--jobs', '2'],
  },
  {
    name: 'integration',
    of: (file) => file.endsWith('.int.test.ts'),
    options: ['--parallel', '--jobs', '2', '--timeout', '300000'],
  },
  { name: 'e2e', of: (file) => file.endsWith('.e2e.test.ts'), options: ['--parallel', '--jobs', '2', '--timeout', '900000'] },
];
const args = process.argv.slice(2);
const split = args.indexOf('--') < 0 ? args.length : args.indexOf('--');
const wanted = args.slice(0, split);
const extra = args.slice(split + 1);
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length) {
  console.error(`Unknown suite ${unknown.join(', ')}; there are ${suites.map((s) => s.name).join(', ')}.`);
  process.exit(2);
}

setup();
const all = readdirSync(join(root, 'tests'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
  .sort();
const run = suites.filter((suite) => wanted.length === 0 || wanted.includes(suite.name));
if (run.some((suite) => suite.name !== 'unit')) {
  await (await import('./build.mjs')).build();
  const pack = join(root, 'scripts', 'package.mjs');
  if (existsSync(pack)) runNode([pack]);
}
const totals = { passed: 0, failed: 0, skipped: 0 };
const started = Date.now();
const temp = ownTemp();
for (const suite of run) {
  const files = all.filter(suite.of);
  if (files.length === 0) continue;
  console.error(`\n== ${suite.name}: ${files.length} files`);
  const report = join(temp, `totals-${suite.name}.json`);
  const mocha = [
    'node_modules/mocha/bin/mocha.js',
    '--reporter',
    'scripts/lib/reporter.cjs',
    ...suite.options,
    ...extra,
    ...files,
  ];
  const began = Date.now();
  const status = runNode(mocha, { AMLOPS_TEST_TOTALS: report });
  if (existsSync(report)) {
    const got = JSON.parse(readFileSync(report, 'utf8'));
    for (const key of Object.keys(totals)) totals[key] += got[key];
    if (status !== 0 && got.failed === 0) totals.failed += 1; // mocha itself ended badly (a leaked rejection, a lost worker)
  } else {
    console.error(`mocha ended with ${status} before it had a report.`);
    totals.failed += 1;
  }
  console.error(`== ${suite.name} took ${Math.round((Date.now() - began) / 1000)} s`);
}
console.error(`All tests took ${Math.round((Date.now() - started) / 1000)} s.`);
console.log(`${totals.passed} passed, ${totals.failed} failed${totals.skipped ? `, ${totals.skipped} skipped` : ''}`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;

function runNode(argv, env = {}) {
  const done = spawnSync(process.execPath, argv, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  return done.status ?? 1;
}
