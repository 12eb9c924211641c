// npm run check: types, lint, format and the rules of the house; beside each other where there are processors for it.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, setup } from './lib/setup.mjs';

setup();
const bin = (name, ...args) => [join(root, 'node_modules', name), ...args];
// Longest first. The caches are safe to lose; the format's knows contents, so a fresh clone cannot be fooled by times.
const checks = [
  { name: 'lint', args: bin('eslint/bin/eslint.js', '.', '--max-warnings', '0', ...cache('eslint')) },
  { name: 'types', args: bin('typescript/bin/tsc', '-p', '.') },
  { name: 'format', args: bin('prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.', ...cache('format')) },
  { name: 'house', args: bin('mocha/bin/mocha.js', 'tests/house/**/*.test.ts') },
];

function cache(name) {
  return ['--cache', '--cache-strategy', 'content', '--cache-location', join('node_modules', '.cache', name)];
}

/** One check; what it says is shown in one piece when it has ended. */
function run({ name, args }) {
  const started = performance.now();
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      const seconds = Math.round((performance.now() - started) / 1000);
      console.error(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
      if (code !== 0) console.error(`${said.trim()}\n${args.join(' ')} ended with ${code ?? signal}.`);
      resolve(code === 0);
    });
  });
}

let good = true;
const waiting = [...checks];
await Promise.all(
  Array.from({ length: Math.max(1, Math.min(availableParallelism(), checks.length)) }, async () => {
    for (let check = waiting.shift(); check; check = waiting.shift()) good = (await run(check)) && good;
  }),
);
process.exitCode = good ? 0 : 1;
