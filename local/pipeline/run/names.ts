/** Names of stages and jobs in records, files and state, also of those that were written without one. */
import { jobName } from '../expand/graph.js';
import type { ExpandedDocument, ExpandedJob, ExpandedStage } from '../expand/types.js';

export function stageKey(document: ExpandedDocument, index: number): string {
  return document.stages[index]?.stage || `Stage${index + 1}`;
}

export function jobKey(stage: ExpandedStage, index: number): string {
  const job = stage.jobs?.[index];
  return (job && jobName(job)) || `Job${index + 1}`;
}

export function stageTitle(document: ExpandedDocument, index: number): string {
  return document.stages[index]?.displayName || stageKey(document, index);
}

export function jobTitle(stage: ExpandedStage, index: number): string {
  return stage.jobs?.[index]?.displayName || jobKey(stage, index);
}

/** The steps of a job of any kind, with the hook that holds them. */
export function stepLists(job: ExpandedJob): { hook?: string; steps: NonNullable<ExpandedJob['steps']> }[] {
  if (job.deployment === undefined) return [{ steps: job.steps ?? [] }];
  const hooks = job.strategy?.runOnce ?? {};
  const named = [
    ['preDeploy', hooks.preDeploy],
    ['deploy', hooks.deploy],
    ['routeTraffic', hooks.routeTraffic],
    ['postRouteTraffic', hooks.postRouteTraffic],
    ['success', hooks.on?.success],
    ['failure', hooks.on?.failure],
  ] as const;
  return named.flatMap(([hook, body]) => (body ? [{ hook, steps: body.steps ?? [] }] : []));
}
