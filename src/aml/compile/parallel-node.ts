/** Parallel components and steps (reference azure-ml-rest §1.7, recordings). */
import { inlineInputs, inlineOutputs } from './command-node.js';
import {
  componentCode,
  componentElsewhere,
  componentEnvironment,
  componentFields,
  componentReader,
  localComponent,
  type ComponentFile,
  type LocalComponent,
} from './component.js';
import { specResources } from './component-spec.js';
import { readPortInputs, readPortOutputs } from './component-io.js';
import type { Context } from './context.js';
import { child, type YMap } from './document.js';
import { componentResources, identity, identityToRest, resources, resourcesToRest, services } from './fields.js';
import { nodeBase, readNode, type Draft } from './nodes.js';
import { asText, compact, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { pyJson, type Json } from './python.js';
import { dict, int, isBinding, list, object, raw, rawValue, readObject, str, words, type Field } from './schema.js';
import type { Scope } from './scope.js';

/** Names of columns; not even in a step an expression. */
const keys: Field = { ...list(str), read: (node, reader) => list(str).read(node, { ...reader, bindings: false }) };
const settings: Record<string, Field> = {
  logging_level: words(['DEBUG', 'INFO', 'WARNING'], 'exact'),
  mini_batch_size: str,
  partition_keys: keys,
  input_data: str,
  retry_settings: object({ timeout: int, max_retries: int }, { name: 'retry_settings', unknown: 'drop' }),
  max_concurrency_per_instance: int,
  error_threshold: int,
  mini_batch_error_threshold: int,
};
const taskFields: Record<string, Field> = {
  type: words(['run_function', 'model', 'function']),
  code: str,
  entry_script: str,
  program_arguments: str,
  model: str,
  append_row_to: str,
  environment: raw,
};

/** `task:` with its code and environment as references. */
function readTask(file: ComponentFile): Tree {
  const node = child(file.root, 'task');
  if (node?.kind !== 'map') {
    if (node) file.context.problems.add(node.place, 'task is not a mapping.', 'type, code, entry_script, environment');
    return undefined;
  }
  const read = readObject(
    node,
    taskFields,
    { name: 'task', unknown: 'drop', required: ['type', 'environment'] },
    file.context.reader(file.base, true),
  );
  return compact({ ...read, code: componentCode({ ...file, root: node }, node), environment: componentEnvironment(file, node) });
}

/** A size in bytes or items: `10`, `5kb`, `1mb`. Out: the number; a binding stays. */
function batchSize(context: Context, holder: YMap, value: Tree): Tree {
  if (typeof value !== 'string' || isBinding(value)) return value;
  const match = /^(\d+)(kb|mb|gb)?$/i.exec(value);
  if (!match) {
    const place = child(holder, 'mini_batch_size')?.place ?? holder.place;
    context.problems.add(place, `${JSON.stringify(value)} is no size of a mini batch.`, '"10", "5kb", "1mb" or "2gb"');
    return undefined;
  }
  const unit = { kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }[(match[2] ?? '').toLowerCase()] ?? 1;
  return Number(match[1]) * unit;
}

const keysText = (value: Tree): Tree => (Array.isArray(value) ? pyJson(value as Json) : value);

/** What a component's specification holds. The version is made from the list of partition keys, not from the text that is sent. */
function specification(file: ComponentFile, read: TreeObject): { spec: TreeObject; hashed: TreeObject; size: Tree; task: Tree } {
  const task = readTask(file);
  const size = batchSize(file.context, file.root, read['mini_batch_size']) ?? 0;
  const keys = Array.isArray(read['partition_keys']) && read['partition_keys'].length > 0 ? read['partition_keys'] : undefined;
  const spec: TreeObject = {
    ...read,
    type: 'parallel',
    resources: specResources(read['resources']),
    task,
    mini_batch_size: asText(size),
    partition_keys: keysText(keys),
  };
  return { spec, hashed: { partition_keys: keys }, size, task };
}

function parallelComponent(file: ComponentFile): LocalComponent {
  const { context, root, base } = file;
  const read = readObject(
    root,
    { ...componentFields, ...settings, resources: componentResources },
    {
      name: 'a parallel component',
      unknown: 'drop',
      required: ['type', 'task'],
      elsewhere: [...componentElsewhere, 'task', 'properties'],
    },
    context.reader(base),
  );
  const inputs = readPortInputs(context, child(root, 'inputs'), base);
  const outputs = readPortOutputs(context, child(root, 'outputs'), base);
  const { spec, hashed, size, task } = specification(file, read);
  const own = child(root, 'properties');
  return localComponent(file, 'parallel', inputs, outputs, {
    spec,
    hashed,
    properties: own?.kind === 'map' ? rawValue(own) : undefined,
    defaults: { ...read, mini_batch_size: size, task },
  });
}
componentReader('parallel', parallelComponent);

const nodeFields: Record<string, Field> = { ...settings, resources, identity, environment_variables: dict(str), task: raw };

/** A step that names a parallel component. */
export function parallelNode(context: Context, draft: Draft): Tree {
  const { read, more } = readNode(context, draft, { ...nodeFields, is_deterministic: raw });
  const component = draft.component;
  if (!component) return undefined;
  const size = batchSize(context, draft.node, read['mini_batch_size']);
  const defaults = component.kind === 'local' ? component.defaults : {};
  const own = child(draft.node, 'task');
  const task = own ? rawValue(own) : defaults['task'];
  // Zero counts as not said, as for the client.
  const or = (key: string, value: Tree = read[key]): Tree =>
    value === undefined || value === 0 || value === '' ? defaults[key] : value;
  const values: TreeObject = {
    ...read,
    identity: identityToRest(read['identity'], 'snake'),
    mini_batch_size: or('mini_batch_size', size),
    resources: read['resources'] ?? defaults['resources'],
    retry_settings: read['retry_settings'] ?? defaults['retry_settings'],
    input_data: or('input_data'),
    max_concurrency_per_instance: or('max_concurrency_per_instance'),
    mini_batch_error_threshold: or('mini_batch_error_threshold'),
    partition_keys: read['partition_keys'] ?? defaults['partition_keys'],
    task,
  };
  return compact({ ...more, ...nodeBase(context, draft, read, component.source, component.id), ...body(values) });
}

function body(values: TreeObject): TreeObject {
  return {
    resources: resourcesToRest(values['resources'], 'snake'),
    error_threshold: values['error_threshold'],
    mini_batch_error_threshold: values['mini_batch_error_threshold'],
    environment_variables: values['environment_variables'],
    max_concurrency_per_instance: values['max_concurrency_per_instance'],
    task: isTreeObject(values['task']) ? values['task'] : undefined,
    input_data: values['input_data'],
    retry_settings: values['retry_settings'],
    logging_level: values['logging_level'],
    mini_batch_size: values['mini_batch_size'],
    partition_keys: keysText(values['partition_keys']),
    identity: values['identity'],
  };
}

/** A parallel job as a step: its definition goes into an anonymous component, without what is bound to the pipeline. */
export function inlineParallelNode(context: Context, draft: Draft, scope: Scope): Tree {
  const { read, more } = readNode(context, draft, { ...nodeFields, services });
  // A job in the place of a step has the keys of a job, no others.
  for (const key of [...Object.keys(more), ...['comment', 'code', 'environment'].filter((name) => name in read)]) {
    const at = draft.node.entries.get(key)?.key.place ?? draft.place;
    context.problems.add(at, `Unknown key ${key} in the parallel step ${draft.name}.`, Object.keys(nodeFields).join(', '));
  }
  const file: ComponentFile = { context, root: draft.node, base: draft.base, source: 'YAML.JOB' };
  if (!child(draft.node, 'task')) {
    context.problems.add(
      draft.place,
      `The parallel step ${draft.name} has neither component nor task.`,
      'task: with type, code, entry_script, environment',
    );
  }
  const free: TreeObject = {};
  for (const key of [
    'partition_keys',
    'logging_level',
    'max_concurrency_per_instance',
    'error_threshold',
    'mini_batch_error_threshold',
    'retry_settings',
    'resources',
    'mini_batch_size',
  ]) {
    const value = read[key];
    // The client looks into the resources, not into retry_settings: an expression there is sent in the component too.
    const parts = key === 'resources' && isTreeObject(value) ? Object.values(value) : [value];
    if (!parts.some(isBinding)) free[key] = value;
  }
  const { spec, hashed, task } = specification(file, { ...free, input_data: read['input_data'] });
  const component = localComponent(file, 'parallel', inlineInputs(draft, scope), inlineOutputs(draft, scope), {
    spec,
    hashed,
    defaults: {},
  });
  const {
    display_name: _display,
    tags: _tags,
    comment: _comment,
    ...common
  } = nodeBase(context, draft, read, component.source, component.id);
  draft.component = component;
  const size = batchSize(context, draft.node, read['mini_batch_size']) ?? 0;
  return compact({ ...common, ...body({ ...read, task, mini_batch_size: size }) });
}
