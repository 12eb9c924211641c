/** Waiting for what may not come: events with a limit, and the first of several signals. */

/** Waits for `event`, at most `ms`; true when it came. */
export async function within(event: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const came = await Promise.race([event.then(() => true), over]);
  clearTimeout(timer);
  return came;
}

/** The first of the signals that is raised, or was already; `release` ends the listening, so that long-lived signals keep nothing. */
export function raised(signals: readonly (AbortSignal | undefined)[]): { signal: Promise<AbortSignal>; release: () => void } {
  const clean = new AbortController();
  const signal = new Promise<AbortSignal>((resolve) => {
    for (const one of signals) {
      if (one?.aborted) resolve(one);
      else one?.addEventListener('abort', () => resolve(one), { once: true, signal: clean.signal });
    }
  });
  return { signal, release: () => clean.abort() };
}
