/** Pipelines: each node starts as soon as what it is bound to is there. */
import { randomBytes, randomUUID } from 'node:crypto';
import { newRun, type RunRecord } from '../runs/record.js';
import { execute, type Shared } from './execute.js';
import { addChild, amend, enter, finish } from './life.js';
import { parallelCommand } from './parallel.js';
import { asObject, asText, either, type Json, type NodePlan, type PipelinePlan } from './plan.js';
import { findReusable, rememberReusable, reuseKey } from './reuse.js';
import { readSweep, runSweep } from './sweep.js';
import { fillParentInputs, parseBinding, seconds } from './text.js';
import {
  Canceled,
  JobFailure,
  type CommandSpec,
  type DataValue,
  type InputValue,
  type OutputTarget,
  type RunOutcome,
  type Task,
} from './types.js';
import { historyType, lastSegment } from './uris.js';

export interface PipelineSettings {
  defaultCompute?: string;
  continueOnStepFailure: boolean;
  forceRerun: boolean;
}

/** Everything one level of a pipeline needs while it runs. */
interface Level {
  task: Task;
  shared: Shared;
  plan: PipelinePlan;
  inputs: ReadonlyMap<string, InputValue>;
  targets: ReadonlyMap<string, OutputTarget>;
  settings: PipelineSettings;
  /** Outputs of nodes that completed. */
  done: Map<string, RunOutcome>;
}

const literalText = (inputs: ReadonlyMap<string, InputValue>): Map<string, string | undefined> =>
  new Map([...inputs].flatMap(([name, value]) => (value.kind === 'literal' ? [[name, value.text] as const] : [])));

/**
 * Runs the nodes of a pipeline below `task.run`, up to (not including) its end state.
 * @throws JobFailure when a step failed · Canceled
 */
export async function runPipeline(
  task: Task,
  shared: Shared,
  plan: PipelinePlan,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
  settings: PipelineSettings,
): Promise<RunOutcome> {
  const stop = new AbortController();
  const signal = AbortSignal.any([task.signal, stop.signal]);
  const level: Level = { task: { ...task, signal }, shared, plan, inputs, targets, settings, done: new Map() };
  await enter(task, 'Running');
  const failed: string[] = [];
  let broken: unknown;
  const waiting = new Map(plan.nodes.map((node) => [node.name, node.dependsOn.length]));
  const dependents = new Map<string, NodePlan[]>();
  for (const node of plan.nodes)
    for (const needed of node.dependsOn) dependents.set(needed, [...(dependents.get(needed) ?? []), node]);
  await new Promise<void>((resolve) => {
    let running = 0;
    const start = (node: NodePlan): void => {
      running++;
      void runNode(level, node)
        .then(
          (outcome) => {
            level.done.set(node.name, outcome);
            for (const next of dependents.get(node.name) ?? []) {
              const left = (waiting.get(next.name) ?? 0) - 1;
              waiting.set(next.name, left);
              if (left === 0 && !signal.aborted) start(next);
            }
          },
          (error: unknown) => {
            if (!(error instanceof JobFailure) && !(error instanceof Canceled)) broken ??= error;
            failed.push(node.name);
            if (!settings.continueOnStepFailure || broken !== undefined) stop.abort();
          },
        )
        .finally(() => {
          if (--running === 0) resolve();
        });
    };
    for (const node of plan.nodes) if (node.dependsOn.length === 0) start(node);
    if (running === 0) resolve();
  });
  if (broken !== undefined) throw broken as Error;
  if (task.signal.aborted) throw new Canceled();
  if (failed.length > 0)
    throw new JobFailure('Pipeline has some failed steps. See child run or execution logs for more details.', 'UserError', {
      innerCode: 'PipelineStepsFailed',
    });
  await enter(task, 'Finalizing');
  const outputs = pipelineOutputs(level);
  await amend(task.tree, task.run.runId, (record) => {
    const { ws } = task.tree;
    for (const [name, value] of outputs)
      record.outputs[name] = {
        assetId: `azureml://locations/${ws.location}/workspaces/${ws.guid}/data/azureml_${record.runId}_output_data_${name}/versions/1`,
        type: historyType(value.type),
        uri: value.uri,
      };
  });
  return { outputs };
}

/** A pipeline's outputs are those of the nodes that are bound to them. */
function pipelineOutputs(level: Level): Map<string, DataValue> {
  const found = new Map<string, DataValue>();
  for (const node of level.plan.nodes)
    for (const [name, output] of Object.entries(node.outputs)) {
      const value = level.done.get(node.name)?.outputs.get(name);
      if (output.parentOutput !== undefined && value) found.set(output.parentOutput, value);
    }
  return found;
}

/** Values of a node's inputs: bound, given, or the component's default. */
function nodeInputs(level: Level, node: NodePlan): Map<string, InputValue> {
  const declared = asObject(node.component.spec['inputs']);
  const values = new Map<string, InputValue>();
  const typeOf = (name: string): string => (asText(asObject(declared[name])['type']) ?? '').toLowerCase();
  const isData = (type: string): boolean => /^(uri_file|uri_folder|mltable|\w+_model)$/.test(type);
  const modeOf = (name: string, own?: string): { mode?: string } => {
    const mode = own ?? asText(asObject(declared[name])['mode']);
    return mode === undefined ? {} : { mode: mode.replaceAll('_', '') };
  };
  for (const [name, input] of Object.entries(node.inputs)) {
    let value: InputValue = input.data ? { kind: 'data', ...input.data } : bound(level, node, input.binding, input.text);
    // Text where the component wants data is a reference.
    if (value.kind === 'literal' && isData(typeOf(name)) && value.text)
      value = { kind: 'data', uri: value.text, type: typeOf(name) };
    values.set(name, value.kind === 'data' ? { ...value, ...modeOf(name, input.mode ?? value.mode) } : value);
  }
  for (const [name, declaration] of Object.entries(declared)) {
    if (values.has(name) || [...values.keys()].some((key) => key.startsWith(`${name}.`))) continue;
    const fallback = asText(asObject(declaration)['default']);
    const optional = /^true$/i.test(asText(asObject(declaration)['optional']) ?? '');
    if (fallback === undefined && !optional && typeOf(name) !== '' && !(name in asObject(either(node.node, 'search_space'))))
      throw new JobFailure(`Node '${node.name}': the required input '${name}' has no value.`);
    values.set(name, { kind: 'literal', text: fallback });
  }
  return values;
}

function bound(
  level: Level,
  node: NodePlan,
  binding: NodePlan['inputs'][string]['binding'],
  text: string | undefined,
): InputValue {
  if (!binding)
    return { kind: 'literal', text: text === undefined ? undefined : fillParentInputs(text, literalText(level.inputs)) };
  if (binding.kind === 'parentInput') {
    const value = level.inputs.get(binding.name);
    if (value) return value;
    const fallback = asText(asObject(level.plan.inputs[binding.name])['default']);
    return { kind: 'literal', text: fallback };
  }
  if (binding.kind === 'nodeOutput') {
    const value = level.done.get(binding.node)?.outputs.get(binding.name);
    if (value) return value;
    throw new JobFailure(
      `Node '${node.name}' is bound to output '${binding.name}' of '${binding.node}', which has none of that name.`,
    );
  }
  if (binding.kind === 'nodeInput') {
    const source = level.plan.nodes.find(({ name }) => name === binding.node);
    const value = source && nodeInputs(level, source).get(binding.name);
    if (value) return value;
  }
  throw new JobFailure(`Node '${node.name}' has a binding that means nothing here.`);
}

/** Where a node's outputs go: its own words, else those of the pipeline output it is bound to, else the default place. */
function nodeTargets(level: Level, node: NodePlan): Map<string, OutputTarget> {
  const declared = asObject(node.component.spec['outputs']);
  const targets = new Map<string, OutputTarget>();
  for (const name of new Set([...Object.keys(declared), ...Object.keys(node.outputs)])) {
    const own = node.outputs[name] ?? {};
    const upper = own.parentOutput === undefined ? undefined : level.targets.get(own.parentOutput);
    const spec = asObject(declared[name]);
    const mode = own.mode ?? upper?.mode ?? asText(spec['mode'])?.replaceAll('_', '');
    const uri = own.uri ?? upper?.uri;
    const assetName = own.assetName ?? upper?.assetName;
    const assetVersion = own.assetVersion ?? upper?.assetVersion;
    targets.set(name, {
      type: (own.type ?? asText(spec['type']) ?? upper?.type ?? 'uri_folder').toLowerCase(),
      ...(mode !== undefined && { mode }),
      ...(uri !== undefined && { uri }),
      ...(assetName !== undefined && { assetName }),
      ...(assetVersion !== undefined && { assetVersion }),
    });
  }
  return targets;
}

function computeOf(level: Level, node: NodePlan): string | undefined {
  const own = node.computeId === undefined ? undefined : fillParentInputs(node.computeId, literalText(level.inputs));
  const bindingLeft = own !== undefined && parseBinding(own) !== undefined;
  const chosen = own !== undefined && !bindingLeft && own !== '' ? own : (level.settings.defaultCompute ?? level.task.compute);
  return chosen === undefined ? undefined : lastSegment(chosen.replace(/^azureml:/, ''));
}

/** The command of a command node (or the trial of a sweep node). */
function commandSpec(node: NodePlan): CommandSpec {
  const { spec } = node.component;
  const limits = { ...asObject(spec['limits']), ...asObject(node.node['limits']) };
  const timeout = asText(limits['timeout']);
  const code = asText(spec['code']);
  const variables: Record<string, string> = {};
  for (const source of [spec['environment_variables'], either(node.node, 'environment_variables')])
    for (const [name, value] of Object.entries(asObject(source))) variables[name] = asText(value) ?? '';
  return {
    command: asText(spec['command']) ?? '',
    environmentId: asText(spec['environment']) ?? '',
    environmentVariables: variables,
    volatile: /^false$/i.test(asText(spec['is_deterministic']) ?? ''),
    ...(code !== undefined && { codeId: code }),
    ...(timeout !== undefined && { timeout: seconds(timeout) }),
  };
}

function newStep(level: Level, node: NodePlan, compute: string | undefined): RunRecord {
  const { tree, run } = level.task;
  const nodeId = randomBytes(4).toString('hex');
  const leaf = node.type !== 'pipeline';
  return newRun(
    {
      runId: randomUUID(),
      runUuid: randomUUID(),
      workspace: tree.ws.guid,
      rootRunId: tree.rootRunId,
      parentRunId: run.runId,
      experimentId: run.experimentId,
      experimentName: run.experimentName,
      createdBy: run.createdBy,
      kind: 'Step',
      nodeName: node.name,
      displayName: asText(node.node['display_name']) ?? node.name,
      componentName: node.component.name,
      tags: { 'azureml.nodeid': nodeId, 'azureml.pipeline': tree.rootRunId },
      properties: {
        'azureml.DevPlatv2': 'true',
        ...(leaf && { StepType: 'PythonScriptStep', ComputeTargetType: 'AmlCompute' }),
        'azureml.moduleid': lastSegment(node.component.id),
        'azureml.moduleName': node.component.name,
        'azureml.moduleVersion': '1',
        'azureml.runsource': leaf ? 'azureml.StepRun' : 'azureml.PipelineRun',
        'azureml.nodeid': nodeId,
        'azureml.pipelinerunid': run.runId,
        'azureml.pipeline': tree.rootRunId,
        'azureml.pipelineComponent': leaf ? 'masterescloud' : 'pipelinerun',
        ...(leaf && { '_azureml.ComputeTargetType': 'amlctrain' }),
      },
      ...(leaf && compute !== undefined && { target: compute }),
    },
    tree.ctx.clock.now(),
  );
}

async function runNode(level: Level, node: NodePlan): Promise<RunOutcome> {
  const { tree } = level.task;
  const compute = computeOf(level, node);
  const run = await addChild(tree, newStep(level, node, compute));
  const task: Task = { ...level.task, run, compute };
  try {
    const { outcome, key } = await perform(level, node, task);
    await finish(tree, run.runId, { status: 'Completed' }, (tx) => {
      if (key !== undefined) rememberReusable(tx, tree.ws.guid, key, run.runId, outcome.outputs);
    });
    return outcome;
  } catch (error) {
    const canceled = error instanceof Canceled || (task.signal.aborted && !(error instanceof JobFailure));
    const failure =
      error instanceof JobFailure
        ? error.error
        : { code: 'ServiceError', message: error instanceof Error ? error.message : String(error) };
    await finish(tree, run.runId, canceled ? { status: 'Canceled' } : { status: 'Failed', error: failure });
    throw canceled ? new Canceled() : error;
  }
}

async function perform(level: Level, node: NodePlan, task: Task): Promise<{ outcome: RunOutcome; key?: string }> {
  const { settings, shared } = level;
  const inputs = nodeInputs(level, node);
  const targets = nodeTargets(level, node);
  if (node.type === 'pipeline' && node.sub) {
    const own = settingsOf(asObject(node.node['settings']), settings, task.compute);
    return { outcome: await runPipeline(task, shared, node.sub, inputs, targets, own) };
  }
  if (node.type === 'sweep') {
    const sweep = readSweep(node.node, commandSpec(node), task.run.runId);
    return { outcome: await runSweep(task, shared, sweep, inputs, targets) };
  }
  let spec = commandSpec(node);
  if (node.type === 'parallel') {
    const parallel = parallelCommand(node.component, node.node);
    spec = { ...spec, ...parallel.spec, environmentVariables: spec.environmentVariables };
    const cut = inputs.get(parallel.input);
    if (cut?.kind === 'data') inputs.set(parallel.input, { ...cut, mode: 'ReadOnlyMount' });
  }
  const key = await reuseKey(task.tree, spec, inputs, targets);
  const earlier =
    key !== undefined && !settings.forceRerun ? findReusable(task.tree.ctx.store, task.tree.ws.guid, key) : undefined;
  if (earlier) return { outcome: await reuse(task, earlier) };
  return { outcome: await execute(task, shared, spec, inputs, targets), ...(key !== undefined && { key }) };
}

/** Shows a step as reused (azure-ml-observed.md §2). */
async function reuse(task: Task, earlier: { run: RunRecord; outputs: Map<string, DataValue> }): Promise<RunOutcome> {
  const from = earlier.run;
  await amend(task.tree, task.run.runId, (record) => {
    record.startedAt = task.tree.ctx.clock.now().toISOString();
    record.dataContainerId = from.dataContainerId;
    record.logFiles = from.logFiles;
    record.outputs = from.outputs;
    record.properties = {
      'azureml.isreused': 'true',
      'azureml.reusedrunid': from.runId,
      'azureml.reusednodeid': from.properties['azureml.nodeid'] ?? '',
      'azureml.reusedpipeline': from.rootRunId,
      'azureml.reusedpipelinerunid': from.parentRunId ?? from.rootRunId,
      ...record.properties,
    };
  });
  return { outputs: earlier.outputs };
}

/** Settings of a level: its own, else those of the level above. */
export function settingsOf(own: Json, above?: PipelineSettings, compute?: string): PipelineSettings {
  const flag = (name: string, otherwise: boolean): boolean => {
    const text = asText(either(own, name));
    return text === undefined ? otherwise : /^true$/i.test(text);
  };
  const defaultCompute = asText(either(own, 'default_compute')) ?? compute ?? above?.defaultCompute;
  return {
    continueOnStepFailure: flag('continue_on_step_failure', above?.continueOnStepFailure ?? false),
    forceRerun: flag('force_rerun', above?.forceRerun ?? false),
    ...(defaultCompute !== undefined && { defaultCompute }),
  };
}
