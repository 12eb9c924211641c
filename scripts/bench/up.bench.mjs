// `amlops up` to ready, beside Azurite alone.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../lib/setup.mjs';
import { inTurn, seconds } from '../lib/measure.mjs';

export const title = '`amlops up` to ready';
export const goal = '<= 2x Azurite alone';

export async function measure() {
  const { a, b, ratio } = await inTurn(
    5,
    () => until(up, /^ready /m),
    () => until(azurite, /Blob service successfully listens/),
  );
  return [{ value: seconds(a), beside: `${seconds(b)} (${ratio.toFixed(2)}x)`, ok: ratio <= 2 }];
}

const up = (folder) => [
  join(root, 'bin', 'amlops.mjs'),
  'up',
  '--state',
  folder,
  '--connection',
  join(folder, 'connection.json'),
];
const azurite = (folder) => [
  join(root, 'node_modules/azurite/dist/src/blob/main.js'),
  '--location',
  folder,
  '--blobPort',
  '0',
  '--skipApiVersionCheck',
];

/** Milliseconds from start until the output matches; the process is ended and its folder removed. */
async function until(argv, pattern) {
  const folder = mkdtempSync(join(tmpdir(), 'amlops-bench-'));
  const started = process.hrtime.bigint();
  const child = spawn(process.execPath, argv(folder), { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const exit = new Promise((resolve) => child.once('exit', resolve));
  const ms = await new Promise((resolve, reject) => {
    const look = (chunk) => {
      text += chunk;
      if (pattern.test(text)) resolve(Number(process.hrtime.bigint() - started) / 1e6);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    void exit.then(() => reject(new Error(`ended before it was ready: ${text.slice(-500)}`)));
  });
  child.kill('SIGTERM');
  await exit;
  rmSync(folder, { recursive: true, force: true });
  return ms;
}
