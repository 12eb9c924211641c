/** RunAmlPipeline as users run it: the built bundle in the agent harness against an embedded workspace. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAzure } from '../../src/azure/azure.js';
import { cancelJob, readJob } from '../../src/aml/jobs/job.js';
import { openWorkspace, type Workspace } from '../../src/aml/workspace.js';
import { amlops } from '../support/task-cli.js';
import { startUp, type Running } from '../support/workspace.js';

const image = 'environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}';
const files: Record<string, string> = {
  'two-steps.yml': `
type: pipeline
experiment_name: e2e
settings: {default_compute: azureml:cpu-cluster}
inputs: {word: nothing}
outputs: {result: {type: uri_folder}}
jobs:
  prep:
    command: mkdir -p \${{outputs.out}}/sub && printf '%s' "\${{inputs.word}}" > \${{outputs.out}}/sub/a.txt && echo '##vso[task.setvariable variable=evil]x'
    ${image}
    inputs: {word: '\${{parent.inputs.word}}'}
    outputs: {out: {type: uri_folder}}
  train:
    command: cp -r \${{inputs.data}}/. \${{outputs.m}} && echo trained
    ${image}
    inputs: {data: '\${{parent.jobs.prep.outputs.out}}'}
    outputs: {m: '\${{parent.outputs.result}}'}
`,
  'fails.yml': `
type: command
code: src
command: python train.py
${image}
compute: azureml:cpu-cluster
`,
  'src/train.py': 'def fit():\n    raise ValueError("##vso[task.complete result=Succeeded;]labels are missing")\n\n\nfit()\n',
  'long.yml': `
type: command
command: for i in $(seq 300); do echo line $i; sleep 1; done
${image}
compute: azureml:cpu-cluster
`,
};

interface Result {
  result: string;
  issues: { type: string; message: string; sourcepath?: string; linenumber?: number }[];
  outputVariables: Record<string, { value: string }>;
  attachments: { type: string; path: string }[];
  summaries: string[];
  buildTags: string[];
  killedBy: string | null;
  problems: unknown[];
  durationMs: number;
}

describe('RunAmlPipeline', () => {
  let up: Running;
  let folder: string;
  let workspace: Workspace;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-run-'));
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    up = await startUp({ args: ['--workspaces', 'dev'] });
    const { connection } = up;
    const [entry] = connection.workspaces;
    const azure = connectAzure(
      {
        name: 'test',
        resourceManager: connection.resourceManager,
        authority: connection.authority,
        tenantId: connection.tenantId,
        clientId: connection.clientId,
        credential: { kind: 'secret', clientSecret: connection.clientSecret },
        ca: connection.ca,
      },
      { onSecret: () => undefined },
    );
    const names = { resourceGroup: entry?.resourceGroup ?? '', workspace: entry?.name ?? '' };
    workspace = openWorkspace(azure, { subscriptionId: connection.subscriptionId, ...names });
  });
  after(async () => {
    await up?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const args = (run: number, inputs: Record<string, string>, result: string) => [
    ...['task', 'RunAmlPipeline', '--connection', up.file, '--workspace', 'dev', '--root', folder, '--result', result],
    ...['--env', `BUILD_BUILDID=${run}`],
    ...Object.entries(inputs).flatMap(([name, value]) => ['--input', `${name}=${value}`]),
  ];
  async function runTask(run: number, inputs: Record<string, string>): Promise<Result & { log: string }> {
    const file = join(
      folder,
      `result-${run}-${Object.values(inputs).join('-').replace(/\W+/g, '')}`.slice(0, 150),
      'result.json',
    );
    mkdirSync(join(file, '..'), { recursive: true });
    const { out, err } = await amlops(args(run, inputs, file));
    assert.ok(existsSync(file), err + out);
    const result = JSON.parse(readFileSync(file, 'utf8')) as Result;
    assert.deepEqual(result.problems, [], out);
    return { ...result, log: out };
  }

  it('runs a pipeline, streams its logs harmlessly, gives outputs and reports; a retry attaches to the same job', async () => {
    const inputs = { pipelineFile: 'two-steps.yml', jobInputs: 'word: 0.10', downloadOutputs: 'all', downloadPath: 'fetched' };
    const first = await runTask(101, inputs);
    assert.equal(first.result, 'Succeeded', first.log);
    const { jobName, jobStatus, outputsPath, studioUrl, metricsFile } = first.outputVariables;
    assert.equal(jobStatus?.value, 'Completed');
    assert.ok(first.log.indexOf(studioUrl?.value ?? '?') < first.log.indexOf('Steps:'));
    assert.equal(readFileSync(join(outputsPath?.value ?? '', 'result', 'sub', 'a.txt'), 'utf8'), '0.10');
    assert.ok(metricsFile?.value);
    assert.match(first.log, /\[prep\] ##_vso\[task\.setvariable/);
    assert.match(first.log, /\[train\] trained/);
    assert.deepEqual(first.buildTags, [`aml:${jobName?.value}`]);
    const report = JSON.parse(
      readFileSync(first.attachments.find(({ type }) => type === 'aml.run')?.path ?? '', 'utf8'),
    ) as Record<string, unknown>;
    assert.equal(report['schemaVersion'], 1);
    assert.equal(report['end'], 'completed');
    assert.equal(first.summaries.length, 1);
    const again = await runTask(101, { pipelineFile: 'two-steps.yml', streamLogs: 'none' });
    assert.equal(again.result, 'Succeeded', again.log);
    assert.deepEqual(again.outputVariables['jobName'], jobName);
    assert.match(again.log, /attaching to it/);
  });

  it('submits, and another run attaches; an attach to what is not there says so', async () => {
    const submitted = await runTask(102, { action: 'submit', pipelineFile: 'two-steps.yml', jobInputs: 'word: x' });
    assert.equal(submitted.result, 'Succeeded', submitted.log);
    const jobName = submitted.outputVariables['jobName']?.value ?? '';
    const attached = await runTask(103, { action: 'attach', jobName });
    assert.equal(attached.result, 'Succeeded', attached.log);
    assert.equal(attached.outputVariables['jobStatus']?.value, 'Completed');
    const none = await runTask(103, { action: 'attach', jobName: 'nobody' });
    assert.equal(none.result, 'Failed');
    assert.match(none.log, /There is no job named nobody/);
    const taken = await runTask(104, { action: 'submit', pipelineFile: 'two-steps.yml', jobName });
    assert.match(taken.issues[0]?.message ?? '', /which another run submitted/);
  });

  it('explains a failed job with file and line; the next attempt is a new job', async () => {
    const failed = await runTask(105, { pipelineFile: 'fails.yml', streamLogs: 'failed' });
    assert.equal(failed.result, 'Failed');
    const [issue] = failed.issues;
    assert.equal(issue?.sourcepath, 'src/train.py');
    assert.equal(issue?.linenumber, 2);
    assert.match(issue?.message ?? '', /user code.*ValueError: ##_vso\[task\.complete/);
    assert.equal(failed.outputVariables['jobStatus']?.value, 'Failed');
    const retried = await runTask(105, { pipelineFile: 'fails.yml' });
    assert.equal(retried.outputVariables['jobName']?.value, `${failed.outputVariables['jobName']?.value}-a2`);
  });

  it('says all that is wrong with a file and submits nothing', async () => {
    writeFileSync(join(folder, 'wrong.yml'), 'type: command\ncomand: x\ncompute: azureml:nope\n');
    const wrong = await runTask(106, { pipelineFile: 'wrong.yml' });
    assert.equal(wrong.result, 'Failed');
    assert.match(wrong.log, /wrong\.yml:2:1.*comand/);
    assert.equal(
      (await runTask(107, { action: 'validate', pipelineFile: 'two-steps.yml', azureSubscription: '' })).result,
      'Succeeded',
    );
  });

  async function interrupted(
    run: number,
    inputs: Record<string, string>,
    when: RegExp,
  ): Promise<Result & { log: string; tookMs: number }> {
    const file = join(folder, `result-${run}.json`);
    const child = spawn(process.execPath, ['bin/amlops.mjs', ...args(run, inputs, file)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let log = '';
    let sent = 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      if (sent === 0 && when.test(log)) {
        sent = Date.now();
        child.kill('SIGINT');
      }
    });
    await new Promise((resolve) => child.once('close', resolve));
    return { ...(JSON.parse(readFileSync(file, 'utf8')) as Result), log, tookMs: Date.now() - sent };
  }

  it('a cancelled run cancels the job, or leaves it when asked to, and ends by itself in time', async () => {
    const cancelled = await interrupted(108, { pipelineFile: 'long.yml' }, /line 2/);
    assert.equal(cancelled.result, 'Canceled');
    assert.equal(cancelled.killedBy, 'SIGINT');
    assert.match(cancelled.log, /Azure was asked to cancel job/);
    const name = cancelled.outputVariables['jobName']?.value ?? '';
    const job = await readJob(workspace, name);
    assert.ok(job?.phase === 'canceled' || /cancel/i.test(job?.status ?? ''), job?.status);
    const left = await interrupted(109, { pipelineFile: 'long.yml', cancelWithPipeline: 'false', displayName: 'left' }, /line 1/);
    assert.match(left.log, /runs on in Azure/);
    const still = left.outputVariables['jobName']?.value ?? '';
    assert.equal((await readJob(workspace, still))?.phase, 'active');
    await cancelJob(workspace, still);
  });
}).timeout(120_000);
