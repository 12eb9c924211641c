/** The declared inputs and outputs of components. */
import type { Context } from './context.js';
import { child, textOf, type YMap, type YNode } from './document.js';
import { asText, compact, type Tree, type TreeObject } from './pending.js';
import { PyFloat, pyStr, type Json } from './python.js';
import { bool, list, object, primitive, rawValue, readField, str, tagged, what, words, type Field } from './schema.js';

const PARAMETER_TYPES = ['boolean', 'integer', 'number', 'string'];
const PORT_TYPES = ['path', 'custom_model', 'mlflow_model', 'mltable', 'triton_model', 'uri_file', 'uri_folder'];
const PORT_MODES = ['direct', 'download', 'eval_download', 'eval_mount', 'mount', 'ro_mount', 'rw_mount', 'upload', 'link'];

export interface PortInput {
  type: string;
  mode?: string;
  optional?: boolean;
  default?: Json;
  description?: string;
  min?: Json;
  max?: Json;
  enum?: string[];
  /** Set by us because all it feeds is optional (pipeline components). */
  inferredOptional?: boolean;
}
export interface PortOutput {
  type: string;
  mode?: string;
  description?: string;
  more?: TreeObject;
}

export const isPrimitive = (type: string): boolean => PARAMETER_TYPES.includes(type);

const parameter = object(
  { type: str, optional: bool, default: primitive, description: str, max: primitive, min: primitive, enum: list(str) },
  { name: 'an input' },
);
const port = object(
  { type: str, optional: bool, default: primitive, description: str, mode: words(PORT_MODES, 'exact') },
  { name: 'an input' },
);
const declaredInput: Field = tagged(
  'type',
  Object.fromEntries([...PARAMETER_TYPES.map((type) => [type, parameter]), ...PORT_TYPES.map((type) => [type, port])]) as Record<
    string,
    Field
  >,
  undefined,
  (text) => text,
);
const outputPort = object({ type: str, description: str, mode: words(PORT_MODES, 'exact') }, { name: 'an output' });
const primitiveOutput = object(
  { type: str, description: str, mode: words(PORT_MODES, 'exact') },
  { name: 'an output', unknown: 'include' },
);
const declaredOutput: Field = tagged(
  'type',
  Object.fromEntries([
    ...PORT_TYPES.map((type) => [type, outputPort]),
    ...PARAMETER_TYPES.map((type) => [type, primitiveOutput]),
  ]) as Record<string, Field>,
  undefined,
  (text) => text,
);

/** `inputs:` of a component. Problems: unknown types, defaults that do not fit, names that differ in case only. */
export function readPortInputs(context: Context, node: YNode | undefined, base: string): Map<string, PortInput> {
  const inputs = new Map<string, PortInput>();
  for (const [name, entry] of membersOf(context, node, 'inputs')) {
    const read = readField(declaredInput, entry, context.reader(base)) as TreeObject | undefined;
    if (!read) continue;
    const input = read as unknown as PortInput;
    if (input.default !== undefined && input.default !== null) {
      if (!isPrimitive(input.type)) {
        context.problems.add(
          entry.place,
          `The input ${name} of type ${input.type} cannot have a default.`,
          PARAMETER_TYPES.join(', '),
        );
      } else {
        const fitted = fit(input.type, input.default);
        if (fitted === undefined) context.problems.add(entry.place, `The default of input ${name} is not of type ${input.type}.`);
        else input.default = fitted;
      }
    }
    for (const key of ['min', 'max'] as const) {
      const limit = input[key];
      if (limit === undefined) continue;
      if (typeof limit === 'boolean' || !['integer', 'number'].includes(input.type)) {
        context.problems.add(
          entry.place,
          `${key} limits numbers only, not the input ${name}.`,
          `an integer or number with a numeric ${key}`,
        );
        continue;
      }
      const fitted = fit(input.type, limit);
      if (fitted === undefined)
        context.problems.add(
          entry.place,
          `The ${key} of input ${name}, ${pyStr(limit)}, is not of type ${input.type}.`,
          `a ${input.type}`,
        );
      else input[key] = fitted;
    }
    inputs.set(name, input);
  }
  return inputs;
}

export function readPortOutputs(context: Context, node: YNode | undefined, base: string): Map<string, PortOutput> {
  const outputs = new Map<string, PortOutput>();
  for (const [name, entry] of membersOf(context, node, 'outputs')) {
    const read = readField(declaredOutput, entry, context.reader(base)) as TreeObject | undefined;
    if (!read) continue;
    const { type, mode, description, ...more } = read;
    outputs.set(name, {
      type: asText(type),
      ...(mode === undefined ? {} : { mode: asText(mode) }),
      ...(description === undefined ? {} : { description: asText(description) }),
      ...(more['early_available'] === true ? { more: { early_available: true } } : {}),
    });
  }
  return outputs;
}

function membersOf(context: Context, node: YNode | undefined, what_: string): [string, YNode][] {
  if (!node) return [];
  if (node.kind !== 'map') {
    context.problems.add(node.place, `${what(node)} is not a mapping.`, `a mapping of ${what_}`);
    return [];
  }
  const lower = new Map<string, string>();
  const members: [string, YNode][] = [];
  for (const [name, entry] of node.entries) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*$/.test(name)) {
      context.problems.add(entry.key.place, `${JSON.stringify(name)} is not a valid name.`, 'letters, digits and underscores');
    }
    const twin = lower.get(name.toLowerCase());
    if (twin !== undefined) context.problems.add(entry.key.place, `${name} and ${twin} differ in case only.`);
    lower.set(name.toLowerCase(), name);
    members.push([name, entry.value]);
  }
  return members;
}

/** A default as the client makes it: parsed into the declared type. */
function fit(type: string, value: Json): Json | undefined {
  // The client reads an unquoted number as a float first: `default: 5` of a string is "5.0".
  if (type === 'string') return typeof value === 'number' ? pyStr(new PyFloat(value)) : pyStr(value);
  const text = pyStr(value).trim();
  if (type === 'boolean') {
    const lower = text.toLowerCase();
    return lower === 'true' ? true : lower === 'false' ? false : undefined;
  }
  if (typeof value === 'boolean') return type === 'integer' ? value : new PyFloat(value ? 1 : 0);
  const number = value instanceof PyFloat ? value.value : Number(text);
  if (text === '' || (Number.isNaN(number) && text.toLowerCase() !== 'nan')) return undefined;
  return type === 'integer' ? Math.trunc(number) : new PyFloat(number);
}

export function portInputsToSpec(inputs: ReadonlyMap<string, PortInput>): Tree {
  return Object.fromEntries(
    [...inputs].map(([name, { inferredOptional: _, ...input }]) => [name, compact({ ...input, ...texts(input) })]),
  );
}

/** Defaults and limits are sent as text. */
function texts(input: PortInput): TreeObject {
  const entries = (['default', 'min', 'max'] as const)
    .filter((key) => input[key] !== undefined && input[key] !== null)
    .map((key) => [key, pyStr(input[key])]);
  return Object.fromEntries(entries) as TreeObject;
}

export function portOutputsToSpec(outputs: ReadonlyMap<string, PortOutput>): Tree {
  return Object.fromEntries([...outputs].map(([name, { more, ...output }]) => [name, compact({ ...output, ...more })]));
}

const ATTRIBUTES = new Set(
  'name version description display_name tags properties command code environment resources distribution type id is_deterministic'.split(
    ' ',
  ),
);
/** What an input or output has that an expression may name, as the client knows them. */
const PARTS = new Set('path type mode default optional min max enum description name version'.split(' '));

/**
 * Every `${{inputs.x}}` and `${{outputs.x}}` of a command must be declared. `holder`: what declares them, the component or the step that is
 * one itself.
 */
export function checkBindings(
  context: Context,
  root: YMap,
  key: string,
  inputs: ReadonlyMap<string, unknown>,
  outputs: ReadonlyMap<string, unknown>,
  holder: 'component' | 'step' = 'component',
): void {
  const node = child(root, key);
  const text = textOf(node);
  if (!node || text === undefined) return;
  for (const [, expression = ''] of text.matchAll(/\$\{\{\s*(\S*?)\s*\}\}/g)) {
    const [side = '', ...names] = expression.split('.');
    const name = names.join('.');
    const uses = `The ${key} uses \${{${expression}}}`;
    if (side === 'parent') {
      context.problems.add(node.place, `${uses}; a command sees its own step only.`, '${{inputs.NAME}} or ${{outputs.NAME}}');
    } else if (side !== 'inputs' && side !== 'outputs') {
      // What else a component has can be named too, by its attributes.
      if (!ATTRIBUTES.has(side))
        context.problems.add(node.place, `${uses}, which a ${holder} does not have.`, 'inputs.NAME or outputs.NAME');
    } else if (name !== '') {
      const declared = side === 'inputs' ? inputs : outputs;
      const [first = '', ...parts] = names;
      if (declared.has(name) || (declared.has(first) && parts.every((part) => PARTS.has(part)))) continue;
      const kind = side.slice(0, -1);
      const missing = holder === 'step' ? `there is no ${kind} ${name}` : `the component has no ${kind} ${name}`;
      const accepted = declared.size > 0 ? [...declared.keys()].join(', ') : `${side} declared under ${side}:`;
      context.problems.add(node.place, `${uses}, but ${missing}.`, accepted);
    }
  }
}

export { child, rawValue, type YMap };
