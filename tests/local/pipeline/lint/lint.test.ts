/** The linter: one small pipeline a rule. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TaskDefinition } from '../../../../local/agent/task-definition.js';
import { type Finding, lintPipeline, type LintOptions } from '../../../../local/pipeline/lint/index.js';
import { taskDefinitions } from '../../../../local/pipeline/lint/task-definitions.js';
import { parseEnvironmentsFile } from '../../../../src/devops/environments-file.js';
import { type Files, withFiles } from '../expand/project.js';

const connection = {
  name: 'azureSubscription',
  label: 'Service connection',
  type: 'connectedService:AzureRM',
  required: true,
  visibleRule: 'action != validate',
};
/** As much of a task.json as the linter reads. */
const definitions = [
  {
    name: 'RunAmlPipeline',
    version: { Major: 1 },
    inputs: [
      { name: 'action', type: 'pickList', defaultValue: 'run', options: { run: '', submit: '', attach: '', validate: '' } },
      connection,
      { name: 'workspaceName', type: 'pickList', properties: { EditableOptions: 'True' } },
      {
        name: 'pipelineFile',
        label: 'Job file',
        type: 'filePath',
        required: true,
        visibleRule: 'action = run || action = submit || action = validate',
      },
      { name: 'jobName', type: 'string' },
    ],
    outputVariables: [{ name: 'jobName' }, { name: 'metrics' }],
  },
  {
    name: 'PromoteModel',
    version: { Major: 1 },
    inputs: [
      { name: 'action', type: 'pickList', defaultValue: 'promote', options: { promote: '', plan: '', rollback: '' } },
      { name: 'azureSubscription', type: 'connectedService:AzureRM' },
      { name: 'targetAzureSubscription', type: 'connectedService:AzureRM' },
      { name: 'targetWorkspaceName', type: 'string' },
      { name: 'gate', type: 'multiLine' },
      { name: 'requireApproval', type: 'boolean' },
    ],
    outputVariables: [{ name: 'outcome' }, { name: 'modelId' }],
  },
] as TaskDefinition[];

function lint(files: Files | string, options: Partial<LintOptions> = {}): Finding[] {
  const all = typeof files === 'string' ? { 'pipeline.yml': files } : files;
  return withFiles({ 'aml.yml': 'type: pipeline\n', ...all }, (root) =>
    lintPipeline('pipeline.yml', { root, definitions, ...options }),
  );
}

function told(found: readonly Finding[]): string[] {
  return found.map(({ rule, message, position }) => `${position?.line ?? 0}:${position?.column ?? 0} ${rule}: ${message}`);
}

function assertTold(yaml: Files | string, wanted: RegExp[], options: Partial<LintOptions> = {}): void {
  const found = told(lint(yaml, options));
  assert.equal(found.length, wanted.length, found.join('\n'));
  wanted.forEach((pattern, index) => assert.match(found[index] ?? '', pattern));
}

const run = 'steps:\n- task: RunAmlPipeline@1\n  name: run\n  inputs:\n';

describe('lint', () => {
  it('task inputs: unknown, missing, wrong, by line and column', () => {
    assertTold(`${run}    azureSubscription: arm-dev\n    pipelinefile: aml.yml\n    actoin: submit\n`, [
      /^7:5 task-input: RunAmlPipeline has no input 'actoin'\. Did you mean 'action'\?/,
    ]);
    assertTold(`${run}    action: attac\n    azureSubscription: $(connection)\n`, [
      /^5:5 task-input: 'action' of RunAmlPipeline is 'attac'; accepted are run, submit, attach, validate/,
      /^6:5 compile-time-name: 'azureSubscription' is '\$\(connection\)'/,
    ]);
    assertTold(`${run}    action: run\n`, [
      /task-input: RunAmlPipeline needs the input '(azureSubscription|pipelineFile)'/,
      /task-input/,
    ]);
    assertTold(`${run}    action: validate\n    pipelineFile: aml.yml\n`, []);
    assertTold(run.replace('@1', '@2') + '    action: run\n', [/^2:3 task-version: RunAmlPipeline has version 1/]);
  });

  it('job files: a deployment job checks nothing out; a file that is not there', () => {
    const step = '{task: RunAmlPipeline@1, inputs: {action: validate, pipelineFile: aml.yml}}';
    const job = (steps: string): string =>
      `jobs:\n- deployment: d\n  environment: dev\n  strategy: {runOnce: {deploy: {steps: [${steps}]}}}\n`;
    assertTold(job(step), [/checkout: 'pipelineFile' needs the repository's files, and a deployment job checks nothing out/]);
    assertTold(job(`{checkout: self}, ${step}`), []);
    assertTold(`${run}    action: validate\n    pipelineFile: nope.yml\n`, [/file: 'pipelineFile' names nope\.yml/]);
  });

  it('gates are compiled', () => {
    const yaml = 'steps:\n- task: PromoteModel@1\n  inputs:\n    action: plan\n    gate: accuracy >=\n';
    assertTold(yaml, [/^5:5 gate: /]);
  });

  it('output variables: producers, keys, dependencies', () => {
    const producer =
      'stages:\n- stage: train\n  jobs:\n  - deployment: d\n    environment: dev\n    strategy: {runOnce: {deploy: {steps: [{checkout: self}, {task: RunAmlPipeline@1, name: run, inputs: {action: validate, pipelineFile: aml.yml}}]}}}\n';
    const consumer = (condition: string, value: string): string =>
      `${producer}- stage: use\n  dependsOn: train\n  condition: ${condition}\n  jobs:\n  - job: j\n    variables:\n      v: ${value}\n    steps: [{script: a}]\n`;
    assertTold(
      consumer(
        "eq(dependencies.train.outputs['d.d.run.jobName'], '')",
        "$[ stageDependencies.train.d.outputs['d.run.jobName'] ]",
      ),
      [],
    );
    assertTold(
      consumer("eq(dependencies.train.outputs['d.run.jobName'], '')", "$[ stageDependencies.train.d.outputs['run.jobName'] ]"),
      [
        /^9:3 output-reference: Nothing in dependencies\.train sets the output variable 'd\.run\.jobName'\. Did you mean 'd\.d\.run\.jobName'\?/,
        /Did you mean 'd\.run\.jobName'\?/,
      ],
    );
    assertTold(consumer('eq(dependencies.other.result, 1)', "$[ dependencies.d.outputs['x'] ]"), [
      /There is no stage other/,
      /There is no job d/,
    ]);
    assertTold(consumer('succeeded()', '$[ nosuch.a ]'), [/runtime-expression: .*Unrecognized value: 'nosuch'/]);
    assertTold(consumer("in(dependencies.train.outputs['d.d.run.nope'], 'a')", 'x'), [
      /It sets d\.d\.run\.jobName, d\.d\.run\.metrics/,
    ]);
  });

  it('output variables within a job', () => {
    const steps = `${run}    action: validate\n    pipelineFile: aml.yml\n- script: echo $(run.jobNam) $(Build.BuildId) $(other.x)\n- script: echo $(late.x)\n- bash: echo "##vso[task.setvariable variable=x;isOutput=true]1"\n  name: late\n`;
    assertTold(steps, [
      /^7:3 output-reference: The step 'run' sets no output variable 'jobNam'\. It sets jobName, metrics/,
      /^8:3 output-reference: 'late\.x' is read before the step/,
    ]);
  });

  it('production needs an environment that asks somebody', () => {
    const promote = 'task: PromoteModel@1, inputs: {targetAzureSubscription: arm-prod, targetWorkspaceName: mlw}';
    const plain = `jobs:\n- job: j\n  steps:\n  - {${promote}}\n`;
    assertTold(plain, [
      /unprotected-production: Stage __default job j reaches production \(targetAzureSubscription arm-prod\) without an environment/,
    ]);
    assertTold(plain.replace('inputs: {', 'inputs: {action: plan, '), []);
    assertTold(plain.replace('arm-prod', 'arm-products'), []);
    const bound = `jobs:\n- deployment: j\n  environment: aml-prod\n  strategy: {runOnce: {deploy: {steps: [{${promote}}]}}}\n`;
    assertTold(bound, []);
    const environments = (text: string): Partial<LintOptions> => ({
      environments: parseEnvironmentsFile(text, 'environments.yml'),
    });
    assertTold(bound, [/environment aml-prod asks nobody/], environments('environments: [{name: aml-prod}]'));
    assertTold(bound, [], environments('environments: [{name: aml-prod, approvals: [{approvers: [a]}]}]'));
    assertTold(
      bound,
      [/unknown-environment: .*could not be found/, /asks nobody/],
      environments('environments: [{name: aml-dev}]'),
    );
    assertTold(plain, [], environments('serviceConnections: [{name: arm-prod, approvals: [{approvers: [a]}]}]'));
  });

  it('secrets in plain text', () => {
    assertTold(
      'parameters:\n- name: clientSecret\n  type: string\n  default: abc\n- name: path\n  default: x\nvariables:\n  dbPassword: hunter2\n  other: $(x)\n  apiKey: $(k)\nsteps: []\n',
      [/^2:9 secret: The parameter 'clientSecret'/, /^8:15 secret: The variable 'dbPassword'/],
    );
    const key = `${'A'.repeat(86)}==`;
    assertTold(`steps:\n- script: az --connection-string AccountKey=${key}\n`, [/^2:11 secret: This looks like a storage key/]);
  });

  it('a place that a template refused, at the line of the caller', () => {
    const repository = join(import.meta.dirname, '..', '..', '..', '..');
    const yaml =
      'resources:\n  repositories:\n  - {repository: aml, type: git, name: x}\nextends:\n  template: templates/stages/train-and-promote.yml@aml\n  parameters:\n    pipelineFile: aml.yml\n    modelName: m\n    train: {name: dev, azureSubscripton: arm}\n';
    assertTold(
      yaml,
      [
        /^9:24 expand: train dev has the unknown key azureSubscripton; known keys are name, /,
        /^9:12 expand: train dev lacks the key azureSubscription/,
      ],
      { repositories: { aml: repository } },
    );
  });

  it('a name that no stage or model can have, and a gate that is no mapping, at the line of the caller', () => {
    const yaml =
      'resources:\n  repositories:\n  - {repository: aml, type: git, name: x}\nextends:\n  template: templates/stages/train-and-promote.yml@aml\n  parameters:\n    pipelineFile: aml.yml\n    modelName: m/1\n' +
      '    train:\n      name: d ev\n      azureSubscription: arm\n      gate: a > 1\n';
    assertTold(
      yaml,
      [
        /^12:7 expand: train d ev has a text as gate/,
        /^10:7 expand: train d ev has the character " " in its name/,
        /^8:16 expand: modelName m\/1 has the character "\/"/,
      ],
      { repositories: { aml: join(import.meta.dirname, '..', '..', '..', '..') } },
    );
    const steps = (name: string): string =>
      `steps:\n- checkout: self\n- task: RegisterModel@1\n  inputs:\n    azureSubscription: arm\n    jobName: j\n    outputName: model\n    modelName: ${name}\n`;
    assertTold(steps('caf\u00e9'), [/^8:5 task-input: 'modelName' of RegisterModel is 'caf\u00e9'; a model's name has letters/], {
      definitions: taskDefinitions(),
    });
    assertTold(steps('$(name)'), [], { definitions: taskDefinitions() });
  });

  it('what a template was given is told at the line of the caller', () => {
    const repository = join(import.meta.dirname, '..', '..', '..', '..');
    const yaml = (ref: string): string =>
      `resources:\n  repositories:\n  - repository: aml\n    type: git\n    name: x\n    ref: ${ref}\nextends:\n  template: templates/stages/promote.yml@aml\n  parameters:\n` +
      '    modelName: m\n    modelVersion: 3\n    registry: r\n    promoteTo:\n    - name: eu\n      azureSubscription: arm-eu\n      workspaceName: w\n' +
      '      gate:\n        good: accuracy >>= 1\n    afterPromote:\n    - script: echo $(promot.modelId)\n';
    const wanted = [
      /^18:9 gate: The condition "good"/,
      /^20:15 output-reference: No step of this job is named 'promot'.* Did you mean 'promote\.modelId'\?/,
    ];
    const options = { repositories: { aml: repository }, definitions: taskDefinitions() };
    assertTold(yaml('refs/tags/v1.2.3'), wanted, options);
    assertTold(
      yaml('refs/heads/main'),
      [/^6:5 template-ref: The templates of 'aml' follow refs\/heads\/main/, ...wanted],
      options,
    );
    const twice = yaml('refs/tags/v1.2.3').replace(
      '    promoteTo:\n',
      '    promoteTo:\n    - {name: eu, azureSubscription: b}\n',
    );
    assertTold(twice, [/^14:7 expand: promoteTo eu is there twice; stages are named after their place/], options);
  });

  it('outputs of another job, and steps that are not there', () => {
    const task = '    - task: RunAmlPipeline@1\n      name: run\n      inputs: {azureSubscription: a, pipelineFile: aml.yml}\n';
    const jobs = `jobs:\n- job: a\n  steps:\n${task.replaceAll('\n  ', '\n').replace('  ', '')}- job: b\n  dependsOn: a\n  steps:\n  - script: echo $(run.metrics) $(Build.BuildId) $(mine.metrics)\n  variables: {mine.metrics: x}\n`;
    assertTold(jobs, [
      /'run\.metrics' is set in stage __default job a and is empty here\. Map it with a variable of job b: \$\[ dependencies\.a\.outputs\['run\.metrics'\] \]/,
    ]);
    assertTold(`${run}    azureSubscription: a\n    pipelineFile: aml.yml\n- script: echo $(rum.metrics) $(foo.bar)\n`, [
      /No step of this job is named 'rum', so 'rum\.metrics' is empty\. Did you mean 'run\.metrics'\?/,
    ]);
    const later =
      'stages:\n- stage: s\n  jobs: []\n- stage: t\n  jobs:\n  - job: j\n    variables:\n      v: $[ dependencies.s.outputs["a"] ]\n'.replaceAll(
        '"',
        "'",
      );
    assertTold(later, [/'s' is a stage: outside a stage's condition its outputs are stageDependencies\.s\.JOB\.outputs/]);
  });

  it('names that are nearly right, and conditions that only the agent refuses', () => {
    assertTold('steps:\n- task: RunAMLPipelines@1\n', [/^2:3 task-name: .* Did you mean 'RunAmlPipeline@1'\?/]);
    assertTold(
      "steps:\n- script: a\n  condition: suceeded()\n- script: b\n  condition: succeeded('x')\n- script: c\n  condition: and(always(), eq(variables.a, 1))\n",
      [/^3:3 step-condition: .*Unrecognized value: 'suceeded'/, /^5:3 step-condition: .*Unexpected symbol/],
    );
    assertTold('jobs:\n- deployment: deploy\n  environment: x\n  strategy: {runOnce: {deploy: {steps: []}}}\n', [
      /reserved-name/,
    ]);
    const step = `${run}    azureSubscription: arm-prdo\n    pipelineFile: aml.yml\n`;
    const environments = parseEnvironmentsFile('serviceConnections: [{name: arm-prod}, {name: arm-dev2}]', 'environments.yml');
    assertTold(step, [/^5:5 unknown-connection: .* Did you mean 'arm-prod'\?/], { environments });
    assertTold(step.replace('prdo', 'dev1'), [], { environments });
    assertTold(step, [/unknown-connection: The service connection 'arm-prdo' is not known\.$/], {
      catalogue: { serviceConnections: [{ name: 'b' }] },
    });
  });

  it('a folder is not a pipeline', () => {
    assert.match(
      told(withFiles({ 'p.yml/a': '' }, (root) => lintPipeline('p.yml', { root })))[0] ?? '',
      /File \/p\.yml not found/,
    );
  });
});
