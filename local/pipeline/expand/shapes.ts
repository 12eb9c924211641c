/** Shapes of the document: which keys a place may hold and what they become in the normal form. */
import { type MappingNode, type Node, leafText } from '../yaml/nodes.js';
import type { Context, Slot } from './context.js';
import type { Normal, NormalMapping } from './types.js';
import { type Directives, entries, type Entry, items, settle } from './unravel.js';

/** Reads a slot into the normal form. @returns undefined after a mistake that has been reported */
export type Reader = (context: Context, slot: Slot) => Normal | undefined;

interface ObjectShape {
  properties: Readonly<Record<string, Reader>>;
  /** A bare scalar stands for this property (`environment: prod` → `{name: prod}`). */
  scalar?: string;
  /** The key that must stand first and says what the mapping is. */
  first?: string;
  /** Keys beyond the well-known ones are allowed. */
  open?: boolean;
  /** Directives are refused (resources.repositories) or left as they were written, which no shape knows (trigger, pr). */
  directives?: Directives['directives'];
}

/** Reports a node of the wrong kind in the service's words. */
export function unexpected(context: Context, node: Node): undefined {
  if (node.kind === 'scalar') context.error(node.place, `Unexpected value '${node.text}'`);
  else context.error(node.place, node.kind === 'mapping' ? 'A mapping was not expected' : 'A sequence was not expected');
  return undefined;
}

export const text: Reader = (context, slot) => {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind !== 'scalar') return unexpected(context, node);
  return node.value !== undefined ? leafText(node.value) : node.text;
};

/** Text that may not be empty. */
export const nonEmpty: Reader = (context, slot) => {
  const value = text(context, slot);
  if (value !== '') return value;
  context.error(slot.node.place, "Unexpected value ''");
  return undefined;
};

/** Text that may not hold an expression. */
export const staticText: Reader = (context, slot) => {
  if (slot.node.kind === 'scalar' && slot.node.value === undefined && slot.node.text.includes('${{')) {
    context.error(slot.node.place, 'A template expression is not allowed in this context');
    return undefined;
  }
  return text(context, slot);
};

/** One of some words, case as written. */
export function oneOf(...allowed: string[]): Reader {
  return (context, slot) => {
    const value = text(context, slot);
    if (value === undefined || allowed.includes(value as string) || /^\$[([]/.test(value as string)) return value;
    context.error(slot.node.place, `Unexpected value '${value as string}'`);
    return undefined;
  };
}

/** Any tree; scalars become text. */
export const any: Reader = (context, slot) => {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind === 'scalar') return node.value !== undefined ? leafText(node.value) : node.text;
  context.depth++;
  try {
    return node.kind === 'mapping'
      ? loose(any)(context, { node, frame: slot.frame })
      : list(any)(context, { node, frame: slot.frame });
  } finally {
    context.depth--;
  }
};

/** A list; with `orScalar` a bare scalar is a list of one. */
export function list(of: Reader, options: { orScalar?: boolean } & Partial<Directives> = {}): Reader {
  return (context, slot) => {
    const node = settle(context, slot);
    if (!node) return undefined;
    if (node.kind === 'scalar' && options.orScalar) return [of(context, { node, frame: slot.frame }) ?? ''];
    if (node.kind !== 'sequence') return unexpected(context, node);
    const result: Normal[] = context.mark([], node.place);
    for (const item of items(context, node, slot.frame, { directives: options.directives ?? true })) {
      const value = of(context, item);
      if (value === undefined) continue;
      context.markProperty(result, String(result.length), item.node.place);
      result.push(value);
    }
    return result;
  };
}

/** A mapping with keys of the author's choice. */
export function loose(of: Reader): Reader {
  return (context, slot) => {
    const node = settle(context, slot);
    if (!node) return undefined;
    if (node.kind !== 'mapping') return unexpected(context, node);
    const result: NormalMapping = context.mark({}, node.place);
    for (const entry of unique(context, entries(context, node, slot.frame, { directives: true }))) {
      put(context, result, entry.key, of(context, entry.value), entry);
    }
    return result;
  };
}

/** A mapping with well-known keys. */
export function object(shape: ObjectShape): Reader {
  return (context, slot) => {
    const node = settle(context, slot);
    if (!node) return undefined;
    if (node.kind === 'scalar' && shape.scalar !== undefined) {
      const value = shape.properties[shape.scalar]?.(context, { node, frame: slot.frame });
      return value === undefined ? undefined : context.mark({ [shape.scalar]: value }, node.place);
    }
    if (node.kind !== 'mapping') return unexpected(context, node);
    return readObject(context, node, slot, shape);
  };
}

export function readObject(context: Context, node: MappingNode, slot: Slot, shape: ObjectShape): NormalMapping {
  const result: NormalMapping = context.mark({}, node.place);
  let first = true;
  for (const entry of unique(context, entries(context, node, slot.frame, { directives: shape.directives ?? true }))) {
    if (first && shape.first !== undefined && entry.key !== shape.first) {
      context.error(entry.place, `Unexpected value '${entry.key}'`);
      break;
    }
    first = false;
    const known = Object.hasOwn(shape.properties, entry.key) ? shape.properties[entry.key] : undefined;
    const reader = known ?? (shape.open ? any : undefined);
    if (reader) put(context, result, entry.key, reader(context, entry.value), entry);
    else context.error(entry.place, `Unexpected value '${entry.key}'`);
  }
  return result;
}

/** Reports keys that come twice, in any case, and leaves the later one out. */
export function* unique(context: Context, found: Iterable<Entry>): Generator<Entry> {
  const seen = new Set<string>();
  for (const entry of found) {
    const folded = entry.key.toLowerCase();
    if (seen.has(folded)) context.error(entry.blame, `'${entry.key}' is already defined`);
    else {
      seen.add(folded);
      yield entry;
    }
  }
}

/** Sets a property of the document and remembers where its key stands. */
export function put(context: Context, target: object, key: string, value: Normal | undefined, entry: Entry): void {
  if (value === undefined) return;
  // a key such as `__proto__` is data, never the prototype
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  context.markProperty(target, key, entry.place);
}
