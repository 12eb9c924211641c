/** Sweeps: trials as child runs, the best one by a metric that they log. */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { latestMetric } from '../runs/metrics.js';
import { newRun, type RunRecord } from '../runs/record.js';
import { execute, type Shared } from './execute.js';
import { addChild, amend, enter, finish } from './life.js';
import { asObject, asText, either, type Json } from './json.js';
import { points, readSearchSpace } from './search.js';
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
  earlyTermination: boolean;
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
    earlyTermination: member('early_termination') != null,
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
    if (sweep.earlyTermination) record.warnings.push('Early termination is not applied here: every trial runs to its end.');
  });
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
  const done: { run: RunRecord; outcome?: RunOutcome; value?: number; failure?: unknown }[] = [];
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < sweep.maxTrials && !signal.aborted) {
      const next = source.next();
      if (next.done) return;
      done.push(await runTrial(task, shared, sweep, started++, next.value, inputs, targets, signal));
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(sweep.atOnce, sweep.maxTrials) }, worker));
  } finally {
    clearTimeout(timer);
  }
  if (task.signal.aborted) throw new Canceled();
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

async function runTrial(
  task: Task,
  shared: Shared,
  sweep: SweepSpec,
  index: number,
  point: Map<string, string>,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
  signal: AbortSignal,
): Promise<{ run: RunRecord; outcome?: RunOutcome; value?: number; failure?: unknown }> {
  const { tree } = task;
  const { ctx, ws } = tree;
  const parameters = Object.fromEntries(point);
  const child = await addChild(
    tree,
    newRun(
      {
        runId: `${task.run.runId}_${index}`,
        runUuid: randomUUID(),
        workspace: ws.guid,
        rootRunId: tree.rootRunId,
        parentRunId: task.run.runId,
        experimentId: task.run.experimentId,
        experimentName: task.run.experimentName,
        createdBy: task.run.createdBy,
        kind: 'Trial',
        displayName: `${task.run.displayName}_${index}`,
        tags: { hyperparameters: JSON.stringify(parameters) },
        properties: { 'azureml.runsource': 'azureml.scriptrun' },
        ...(task.compute !== undefined && { target: task.compute }),
      },
      ctx.clock.now(),
    ),
  );
  const trial: Task = { ...task, run: child, signal };
  // Search-space values are also inputs of the same name: components read them as `${{inputs.x}}`.
  const all = new Map<string, InputValue>([
    ...inputs,
    ...[...point].map(([name, text]) => [name, { kind: 'literal', text }] as const),
  ]);
  try {
    const outcome = await execute(trial, shared, { ...sweep.trial, searchSpace: point }, all, targets);
    const ended = await finish(tree, child.runId, { status: 'Completed' });
    const value = latestMetric(ctx.store, ws.guid, child.runId, sweep.metric)?.value;
    return { run: ended ?? child, outcome, ...(value !== undefined && !Number.isNaN(value) && { value }) };
  } catch (failure) {
    const canceled = failure instanceof Canceled || signal.aborted;
    const known = failure instanceof JobFailure;
    await finish(
      tree,
      child.runId,
      canceled ? { status: 'Canceled' } : { status: 'Failed', ...(known && { error: failure.error }) },
    );
    if (!known && !canceled) throw failure;
    return { run: child, failure };
  }
}
