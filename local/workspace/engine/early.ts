/**
 * Early termination of sweeps: which trial a policy ends, from the values of the primary metric that the trials have logged. Rules: the
 * published guide to tuning hyperparameters; each logged value is one interval, a policy is applied at every multiple of
 * `evaluation_interval` (0 counts as 1) that is not below `delay_evaluation`.
 */
import { ServiceError } from '../errors.js';
import { asObject, asText, either } from './json.js';

export type Policy = { interval: number; delay: number } & (
  | { kind: 'bandit'; factor: number; amount: number }
  | { kind: 'median' }
  | { kind: 'truncation'; percentage: number; excludeFinished: boolean }
);

/** What a trial has told so far. */
export interface Progress {
  /** Values of the primary metric in the order in which they were logged. */
  values: number[];
  /** It logs no more. */
  ended: boolean;
}

/** Reads a policy in ARM's form (`{policyType, evaluationInterval, …}`) or the YAML's (`{type, evaluation_interval, …}`). @throws ServiceError 400 */
export function readPolicy(source: unknown): Policy | undefined {
  if (source == null) return undefined;
  const policy = asObject(source);
  const refuse = (message: string): never => {
    throw new ServiceError(400, 'UserError', message, { target: 'earlyTermination', inner: ['BadArgument'] });
  };
  const number = (name: string): number => {
    const value = Number(asText(either(policy, name)) ?? 0);
    return Number.isFinite(value) && value >= 0
      ? value
      : refuse(`'${name}' of the early termination policy is not a number from 0 on.`);
  };
  const type = asText(either(policy, 'policy_type')) ?? asText(policy['type']) ?? '';
  const base = {
    interval: Math.max(1, Math.round(number('evaluation_interval'))),
    delay: Math.round(number('delay_evaluation')),
  };
  switch (type.toLowerCase().replaceAll('_', '')) {
    case 'bandit':
      return { ...base, kind: 'bandit', factor: number('slack_factor'), amount: number('slack_amount') };
    case 'medianstopping':
      return { ...base, kind: 'median' };
    case 'truncationselection': {
      const percentage = number('truncation_percentage');
      if (percentage < 1 || percentage > 99)
        refuse('truncation_percentage of the early termination policy must be between 1 and 99.');
      const excludeFinished = /^true$/i.test(asText(either(policy, 'exclude_finished_jobs')) ?? '');
      return { ...base, kind: 'truncation', percentage, excludeFinished };
    }
    default:
      return refuse(`The early termination policy '${type}' is not known: Bandit, MedianStopping and TruncationSelection are.`);
  }
}

/** Intervals at which the policy has to be applied to a trial that has logged `count` values, when it was applied up to `done`. */
export function dueIntervals({ interval, delay }: Policy, done: number, count: number): number[] {
  const due: number[] = [];
  for (let n = (Math.floor(done / interval) + 1) * interval; n <= count; n += interval) if (n >= delay) due.push(n);
  return due;
}

const shown = (value: number): string => String(Number(value.toPrecision(6)));

/**
 * Applies a policy to one trial at interval `n`.
 * @param all every trial of the sweep, this one included; it is compared with those that have come as far or have ended
 * @returns why the trial is ended, undefined when it goes on
 */
export function judge(
  policy: Policy,
  trial: Progress,
  all: readonly Progress[],
  n: number,
  maximize: boolean,
): string | undefined {
  const worst = maximize ? -Infinity : Infinity;
  const better = (a: number, b: number): boolean => (maximize ? a > b : a < b);
  // Means and products of equal numbers differ in their last bits.
  const clearly = (a: number, b: number): boolean =>
    better(a, b) && !(Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b)));
  const upTo = ({ values }: Progress): number[] => values.slice(0, n).filter((value) => !Number.isNaN(value));
  const best = (progress: Progress): number => upTo(progress).reduce((a, b) => (better(b, a) ? b : a), worst);
  const peers = all.filter(({ values, ended }) => values.length >= n || (ended && values.length > 0));
  const own = best(trial);
  if (policy.kind === 'bandit') {
    const top = peers.map(best).reduce((a, b) => (better(b, a) ? b : a), worst);
    // The slack loosens the bound whatever the sign of the metric: a ratio of a negative best would else end the best trial itself.
    const ratio = top >= 0 === maximize ? 1 / (1 + policy.factor) : 1 + policy.factor;
    const bound = policy.factor > 0 ? top * ratio : maximize ? top - policy.amount : top + policy.amount;
    return clearly(bound, own)
      ? `its best value ${shown(own)} is not within the slack of the best trial's ${shown(top)} (bound ${shown(bound)})`
      : undefined;
  }
  if (policy.kind === 'median') {
    const averages = peers
      .map(upTo)
      .filter((values) => values.length > 0)
      .map((values) => values.reduce((a, b) => a + b, 0) / values.length)
      .sort((a, b) => a - b);
    const middle = averages.length >> 1;
    const high = averages[middle] ?? own;
    const median = averages.length % 2 === 1 ? high : ((averages[middle - 1] ?? high) + high) / 2;
    return clearly(median, own)
      ? `its best value ${shown(own)} is worse than the median ${shown(median)} of the trials' averages`
      : undefined;
  }
  const at = ({ values }: Progress): number => {
    const value = values[Math.min(n, values.length) - 1] ?? worst;
    return Number.isNaN(value) ? worst : value;
  };
  const compared = peers.filter((progress) => progress === trial || !(policy.excludeFinished && progress.ended));
  const cut = Math.floor((compared.length * policy.percentage) / 100);
  const ahead = compared.filter((progress) => progress !== trial && better(at(progress), at(trial))).length;
  return ahead >= compared.length - cut && ahead > 0
    ? `its value ${shown(at(trial))} is in the lowest ${policy.percentage}% of ${compared.length} trials`
    : undefined;
}
