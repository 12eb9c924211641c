/** When to ask next (budgets of design §8). Pure arithmetic on milliseconds; the wait itself is in watch.ts. */

/**
 * Time until the next look at a job of `age`: an end is noticed within max(2 s, 5 % of the age), and an hour takes about 130 looks
 * (22 in the first 40 s, 87 until the 33rd minute, then one each 90 s).
 */
export function jobInterval(age: number): number {
  return Math.min(90_000, Math.max(1_800, age * 0.045));
}

/** A line is on the agent within ten seconds when a log is read this often; the rest is for the request. */
const within = 9_300;

/** Time until the next look at the steps: the first line of a new step is as urgent as any, as long as requests suffice. */
export function stepsInterval(sinceChange: number, scarce: boolean): number {
  return scarce ? Math.min(30_000, Math.max(6_000, sinceChange * 0.1)) : Math.min(within, Math.max(2_000, sinceChange * 0.1));
}

/** Time until the next look at a log that has been followed for `age`, one of `open` logs: few young ones are looked at more often. */
export function logInterval(age: number, open: number): number {
  return open > 2 ? within : Math.min(within, Math.max(3_000, age * 0.05));
}

/**
 * How far a log that has been silent for `silence` stands back behind the others where requests are scarce: what it saves goes to those
 * that grow. Where all are silent, all are equal.
 */
export function handicap(silence: number): number {
  return Math.min(20_000, Math.max(0, (silence - 20_000) * 0.5));
}

/** Even a beat that is known leaves no log unread for longer. */
export const longestUnread = 60_000;

const hour = 3_600_000;
/** What comes back sooner than that counts as there. */
const soon = 10_000;

/**
 * The requests of a wait with logs: never more than `limit` in any sixty minutes, whatever happened in them. The pace is what could be kept
 * up for ever, so that nobody is served quickly now and not at all later; a small store serves what is short (bursts, many short steps).
 * Looks at the job and at its steps are counted (`spend`), those at logs have to ask (`take`).
 */
export class Allowance {
  readonly #limit: number;
  readonly #store: number;
  /** Times of the last hour's requests, oldest first from `#first` on. */
  #spent: number[] = [];
  #first = 0;
  #left: number;
  #at: number;

  constructor(now: number, limit = 1_165, store = 100) {
    this.#limit = limit;
    this.#store = store;
    this.#left = store;
    this.#at = now;
  }

  /** Requests of the last hour, as of the last fill. */
  #used(): number {
    return this.#spent.length - this.#first;
  }

  /** Whether the hour has room for one more. */
  #free(): boolean {
    return this.#used() < this.#limit + 30;
  }

  /** Requests a millisecond that can go on: at the moment when each of the last hour's comes back, no more may be spent than are there. */
  #pace(now: number): number {
    while (this.#first < this.#spent.length && (this.#spent[this.#first] ?? 0) <= now - hour) this.#first += 1;
    if (this.#first > 4_096) {
      this.#spent = this.#spent.slice(this.#first);
      this.#first = 0;
    }
    let there = this.#limit - this.#used();
    let pace = this.#limit / hour;
    for (let at = this.#first; at < this.#spent.length; at++, there++) {
      pace = Math.min(pace, there / Math.max(soon, (this.#spent[at] ?? 0) + hour - now));
    }
    return Math.max(0, pace);
  }

  /** Gives the pace. */
  #fill(now: number): number {
    const pace = this.#pace(now);
    this.#left = Math.min(this.#store, this.#left + (now - this.#at) * pace);
    this.#at = now;
    return pace;
  }

  /** Counts requests that are made in any case. */
  spend(now: number, count = 1): void {
    this.#fill(now);
    this.#left -= count;
    for (let one = 0; one < count; one++) this.#spent.push(now);
  }

  /** Takes one request if there is one. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#left < 1 || !this.#free()) return false;
    this.#left -= 1;
    this.#spent.push(now);
    return true;
  }

  /** True when most of the store is used up. */
  scarce(now: number): boolean {
    this.#fill(now);
    return this.#left < this.#store / 4;
  }

  /** Milliseconds until the next one is there; five seconds at most, then it is worth asking again. */
  wait(now: number): number {
    const pace = this.#fill(now);
    if (this.#left >= 1 && this.#free()) return 0;
    return Math.min(5_000, Math.max(100, Math.ceil((1 - this.#left) / pace)));
  }
}
