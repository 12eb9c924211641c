/** Places in a compiled body whose text is known only when an asset has been written. */
import { PyDate, PyFloat } from './python.js';
import type { Json } from './python.js';
import type { CompileTarget } from './types.js';

interface Writing {
  target: CompileTarget;
  /** One write after the other, so that the record is the same every time. */
  sequential: boolean;
  signal?: AbortSignal | undefined;
}

/** A leaf of a body: becomes text by writing an asset (once, however often it stands in the tree). */
export class Pending {
  private done?: Promise<Json>;
  constructor(private readonly write: (writing: Writing) => Promise<Json>) {}
  resolve(writing: Writing): Promise<Json> {
    this.done ??= this.write(writing);
    return this.done;
  }
}

export type Tree = string | number | boolean | null | undefined | PyFloat | PyDate | Pending | Tree[] | { [key: string]: Tree };
export type TreeObject = { [key: string]: Tree };

export function isTreeObject(value: Tree): value is TreeObject {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof PyFloat) &&
    !(value instanceof PyDate) &&
    !(value instanceof Pending)
  );
}

/** Text of a leaf; empty for anything that is not one. */
export function asText(tree: Tree): string {
  return typeof tree === 'string' ? tree : typeof tree === 'number' || typeof tree === 'boolean' ? String(tree) : '';
}

/** Writes every asset in a tree and gives the tree with the texts in their places. */
export async function materialise(tree: Tree, writing: Writing): Promise<Json> {
  if (tree instanceof Pending) return tree.resolve(writing);
  if (Array.isArray(tree)) return all(tree, writing);
  if (isTreeObject(tree)) {
    const keys = Object.keys(tree);
    const values = await all(
      keys.map((key) => tree[key]),
      writing,
    );
    return Object.fromEntries(keys.map((key, index) => [key, values[index]]));
  }
  return tree;
}

async function all(items: Tree[], writing: Writing): Promise<Json[]> {
  if (!writing.sequential) return Promise.all(items.map((item) => materialise(item, writing)));
  const values: Json[] = [];
  for (const item of items) values.push(await materialise(item, writing));
  return values;
}

/** A copy without undefined and null members (the client sends no nulls), and without empty objects and lists when asked. */
export function compact(tree: Tree, dropEmpty = false): Tree {
  if (Array.isArray(tree)) return tree.map((item) => compact(item, dropEmpty));
  if (!isTreeObject(tree)) return tree;
  const result: TreeObject = {};
  for (const [key, value] of Object.entries(tree)) {
    const kept = compact(value, dropEmpty);
    if (kept === undefined || kept === null) continue;
    if (dropEmpty && (Array.isArray(kept) ? kept.length === 0 : isTreeObject(kept) && Object.keys(kept).length === 0)) continue;
    result[key] = kept;
  }
  return result;
}
