/** What a linter's rule says. */
import type { ExpandedJob, ExpandedPipeline, ExpandedStage, ExpandedStep, Position } from '../expand/index.js';

export interface Finding {
  /** `task-input`, `output-reference`, … : the name of the rule. */
  rule: string;
  severity: 'error' | 'warning';
  message: string;
  position?: Position;
}

/** Adds a finding; `node` (and its property) says where it stands. */
export type Report = (rule: string, severity: Finding['severity'], message: string, node: object, property?: string) => void;

/** A step with where it is. */
export interface PlacedStep {
  stage: ExpandedStage;
  job: ExpandedJob;
  /** `deploy` and the like for deployment jobs. */
  hook?: string;
  steps: readonly ExpandedStep[];
  step: ExpandedStep;
  index: number;
}

/** Every step of the document with its stage, job and hook. */
export function* everyStep(pipeline: ExpandedPipeline): Generator<PlacedStep> {
  for (const stage of pipeline.document.stages) {
    for (const job of stage.jobs ?? []) {
      for (const { hook, steps } of hooksOf(job)) {
        for (const [index, step] of steps.entries())
          yield { stage, job, ...(hook !== undefined && { hook }), steps, step, index };
      }
    }
  }
}

/** The lists of steps of a job with the hook that each belongs to. */
export function hooksOf(job: ExpandedJob): { hook?: string; steps: readonly ExpandedStep[] }[] {
  const found: { hook?: string; steps: readonly ExpandedStep[] }[] = [];
  if (job.steps) found.push({ steps: job.steps });
  for (const hooks of [job.strategy?.runOnce, job.strategy?.rolling, job.strategy?.canary]) {
    const { preDeploy, deploy, routeTraffic, postRouteTraffic, on } = hooks ?? {};
    const named = { preDeploy, deploy, routeTraffic, postRouteTraffic, success: on?.success, failure: on?.failure };
    for (const [hook, value] of Object.entries(named)) if (value?.steps) found.push({ hook, steps: value.steps });
  }
  return found;
}
