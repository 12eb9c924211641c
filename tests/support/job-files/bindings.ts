/** What a step is given and gives: values, bindings, settings that steps share. */
import * as parts from './parts.js';
import { Plain, type Yaml, type YamlMap } from './yaml-text.js';
import type { Declared, Made, World } from './world.js';

export interface Scope {
  inputs: Declared[];
  outputs: Declared[];
  /** Outputs of earlier steps. */
  made: { step: string; name: string; type: string }[];
}
export const VALUES = ['string', 'integer', 'number', 'boolean'];

/** Something to bind to, or a value. */
export function given(world: World, base: string, scope: Scope, type: string): Yaml {
  const { random } = world;
  const fits = (one: { type: string }): boolean =>
    one.type === type || (!VALUES.includes(type) && !VALUES.includes(one.type) && random.chance(0.3));
  const sources = [
    ...scope.inputs.filter(fits).map(({ name }) => `\${{parent.inputs.${name}}}`),
    ...scope.made.filter(fits).map(({ step, name }) => `\${{parent.jobs.${step}.outputs.${name}}}`),
  ];
  if (sources.length === 0 || random.chance(0.35)) return parts.inputValue(world, base, type === 'path' ? 'uri_folder' : type);
  const text = random.pick(sources);
  const spaced = random.chance(0.08) ? text.replace('{{', '{{ ').replace('}}', ' }}') : text;
  if (random.chance(0.12))
    return {
      ...(random.chance(0.6) ? { type: type === 'path' ? 'uri_folder' : type } : {}),
      path: spaced,
      ...random.maybe(0.5, { mode: () => random.pick(parts.MODES) }),
    };
  if (type === 'string' && random.chance(0.1)) return `a ${spaced} b`;
  return spaced;
}

export function stepOutputs(world: World, scope: Scope, outputs: readonly { name: string; type: string }[]): YamlMap {
  const { random } = world;
  const made: YamlMap = {};
  for (const { name, type } of outputs) {
    if (random.chance(0.5)) continue;
    const bound = scope.outputs.filter((one) => one.type === type);
    made[name] =
      bound.length > 0 && random.chance(0.6) ? `\${{parent.outputs.${random.pick(bound).name}}}`
      : random.chance(0.2) ? new Plain('')
      : parts.outputValue(world); // prettier-ignore
  }
  return Object.keys(made).length > 0 || random.chance(0.1) ? { outputs: made } : {};
}

export function stepInputs(world: World, base: string, scope: Scope, inputs: readonly Declared[]): YamlMap {
  const { random } = world;
  const made: YamlMap = {};
  for (const { name, type, optional, default: fallback } of inputs) {
    if ((optional === true || fallback === true) && random.chance(0.5)) continue;
    if (random.chance(0.01)) continue;
    made[name] = given(world, base, scope, type);
  }
  if (random.chance(0.03)) made['unknown_in'] = 'x';
  return Object.keys(made).length > 0 ? { inputs: made } : {};
}

export function shared(world: World): YamlMap {
  const { random } = world;
  return random.maybe(0.12, {
    display_name: () => parts.word(random),
    description: () => parts.word(random),
    tags: () => ({ s: parts.word(random) }),
    properties: () => ({ p: parts.word(random) }),
    identity: () => parts.identity(random),
    services: () => parts.services(random),
  });
}

export const commandMore = (world: World): YamlMap => {
  const { random } = world;
  return random.maybe(0.15, {
    resources: () => parts.resources(random),
    distribution: () => parts.distribution(random),
    environment_variables: () => parts.variables(random),
    limits: () => ({ timeout: random.pick<Yaml>([60, 3600, 90061, '30']) }),
    queue_settings: () => parts.queue(random),
    compute: () => parts.compute(random),
  });
};

/** The value of `component:` for a file; a pipeline takes `file:` before all of them or before none (docs/compile.md, not equal). */
export function naming(world: World, base: string, { path, type }: Made): string {
  const prefix = type === 'pipeline' ? world.random.chance(0.01) : world.filePrefix;
  return `${prefix ? 'file:' : ''}${world.named(base, path)}`;
}
