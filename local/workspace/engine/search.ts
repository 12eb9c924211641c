/** Points of a sweep's search space: grid and random sampling. */
import { createHash } from 'node:crypto';
import { ServiceError } from '../errors.js';
import { asObject, asText, type Json } from './json.js';

interface Distribution {
  kind: string;
  /** Values of a choice. */
  values: unknown[];
  /** Numbers of the others, in the service's order (min, max, q · mu, sigma, q · upper). */
  numbers: number[];
}

const orders: Record<string, string[]> = {
  uniform: ['min_value', 'max_value'],
  quniform: ['min_value', 'max_value', 'q'],
  loguniform: ['min_value', 'max_value'],
  qloguniform: ['min_value', 'max_value', 'q'],
  normal: ['mu', 'sigma'],
  qnormal: ['mu', 'sigma', 'q'],
  lognormal: ['mu', 'sigma'],
  qlognormal: ['mu', 'sigma', 'q'],
  randint: ['upper'],
};

/** Reads a search space in the service's form (`["uniform",[0,1]]`) or the YAML's (`{type: uniform, min_value: 0, max_value: 1}`). @throws ServiceError 400 */
export function readSearchSpace(space: Json): Map<string, Distribution> {
  const found = new Map<string, Distribution>();
  for (const [name, value] of Object.entries(space)) {
    const refuse = (): never => {
      throw new ServiceError(400, 'UserError', `The search space of '${name}' is not understood.`, {
        target: `searchSpace.${name}`,
        inner: ['BadArgument'],
      });
    };
    let kind: string | undefined;
    let args: unknown[];
    if (Array.isArray(value)) {
      kind = asText(value[0])?.toLowerCase();
      args = Array.isArray(value[1]) ? (value[1] as unknown[]) : [];
      if (kind === 'choice') args = Array.isArray(args[0]) ? (args[0] as unknown[]) : args;
    } else {
      const object = asObject(value);
      kind = asText(object['type'])?.toLowerCase();
      args =
        kind === 'choice'
          ? Array.isArray(object['values'])
            ? (object['values'] as unknown[])
            : []
          : (orders[kind ?? ''] ?? []).map((key) => object[key]);
    }
    if (kind === 'choice') {
      if (args.length === 0) refuse();
      found.set(name, { kind, values: args, numbers: [] });
      continue;
    }
    const numbers = args.map(Number);
    if (
      kind === undefined ||
      !orders[kind] ||
      numbers.length < (orders[kind]?.length ?? 0) ||
      numbers.some((number) => !Number.isFinite(number))
    )
      refuse();
    found.set(name, { kind: kind ?? '', values: [], numbers });
  }
  if (found.size === 0)
    throw new ServiceError(400, 'UserError', 'The sweep has no search space.', { target: 'searchSpace', inner: ['BadArgument'] });
  return found;
}

/** A repeatable stream of numbers in [0, 1). */
function* randoms(seed: string): Generator<number, never> {
  for (let counter = 0; ; counter++) {
    const digest = createHash('sha256').update(`${seed} ${counter}`).digest();
    for (let at = 0; at < 32; at += 8) yield Number(digest.readBigUInt64BE(at) >> 11n) / 2 ** 53;
  }
}

function draw({ kind, values, numbers: [a = 0, b = 0, c = 1] }: Distribution, next: () => number): unknown {
  const normal = (mu: number, sigma: number): number =>
    mu + sigma * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const step = (value: number, q: number): number => Math.round(value / q) * q;
  switch (kind) {
    case 'choice':
      return values[Math.floor(next() * values.length)];
    case 'uniform':
      return a + (b - a) * next();
    case 'quniform':
      return step(a + (b - a) * next(), c);
    case 'loguniform':
      return Math.exp(a + (b - a) * next());
    case 'qloguniform':
      return step(Math.exp(a + (b - a) * next()), c);
    case 'normal':
      return normal(a, b);
    case 'qnormal':
      return step(normal(a, b), c);
    case 'lognormal':
      return Math.exp(normal(a, b));
    case 'qlognormal':
      return step(Math.exp(normal(a, b)), c);
    default:
      return Math.floor(next() * a);
  }
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/**
 * Points to try, each a map from name to text.
 * @throws ServiceError 400 grid over something that is not a choice · 501 other algorithms
 */
export function* points(space: Map<string, Distribution>, algorithm: string, seed: string): Generator<Map<string, string>> {
  const names = [...space.keys()];
  if (algorithm === 'grid') {
    for (const [name, { kind }] of space)
      if (kind !== 'choice')
        throw new ServiceError(400, 'UserError', `Grid sampling needs choices; '${name}' is ${kind}.`, {
          target: `searchSpace.${name}`,
          inner: ['BadArgument'],
        });
    const lists = names.map((name) => space.get(name)?.values ?? []);
    const total = lists.reduce((product, list) => product * list.length, 1);
    for (let index = 0; index < total; index++) {
      let rest = index;
      const point = new Map<string, string>();
      for (let at = names.length - 1; at >= 0; at--) {
        const list = lists[at] ?? [];
        point.set(names[at] ?? '', shown(list[rest % list.length]));
        rest = Math.floor(rest / list.length);
      }
      yield new Map(names.map((name) => [name, point.get(name) ?? '']));
    }
    return;
  }
  if (algorithm !== 'random')
    throw new ServiceError(
      501,
      'NotImplemented',
      `The embedded workspace has no '${algorithm}' sampling; grid and random are built.`,
      { target: 'samplingAlgorithm' },
    );
  const stream = randoms(seed);
  for (;;) yield new Map(names.map((name) => [name, shown(draw(space.get(name) as Distribution, () => stream.next().value))]));
}
