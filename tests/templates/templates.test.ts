/** The templates: golden expansions, what each promises, what a wrong place is told. `UPDATE_GOLDEN=1` rewrites the expansions. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ExpandedJob, type ExpandedPipeline, type ExpandedStage, expandPipeline, type Normal, PipelineError } from '../../local/pipeline/expand/index.js';
import { evaluateCondition, type DependencyFacts } from '../../local/pipeline/expressions/runtime.js';
import { writeYaml } from '../../local/pipeline/expand/write.js';
import { lintPipeline } from '../../local/pipeline/lint/index.js';
import { withFiles } from '../local/pipeline/expand/project.js';

const root = join(import.meta.dirname, '..', '..');
const golden = join(import.meta.dirname, 'golden');

function stringified(value: unknown): string {
  return JSON.stringify(value);
}

/** Expands a template by `extends` from another repository. */
function use(template: string, parameters: Record<string, unknown>, extra = ''): ExpandedPipeline {
  const yaml = `resources:\n  repositories:\n  - {repository: aml, type: git, name: mlops/aml}\n${extra}extends:\n  template: templates/${template}@aml\n  parameters: ${stringified(parameters)}\n`;
  return withFiles({ 'pipeline.yml': yaml }, (folder) => expandPipeline('pipeline.yml', { root: folder, repositories: { aml: root } }));
}

function refusal(template: string, parameters: Record<string, unknown>): string {
  try {
    use(template, parameters);
  } catch (error) {
    if (error instanceof PipelineError) return error.message;
    throw error;
  }
  return 'it expanded';
}

const dev = { name: 'dev', azureSubscription: 'arm-dev', resourceGroupName: 'rg-dev', workspaceName: 'dev' };
const test = { name: 'test', azureSubscription: 'arm-test', workspaceName: 'test', environment: 'model-test', pool: { name: 'own' } };
const prod = {
  name: 'eu-prod',
  azureSubscription: 'arm-prod',
  planAzureSubscription: 'arm-prod-read',
  resourceGroupName: 'rg-prod',
  workspaceName: 'prod',
  requireApproval: true,
  timeoutInMinutes: 90,
  gate: { 'not worse': 'accuracy >= champion.accuracy - 0.005' },
};
const train = { pipelineFile: 'aml/pipeline.yml', modelName: 'churn' };

const expansions: Record<string, [template: string, parameters: Record<string, unknown>]> = {
  'train-and-promote': ['stages/train-and-promote.yml', { ...train, registry: 'shared', train: { ...dev, jobInputs: { rate: 0.1 }, gate: { floor: 'accuracy >= 0.8' } }, promoteTo: [test, prod] }],
  'train-and-promote-copy': [
    'stages/train-and-promote.yml',
    {
      ...train,
      train: { ...dev, overrides: 'jobs.train.compute=azureml:gpu' },
      promoteTo: [prod],
      onRejected: 'warn',
      lockBehavior: 'sequential',
      beforeTrain: [{ script: 'echo before' }],
      afterRegister: [{ bash: 'echo registered', condition: 'always()' }],
      beforePromote: [{ script: 'echo before' }],
      afterPromote: [{ script: 'echo $(promote.modelId)', name: 'deploy' }],
    },
  ],
  'train-only': ['stages/train-and-promote.yml', { ...train, train: dev }],
  retrain: ['stages/retrain-per-environment.yml', { ...train, places: [test, prod] }],
  'promote-registry': ['stages/promote.yml', { modelName: 'churn', modelVersion: '7', registry: 'shared', promoteTo: [prod] }],
  'promote-workspace': ['stages/promote.yml', { modelName: 'churn', modelVersion: '7', source: dev, promoteTo: [test, prod] }],
  rollback: ['stages/rollback.yml', { modelName: 'churn', modelVersion: '6', place: prod, afterRollback: [{ script: 'echo $(rollback.modelId)' }] }],
};

describe('templates', () => {
  for (const [name, [template, parameters]] of Object.entries(expansions)) {
    it(`expand as recorded: ${name}`, () => {
      const file = join(golden, `${name}.yml`);
      const text = writeYaml(use(template, parameters));
      if (process.env['UPDATE_GOLDEN'] !== undefined) {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, text);
      }
      assert.ok(existsSync(file), `${file} is missing: UPDATE_GOLDEN=1 writes it`);
      assert.equal(text, readFileSync(file, 'utf8'));
    });
  }

  it('also by include, and from the same repository', () => {
    const included =
      'resources:\n  repositories:\n  - {repository: aml, type: git, name: mlops/aml}\nstages:\n- template: templates/stages/rollback.yml@aml\n' +
      '  parameters: {modelName: churn, place: {name: prod, azureSubscription: arm-prod}}\n- stage: own\n  jobs: []\n';
    const expanded = withFiles({ 'pipeline.yml': included }, (folder) =>
      expandPipeline('pipeline.yml', { root: folder, repositories: { aml: root } }),
    );
    assert.deepEqual(
      expanded.document.stages.map(({ stage }) => stage),
      ['rollback_prod', 'own'],
    );
    const own = expandPipeline('samples/diabetes/azure-pipelines.yml', { root });
    assert.deepEqual(own.document.stages.map(({ stage }) => stage), ['train_dev', 'plan_test', 'promote_test', 'plan_prod', 'promote_prod']);
    assert.ok(own.files.some(({ path, extended }) => extended && path === '/templates/stages/train-and-promote.yml'));
  });

  it('take names with every sign that a name may have, and a model that a variable names', () => {
    for (const modelName of ['a.B_c-9', '$(model name)'])
      assert.equal(refusal('stages/train-and-promote.yml', { ...train, modelName, train: { ...dev, name: 'a-B_9' } }), 'it expanded');
  });

  it('refuse an unknown or a missing key of a place, a wrong value, a wrong type', () => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ ...train, train: { ...dev, resourceGroup: 'x' } }, /train dev has the unknown key resourceGroup; known keys are name, environment, /],
      [{ ...train, train: { name: 'dev', azureSubscription: 'arm', workspacename: 'x' } }, /train dev has the unknown key workspacename; known keys are/],
      [{ ...train, train: { ...dev, 'name,environment': 'x' } }, /train dev has the unknown key name,environment; known keys are/],
      [{ ...train, train: dev, promoteTo: [prod, test, prod] }, /Unexpected value 'promoteTo eu-prod is there twice; stages are named after their place '/],
      [{ ...train, train: dev, promoteTo: [{ ...prod, requireApproval: 'yes' }] }, /promoteTo eu-prod has a wrong value as requireApproval; write true or false/],
      [{ ...train, train: { name: 'dev' } }, /train dev lacks the key azureSubscription/],
      [{ ...train, train: dev, promoteTo: [{ azureSubscription: 'arm' }] }, /promoteTo {2}lacks the key name/],
      [{ ...train, train: { ...dev, gate: 'a > 1' } }, /train dev has a text as gate; write a mapping from a name/],
      [{ ...train, train: { ...dev, jobInputs: 'a: 1' } }, /train dev has a text as jobInputs; write a mapping/],
      [{ ...train, train: dev, promoteTo: [{ ...prod, name: 'eu prod' }] }, /promoteTo eu prod has the character " " in its name; stages are named after it/],
      [{ ...train, train: { ...dev, name: 'd.ev' } }, /train d\.ev has the character "\." in its name/],
      [{ ...train, modelName: 'churn/v2', train: dev }, /modelName churn\/v2 has the character "\/"; a model's name has letters/],
      [{ ...train, train: { ...dev, gate: ['a > 1'] } }, /train dev has a list as gate; write a mapping/],
      [{ ...train, train: dev, lockBehavior: 'never' }, /The 'lockBehavior' parameter value 'never' is not a valid value\./],
      [{ ...train, train: dev, tests: [] }, /Unexpected parameter 'tests'/],
      [{ ...train }, /A value for the 'train' parameter must be provided\./],
      [{ ...train, train: dev, afterPromote: 'echo' }, /The 'afterPromote' parameter is not a valid StepList\./],
    ];
    for (const [parameters, text] of cases) assert.match(refusal('stages/train-and-promote.yml', parameters), text);
  });
});

/** Evaluates the condition of a stage, the outcome of its dependencies given. */
function runs(pipeline: ExpandedPipeline, name: string, dependencies: Record<string, DependencyFacts>, canceled = false): boolean {
  const stage = pipeline.document.stages.find((other) => other.stage === name) as ExpandedStage;
  assert.deepEqual([...(stage.dependsOn ?? [])].sort(), Object.keys(dependencies).sort(), `${name}: dependsOn`);
  return evaluateCondition(stage.condition, 'stageCondition', { dependencies, canceled });
}

function ended(result: DependencyFacts['result'], outputs: Record<string, string> = {}): DependencyFacts {
  return { result, outputs };
}

describe('promises of the templates', () => {
  const [template, parameters] = expansions['train-and-promote'] as [string, Record<string, unknown>];
  const pipeline = use(template, parameters);
  const trained = (outcome: string): DependencyFacts => ended('Succeeded', { 'train.train.register.outcome': outcome });
  const planned = (outcome: string): DependencyFacts => ended('Succeeded', { 'plan.plan.outcome': outcome });
  const promoted = (outcome: string): DependencyFacts => ended('Succeeded', { 'promote.promote.promote.outcome': outcome });

  it('a candidate that was rejected under `warn` goes nowhere', () => {
    assert.equal(runs(pipeline, 'plan_test', { train_dev: trained('registered') }), true);
    assert.equal(runs(pipeline, 'plan_test', { train_dev: trained('unchanged') }), true);
    assert.equal(runs(pipeline, 'plan_test', { train_dev: ended('SucceededWithIssues', { 'train.train.register.outcome': 'rejected' }) }), false);
    assert.equal(runs(pipeline, 'plan_test', { train_dev: ended('Failed') }), false);
    assert.equal(runs(pipeline, 'promote_test', { train_dev: trained('registered'), plan_test: planned('rejected') }), false);
  });

  it('an unchanged place is not asked about and does not stop the chain; any other end does', () => {
    const chain = (plan: DependencyFacts, promote: DependencyFacts): boolean =>
      runs(pipeline, 'plan_eu_prod', { train_dev: trained('registered'), plan_test: plan, promote_test: promote });
    assert.equal(runs(pipeline, 'promote_test', { train_dev: trained('registered'), plan_test: planned('unchanged') }), false);
    assert.equal(chain(planned('planned'), promoted('promoted')), true);
    assert.equal(chain(planned('unchanged'), ended('Skipped')), true);
    assert.equal(chain(planned('planned'), ended('Skipped')), false, 'an approval that was rejected or timed out');
    assert.equal(chain(planned('planned'), ended('Failed')), false);
    assert.equal(chain(planned('planned'), promoted('rejected')), false);
    assert.equal(runs(pipeline, 'plan_eu_prod', { train_dev: trained('registered'), plan_test: planned('planned'), promote_test: promoted('promoted') }, true), false);
  });

  it('retraining: every place has its two decisions, and a rejection ends the chain', () => {
    const retrain = use(...(expansions['retrain'] as [string, Record<string, unknown>]));
    assert.deepEqual(retrain.document.stages.map(({ stage }) => stage), ['train_test', 'promote_test', 'train_eu_prod', 'promote_eu_prod']);
    const plan = (outcome: string): DependencyFacts => ended('Succeeded', { 'train.train.plan.outcome': outcome });
    assert.equal(runs(retrain, 'promote_test', { train_test: plan('planned') }), true);
    assert.equal(runs(retrain, 'promote_test', { train_test: plan('unchanged') }), false);
    assert.equal(runs(retrain, 'train_eu_prod', { train_test: plan('planned'), promote_test: promoted('promoted') }), true);
    assert.equal(runs(retrain, 'train_eu_prod', { train_test: plan('planned'), promote_test: promoted('rejected') }), false);
    assert.equal(runs(retrain, 'train_eu_prod', { train_test: plan('unchanged'), promote_test: ended('Skipped') }), true);
    assert.equal(runs(retrain, 'train_eu_prod', { train_test: ended('SucceededWithIssues'), promote_test: ended('Skipped') }), false);
  });

  it('plans read with the reader\'s connection, promotions are deployments behind their environment', () => {
    const steps = (job: ExpandedJob): Normal => (job.steps ?? job.strategy?.runOnce?.deploy?.steps ?? []) as unknown as Normal;
    for (const stage of pipeline.document.stages) {
      const [job] = stage.jobs as [ExpandedJob];
      const text = JSON.stringify(steps(job));
      if (stage.stage === 'plan_eu_prod') {
        assert.equal(job.deployment, undefined);
        assert.ok(text.includes('arm-prod-read') && !text.includes('"arm-prod"'), text);
      } else if (stage.stage === 'promote_eu_prod') {
        assert.deepEqual(job.environment, { name: 'aml-eu-prod' });
        assert.ok(text.includes('"planDigest":"$(approvedPlan)"') && text.includes('"requireApproval":"true"'), text);
        assert.equal(stage.isSkippable, 'false');
      } else if (stage.stage === 'promote_test') assert.deepEqual(job.environment, { name: 'model-test' });
      for (const artifact of text.matchAll(/"artifactName":"([^"]*)"/g)) assert.match(artifact[1] ?? '', /\$\(System\.StageAttempt\)$/);
    }
  });

  it('a hook runs only after what it follows has happened', () => {
    const hooked = use(...(expansions['train-and-promote-copy'] as [string, Record<string, unknown>]));
    const deploy = hooked.document.stages.at(-1)?.jobs?.[0]?.strategy?.runOnce?.deploy?.steps?.find(({ name }) => name === 'deploy');
    const at = (outcome: string, jobStatus: 'Succeeded' | 'Failed' = 'Succeeded'): boolean =>
      evaluateCondition(deploy?.condition, 'stepCondition', { jobStatus, variables: { 'promote.outcome': outcome } });
    assert.deepEqual([at('promoted'), at('unchanged'), at('rejected'), at('promoted', 'Failed')], [true, true, false, false]);
  });
});

describe('sample pipelines', () => {
  const samples = readdirSync(join(root, 'samples'), { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => /^pipelines\/.*\.yml$|azure-pipelines.*\.yml$/.test(file));
  for (const sample of samples) {
    it(`${sample} expands and has no findings`, () => {
      const needsVersion = readFileSync(join(root, 'samples', sample), 'utf8').includes('${{ parameters.modelVersion }}');
      const findings = lintPipeline(`samples/${sample}`, {
        root,
        repositories: { aml: root },
        ...(needsVersion && { parameters: { modelVersion: '7' } }),
      });
      // the job file of `samples/pipelines` is the reader's own
      assert.deepEqual(findings.filter(({ rule }) => rule !== 'file'), []);
    });
  }
});
