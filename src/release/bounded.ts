/** Work that somebody else wrote (a gate's conditions) within a bound of time: CEL can loop in loops, and its `matches` can backtrack for ever. */
import { Script } from 'node:vm';

/** Milliseconds of computing for what a gate asks at once; honest conditions take a thousandth of it. */
const longest = 3_000;
/** So many items share that time. */
const together = 100;
/** After so many conditions that did not end, the rest is not tried. */
const mostLost = 3;

/** Whether `work` came to its end; it is stopped wherever it is when it did not. What it throws is thrown. */
function endsInTime(work: () => void, milliseconds: number): boolean {
  try {
    // Only the watchdog is wanted of the other context: the code is ours, in ours.
    new Script('work()').runInNewContext({ work }, { timeout: milliseconds });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false;
    throw error;
  }
}

/** `work` over all items in order; an item that takes too long gives what `late` gives. */
export function eachInTime<T, R>(items: readonly T[], work: (item: T) => R, late: (item: T) => R, milliseconds = longest): R[] {
  const results: R[] = [];
  for (let lost = 0; results.length < items.length;) {
    const ended =
      lost < mostLost &&
      endsInTime(() => {
        for (const end = Math.min(items.length, results.length + together); results.length < end;)
          results.push(work(items[results.length]!));
      }, milliseconds);
    if (ended) continue;
    lost += 1;
    results.push(late(items[results.length]!));
  }
  return results;
}
