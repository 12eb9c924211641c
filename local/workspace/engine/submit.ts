/** A job body checked and read into what the engine runs. Nothing is written and nothing started: a job that is refused leaves no trace. */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { compute } from '../arm/computes.js';
import { ServiceError } from '../errors.js';
import { settingsOf, type PipelineSettings } from './level.js';
import { runPipeline } from './pipeline.js';
import { execute, type Shared } from './execute.js';
import { asObject, asText, either, type Json } from './json.js';
import { checkCommand, checkOneMachine, checkPath, instanceCount, notRunnable } from './checks.js';
import { findComponent, planPipeline, type PipelinePlan } from './plan.js';
import { readSweep, runSweep, type SweepSpec } from './sweep.js';
import { expressionsOf, seconds } from './text.js';
import type { CommandSpec, InputValue, OutputTarget, RunOutcome, Task } from './types.js';
import { lastSegment } from './uris.js';

/** A job that may be run. */
export interface Submission {
  kind: 'Command' | 'Pipeline' | 'Sweep';
  /** Name of the compute; undefined = serverless. */
  compute: string | undefined;
  /** `azureml.continue_on_step_failure` and friends (pipelines). */
  settings?: PipelineSettings;
  run(task: Task, shared: Shared): Promise<RunOutcome>;
}

/** Name of a compute from its ARM id or short name; undefined for serverless and for bindings. @throws ServiceError 400 unknown compute */
function checkCompute(ctx: Ctx, ws: WorkspaceRecord, computeId: string | undefined, where: string): string | undefined {
  if (computeId === undefined || computeId === '' || computeId.includes('${{')) return undefined;
  const name = lastSegment(computeId.replace(/^azureml:/, ''));
  if (/^serverless$/i.test(name)) return undefined;
  if (compute(ctx, ws, name)) return name;
  // Worded so in Azure/AML-Kubernetes#118.
  throw new ServiceError(400, 'UserError', `Unknown compute target '${name}'.`, {
    target: where,
    inner: ['BadArgument', 'ArgumentInvalid'],
  });
}

/** Values of the job's own inputs. */
function jobInputs(properties: Json): Map<string, InputValue> {
  const values = new Map<string, InputValue>();
  for (const [name, raw] of Object.entries(asObject(properties['inputs']))) {
    const input = asObject(raw);
    const type = (asText(input['jobInputType']) ?? 'literal').toLowerCase();
    const uri = asText(input['uri']);
    const mode = asText(input['mode']);
    checkPath(uri, `inputs.${name}`);
    if (type === 'literal' || uri === undefined) values.set(name, { kind: 'literal', text: asText(input['value']) });
    else values.set(name, { kind: 'data', uri, type, ...(mode !== undefined && { mode }) });
  }
  return values;
}

/** Where the job's outputs go. `default` is the service's own (artifacts), not an output of the job. */
function jobTargets(properties: Json): Map<string, OutputTarget> {
  const targets = new Map<string, OutputTarget>();
  for (const [name, raw] of Object.entries(asObject(properties['outputs']))) {
    const output = asObject(raw);
    const uri = asText(output['uri']);
    if (name === 'default' && (uri === undefined || /workspaceartifactstore/i.test(uri))) continue;
    checkPath(uri, `outputs.${name}`);
    const mode = asText(output['mode']);
    const assetName = asText(output['assetName']);
    const assetVersion = asText(output['assetVersion']);
    targets.set(name, {
      type: (asText(output['jobOutputType']) ?? 'uri_folder').toLowerCase(),
      ...(uri !== undefined && { uri }),
      ...(mode !== undefined && { mode }),
      ...(assetName !== undefined && { assetName }),
      ...(assetVersion !== undefined && { assetVersion }),
    });
  }
  return targets;
}

function variablesOf(source: Json): Record<string, string> {
  return Object.fromEntries(
    Object.entries(asObject(source['environmentVariables'])).map(([name, value]) => [name, asText(value) ?? '']),
  );
}

function checkNames(command: string, inputs: Map<string, InputValue>, targets: Map<string, OutputTarget>, space: Json): void {
  for (const name of expressionsOf(command)) {
    const [context = '', ...path] = name.split('.');
    const key = path.join('.');
    const known =
      context === 'inputs'
        ? inputs.has(key)
        : context === 'outputs'
          ? targets.has(key)
          : context === 'search_space' && key in space;
    if (!known)
      throw new ServiceError(400, 'UserError', `\${{${name}}} in the command names nothing that the job has.`, {
        target: 'command',
        inner: ['BadArgument'],
      });
  }
}

async function commandSubmission(ctx: Ctx, ws: WorkspaceRecord, properties: Json): Promise<Submission> {
  const command = asText(properties['command']) ?? '';
  if (command.trim() === '')
    throw new ServiceError(400, 'UserError', 'The job has no command.', { target: 'command', inner: ['BadArgument'] });
  checkOneMachine(properties, 'The job', instanceCount({}, properties));
  const target = checkCompute(ctx, ws, asText(properties['computeId']), 'computeId');
  const inputs = jobInputs(properties);
  const targets = jobTargets(properties);
  checkNames(command, inputs, targets, {});
  const code = asText(properties['codeId']);
  const environmentId = asText(properties['environmentId']);
  await checkCommand(ctx, ws, 'The job', { environment: environmentId, code });
  const timeout = asText(asObject(properties['limits'])['timeout']);
  const spec: CommandSpec = {
    command,
    environmentId: environmentId ?? '',
    environmentVariables: variablesOf(properties),
    ...(code !== undefined && { codeId: code }),
    ...(timeout !== undefined && { timeout: seconds(timeout) }),
  };
  return { kind: 'Command', compute: target, run: (task, shared) => execute(task, shared, spec, inputs, targets) };
}

async function sweepSubmission(ctx: Ctx, ws: WorkspaceRecord, properties: Json, name: string): Promise<Submission> {
  const trial = asObject(properties['trial']);
  checkOneMachine(trial, 'The trial', instanceCount(properties, trial));
  const target = checkCompute(ctx, ws, asText(properties['computeId']), 'computeId');
  const inputs = jobInputs(properties);
  const targets = jobTargets(properties);
  const command = asText(trial['command']) ?? '';
  checkNames(command, inputs, targets, asObject(properties['searchSpace']));
  const code = asText(trial['codeId']);
  const environmentId = asText(trial['environmentId']);
  await checkCommand(ctx, ws, 'The trial', { environment: environmentId, code });
  const spec: CommandSpec = {
    command,
    environmentId: environmentId ?? '',
    environmentVariables: variablesOf(trial),
    ...(code !== undefined && { codeId: code }),
  };
  const sweep: SweepSpec = readSweep(properties, spec, name);
  return { kind: 'Sweep', compute: target, run: (task, shared) => runSweep(task, shared, sweep, inputs, targets) };
}

async function pipelineSubmission(ctx: Ctx, ws: WorkspaceRecord, properties: Json): Promise<Submission> {
  const target = checkCompute(ctx, ws, asText(properties['computeId']), 'computeId');
  const own = asObject(properties['settings']);
  checkCompute(ctx, ws, asText(own['default_compute']) ?? asText(own['defaultCompute']), 'settings.default_compute');
  const inputs = jobInputs(properties);
  const targets = jobTargets(properties);
  const check = (computeId: string, where: string): void => void checkCompute(ctx, ws, computeId, where);
  const componentId = asText(properties['componentId']);
  let plan: PipelinePlan;
  if (componentId !== undefined && Object.keys(asObject(properties['jobs'])).length === 0) {
    const { spec } = findComponent(ctx, ws, componentId);
    if ((asText(spec['type']) ?? '') !== 'pipeline')
      throw notRunnable(asText(spec['type']) ?? 'unknown', 'a pipeline job made of this component');
    const declared = {
      inputs: asObject(spec['inputs']) as Record<string, Json>,
      outputs: asObject(spec['outputs']) as Record<string, Json>,
    };
    plan = await planPipeline({ ctx, ws, checkCompute: check }, asObject(spec['jobs']), declared);
  } else {
    const outputs = asObject(properties['outputs']) as Record<string, Json>;
    plan = await planPipeline({ ctx, ws, checkCompute: check }, asObject(properties['jobs']), { inputs: {}, outputs });
  }
  if (plan.nodes.length === 0)
    throw new ServiceError(400, 'UserError', 'The pipeline has no steps.', { target: 'jobs', inner: ['BadArgument'] });
  for (const member of ['on_init', 'on_finalize']) {
    const name = asText(either(own, member));
    const node = plan.nodes.find((one) => one.name === name);
    if (name !== undefined && (!node || node.dependsOn.length > 0 || plan.nodes.some((one) => one.dependsOn.includes(name))))
      throw new ServiceError(400, 'UserError', `settings.${member} names '${name}', which is not a step that stands alone.`, {
        target: `settings.${member}`,
        inner: ['BadArgument'],
      });
  }
  const settings = settingsOf(own, { continueOnStepFailure: componentId !== undefined, forceRerun: false }, target);
  return {
    kind: 'Pipeline',
    compute: target,
    settings,
    run: (task, shared) => runPipeline(task, shared, plan, inputs, targets, settings),
  };
}

/**
 * Reads a job body.
 * @throws ServiceError 400 what is wrong with it · 404 what it names and is not there · 501 what cannot be run here, by name
 */
export async function readSubmission(ctx: Ctx, ws: WorkspaceRecord, name: string, properties: Json): Promise<Submission> {
  const type = asText(properties['jobType']) ?? '';
  switch (type.toLowerCase()) {
    case 'command':
      return commandSubmission(ctx, ws, properties);
    case 'pipeline':
      return pipelineSubmission(ctx, ws, properties);
    case 'sweep':
      return sweepSubmission(ctx, ws, properties, name);
    case 'automl':
    case 'spark':
    case 'finetuning':
      throw notRunnable(type.toLowerCase(), `jobs of type ${type}`);
    default:
      throw new ServiceError(400, 'UserError', `Job type '${type}' is not known.`, { target: 'jobType', inner: ['BadArgument'] });
  }
}
