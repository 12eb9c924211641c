/**
 * Another clock for a task's process: a preload that NODE_OPTIONS brings in. The task knows nothing of it (task-contract B.11).
 * Two kinds: time that runs faster, and time that skips what the task sleeps through.
 */
import { join } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import type { ClockOptions } from './types.js';

export interface InjectedClock {
  /** Milliseconds since 1970 in the task's process, as exactly as another process can know it. */
  now: () => number;
  /** For NODE_OPTIONS. */
  nodeOptions: string;
}

/** Source of the preload of a faster clock. Time began to run `factor` times as fast at `since`; timers wait the factor's part of what they were asked. */
function fasterPreload(factor: number, since: number): string {
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

/**
 * Source of the preload of a clock that skips. Time runs as it does, until the process does nothing but wait for a timer: no request under
 * way, no file or socket operation, several looks in a row. Then the clock jumps to the first timer that keeps the process alive. How far
 * it is ahead stands in `file` before any of the timers fires, so that whoever answers the task's requests can live in the same time.
 */
function skippingPreload(file: string): string {
  return `'use strict';
const fs = require('node:fs'), timers = require('node:timers'), promises = require('node:timers/promises');
const { promisify } = require('node:util');
const file = fs.openSync(${JSON.stringify(file)}, 'r+');
let ahead = Number(fs.readFileSync(${JSON.stringify(file)}, 'utf8')) || 0;
const RealDate = Date;
const realNow = RealDate.now.bind(RealDate);
const now = () => realNow() + ahead;
class SkippingDate extends RealDate {
  constructor(...parts) { if (parts.length === 0) super(now()); else super(...parts); }
  static now() { return now(); }
}
globalThis.Date = new Proxy(SkippingDate, { apply: () => new SkippingDate().toString() });
const realPerformance = performance.now.bind(performance);
performance.now = () => realPerformance() + ahead;
const realHr = process.hrtime, realBig = process.hrtime.bigint;
const hr = (before) => {
  const total = hr.bigint();
  const at = [Number(total / 1000000000n), Number(total % 1000000000n)];
  if (!before) return at;
  const seconds = at[0] - before[0], nanos = at[1] - before[1];
  return nanos < 0 ? [seconds - 1, nanos + 1e9] : [seconds, nanos];
};
hr.bigint = () => realBig.call(realHr) + BigInt(ahead) * 1000000n;
process.hrtime = hr;

const waiting = new Set();
const real = { setTimeout: globalThis.setTimeout, setInterval: globalThis.setInterval, setImmediate: globalThis.setImmediate };
const { clearTimeout } = globalThis;
function timer(every, run, ms, rest) {
  const wait = Math.max(1, Number(ms) || 1);
  const one = { due: now() + wait, every: every ? wait : 0, fire: () => run(...rest) };
  const back = () => {
    if (every) one.due = now() + wait; else waiting.delete(one);
    one.fire();
  };
  one.handle = (every ? real.setInterval : real.setTimeout)(back, wait);
  const refresh = one.handle.refresh.bind(one.handle);
  one.handle.refresh = () => { one.due = now() + wait; waiting.add(one); return refresh(); };
  waiting.add(one);
  return one.handle;
}
const later = (run, ms, ...rest) => timer(false, run, ms, rest);
const again = (run, ms, ...rest) => timer(true, run, ms, rest);
promises.setTimeout = (ms, value, { signal, ref = true } = {}) => new Promise((resolve, reject) => {
  const stop = () => { clearTimeout(handle); reject(new DOMException('The operation was aborted', { name: 'AbortError', cause: signal.reason })); };
  const handle = later(() => { signal?.removeEventListener('abort', stop); resolve(value); }, ms);
  if (!ref) handle.unref();
  if (signal?.aborted) stop(); else signal?.addEventListener('abort', stop, { once: true });
});
later[promisify.custom] = promises.setTimeout;
for (const host of [globalThis, timers]) Object.assign(host, { setTimeout: later, setInterval: again });
AbortSignal.timeout = (ms) => {
  const stop = new AbortController();
  later(() => stop.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), ms).unref();
  return stop.signal;
};

let requests = 0;
require('node:diagnostics_channel').subscribe('http.client.request.start', ({ request }) => {
  requests++;
  request.once('close', () => { requests--; });
});
const busy = () => requests > 0 || process.getActiveResourcesInfo().some((name) => /Req|ConnectWrap|WriteWrap|Immediate/.test(name));
function skip() {
  for (const one of waiting) if (one.handle._destroyed) waiting.delete(one);
  const first = Math.min(...[...waiting].filter((one) => one.handle.hasRef()).map((one) => one.due));
  const step = Math.ceil(first - now());
  if (!Number.isFinite(first) || step <= 0) return;
  ahead += step;
  fs.writeSync(file, String(ahead).padEnd(20), 0);
  for (const one of [...waiting].filter(({ due }) => due <= now()).sort((a, b) => a.due - b.due)) {
    if (one.every) one.due = now() + one.every;
    else { waiting.delete(one); clearTimeout(one.handle); }
    real.setImmediate(one.fire);
  }
}
let idle = 0;
const look = 2;
let last = realNow();
real.setInterval(() => {
  const late = realNow() - last > look * 4;
  last = realNow();
  idle = busy() || late ? 0 : idle + 1;
  if (idle < 3) return;
  idle = 0;
  skip();
}, look).unref();
`;
}

/** Writes the preload into `folder`. Errors: RangeError for a clock that stands still or runs backwards. */
export function injectClock(folder: string, options: ClockOptions): InjectedClock {
  const preload = join(folder, 'clock.cjs');
  // NODE_OPTIONS are read with blanks between them; a quoted value may hold blanks.
  const nodeOptions = `--require ${JSON.stringify(preload)}`;
  if ('skip' in options) {
    const ahead = join(folder, 'clock.ahead');
    writeFileSync(ahead, '0'.padEnd(20));
    writeFileSync(preload, skippingPreload(ahead));
    return { now: () => Date.now() + Number(readFileSync(ahead, 'utf8')), nodeOptions };
  }
  const { factor, since = Date.now() } = options;
  if (!(factor > 0)) throw new RangeError(`A clock cannot run ${factor} times as fast.`);
  writeFileSync(preload, fasterPreload(factor, since));
  return { now: () => since + (Date.now() - since) * factor, nodeOptions };
}
