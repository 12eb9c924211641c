/** Edges and output-variable keys of an expanded document (sheet azure-pipelines-yaml 1.4 and 1.5). */
import type { ExpandedHooks, ExpandedJob, ExpandedStage } from './types.js';

/** Name of a job of either kind ('' when it has none). */
export function jobName(job: ExpandedJob): string {
  return job.deployment ?? job.job ?? '';
}

/**
 * Stage → the stages that it waits for: its `dependsOn`, or the stage before it when it has none (sheet 1.4).
 * Keys are indices into `stages`, because a stage may have no name.
 */
export function stageEdges(stages: readonly ExpandedStage[]): number[][] {
  return stages.map((stage, index) =>
    stage.dependsOn === undefined ? (index === 0 ? [] : [index - 1]) : indices(stage.dependsOn, (name) => indexOf(stages, name)),
  );
}

/** Job → the jobs of its stage that it waits for; none without `dependsOn`. */
export function jobEdges(jobs: readonly ExpandedJob[]): number[][] {
  return jobs.map((job) =>
    indices(job.dependsOn ?? [], (name) => jobs.findIndex((other) => jobName(other).toLowerCase() === name.toLowerCase())),
  );
}

function indexOf(stages: readonly ExpandedStage[], name: string): number {
  return stages.findIndex((other) => other.stage.toLowerCase() === name.toLowerCase());
}

function indices(names: readonly string[], find: (name: string) => number): number[] {
  return names.map(find).filter((index) => index >= 0);
}

/** Hooks of a strategy that hold steps, in the order in which they run. `on` hooks count (sheet 1.5; unverified on the service). */
export function hookNames(hooks: ExpandedHooks): string[] {
  const names = ['preDeploy', 'deploy', 'routeTraffic', 'postRouteTraffic'].filter((name) => name in hooks);
  for (const name of ['success', 'failure'] as const) if (hooks.on?.[name]) names.push(name);
  return names;
}

/**
 * What stands before `step.variable` in `dependencies.JOB.outputs['…']`: nothing for a plain job, for a deployment its own
 * name (one hook), the hook's name (several), or `Deploy_<resource>` when its environment names a resource.
 * For a later stage's condition (`dependencies.STAGE.outputs['…']`) the job's name stands before all that.
 * @param leg the matrix leg, when the job has a matrix
 */
export function outputPrefix(job: ExpandedJob, hook = 'deploy', leg?: string): string[] {
  if (leg !== undefined) return [leg];
  const hooks = job.strategy?.runOnce ?? job.strategy?.rolling ?? job.strategy?.canary;
  if (job.deployment === undefined || hooks === undefined) return [];
  const resource = job.environment?.resourceName;
  if (resource !== undefined && resource !== '') return [`${hook[0]?.toUpperCase() ?? ''}${hook.slice(1)}_${resource}`];
  return hookNames(hooks).length > 1 ? [hook] : [job.deployment];
}

/** The key of an output variable: in the same stage and in `stageDependencies.S.J.outputs`, or (with `fromStage`) in a stage condition. */
export function outputKey(
  job: ExpandedJob,
  step: string,
  variable: string,
  options: { hook?: string; leg?: string; fromStage?: boolean } = {},
): string {
  const parts = [...outputPrefix(job, options.hook, options.leg), step, variable];
  return (options.fromStage ? [jobName(job), ...parts] : parts).join('.');
}
