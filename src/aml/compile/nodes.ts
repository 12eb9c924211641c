/** The steps of a pipeline: each becomes one object of `properties.jobs` (reference azure-ml-rest §1.7 and corrections). */
import { autoMLNode } from './automl-node.js';
import { readOnlyKeys } from './base-job.js';
import { commandNode, inlineCommandNode } from './command-node.js';
import { dataTransferNode } from './data-transfer-node.js';
import { typeOfFile, useComponent, type ComponentUse, type LocalComponent } from './component.js';
import { isPrimitive } from './component-io.js';
import type { Context } from './context.js';
import { bodyOf, controlNode } from './control-node.js';
import { child, textOf, type YMap, type YNode } from './document.js';
import {
  dataUri,
  inputToRest,
  outputToRest,
  readInputs,
  readOutputs,
  requirePaths,
  type InputValue,
  type OutputValue,
} from './io.js';
import { inlineParallelNode, parallelNode } from './parallel-node.js';
import { pipelineNode } from './pipeline-component.js';
import { isTreeObject, type Tree, type TreeObject } from './pending.js';
import { nearest, oneOf, type Place } from './problems.js';
import { computeId } from './refs.js';
import { isBinding, rawValue, readObject, str, textKey, dict, nullable, type Field } from './schema.js';
import type { Scope } from './scope.js';
import { inlineSparkNode, sparkNode } from './spark-node.js';
import { sweepNode } from './sweep-node.js';

const NODE_TYPES = [
  'command',
  'pipeline',
  'sweep',
  'parallel',
  'spark',
  'automl',
  'data_transfer',
  'do_while',
  'parallel_for',
  'if_else',
];

/** A step as read, before the types of what it binds to are known. */
export interface Draft {
  name: string;
  type: string;
  node: YMap;
  place: Place;
  base: string;
  inputs: Map<string, InputValue>;
  outputs: Map<string, OutputValue>;
  component?: ComponentUse | undefined;
  /** The items of a parallel_for give inputs that the step itself does not. */
  fedByItems?: boolean;
}

export interface CompiledNodes {
  jobs: TreeObject;
  drafts: Draft[];
}

/** In: the `jobs:` of a pipeline, its folder, what its steps can bind to. Out: the node objects, in order. */
export function compileNodes(context: Context, jobs: YMap, base: string, scope: Scope): CompiledNodes {
  const drafts: Draft[] = [];
  for (const [name, entry] of jobs.entries) {
    textKey(entry.key, context.problems);
    const draft = readDraft(context, name, entry.key.place, entry.value, base);
    if (!draft) continue;
    drafts.push(draft);
    scope.nodes.set(name, {
      outputs: draft.outputs,
      automl: draft.type === 'automl',
      inline: ['command', 'parallel', 'spark'].includes(draft.type) && !draft.node.entries.has('component'),
      ...(draft.component?.kind === 'local' ? { declared: draft.component.outputs } : {}),
    });
  }
  for (const loop of drafts.filter(({ type }) => type === 'parallel_for')) {
    const body = drafts.find(({ name }) => name === bodyOf(loop));
    if (body) body.fedByItems = true;
  }
  const result: TreeObject = {};
  for (const draft of drafts) {
    checkBindings(context, draft, scope);
    result[draft.name] = compileNode(context, draft, scope, drafts);
  }
  return { jobs: result, drafts };
}

function readDraft(context: Context, name: string, at: Place, node: YNode, base: string): Draft | undefined {
  if (!/^[a-z_][a-z0-9_]*$/.test(name)) {
    context.problems.add(
      at,
      `${JSON.stringify(name)} is not a valid name of a step.`,
      'lower-case letters, digits and underscores, not beginning with a digit',
    );
  }
  if (node.kind !== 'map') {
    context.problems.add(
      node.place,
      `The step ${name} is not a mapping.`,
      'component: … or type: command with command, environment, …',
    );
    return undefined;
  }
  const type = stepType(context, node, base);
  if (type === undefined) return undefined;
  const holder = child(node, type === 'sweep' ? 'trial' : 'component');
  const component = holder && useComponent(context, holder, base, type);
  if (type === 'automl' || ['do_while', 'parallel_for', 'if_else'].includes(type)) {
    const outputs = readOutputs(context, child(node, 'outputs'), base, 'node');
    return { name, type, node, place: at, base, inputs: new Map(), outputs };
  }
  return {
    name,
    type,
    node,
    place: at,
    base,
    inputs: readInputs(context, child(node, 'inputs'), base, true),
    outputs: readOutputs(context, child(node, 'outputs'), base, 'node'),
    component,
  };
}

/** The step's type: its own, its component's, or what its keys tell; command otherwise. */
function stepType(context: Context, node: YMap, base: string): string | undefined {
  const own = child(node, 'type');
  if (own) {
    const text = (textOf(own) ?? '').toLowerCase();
    if (NODE_TYPES.includes(text)) return text;
    const near = nearest(text, NODE_TYPES);
    const why =
      text === 'import'
        ? 'Steps of type import are not supported: no client can submit one any more. The task import_data of data_transfer does the same.'
        : `${JSON.stringify(text)} is no type of step.`;
    context.problems.add(own.place, `${why}${near ? ` Did you mean ${near}?` : ''}`, oneOf(NODE_TYPES));
    return undefined;
  }
  const file = typeOfFile(context, child(node, 'component'), base);
  if (file !== undefined) return file === 'flow' ? 'parallel' : file;
  if (node.entries.has('component')) return 'command';
  if (node.entries.has('trial')) return 'sweep';
  if (node.entries.has('task') && !node.entries.has('command'))
    return child(node, 'task')?.kind === 'map' ? 'parallel' : 'automl';
  return node.entries.has('entry') ? 'spark' : 'command';
}

function compileNode(context: Context, draft: Draft, scope: Scope, drafts: readonly Draft[]): Tree {
  const inline = !draft.node.entries.has('component');
  switch (draft.type) {
    case 'command':
      return inline ? inlineCommandNode(context, draft, scope) : commandNode(context, draft);
    case 'parallel':
      return inline ? inlineParallelNode(context, draft, scope) : parallelNode(context, draft);
    case 'spark':
      return inline ? inlineSparkNode(context, draft, scope) : sparkNode(context, draft);
    case 'sweep':
      return sweepNode(context, draft);
    case 'pipeline':
      return pipelineNode(context, draft);
    case 'data_transfer':
      return dataTransferNode(context, draft, scope);
    case 'automl':
      return autoMLNode(context, draft);
    default:
      return controlNode(context, draft, drafts);
  }
}

function checkBindings(context: Context, draft: Draft, scope: Scope): void {
  for (const [name, value] of draft.inputs) {
    const text = value.kind === 'binding' ? value.text : undefined;
    if (value.kind !== 'binding' || text === undefined || scope.source(text.replace(/\s/g, ''))) continue;
    // Several expressions in a row are text; only a step that takes the type of the input from them needs to find what they name.
    if ((value.mapped || !scope.nodes.get(draft.name)?.inline) && text.split('${{').length > 2) continue;
    const job = /^\$\{\{parent\.jobs\.([^.}]+)\./.exec(text)?.[1];
    const candidates = job === undefined ? [...scope.inputs.keys()] : [...scope.nodes.keys()];
    context.problems.add(
      value.place,
      `The input ${name} is bound to ${text}, which is not in this pipeline.`,
      candidates.length > 0 ? candidates.join(', ') : 'a value',
    );
  }
  for (const [name, value] of draft.outputs) {
    if (value.kind !== 'binding' || scope.source(value.text)) continue;
    context.problems.add(
      value.place,
      `The output ${name} is bound to ${value.text}, which is not an output of this pipeline.`,
      [...scope.outputs.keys()].join(', ') || 'a mapping with type',
    );
  }
}

/** Keys of a step that the client reads as settings of any node. */
const COMMON: Record<string, Field> = { compute: str, comment: str, properties: dict(nullable(str)) };
const NOT_SENT = [...readOnlyKeys, 'name', 'description', 'experiment_name', '$schema', 'services'];
const SENT_ELSEWHERE = ['type', 'component', 'trial', 'inputs', 'outputs', 'display_name', 'tags'];

/**
 * Reads the keys of a step with a component: its type's own and the common ones. Out: values, and `more`: keys that no schema has, which
 * are sent as they are.
 */
export function readNode(
  context: Context,
  draft: Draft,
  fields: Readonly<Record<string, Field>>,
): { read: TreeObject; more: TreeObject } {
  const known = { ...COMMON, ...fields };
  const read = readObject(
    draft.node,
    known,
    {
      name: `the step ${draft.name}`,
      unknown: 'include',
      // Of a sweep the client sends `parameters`, a key that the service fills in of jobs.
      elsewhere: [...NOT_SENT, ...SENT_ELSEWHERE].filter((key) => draft.type !== 'sweep' || key !== 'parameters'),
    },
    context.reader(draft.base, true),
  );
  const more: TreeObject = {};
  for (const [key, value] of Object.entries(read)) {
    if (!Object.hasOwn(known, key)) {
      more[key] = value;
      delete read[key];
    }
  }
  return { read, more };
}

/** The members that every step has. */
export function nodeBase(context: Context, draft: Draft, read: TreeObject, source: string, componentId?: Tree): TreeObject {
  const computeNode = child(draft.node, 'compute');
  const compute =
    typeof read['compute'] === 'string' && computeNode ? computeId(context, read['compute'], computeNode.place) : undefined;
  const tags = child(draft.node, 'tags');
  return {
    name: draft.name,
    type: draft.type,
    display_name: shownAs(draft),
    tags: tags ? rawValue(tags) : undefined,
    computeId: compute,
    inputs: nodeInputs(context, draft),
    outputs: nodeOutputs(draft),
    properties: read['properties'],
    comment: read['comment'],
    _source: source,
    ...(componentId === undefined ? {} : { componentId }),
  };
}

function shownAs(draft: Draft): Tree {
  const node = child(draft.node, 'display_name');
  return node && rawValue(node);
}

function local(draft: Draft): LocalComponent | undefined {
  // A flow takes whatever it is given.
  return draft.component?.kind === 'local' && draft.component.type !== 'flow' ? draft.component : undefined;
}

/** Inputs of a step. With a known component only what it declares is sent, and bare text for a data input is a path. */
function nodeInputs(context: Context, draft: Draft): TreeObject {
  requirePaths(context, draft.inputs);
  const component = local(draft);
  if (!component) return Object.fromEntries([...draft.inputs].map(([name, value]) => [name, inputToRest(value, 'snake')]));
  const result: TreeObject = {};
  for (const [name, declared] of component.inputs) {
    const value = draft.inputs.get(name);
    if (value === undefined) {
      const free =
        (declared.optional === true && declared.inferredOptional !== true) ||
        (declared.default !== undefined && declared.default !== null);
      if (!free && !sweeps(draft, name) && draft.fedByItems !== true) {
        context.problems.add(
          draft.place,
          `The step ${draft.name} does not give the input ${name} that its component requires.`,
          `inputs: ${name}: … (${declared.type})`,
        );
      }
      continue;
    }
    result[name] = inputToRest(asDeclared(context, draft, value, declared.type), 'snake');
  }
  for (const [name, value] of draft.inputs) {
    if (component.inputs.has(name)) continue;
    const near = nearest(name, [...component.inputs.keys()]);
    context.problems.warn(
      value.place,
      `The component of step ${draft.name} has no input ${name}; it is not sent.${near ? ` Did you mean ${near}?` : ''}`,
    );
  }
  return result;
}

/** A step can be the body of a loop, or sweep over an input: then somebody else gives it. */
function sweeps(draft: Draft, name: string): boolean {
  const space = child(draft.node, 'search_space');
  return draft.type === 'sweep' && space?.kind === 'map' && space.entries.has(name);
}

function asDeclared(context: Context, draft: Draft, value: InputValue, type: string): InputValue {
  // An expression among other text, or one that binds nothing, stays as it is.
  if (value.kind !== 'literal' || isPrimitive(type) || isBinding(value.value)) return value;
  // An empty path would be the whole folder of the file.
  if (typeof value.value !== 'string' || value.value === '') {
    context.problems.add(
      value.place,
      `An input of type ${type} takes a path, not ${JSON.stringify(value.value)}.`,
      'a path, azureml:name:version or a URL',
    );
    return value;
  }
  return {
    kind: 'data',
    type,
    uri: dataUri(context, value.value, type, draft.base, value.place),
    given: true,
    place: value.place,
  };
}

function nodeOutputs(draft: Draft): TreeObject {
  const component = local(draft);
  const result: TreeObject = {};
  for (const [name, value] of draft.outputs) {
    if (value.kind === 'default') continue;
    const declared = component?.outputs.get(name);
    if (component && !declared) continue;
    const sent = outputToRest(value, 'snake');
    if (value.kind === 'data' && declared?.type === 'uri_file' && isTreeObject(sent)) sent['job_output_type'] = 'uri_file';
    result[name] = sent;
  }
  return result;
}
