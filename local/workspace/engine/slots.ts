/** Concurrency: each compute runs as many nodes at once as it has; who waits longest is next. */

export class Slots {
  readonly #limit: () => number;
  #used = 0;
  readonly #waiting: { start: () => void; signal: AbortSignal }[] = [];

  /** `limit` is read at each turn: a compute may be resized. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  get size(): number {
    return Math.max(1, this.#limit());
  }

  /** True when `take` would have to wait. */
  get full(): boolean {
    return this.#used >= Math.max(1, this.#limit());
  }

  /** Waits for a slot. Gives the function that frees it (call it once). @throws the signal's reason when aborted before */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.full)
      await new Promise<void>((resolve, reject) => {
        const waiter = {
          signal,
          start: () => {
            signal.removeEventListener('abort', leave);
            // Taken at once: whoever asks before the waiter has woken finds it taken.
            this.#used++;
            resolve();
          },
        };
        const leave = (): void => {
          const at = this.#waiting.indexOf(waiter);
          if (at >= 0) this.#waiting.splice(at, 1);
          reject(signal.reason as Error);
        };
        signal.addEventListener('abort', leave, { once: true });
        this.#waiting.push(waiter);
      });
    else this.#used++;
    let freed = false;
    return () => {
      if (freed) return;
      freed = true;
      this.#used--;
      if (this.#used < Math.max(1, this.#limit())) this.#waiting.shift()?.start();
    };
  }
}
