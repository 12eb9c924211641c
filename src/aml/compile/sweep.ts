/** What sweep jobs and sweep steps share: search space, sampling, limits, policies. */
import { earlyTermination, objective, queueSettings, resources, samplingAlgorithm, sweepLimits } from './fields.js';
import { asText, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { PyFloat } from './python.js';
import { dict, finite, float, int, list, object, readField, scalarNumber, str, tagged, union, type Field } from './schema.js';

/** A number as it is written; among the values of a choice, text is text. */
const bare = finite(scalarNumber);
/** A whole number stays one; text that is a number is taken as a fraction, as the client does. */
const number: Field = finite({
  ...float,
  read: (node, reader) => (node.kind === 'scalar' && node.type === 'int' ? node.value : float.read(node, reader)),
});
const of = (fields: Record<string, Field>): Field =>
  object({ type: str, ...fields }, { name: 'the search space', required: Object.keys(fields) });
const uniform = of({ min_value: number, max_value: number });
const quniform = of({ min_value: number, max_value: number, q: number });
const normal = of({ mu: number, sigma: number });
const qnormal = of({ mu: number, sigma: number, q: number });
/** Distributions, by type. */
export const plain = {
  uniform,
  loguniform: uniform,
  quniform,
  qloguniform: quniform,
  normal,
  lognormal: normal,
  qnormal,
  qlognormal: qnormal,
  randint: of({ upper: int }),
};

const choiceValue: Field = {
  accepts: 'a number, text or a mapping',
  shape: 'any',
  read: (node, reader) => readField(union(bare, str, dict(union(distribution, number, str))), node, reader),
};
const choice = object({ type: str, values: list(choiceValue) }, { name: 'the search space' });

/** One parameter of a search space. */
export const distribution: Field = tagged('type', { choice, ...plain }, undefined, (text) => text.toLowerCase());

export const sweepFields: Record<string, Field> = {
  sampling_algorithm: samplingAlgorithm,
  search_space: dict(distribution),
  objective,
  early_termination: earlyTermination,
  limits: sweepLimits,
  queue_settings: queueSettings,
  resources,
};

/** `[type, [parameters]]`, as sweep jobs write a parameter of the search space. */
export function distributionToRest(value: Tree): Tree {
  if (!isTreeObject(value)) return value;
  const type = asText(value['type']).toLowerCase();
  if (type === 'choice') {
    const values = Array.isArray(value['values']) ? value['values'] : [];
    return [
      type,
      [
        values.map((item) =>
          isTreeObject(item) ? mapValues(item, (part) => (isTreeObject(part) ? distributionToRest(part) : part)) : item,
        ),
      ],
    ];
  }
  const keys = type === 'randint' ? ['upper'] : type.endsWith('normal') ? ['mu', 'sigma'] : ['min_value', 'max_value'];
  if (type.startsWith('q')) keys.push('q');
  return [type, keys.map((key) => value[key])];
}

export function mapValues(value: TreeObject, turn: (item: Tree) => Tree): TreeObject {
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, turn(item)]));
}

/** The policy with its zeros filled in. A sweep step drops a slack of zero and what is empty, a sweep job sends zeros. */
export function policyToRest(value: Tree, style: 'camel' | 'snake'): Tree {
  if (!isTreeObject(value)) return undefined;
  const type = asText(value['type']).toLowerCase().replaceAll('_', '');
  const camel = style === 'camel';
  const key = (snake: string, wire: string): string => (camel ? wire : snake);
  const given = (name: string, otherwise: number): Tree =>
    value[name] === null && !camel ? undefined : (value[name] ?? otherwise);
  const result: TreeObject = {
    [key('delay_evaluation', 'delayEvaluation')]: given('delay_evaluation', 0),
    [key('evaluation_interval', 'evaluationInterval')]: given('evaluation_interval', type === 'medianstopping' ? 1 : 0),
    [key('policy_type', 'policyType')]: {
      bandit: 'Bandit',
      medianstopping: 'MedianStopping',
      truncationselection: 'TruncationSelection',
    }[type],
  };
  if (type === 'bandit') {
    for (const [snake, wire] of [
      ['slack_factor', 'slackFactor'],
      ['slack_amount', 'slackAmount'],
    ] as const) {
      const slack = value[snake] ?? 0;
      const zero = slack === 0 || (slack instanceof PyFloat && slack.value === 0);
      if (camel || !zero) result[key(snake, wire)] = slack;
    }
  }
  if (type === 'truncationselection')
    result[key('truncation_percentage', 'truncationPercentage')] = value['truncation_percentage'];
  return result;
}

export function samplingToRest(value: Tree): Tree {
  const name = isTreeObject(value) ? asText(value['type']) : asText(value);
  if (name === '') return undefined;
  const kind = name.toLowerCase();
  const more = isTreeObject(value) ? { seed: value['seed'], rule: value['rule'], logbase: value['logbase'] } : {};
  return { samplingAlgorithmType: kind.charAt(0).toUpperCase() + kind.slice(1), ...more };
}
