import type { Tree } from './pending.js';

export function autoMLNode(..._args: unknown[]): Tree {
  throw new Error('not built autoMLNode');
}
