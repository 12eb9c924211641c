import assert from 'node:assert/strict';
import { cleanUp, files, properties, specs, WS } from './support.js';

const settings = 'settings: { default_compute: azureml:cpu }\n';
const component = `type: command
name: ignored
inputs: { n: { type: integer, default: 5, optional: true }, d: { type: uri_folder } }
outputs: { o: { type: uri_file } }
environment: azureml:env:1
code: ./src
command: echo \${{inputs.d}}
`;

describe('compile: pipelines', () => {
  afterEach(cleanUp);

  it('makes a component of a file, once however often it is used', async () => {
    const folder = files({
      'job.yml': `type: pipeline
${settings}inputs: { data: { type: uri_folder, path: azureml:d:1 } }
outputs: { out: { mode: upload } }
jobs:
  a: { component: c/comp.yml, inputs: { d: "\${{parent.inputs.data}}", n: 3 }, outputs: { o: "\${{parent.outputs.out}}" }, compute: azureml:gpu }
  b: { type: command, component: c/comp.yml, inputs: { d: { path: "\${{parent.jobs.a.outputs.o}}", mode: download } } }
`,
      'c/comp.yml': component,
      'c/src/x.py': '1',
    });
    const compiled = await folder.compile();
    const { jobs, settings: sent } = properties(compiled);
    assert.equal(specs(compiled).length, 1);
    assert.equal(compiled.needsAmlToken, true);
    assert.deepEqual(specs(compiled)[0].inputs, {
      n: { type: 'integer', default: '5', optional: true },
      d: { type: 'uri_folder' },
    });
    assert.match(specs(compiled)[0].code, /^azureml:\/subscriptions/);
    assert.equal(specs(compiled)[0].name, 'azureml_anonymous');
    assert.deepEqual(jobs.a.inputs, {
      n: { job_input_type: 'literal', value: '3' },
      d: { job_input_type: 'literal', value: '${{parent.inputs.data}}' },
    });
    assert.deepEqual(jobs.a.outputs, { o: { type: 'literal', value: '${{parent.outputs.out}}' } });
    assert.equal(jobs.a.computeId, `${WS}/computes/gpu`);
    assert.equal(jobs.a._source, 'YAML.COMPONENT');
    assert.deepEqual(jobs.b.inputs.d, { job_input_type: 'literal', value: '${{parent.jobs.a.outputs.o}}', mode: 'Download' });
    assert.deepEqual(sent, { default_compute: `${WS}/computes/cpu`, _source: 'YAML.JOB' });
  });

  it('gives an inline step a component whose inputs have the types of what they are bound to', async () => {
    const folder = files({
      'job.yml': `type: pipeline
${settings}inputs: { rate: 0.5, data: { type: mltable, path: azureml:d:1, mode: direct } }
jobs:
  a: { command: echo, environment: "azureml:e:1", inputs: { r: "\${{parent.inputs.rate}}", d: "\${{parent.inputs.data}}", k: 3 }, outputs: { t: { type: mltable } } }
  b: { command: echo, environment: "azureml:e:1", inputs: { t: "\${{parent.jobs.a.outputs.t}}" } }
`,
    });
    const [a, b] = specs(await folder.compile());
    assert.deepEqual(a.inputs, {
      r: { type: 'number' },
      d: { type: 'mltable', mode: 'direct' },
      k: { type: 'integer', default: '3' },
    });
    assert.deepEqual(b.inputs, { t: { type: 'mltable' } });
  });

  it('compiles nested pipelines, and infers which of their inputs are optional', async () => {
    const folder = files({
      'job.yml': `type: pipeline\n${settings}jobs: { p: { type: pipeline, component: sub/p.yml, inputs: { d: { type: uri_folder, path: azureml:d:1 } } } }\n`,
      'sub/p.yml': `type: pipeline
inputs: { d: { type: uri_folder }, n: { type: integer } }
jobs: { c: { component: c.yml, inputs: { d: "\${{parent.inputs.d}}", n: "\${{parent.inputs.n}}" } } }
`,
      'sub/c.yml': component,
      'sub/src/x.py': '1',
    });
    const message = await folder.refused();
    assert.match(message, /does not give the input n/);
    folder.write({
      'job.yml': `type: pipeline\n${settings}jobs: { p: { type: pipeline, component: sub/p.yml, inputs: { n: 1, d: { type: uri_folder, path: azureml:d:1 } } } }\n`,
    });
    const [inner, outer] = specs(await folder.compile());
    assert.equal(inner.type, 'command');
    assert.equal(outer.inputs.n.optional, true);
    assert.equal(outer.inputs.d.optional, undefined);
    assert.equal(outer.sourceJobId, null);
  });

  it('names circles of components', async () => {
    const folder = files({
      'job.yml': `type: pipeline\n${settings}jobs: { p: { type: pipeline, component: a.yml } }\n`,
      'a.yml': 'type: pipeline\njobs: { b: { type: pipeline, component: b.yml } }\n',
      'b.yml': 'type: pipeline\njobs: { a: { type: pipeline, component: a.yml } }\n',
    });
    assert.match(await folder.refused(), /b\.yml:2:41: The component names itself again: .*a\.yml → .*b\.yml → .*a\.yml/);
  });

  it('passes references on', async () => {
    const folder = files({
      'job.yml': `type: pipeline
settings: { default_compute: serverless, default_datastore: azureml:store, continue_on_step_failure: false, own: 1 }
jobs:
  r: { type: pipeline, component: azureml://registries/reg/components/c/labels/latest, inputs: { x: 1 } }
  w: { component: azureml:c:2, limits: { timeout: 60 }, unknown_key: { a: 1 } }
`,
    });
    const { jobs, settings: sent } = properties(await folder.compile());
    assert.equal(jobs.r.componentId, 'azureml://registries/reg/components/c/labels/latest');
    assert.equal(jobs.r._source, 'REMOTE.REGISTRY');
    assert.equal(jobs.w.componentId, `${WS}/components/c/versions/2`);
    assert.deepEqual(jobs.w.limits, { timeout: 'PT1M', job_limits_type: 'Command' });
    assert.deepEqual(jobs.w.unknown_key, { a: 1 });
    assert.deepEqual(sent, {
      default_compute: `${WS}/computes/serverless`,
      default_datastore: `${WS}/datastores/store`,
      continue_on_step_failure: false,
      own: 1,
      _source: 'YAML.JOB',
    });
  });

  it('runs a pipeline component as a job', async () => {
    const folder = files({
      'job.yml': 'type: pipeline\ncomponent: p.yml\ncompute: azureml:c\ninputs: { n: 7 }\n',
      'p.yml':
        'type: pipeline\ninputs: { n: { type: integer }, m: { type: integer, default: 3 } }\noutputs: { o: { type: uri_file } }\njobs: { a: { component: c.yml } }\n',
      'c.yml': 'type: command\ncommand: echo\nenvironment: azureml:e:1\n',
    });
    const sent = properties(await folder.compile());
    assert.match(sent.componentId, /azureml_anonymous/);
    assert.deepEqual(sent.inputs, { n: { jobInputType: 'literal', value: '7' }, m: { jobInputType: 'literal', value: '3' } });
    assert.deepEqual(sent.outputs, { o: { jobOutputType: 'uri_file' } });
  });

  it('compiles sweep, parallel, spark and automl steps', async () => {
    const folder = files({
      'src/a.py': '1',
      'trial.yml': 'type: command\ncommand: echo\nenvironment: azureml:e:1\ninputs: { lr: { type: number } }\n',
      'job.yml': `type: pipeline
${settings}inputs: { t: { type: mltable, path: azureml:t:1 } }
jobs:
  s:
    type: sweep
    trial: trial.yml
    search_space: { lr: { type: uniform, min_value: 0.1, max_value: 1 } }
    objective: { goal: Maximize, primary_metric: acc }
    limits: { max_total_trials: 4, timeout: 30 }
    early_termination: { type: bandit, slack_factor: 0.1 }
  p:
    type: parallel
    inputs: { d: { type: uri_folder, path: azureml:d:1 } }
    mini_batch_size: 5kb
    partition_keys: [a, b]
    task: { type: run_function, code: src, entry_script: a.py, environment: azureml:e:1 }
  k:
    type: spark
    code: src
    entry: { file: a.py }
    conf: { spark.driver.cores: 1, spark.driver.memory: 1g, spark.executor.cores: 1, spark.executor.memory: 1g, spark.executor.instances: 2 }
    resources: { instance_type: standard_e4s_v3, runtime_version: 3.4 }
  m: { type: automl, task: regression, target_column_name: y, training_data: "\${{parent.inputs.t}}" }
`,
    });
    const { jobs } = properties(await folder.compile());
    assert.match(jobs.s.trial.componentId, /azureml_anonymous/);
    assert.equal(jobs.s.componentId, undefined);
    assert.equal(jobs.s.limits.timeout, 60);
    assert.deepEqual(jobs.s.early_termination, {
      delay_evaluation: 0,
      evaluation_interval: 0,
      policy_type: 'Bandit',
      slack_factor: 0.1,
    });
    assert.equal(jobs.p.mini_batch_size, 5120);
    assert.equal(jobs.p.partition_keys, '["a", "b"]');
    assert.match(jobs.p.task.code, /^azureml:\/subscriptions/);
    assert.deepEqual(jobs.k.identity, { identity_type: 'UserIdentity' });
    assert.deepEqual(jobs.k.resources, { instance_type: 'standard_e4s_v3', runtime_version: '3.4' });
    assert.equal(jobs.m._source, undefined);
    assert.equal(jobs.m.primary_metric, 'normalized_root_mean_squared_error');
  });

  it('compiles loops and conditions', async () => {
    const folder = files({
      'c.yml':
        'type: command\ncommand: echo\nenvironment: azureml:e:1\ninputs: { n: { type: integer, optional: true } }\noutputs: { go: { type: boolean, early_available: true }, m: { type: integer } }\n',
      'job.yml': `type: pipeline
${settings}jobs:
  body: { component: c.yml }
  loop:
    type: do_while
    body: \${{parent.jobs.body}}
    condition: \${{parent.jobs.body.outputs.go}}
    mapping: { "\${{parent.jobs.body.outputs.m}}": "\${{parent.jobs.body.inputs.n}}" }
    limits: { max_iteration_count: 3 }
  each: { component: c.yml }
  fan: { type: parallel_for, body: "\${{parent.jobs.each}}", items: [{ n: 1 }, { n: 2 }], max_concurrency: 2 }
  if: { type: if_else, condition: "\${{parent.jobs.body.outputs.go}}", true_block: "\${{parent.jobs.each}}" }
`,
    });
    const { jobs } = properties(await folder.compile());
    assert.deepEqual(jobs.loop, {
      type: 'do_while',
      body: '${{parent.jobs.body}}',
      condition: 'go',
      mapping: { m: ['n'] },
      limits: { max_iteration_count: 3 },
      _source: 'YAML.JOB',
    });
    assert.equal(jobs.fan.items, '[{"n": 1}, {"n": 2}]');
    assert.equal(jobs.if.true_block, '${{parent.jobs.each}}');
  });
});
