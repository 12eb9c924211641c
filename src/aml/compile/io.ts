/** Inputs and outputs of jobs and nodes: YAML to what is sent (reference azure-ml-rest §1.2, §1.3 step 5, §1.7). */
import { upload } from './assets.js';
import { type Context, resolvePath, statOf } from './context.js';
import { child, textOf, type YMap, type YNode } from './document.js';
import { styled, type Style } from './fields.js';
import { compact, type Tree, type TreeObject } from './pending.js';
import { PyFloat, pyStr, type Json } from './python.js';
import type { Place } from './problems.js';
import { assetId, isArmId, isUrl, withoutPrefix } from './refs.js';
import {
  isBinding,
  nullable,
  object,
  primitive,
  readField,
  str,
  textKey,
  union,
  version,
  what,
  words,
  type Field,
} from './schema.js';
import path from 'node:path';

const DATA_TYPES = ['uri_file', 'uri_folder', 'mltable', 'custom_model', 'mlflow_model', 'triton_model'];
const MODEL_TYPES = ['custom_model', 'mlflow_model'];

export type InputValue =
  /** `whole`: a whole number, kept as text because it has more digits than a double. */
  | { kind: 'literal'; value: Json; whole?: boolean; place: Place }
  | { kind: 'binding'; text: string; mode?: string; type?: string; mapped?: boolean; place: Place }
  | { kind: 'data'; type: string; uri: Tree; mode?: string; given: boolean; place: Place };

export type OutputValue =
  | { kind: 'default'; place: Place }
  | {
      kind: 'binding';
      text: string;
      mode?: string;
      name?: string;
      version?: string;
      type?: string;
      mapped?: boolean;
      place: Place;
    }
  | {
      kind: 'data';
      type?: string;
      uri?: string;
      mode?: string;
      name?: string;
      version?: string;
      /** Only of outputs that a pipeline component declares. */
      description?: string;
      place: Place;
    };

const INPUT_MODES: Record<string, string> = {
  mount: 'ReadOnlyMount',
  ro_mount: 'ReadOnlyMount',
  rw_mount: 'ReadWriteMount',
  download: 'Download',
  direct: 'Direct',
  eval_mount: 'EvalMount',
  eval_download: 'EvalDownload',
};
const OUTPUT_MODES: Record<string, string> = {
  mount: 'ReadWriteMount',
  rw_mount: 'ReadWriteMount',
  upload: 'Upload',
  direct: 'Direct',
};

const dataInput: Field = object(
  {
    type: words(DATA_TYPES),
    path: str,
    mode: words(['download', 'ro_mount', 'direct', 'eval_mount', 'eval_download']),
    datastore: str,
  },
  { name: 'an input' },
);
/**
 * `value:` of an input. The client tries text, boolean and whole number in this order: 1 and 0 are booleans to it, a fraction is cut.
 * A caller that wants the number writes it without `value:`, or in quotes.
 */
const literalValue: Field = {
  ...primitive,
  read(node, reader) {
    const value = primitive.read(node, reader);
    const number = value instanceof PyFloat ? value.value : value;
    if (typeof number !== 'number') return value;
    const sent = number === 1 ? true : number === 0 ? false : Math.trunc(number);
    if (sent !== number)
      reader.problems.warn(node.place, `The client sends ${pyStr(value as Json)} under value: as ${pyStr(sent)}.`);
    return sent;
  },
};
const literalInput: Field = object({ value: literalValue }, { name: 'an input' });

const dataOutput: Field = object(
  {
    type: words(DATA_TYPES),
    path: str,
    mode: words(['rw_mount', 'mount', 'upload', 'direct']),
    name: str,
    version,
  },
  { name: 'an output' },
);

/** A single `${{parent.inputs.x}}` or `${{parent.jobs.a.outputs.b}}`. */
export const isInputBinding = (text: string): boolean => /^\$\{\{parent\.(inputs|jobs)\.(.*?)\}\}$/.test(text);
const isWholeBinding = (text: string): boolean => /^\$\{\{.*\}\}$/.test(text);
const isOutputBinding = (text: string): boolean => /^\$\{\{parent\.outputs\.(.*?)\}\}$/.test(text);
const LEGACY = /^\$\{\{(inputs|jobs|outputs)\.(.*?)\}\}$/;

/** Every input of a job or node, in order. `bindings`: whether `${{…}}` may stand for a value (pipelines and their nodes). */
export function readInputs(context: Context, node: YNode | undefined, base: string, bindings: boolean): Map<string, InputValue> {
  const inputs = new Map<string, InputValue>();
  if (!node) return inputs;
  if (node.kind !== 'map') {
    context.problems.add(node.place, `${what(node)} is not a mapping.`, 'a mapping from the name of an input to its value');
    return inputs;
  }
  for (const [name, entry] of node.entries) {
    checkName(context, bindings ? name : name.replaceAll('.', '-'), entry.key.place);
    if (entry.key.type === 'bool') textKey(entry.key, context.problems);
    const value = readInput(context, entry.value, base, bindings, name);
    if (value) inputs.set(name, value);
  }
  return inputs;
}

function checkName(context: Context, name: string, place: Place): void {
  if (/^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/.test(name)) return;
  context.problems.add(
    place,
    `${JSON.stringify(name)} is not a valid name.`,
    'letters, digits and underscores, not beginning with a digit',
  );
}

export function readInput(context: Context, node: YNode, base: string, bindings: boolean, name?: string): InputValue | undefined {
  const place = node.place;
  const reader = { ...context.reader(base, bindings), ...(name === undefined ? {} : { key: name }) };
  if (node.kind === 'scalar') {
    const value = readField(primitive, node, reader);
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'string' && bindings) {
      const legacy = legacyBinding(context, value, place);
      if (legacy) return undefined;
      if (isInputBinding(value)) return { kind: 'binding', text: value, place };
    }
    const whole = node.type === 'int' && typeof value === 'string' ? { whole: true } : {};
    return { kind: 'literal', value: value as Json, ...whole, place };
  }
  if (node.kind === 'map' && node.entries.has('value')) {
    const value = readField(literalInput, node, reader) as TreeObject | undefined;
    const literal = value?.['value'];
    if (bindings && typeof literal === 'string' && isInputBinding(literal))
      return { kind: 'binding', text: literal, mapped: true, place };
    return value && { kind: 'literal', value: literal as Json, place };
  }
  const read = readField(dataInput, node, reader) as TreeObject | undefined;
  if (!read || node.kind !== 'map') return undefined;
  const type = typeof read['type'] === 'string' ? read['type'] : undefined;
  const mode = typeof read['mode'] === 'string' ? read['mode'] : undefined;
  // Without a type it is taken, as the client does: the component or the pipeline's input may be a table.
  if (mode?.startsWith('eval') && type !== undefined && type !== 'mltable') {
    context.problems.add(
      child(node, 'mode')?.place ?? place,
      `The mode ${mode} is for mltable inputs only.`,
      'ro_mount, download or direct',
    );
  }
  const text = textOf(child(node, 'path'));
  const where = child(node, 'path')?.place ?? place;
  const shape = { ...(mode === undefined ? {} : { mode }), place };
  if (text === undefined || text === '') {
    return { kind: 'data', type: type ?? 'uri_folder', uri: undefined, given: false, ...shape };
  }
  if (bindings && legacyBinding(context, text, where)) return undefined;
  // An expression among other text is part of an address: the service fills it in.
  if (bindings && isWholeBinding(text))
    return { kind: 'binding', text, mapped: true, ...(type === undefined ? {} : { type }), ...shape };
  const datastore = typeof read['datastore'] === 'string' ? withoutPrefix(read['datastore']) : undefined;
  const uri = dataUri(context, text, type ?? 'uri_folder', base, where, datastore);
  return { kind: 'data', type: type ?? 'uri_folder', uri, given: true, ...shape };
}

function legacyBinding(context: Context, text: string, place: Place): boolean {
  const match = LEGACY.exec(text);
  if (match) context.problems.add(place, `${text} is the form of older versions.`, text.replace('{{', '{{parent.'));
  return match !== null;
}

/** Where data is: bindings, URLs and ARM ids stay; `azureml:name:version` becomes an ARM id; a local path is uploaded. */
export function dataUri(context: Context, text: string, type: string, base: string, place: Place, datastore?: string): Tree {
  const bare = withoutPrefix(text);
  // What the client takes for neither a URL nor a path of this machine.
  const odd = /^(?:azureml:azureml:\/\/|(?:azureml:)?(?:file|runs):)/.exec(text)?.[0];
  if (odd !== undefined) {
    const instead = odd.endsWith('//')
      ? bare
      : odd.endsWith('file:')
        ? text.slice(odd.length).replace(/^\/\//, '')
        : 'azureml://…';
    context.problems.add(place, `A path of data cannot begin with ${odd}.`, instead);
    return undefined;
  }
  if (isArmId(bare) || isUrl(bare) || isWholeBinding(bare)) return bare;
  // A name or version that the service fills in cannot be looked up.
  const later = isBinding(text) ? /^azureml:(.+):([^:@]+)$/.exec(text) : null;
  if (later) return `${context.workspaceId}/${MODEL_TYPES.includes(type) ? 'models' : 'data'}/${later[1]}/versions/${later[2]}`;
  const named = text.startsWith('azureml:') || (/[:@]/.test(bare) && !isLocal(base, bare));
  if (named && !path.isAbsolute(bare)) {
    return assetId(context, MODEL_TYPES.includes(type) ? 'model' : 'data', text, place);
  }
  const kind = type === 'uri_folder' ? 'folder' : type === 'uri_file' ? 'file' : undefined;
  return upload(context, bare, base, place, {
    as: 'path',
    ...(kind === undefined ? {} : { kind }),
    ...(datastore === undefined ? {} : { datastore }),
  });
}

function isLocal(base: string, text: string): boolean {
  return statOf(resolvePath(base, text)) !== undefined;
}

export function readOutputs(
  context: Context,
  node: YNode | undefined,
  base: string,
  place: 'job' | 'node',
): Map<string, OutputValue> {
  const outputs = new Map<string, OutputValue>();
  if (!node) return outputs;
  if (node.kind !== 'map') {
    context.problems.add(node.place, `${what(node)} is not a mapping.`, 'a mapping from the name of an output to its settings');
    return outputs;
  }
  for (const [name, entry] of node.entries) {
    if (!/^[a-zA-Z_]+[a-zA-Z0-9_]*$/.test(name)) checkName(context, name.replaceAll('.', '-'), entry.key.place);
    const value = readOutput(context, entry.value, base, place);
    if (value) outputs.set(name, value);
  }
  return outputs;
}

function readOutput(context: Context, node: YNode, base: string, where: 'job' | 'node'): OutputValue | undefined {
  const place = node.place;
  if (node.kind === 'scalar' && node.type === 'null') return { kind: 'default', place };
  const inNode = where === 'node';
  const text = textOf(node);
  if (inNode && text !== undefined) {
    if (isOutputBinding(text)) return { kind: 'binding', text, place };
    if (!legacyBinding(context, text, place)) {
      context.problems.add(
        place,
        `${JSON.stringify(text)} is no output.`,
        '${{parent.outputs.NAME}} or a mapping with type, mode, path',
      );
    }
    return undefined;
  }
  const read = readField(nullable(union(dataOutput)), node, context.reader(base, inNode)) as TreeObject | undefined;
  if (!read) return undefined;
  const of = (key: string): string | undefined => (typeof read[key] === 'string' ? read[key] : undefined);
  const name = of('name');
  if (name !== undefined && !/^[A-Za-z0-9_-]{0,255}$/.test(name)) {
    context.problems.add(place, `The output name ${name} is not valid.`, 'letters, digits, dashes and underscores, at most 255');
  }
  if (of('version') !== undefined && name === undefined) context.problems.add(place, 'An output with a version needs a name.');
  const shape = definedOnly({ mode: of('mode'), name, version: of('version'), type: of('type') });
  const target = of('path');
  if (inNode && target !== undefined && legacyBinding(context, target, place)) return undefined;
  if (inNode && target !== undefined && isOutputBinding(target)) {
    return { kind: 'binding', text: target, mapped: true, ...shape, place };
  }
  return { kind: 'data', ...(target === undefined ? {} : { uri: target }), ...shape, place };
}

function definedOnly<T extends Record<string, string | undefined>>(value: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as { [K in keyof T]?: string };
}

export function inputToRest(value: InputValue, style: Style): Tree {
  const typeKey = styled('job_input_type', style);
  if (value.kind === 'literal') return { [typeKey]: 'literal', value: pyStr(value.value) };
  const mode = value.mode === undefined ? undefined : (INPUT_MODES[value.mode] ?? value.mode);
  if (value.kind === 'binding') return compact({ [typeKey]: 'literal', value: value.text, mode });
  return compact({ uri: value.uri, mode, [typeKey]: value.type });
}

export function outputToRest(value: OutputValue, style: Style): Tree {
  if (value.kind === 'default') return { [styled('job_output_type', style)]: 'uri_folder' };
  const mode = value.mode === undefined ? undefined : (OUTPUT_MODES[value.mode] ?? value.mode);
  if (value.kind === 'binding')
    return compact({ type: 'literal', value: value.text, mode, name: value.name, version: value.version });
  const camel = style === 'camel';
  return compact({
    [styled('job_output_type', style)]: value.type ?? 'uri_folder',
    uri: value.uri,
    mode,
    [camel ? 'assetName' : 'name']: value.name,
    [camel ? 'assetVersion' : 'version']: value.version,
    description: value.description,
  });
}

export function inputsToRest(inputs: ReadonlyMap<string, InputValue>, style: Style): TreeObject {
  return Object.fromEntries([...inputs].map(([name, value]) => [name, inputToRest(value, style)]));
}

export function outputsToRest(outputs: ReadonlyMap<string, OutputValue>, style: Style): TreeObject {
  return Object.fromEntries([...outputs].map(([name, value]) => [name, outputToRest(value, style)]));
}

/** Problems for data inputs without a path: nothing could be read there. */
export function requirePaths(context: Context, inputs: ReadonlyMap<string, InputValue>): void {
  for (const [name, value] of inputs) {
    if (value.kind === 'data' && !value.given) {
      context.problems.add(
        value.place,
        `The input ${name} has no path.`,
        'path: a local path, azureml:name:version, azureml://… or a URL',
      );
    }
  }
}

export type { YMap };
