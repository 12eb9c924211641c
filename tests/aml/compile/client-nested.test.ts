/** Nested pipelines, control flow and addresses in unusual spellings; each was tried against the client (control flow with its private switch). */
import assert from 'node:assert/strict';
import { bodyText } from '../../../src/aml/compile/index.js';
import { cleanUp, files, properties, specs, WS, type Loose } from './support.js';

const ENVIRONMENT = 'environment: azureml:e:1\n';
const COMPONENT =
  `type: command\nname: c\n${ENVIRONMENT}` +
  'command: echo $[[${{inputs.o}}]] ${{inputs.r}} $[[${{inputs.d}}]] ${{outputs.val}} ${{outputs.data}}\n' +
  'inputs: {o: {type: string, optional: true}, r: {type: string, default: x}, num: {type: number, optional: true}, d: {type: uri_folder, optional: true}}\n' +
  'outputs: {again: {type: boolean}, val: {type: string}, data: {type: uri_folder}}\n';
const PIPELINE = 'type: pipeline\nsettings: {default_compute: azureml:c}\n';

const compile = (text: string, more: Record<string, string> = {}) =>
  files({ 'job.yml': text, 'c.yml': COMPONENT, ...more }).compile();
const job = async (text: string, more: Record<string, string> = {}): Promise<Loose> => properties(await compile(text, more));
const refused = (text: string, more: Record<string, string> = {}): Promise<string> =>
  files({ 'job.yml': text, 'c.yml': COMPONENT, ...more }).refused();

describe('compile: nested pipelines', () => {
  afterEach(cleanUp);

  const nested = async (binding: string, port: string): Promise<unknown> => {
    const below = `type: pipeline\nname: p\ninputs: {p: {type: string, default: k}}\njobs: {a: {type: command, component: c.yml, inputs: {${port}: '${binding}'}}}\n`;
    const made = await compile(`${PIPELINE}jobs: {s: {type: pipeline, component: p.yml}}\n`, { 'p.yml': below });
    return specs(made).find(({ type }) => type === 'pipeline').inputs.p.optional;
  };

  it('infer optional inputs from whole expressions only, and count spaces within braces as the client does', async () => {
    assert.equal(await nested('${{parent.inputs.p}}', 'o'), true);
    assert.equal(await nested('${{ parent.inputs.p }}', 'o'), true);
    assert.equal(await nested('${{parent.inputs.p}}', 'r'), undefined);
    assert.equal(await nested('x ${{parent.inputs.p}}', 'o'), undefined);
    assert.equal(await nested('${{parent.inputs.p}} ${{parent.inputs.p}}', 'o'), undefined);
  });

  it('take no empty path for data, at any depth', async () => {
    const step = "{type: command, component: c.yml, inputs: {d: ''}}";
    const below = { 'p.yml': `type: pipeline\nname: p\njobs: {a: ${step}}\n` };
    for (const said of [
      await refused(`${PIPELINE}jobs: {a: ${step}}\n`),
      await refused(`${PIPELINE}jobs: {s: {type: pipeline, component: p.yml}}\n`, below),
    ])
      assert.match(said, /An input of type uri_folder takes a path, not ""/);
  });

  it('keep the compute of their step as it is written', async () => {
    const below = { 'p.yml': 'type: pipeline\nname: p\njobs: {a: {type: command, component: c.yml}}\n' };
    const compute = async (text: string, component: string): Promise<unknown> =>
      (
        await job(
          `${PIPELINE}inputs: {c: x}\njobs: {s: {type: pipeline, component: '${component}', compute: '${text}'}}\n`,
          below,
        )
      ).jobs.s.computeId;
    assert.equal(await compute('serverless', 'p.yml'), 'serverless');
    assert.equal(await compute('${{parent.inputs.c}}', 'p.yml'), '${{parent.inputs.c}}');
    assert.equal(await compute('azureml:x', 'p.yml'), `${WS}/computes/azureml:x`);
    assert.equal(await compute('serverless', 'azureml:p:1'), `${WS}/computes/serverless`);
    assert.equal(await compute('azureml:x', 'azureml:p:1'), `${WS}/computes/azureml:x`);
  });
});

describe('compile: control flow', () => {
  afterEach(cleanUp);
  const BODY = `${PIPELINE}inputs: {q: v}\njobs:\n  b: {type: command, component: c.yml}\n  t: {type: command, component: c.yml}\n`;
  const items = async (text: string): Promise<string> =>
    (await job(`${BODY}  l: {type: parallel_for, body: "\${{parent.jobs.b}}", items: ${text}}\n`)).jobs.l.items;

  it('writes items in Python’s spelling, also those that are JSON text', async () => {
    assert.equal(
      await items(`'[{"o":"1.50", "num": 1.50}, {"o":"a\\u00e9", "num": 1e3}]'`),
      '[{"o": "1.50", "num": 1.5}, {"o": "a\\u00e9", "num": 1000.0}]',
    );
    assert.equal(await items('{x: {num: 2, o: yes}}'), '{"x": {"num": 2, "o": true}}');
    assert.equal(await items('"${{parent.inputs.q}}"'), '${{parent.inputs.q}}');
    assert.equal(
      await items('[{d: {path: "${{parent.jobs.t.outputs.data}}"}}]'),
      '[{"d": {"value": "${{parent.jobs.t.outputs.data}}", "job_input_type": "literal"}}]',
    );
    assert.match(
      await refused(`${BODY}  l: {type: parallel_for, body: "\${{parent.jobs.b}}", items: '[{"zz": 1}]'}\n`),
      /no input zz/,
    );
  });

  it('takes text for true, and spaces around the name of a step', async () => {
    const sent = await job(`${BODY}  i: {type: if_else, condition: 'true', true_block: "\${{ parent.jobs.t }}"}\n`);
    assert.deepEqual([sent.jobs.i.condition, sent.jobs.i.true_block], [true, '${{ parent.jobs.t }}']);
    assert.match(
      await refused(`${BODY}  i: {type: if_else, condition: maybe, true_block: "\${{parent.jobs.t}}"}\n`),
      /This is no condition/,
    );
  });

  it('hands one output to each input of the next round, and data to data', async () => {
    const loop = (mapping: string): string =>
      `${BODY}  l: {type: do_while, body: "\${{parent.jobs.b}}", condition: again, limits: {max_iteration_count: 2}, mapping: ${mapping}}\n`;
    assert.deepEqual((await job(loop('{val: [o, r], data: d}'))).jobs.l.mapping, { val: ['o', 'r'], data: ['d'] });
    assert.match(await refused(loop('{val: o, again: o}')), /The input o is given both val and again/);
    assert.match(await refused(loop('{data: o}')), /The output data of type uri_folder cannot be given to o, a string/);
    assert.match(await refused(loop('{}')), /mapping is empty/);
  });
});

describe('compile: addresses', () => {
  afterEach(cleanUp);

  it('finds virtual clusters in the resource group, for jobs of one step', async () => {
    const group = WS.replace(/\/workspaces\/.*/, '');
    assert.equal(
      (await job(`command: echo\n${ENVIRONMENT}compute: azureml:virtualClusters/v\n`)).computeId,
      `${group}/virtualclusters/v`,
    );
    assert.match(
      await refused(`type: pipeline\njobs: {a: {type: command, component: c.yml, compute: 'azureml:virtualClusters/v'}}\n`),
      /no name of a compute/,
    );
  });

  it('hints at the path that file: means, and takes no scheme for the name of data', async () => {
    const data = (path: string): string => `command: echo\n${ENVIRONMENT}inputs: {i: {type: uri_file, path: '${path}'}}\n`;
    assert.match(await refused(data('file:///x/y.csv')), /cannot begin with file:\. Accepted: \/x\/y\.csv/);
    assert.match(await refused(data('dbfs:/x')), /neither a name with a version nor an address/);
  });

  it('takes an empty command as it is, and a time below zero', async () => {
    const sent = await job(`command: ''\n${ENVIRONMENT}limits: {timeout: -1}\n`);
    assert.deepEqual([sent.command, sent.limits.timeout], ['', '-PT1S']);
  });

  it('refuses keys that a data transfer without a component does not have, and hands its properties on to nobody', async () => {
    const step = (more: string): string =>
      `${PIPELINE}jobs: {a: {type: data_transfer, task: copy_data, inputs: {x: {type: uri_file, path: 'azureml:d:1'}}, outputs: {o: {type: uri_file}}, ${more}}}\n`;
    assert.equal((await job(step('properties: {p: q}'))).jobs.a.properties, undefined);
    assert.match(await refused(step('limits: {timeout: 3}')), /Unknown key limits in the step a/);
  });
});

describe('compile: whole floats', () => {
  afterEach(cleanUp);

  it('keep their .0 in the text of a component, as in the client’s', async () => {
    const below =
      'type: pipeline\nname: p\njobs: {s: {type: sweep, trial: c.yml, sampling_algorithm: random, search_space: {num: {type: uniform, min_value: 1.0, max_value: 2.5}}, ' +
      'objective: {goal: minimize, primary_metric: m}, limits: {max_total_trials: 1}}}\n';
    const made = await compile(`${PIPELINE}jobs: {a: {type: pipeline, component: p.yml}}\n`, { 'p.yml': below });
    assert.match(bodyText(made.requests), /"min_value":1\.0,"max_value":2\.5/);
    assert.match(JSON.stringify(made.requests), /"min_value":1,"max_value":2\.5/);
    assert.equal(bodyText({ a: '\u00001', b: [1, 'x'] }, 1), JSON.stringify({ a: '\u00001', b: [1, 'x'] }, null, 1));
  });
});
