/** Loops, branches, and environments that steps share. */
import * as parts from './parts.js';
import { Anchored, Plain, type Yaml, type YamlMap } from './yaml-text.js';
import type { World } from './world.js';

/** Two inline steps with one environment, by anchor and alias. */
export function shareEnvironment(world: World, jobs: YamlMap): void {
  const inline = Object.values(jobs).filter((job) => (job as YamlMap)['command'] !== undefined) as YamlMap[];
  const [first, ...others] = inline;
  if (!first || others.length === 0 || typeof first['environment'] === 'string') return;
  first['environment'] = new Anchored('env', first['environment'] ?? null);
  for (const other of others)
    other['environment'] = world.random.chance(0.5) ? new Plain('*env') : { '<<': new Plain('*env'), description: 'merged' };
}

/** Loops and branches: only with the client's private switch. */
export function withControlFlow(world: World, jobs: YamlMap): void {
  const { random } = world;
  const component: YamlMap = {
    type: 'command',
    name: 'loop',
    environment: 'azureml:e:1',
    command: 'echo ${{inputs.n}} ${{inputs.o}} ${{outputs.again}} ${{outputs.val}}',
    inputs: { n: { type: 'number', default: 1 }, o: { type: 'string', optional: true } },
    outputs: { again: { type: 'boolean' }, val: { type: 'string' } },
  };
  const path = world.named('job', world.yaml('job/loop.yml', component));
  jobs['body'] = { type: 'command', component: path };
  jobs['other'] = { type: 'command', component: path, inputs: { n: parts.inputValue(world, 'job', 'number') } };
  const body = '${{parent.jobs.body}}';
  jobs['flow'] = random.pick<Yaml>([
    {
      type: 'do_while',
      body,
      condition: random.pick(['again', '${{parent.jobs.body.outputs.again}}']),
      mapping: { val: random.pick<Yaml>(['o', ['o'], '${{parent.jobs.body.inputs.o}}']) },
      limits: { max_iteration_count: random.pick<Yaml>([3, '4', 1001]) },
    },
    {
      type: 'parallel_for',
      body,
      items: random.pick<Yaml>([
        [{ n: 1 }, { n: new Plain('2.50') }],
        { a: { n: 1, o: parts.word(random) }, b: { n: 3, o: 'é' } },
        '[{"n": 1e3}]',
        '${{parent.inputs.q}}',
      ]),
      ...random.maybe(0.4, { max_concurrency: () => 2 }),
    },
    {
      type: 'if_else',
      condition: random.pick<Yaml>(['${{parent.jobs.other.outputs.again}}', true, 'true']),
      true_block: body,
      ...random.maybe(0.5, { false_block: () => '${{parent.jobs.other}}' }),
    },
  ]);
}
