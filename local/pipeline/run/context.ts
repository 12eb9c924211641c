/** What the parts of one run share. */
import type { Project } from '../devops/project.js';
import type { RunState } from '../devops/run-state.js';
import type { LocalDevOps } from '../devops/server.js';
import type { TimelineRecord } from '../devops/types.js';
import { outputKey } from '../expand/graph.js';
import type { ExpandedDocument, ExpandedJob, ExpandedStage } from '../expand/types.js';
import type { DependencyFacts, NodeResult } from '../expressions/types.js';
import type { Slots } from './graph.js';
import { jobKey, stageKey } from './names.js';
import type { Prepared } from './prepare.js';
import type { SourceFacts } from './source.js';
import type { Connected, JobState, OutputFact, RunnerState, RunOptions, StageState } from './types.js';
import type { Variables } from './variables.js';

export interface RunContext {
  options: RunOptions;
  project: Project;
  server: LocalDevOps;
  run: RunState;
  state: RunnerState;
  document: ExpandedDocument;
  prepared: Prepared;
  source: SourceFacts;
  /** Predefined, queue-time, secrets and root variables, settled. */
  variables: Variables;
  connected: Connected;
  slots: Slots;
  /** Values of secret output variables of this process. */
  secretOutputs: Set<string>;
}

export interface StageContext extends RunContext {
  stage: ExpandedStage;
  stageIndex: number;
  stageState: StageState;
  record: TimelineRecord;
  /** Indices of the stages that this one waits for. */
  waitsFor: readonly number[];
}

export function stageStateOf(state: RunnerState, key: string): StageState {
  return (state.stages[key] ??= { attempt: 1, started: false, jobs: {} });
}

export function jobStateOf(stage: StageState, key: string): JobState {
  return (stage.jobs[key] ??= { attempt: 1, outputs: [] });
}

/** Secret output variables stay in this process: run.json holds their names alone. */
const secrets = new WeakMap<OutputFact, string>();

export function rememberSecret(fact: OutputFact, value: string): void {
  secrets.set(fact, value);
}

function outputsOf(job: ExpandedJob, state: JobState, fromStage: boolean): Record<string, string> {
  const outputs: Record<string, string> = {};
  for (const fact of state.outputs) {
    const { step, variable, value, hook, leg } = fact;
    outputs[outputKey(job, step, variable, { fromStage, ...(hook ? { hook } : {}), ...(leg ? { leg } : {}) })] =
      secrets.get(fact) ?? value;
  }
  return outputs;
}

/** A job as its dependents see it. */
export function jobFacts(job: ExpandedJob, state: JobState): DependencyFacts {
  return { result: state.result ?? 'Skipped', outputs: outputsOf(job, state, false) };
}

/** `dependencies` of a stage condition: the stages that it depends on, outputs by `job.step.variable`. */
export function stageFacts(context: RunContext, indices: readonly number[]): Record<string, DependencyFacts> {
  return Object.fromEntries(
    indices.map((index) => {
      const stage = context.document.stages[index];
      const key = stageKey(context.document, index);
      const state = stageStateOf(context.state, key);
      const outputs = (stage?.jobs ?? []).map((job, jobIndex) =>
        outputsOf(job, jobStateOf(state, jobKey(stage ?? { stage: '' }, jobIndex)), true),
      );
      return [key, { result: state.result ?? 'Skipped', outputs: Object.assign({}, ...outputs) as Record<string, string> }];
    }),
  );
}

/** `stageDependencies` of jobs: only direct dependencies of the stage (sheet 1.5). */
export function stageDependencies(context: StageContext): Record<string, Record<string, DependencyFacts>> {
  return Object.fromEntries(
    context.waitsFor.map((index) => {
      const stage = context.document.stages[index] ?? { stage: '' };
      const key = stageKey(context.document, index);
      const state = stageStateOf(context.state, key);
      const jobs = (stage.jobs ?? []).map((job, jobIndex) => {
        const name = jobKey(stage, jobIndex);
        return [name, jobFacts(job, jobStateOf(state, name))] as const;
      });
      return [key, Object.fromEntries(jobs)];
    }),
  );
}

export const recordResults = {
  Succeeded: 'succeeded',
  SucceededWithIssues: 'succeededWithIssues',
  Failed: 'failed',
  Canceled: 'canceled',
  Skipped: 'skipped',
  Abandoned: 'abandoned',
} as const satisfies Record<NodeResult, string>;
