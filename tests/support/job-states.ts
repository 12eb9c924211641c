/** A step and a job as the wait gives them, that run and have no peculiarities. */
import type { JobState } from '../../src/aml/jobs/job.js';
import type { StepState } from '../../src/aml/jobs/steps.js';

export const step = (name: string, more: Partial<StepState> = {}): StepState => ({
  runId: name,
  name,
  status: 'Running',
  phase: 'active',
  group: false,
  reused: false,
  logsOf: name,
  ...more,
});
export const job = (more: Partial<JobState> = {}): JobState => ({
  name: 'j',
  status: 'Running',
  phase: 'active',
  type: 'Pipeline',
  displayName: 'j',
  experimentName: 'e',
  studioUrl: 'https://ml.azure.com/runs/j?wsid=/x',
  armId: '/x',
  properties: {},
  tags: {},
  outputs: {},
  nodes: [],
  ...more,
});
