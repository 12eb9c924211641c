/** How results come together (task-contract B.7; agent: TaskResultUtil.cs, StepsRunner.cs). */
import type { StepResult } from './types.js';

const order: StepResult[] = ['Succeeded', 'SucceededWithIssues', 'Failed', 'Canceled', 'Skipped', 'Abandoned'];

/** The result after `incoming` came in: what is worse wins, and what lies beyond Failed stays. */
export function mergeResults(current: StepResult | undefined, incoming: StepResult): StepResult {
  if (current === undefined) return incoming;
  if (order.indexOf(current) > order.indexOf('Failed')) return current;
  return order.indexOf(incoming) >= order.indexOf(current) ? incoming : current;
}

/** A result as a command says it: its word, case-sensitively, or its number; undefined when it is none. */
export function parseResult(word: string | undefined): StepResult | undefined {
  if (word === undefined) return undefined;
  const trimmed = word.trim();
  return order.find((result) => result === trimmed) ?? (/^[0-5]$/.test(trimmed) ? order[Number(trimmed)] : undefined);
}

/** Result of a job from its steps': what its `Agent.JobStatus` says and what later conditions see. */
export function jobResult(steps: StepResult[], canceled: boolean): StepResult {
  if (canceled) return 'Canceled';
  return steps
    .filter((step) => step === 'SucceededWithIssues' || step === 'Failed')
    .reduce(mergeResults, 'Succeeded' as StepResult);
}
