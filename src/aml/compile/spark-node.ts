import type { Tree } from './pending.js';

export function sparkNode(..._args: unknown[]): Tree {
  throw new Error('not built sparkNode');
}
export const inlineSparkNode = sparkNode;
