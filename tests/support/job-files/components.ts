/** Components, in files or inline. */
import { posix } from 'node:path';
import * as parts from './parts.js';
import { Plain, type Yaml, type YamlMap } from './yaml-text.js';
import type { Declared, Made, World } from './world.js';

const TYPES = [
  'string',
  'integer',
  'number',
  'boolean',
  'uri_folder',
  'uri_file',
  'uri_folder',
  'mltable',
  'mlflow_model',
  'path',
];
const DEFAULTS: Record<string, Yaml[]> = {
  string: ['text', new Plain('1.0'), '', new Plain('yes'), new Plain('017')],
  integer: [5, '7', new Plain('1.0'), 0],
  number: [0.5, 1, '1.5', new Plain('1.0e-3'), new Plain('10.0')],
  boolean: [true, false, 'true', 'False', 1],
};
const isData = (type: string): boolean => !(type in DEFAULTS);

export function ports(world: World): { inputs: Declared[]; outputs: Declared[]; yaml: YamlMap } {
  const { random } = world;
  const inputs: Declared[] = [];
  const outputs: Declared[] = [];
  const yaml: { inputs: YamlMap; outputs: YamlMap } = { inputs: {}, outputs: {} };
  for (let index = random.int(0, 4); index > 0; index--) {
    const type = random.pick(TYPES);
    const name = random.pick(['data', 'rate', 'Epochs', 'in_put', 'x1']) + (random.chance(0.5) ? '' : String(index));
    if (inputs.some((one) => one.name.toLowerCase() === name.toLowerCase())) continue;
    const optional = random.chance(0.2);
    const text = type === 'string';
    const fallback = !isData(type) && random.chance(0.4);
    inputs.push({ name, type, optional, default: fallback });
    yaml.inputs[name] = {
      type,
      ...(optional ? { optional: true } : random.chance(0.05) ? { optional: false } : {}),
      ...(fallback ? { default: random.pick(DEFAULTS[type] ?? []) } : {}),
      ...random.maybe(0.15, { description: () => parts.word(random) }),
      ...(isData(type) ? random.maybe(0.2, { mode: () => random.pick(parts.MODES) }) : {}),
      ...(['integer', 'number'].includes(type)
        ? random.maybe(0.15, { min: () => random.pick<Yaml>([0, 0.5, '1']), max: () => random.pick<Yaml>([10, 1000.5]) })
        : {}),
      ...(text ? random.maybe(0.1, { enum: () => ['text', 'other'] }) : {}),
    };
  }
  for (let index = random.int(0, 2); index > 0; index--) {
    const type = random.pick(['uri_folder', 'uri_file', 'uri_folder', 'mltable', 'mlflow_model', 'custom_model', 'path']);
    const name = random.pick(['out', 'model', 'Result']) + (random.chance(0.6) ? '' : String(index));
    if (outputs.some((one) => one.name.toLowerCase() === name.toLowerCase())) continue;
    outputs.push({ name, type });
    yaml.outputs[name] = {
      type,
      ...random.maybe(0.15, { mode: () => random.pick(['upload', 'rw_mount', 'mount']), description: () => parts.word(random) }),
    };
  }
  return {
    inputs,
    outputs,
    yaml: {
      ...(inputs.length > 0 || random.chance(0.1) ? { inputs: yaml.inputs } : {}),
      ...(outputs.length > 0 ? { outputs: yaml.outputs } : {}),
    },
  };
}

export function commandText(world: World, inputs: readonly Declared[], outputs: readonly { name: string }[]): string {
  const { random } = world;
  const words = [
    'python main.py',
    ...inputs.map(({ name, optional }) => (optional ? `$[[--${name} \${{inputs.${name}}}]]` : `--${name} \${{inputs.${name}}}`)),
    ...outputs.map(({ name }) => `--o \${{outputs.${name}}}`),
  ];
  const used = random.chance(0.7) ? words : words.filter((_, index) => index === 0 || random.chance(0.6));
  return (
    used.join(random.pick([' ', ' ', ' \\\n  ', '\n'])) +
    random.pick(['', '', '\n', ' && echo "done: é"', random.chance(0.1) ? ' {inputs.old}' : '', ' && ls'])
  );
}

const component = (schema: string, world: World): YamlMap => {
  const { random } = world;
  return {
    ...random.maybe(0.6, { $schema: () => `https://azuremlschemas.azureedge.net/latest/${schema}Component.schema.json` }),
    ...random.maybe(0.85, { name: () => random.pick(['comp', 'my_comp', 'Comp1', 'a comp']) }),
    ...random.maybe(0.5, { version: () => random.pick<Yaml>([1, '0.0.2', new Plain('1.0'), '2']) }),
    ...random.maybe(0.3, {
      display_name: () => parts.word(random),
      description: () => parts.word(random),
      tags: () => ({ owner: parts.word(random) }),
      is_deterministic: () => random.chance(0.5),
    }),
  };
};

/** The keys of code: a folder, a registered one, a URL; and what is laid beside it. */
export function codeKeys(world: World, base: string, includes: boolean): YamlMap {
  const { random } = world;
  const roll = random.next();
  const code: Yaml | undefined =
    roll < 0.75 ? world.named(base, world.code(base))
    : roll < 0.78 ? 'azureml:code:1'
    : roll < 0.785 ? 'azureml://registries/reg/codes/c/versions/1'
    : roll < 0.79 ? 'https://example.com/x.zip'
    : undefined; // prettier-ignore
  return {
    ...(code === undefined ? {} : { code }),
    ...(includes && random.chance(0.25) ? { additional_includes: included(world, base) } : {}),
  };
}

function included(world: World, base: string): Yaml {
  const { random } = world;
  const up = posix.dirname(base);
  const extra = (): string => {
    const folder = `${up === '.' ? base : up}/lib${world.next()}`;
    world.files.set(`${folder}/helper.py`, 'h = 1\n');
    if (random.chance(0.4)) world.files.set(`${folder}/sub/deep.py`, 'd = 1\n');
    if (random.chance(0.3))
      world.files.set(`${folder}/${random.pick(['.amlignore', 'sub/.amlignore'])}`, random.pick(['deep.py\n', 'sub\n']));
    if (random.chance(0.2)) world.files.set(`${folder}/__pycache__/h.pyc`, 'x');
    return random.chance(0.5) ? folder : `${folder}/helper.py`;
  };
  return [extra(), ...(random.chance(0.3) ? [extra()] : [])].map((path) => world.named(base, path));
}

/** A command component; `base` is the folder of its file. */
export function commandComponent(world: World, base: string): { value: YamlMap; inputs: Declared[]; outputs: Declared[] } {
  const { random } = world;
  const { inputs, outputs, yaml } = ports(world);
  const value: YamlMap = {
    ...component('command', world),
    ...(random.chance(0.9) ? { type: 'command' } : {}),
    ...yaml,
    command: commandText(world, inputs, outputs),
    ...codeKeys(world, base, true),
    environment: parts.environment(world, base),
    ...random.maybe(0.15, { resources: () => parts.resources(random), distribution: () => parts.distribution(random) }),
    ...random.maybe(0.03, {
      environment_variables: () => parts.variables(random),
      properties: () => ({ p: parts.scalar(random) }),
    }),
  };
  return { value, inputs, outputs };
}

export function parallelTask(world: World, base: string): YamlMap {
  const { random } = world;
  return {
    type: random.pick(['run_function', 'run_function', 'model', 'function']),
    ...codeKeys(world, base, false),
    entry_script: 'main.py',
    environment: parts.environment(world, base),
    ...random.maybe(0.4, {
      program_arguments: () => random.pick(['--a 1', '--x ${{inputs.data}}']),
      append_row_to: () => '${{outputs.out}}',
      model: () => 'azureml:m:1',
    }),
  };
}

export const parallelSettings = (world: World): YamlMap => {
  const { random } = world;
  return random.maybe(0.4, {
    mini_batch_size: () => random.pick<Yaml>(['10', '1kb', '5MB', 3]),
    max_concurrency_per_instance: () => random.int(1, 4),
    error_threshold: () => random.pick<Yaml>([-1, 5, '3']),
    mini_batch_error_threshold: () => random.int(0, 5),
    logging_level: () => random.pick(['DEBUG', 'INFO', 'WARNING']),
    retry_settings: () => random.maybe(0.7, { timeout: () => 60, max_retries: () => random.pick<Yaml>([2, '3']) }),
    partition_keys: () => ['a', 'b'],
    resources: () => parts.resources(random),
  });
};

function parallelComponent(world: World, base: string): { value: YamlMap; inputs: Declared[]; outputs: Declared[] } {
  const made: YamlMap = { data: { type: 'uri_folder' } };
  const outputs = [{ name: 'out', type: 'uri_file' }];
  const value: YamlMap = {
    ...component('parallel', world),
    type: 'parallel',
    inputs: made,
    outputs: { out: { type: 'uri_file' } },
    input_data: '${{inputs.data}}',
    task: parallelTask(world, base),
    ...parallelSettings(world),
  };
  return { value, inputs: [{ name: 'data', type: 'uri_folder' }], outputs };
}

export function sparkConf(world: World): Yaml {
  const { random } = world;
  const dynamic = random.chance(0.3);
  return {
    'spark.driver.cores': random.pick<Yaml>([1, '2']),
    'spark.driver.memory': random.pick(['2g', '512m']),
    'spark.executor.cores': 2,
    'spark.executor.memory': '2g',
    'spark.executor.instances': 2,
    ...(dynamic
      ? {
          'spark.dynamicAllocation.enabled': random.pick<Yaml>([true, 'true', 'True']),
          'spark.dynamicAllocation.minExecutors': 1,
          'spark.dynamicAllocation.maxExecutors': 4,
        }
      : {}),
    ...random.maybe(0.2, { 'spark.yarn.x': () => parts.scalar(random) }),
  };
}

export function sparkKeys(world: World, base: string): YamlMap {
  const { random } = world;
  const folder = world.code(base);
  for (const extra of ['extra.py', 'lib.jar', 'x.txt', 'a.zip']) world.files.set(`${folder}/${extra}`, 'x');
  return {
    code: world.named(base, folder),
    entry: random.chance(0.02) ? { class_name: 'com.x.Main' } : { file: 'main.py' },
    ...random.maybe(0.3, {
      py_files: () => ['extra.py'],
      jars: () => ['lib.jar'],
      files: () => ['x.txt'],
      archives: () => ['a.zip'],
      args: () => random.pick(['--a 1', '--in ${{inputs.data}} --out ${{outputs.out}}']),
    }),
    ...random.maybe(0.2, { environment: () => parts.environment(world, base) }),
    conf: sparkConf(world),
  };
}

function sparkComponent(world: World, base: string): { value: YamlMap; inputs: Declared[]; outputs: Declared[] } {
  const value: YamlMap = {
    ...component('spark', world),
    type: 'spark',
    inputs: { data: { type: 'uri_folder', mode: 'direct' } },
    outputs: { out: { type: 'uri_folder', mode: 'direct' } },
    ...sparkKeys(world, base),
  };
  return { value, inputs: [{ name: 'data', type: 'uri_folder' }], outputs: [{ name: 'out', type: 'uri_folder' }] };
}

/** Puts a component of a type into a file of its own (not of a pipeline: `steps.ts`); sometimes gives one that is there already. */
export function componentFile(world: World, type: string): Made {
  const { random } = world;
  const known = world.components.filter((one) => one.type === type);
  if (known.length > 0 && random.chance(0.4)) return random.pick(known);
  const base = random.pick(['job', 'components', `components/c${world.next()}`, 'job/sub dir', 'job/kömp']);
  const { value, inputs, outputs } =
    type === 'parallel'
      ? parallelComponent(world, base)
      : type === 'spark'
        ? sparkComponent(world, base)
        : commandComponent(world, base);
  const path = world.yaml(
    posix.join(base, `${random.pick(['comp', 'my comp', 'c'])}${world.next()}.${random.pick(['yml', 'yaml'])}`),
    value,
  );
  const made = { path, type, inputs, outputs };
  world.components.push(made);
  return made;
}
