/** Sweeps: trials as child runs, the best one by a metric that they log. */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { latestMetric } from '../runs/metrics.js';
import { newRun, type RunRecord } from '../runs/record.js';
import { execute, type Shared } from './execute.js';
import { readPolicy, type Policy } from './early.js';
import { addChild, amend, enter, finish, stoppable } from './life.js';
import { asObject, asText, either, type Json } from './json.js';
import { PipelineLog } from './pipeline-log.js';
import { points, readSearchSpace } from './search.js';
import { Termination } from './termination.js';
import { seconds } from './text.js';
import {
  Canceled,
  JobFailure,
  type CommandSpec,
  type InputValue,
  type OutputTarget,
  type RunOutcome,
  type Task,
} from './types.js';

export interface SweepSpec {
  trial: CommandSpec;
  space: ReturnType<typeof readSearchSpace>;
  algorithm: string;
  seed: string;
  metric: string;
  maximize: boolean;
  maxTrials: number;
  atOnce: number;
  /** Seconds for the whole sweep. */
  timeout?: number;
  policy?: Policy;
}

/** Reads a sweep from a standalone job's properties or a pipeline node (either casing). @throws ServiceError 400, 501 */
export function readSweep(source: Json, trial: CommandSpec, name: string): SweepSpec {
  const member = (key: string): unknown => either(source, key);
  const sampling = member('sampling_algorithm');
  const algorithm = (
    typeof sampling === 'string'
      ? sampling
      : (asText(either(asObject(sampling), 'sampling_algorithm_type')) ?? asText(asObject(sampling)['type']) ?? 'random')
  ).toLowerCase();
  const objective = asObject(member('objective'));
  const limits = asObject(member('limits'));
  const limit = (key: string): string | undefined => asText(either(limits, key));
  const trialTimeout = limit('trial_timeout');
  const timeout = limit('timeout');
  const space = readSearchSpace(asObject(member('search_space')));
  const policy = readPolicy(member('early_termination'));
  // Refusals of the algorithm come now, at submission, not with the first trial.
  points(space, algorithm, '').next();
  const timed = trialTimeout === undefined ? trial : { ...trial, timeout: seconds(trialTimeout) };
  return {
    trial: timed,
    space,
    algorithm,
    seed: asText(asObject(sampling)['seed']) ?? name,
    metric: asText(either(objective, 'primary_metric')) ?? '',
    maximize: (asText(objective['goal']) ?? 'minimize').toLowerCase() === 'maximize',
    maxTrials: Number(limit('max_total_trials') ?? 100) || 100,
    atOnce: Number(limit('max_concurrent_trials') ?? 0) || Number(limit('max_total_trials') ?? 4) || 4,
    ...(policy && { policy }),
    ...(timeout !== undefined && { timeout: seconds(timeout) }),
  };
}

/**
 * Runs the trials of a sweep below `task.run`.
 * @returns the outputs of the best trial
 * @throws JobFailure when no trial completed · Canceled
 */
export async function runSweep(
  task: Task,
  shared: Shared,
  sweep: SweepSpec,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
): Promise<RunOutcome> {
  const { tree, run } = task;
  await enter(task, 'Running', (record) => {
    record.primaryMetric = sweep.metric;
  });
  const log = new PipelineLog(task, 'azureml-logs/hyperdrive.txt');
  log.add(`Sweep '${run.displayName}': at most ${sweep.maxTrials} trials, ${sweep.algorithm} sampling.`);
  const over = new AbortController();
  const timer =
    sweep.timeout === undefined
      ? undefined
      : setTimeout(() => {
          over.abort();
        }, sweep.timeout * 1000);
  const signal = AbortSignal.any([task.signal, over.signal]);
  setMaxListeners(0, signal);
  const source = points(sweep.space, sweep.algorithm, sweep.seed);
  const done: Trial[] = [];
  let started = 0;
  const judges = sweep.policy && new Termination(task, sweep.metric, sweep.maximize, sweep.policy, log);
  const worker = async (): Promise<void> => {
    while (started < sweep.maxTrials && !signal.aborted) {
      const next = source.next();
      if (next.done) return;
      const runId = `${run.runId}_${started++}`;
      log.add(`Trial ${runId} starts with ${JSON.stringify(Object.fromEntries(next.value))}.`);
      judges?.begin(runId);
      const trial = await runTrial(task, shared, sweep, runId, next.value, inputs, targets, signal);
      judges?.end(runId);
      log.add(`Trial ${runId} ended as ${trial.run.status}${trial.value === undefined ? '' : ` with ${trial.value}`}.`);
      done.push(trial);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(sweep.atOnce, sweep.maxTrials) }, worker));
  } finally {
    clearTimeout(timer);
    await judges?.stop();
  }
  if (over.signal.aborted)
    log.add(`The sweep ran longer than its limit of ${sweep.timeout} seconds and is cancelled with its trials.`);
  await log.flush();
  if (over.signal.aborted)
    await amend(
      tree,
      run.runId,
      (record) => (record.cancelReason ??= `The sweep ran longer than its limit of ${sweep.timeout} seconds.`),
    );
  if (signal.aborted) throw new Canceled();
  const completed = done.filter(({ outcome }) => outcome !== undefined);
  if (completed.length === 0) {
    const first = done.find(({ failure }) => failure instanceof JobFailure)?.failure as JobFailure | undefined;
    throw new JobFailure(`No trial of the sweep completed (${done.length} tried).${first ? ` ${first.message}` : ''}`);
  }
  const better = (a: number, b: number): boolean => (sweep.maximize ? a > b : a < b);
  let best = completed.find(({ value }) => value !== undefined);
  for (const trial of completed)
    if (trial.value !== undefined && best?.value !== undefined && better(trial.value, best.value)) best = trial;
  await enter(task, 'Finalizing', (record) => {
    if (!best) record.warnings.push(`No trial logged the metric '${sweep.metric}'.`);
    else {
      record.properties['best_child_run_id'] = best.run.runId;
      record.properties['score'] = String(best.value);
      record.properties['best_metric_status'] = 'Succeeded';
      record.tags['best_child_run_id'] = best.run.runId;
    }
  });
  const outcome = (best ?? completed[0])?.outcome ?? { outputs: new Map() };
  await amend(tree, run.runId, (record) => {
    record.outputs = { ...((best ?? completed[0])?.run.outputs ?? {}) };
  });
  return outcome;
}

interface Trial {
  run: RunRecord;
  /** Of a trial that completed. */
  outcome?: RunOutcome;
  /** Last value of the primary metric. */
  value?: number;
  failure?: unknown;
}

async function runTrial(
  task: Task,
  shared: Shared,
  sweep: SweepSpec,
  runId: string,
  point: Map<string, string>,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
  signal: AbortSignal,
): Promise<Trial> {
  const { tree } = task;
  const { ctx, ws } = tree;
  const parameters = Object.fromEntries(point);
  const stop = stoppable(tree, runId, signal);
  const child = await addChild(
    tree,
    newRun(
      {
        runId,
        runUuid: randomUUID(),
        workspace: ws.guid,
        rootRunId: tree.rootRunId,
        parentRunId: task.run.runId,
        experimentId: task.run.experimentId,
        experimentName: task.run.experimentName,
        createdBy: task.run.createdBy,
        kind: 'Trial',
        displayName: `${task.run.displayName}_${runId.slice(task.run.runId.length + 1)}`,
        tags: { hyperparameters: JSON.stringify(parameters) },
        properties: { 'azureml.runsource': 'azureml.scriptrun' },
        ...(task.compute !== undefined && { target: task.compute }),
      },
      ctx.clock.now(),
    ),
  );
  const trial: Task = { ...task, run: child, signal: stop.signal };
  // Search-space values are also inputs of the same name: components read them as `${{inputs.x}}`.
  const all = new Map<string, InputValue>([
    ...inputs,
    ...[...point].map(([name, text]) => [name, { kind: 'literal', text }] as const),
  ]);
  try {
    const outcome = await execute(trial, shared, { ...sweep.trial, searchSpace: point }, all, targets);
    const ended = await finish(tree, child.runId, { status: 'Completed' });
    if (ended?.status === 'Canceled') return { run: ended };
    const value = latestMetric(ctx.store, ws.guid, child.runId, sweep.metric)?.value;
    return { run: ended ?? child, outcome, ...(value !== undefined && !Number.isNaN(value) && { value }) };
  } catch (failure) {
    const canceled = failure instanceof Canceled || stop.signal.aborted;
    const known = failure instanceof JobFailure;
    const ended = await finish(
      tree,
      child.runId,
      canceled ? { status: 'Canceled' } : { status: 'Failed', ...(known && { error: failure.error }) },
    );
    if (!known && !canceled) throw failure;
    return { run: ended ?? child, failure };
  } finally {
    stop.forget();
  }
}
