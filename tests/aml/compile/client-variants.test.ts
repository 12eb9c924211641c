/** Rules of the official client that changed files showed: real job files with one or two places altered, given to the client. */
import assert from 'node:assert/strict';
import { cleanUp, files, properties, writesTo, type Loose } from './support.js';

const COMMAND = 'command: ls\nenvironment: azureml:e:1\ncompute: azureml:cpu\n';
const TABLE = 'training_data: {type: mltable, path: "azureml:t:1"}\ntarget_column_name: y\ncompute: azureml:cpu\n';
const IMAGE = `type: automl\ntask: image_object_detection\n${TABLE}`;
const SPARK = 'entry: {file: main.py}\ncode: src\n';
const indent = (text: string): string => text.replace(/^(?=.)/gm, '    ');
const inStep = (text: string): string => `type: pipeline\njobs:\n  a:\n${indent(text)}`;

const given = (text: string, more: Record<string, string> = {}) => files({ 'job.yml': text, 'src/main.py': '', ...more });
const job = async (text: string): Promise<Loose> => properties(await given(text).compile());
const refused = (text: string, more: Record<string, string> = {}): Promise<string> => given(text, more).refused();

describe('compile: YAML as PyYAML reads it', () => {
  afterEach(cleanUp);

  it('takes brackets whose lines are not indented past their key', async () => {
    const text = `${COMMAND}tags: {\na: "b # }", # }\nc: 'it''s ]'\n}\nenvironment_variables: {A: x,\nB: "2"}\ndescription: d\n`;
    const sent = await job(text);
    assert.deepEqual(sent.tags, { a: 'b # }', c: "it's ]" });
    assert.deepEqual([sent.environmentVariables, sent.description], [{ A: 'x', B: '2' }, 'd']);
    assert.match(await refused(text.replace("c: 'it''s ]'", 'c: [2]')), /job\.yml:6:4: c: A list is not text/);
  });

  it('names the bracket that is not closed, also when a comment swallows its end', async () => {
    for (const open of ['{a: b', '{a: b # }', '{a: [b, "]"}']) {
      assert.match(
        await refused(`tags: ${open}\n${COMMAND}`),
        /job\.yml:1:7: Not valid YAML: the bracket that opens here is not closed\.|job\.yml:\d+:\d+: Not valid YAML/,
        open,
      );
    }
    assert.match(
      await refused(`tags: {a: b # }\n${COMMAND}`),
      /job\.yml:1:7: Not valid YAML: the bracket that opens here is not closed/,
    );
  });

  it('takes tabs within quotes, blocks of text and comments only', async () => {
    const fine =
      'command: |\n  echo\ta\n\n    \tb\nenvironment: azureml:e:1 #\tc\ncompute: azureml:cpu\n#\tc\ndescription: "a\tb\n\tc"\n';
    const sent = await job(fine);
    assert.deepEqual([sent.command, sent.description], ['echo\ta\n\n  \tb\n', 'a\tb c']);
    for (const [text, place] of [
      ['command:\tls\n', '1:9'],
      ['command: ls\t\n', '1:12'],
      ['command: "ls"\t# c\n', '1:14'],
      ['command: ls a\tb\n', '1:14'],
      ['command: ls\ntags: {a: b,\tc: d}\n', '2:13'],
      ['command: |\t\n  ls\n', '1:11'],
    ] as const) {
      const message = await refused(`${text}environment: azureml:e:1\ncompute: azureml:cpu\n`);
      assert.match(message, new RegExp(`job\\.yml:${place}: A tab stands here`), text);
    }
  });
});

describe('compile: search spaces of automated ML', () => {
  afterEach(cleanUp);
  const TYPED: [string, string, string][] = [
    ['learning_rate: 1', 'learningRate', '1.0'],
    ['learning_rate: "0.1"', 'learningRate', '0.1'],
    ['learning_rate: {type: choice, values: [1, 2]}', 'learningRate', 'choice(1,2)'],
    ['learning_rate: {type: choice, values: [1, "2.5"]}', 'learningRate', 'choice(1.0,2.5)'],
    ['optimizer: {type: Choice, values: [Sgd, adam]}', 'optimizer', "choice('sgd','adam')"],
    ['early_stopping: {type: choice, values: [true, "no", 1]}', 'earlyStopping', 'choice(True,False,True)'],
    ['number_of_epochs: {type: quniform, min_value: 1, max_value: 9, q: 2}', 'numberOfEpochs', 'quniform(1,9,2)'],
  ];

  it('have the types of what is searched over', async () => {
    for (const [text, key, sent] of TYPED) {
      const details = (await job(`${IMAGE}search_space: [{${text}}]\n`)).taskDetails;
      assert.equal(details.searchSpace[0][key], sent, text);
    }
  });

  it('are refused where the client refuses them', async () => {
    for (const [text, message] of [
      ['optimizer: sdg', /"sdg" is not known here\..* Accepted: none, sgd, adam or adamw/],
      ['optimizer: {type: choice, values: [sdg]}', /"sdg" is not known here/],
      ['number_of_epochs: {type: choice, values: [1.5]}', /"1\.5" is not a whole number/],
      ['number_of_epochs: {type: uniform, min_value: 1, max_value: 2}', /"uniform" is not known here\. Did you mean quniform\?/],
      ['model_name: {type: choice, values: [1]}', /"1" is not text/],
      ['advanced_settings: x', /Unknown key advanced_settings in the search space/],
    ] as const)
      assert.match(await refused(`${IMAGE}search_space: [{${text}}]\n`), message, text);
    const text = `type: automl\ntask: text_classification\n${TABLE}search_space: [{number_of_epochs: {type: qnormal, mu: 1, sigma: 1, q: 1}}]\n`;
    assert.match(await refused(text), /"qnormal" is not known here\. Accepted: choice or randint/);
  });

  it('may stand in steps as the text that is sent', async () => {
    const space = `search_space: [{min_size: "choice(600, 800)", learning_rate: "uniform(0.1,1)", number_of_epochs: "3"}]\n`;
    const step = (await job(inStep(`${IMAGE}${space}`))).jobs.a;
    assert.deepEqual(step.search_space, [
      { min_size: 'choice(600,800)', learning_rate: 'uniform(0.1,1)', number_of_epochs: '3' },
    ]);
  });

  it('go with a sampling algorithm that a job names and a step may describe', async () => {
    const sweep = `${IMAGE}sweep: {sampling_algorithm: {type: random}}\n`;
    assert.match(await refused(sweep), /An automl job names its sampling algorithm/);
    assert.deepEqual((await job(inStep(sweep))).jobs.a.sweep.sampling_algorithm, { type: 'random' });
  });
});

describe('compile: Spark', () => {
  afterEach(cleanUp);
  const conf = (more = 'spark.executor.instances: 1'): string =>
    `conf: {spark.driver.cores: 1, spark.driver.memory: 1g, spark.executor.cores: 1, spark.executor.memory: 1g, ${more}}\n`;
  const PLACE = 'resources: {instance_type: standard_e4s_v3, runtime_version: "3.4"}\n';

  it('reads and writes in mode direct in steps too, unless the pipeline or the component says how', async () => {
    const inline = `type: spark\n${SPARK}${conf()}${PLACE}args: "\${{outputs.o}}"\n`;
    for (const output of ['{type: uri_folder}', '{mode: upload}', '{}'])
      assert.match(await refused(inStep(`${inline}outputs: {o: ${output}}\n`)), /o is used in mode .*mode direct only/, output);
    assert.match(
      await refused(inStep(`${inline}inputs: {i: {path: "azureml:d:1"}}\noutputs: {o: }\n`)),
      /i is used in mode \(none\)/,
    );
    for (const output of ['{mode: direct}', '', '{path: "${{parent.outputs.o}}", mode: upload}'])
      await job(`${inStep(`${inline}outputs: {o: ${output}}\n`)}outputs: {o: {}}\n`);
    const step = inStep(`type: spark\ncomponent: c.yml\n${PLACE}outputs: {o: {type: uri_folder}}\n`);
    const component = (port: string) => ({
      'c.yml': `type: spark\nname: c\nversion: 1\n${SPARK}${conf()}outputs: {o: ${port}}\nargs: "\${{outputs.o}}"\n`,
    });
    assert.match(await refused(step, component('{type: uri_folder}')), /o is used in mode \(none\)/);
    await given(step, component('{type: uri_folder, mode: direct}')).compile();
  });

  it('takes a conda file for an environment', async () => {
    const text = `type: spark\n${SPARK}${PLACE}${conf()}environment: {conda_file: k.yml, description: d}\n`;
    const made = await given(text, { 'k.yml': 'name: k\n' }).compile();
    const { image, condaFile, description } = writesTo(made, 'environments')[0].properties;
    assert.deepEqual([image, condaFile, description], ['conda/miniconda3', 'name: k\n', undefined]);
    assert.match(
      await refused(`${COMMAND.replace('azureml:e:1', '{conda_file: k.yml}')}`, { 'k.yml': 'name: k\n' }),
      /neither image nor build/,
    );
  });

  it('sends no services of a job', async () => {
    assert.equal('services' in (await job(`type: spark\n${SPARK}${PLACE}${conf()}services: {s: {type: ssh}}\n`)), false);
  });

  it('compares numbers of executors, not text', async () => {
    const dynamic = (least: string, most: string): string =>
      `type: spark\n${SPARK}${PLACE}${conf(
        `spark.dynamicAllocation.enabled: true, spark.dynamicAllocation.minExecutors: ${least}, spark.dynamicAllocation.maxExecutors: ${most}`,
      )}`;
    await job(dynamic('1', '4'));
    assert.match(await refused(dynamic('1', '"4"')), /are compared; one of them is text\. Accepted: 2, without quotes/);
    assert.match(await refused(dynamic('5', '4')), /minExecutors must be at least 1 and at most maxExecutors/);
  });
});

describe('compile: small parts', () => {
  afterEach(cleanUp);

  it('takes an empty name of a job or an experiment for none', async () => {
    const folder = files({ 'train/job.yml': `${COMMAND}display_name: ""\nexperiment_name: ""\n` });
    const sent = properties(await folder.compile('train/job.yml'));
    assert.deepEqual([sent.displayName, sent.experimentName], ['case', 'train']);
  });

  it('writes an environment each time its description is not the last one', async () => {
    const step = (name: string, text: string) => `  ${name}: {command: ls, environment: {image: i, description: ${text}}}\n`;
    const made = await given(
      `type: pipeline\nsettings: {default_compute: azureml:cpu}\njobs:\n${step('a', 'x')}${step('b', 'x')}${step('c', 'y')}${step('d', 'x')}`,
    ).compile();
    assert.deepEqual(
      writesTo(made, 'environments').map((body) => body.properties.description),
      ['x', 'y', 'x'],
    );
  });

  it('takes modes of tables where no other type is said', async () => {
    const step = (more: string) =>
      `${inStep(`${COMMAND}inputs: {i: {path: "\${{parent.inputs.t}}", mode: eval_mount${more}}}\n`)}inputs: {t: {type: mltable, path: "azureml:t:1"}}\n`;
    assert.equal((await job(step(''))).jobs.a.inputs.i.mode, 'EvalMount');
    assert.match(await refused(step(', type: uri_folder')), /The mode eval_mount is for mltable inputs only/);
  });

  it('takes settings of a stack ensemble in a step, with the share of the client, and in no job', async () => {
    const text = (settings: string) =>
      `type: automl\ntask: classification\n${TABLE}training: {stack_ensemble_settings: {${settings}}}\n`;
    const stack = async (settings: string) => (await job(inStep(text(settings)))).jobs.a.training.stack_ensemble_settings;
    assert.deepEqual(await stack('stack_meta_learner_type: LightGBMClassifier'), {
      stack_meta_learner_type: 'light_gbm_classifier',
      stack_meta_learner_train_percentage: 0.2,
    });
    assert.deepEqual(await stack('stack_meta_learner_type: none, stack_meta_learner_train_percentage: 0.3'), {
      stack_meta_learner_type: 'none',
      stack_meta_learner_train_percentage: 0.3,
    });
    assert.match(await refused(inStep(text('stack_meta_learner_train_percentage: 0.3'))), /stack_meta_learner_type/);
    assert.match(await refused(text('stack_meta_learner_type: none')), /job takes no stack_ensemble_settings/);
  });

  it('sends services of an automl job as they are written, and none of a sweep step', async () => {
    const services = 'services: {s: {type: SSH, ssh_public_keys: k}}\n';
    const sent = await job(`type: automl\ntask: regression\n${TABLE}${services}`);
    assert.deepEqual(sent.services, { s: { type: 'ssh', ssh_public_keys: 'k' } });
    const sweep = `type: sweep\ntrial: azureml:c:1\ncompute: azureml:cpu\nobjective: {goal: minimize, primary_metric: m}\nsampling_algorithm: random\nlimits: {max_total_trials: 2}\nsearch_space: {a: {type: choice, values: [1]}}\n`;
    assert.equal('services' in (await job(inStep(`${sweep}${services}`))).jobs.a, false);
  });

  it('needs a conda file where it is named', async () => {
    assert.match(
      await refused('command: ls\nenvironment: {image: i, conda_file: }\n'),
      /conda_file: The value is missing\. Accepted: the path of a conda file/,
    );
  });

  it('sends of retry settings only what the service has', async () => {
    const step = `type: parallel\ncompute: azureml:cpu\nmini_batch_size: "1"\ninput_data: "\${{inputs.d}}"\ninputs: {d: {type: mltable, path: "azureml:d:1"}}\nretry_settings: {max_retries: 1, backoff: 3}\ntask: {type: run_function, code: src, entry_script: main.py, environment: "azureml:e:1"}\n`;
    assert.deepEqual((await job(inStep(step))).jobs.a.retry_settings, { max_retries: 1 });
  });

  it('writes the algorithm, empty settings and Docker arguments of a sweep step as the client does', async () => {
    const sweep =
      'type: sweep\ntrial: azureml:c:1\ncompute: azureml:cpu\nobjective: {goal: minimize, primary_metric: m}\nlimits: {max_total_trials: 2}\nsearch_space: {a: {type: choice, values: [1]}}\nsampling_algorithm: {type: Random, seed: 1}\nearly_termination: {type: bandit, evaluation_interval: , slack_factor: 0.1}\nresources: {docker_args: [--ipc=host, "-v a"]}\n';
    const sent = (await job(inStep(sweep))).jobs.a;
    assert.deepEqual(sent.sampling_algorithm, { type: 'random', seed: 1 });
    assert.equal('evaluation_interval' in sent.early_termination, false);
    assert.equal(sent.early_termination.delay_evaluation, 0);
    assert.equal(sent.resources.docker_args, "['--ipc=host', '-v a']");
  });

  it('knows @latest only, and no place of an input on the compute', async () => {
    for (const text of [COMMAND.replace('e:1', 'e@prod'), `${COMMAND}inputs: {d: {path: "azureml:d@prod"}}\n`]) {
      assert.match(await refused(text), /The label in "azureml:[ed]@prod" is not known\. Accepted: azureml:[ed]@latest or/);
    }
    assert.match(
      await refused(`${COMMAND}inputs: {d: {path: "azureml:d:1", path_on_compute: /x}}\n`),
      /Unknown key path_on_compute in an input/,
    );
  });

  it('takes code of a registry in components, not in jobs', async () => {
    const code = 'azureml://registries/r/codes/c/versions/1';
    const made = await given(inStep(`${COMMAND}code: ${code}\n`)).compile();
    assert.equal(writesTo(made, 'components')[0].properties.componentSpec.code, code);
    assert.match(await refused(`${COMMAND}code: ${code}\n`), /Code cannot be named as/);
  });

  it('takes limits of numbers only, in components', async () => {
    const component = (input: string) => ({
      'c.yml': `name: c\nversion: 1\ntype: command\ncommand: ls\nenvironment: azureml:e:1\ninputs: {i: ${input}}\n`,
    });
    const step = inStep('component: c.yml\ncompute: azureml:cpu\ninputs: {i: 3}\n');
    for (const input of ['{type: string, min: 1}', '{type: boolean, min: true}', '{type: integer, min: true}'])
      assert.match(await refused(step, component(input)), /min limits numbers only, not the input i/, input);
    const sent = await given(step, component('{type: integer, min: 1.5, max: "9"}')).compile();
    const { min, max } = writesTo(sent, 'components')[0].properties.componentSpec.inputs.i;
    assert.deepEqual([min, max], ['1', '9']);
  });

  it('takes whole numbers of any length for integers', async () => {
    const long = '12345678901234567890';
    const step = inStep(`command: ls\nenvironment: azureml:e:1\ncompute: azureml:cpu\ninputs: {i: ${long}}\n`);
    const made = await given(step).compile();
    assert.equal(properties(made).jobs.a.inputs.i.value, long);
    assert.equal(writesTo(made, 'components')[0].properties.componentSpec.inputs.i.type, 'integer');
  });
});
