/** Parts that jobs of several types share. */
import type { Random } from './random.js';
import { ODD, Plain, type Yaml, type YamlMap } from './yaml-text.js';
import { condaOf, type World } from './world.js';

const ARM =
  '/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-dev/providers/Microsoft.MachineLearningServices/workspaces/mlw-dev';
export const MODES = ['ro_mount', 'download', 'direct', 'eval_mount', 'eval_download'];

export const odd = (random: Random): Yaml => new Plain(random.pick(ODD));
const TEXTS = [
  'some text',
  'x',
  'Ünï',
  'a: b # c',
  'two\nlines\n',
  '  spaced ',
  '5',
  'true',
  '1e3',
  'null',
  '',
  'a\n\nb\n\n',
  "it's",
  '"q"',
  '😀',
  '$x',
  '{a}',
];
/** Text, where text is asked for. */
export const word = (random: Random): Yaml => (random.chance(0.004) ? odd(random) : random.pick<Yaml>(TEXTS));
/** Any scalar, where any is taken. */
export const scalar = (random: Random): Yaml =>
  random.chance(0.2) ? odd(random) : random.pick<Yaml>([...TEXTS, 5, 0.25, true, false]);
/** What is mostly refused. */
const rarely = (random: Random): boolean => random.chance(0.01);
const number = (random: Random, least: number, most: number): Yaml =>
  random.chance(0.01) ? odd(random) : random.chance(0.08) ? String(random.int(least, most)) : random.int(least, most);

export function environment(world: World, base: string): Yaml {
  const { random } = world;
  const image = random.pick(['ubuntu:22.04', 'mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest', 'python']);
  const more = (): YamlMap =>
    random.maybe(0.12, {
      name: () => random.pick(['my-env', 'E1']),
      version: () => random.pick<Yaml>(['3', 4, new Plain('1.0')]),
      description: () => word(random),
      tags: () => ({ k: word(random) }),
      os_type: () => random.pick(['linux', 'windows', 'Linux']),
      inference_config: () => ({
        liveness_route: { port: 8080, path: '/live' },
        readiness_route: { port: number(random, 1, 9000), path: '/ready' },
        scoring_route: { port: 8080, path: '/score' },
      }),
    });
  switch (random.int(0, 11)) {
    case 0:
    case 1:
      return random.pick(['azureml:env:1', 'azureml:env@latest', 'azureml:AzureML-sklearn-1.5:33', 'azureml:env:1.0']);
    case 2:
      return random.pick([
        'azureml://registries/azureml/environments/sklearn-1.5/versions/10',
        'azureml://registries/azureml/environments/sklearn-1.5/labels/latest',
      ]);
    case 3:
      return random.pick(
        rarely(random)
          ? ['azureml:env', 'env:1', 'azureml:env@prod']
          : [`azureml:${ARM}/environments/e/versions/2`, `${ARM}/environments/e/versions/2`],
      );
    case 4:
    case 5:
      return { image, ...more() };
    case 6:
    case 7:
      return { image, conda_file: world.named(base, world.conda(base)), ...more() };
    case 8:
      return { image, conda_file: condaOf(random), ...more() };
    case 9: {
      const folder = `${base}/docker${world.next()}`;
      const name = random.pick(['Dockerfile', 'my.Dockerfile', 'sub/Dockerfile']);
      world.files.set(`${folder}/${name}`, 'FROM ubuntu\n');
      if (random.chance(0.4)) world.files.set(`${folder}/requirements.txt`, 'numpy\n');
      return {
        build: {
          path: world.named(base, folder),
          ...(name === 'Dockerfile' && random.chance(0.5) ? {} : { dockerfile_path: name }),
        },
        ...more(),
      };
    }
    case 10:
      return random.chance(0.5)
        ? `file:${world.named(base, world.yaml(`${base}/env${world.next()}.yml`, { name: 'e', image, ...more() }))}`
        : { image, ...more() };
    default:
      return { image };
  }
}

/** Data that is somewhere. */
export function dataPath(world: World, base: string, type: string): string {
  const { random } = world;
  const local = (): string =>
    world.named(base, world.data(base, type === 'uri_file' ? 'file' : type === 'mltable' ? 'table' : 'folder'));
  switch (random.int(0, 9)) {
    case 0:
      return random.pick(['azureml:d:1', 'azureml:d@latest', 'azureml:my-data:2024.1']);
    case 1:
      return random.pick(['azureml://datastores/workspaceblobstore/paths/x/y.csv', 'azureml://datastores/other/paths/folder/']);
    case 2:
      return random.pick([
        'https://example.blob.core.windows.net/c/x.csv',
        'wasbs://c@example.blob.core.windows.net/x',
        'abfss://f@a.dfs.core.windows.net/p',
        'https://x.org/a b.csv',
      ]);
    case 3:
      return random.pick([
        'azureml://registries/reg/data/d/versions/1',
        `azureml:${ARM}/data/d/versions/1`,
        `azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/p`,
      ]);
    case 4:
      return rarely(random) ? `azureml:azureml://datastores/d/paths/x` : random.chance(0.05) ? `file:${local()}` : local();
    default:
      return local();
  }
}
const DATA_TYPES = ['uri_folder', 'uri_file', 'mltable', 'mlflow_model', 'custom_model', 'triton_model'];

/** A value for an input; of a type, when one is asked for. */
export function inputValue(world: World, base: string, type?: string): Yaml {
  const { random } = world;
  const wanted =
    type ??
    random.pick(['string', 'integer', 'number', 'boolean', 'uri_folder', 'uri_file', 'uri_folder', 'mltable', 'mlflow_model']);
  if (!DATA_TYPES.includes(wanted)) {
    const value =
      random.chance(0.04) ? odd(random)
      : wanted === 'integer' ? number(random, -5, 1000)
      : wanted === 'number' ? random.pick<Yaml>([1, 0.5, new Plain('1.50'), new Plain('1.0e-3'), new Plain('10.0')])
      : wanted === 'boolean' ? random.chance(0.5)
      : scalar(random); // prettier-ignore
    return value;
  }
  const path = dataPath(world, base, wanted);
  if (random.chance(0.07)) return path;
  return {
    ...(wanted === 'uri_folder' && random.chance(0.3) ? {} : { type: wanted }),
    path,
    ...random.maybe(0.3, { mode: () => random.pick(rarely(random) || wanted === 'mltable' ? MODES : MODES.slice(0, 3)) }),
    ...random.maybe(0.004, { description: () => word(random), optional: () => random.chance(0.5), path_on_compute: () => '/x' }),
    ...random.maybe(0.03, { datastore: () => 'azureml:other' }),
  };
}

export function outputValue(world: World): Yaml {
  const { random } = world;
  if (random.chance(0.08)) return random.pick<Yaml>([null, {}]);
  const type = random.pick(['uri_folder', 'uri_file', 'uri_folder', 'mltable', 'mlflow_model', 'custom_model']);
  return {
    ...(random.chance(0.85) ? { type } : {}),
    ...random.maybe(0.3, { mode: () => random.pick(['upload', 'rw_mount', 'mount', 'direct', 'rw_mount']) }),
    ...random.maybe(0.3, {
      path: () =>
        random.pick([
          'azureml://datastores/workspaceblobstore/paths/out/${{name}}',
          'azureml://datastores/other/paths/o/',
          'azureml://datastores/d/paths/${{default_datastore}}/x',
          '${{default_datastore}}',
        ]),
    }),
    ...(random.chance(0.15)
      ? { name: random.pick(['made', 'Made2']), ...random.maybe(0.4, { version: () => random.pick<Yaml>(['1', '2.0', 2]) }) }
      : {}),
    ...random.maybe(0.005, { description: () => word(random), path_on_compute: () => '/out', version: () => '1' }),
  };
}

export function resources(random: Random): Yaml {
  return random.maybe(0.35, {
    instance_count: () => number(random, 1, 4),
    instance_type: () => random.pick(['STANDARD_D2_V2', 'gpu']),
    shm_size: () => random.pick<Yaml>(['2g', '100k']),
    docker_args: () => random.pick<Yaml>(['--privileged', ['--a', '-b c']]),
    locations: () => ['eastus', 'westus'],
    max_instance_count: () => number(random, 1, 4),
    properties: () => ({
      singularity: { imageVersion: '' },
      AISuperComputer: { slaTier: 'Basic', x: scalar(random) },
      other: scalar(random),
    }),
  });
}

export function distribution(random: Random): Yaml {
  const type = random.pick(['pytorch', 'mpi', 'tensorflow', 'ray', 'PyTorch', 'Mpi', 'TensorFlow']);
  if (type.toLowerCase() === 'tensorflow')
    return {
      type,
      ...random.maybe(0.6, { parameter_server_count: () => number(random, 0, 2), worker_count: () => number(random, 1, 3) }),
    };
  if (type === 'ray')
    return {
      type,
      ...random.maybe(0.5, {
        port: () => number(random, 1, 9),
        address: () => 'x',
        include_dashboard: () => true,
        dashboard_port: () => 8265,
        head_node_additional_args: () => '--x',
      }),
    };
  return { type, ...random.maybe(0.7, { process_count_per_instance: () => number(random, 0, 8) }) };
}

export function identity(random: Random): Yaml {
  return random.pick<() => Yaml>([
    () => ({
      type: random.pick(
        rarely(random) ? ['UserIdentity', 'amltoken'] : ['user_identity', 'aml_token', 'managed_identity', 'managed'],
      ),
    }),
    () => ({
      type: random.pick(['managed', 'managed_identity']),
      ...random.maybe(0.5, { client_id: () => 'c', object_id: () => 'o' }),
    }),
  ])();
}

export function services(random: Random): Yaml {
  const type = random.pick(
    ['jupyter_lab', 'ssh', 'tensor_board', 'vs_code', 'JupyterLab', 'custom', 'VSCode'].slice(0, random.chance(0.15) ? 7 : 4),
  );
  const own: Record<string, YamlMap> = { ssh: { ssh_public_keys: 'ssh-rsa x' }, tensor_board: { log_dir: 'outputs/tb' } };
  return {
    it: {
      ...(random.chance(0.9) ? { type } : {}),
      ...(random.chance(0.4) ? own[type] : {}),
      ...random.maybe(0.25, {
        port: () => number(random, 1, 9000),
        nodes: () => (rarely(random) ? '0' : 'all'),
        properties: () => ({ a: scalar(random) }),
      }),
    },
  };
}

export const queue = (random: Random): Yaml =>
  random.maybe(0.7, {
    job_tier: () => random.pick(['spot', 'Standard', 'premium', 'null', 'Basic']),
    priority: () => random.pick(['low', 'Medium', 'high']),
  });

export const compute = (random: Random): Yaml =>
  random.pick(
    [
      'azureml:cpu-cluster',
      'azureml:cpu-cluster',
      'serverless',
      'cpu-cluster',
      `azureml:${ARM}/computes/c`,
      'azureml:Gpu',
      'local',
    ].slice(0, random.chance(0.9) ? 4 : 7),
  );

export const variables = (random: Random): Yaml => ({
  A: word(random),
  ...random.maybe(0.3, { 'B.c': () => scalar(random), n: () => scalar(random), E: () => null }),
});

/** What stands at the top of jobs of every type. */
export function heading(random: Random, schema: string): YamlMap {
  const base = 'https://azuremlschemas.azureedge.net';
  return {
    ...random.maybe(0.6, {
      $schema: () =>
        random.pick([
          `${base}/latest/${schema}.schema.json`,
          `${base}/latest/${schema}.schema.json`,
          `http://azureml/sdk-2-0/${schema}.json`,
          `${base}/development/${schema}.schema.json`,
        ]),
    }),
    ...random.maybe(0.25, {
      name: () => random.pick<Yaml>(['my-job', 'My_Job2']),
      display_name: () => word(random),
      experiment_name: () => random.pick<Yaml>(['exp', 'Exp 1', '5']),
      description: () => word(random),
      tags: () => ({ t: word(random), ...random.maybe(0.3, { u: () => word(random), 'x y': () => 'é' }) }),
      properties: () => ({ p: word(random) }),
      identity: () => identity(random),
      services: () => services(random),
    }),
  };
}
