/** When to ask next (budgets of design §8). Pure arithmetic on milliseconds; the wait itself is in watch.ts. */

/**
 * Time until the next look at a job of `age`: an end is noticed within max(2 s, 5 % of the age), and an hour takes about 130 looks
 * (22 in the first 40 s, 87 until the 33rd minute, then one each 90 s).
 */
export function jobInterval(age: number): number {
  return Math.min(90_000, Math.max(1_800, age * 0.045));
}

/** Time until the next look at the steps: quick while things change, each half minute when they do not. */
export function stepsInterval(sinceChange: number): number {
  return Math.min(30_000, Math.max(2_000, sinceChange * 0.1));
}

/** Time until the next look at a log that has been followed for `age` and has been silent for `silence`, one of `open` logs. */
export function logInterval(age: number, silence: number, open: number): number {
  const talking = Math.min(9_000, Math.max(open > 3 ? 6_000 : 3_000, age * 0.05));
  return isSilent(age, silence) ? Math.min(30_000, Math.max(talking, silence * 0.4)) : talking;
}

/** Silent logs stand back when requests are scarce: these come round each minute then, and what they save goes to those that grow. */
export const silentWhenScarce = 60_000;

/** Whether a log has not grown for so long that it is looked at less often. */
export function isSilent(age: number, silence: number): boolean {
  return silence > 2 * Math.min(9_000, Math.max(3_000, age * 0.05));
}

/**
 * What may be spent on logs: a store of requests that fills slowly. Bursts (many short steps) are served at once, an hour of five
 * talkative steps stays below its budget by coming round less often. Of 1,200 requests in an hour the job and its steps take about 190;
 * the store and what fills it in an hour are the rest.
 */
export class Allowance {
  readonly #perHour: number;
  readonly #most: number;
  #left: number;
  #at: number;

  constructor(now: number, perHour = 830, most = 170) {
    this.#perHour = perHour;
    this.#most = most;
    this.#left = most;
    this.#at = now;
  }

  #fill(now: number): void {
    this.#left = Math.min(this.#most, this.#left + ((now - this.#at) / 3_600_000) * this.#perHour);
    this.#at = now;
  }

  /** Takes one request if there is one. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  /** True when bursts have used up most of the store. */
  scarce(now: number): boolean {
    this.#fill(now);
    return this.#left < this.#most / 4;
  }

  /** Milliseconds until the next one is there. */
  wait(now: number): number {
    this.#fill(now);
    return this.#left >= 1 ? 0 : Math.ceil(((1 - this.#left) / this.#perHour) * 3_600_000);
  }
}
