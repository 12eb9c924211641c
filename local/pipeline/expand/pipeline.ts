/** The root of a pipeline: parameters, resources, variables, then stages, in whatever order they were written. */
import { ObjectValue, toJson, toText, type Value } from '../expressions/values.js';
import { literalNode, type MappingNode, type Node, type ScalarNode } from '../yaml/nodes.js';
import { readYaml } from '../yaml/read.js';
import { hasExpression } from '../yaml/templates.js';
import { Context, type Frame, LimitReached, type Slot, type SourceFile, VariableScope } from './context.js';
import { load } from './files.js';
import { connectParts, jobProperties, jobs, pool, rootStrategy, stages } from './jobs.js';
import { bind, declarations } from './parameters.js';
import { pr, resources, schedules, trigger } from './resources.js';
import { oneOf, put, type Reader, text, unexpected, unique } from './shapes.js';
import { steps } from './steps.js';
import { includeFile, parametersBlock, parts } from './templates.js';
import {
  type ExpandedDocument,
  type ExpandedPipeline,
  type ExpandOptions,
  type Normal,
  type NormalMapping,
  PipelineError,
} from './types.js';
import { entries, type Entry } from './unravel.js';
import { validate } from './validate.js';
import { variables } from './variables.js';

/**
 * Expands a pipeline as the service does (sheet azure-pipelines-yaml 2.4).
 * @param entry path of the entry file, relative to `options.root` or from its root (`/x.yml`)
 * @throws PipelineError with the service's own messages, each with file, line and column where it has one
 */
export function expandPipeline(entry: string, options: ExpandOptions): ExpandedPipeline {
  connectParts();
  const context = new Context(options);
  try {
    const { document, parameters, block } = expand(context, entry);
    context.check();
    validate(context, document);
    context.check();
    return {
      document,
      parameters,
      ...(block && { parametersBlock: written(block) }),
      files: context.used,
      warnings: context.warnings,
      positionOf: (node, property) => context.placeOf(node, property),
    };
  } catch (error) {
    if (error instanceof LimitReached) throw new PipelineError(context.messages);
    // nesting beyond what the machine's stack holds is far beyond the service's limit
    if (error instanceof RangeError) throw tooDeep(context);
    throw error;
  }
}

function tooDeep({ messages, at }: Context): PipelineError {
  return new PipelineError([...messages, { text: 'Maximum object depth exceeded', ...(at && { position: at }) }]);
}

interface Expansion {
  document: ExpandedDocument;
  parameters: Record<string, string>;
  block: Node | undefined;
}

function expand(context: Context, entry: string): Expansion {
  const path = `/${entry.replaceAll('\\', '/').replace(/^(\.?\/)+/, '')}`;
  const file = load(context, { repository: 'self', path }, undefined, false);
  context.check();
  if (file?.root?.kind !== 'mapping') {
    if (file?.root) unexpected(context, file.root);
    else context.error({ file: path, line: 1, column: 1 }, 'The pipeline is empty.');
    context.check();
  }
  const root = file?.root as MappingNode;
  const frame = rootFrame(context, file as SourceFile, root);
  context.check();
  const document = readRoot(context, root, frame);
  const parameters = Object.fromEntries([...frame.parameters.entries].map(([name, value]) => [name, parameterText(value)]));
  return { document, parameters, block: parametersBlock(root) };
}

function parameterText(value: Value): string {
  return value !== null && typeof value === 'object' && (Array.isArray(value) || value instanceof ObjectValue)
    ? toJson(value)
    : toText(value);
}

function rootFrame(context: Context, file: SourceFile, root: MappingNode): Frame {
  const scope = new VariableScope();
  for (const [name, value] of Object.entries(context.options.variables ?? {})) scope.set(name, value);
  const frame: Frame = { file, parameters: new ObjectValue([], { strict: true }), variables: scope, locals: new Map() };
  const declared = declarations(context, parametersBlock(root), frame, true);
  const args = Object.entries(context.options.parameters ?? {}).map(([name, value]) => {
    const type = declared.list.find((other) => other.name.toLowerCase() === name.toLowerCase())?.type ?? 'string';
    return { name, slot: { node: queued(name, value, type), frame } };
  });
  return { ...frame, parameters: bind(context, { ...declared, open: false }, args, frame, parts.types, undefined) };
}

const scalarTypes = ['string', 'number', 'boolean', 'environment', 'filePath', 'pool', 'secureFile', 'serviceConnection'];

/**
 * Queue-time values are text; text of objects and lists is JSON (YAML is accepted too), and what is neither stays text.
 * Nothing in them is an expression.
 */
function queued(name: string, value: string, type: string): Node {
  const place = { file: `parameter ${name}`, line: 1, column: 1 };
  const root = scalarTypes.includes(type) ? undefined : readYaml(value, place.file).root;
  return root ? literal(root) : literalNode(value, place);
}

function literal(node: Node): Node {
  if (node.kind === 'scalar') return hasExpression(node.text) ? { ...node, value: node.text } : node;
  if (node.kind === 'sequence') return { ...node, items: node.items.map(literal) };
  const entries = node.entries.map(({ key, value }) => ({ key: literal(key) as ScalarNode, value: literal(value) }));
  return { ...node, entries };
}

const rootProperties: Record<string, Reader> = {
  name: text,
  trigger,
  pr,
  schedules,
  resources,
  pool,
  lockBehavior: oneOf('sequential', 'runLatest'),
  appendCommitMessageToRunName: text,
};

/** Properties of the root that belong to the one job of bare steps. */
const rootJobProperties: Record<string, Reader> = {
  strategy: rootStrategy,
  continueOnError: text,
  container: jobProperties['container'] as Reader,
  services: jobProperties['services'] as Reader,
  workspace: jobProperties['workspace'] as Reader,
};

/** What the root of an extended template may hold besides parameters, variables and its body. */
const templateRootKeys = ['trigger', 'resources'];

const bodies = ['stages', 'jobs', 'steps', 'extends'];

function readRoot(context: Context, root: MappingNode, frame: Frame): ExpandedDocument {
  const document: NormalMapping = context.mark({}, root.place);
  preview(context, root, frame);
  read(context, document, { node: root, frame }, false);
  if (!('stages' in document)) document['stages'] = [];
  return document as unknown as ExpandedDocument;
}

/** Repositories and packages must be known before anything is read: variables may come from a template of another repository. */
function preview(context: Context, root: MappingNode, frame: Frame): void {
  const found = root.entries.find(({ key }) => key.text === 'resources');
  if (!found) return;
  const silent = context.messages.length;
  resources(context, { node: found.value, frame });
  context.messages.length = silent;
}

/** Reads the root, or the root of the template that it extends, into the document. */
function read(context: Context, document: NormalMapping, slot: Slot, isTemplate: boolean): void {
  const later: Entry[] = [];
  let body: Entry | undefined;
  let job: NormalMapping | undefined;
  for (const entry of unique(context, entries(context, slot.node as MappingNode, slot.frame, { directives: true }))) {
    if (entry.key === 'variables') setOnce(context, document, entry, variables(context, entry.value));
    else if (entry.key === 'parameters') continue;
    else if (bodies.includes(entry.key)) {
      if (body) context.error(entry.place, `Unexpected value '${entry.key}'`);
      body ??= entry;
    } else later.push(entry);
  }
  for (const entry of later) {
    const allowed = !isTemplate || templateRootKeys.includes(entry.key);
    const reader = allowed && Object.hasOwn(rootProperties, entry.key) ? rootProperties[entry.key] : undefined;
    const ofJob = !isTemplate && body?.key === 'steps' && Object.hasOwn(rootJobProperties, entry.key);
    const jobReader = ofJob ? rootJobProperties[entry.key] : undefined;
    if (reader) setOnce(context, document, entry, reader(context, entry.value));
    else if (jobReader) put(context, (job ??= context.mark({}, entry.place)), entry.key, jobReader(context, entry.value), entry);
    else context.error(entry.place, `Unexpected value '${entry.key}'`);
  }
  if (body) readBody(context, document, body, job);
  else if (!isTemplate && context.messages.length === 0) {
    context.error(slot.node.place, `A pipeline needs one of stages, jobs, steps or extends.`);
  }
}

function setOnce(context: Context, document: NormalMapping, entry: Entry, value: Normal | undefined): void {
  const known = document[entry.key];
  if (entry.key === 'resources' && isMapping(known) && isMapping(value)) merge(known, value);
  else if (Object.hasOwn(document, entry.key)) context.error(entry.place, `'${entry.key}' is already defined`);
  else put(context, document, entry.key, value, entry);
}

function isMapping(value: Normal | undefined): value is NormalMapping {
  return typeof value === 'object' && !Array.isArray(value);
}

/** Resources of an extended template join those of the root. */
function merge(known: NormalMapping, more: NormalMapping): void {
  for (const [kind, list] of Object.entries(more)) {
    const before = known[kind];
    known[kind] = Array.isArray(before) && Array.isArray(list) ? [...before, ...list] : list;
  }
}

function readBody(context: Context, document: NormalMapping, body: Entry, job: NormalMapping | undefined): void {
  if (body.key === 'extends') {
    const { node, frame } = body.value;
    if (node.kind !== 'mapping') {
      unexpected(context, node);
      return;
    }
    const found = [...unique(context, entries(context, node, frame, { directives: true }))];
    includeFile(
      context,
      found,
      frame,
      (_context, root) => {
        if (root.node.kind !== 'mapping') unexpected(context, root.node);
        else read(context, document, root, true);
      },
      true,
    );
    return;
  }
  const reader = { stages, jobs, steps }[body.key as 'stages' | 'jobs' | 'steps'];
  const found = reader(context, body.value) as Normal[] | undefined;
  if (!found) return;
  const one = { job: 'Job', ...job, steps: found };
  const content = body.key === 'steps' ? [context.mark(one, body.place)] : found;
  const wrapped = body.key === 'stages' ? found : [context.mark({ stage: '__default', jobs: content }, body.place)];
  put(context, document, 'stages', wrapped, body);
}

/** A node as plain data, as it was written. */
function written(node: Node): Normal {
  if (node.kind === 'scalar') return node.text;
  if (node.kind === 'sequence') return node.items.map(written);
  return Object.fromEntries(node.entries.map(({ key, value }) => [key.text, written(value)]));
}
