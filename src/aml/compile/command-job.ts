/** `type: command` jobs (also files without a type). */
import { code, environment } from './assets.js';
import { commonBody, readJob, usesUserIdentity, type JobBody, type JobFile } from './base-job.js';
import type { Context } from './context.js';
import { child, textOf, type YMap } from './document.js';
import {
  commandLimits,
  distribution,
  distributionToRest,
  environmentVariables,
  limitsToRest,
  queueSettings,
  queueToRest,
  resources,
  resourcesToRest,
} from './fields.js';
import { inputsToRest, outputsToRest, readInputs, readOutputs, requirePaths, type InputValue } from './io.js';
import { isTreeObject, type Tree, type TreeObject } from './pending.js';
import type { Place } from './problems.js';
import { raw, str, type Field } from './schema.js';

export const commandFields: Record<string, Field> = {
  command: str,
  code: str,
  environment: { ...raw, accepts: 'azureml:name:version, azureml:name@latest or a mapping with image' },
  environment_variables: environmentVariables,
  resources,
  distribution,
  queue_settings: queueSettings,
};

/** Compiles a command job. Problems go to the context. */
export function commandJob(job: JobFile): JobBody {
  const { context, root, base } = job;
  const read = readJob(
    job,
    { ...commandFields, limits: commandLimits, inputs: raw, outputs: raw, parent_job_name: str },
    { name: 'a command job', required: ['command', 'environment'] },
  );
  const inputs = readInputs(context, child(root, 'inputs'), base, false);
  const outputs = readOutputs(context, child(root, 'outputs'), base, 'job');
  requirePaths(context, inputs);
  const command = commandText(context, root, inputs);
  const sent = resourcesToRest(read['resources'], 'camel');
  const common = commonBody(job, read);
  const local = context.local !== undefined;
  return {
    type: 'Command',
    needsAmlToken: usesUserIdentity(read),
    properties: {
      ...common,
      jobType: 'Command',
      command,
      codeId: codeOf(context, root, base),
      environmentId: environmentOf(context, root, base),
      environmentVariables: {
        ...(read['environment_variables'] as TreeObject | undefined),
        ...(local ? { AZUREML_COMPUTE_USE_COMMON_RUNTIME: 'true' } : {}),
      },
      inputs: inputsToRest(inputs, 'camel'),
      outputs: outputsToRest(outputs, 'camel'),
      resources: local ? runsHere(sent) : sent,
      distribution: distributionToRest(read['distribution'], 'camel'),
      limits: limitsToRest(read['limits'], 'Command', 'camel'),
      queueSettings: queueToRest(read['queue_settings'], 'camel'),
      parentJobName: read['parent_job_name'],
    },
  };
}

/** How a job says that it runs where it is submitted from. */
function runsHere(resources: Tree): TreeObject {
  const own = isTreeObject(resources) ? resources : {};
  const properties = isTreeObject(own['properties']) ? own['properties'] : {};
  return { ...own, properties: { ...properties, IsLocal: { IsLocal: true } } };
}

/** `code` of a job: a snapshot without the extra rules of components. */
export function codeOf(context: Context, node: YMap, base: string, component = false): Tree {
  const value = child(node, 'code');
  const text = textOf(value);
  return value && text !== undefined ? code(context, text, base, value.place, { component }) : undefined;
}

export function environmentOf(context: Context, node: YMap, base: string): Tree {
  const value = child(node, 'environment');
  return value ? environment(context, value, base) : undefined;
}

/** The command: old single braces become `${{…}}`, and every input it names must be there; `old`: those in single braces too. */
export function commandText(
  context: Context,
  node: YMap,
  inputs: ReadonlyMap<string, InputValue>,
  old: 'unchecked' | 'checked' = 'unchecked',
): string | undefined {
  const value = child(node, 'command');
  const text = textOf(value);
  if (!value || text === undefined) return undefined;
  const sent = doubleBraces(text);
  checkInputsUsed(context, old === 'checked' ? sent : text, inputs, value.place, 'command');
  return sent;
}

/** `{inputs.x}` was the form of early versions; the client turns it into `${{inputs.x}}`. */
function doubleBraces(text: string): string {
  return text.replace(/(?<!\{)\{(inputs|outputs|search_space)\.([^}]*)\}(?!\})/g, '$${{$1.$2}}');
}

/** Every `${{inputs.x}}` in a command must be an input, unless it stands in `$[[…]]`. */
export function checkInputsUsed(
  context: Context,
  text: string,
  inputs: ReadonlyMap<string, unknown>,
  place: Place,
  where: string,
): void {
  const optional = new Set([...text.matchAll(/\[[\w.\s-]*\$\{\{inputs\.([\w.-]+)\}\}\]/g)].map((match) => match[1]));
  for (const match of text.matchAll(/\$\{\{inputs\.([\w.-]+)\}\}/g)) {
    const name = match[1] ?? '';
    if (inputs.has(name) || optional.has(name)) continue;
    context.problems.add(
      place,
      `The ${where} uses \${{inputs.${name}}}, but there is no input ${name}.`,
      inputs.size > 0 ? [...inputs.keys()].join(', ') : 'inputs declared under inputs:',
    );
  }
}
