/** What sweeps search over, and how. */
import { Plain, type Yaml, type YamlMap } from './yaml-text.js';
import type { World } from './world.js';

export const sweepKeys = (world: World): YamlMap => {
  const { random } = world;
  return {
    sampling_algorithm: random.pick<Yaml>([
      'random',
      'grid',
      'Bayesian',
      { type: 'random', seed: 5, rule: 'sobol' },
      { type: 'random', logbase: random.pick<Yaml>(['e', 2.5]) },
      { type: 'grid' },
    ]),
    objective: { goal: random.pick(['maximize', 'minimize', 'Maximize']), primary_metric: 'acc' },
    limits: {
      max_total_trials: random.pick<Yaml>([5, '6']),
      ...random.maybe(0.4, {
        max_concurrent_trials: () => 2,
        timeout: () => random.pick([30, 7200, 86400 * 2]),
        trial_timeout: () => random.pick([30, 720]),
      }),
    },
    ...random.maybe(0.4, {
      early_termination: () =>
        random.pick<Yaml>([
          { type: 'bandit', slack_factor: 0.1, delay_evaluation: 2 },
          { type: 'bandit', slack_amount: random.pick<Yaml>([0.2, 0, '0.3']), evaluation_interval: 1 },
          { type: 'median_stopping', delay_evaluation: 5 },
          { type: 'truncation_selection', truncation_percentage: 20, evaluation_interval: 1 },
        ]),
    }),
  };
};
export function searchSpace(world: World): Yaml {
  const { random } = world;
  return random.pick<Yaml>([
    {
      type: 'choice',
      values: random.pick<Yaml>([
        [1, 2, 3],
        ['a', 'b'],
        [0.1, new Plain('1.0')],
        [true, false],
        [new Plain('yes'), '1'],
        [{ x: 1, y: { type: 'uniform', min_value: 0, max_value: 1 } }],
      ]),
    },
    {
      type: random.pick(['uniform', 'loguniform']),
      min_value: random.pick<Yaml>([0.1, 1, '2', new Plain('1e-3')]),
      max_value: 5,
    },
    { type: random.pick(['quniform', 'qloguniform']), min_value: 1, max_value: 10, q: random.pick<Yaml>([1, 0.5]) },
    { type: random.pick(['normal', 'lognormal']), mu: 0, sigma: 1.5 },
    { type: 'qnormal', mu: 1, sigma: 2, q: 1 },
    { type: 'randint', upper: random.pick<Yaml>([10, '5']) },
  ]);
}
