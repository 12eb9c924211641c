/** Rules of the official client that few files show: each was seen by giving the client such a file. */
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { cleanUp, files, properties, writesTo, type Loose } from './support.js';

const COMMAND = 'command: ls\nenvironment: azureml:e:1\ncompute: azureml:cpu\n';
const COMPONENT = 'name: c\nversion: 1\ntype: command\ncommand: ls\nenvironment: azureml:e:1\n';
const PIPELINE = 'type: pipeline\ncompute: azureml:cpu\n';
const TABLE = 'training_data: {type: mltable, path: "azureml:t:1"}\ntarget_column_name: y\n';
const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ');

async function job(text: string, more: Record<string, string> = {}): Promise<Loose> {
  return properties(await files({ 'job.yml': text, 'src/main.py': '', ...more }).compile());
}
async function step(text: string, more: Record<string, string> = {}): Promise<Loose> {
  return (await job(`${PIPELINE}jobs:\n  a:\n${indent(text)}`, more)).jobs.a;
}
async function component(text: string): Promise<Loose> {
  const made = await files({ 'job.yml': `${PIPELINE}jobs:\n  a: {component: c.yml}\n`, 'c.yml': text }).compile();
  return writesTo(made, 'components')[0].properties;
}
const refused = (text: string, more: Record<string, string> = {}): Promise<string> =>
  files({ 'job.yml': text, ...more }).refused();

describe('compile: rules of the client', () => {
  afterEach(cleanUp);

  it('takes 1 and 0 under value: for booleans, and cuts fractions', async () => {
    const made = files({
      'job.yml': `${COMMAND}inputs: {a: {value: 1}, b: {value: 0.0}, c: {value: 2.9}, d: {value: "2.9"}, e: {value: 7}}\n`,
    });
    const compiled = await made.compile();
    const values = Object.values(properties(compiled).inputs as Record<string, Loose>).map(({ value }) => value);
    assert.deepEqual(values, ['True', 'False', '2', '2.9', '7']);
    assert.equal(compiled.warnings.length, 3);
  });

  it('encodes the name of a job in its address', async () => {
    const compiled = await files({ 'job.yml': COMMAND }).compile('job.yml', { name: '../a b?c' });
    assert.match(compiled.path, /\/jobs\/\.\.%2Fa%20b%3Fc$/);
  });

  it('refuses keys that YAML reads as booleans, types in upper case and fields that the client fails on', async () => {
    assert.match(await refused(`${COMMAND}tags: {yes: a}\n`), /job\.yml:4:8: The key yes is no text to YAML\. Accepted: "yes"/);
    assert.match(await refused(`${COMMAND}inputs: {on: a}\n`), /The key on is no text/);
    assert.match(await refused(`type: Command\n${COMMAND}`), /"Command" is no type of job .*Did you mean command\?/);
    assert.match(
      await refused(`${COMMAND}identity: {type: managed, msi_resource_id: x}\n`),
      /Unknown key msi_resource_id in identity/,
    );
    assert.match(await refused(`${PIPELINE}jobs:\n  a:\n${indent(COMMAND)}    comment: hey\n`), /Unknown key comment/);
  });

  it('sends tags of a component file as text in its specification and as they are beside it', async () => {
    const made = await component(`${COMPONENT}tags: {a: 1, b: true, c: null}\nproperties: {p: [1]}\n`);
    assert.deepEqual(made.componentSpec.tags, { a: '1', b: 'True' });
    assert.deepEqual(made.tags, { a: 1, b: true, c: null });
    assert.deepEqual([made.componentSpec.properties, made.properties], [{ p: [1] }, { p: [1] }]);
    const none = await component(`${COMPONENT}tags: {c: null}\n`);
    assert.equal('tags' in none.componentSpec, false);
  });

  it('leaves unknown settings of a component’s resources and distribution out', async () => {
    const made = await component(`${COMPONENT}resources: {instance_count: 2, x: 1}\ndistribution: {type: mpi, y: 2}\n`);
    assert.deepEqual([made.componentSpec.resources, made.componentSpec.distribution], [{ instance_count: 2 }, { type: 'mpi' }]);
    assert.deepEqual((await component(`${COMPONENT}instance_count: 3\n`)).componentSpec.resources, { instance_count: 3 });
  });

  it('gives properties of pipeline and parallel components to the asset only', async () => {
    const pipeline = await component(
      'name: p\nversion: 1\ntype: pipeline\nproperties: {a: b}\njobs: {q: {component: "azureml:z:1"}}\n',
    );
    assert.deepEqual([pipeline.componentSpec.properties, pipeline.properties], [undefined, { a: 'b' }]);
  });

  it('takes description and outputs’ descriptions of a job from its pipeline component', async () => {
    const sent = await job(`${PIPELINE}component: c.yml\n`, {
      'c.yml':
        'name: p\nversion: 1\ntype: pipeline\ndescription: from below\noutputs: {o: {type: uri_folder, description: z}}\njobs: {q: {component: "azureml:z:1"}}\n',
    });
    assert.equal(sent.description, 'from below');
    assert.equal(sent.outputs.o.description, 'z');
  });

  it('does not let a step change whether its component is deterministic', async () => {
    assert.equal('is_deterministic' in (await step('component: azureml:c:1\nis_deterministic: true\n')), false);
  });

  it('writes the identity of parallel steps in the words of YAML', async () => {
    const text =
      'type: parallel\nmini_batch_size: "1"\ninput_data: ${{inputs.d}}\ninputs: {d: {type: uri_folder, path: "azureml:d:1"}}\nidentity: {type: managed}\ntask: {type: run_function, code: src, entry_script: main.py, environment: "azureml:e:1"}\n';
    assert.deepEqual((await step(text)).identity, { type: 'managed' });
  });

  it('knows the defaults of policies, and sends no services of a sweep', async () => {
    const sweep =
      'sampling_algorithm: random\nobjective: {goal: minimize, primary_metric: m}\nsearch_space: {a: {type: choice, values: [1]}}\nlimits: {max_total_trials: 2}\nearly_termination: {type: median_stopping}\n';
    const sent = await job(
      `type: sweep\ntrial: {command: "ls \${{search_space.a}}", environment: "azureml:e:1"}\ncompute: azureml:cpu\nservices: {s: {type: ssh}}\n${sweep}`,
    );
    assert.equal(sent.earlyTermination.evaluationInterval, 1);
    assert.equal('services' in sent, false);
    assert.equal((await step(`type: sweep\ntrial: azureml:c:1\n${sweep}`)).early_termination.evaluation_interval, 1);
  });

  it('refuses Spark executors outside of what dynamic allocation may take, and empty configuration', async () => {
    const spark = (conf: string): string =>
      `type: spark\ncode: src\nentry: {file: main.py}\nresources: {instance_type: standard_e4s_v3, runtime_version: "3.4"}\nconf: {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 2, spark.executor.memory: 2g, ${conf}}\n`;
    const dynamic =
      'spark.executor.instances: 9, spark.dynamicAllocation.enabled: true, spark.dynamicAllocation.minExecutors: 1, spark.dynamicAllocation.maxExecutors: 4';
    assert.match(await refused(spark(dynamic), { 'src/main.py': '' }), /spark\.executor\.instances is 9.* Accepted: 1 to 4/);
    assert.match(
      await refused(spark('spark.executor.instances: 1, spark.x: null'), { 'src/main.py': '' }),
      /The value is missing/,
    );
  });
});

describe('compile: rules of the client for automated ML', () => {
  afterEach(cleanUp);

  it('takes the task of an automl job as it is spelled, that of a step in any spelling', async () => {
    const job = files({ 'job.yml': `type: automl\ntask: Classification\n${TABLE}` });
    assert.match(await job.refused(), /job\.yml:2:7: "Classification" is no task\. Did you mean classification\?/);
    for (const task of ['Regression', 'REGRESSION', 'TextNer']) {
      const step = `${PIPELINE}jobs:\n  a:\n    type: automl\n    task: ${task}\n    target_column_name: y\n    training_data: {type: mltable, path: "azureml:t:1"}\n`;
      const { jobs } = properties(await files({ 'job.yml': step }).compile());
      assert.equal(jobs.a.task, task === 'TextNer' ? 'text_ner' : 'regression');
    }
  });

  it('needs a sampling algorithm for a sweep, and leaves out settings of zero as the client does', async () => {
    const text = `type: automl\ntask: text_ner\n${TABLE}sweep: {early_termination: {type: bandit, slack_factor: 0.1}}\n`;
    assert.match(await files({ 'job.yml': text }).refused(), /The key sampling_algorithm of sweep is missing/);
    const zero =
      'forecasting: {time_column_name: t, forecast_horizon: 0, target_lags: [], seasonality: 0, target_rolling_window_size: 0}\n';
    const job = files({
      'job.yml': `type: automl\ntask: forecasting\n${TABLE}n_cross_validations: 0\nlimits: {timeout_minutes: -5}\n${zero}`,
    });
    const { taskDetails } = properties(await job.compile());
    assert.equal(taskDetails.nCrossValidations, 0);
    assert.equal(taskDetails.limitSettings.timeout, '-PT5M');
    assert.deepEqual(JSON.parse(JSON.stringify(taskDetails.forecastingSettings)), { timeColumnName: 't' });
  });

  it('has another metric for a classification step than for a job', async () => {
    const text = `type: automl\ntask: classification\n${TABLE}`;
    assert.equal((await job(`${text}compute: azureml:cpu\n`)).taskDetails.primaryMetric, 'AUCWeighted');
    assert.equal((await step(text)).primary_metric, 'accuracy');
  });

  it('keeps names and text of a step, lists of column names as Python text, and tables as text', async () => {
    const sent = await step(
      'type: automl\ntask: forecasting\ndescription: d\nexperiment_name: x\ntraining_data: azureml:t:1\ntarget_column_name: y\nforecasting: {time_column_name: t, time_series_id_column_names: [a, b], target_lags: [1]}\n',
    );
    assert.deepEqual([sent.description, sent.experiment_name, sent.training_data], ['d', 'x', 'azureml:t:1']);
    assert.deepEqual(sent.forecasting, { time_column_name: 't', time_series_id_column_names: "['a', 'b']", target_lags: [1] });
    const folder = `${PIPELINE}jobs:\n  a:\n    type: automl\n    task: regression\n    training_data: {type: uri_folder, path: "azureml:t:1"}\n    target_column_name: y\n`;
    assert.match(await refused(folder), /"uri_folder" is no table\. Accepted: mltable/);
  });

  it('sends no target column of entity recognition, and floats of search spaces without exponents', async () => {
    const sent = await job(
      `type: automl\ntask: text_ner\ncompute: azureml:cpu\n${TABLE}sweep: {sampling_algorithm: random}\nsearch_space: [{learning_rate: {type: uniform, min_value: 0.000005, max_value: 1.5e-4}, weight_decay: 1.0e+21}]\n`,
    );
    assert.equal('targetColumnName' in sent.taskDetails, false);
    assert.deepEqual(sent.taskDetails.searchSpace, [
      { learningRate: 'uniform(0.000005,0.00015)', weightDecay: '1000000000000000000000' },
    ]);
  });

  it('sends search spaces of text steps as mappings, and refuses to sweep them', async () => {
    const text = `type: automl\ntask: text_classification\n${TABLE}search_space: [{training_batch_size: {type: randint, upper: 5}}]\n`;
    assert.deepEqual((await step(text)).search_space, [{ training_batch_size: { type: 'randint', upper: 5 } }]);
    assert.match(
      await refused(`${PIPELINE}jobs:\n  a:\n${indent(text)}    sweep: {sampling_algorithm: random}\n`),
      /A step of task text_classification cannot have sweep/,
    );
  });

  it('names image parameters as the service does, and sends test data of images in steps only', async () => {
    const image = `type: automl\ntask: image_object_detection\n${TABLE}training_parameters: {step_lr_gamma: 0.1, warmup_cosine_lr_cycles: 0.4, log_training_metrics: enable}\n`;
    const settings = (await job(`${image}compute: azureml:cpu\n`)).taskDetails.modelSettings;
    assert.deepEqual(settings, { stepLRGamma: 0.1, warmupCosineLRCycles: 0.4, logTrainingMetrics: 'Enable' });
    const space = 'search_space: [{step_lr_step_size: 3}]\ncompute: azureml:cpu\n';
    assert.deepEqual((await job(`${image}${space}`)).taskDetails.searchSpace, [{ stepLRStepSize: '3' }]);
    assert.match(
      await refused(`${image}search_space: [{min_size: "choice(600, 800)"}]\ncompute: azureml:cpu\n`),
      /"choice\(600, 800\)" is not a whole number\. Accepted: a whole number, or a mapping/,
    );
    assert.equal((await step(image)).training_parameters.log_training_metrics, 'LogTrainingMetrics.ENABLE');
    const test = 'test_data: {type: mltable, path: "azureml:u:1"}\n';
    assert.equal('testData' in (await job(`${image}compute: azureml:cpu\n${test}`)).taskDetails, false);
    const { test_data: sent } = await step(`${image}${test}`);
    assert.equal(sent.type, 'mltable');
    assert.match(sent.path, /^azureml:\/subscriptions\/.*\/data\/u\/versions\/1$/);
    assert.deepEqual((await step(`${image}identity: {type: managed}\n`)).identity, { type: 'managed_identity' });
    const ner = `type: automl\ntask: text_ner\n${TABLE}${test}`;
    assert.equal('test_data' in (await step(ner)), false);
    assert.match(await refused(`${ner}compute: azureml:cpu\n`), /Unknown key test_data/);
  });
});

describe('compile: links', () => {
  afterEach(cleanUp);

  it('calls code and data what they are called where a link leads', async function () {
    const made = files({
      'job.yml': 'command: ls\nenvironment: azureml:e:1\ncompute: azureml:cpu\ncode: link\ninputs: {d: {path: link/../beside}}\n',
      'deep/real/main.py': '',
      'deep/beside/x.csv': '',
    });
    try {
      symlinkSync('deep/real', made.path('link'), 'dir');
    } catch (error) {
      // Windows gives links to those who may.
      if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
      this.skip();
    }
    const compiled = await made.compile();
    assert.match(writesTo(compiled, 'codes')[0].properties.codeUri, /\/real$/);
    assert.match(properties(compiled).inputs.d.uri, /\/beside\/$/);
  });
});
