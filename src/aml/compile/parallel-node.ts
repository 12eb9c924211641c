import type { Tree } from './pending.js';

export function parallelNode(..._args: unknown[]): Tree {
  throw new Error('not built parallelNode');
}
export const inlineParallelNode = parallelNode;
