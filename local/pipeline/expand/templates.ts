/** Template references: the file, its frame, its arguments. */
import type { Node } from '../yaml/nodes.js';
import { type Context, type Frame, limits, type Slot, type SourceFile } from './context.js';
import { load, locate } from './files.js';
import { type Argument, bind, declarations, type PartReaders } from './parameters.js';
import { nonEmpty, type Reader, unexpected, unique } from './shapes.js';
import type { Normal, Position } from './types.js';
import { entries, type Entry, settle } from './unravel.js';

/** Readers of the parameter types and lists that hold parts of a pipeline. */
export const parts: { types: PartReaders; lists: Readonly<Record<string, Reader>> } = { types: {}, lists: {} };

/** The root of a template in its own frame. @returns undefined after a mistake that has been reported */
function openTemplate(context: Context, found: readonly Entry[], caller: Frame, extended = false): Slot | undefined {
  const reference = found.find(({ key }) => key === 'template');
  const given = found.find(({ key }) => key === 'parameters');
  for (const { key, place } of found) {
    if (key !== 'template' && key !== 'parameters') context.error(place, `Unexpected value '${key}'`);
  }
  if (!reference) return undefined;
  const name = nonEmpty(context, reference.value) as string | undefined;
  const args = given ? readArguments(context, given.value) : [];
  if (name === undefined || !args) return undefined;
  const place = reference.value.node.place;
  const target = locate(context, name, caller.file, place);
  const file = target && load(context, target, place, extended);
  if (!file?.root) {
    if (file) context.error(place, `The template ${file.name} is empty`);
    return undefined;
  }
  return enter(context, file, file.root, args, caller, place);
}

function readArguments(context: Context, slot: Slot): Argument[] | undefined {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind === 'scalar' && node.empty) return [];
  if (node.kind !== 'mapping') return unexpected(context, node);
  return [...unique(context, entries(context, node, slot.frame, { directives: true }))].map(({ key, value }) => ({
    name: key,
    slot: value,
  }));
}

/** Binds the arguments of a file and gives its root with the frame that its expressions see. */
function enter(
  context: Context,
  file: SourceFile,
  root: Node,
  args: readonly Argument[],
  caller: Frame,
  place: Position,
): Slot | undefined {
  const frame: Frame = { file, parameters: caller.parameters, variables: caller.variables, locals: new Map() };
  const block = parametersBlock(root);
  const before = context.messages.length;
  const declared = declarations(context, block, frame, false);
  const parameters = bind(context, declared, args, frame, parts.types, place);
  if (context.messages.length > before) return undefined;
  return { node: root, frame: { ...frame, parameters } };
}

/** The `parameters:` block of a file. */
export function parametersBlock(root: Node): Node | undefined {
  if (root.kind !== 'mapping') return undefined;
  return root.entries.find(({ key }) => key.text === 'parameters')?.value;
}

/** Reads a template with `read`, within the limits of nesting. */
export function includeFile<T>(
  context: Context,
  found: readonly Entry[],
  caller: Frame,
  read: (context: Context, root: Slot) => T,
  extended = false,
): T | undefined {
  if (context.depth >= limits.depth) context.limit('Maximum object depth exceeded', found[0]?.place);
  context.depth++;
  try {
    const root = openTemplate(context, found, caller, extended);
    return root && read(context, root);
  } finally {
    context.depth--;
  }
}

/** The steps, jobs or stages of a template that may hold nothing else. */
export function includeList(
  context: Context,
  found: readonly Entry[],
  kind: 'steps' | 'jobs' | 'stages',
  caller: Frame,
): Normal[] | undefined {
  return includeFile(context, found, caller, (_context, root) => {
    if (root.node.kind !== 'mapping') {
      unexpected(context, root.node);
      return [];
    }
    let result: Normal[] = [];
    for (const entry of unique(context, entries(context, root.node, root.frame, { directives: true }))) {
      if (entry.key === kind) result = (parts.lists[kind]?.(context, entry.value) as Normal[] | undefined) ?? [];
      else if (entry.key !== 'parameters') context.error(entry.place, `Unexpected value '${entry.key}'`);
    }
    return result;
  });
}
