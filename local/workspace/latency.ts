/**
 * `--latency SPEC`: slows what the service takes time for, so that every state can be seen. SPEC is `name=seconds` separated by
 * commas. Names: a job status (`Preparing`, `Queued`, `Running`, `Finalizing`), `states` (each status without a value of its own),
 * `operation` (long-running operations), `request` (every request), `share` (import into a registry). A bare number means `states`.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../src/azure/errors.js';

const names = [
  'states',
  'operation',
  'request',
  'share',
  'NotStarted',
  'Starting',
  'Preparing',
  'Provisioning',
  'Queued',
  'Running',
  'Finalizing',
];

/** Throws Failure `LatencyInvalid` for an unknown name or a value that is not a number from 0 to 3600. */
function parseLatency(spec: string): Record<string, number> {
  const values: Record<string, number> = {};
  for (const part of spec
    .split(',')
    .map((text) => text.trim())
    .filter(Boolean)) {
    const [name, text] = part.includes('=') ? (part.split('=', 2) as [string, string]) : ['states', part];
    const known = names.find((entry) => entry.toLowerCase() === name.trim().toLowerCase());
    const seconds = Number(text);
    if (!known || !(seconds >= 0 && seconds <= 3600) || text.trim() === '')
      throw new Failure(`--latency: '${part}' is not understood.`, {
        code: 'LatencyInvalid',
        input: 'latency',
        advice: `Use name=seconds separated by commas; names: ${names.join(', ')}.`,
      });
    values[known] = seconds;
  }
  return values;
}

export class Latency {
  #values: Record<string, number>;
  constructor(spec = '') {
    this.#values = parseLatency(spec);
  }
  /** Changes the values at run time (local admin route). */
  set(spec: string): void {
    this.#values = parseLatency(spec);
  }
  /** Seconds that `name` takes; a job status falls back to `states`. */
  seconds(name: string): number {
    const own = this.#values[name];
    if (own !== undefined) return own;
    return ['operation', 'request', 'share'].includes(name) ? 0 : (this.#values['states'] ?? 0);
  }
  /** Waits that long; ends early (without error) when `signal` aborts. */
  async wait(name: string, signal?: AbortSignal): Promise<void> {
    const seconds = this.seconds(name);
    if (seconds <= 0 || signal?.aborted) return;
    await sleep(seconds * 1000, undefined, signal ? { signal } : {}).catch((error: unknown) => {
      if (!signal?.aborted) throw error;
    });
  }
  toJSON(): Record<string, number> {
    return { ...this.#values };
  }
}
