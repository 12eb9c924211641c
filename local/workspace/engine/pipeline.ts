/** Pipelines: each node starts as soon as what it is bound to is there. */
import { randomBytes, randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { tree as runsOf } from '../runs/access.js';
import { newRun, type RunRecord } from '../runs/record.js';
import { execute, type Shared } from './execute.js';
import { addChild, amend, enter, finish, stoppable } from './life.js';
import { PipelineLog } from './pipeline-log.js';
import { computeOf, nodeInputs, nodeTargets, settingsOf, type Level, type PipelineSettings } from './level.js';
import { parallelCommand } from './parallel.js';
import { asObject, asText, either } from './json.js';
import { type NodePlan, type PipelinePlan } from './plan.js';
import { findReusable, rememberReusable, reuseKey } from './reuse.js';
import { readSweep, runSweep } from './sweep.js';
import { seconds } from './text.js';
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
import { historyType } from './uris.js';
import { guidOf } from './describe.js';

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
  setMaxListeners(0, signal);
  const level: Level = { task: { ...task, signal }, shared, plan, inputs, targets, settings, done: new Map() };
  await enter(task, 'Running', (record) => {
    if (record.kind === 'Pipeline') record.properties[stages] = stagesText(record, 'Running');
  });
  let failed = 0;
  let canceled = 0;
  const log = new PipelineLog(task);
  log.add(`Running ${plan.nodes.length} steps.`);
  let broken: unknown;
  const last = plan.nodes.find(({ name }) => name === settings.onFinalize);
  const nodes = plan.nodes.filter((node) => node !== last);
  const first = nodes.some(({ name }) => name === settings.onInit) ? settings.onInit : undefined;
  const waiting = new Map<string, number>();
  const dependents = new Map<string, NodePlan[]>();
  for (const node of nodes) {
    const needs = new Set(first === undefined || node.name === first ? node.dependsOn : [first, ...node.dependsOn]);
    waiting.set(node.name, needs.size);
    for (const needed of needs) dependents.set(needed, [...(dependents.get(needed) ?? []), node]);
  }
  const run = async (at: Level, begin: NodePlan[]): Promise<void> => {
    if (begin.length === 0) return;
    await new Promise<void>((resolve) => {
      runFrom(at, begin, resolve);
    });
  };
  const runFrom = (at: Level, begin: NodePlan[], resolve: () => void): void => {
    let running = 0;
    const start = (node: NodePlan): void => {
      running++;
      log.add(`Starting step '${node.name}'.`);
      void runNode(at, node)
        .then(
          (outcome) => {
            level.done.set(node.name, outcome);
            log.add(`Step '${node.name}' completed.`);
            for (const next of dependents.get(node.name) ?? []) {
              const left = (waiting.get(next.name) ?? 0) - 1;
              waiting.set(next.name, left);
              if (left === 0 && !signal.aborted) start(next);
            }
          },
          (error: unknown) => {
            if (!(error instanceof JobFailure) && !(error instanceof Canceled)) broken ??= error;
            if (error instanceof Canceled) canceled++;
            else failed++;
            log.add(
              error instanceof Canceled ? `Step '${node.name}' was canceled.` : `Step '${node.name}' failed: ${firstLine(error)}`,
            );
            if (!settings.continueOnStepFailure || broken !== undefined) stop.abort();
          },
        )
        .finally(() => {
          if (--running === 0) resolve();
        });
    };
    for (const node of begin) start(node);
  };
  await run(
    level,
    nodes.filter(({ name }) => waiting.get(name) === 0),
  );
  if (last && !task.signal.aborted && broken === undefined) await run({ ...level, task }, [last]);
  await log.flush();
  if (broken !== undefined) throw broken as Error;
  if (task.signal.aborted) throw new Canceled();
  if (failed > 0)
    throw new JobFailure('Pipeline has some failed steps. See child run or execution logs for more details.', 'UserError', {
      innerCode: 'PipelineStepsFailed',
    });
  if (canceled > 0) throw new Canceled(); // a step of its own
  if (task.run.kind === 'Pipeline') await settle(task);
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

/** Seconds that a pipeline takes although every step is reused (azure-ml-observed.md §1 and "Durations": 1 to 3). Until then it can be cancelled. */
const reusedSeconds = 2;

/** Lets a job of which nothing ran take its time: a client that submits and cancels finds it running, as with the service. @throws Canceled */
async function settle({ tree, run, signal }: Task): Promise<void> {
  const left = Date.parse(run.createdAt) + reusedSeconds * 1000 - tree.ctx.clock.now().getTime();
  if (left <= 0) return;
  const steps = runsOf(tree.ctx.store, tree.ws.guid, run.runId).filter(({ properties }) => 'StepType' in properties);
  if (steps.some(({ properties }) => properties['azureml.isreused'] !== 'true')) return;
  await sleep(left, undefined, { signal }).catch(() => undefined);
  if (signal.aborted) throw new Canceled();
}

const stages = 'azureml.pipelines.stages';

/** The stages of a pipeline as the service tells them in a property: one, the execution. */
function stagesText(run: RunRecord, status: 'Running' | 'Finished' | 'Failed' | 'Canceled'): string {
  const time = (iso: string | undefined): string | undefined => iso?.replace(/Z$/, '+00:00');
  return JSON.stringify({
    Initialization: null,
    Execution: { StartTime: time(run.startedAt), EndTime: time(run.endedAt), Status: status },
  });
}

/** Writes the end of a pipeline into its stages. */
export function endStages(run: RunRecord): void {
  if (run.kind !== 'Pipeline' || run.properties[stages] === undefined) return;
  run.properties[stages] = stagesText(
    run,
    run.status === 'Completed' ? 'Finished' : run.status === 'Failed' ? 'Failed' : 'Canceled',
  );
}

const firstLine = (error: unknown): string => (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? '';

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
      status: 'Preparing',
      nodeName: node.name,
      displayName: asText(node.node['display_name']) ?? node.name,
      componentName: node.component.name,
      tags: { 'azureml.nodeid': nodeId, 'azureml.pipeline': tree.rootRunId },
      properties: {
        'azureml.DevPlatv2': 'true',
        ...(leaf && {
          ContentSnapshotId: guidOf(asText(node.component.spec['code']) ?? ''),
          StepType: 'PythonScriptStep',
          ComputeTargetType: 'AmlCompute',
        }),
        'azureml.moduleid': guidOf(node.component.id),
        'azureml.moduleName': node.component.name,
        'azureml.moduleVersion': node.component.name === 'azureml_anonymous' ? '1' : node.component.version,
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
  const step = newStep(level, node, compute);
  const { signal, forget } = stoppable(tree, step.runId, level.task.signal);
  const run = await addChild(tree, step);
  const task: Task = { ...level.task, run, compute, signal };
  try {
    if (signal.aborted) throw new Canceled(); // between the choice of this step and its record
    const { outcome, key } = await perform(level, node, task);
    const ended = await finish(tree, run.runId, { status: 'Completed' }, (tx) => {
      if (key !== undefined) rememberReusable(tx, tree.ws.guid, key, run.runId, outcome.outputs);
    });
    if (ended?.status === 'Canceled') throw new Canceled();
    return outcome;
  } catch (error) {
    const canceled = error instanceof Canceled || (task.signal.aborted && !(error instanceof JobFailure));
    const failure =
      error instanceof JobFailure
        ? error.error
        : { code: 'ServiceError', message: error instanceof Error ? error.message : String(error) };
    const ended = await finish(tree, run.runId, canceled ? { status: 'Canceled' } : { status: 'Failed', error: failure });
    throw ended?.status === 'Failed' ? error : new Canceled();
  } finally {
    forget();
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
  const pending = reuseKey(task.tree, spec, inputs, targets);
  pending.catch(() => undefined); // awaited below
  const known = settings.forceRerun ? undefined : await pending;
  const earlier = known === undefined ? undefined : findReusable(task.tree.ctx.store, task.tree.ws.guid, known);
  if (earlier) return { outcome: await reuse(task, earlier) };
  const outcome = await execute(task, shared, spec, inputs, targets);
  const key = await pending;
  return { outcome, ...(key !== undefined && { key }) };
}

/** Shows a step as reused (azure-ml-observed.md §2). */
async function reuse(task: Task, earlier: { run: RunRecord; outputs: Map<string, DataValue> }): Promise<RunOutcome> {
  const from = earlier.run;
  await amend(task.tree, task.run.runId, (record) => {
    record.startedAt = task.tree.ctx.clock.now().toISOString();
    record.dataContainerId = from.dataContainerId;
    record.logFiles = from.logFiles;
    record.outputs = from.outputs;
    if (from.definition) record.definition = from.definition;
    const status = from.tags['_aml_system_ComputeTargetStatus'];
    if (status !== undefined) record.tags['_aml_system_ComputeTargetStatus'] = status;
    record.properties = {
      'azureml.isreused': 'true',
      'azureml.reusedrunid': from.runId,
      'azureml.reusednodeid': from.properties['azureml.nodeid'] ?? '',
      'azureml.reusedpipeline': from.rootRunId,
      'azureml.reusedpipelinerunid': from.parentRunId ?? from.rootRunId,
      ...record.properties,
      ...Object.fromEntries(
        ['ProcessInfoFile', 'ProcessStatusFile'].flatMap((name) => {
          const file = from.properties[name];
          return file === undefined ? [] : [[name, file]];
        }),
      ),
    };
  });
  return { outputs: earlier.outputs };
}
