/** Choices from a seed: the same seed gives the same choices on every machine. */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0;
    for (let index = 0; index < 4; index++) this.next();
  }
  /** From 0 up to, not including, 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }
  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }
  chance(share: number): boolean {
    return this.next() < share;
  }
  pick<T>(list: readonly T[]): T {
    if (list.length === 0) throw new Error('Nothing to pick from.');
    return list[this.int(0, list.length - 1)] as T;
  }
  /** Up to `most` members, in their order. */
  some<T>(list: readonly T[], most = list.length): T[] {
    const share = this.next();
    return list.filter(() => this.chance(share)).slice(0, most);
  }
  /** The members of a mapping that come out, each with its share. */
  maybe<T extends Record<string, unknown>>(share: number, members: { [K in keyof T]: () => T[K] }): Partial<T> {
    const made: Partial<T> = {};
    for (const key of Object.keys(members) as (keyof T)[]) if (this.chance(share)) made[key] = members[key]();
    return made;
  }
}
