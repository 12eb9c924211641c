/** What generated files showed (tests/e2e/compile-parity): each rule with its own small case, tried against the client. */
import assert from 'node:assert/strict';
import { timeText } from '../../../src/aml/compile/scalars.js';
import { cleanUp, files, properties, specs, type Loose } from './support.js';

const PIPELINE = 'type: pipeline\nsettings: {default_compute: azureml:c}\n';
const COMPONENT =
  'type: command\nname: c\nenvironment: azureml:e:1\ncommand: echo ${{inputs.a}} ${{inputs.d}}\ninputs: {a: {type: number}, d: {type: uri_folder}}\n';
const SWEEP =
  'type: sweep, trial: c.yml, search_space: {a: {type: choice, values: [1]}}, limits: {max_total_trials: 1}, objective: {goal: minimize, primary_metric: m}, sampling_algorithm: random';
const TASK = 'task: {type: run_function, code: src, entry_script: a.py, environment: azureml:e:1}';
const PARALLEL = `type: parallel, ${TASK}, outputs: {o: {type: uri_file}}, input_data: "\${{inputs.d}}"`;

const more = { 'c.yml': COMPONENT, 'src/a.py': '' };
const compile = (text: string, others: Record<string, string> = {}) => files({ 'job.yml': text, ...more, ...others }).compile();
const step = async (text: string): Promise<Loose> => properties(await compile(`${PIPELINE}jobs:\n  s: {${text}}\n`)).jobs.s;
const refused = (text: string, others: Record<string, string> = {}): Promise<string> =>
  files({ 'job.yml': text, ...more, ...others }).refused();

describe('compile: rules that generated files showed', () => {
  afterEach(cleanUp);

  it('leaves out keys of jobs that a step may hold', async () => {
    for (const kind of [`${PARALLEL}, inputs: {d: {path: azureml:d:1}}`, 'type: pipeline, component: azureml:p:1']) {
      const sent = await step(`${kind}, services: {it: {type: vs_code}}, log_files: x, parameters: {q: 1}`);
      assert.deepEqual([sent.services, sent.log_files, sent.parameters], [undefined, undefined, undefined]);
    }
    const swept = await step(`${SWEEP}, inputs: {d: {path: azureml:d:1}}, services: 5, parameters: {q: 1}`);
    assert.deepEqual([swept.services, swept.parameters], [undefined, { q: 1 }]);
  });

  it('sends parent_job_name of a step with a component, but not of a command', async () => {
    assert.equal((await step('type: parallel, component: azureml:p:1, parent_job_name: y')).parent_job_name, 'y');
    assert.equal((await step('type: command, component: azureml:p:1, parent_job_name: y')).parent_job_name, undefined);
    const inline = `${PARALLEL}, inputs: {d: {path: azureml:d:1}}, parent_job_name: y`;
    assert.match(await refused(`${PIPELINE}jobs:\n  s: {${inline}}\n`), /Unknown key parent_job_name/);
  });

  it('gives an inline step type and mode of what it is bound to, no limits', async () => {
    const made = await compile(`${PIPELINE}jobs:\n  s: {type: pipeline, component: p.yml, inputs: {n: 2}}\n`, {
      'p.yml':
        'type: pipeline\ninputs: {n: {type: integer, max: 10, description: x}}\n' +
        'jobs: {a: {command: "echo ${{inputs.n}}", environment: azureml:e:1, inputs: {n: "${{parent.inputs.n}}"}}}\n',
    });
    assert.deepEqual(specs(made).find(({ type }) => type === 'command').inputs, { n: { type: 'integer' } });
  });

  it('looks at inline steps for optional inputs, and not at sweeps', async () => {
    const nested = (inner: string): [string, Record<string, string>] => [
      `${PIPELINE}jobs: {s: {type: pipeline, component: p.yml}}\n`,
      { 'p.yml': `type: pipeline\ninputs: {d: {type: uri_folder, optional: true}}\njobs:\n  a: {${inner}}\n` },
    ];
    const bound = 'inputs: {d: "${{parent.inputs.d}}"}';
    assert.match(await refused(...nested(`${PARALLEL}, ${bound}`)), /optional input d is bound to a\.d, which is required/);
    await compile(...nested(`${SWEEP}, ${bound}`));
  });

  it('sends resources of an automl step as they are written, and no zeros of its forecasting', async () => {
    const task = 'type: automl, task: forecasting, target_column_name: y, training_data: {type: mltable, path: azureml:d:1}';
    const sent = await step(
      `${task}, forecasting: {seasonality: 0, cv_step_size: 0}, resources: {docker_args: [--a], max_instance_count: 3}`,
    );
    assert.deepEqual(sent.resources, { docker_args: "['--a']", max_instance_count: 3 });
    assert.deepEqual(sent.forecasting, { cv_step_size: 0 });
  });

  it('wants the inputs that a sweep’s trial names in single braces', async () => {
    const job = `type: sweep\ncompute: azureml:c\ntrial: {command: "echo {inputs.old}", environment: azureml:e:1}\nsearch_space: {lr: {type: choice, values: [1]}}\nobjective: {goal: minimize, primary_metric: m}\nsampling_algorithm: random\nlimits: {max_total_trials: 1}\n`;
    assert.match(await refused(job), /there is no input old/);
    await compile('command: echo {inputs.old}\nenvironment: azureml:e:1\n');
  });

  it('writes times of environment variables in UTC', async () => {
    const sent = await compile(
      'command: echo\nenvironment: azureml:e:1\nenvironment_variables: {a: 2024-1-1 10:00:00 -01:30, b: 2024-01-01}\n',
    );
    assert.deepEqual(properties(sent).environmentVariables, { a: '2024-01-01T11:30:00Z', b: '2024-01-01' });
    assert.equal(timeText('2001-12-14t21:59:43.10-05:00'), '2001-12-15T02:59:43.100000Z');
    assert.equal(timeText('2024-01-01 1:02:03.123456789'), '2024-01-01T01:02:03.123456Z');
  });

  it('takes no expression for the type of a pipeline’s input', async () => {
    const job = `${PIPELINE}inputs: {d: {type: "\${{inputs.p}}", path: src}}\njobs: {s: {type: command, component: azureml:x:1}}\n`;
    assert.match(await refused(job), /is no expression/);
  });
});
