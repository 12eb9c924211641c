/** Runs the nodes of a graph, each when what it waits for has ended; stages and jobs alike. Results come together as the service's do. */
import type { NodeResult } from '../expressions/types.js';

/**
 * @param edges node → the nodes that it waits for (indices; no cycles, the expander has seen to that)
 * @param run called once a node, after its predecessors have ended; must not reject for what the node does
 * @returns the results in the order of the nodes
 */
export async function runGraph<T>(edges: readonly (readonly number[])[], run: (index: number) => Promise<T>): Promise<T[]> {
  const running: Promise<T>[] = [];
  const start = (index: number): Promise<T> => {
    const known = running[index];
    if (known) return known;
    const promise = Promise.all((edges[index] ?? []).map(start)).then(() => run(index));
    running[index] = promise;
    return promise;
  };
  return await Promise.all(edges.map((_, index) => start(index)));
}

/** Result of a stage from its jobs', or of a job from its parts. None at all is a success. */
export function combine(results: readonly NodeResult[]): NodeResult {
  if (results.some((result) => result === 'Failed' || result === 'Abandoned')) return 'Failed';
  if (results.includes('Canceled')) return 'Canceled';
  if (results.length > 0 && results.every((result) => result === 'Skipped')) return 'Skipped';
  return results.includes('SucceededWithIssues') ? 'SucceededWithIssues' : 'Succeeded';
}

/** A semaphore: at most `limit` bodies at a time, in the order of asking. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  constructor(limit: number) {
    this.#free = limit;
  }
  async run<T>(body: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await body();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
