/** Time as the service writes it (azure-ml-observed §0): seven digits at most, trailing zeros dropped, `+00:00`. */
import type { Clock } from './context.js';

/** `2026-03-01T10:00:00.120Z` as `2026-03-01T10:00:00.12+00:00`; anything that does not end in `Z` stays as it is. */
export function offset(iso: string): string {
  return iso.replace(/(?:(\.\d*[1-9])0*|\.0+)?Z$/, '$1+00:00');
}

/** The machine's clock. Stamps are all different and sort in the order in which they were taken. */
export class SystemClock implements Clock {
  #last = 0n;

  now(): Date {
    return new Date();
  }
  stamp(): string {
    // The digits below the millisecond come from a clock that does not begin with it: what would go back counts on instead.
    const ticks = BigInt(Date.now()) * 10_000n + ((process.hrtime.bigint() / 100n) % 10_000n);
    this.#last = ticks > this.#last ? ticks : this.#last + 1n;
    const iso = new Date(Number(this.#last / 10_000n)).toISOString();
    return offset(iso.replace('Z', `${String(this.#last % 10_000n).padStart(4, '0')}Z`));
  }
}
