/** Pipelines: steps of every type, bound to each other, in jobs and in components. */
import { posix } from 'node:path';
import * as parts from './parts.js';
import {
  commandComponent,
  commandText,
  componentFile,
  parallelSettings,
  parallelTask,
  ports,
  sparkConf,
  sparkKeys,
  codeKeys,
} from './components.js';
import { automlTask } from './automl.js';
import { commandMore, given, naming, shared, stepInputs, stepOutputs, VALUES, type Scope } from './bindings.js';
import { shareEnvironment } from './control-flow.js';
import { searchSpace, sweepKeys } from './searching.js';
import { Plain, type Yaml, type YamlMap } from './yaml-text.js';
import type { Made, World } from './world.js';

type StepMaker = (
  world: World,
  base: string,
  scope: Scope,
  depth: number,
) => { value: YamlMap; outputs: { name: string; type: string }[] };

const inlineCommand: StepMaker = (world, base, scope) => {
  const { random } = world;
  const { inputs, outputs } = ports(world);
  const own = stepInputs(
    world,
    base,
    scope,
    inputs.map(({ name, type }) => ({ name, type })),
  );
  const there = Object.keys((own['inputs'] as YamlMap | undefined) ?? {});
  const declared: YamlMap = {};
  for (const { name } of outputs)
    declared[name] =
      random.chance(0.3) && scope.outputs.length > 0
        ? `\${{parent.outputs.${random.pick(scope.outputs).name}}}`
        : parts.outputValue(world);
  return {
    value: {
      ...(random.chance(0.8) ? { type: 'command' } : {}),
      command: commandText(
        world,
        inputs.filter(({ name }) => there.includes(name)),
        outputs,
      ),
      ...codeKeys(world, base, false),
      environment: parts.environment(world, base),
      ...own,
      ...(outputs.length > 0 ? { outputs: declared } : {}),
      ...commandMore(world),
    },
    outputs,
  };
};

const componentStep: StepMaker = (world, base, scope) => {
  const { random } = world;
  const roll = random.next();
  const type = random.chance(0.8) ? { type: 'command' } : {};
  if (roll < 0.15) {
    const component = random.pick([
      'azureml:comp:1',
      'azureml:comp@latest',
      'azureml://registries/azureml/components/c/versions/0.0.1',
      'azureml://registries/reg/components/c/labels/latest',
    ]);
    const inputs = ['a', 'data'].map((name) => ({ name, type: name === 'a' ? 'string' : 'uri_folder' }));
    return {
      value: { ...type, component, ...stepInputs(world, base, scope, inputs), ...commandMore(world) },
      outputs: [{ name: 'out', type: 'uri_folder' }],
    };
  }
  if (roll < 0.35) {
    const { value, inputs, outputs } = commandComponent(world, base);
    return {
      value: {
        ...type,
        component: value,
        ...stepInputs(world, base, scope, inputs),
        ...stepOutputs(world, scope, outputs),
        ...commandMore(world),
      },
      outputs,
    };
  }
  const made = componentFile(world, 'command');
  return {
    value: {
      ...type,
      component: naming(world, base, made),
      ...stepInputs(world, base, scope, made.inputs),
      ...stepOutputs(world, scope, made.outputs),
      ...commandMore(world),
    },
    outputs: made.outputs,
  };
};

const sweepStep: StepMaker = (world, base, scope) => {
  const { random } = world;
  const inline = random.chance(0.25) ? commandComponent(world, base) : undefined;
  const made = inline ?? componentFile(world, 'command');
  const searched = made.inputs.filter(({ type }) => VALUES.includes(type)).slice(0, 2);
  const space: YamlMap = Object.fromEntries(searched.map(({ name }) => [name, searchSpace(world)]));
  const rest = made.inputs.filter((one) => !searched.includes(one));
  return {
    value: {
      type: 'sweep',
      trial: inline ? inline.value : naming(world, base, made as Made),
      ...(searched.length > 0 || random.chance(0.8)
        ? { search_space: searched.length > 0 ? space : { lr: searchSpace(world) } }
        : {}),
      ...sweepKeys(world),
      ...stepInputs(world, base, scope, rest),
      ...stepOutputs(world, scope, made.outputs),
      ...random.maybe(0.12, {
        compute: () => parts.compute(random),
        queue_settings: () => parts.queue(random),
        resources: () => parts.resources(random),
      }),
    },
    outputs: made.outputs,
  };
};

const parallelStep: StepMaker = (world, base, scope) => {
  const { random } = world;
  const more = random.chance(0.4) ? parallelSettings(world) : {};
  const inputs = { inputs: { data: given(world, base, scope, 'uri_folder') } };
  const outputs = [{ name: 'out', type: 'uri_file' }];
  if (random.chance(0.5)) {
    const made = componentFile(world, 'parallel');
    return {
      value: {
        type: 'parallel',
        component: naming(world, base, made),
        ...inputs,
        ...stepOutputs(world, scope, outputs),
        ...more,
      },
      outputs,
    };
  }
  return {
    value: {
      type: 'parallel',
      ...inputs,
      outputs: { out: { type: 'uri_file', ...random.maybe(0.3, { mode: () => 'rw_mount' }) } },
      input_data: '${{inputs.data}}',
      task: parallelTask(world, base),
      ...more,
    },
    outputs,
  };
};

const sparkStep: StepMaker = (world, base, scope) => {
  const { random } = world;
  const outputs = [{ name: 'out', type: 'uri_folder' }];
  const place = random.chance(0.5)
    ? { compute: 'azureml:spark' }
    : {
        resources: {
          instance_type: random.pick(['standard_e4s_v3', 'Standard_E8S_V3']),
          runtime_version: random.pick<Yaml>(['3.4', new Plain('3.3')]),
        },
      };
  const inputs = {
    inputs: {
      data: {
        type: 'uri_folder',
        path: random.chance(0.5) ? 'azureml://datastores/d/paths/x/' : world.named(base, world.data(base, 'folder')),
        mode: 'direct',
      },
    },
  };
  if (random.chance(0.5)) {
    const made = componentFile(world, 'spark');
    return {
      value: {
        type: 'spark',
        component: naming(world, base, made),
        ...inputs,
        ...stepOutputs(world, { ...scope, outputs: [] }, []),
        ...place,
        ...random.maybe(0.2, { conf: () => sparkConf(world) }),
      },
      outputs,
    };
  }
  return {
    value: {
      type: 'spark',
      ...inputs,
      outputs: { out: { type: 'uri_folder', mode: 'direct' } },
      ...sparkKeys(world, base),
      ...place,
      ...random.maybe(0.2, { identity: () => parts.identity(random) }),
    },
    outputs,
  };
};

const automlStep: StepMaker = (world, base) => ({ value: { type: 'automl', ...automlTask(world, base, true) }, outputs: [] });

const transferStep: StepMaker = (world, base, scope) => {
  const { random } = world;
  if (random.chance(0.7)) {
    return {
      value: {
        type: 'data_transfer',
        task: 'copy_data',
        ...random.maybe(0.7, { data_copy_mode: () => random.pick(['merge_with_overwrite', 'fail_if_conflict']) }),
        inputs: {
          a: given(world, base, scope, 'uri_folder'),
          ...(random.chance(0.3) ? { b: given(world, base, scope, 'uri_folder') } : {}),
        },
        outputs: {
          out: {
            type: 'uri_folder',
            ...random.maybe(0.4, { path: () => 'azureml://datastores/d/paths/x', mode: () => 'upload' }),
          },
        },
      },
      outputs: [{ name: 'out', type: 'uri_folder' }],
    };
  }
  return {
    value: {
      type: 'data_transfer',
      task: 'export_data',
      inputs: { source: { type: 'uri_file', path: 'azureml://datastores/d/paths/x.csv' } },
      sink: { type: 'database', table_name: 'merged', connection: 'azureml:my_azuresqldb_connection' },
    },
    outputs: [],
  };
};

/** A pipeline within a pipeline. */
const nestedStep: StepMaker = (world, base, scope, depth) => {
  const { random } = world;
  const known = world.components.filter(({ type }) => type === 'pipeline');
  const made = known.length > 0 && random.chance(0.35) ? random.pick(known) : pipelineFile(world, depth + 1);
  return {
    value: {
      type: 'pipeline',
      component: naming(world, base, made),
      ...stepInputs(world, base, scope, made.inputs),
      ...stepOutputs(world, scope, made.outputs),
    },
    outputs: made.outputs,
  };
};

function pipelineFile(world: World, depth: number): Made {
  const { random } = world;
  const base = random.pick(['job', 'components', `components/p${world.next()}`]);
  const { inputs, outputs, yaml } = ports(world);
  const jobs = steps(world, base, { inputs, outputs, made: [] }, depth);
  const path = world.yaml(posix.join(base, `pipe${world.next()}.yml`), {
    ...random.maybe(0.6, { $schema: () => 'https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json' }),
    type: 'pipeline',
    ...random.maybe(0.7, {
      name: () => 'pipe',
      version: () => new Plain('1'),
      display_name: () => parts.word(random),
      description: () => parts.word(random),
      tags: () => ({ a: parts.word(random) }),
    }),
    ...yaml,
    jobs,
  });
  const made = { path, type: 'pipeline', inputs, outputs };
  world.components.push(made);
  return made;
}

export function steps(world: World, base: string, scope: Scope, depth = 0): YamlMap {
  const { random } = world;
  const jobs: YamlMap = {};
  for (let index = random.int(1, depth === 0 ? 4 : 2); index > 0; index--) {
    const roll = random.next();
    const make: StepMaker =
      roll < 0.25 ? inlineCommand
      : roll < 0.6 ? componentStep
      : roll < 0.7 ? sweepStep
      : roll < 0.78 ? parallelStep
      : roll < 0.84 ? sparkStep
      : roll < 0.88 ? automlStep
      : roll < 0.92 ? transferStep
      : depth < 2 ? nestedStep : componentStep; // prettier-ignore
    const name = `${random.pick(['train', 'prep_data', 's', 'score_1'])}${index}`;
    const { value, outputs } = make(world, base, scope, depth);
    jobs[name] = { ...value, ...shared(world) };
    if (value['type'] !== 'automl') {
      const said = Object.keys((value['outputs'] as YamlMap | undefined) ?? {});
      scope.made.push(
        ...outputs
          .filter((one) => value['component'] !== undefined || said.includes(one.name))
          .map((one) => ({ step: name, ...one })),
      );
    }
  }
  if (random.chance(0.12)) shareEnvironment(world, jobs);
  return jobs;
}
