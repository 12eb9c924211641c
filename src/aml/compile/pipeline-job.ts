/** `type: pipeline` jobs. */
import { commonBody, readJob, type JobBody, type JobFile } from './base-job.js';
import { useComponent } from './component.js';
import { child, textOf } from './document.js';
import { inputsToRest, outputsToRest, readInputs, readOutputs, requirePaths, type InputValue, type OutputValue } from './io.js';
import { compileNodes, type CompiledNodes } from './nodes.js';
import { checkFirstAndLast, withoutCompute } from './pipeline-checks.js';
import './flow-component.js';
import './pipeline-component.js';
import type { Tree, TreeObject } from './pending.js';
import { namedId, withoutPrefix } from './refs.js';
import { bool, isBinding, object, raw, words, union, type Field } from './schema.js';
import { Scope, typedInput, typedOutput } from './scope.js';

const prefixedName: Field = {
  accepts: 'azureml:NAME or an ARM id after azureml:',
  shape: 'scalar',
  read(node, reader) {
    if (node.kind === 'scalar' && node.type === 'str' && node.text.startsWith('azureml:')) return node.text;
    reader.problems.add(node.place, 'This is no reference.', 'azureml:NAME');
    return undefined;
  },
};
const settingsField = object(
  {
    default_datastore: prefixedName,
    default_compute: union(words(['serverless']), prefixedName),
    continue_on_step_failure: bool,
    force_rerun: bool,
  },
  { name: 'settings', unknown: 'include' },
);

/** Compiles a pipeline job. Problems go to the context. */
export function pipelineJob(job: JobFile): JobBody {
  const { context, root, base } = job;
  const read = readJob(
    job,
    { settings: settingsField, inputs: raw, outputs: raw, jobs: raw, component: raw },
    { name: 'a pipeline job' },
  );
  const inputs = readInputs(context, child(root, 'inputs'), base, true);
  for (const { place, ...value } of inputs.values())
    if (value.kind !== 'literal' && isBinding(value.type))
      context.problems.add(place, 'The type of a job’s input is no expression.', 'uri_file, uri_folder, mltable, …');
  const outputs = readOutputs(context, child(root, 'outputs'), base, 'job');
  const component = child(root, 'component');
  const body = { ...commonBody(job, read), jobType: 'Pipeline', settings: {} as Tree };
  const settings = settingsBody(job, read);
  if (component && root.entries.has('jobs') && textOf(component) !== undefined) {
    context.problems.add(component.place, 'jobs and component exclude each other.', 'one of them');
  }
  if (component) {
    const used = useComponent(context, component, base, 'pipeline');
    const declared = used?.kind === 'local' ? used : undefined;
    return {
      type: 'Pipeline',
      needsAmlToken: true,
      moreOutputs: declared === undefined,
      properties: {
        ...body,
        description: read['description'] ?? declared?.defaults['description'],
        componentId: used?.id,
        jobs: {},
        inputs: inputsToRest(declared ? declaredInputs(job, inputs, declared.inputs) : present(inputs), 'camel'),
        outputs: outputsToRest(declared ? declaredOutputs(outputs, declared.outputs) : outputs, 'camel'),
        settings: { ...settings, _source: 'REMOTE.WORKSPACE.JOB' },
      },
    };
  }
  const jobs = child(root, 'jobs');
  if (jobs?.kind !== 'map') {
    context.problems.add(
      jobs?.place ?? root.place,
      'The pipeline has no steps.',
      'jobs: a mapping from the name of a step to the step',
    );
  }
  const scope = new Scope(
    new Map([...inputs].map(([name, value]) => [name, typedInput(value)])),
    new Map([...outputs].map(([name, value]) => [name, typedOutput(value)])),
  );
  const compiled = jobs?.kind === 'map' ? compileNodes(context, jobs, base, scope) : { jobs: {}, drafts: [] };
  requirePaths(job.context, inputs);
  checkComputes(job, read, compiled);
  const chosen = child(root, 'settings');
  checkFirstAndLast(context, chosen?.kind === 'map' ? chosen : undefined, compiled.drafts);
  return {
    type: 'Pipeline',
    needsAmlToken: true,
    properties: {
      ...body,
      jobs: compiled.jobs,
      inputs: inputsToRest(present(inputs), 'camel'),
      outputs: outputsToRest(outputs, 'camel'),
      settings: { ...settings, _source: 'YAML.JOB' },
    },
  };
}

/** Empty text is not sent. */
function present(inputs: ReadonlyMap<string, InputValue>): Map<string, InputValue> {
  return new Map([...inputs].filter(([, value]) => value.kind !== 'literal' || value.value !== ''));
}

/** Inputs of a job that runs a pipeline component: what the component declares, with its defaults. */
function declaredInputs(
  { context, root }: JobFile,
  given: ReadonlyMap<string, InputValue>,
  declared: ReadonlyMap<string, { type: string; default?: unknown; optional?: boolean }>,
): Map<string, InputValue> {
  const result = new Map<string, InputValue>();
  const place = child(root, 'inputs')?.place ?? root.place;
  for (const [name, input] of declared) {
    const value = given.get(name);
    if (value) result.set(name, value);
    else if (input.default !== undefined && input.default !== null)
      result.set(name, { kind: 'literal', value: input.default as string, place });
    else if (input.optional !== true) {
      context.problems.add(
        place,
        `The input ${name} that the pipeline component requires is not given.`,
        `inputs: ${name}: … (${input.type})`,
      );
    }
  }
  return result;
}

function declaredOutputs(
  given: ReadonlyMap<string, OutputValue>,
  declared: ReadonlyMap<string, { type: string; mode?: string; description?: string }>,
): Map<string, OutputValue> {
  const result = new Map<string, OutputValue>();
  for (const [name, output] of declared) {
    result.set(name, {
      kind: 'data',
      type: output.type,
      ...(output.mode === undefined ? {} : { mode: output.mode }),
      ...(output.description === undefined ? {} : { description: output.description }),
      place: { file: '', line: 1, column: 1 },
    });
  }
  for (const [name, output] of given) if (output.kind !== 'default') result.set(name, output);
  return result;
}

function settingsBody({ context, root }: JobFile, read: TreeObject): TreeObject {
  const settings = { ...((read['settings'] as TreeObject | undefined) ?? {}) };
  for (const [key, collection] of [
    ['default_compute', 'computes'],
    ['default_datastore', 'datastores'],
  ] as const) {
    const value = settings[key];
    if (typeof value !== 'string') continue;
    const name = withoutPrefix(value);
    if (/^\/subscriptions\//i.test(name) || isBinding(name)) settings[key] = name;
    else {
      settings[key] = namedId(context, collection, name);
      const place = child(child(root, 'settings'), key)?.place ?? root.place;
      if (name.toLowerCase() !== 'serverless') {
        context.references.push({
          kind: collection === 'computes' ? 'compute' : 'datastore',
          name,
          ...place,
        });
      }
    }
  }
  return settings;
}

/** Without a default every step needs its own compute. */
function checkComputes({ context }: JobFile, read: TreeObject, compiled: CompiledNodes): void {
  const settings = read['settings'] as TreeObject | undefined;
  if (read['compute'] !== undefined || settings?.['default_compute'] !== undefined) return;
  for (const { name, place } of withoutCompute(compiled)) {
    context.problems.add(
      place,
      `The step ${name} has no compute, and the pipeline has no default.`,
      'compute: azureml:NAME in the step, or settings: default_compute: azureml:NAME (or serverless)',
    );
  }
}
