/**
 * Logs that grow at regular intervals (a line an epoch, one a minute): when the next growth is due, so that one look finds it soon after it
 * was written. Works on bounds: a growth happened after the look before and not after the look that saw it; blob storage's own times make
 * the bounds narrower where they are given.
 */

interface Growth {
  after: number;
  by: number;
  lines: number;
  /** Whether it is known that nothing came between this growth and the one before. */
  alone: boolean;
}

/** Growths that are remembered, those that are needed, and how far (in milliseconds) they may be off the beat. */
const most = 8;
const least = 3;
const tolerances = [500, 1_500, 3_000];
/** A beat that is quicker is no help. */
const quickest = 14_000;
/** How long after a growth it may be seen. */
const width = 9_000;

export class Rhythm {
  #growths: Growth[] = [];
  #emptySince = false;
  #missedAt: number | undefined;
  #misses = 0;

  /** A look at `now`, the one before it at `previous`; `written`: when the log grew last, by the store's own clock, in our time. */
  look(now: number, previous: number, lines: number, written?: number): void {
    const due = this.next(previous);
    const expected = due !== undefined && now >= due - 500;
    if (lines === 0) {
      this.#emptySince = true;
      this.#missedAt = now;
      // What was due does not come: there is no beat (any more).
      if (expected && ++this.#misses > 3) this.#growths = [];
      return;
    }
    const usual = this.#growths.map((growth) => growth.lines).sort((a, b) => a - b)[this.#growths.length >> 1];
    if (usual !== undefined && lines > usual * 1.5 + 1) this.#growths = [];
    const known = written !== undefined && written > previous - 2_000 && written < now + 2_000;
    this.#growths.push({
      after: known ? Math.max(previous, written - 1_500) : previous,
      by: known ? Math.min(now, written + 1_500) : now,
      lines,
      alone: this.#emptySince || expected || lines === 1,
    });
    if (this.#growths.length > most) this.#growths.shift();
    this.#emptySince = false;
    this.#missedAt = undefined;
    this.#misses = 0;
  }

  /** When to look after a look at `now`; undefined when no beat is known. */
  next(now: number): number | undefined {
    const all = this.#growths;
    if (all.length < least || all.slice(1).filter(({ alone }) => alone).length * 2 < all.length - 1) return undefined;
    for (const off of tolerances) {
      const { beat, from: earliest, to } = this.#bounds(off);
      if (beat < quickest || to < earliest || to - earliest > width + 2 * off) continue;
      const from = Math.max(earliest, this.#missedAt ?? 0);
      if (to - from <= 4_000) return Math.max(to, now + 2_000);
      // A look a little before the latest moment either finds it, or leaves less to wait for.
      return Math.max(from + 0.75 * (to - from), now + 2_000);
    }
    return undefined;
  }

  /** The slowest beat, and the earliest and latest time of the next growth, that a beat through all growths allows: each pair of them is a bound. */
  #bounds(off: number): { beat: number; from: number; to: number } {
    const all = this.#growths;
    const bounds = { beat: Infinity, from: 0, to: Infinity };
    all.forEach((late, n) => {
      all.slice(0, n).forEach((early, m) => {
        const most = (late.by - early.after + 2 * off) / (n - m);
        const least = (late.after - early.by - 2 * off) / (n - m);
        bounds.beat = Math.min(bounds.beat, most);
        bounds.from = Math.max(bounds.from, late.after - off + (all.length - n) * least);
        bounds.to = Math.min(bounds.to, late.by + off + (all.length - n) * most);
      });
    });
    return bounds;
  }
}
