/** Parameters: declaration and binding (sheet azure-pipelines-yaml 1.2). */
import { ObjectValue, type Value } from '../expressions/values.js';
import { type Node, type ScalarNode, typedLeaf } from '../yaml/nodes.js';
import { hasExpression } from '../yaml/templates.js';
import { type Context, type Frame, type Slot, valueOf } from './context.js';
import { any, type Reader, text, unexpected } from './shapes.js';
import { entries, items, settle } from './unravel.js';
import type { Position } from './types.js';

const templateTypes: Record<string, string> = {
  boolean: 'Boolean',
  container: 'Container',
  containerList: 'ContainerList',
  deployment: 'Deployment',
  deploymentList: 'DeploymentList',
  job: 'Job',
  jobList: 'JobList',
  legacyObject: 'LegacyObject',
  number: 'Number',
  object: 'Object',
  stage: 'Stage',
  stageList: 'StageList',
  step: 'Step',
  stepList: 'StepList',
  string: 'String',
  stringList: 'StringList',
};
/** Pickers exist in the root pipeline only; their values are names. */
const rootOnly = ['environment', 'filePath', 'pool', 'secureFile', 'serviceConnection'];

interface Declaration {
  name: string;
  type: string;
  place: Position;
  default?: Node;
  values?: Node[];
  displayName?: string;
}

/** Readers of the types that hold parts of a pipeline; set by steps, jobs and stages. */
export type PartReaders = Readonly<Record<string, Reader>>;

interface Declarations {
  /** Undeclared arguments may be read: there is no block, or it has the old mapping form. */
  open: boolean;
  list: Declaration[];
}

/** Reads a `parameters:` block. Nothing in it may be an expression but a lone quoted string. */
export function declarations(context: Context, block: Node | undefined, frame: Frame, isRoot: boolean): Declarations {
  if (!block) return { open: true, list: [] };
  // the old form exists in included templates only
  if (block.kind === 'mapping' && !isRoot) {
    const list = block.entries.map(({ key, value }) => ({
      name: key.text,
      type: 'legacyObject',
      place: key.place,
      default: value,
    }));
    return { open: true, list };
  }
  if (block.kind !== 'sequence') {
    unexpected(context, block);
    return { open: false, list: [] };
  }
  const list: Declaration[] = [];
  for (const item of block.items) {
    const declaration = declare(context, item, frame, isRoot);
    if (!declaration) continue;
    if (list.some((other) => other.name.toLowerCase() === declaration.name.toLowerCase())) {
      context.error(item.place, `The '${declaration.name}' parameter is declared more than once in the parameter list.`);
    } else list.push(declaration);
  }
  return { open: false, list };
}

function declare(context: Context, item: Node, frame: Frame, isRoot: boolean): Declaration | undefined {
  if (item.kind !== 'mapping') return unexpected(context, item);
  const first = item.entries[0]?.key;
  if (first?.text !== 'name') {
    if (first) context.error(first.place, `Unexpected value '${first.text}'`);
    return undefined;
  }
  const result: Declaration = { name: '', type: 'string', place: item.place };
  for (const { key, value } of item.entries) {
    if (!noExpressions(context, key) || !noExpressions(context, value)) continue;
    if (key.text === 'default') result.default = value;
    else if (key.text === 'values' && value.kind === 'sequence') result.values = value.items;
    else if (key.text === 'name' || key.text === 'displayName' || key.text === 'type') {
      const written = text(context, { node: value, frame }) as string | undefined;
      if (written !== undefined) result[key.text] = written;
      if (key.text === 'type' && written !== undefined && !isType(written, isRoot)) {
        context.error(value.place, `Unexpected value '${written}'`);
        return undefined;
      }
    } else if (key.text === 'values') unexpected(context, value);
    else context.error(key.place, `Unexpected value '${key.text}'`);
  }
  return result;
}

function isType(name: string, isRoot: boolean): boolean {
  if (isRoot) return (Object.hasOwn(templateTypes, name) && name !== 'legacyObject') || rootOnly.includes(name);
  return Object.hasOwn(templateTypes, name);
}

/** Only one quoted string literal is folded; every other expression is refused where it stands. */
function noExpressions(context: Context, node: Node): boolean {
  if (node.kind === 'sequence') return node.items.every((item) => noExpressions(context, item));
  if (node.kind === 'mapping') {
    return node.entries.every(({ key, value }) => noExpressions(context, key) && noExpressions(context, value));
  }
  if (node.value !== undefined || !hasExpression(node.text) || /^\$\{\{\s*'(?:[^']|'')*'\s*\}\}$/.test(node.text)) return true;
  context.error(node.place, 'A template expression is not allowed in this context');
  return false;
}

export interface Argument {
  name: string;
  slot: Slot;
  /** Given at queue time: text, JSON for objects. */
  queued?: boolean;
}

/**
 * Binds arguments to declarations; all mistakes are reported, not only the first.
 * @param place where a missing value is reported (the template reference)
 */
export function bind(
  context: Context,
  declared: Declarations,
  args: readonly Argument[],
  callee: Frame,
  parts: PartReaders,
  place: Position | undefined,
): ObjectValue {
  const values = new Map<string, Value>();
  const known = new Set(declared.list.map(({ name }) => name.toLowerCase()));
  for (const argument of args) {
    if (known.has(argument.name.toLowerCase())) continue;
    if (!declared.open) context.error(argument.slot.node.place, `Unexpected parameter '${argument.name}'`);
    else values.set(argument.name, valueOf(any(context, argument.slot) ?? ''));
  }
  for (const declaration of declared.list) {
    const given = args.find(({ name }) => name.toLowerCase() === declaration.name.toLowerCase());
    const slot = given?.slot ?? (declaration.default && { node: declaration.default, frame: callee });
    if (!slot) {
      context.error(place ?? declaration.place, `A value for the '${declaration.name}' parameter must be provided.`);
      continue;
    }
    const value = convert(context, declaration, slot, parts);
    if (value === undefined) continue;
    if (allowed(context, declaration, value, slot, parts)) values.set(declaration.name, value);
  }
  return new ObjectValue(values, { foldCase: true, strict: true });
}

const restrictable = ['string', 'number', 'boolean', 'stringList', ...rootOnly];

function allowed(context: Context, declaration: Declaration, value: Value, slot: Slot, parts: PartReaders): boolean {
  // other types ignore `values`, and an empty list restricts nothing
  if (!declaration.values?.length || !restrictable.includes(declaration.type)) return true;
  const accepted = declaration.values.map((node) =>
    convert(context, { ...declaration, type: itemType(declaration) }, { node, frame: slot.frame }, parts),
  );
  const wrong = (Array.isArray(value) ? value : [value]).find((item) => !accepted.includes(item));
  if (wrong === undefined) return true;
  context.error(slot.node.place, `The '${declaration.name}' parameter value '${shown(wrong)}' is not a valid value.`);
  return false;
}

function itemType(declaration: Declaration): string {
  return declaration.type === 'stringList' ? 'string' : declaration.type;
}

function shown(value: Value): string {
  return value === null || typeof value === 'object' ? '' : String(value);
}

/** The value of a parameter of a type. @returns undefined after a mistake that has been reported */
function convert(context: Context, declaration: Declaration, slot: Slot, parts: PartReaders): Value | undefined {
  const { name, type } = declaration;
  const before = context.messages.length;
  const invalid = (node: Node): undefined => {
    context.error(node.place, `The '${name}' parameter is not a valid ${templateTypes[type] ?? 'String'}.`);
    return undefined;
  };
  if (Object.hasOwn(parts, type)) {
    const value = parts[type]?.(context, slot);
    if (context.messages.length > before || value === undefined) return invalid(slot.node);
    return valueOf(value);
  }
  const node = settle(context, slot);
  if (!node) return undefined;
  if (type === 'object') return objectValue(context, { node, frame: slot.frame });
  if (type === 'legacyObject') return legacyValue(context, { node, frame: slot.frame });
  if (type === 'stringList') {
    if (node.kind === 'scalar') {
      context.error(node.place, `The '${name}' parameter value '${node.text}' is not a valid StringList.`);
      return undefined;
    }
    if (node.kind !== 'sequence') return invalid(node);
    return strings(context, { node, frame: slot.frame }) ?? invalid(node);
  }
  if (node.kind !== 'scalar') return invalid(node);
  return scalar(context, declaration, node);
}

function strings(context: Context, slot: Slot): Value[] | undefined {
  const result: Value[] = [];
  if (slot.node.kind !== 'sequence') return undefined;
  for (const item of items(context, slot.node, slot.frame, { directives: true })) {
    if (item.node.kind !== 'scalar') return undefined;
    result.push(item.node.text);
  }
  return result;
}

/** Scalars bind as the text of the source, then by type. */
function scalar(context: Context, { name, type }: Declaration, node: ScalarNode): Value | undefined {
  const written = node.empty ? '' : node.text;
  if (type === 'number') {
    const trimmed = written.trim();
    if (/^[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(trimmed)) return Number(trimmed.replaceAll(',', ''));
    context.error(node.place, `The '${name}' parameter value '${written}' is not a valid Number.`);
    return undefined;
  }
  if (type === 'boolean') {
    if (/^true$/i.test(written)) return true;
    if (/^false$/i.test(written)) return false;
    context.error(node.place, `The '${name}' parameter value '${written}' is not a valid Boolean.`);
    return undefined;
  }
  return written;
}

/** An `object`: leaves keep their YAML types, what an expression brought keeps its identity. */
function objectValue(context: Context, slot: Slot): Value {
  const node = settle(context, slot);
  if (!node) return '';
  if (node.value !== undefined) return node.value ?? '';
  if (node.kind === 'scalar') return typedLeaf(node);
  if (node.kind === 'sequence') {
    return [...items(context, node, slot.frame, { directives: true })].map((item) => objectValue(context, item));
  }
  const pairs = [...entries(context, node, slot.frame, { directives: true })].map(
    (entry) => [entry.key, objectValue(context, entry.value)] as const,
  );
  return new ObjectValue(pairs);
}

/** A `legacyObject`: like `object` with every leaf as text. */
function legacyValue(context: Context, slot: Slot): Value {
  return valueOf(any(context, slot) ?? '');
}
