/** A faster clock for a task's process: a preload that NODE_OPTIONS brings in. The task knows nothing of it (task-contract B.11). */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

/** Source of the preload. Time began to run `factor` times as fast at `since`; timers wait the factor's part of what they were asked. */
function preload(factor: number, since: number): string {
  return `'use strict';
const factor = ${factor}, since = ${since};
const RealDate = Date;
const realNow = RealDate.now.bind(RealDate);
const now = () => Math.floor(since + (realNow() - since) * factor);
class FastDate extends RealDate {
  constructor(...parts) { if (parts.length === 0) super(now()); else super(...parts); }
  static now() { return now(); }
}
globalThis.Date = new Proxy(FastDate, { apply: () => new FastDate().toString() });
const realPerformance = performance.now.bind(performance);
performance.now = () => realPerformance() * factor;
const realBig = process.hrtime.bigint;
const hr = (before) => {
  const total = realBig() * BigInt(Math.round(factor * 1000)) / 1000n;
  const at = [Number(total / 1000000000n), Number(total % 1000000000n)];
  if (!before) return at;
  const seconds = at[0] - before[0], nanos = at[1] - before[1];
  return nanos < 0 ? [seconds - 1, nanos + 1e9] : [seconds, nanos];
};
hr.bigint = () => realBig() * BigInt(Math.round(factor * 1000)) / 1000n;
process.hrtime = hr;
const timers = require('node:timers'), promises = require('node:timers/promises');
const scale = (ms) => typeof ms === 'number' ? ms / factor : ms;
for (const [host, names] of [[globalThis, ['setTimeout', 'setInterval']], [timers, ['setTimeout', 'setInterval']]]) {
  for (const name of names) {
    const real = host[name];
    const { promisify } = require('node:util');
    const fast = (run, ms, ...rest) => real(run, scale(ms), ...rest);
    fast[promisify.custom] = (ms, value, options) => promises.setTimeout(ms, value, options);
    host[name] = fast;
  }
}
const realSleep = promises.setTimeout, realEvery = promises.setInterval;
promises.setTimeout = (ms, value, options) => realSleep(scale(ms), value, options);
promises.setInterval = (ms, value, options) => realEvery(scale(ms), value, options);
const realTimeout = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => realTimeout(Math.max(1, Math.round(scale(ms))));
`;
}

/** Writes the preload and gives the NODE_OPTIONS for it. */
export function writeClockPreload(folder: string, factor: number, since: number): string {
  if (!(factor > 0)) throw new RangeError(`A clock cannot run ${factor} times as fast.`);
  const file = join(folder, 'clock.cjs');
  writeFileSync(file, preload(factor, since));
  // NODE_OPTIONS are read with blanks between them; a quoted value may hold blanks.
  return `--require ${JSON.stringify(file)}`;
}
