/**
 * The real tasks and templates/stages/train-and-promote.yml through `amlops run`, as they end when somebody says no: a gate, an approver
 * (and a rerun that is approved), a cancel in the middle of the training. What prod holds afterwards is asked of prod itself.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFrom } from '../../../../cli/connection.js';
import { readJob } from '../../../../src/aml/jobs/job.js';
import { WorkspaceModels } from '../../../../src/aml/models.js';
import { builtTasks } from '../../../../local/agent/built-tasks.js';
import { agentEndpoints } from '../../../../local/agent/local-connections.js';
import { readConnectionFile } from '../../../../local/connection-file.js';
import type { RunDocument } from '../../../../local/pipeline/devops/types.js';
import type { ApprovalAnswer, ApprovalQuestion, RunOutcome } from '../../../../local/pipeline/run/types.js';
import { startWorkspace, type Workspace } from '../../../../local/workspace/start.js';
import { amlops, startAmlops, type Ended } from '../../../support/task-cli.js';
import { Bench, type Ran } from './support.js';

const repository = join(import.meta.dirname, '..', '..', '..', '..');

const pipeline = (gate: string, seconds: number): string => `
trigger: none
resources:
  repositories:
  - {repository: aml, type: git, name: fraud/aml-templates, ref: refs/tags/v1}
extends:
  template: templates/stages/train-and-promote.yml@aml
  parameters:
    pipelineFile: job.yml
    modelName: fraud
    train:
      name: dev
      azureSubscription: arm-dev
      resourceGroupName: rg-dev
      workspaceName: dev
      jobInputs: {seconds: ${seconds}}
      gate: {enough: ${gate}}
    promoteTo:
    - name: prod
      azureSubscription: arm-prod
      planAzureSubscription: arm-prod-read
      resourceGroupName: rg-prod
      workspaceName: prod
      requireApproval: true
`;
const job = `
type: command
command: echo started && sleep \${{inputs.seconds}} && echo weights > \${{outputs.model}}/weights.txt
environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}
compute: azureml:cpu-cluster
inputs: {seconds: 0}
outputs: {model: {type: custom_model}}
`;
const environments = `
environments:
- name: aml-dev
- name: aml-prod
  exclusiveLock: true
  approvals:
  - approvers: [Ada]
    requesterCannotApprove: true
serviceConnections:
- name: arm-prod
  branchControl: {allowedBranches: [refs/heads/main]}
`;

describe('the whole path, when somebody says no', function () {
  this.timeout(300_000);
  let bench: Bench;
  let workspace: Workspace;
  let file: string;
  const asked: ApprovalQuestion[] = [];
  const answering =
    (status: ApprovalAnswer['status'], comment: string) =>
    (question: ApprovalQuestion): Promise<ApprovalAnswer> => {
      asked.push(question);
      return Promise.resolve({ status, comment, by: 'Ada' });
    };
  const run = (text: string, options: Parameters<Bench['run']>[1] = {}): Promise<Ran> => {
    const connection = readConnectionFile(file);
    asked.length = 0;
    return bench.run(text, {
      connect: () =>
        Promise.resolve({ endpoints: agentEndpoints(connection), ca: [connection.ca], close: () => Promise.resolve() }),
      tasks: builtTasks(),
      repositories: { aml: repository },
      environmentsText: environments,
      ...options,
    });
  };
  const command = (...args: string[]): Promise<Ended> => amlops(args, { cwd: bench.root });
  const versions = async (place: string): Promise<number> =>
    (await new WorkspaceModels(openFrom(file, place)).versions('fraud')).length;
  /** Prod as its own workspace tells it: no version, no record, no champion. */
  const untouched = async (): Promise<void> => {
    assert.equal(await versions('prod'), 0);
    const place = ['--connection', file, '--workspace', 'prod', '--model', 'fraud'];
    const records = await command('records', ...place, '--out', join(bench.folder, 'none'));
    assert.match(records.err, /no promotion records/);
    assert.equal((await command('why', ...place)).code, 1);
  };

  before(async () => {
    bench = new Bench();
    workspace = await startWorkspace({ state: join(bench.folder, 'workspace'), workspaces: ['dev', 'prod'] });
    file = join(bench.folder, 'connection.json');
    writeFileSync(file, JSON.stringify(workspace.connection));
    bench.write('job.yml', job).write('environments.yml', environments);
  });
  after(async () => {
    await workspace?.close();
    bench.remove();
  });

  it('a gate rejects: nothing is registered, nobody is asked, every later stage says why it was skipped', async () => {
    const ran = await run(pipeline('1 >= 2', 0));
    assert.deepEqual(
      ran.results,
      { train_dev: 'Failed', plan_prod: 'Skipped', promote_prod: 'Skipped' },
      ran.seen.lines.join('\n'),
    );
    assert.match(ran.stages[1]?.reason ?? '', /\(train_dev: Failed\)/);
    assert.match(ran.stages[2]?.reason ?? '', /plan_prod: Skipped/);
    assert.equal(asked.length, 0);
    assert.equal(await versions('dev'), 0);
    await untouched();
  });

  it('rejected, and prod is as it was; run again and approved, attempt 2 promotes what was trained, and the record says who', async () => {
    const text = pipeline('1 >= 1', 0);
    const no = await run(text, { approver: answering('rejected', 'not before Monday') });
    assert.deepEqual(
      no.results,
      { train_dev: 'Succeeded', plan_prod: 'Succeeded', promote_prod: 'Failed' },
      no.seen.lines.join('\n'),
    );
    assert.match(no.stages[2]?.reason ?? '', /environment aml-prod was rejected by Ada: not before Monday/);
    // Approval on the environment, branch control on prod's connection, a reader's plan: one question, after the plan.
    assert.equal(asked.length, 1);
    assert.equal(asked[0]?.summaries.at(-1)?.stage, 'Plan prod');
    assert.match(asked[0].summaries.at(-1)?.text ?? '', /plan digest/);
    assert.deepEqual(
      no.document.suites.map(({ context }) => (context['GraphNode'] as { Name: string }).Name),
      ['promote_prod'],
      'the plan trips no check',
    );
    await untouched();
    assert.equal(await versions('dev'), 1);

    const yes = await run('', { rerun: no.runId, approver: answering('approved', 'it is Monday') });
    assert.deepEqual(
      yes.stages.map(({ name, attempt, result }) => `${name} ${attempt} ${result}`),
      ['train_dev 1 Succeeded', 'plan_prod 1 Succeeded', 'promote_prod 2 Succeeded'],
      yes.seen.lines.join('\n'),
    );
    assert.equal(await versions('dev'), 1, 'nothing was trained again');
    const place = ['--connection', file, '--workspace', 'prod'];
    const records = join(bench.folder, 'records');
    assert.equal((await command('records', ...place, '--model', 'fraud', '--out', records)).code, 0);
    const verified = await command('verify', records, ...place);
    assert.equal(verified.code, 0, verified.err);
    const record = readFileSync(join(records, '000001.json'), 'utf8');
    assert.match(record, /it is Monday/);
    assert.doesNotMatch(record, /not before Monday/, 'the answer to the first attempt approved nothing');
  });

  it('Ctrl-C in the middle of the training: the job is cancelled too, later stages do not run, prod keeps its champion', async () => {
    bench.write('long.yml', pipeline('1 >= 1', 600));
    const { child, ended, out, err } = startAmlops(
      [
        ...['run', 'long.yml', '--connection', file, '--environments', 'environments.yml', '--approve', 'all', '--json'],
        ...['--state', join(bench.folder, 'cli'), '--repository', `aml=${repository}`],
      ],
      { cwd: bench.root, group: true },
    );
    for (let turn = 0; turn < 1200 && !/\| .*\bstarted\b/.test(err()); turn += 1) await sleep(100);
    process.kill(-(child.pid ?? 0), 'SIGINT');
    assert.equal(await ended, 1, err());
    const outcome = JSON.parse(out()) as RunOutcome;
    assert.equal(outcome.result, 'canceled', err());
    assert.deepEqual(
      outcome.stages.map(({ name, result }) => `${name} ${result}`),
      ['train_dev Canceled', 'plan_prod Canceled', 'promote_prod Canceled'],
    );
    const document = JSON.parse(readFileSync(join(outcome.folder, 'run.json'), 'utf8')) as RunDocument;
    assert.deepEqual(
      document.records.filter(({ state }) => state !== 'completed').map(({ name }) => name),
      [],
    );
    const name = document.tags.find((tag) => tag.startsWith('aml:'))?.slice(4) ?? /Submitted job (\S+)/.exec(err())?.[1] ?? '';
    let status = '';
    for (let turn = 0; turn < 300 && status !== 'Canceled'; turn += 1) {
      status = (await readJob(openFrom(file, 'dev'), name))?.status ?? '';
      await sleep(100);
    }
    assert.equal(status, 'Canceled');
    const why = await command('why', '--connection', file, '--workspace', 'prod', '--model', 'fraud', '--json');
    assert.match(why.out, /it is Monday/);
  });
});
