import type { Tree } from './pending.js';

export function controlNode(..._args: unknown[]): Tree {
  throw new Error('not built controlNode');
}
