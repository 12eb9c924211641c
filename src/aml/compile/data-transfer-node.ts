/** Steps that copy data, or move it from or to a database or file system; their components (tried against the client). */
import { inlineInputs, inlineOutputs } from './command-node.js';
import { readOnlyKeys } from './base-job.js';
import {
  componentElsewhere,
  componentFields,
  componentReader,
  localComponent,
  type ComponentFile,
  type LocalComponent,
} from './component.js';
import { readPortInputs, readPortOutputs, type PortInput, type PortOutput } from './component-io.js';
import type { Context } from './context.js';
import { child, textOf, type YNode } from './document.js';
import { services } from './fields.js';
import { nodeBase, readNode, type Draft } from './nodes.js';
import { asText, compact, type Tree, type TreeObject } from './pending.js';
import { oneOf, type Place } from './problems.js';
import { list, object, readField, readObject, str, toSnake, words, type Field } from './schema.js';
import type { Scope } from './scope.js';

const TASKS = ['copy_data', 'import_data', 'export_data'];
const BUILT_IN = 'azureml://registries/azureml/components';
const task = words(TASKS, 'snake');
const copyMode = words(['merge_with_overwrite', 'fail_if_conflict'], 'snake');

const parameter = object({ name: str, value: str, type: str }, { name: 'a parameter', required: ['name', 'value', 'type'] });
const ends: Record<string, Field> = {
  database: object(
    { type: str, table_name: str, query: str, stored_procedure: str, stored_procedure_params: list(parameter), connection: str },
    { name: 'the database', required: ['connection'] },
  ),
  file_system: object({ type: str, path: str, connection: str }, { name: 'the file system', required: ['connection'] }),
};

/** A `data_transfer` step, with a component or without. Problems: the task, the one output or input that it must have, source and sink. */
export function dataTransferNode(context: Context, draft: Draft, scope: Scope): Tree {
  const { node, place } = draft;
  const given = child(node, 'task');
  const what = given && readField(task, given, { ...context.reader(draft.base), key: 'task' });
  if (!given) context.problems.add(place, `The step ${draft.name} has no task.`, oneOf(TASKS));
  if (typeof what !== 'string') return undefined;
  return what === 'copy_data' ? copyNode(context, draft, scope) : transferNode(context, draft, what);
}

function copyNode(context: Context, draft: Draft, scope: Scope): Tree {
  const { read, more } = readNode(context, draft, { task, data_copy_mode: copyMode, services });
  const mode = read['data_copy_mode'];
  const component = draft.component;
  if (draft.node.entries.has('component')) {
    if (!component) return undefined;
    const own = component.kind === 'local' ? component.defaults['data_copy_mode'] : mode;
    const base = nodeBase(context, draft, read, component.source, component.id);
    return compact({ ...more, ...base, task: 'copy_data', data_copy_mode: own });
  }
  refuseUnknown(context, draft, 'data_copy_mode');
  const inputs = inlineInputs(draft, scope);
  const outputs = inlineOutputs(draft, scope);
  checkCopy(context, draft.place, inputs, outputs);
  const tags = child(draft.node, 'tags');
  const spec: TreeObject = {
    type: 'data_transfer',
    task: 'copy_data',
    data_copy_mode: mode,
    description: textOf(child(draft.node, 'description')),
    ...(tags?.kind === 'map' ? { tags: nodeBase(context, draft, {}, '')['tags'] } : {}),
  };
  const made = localComponent({ base: draft.base, source: 'YAML.JOB' }, 'data_transfer', inputs, outputs, { spec, defaults: {} });
  // The client does not hand the properties on.
  const { properties: _properties, ...base } = nodeBase(context, draft, read, made.source, made.id);
  draft.component = made;
  return compact({ ...base, task: 'copy_data', data_copy_mode: mode });
}

const JOB_KEYS = [
  ...'type task name inputs outputs compute display_name description tags properties experiment_name services $schema'.split(' '),
  ...readOnlyKeys,
];

/** A step without a component is a job of its own, whose keys are known. */
function refuseUnknown(context: Context, draft: Draft, own: string): void {
  for (const [key, { key: node }] of draft.node.entries) {
    if (key !== own && !JOB_KEYS.includes(key))
      context.problems.add(node.place, `Unknown key ${key} in the step ${draft.name}.`, [own, ...JOB_KEYS].sort().join(', '));
  }
}

/** One output; one input has its type, of several all are merged into a folder. */
function checkCopy(context: Context, place: Place, inputs: Map<string, PortInput>, outputs: Map<string, PortOutput>): void {
  const [output] = outputs.values();
  if (!output || outputs.size !== 1) {
    context.problems.add(place, `Copying takes one output, here are ${outputs.size}.`, 'outputs: with one member');
    return;
  }
  const [input] = inputs.values();
  if (!input) context.problems.add(place, 'Copying takes at least one input.', 'inputs: with one member or more');
  else if (inputs.size === 1 && input.type !== output.type)
    context.problems.add(place, `The input is of type ${input.type}, the output of type ${output.type}.`, 'one type for both');
  else if (inputs.size > 1 && output.type !== 'uri_folder')
    context.problems.add(place, `Several inputs are copied into a folder, not into ${output.type}.`, 'type: uri_folder');
}

/** Import and export run components of Azure Machine Learning's own registry. */
function transferNode(context: Context, draft: Draft, what: string): Tree {
  const imports = what === 'import_data';
  const [side, other, name] = imports ? ['source', 'outputs', 'sink'] : ['sink', 'inputs', 'source'];
  const { read, more } = readNode(context, draft, { task, [side]: end(side), services });
  const kind = toSnake(asText((read[side] as TreeObject | undefined)?.['type']));
  if (!draft.node.entries.has('component')) refuseUnknown(context, draft, side);
  if (!draft.node.entries.has(side))
    context.problems.add(draft.place, `The step ${draft.name} has no ${side}.`, `${side}: with type and connection`);
  const ports = imports ? draft.outputs : draft.inputs;
  if (ports.size !== 1 || !ports.has(name))
    context.problems.add(
      child(draft.node, other)?.place ?? draft.place,
      `The task ${what} takes one of ${other}, ${name}.`,
      `${other}: ${name}: …`,
    );
  const wrong = child(draft.node, imports ? 'inputs' : 'outputs');
  if (wrong)
    context.problems.add(wrong.place, `The task ${what} has no ${imports ? 'inputs' : 'outputs'}.`, `${other}: ${name}: …`);
  if (!imports && kind === 'file_system' && !draft.node.entries.has('component'))
    context.problems.add(
      child(draft.node, side)?.place ?? draft.place,
      'Nothing can be exported to a file system.',
      'type: database',
    );
  const component = draft.component;
  if (component?.kind === 'local')
    context.problems.add(
      draft.place,
      `The task ${what} takes no component of a file.`,
      'azureml:name:version or azureml://registries/…',
    );
  const id = component?.id ?? `${BUILT_IN}/${what}_${kind}/versions/0.0.1`;
  const base = nodeBase(context, draft, read, component?.source ?? 'BUILTIN', id);
  return compact({ ...more, ...base, task: what, [side]: { ...(read[side] as TreeObject | undefined), type: kind } });
}

/** `source` or `sink`, of either kind. */
function end(side: string): Field {
  return {
    accepts: 'a mapping with type database or file_system',
    shape: 'map',
    read(node: YNode, reader) {
      const type = child(node, 'type');
      const kind = toSnake(textOf(type) ?? (type ? '' : 'file_system'));
      const field = Object.hasOwn(ends, kind) ? ends[kind] : undefined;
      if (node.kind === 'map' && field) return { ...(field.read(node, reader) as TreeObject | undefined), type: kind };
      reader.problems.add(
        type?.place ?? node.place,
        `This is no ${side} of data.`,
        'type: database or file_system, with connection',
      );
      return undefined;
    },
  };
}

/** A component that copies. */
function dataTransferComponent(file: ComponentFile): LocalComponent {
  const { context, root, base } = file;
  const read = readObject(
    root,
    { ...componentFields, task, data_copy_mode: copyMode },
    { name: 'a data_transfer component', unknown: 'include', required: ['task'], elsewhere: componentElsewhere },
    context.reader(base),
  );
  const inputs = readPortInputs(context, child(root, 'inputs'), base);
  const outputs = readPortOutputs(context, child(root, 'outputs'), base);
  if (read['task'] === 'copy_data') checkCopy(context, root.place, inputs, outputs);
  else if (read['task'] !== undefined)
    context.problems.add(child(root, 'task')?.place ?? root.place, 'Only components that copy can be in a file.', 'copy_data');
  return localComponent(file, 'data_transfer', inputs, outputs, {
    spec: { ...read, type: 'data_transfer' },
    defaults: { data_copy_mode: read['data_copy_mode'] },
  });
}
componentReader('data_transfer', dataTransferComponent);
