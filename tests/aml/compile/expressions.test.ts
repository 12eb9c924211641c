/** Expressions in odd places, and words for files that are no YAML: what the official client does with each was looked at. */
import assert from 'node:assert/strict';
import { cleanUp, files, properties, specs, WS, type Loose } from './support.js';

const TOP = `type: pipeline
settings: { default_compute: azureml:c }
inputs: { s: x, n: 3, d: { type: uri_folder, path: azureml:d:1 } }
`;
const COMPONENT = `type: command
name: c
command: echo
environment: azureml:e:1
inputs: { d: { type: uri_folder }, s: { type: string, default: y } }
`;
const inline = (inputs: string, command = 'echo'): string =>
  `${TOP}jobs:\n  a:\n    command: ${command}\n    environment: azureml:e:1\n    inputs: {${inputs}}\n`;
const used = (inputs: string): string => `${TOP}jobs: { a: { component: c.yml, inputs: {${inputs}} } }\n`;

describe('compile: expressions', () => {
  afterEach(cleanUp);

  const compile = (text: string): Promise<Loose> => files({ 'job.yml': text, 'c.yml': COMPONENT, 'src/a.py': '' }).compile();
  const refused = (text: string): Promise<string> =>
    files({ 'job.yml': text, 'c.yml': COMPONENT, 'k.yml': COMPONENT, 'src/a.py': '' }).refused();
  const inputs = async (text: string): Promise<Loose> => properties(await compile(text)).jobs.a.inputs;

  it('within an address are left to the service', async () => {
    const address = 'azureml://datastores/d/paths/${{parent.inputs.s}}/x';
    const data = (uri: string): Loose => ({ job_input_type: 'uri_folder', uri });
    assert.deepEqual((await inputs(inline(`i: { type: uri_folder, path: "${address}" }`))).i, data(address));
    assert.deepEqual((await inputs(used(`d: { type: uri_folder, path: "${address}" }`))).d, data(address));
    assert.deepEqual(
      (await inputs(inline('i: { type: uri_folder, path: "azureml:k:${{parent.inputs.n}}" }'))).i,
      data(`${WS}/data/k/versions/\${{parent.inputs.n}}`),
    );
    assert.match(
      await refused(inline('i: { type: uri_folder, path: "data/${{parent.inputs.s}}" }')),
      /There is no file or folder "data\//,
    );
  });

  it('in a row are text, where no type is taken from them', async () => {
    const two = '${{parent.inputs.s}}${{parent.inputs.n}}';
    assert.deepEqual((await inputs(used(`d: "\${{parent.inputs.d}}", s: "${two}"`))).s, {
      job_input_type: 'literal',
      value: two,
    });
    const spaced = '${{ parent.inputs.d }}';
    assert.equal((await inputs(inline(`i: { type: uri_folder, path: "${spaced}" }`))).i.value, spaced);
    assert.match(await refused(inline(`i: "${two}"`)), /bound to \$\{\{parent\.inputs\.s\}\}\$\{\{parent/);
  });

  it('of a step’s command name what the step has, and parts of it', async () => {
    const given = 'p: { type: uri_file, path: azureml:f:1 }';
    const made = await compile(inline(given, 'echo ${{inputs.p.path}} ${{name}}'));
    assert.equal(specs(made)[0].command, 'echo ${{inputs.p.path}} ${{name}}');
    assert.match(await refused(inline(given, 'echo ${{inputs.p.foo}}')), /there is no input p\.foo\. Accepted: p/);
    assert.match(await refused(inline(given, 'echo ${{outputs.zz}}')), /there is no output zz/);
    assert.match(await refused(inline(given, 'echo $[[--a ${{inputs.zz}}]]')), /there is no input zz/);
    assert.match(await refused(inline(given, 'echo ${{search_space.x}}')), /search_space\.x\}\}, which a step does not have/);
  });

  it('in retry_settings go into the component too, as no other setting’s', async () => {
    const parallel = `${TOP}jobs:
  a:
    type: parallel
    input_data: \${{inputs.i}}
    mini_batch_size: "1"
    error_threshold: "\${{parent.inputs.n}}"
    retry_settings: { timeout: "\${{parent.inputs.n}}", max_retries: 2 }
    inputs: { i: "\${{parent.inputs.d}}" }
    task: { type: run_function, code: src, entry_script: a.py, environment: azureml:e:1 }
`;
    const [spec] = specs(await compile(parallel));
    assert.deepEqual(spec.retry_settings, { timeout: '${{parent.inputs.n}}', max_retries: 2 });
    assert.equal('error_threshold' in spec, false);
  });
});

describe('compile: further rules of the client', () => {
  afterEach(cleanUp);

  it('takes text that is a number in a search space, and leaves it text in a choice', async () => {
    const sweep = `type: sweep
trial: { command: echo, environment: azureml:e:1 }
compute: azureml:c
sampling_algorithm: random
search_space:
  a: { type: choice, values: ["1", 2] }
  b: { type: normal, mu: "1", sigma: 2 }
  c: { type: choice, values: [{ k: "1", l: x }] }
objective: { goal: maximize, primary_metric: m }
limits: { max_total_trials: 4 }
`;
    const { searchSpace } = properties(await files({ 'job.yml': sweep }).compile());
    assert.deepEqual(JSON.parse(JSON.stringify(searchSpace)), {
      a: ['choice', [['1', 2]]],
      b: ['normal', [1, 2]],
      c: ['choice', [[{ k: 1, l: 'x' }]]],
    });
  });

  it('reads a Spark step’s settings beside conf, and wants all of them', async () => {
    const spark = (more: string): string =>
      `type: pipeline\njobs:\n  s:\n    component: s.yml\n    resources: {instance_type: standard_e4s_v3, runtime_version: "3.4"}\n${more}`;
    const component =
      'type: spark\nname: s\ncode: src\nentry: {file: a.py}\nconf: {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 1, spark.executor.memory: 2g}\n';
    const more = { 's.yml': component, 'src/a.py': '' };
    const made = await files({
      'job.yml': spark('    executor_instances: 2\n    driver_cores: 3\n    conf: {spark.driver.cores: 4}\n'),
      ...more,
    }).compile();
    const { s } = properties(made).jobs;
    assert.deepEqual([s.conf['spark.executor.instances'], s.conf['spark.driver.cores'], 'driver_cores' in s], [2, 4, false]);
    assert.match(await files({ 'job.yml': spark(''), ...more }).refused(), /lacks spark\.executor\.instances/);
  });

  it('tells in words what is no YAML, where it began', async () => {
    const refused = (text: string): Promise<string> => files({ 'job.yml': text }).refused();
    assert.match(await refused('type: command\n---\ntype: command\n'), /job\.yml:\d:1: A second document begins here/);
    assert.match(
      await refused('type: command\ncommand: "open\nenvironment: azureml:e:1\n'),
      /one problem\.\n {2}job\.yml:2:10: .*Missing closing/,
    );
    assert.match(await refused('type: command\n  command: x\n'), /one problem\.\n.*a key follows where the value is complete/);
    assert.match(await refused('type: {a: b}\n'), /1:7: A mapping is no type of job/);
  });

  it('says one thing about a file of another kind', async () => {
    const schedule =
      '$schema: https://azuremlschemas.azureedge.net/latest/schedule.schema.json\nname: s\ntrigger: {type: cron}\n';
    assert.match(await files({ 'job.yml': schedule }).refused(), /one problem\.\n.*says that it is a schedule/);
  });
});
