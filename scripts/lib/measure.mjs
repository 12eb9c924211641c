// Timing of whole commands for the benchmark: several runs in turn, medians, never one absolute number alone.
import { spawn } from 'node:child_process';

/** Milliseconds of one run of a command from start to exit; `status` its exit code. */
export async function once(command, args, options = {}) {
  const started = process.hrtime.bigint();
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options });
  let errors = '';
  child.stderr?.on('data', (chunk) => (errors = (errors + chunk).slice(-4000)));
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  return { ms: Number(process.hrtime.bigint() - started) / 1e6, status, errors };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Runs two measurements in turn (A B A B ...) after a warm-up; gives the medians and the median of the pairwise ratios A/B. */
export async function inTurn(runs, a, b) {
  await a();
  await b();
  const left = [];
  const right = [];
  for (let index = 0; index < runs; index += 1) {
    left.push(await a());
    right.push(await b());
  }
  return { a: median(left), b: median(right), ratio: median(left.map((value, index) => value / right[index])) };
}

export const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
