/** Work that somebody else wrote (a gate's conditions) within a bound of time: CEL can loop in loops, and its `matches` can backtrack for ever. */
import { Script } from 'node:vm';

/** Milliseconds of computing for one condition; honest ones take a thousandth of it. */
const longest = 3_000;
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

/** `work` over all items in order, those that `mayLoop` with a watchdog; one that takes too long gives what `late` gives. */
export function eachInTime<T, R>(
  items: readonly T[],
  mayLoop: (item: T) => boolean,
  work: (item: T) => R,
  late: (item: T) => R,
): R[] {
  let lost = 0;
  return items.map((item) => {
    if (!mayLoop(item)) return work(item);
    const result: R[] = [];
    if (lost < mostLost && endsInTime(() => void result.push(work(item)), longest)) return result[0]!;
    lost += 1;
    return late(item);
  });
}
