/** `variables:` in its three forms, as a list; what is known is seen by everything that is read later. */
import type { Context, Frame, Slot } from './context.js';
import { nonEmpty, put, readObject, text, unexpected, unique } from './shapes.js';
import { includeFile } from './templates.js';
import type { Normal, NormalMapping } from './types.js';
import { entries, items, settle } from './unravel.js';

/** Reads variables into a list and puts those with a value into `slot.frame.variables`. */
export function variables(context: Context, slot: Slot): NormalMapping[] | undefined {
  const node = settle(context, slot);
  if (!node) return undefined;
  const result: NormalMapping[] = context.mark([], node.place);
  if (node.kind === 'mapping') {
    for (const entry of unique(context, entries(context, node, slot.frame, { directives: true }))) {
      const value = text(context, entry.value);
      if (value === undefined) continue;
      const variable: NormalMapping = context.mark({ name: entry.key }, entry.place);
      put(context, variable, 'value', value, entry);
      define(slot.frame, variable);
      result.push(variable);
    }
    return result;
  }
  if (node.kind !== 'sequence') return unexpected(context, node);
  for (const item of items(context, node, slot.frame, { directives: true })) result.push(...listItem(context, item));
  return result;
}

function define(frame: Frame, variable: NormalMapping): void {
  if (typeof variable['name'] === 'string')
    frame.variables.set(variable['name'], (variable['value'] as string | undefined) ?? '');
}

function listItem(context: Context, item: Slot): NormalMapping[] {
  const node = item.node;
  if (node.kind !== 'mapping') {
    unexpected(context, node);
    return [];
  }
  const found = [...unique(context, entries(context, node, item.frame, { directives: true }))];
  const first = found[0];
  if (first?.key === 'template') return includeFile(context, found, item.frame, readVariablesOf) ?? [];
  if (first?.key === 'group' || first?.key === 'name') {
    const properties = first.key === 'group' ? { group: nonEmpty } : { name: nonEmpty, value: text, readonly: text };
    const variable = readObject(context, node, item, { properties });
    define(item.frame, variable);
    return [variable];
  }
  if (first) context.error(first.place, `Unexpected value '${first.key}'`);
  return [];
}

/** A variables template: its variables are the caller's from here on. */
function readVariablesOf(context: Context, root: Slot): NormalMapping[] {
  if (root.node.kind !== 'mapping') {
    unexpected(context, root.node);
    return [];
  }
  const result: Normal[] = [];
  for (const entry of unique(context, entries(context, root.node, root.frame, { directives: true }))) {
    if (entry.key === 'variables') result.push(...(variables(context, entry.value) ?? []));
    else if (entry.key !== 'parameters') context.error(entry.place, `Unexpected value '${entry.key}'`);
  }
  return result as NormalMapping[];
}
