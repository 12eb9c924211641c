import type { Tree } from './pending.js';

export function sweepNode(..._args: unknown[]): Tree {
  throw new Error('not built sweepNode');
}
