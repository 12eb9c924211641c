/** Job files of every type from a seed: what users write, what they could write, and (at a low rate) what they get wrong. */
import * as parts from './parts.js';
import { codeKeys, commandText, sparkKeys } from './components.js';
import { automlTask } from './automl.js';
import { mistake } from './mistakes.js';
import { Random } from './random.js';
import { searchSpace, sweepKeys } from './searching.js';
import { steps } from './steps.js';
import { withControlFlow } from './control-flow.js';
import { Plain, type Yaml, type YamlMap } from './yaml-text.js';
import { World } from './world.js';

export interface JobFiles {
  seed: number;
  kind: string;
  /** Path of the job file below the folder. */
  job: string;
  /** The client takes it only with its private switch. */
  private: boolean;
  /** What was got wrong on purpose. */
  mistakes: string[];
  world: World;
}

const NAMES = ['data', 'rate', 'Epochs', 'g', 'x_1'];
function ports(world: World, base: string, most: number): { inputs: YamlMap; outputs: YamlMap } {
  const { random } = world;
  const inputs = Object.fromEntries(
    random.some(NAMES, most).map((name): [string, Yaml] => [name, parts.inputValue(world, base)]),
  );
  const outputs = Object.fromEntries(
    random.some(['out', 'model', 'default'], 2).map((name): [string, Yaml] => [name, parts.outputValue(world)]),
  );
  return { inputs, outputs };
}
const portKeys = ({ inputs, outputs }: { inputs: YamlMap; outputs: YamlMap }): YamlMap => ({
  ...(Object.keys(inputs).length > 0 ? { inputs } : {}),
  ...(Object.keys(outputs).length > 0 ? { outputs } : {}),
});
const declared = (names: YamlMap): { name: string; type: string }[] =>
  Object.keys(names).map((name) => ({ name, type: 'string' }));

function commandKeys(world: World, base: string, both: { inputs: YamlMap; outputs: YamlMap }): YamlMap {
  const { random } = world;
  return {
    command: commandText(world, declared(both.inputs), declared(both.outputs)),
    ...codeKeys(world, base, false),
    environment: parts.environment(world, base),
    ...random.maybe(0.25, {
      resources: () => parts.resources(random),
      distribution: () => parts.distribution(random),
      environment_variables: () => parts.variables(random),
    }),
  };
}

const commandJob = (world: World): YamlMap => {
  const { random } = world;
  const both = ports(world, 'job', 4);
  return {
    ...parts.heading(random, 'commandJob'),
    ...(random.chance(0.6) ? { type: 'command' } : {}),
    ...commandKeys(world, 'job', both),
    ...portKeys(both),
    ...(random.chance(0.85) ? { compute: parts.compute(random) } : {}),
    ...random.maybe(0.2, {
      queue_settings: () => parts.queue(random),
      limits: () => ({ timeout: random.pick<Yaml>([60, 5400, 100000]) }),
      parent_job_name: () => 'parent',
    }),
  };
};

const sweepJob = (world: World): YamlMap => {
  const { random } = world;
  const both = ports(world, 'job', 3);
  return {
    ...parts.heading(random, 'sweepJob'),
    type: 'sweep',
    trial: commandKeys(world, 'job', both),
    ...portKeys(both),
    search_space: { lr: searchSpace(world), ...(random.chance(0.5) ? { B_2: searchSpace(world) } : {}) },
    ...sweepKeys(world),
    compute: parts.compute(random),
    ...random.maybe(0.2, { queue_settings: () => parts.queue(random), resources: () => parts.resources(random) }),
  };
};

const sparkJob = (world: World): YamlMap => {
  const { random } = world;
  return {
    ...parts.heading(random, 'sparkJob'),
    type: 'spark',
    inputs: {
      data: { type: random.pick(['uri_file', 'uri_folder']), path: 'azureml://datastores/d/paths/x', mode: 'direct' },
      ...(random.chance(0.3) ? { n: parts.inputValue(world, 'job', 'number') } : {}),
    },
    outputs: {
      out: { type: 'uri_folder', mode: 'direct', ...random.maybe(0.5, { path: () => 'azureml://datastores/d/paths/o/' }) },
    },
    ...sparkKeys(world, 'job'),
    ...(random.chance(0.5)
      ? { compute: 'azureml:spark' }
      : { resources: { instance_type: 'standard_e4s_v3', runtime_version: random.pick<Yaml>(['3.4', new Plain('3.3')]) } }),
  };
};

const automlJob = (world: World): YamlMap => ({
  ...parts.heading(world.random, 'autoMLJob'),
  type: 'automl',
  ...automlTask(world, 'job', false),
  compute: 'azureml:cpu-cluster',
});

function pipelineJob(world: World, control: boolean): YamlMap {
  const { random } = world;
  const both = ports(world, 'job', 4);
  const typeOf = (value: Yaml | undefined): string => {
    if (typeof value === 'object' && value !== null && 'path' in value) return textOf(value['type']);
    return typeof value === 'number'
      ? Number.isInteger(value)
        ? 'integer'
        : 'number'
      : typeof value === 'boolean'
        ? 'boolean'
        : 'string';
  };
  const ends = (from: YamlMap): { name: string; type: string }[] =>
    Object.entries(from).map(([name, value]) => ({ name, type: typeOf(value) }));
  const outputs = Object.entries(both.outputs).map(([name, value]) => ({
    name,
    type: textOf((value as YamlMap | null)?.['type']),
  }));
  if (control) both.inputs['q'] = 'v';
  const jobs = steps(world, 'job', { inputs: ends(both.inputs), outputs, made: [] }, control ? 2 : 0);
  if (control) withControlFlow(world, jobs);
  return {
    ...parts.heading(random, 'pipelineJob'),
    type: 'pipeline',
    ...portKeys(both),
    ...(random.chance(0.85)
      ? {
          settings: {
            default_compute: random.pick(['azureml:cpu-cluster', 'serverless', 'azureml:cpu-cluster', 'azureml:serverless']),
            ...random.maybe(0.25, {
              default_datastore: () => 'azureml:workspaceblobstore',
              continue_on_step_failure: () => random.pick<Yaml>([true, 'false']),
              force_rerun: () => true,
            }),
          },
        }
      : { compute: 'azureml:cpu-cluster' }),
    jobs,
  };
}

const textOf = (type: Yaml | undefined): string => (typeof type === 'string' ? type : 'uri_folder');

/** The files of a seed. `wrong`: the share of files with a mistake. */
export function jobFiles(seed: number, wrong = 0.2): JobFiles {
  const random = new Random(seed);
  const world = new World(random);
  const kind = random.pick([
    'command',
    'command',
    'pipeline',
    'pipeline',
    'pipeline',
    'pipeline',
    'pipeline',
    'sweep',
    'spark',
    'automl',
    'control',
  ]);
  const makers: Record<string, (world: World) => YamlMap> = {
    command: commandJob,
    sweep: sweepJob,
    spark: sparkJob,
    automl: automlJob,
  };
  const value = makers[kind]?.(world) ?? pipelineJob(world, kind === 'control');
  const mistakes: string[] = [];
  if (random.chance(wrong)) mistakes.push(mistake(value, random));
  const job = world.yaml('job/job.yml', value);
  return { seed, kind, job, private: kind === 'control', mistakes, world };
}
