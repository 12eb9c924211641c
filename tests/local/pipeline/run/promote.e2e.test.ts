/**
 * The real tasks and templates through `amlops run`: a promotion killed in the middle and run again as attempt 2, a gate that says no, two
 * runs at the same approval where the newer one is approved first. The workspace lives in this process, the runs do not always.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { builtTasks } from '../../../../local/agent/built-tasks.js';
import { agentEndpoints } from '../../../../local/agent/local-connections.js';
import { readConnectionFile } from '../../../../local/connection-file.js';
import type { ApprovalAnswer, ApprovalQuestion, Connected } from '../../../../local/pipeline/run/types.js';
import { startWorkspace, type Workspace } from '../../../../local/workspace/start.js';
import { startAmlops } from '../../../support/task-cli.js';
import { Bench, type Ran } from './support.js';

const repository = join(import.meta.dirname, '..', '..', '..', '..');

const promote = (version: string): string => `
trigger: none
resources:
  repositories:
  - {repository: aml, type: git, name: fraud/aml-templates, ref: refs/tags/v1}
extends:
  template: templates/stages/promote.yml@aml
  parameters:
    modelName: fraud
    modelVersion: '${version}'
    source: {name: dev, azureSubscription: arm-dev, planAzureSubscription: arm-dev-read, resourceGroupName: rg-dev, workspaceName: dev}
    lockBehavior: sequential
    promoteTo:
    - name: prod
      azureSubscription: arm-prod
      planAzureSubscription: arm-prod-read
      resourceGroupName: rg-prod
      workspaceName: prod
      requireApproval: true
      gate:
        not worse than production: rmse <= champion.rmse
`;

const environments = `
environments:
- name: aml-prod
  exclusiveLock: true
  approvals:
  - approvers: [local user]
serviceConnections:
- name: arm-prod
  branchControl: {allowedBranches: [refs/heads/main]}
  requiredTemplates:
  - {repository: fraud/aml-templates, ref: refs/tags/v1, path: templates/stages/promote.yml}
`;

describe('promotion through amlops run', function () {
  this.timeout(300_000);
  let bench: Bench;
  let workspace: Workspace;
  let file: string;
  const connect = (): Promise<Connected> => {
    const connection = readConnectionFile(file);
    return Promise.resolve({ endpoints: agentEndpoints(connection), ca: [connection.ca], close: () => Promise.resolve() });
  };
  const run = (pipeline: string, options: Parameters<Bench['run']>[1] = {}): Promise<Ran> =>
    bench.run(pipeline, {
      connect,
      tasks: builtTasks(),
      repositories: { aml: repository },
      environmentsText: environments,
      ...options,
    });
  const amlops = (...args: string[]) => startAmlops(args, { cwd: bench.root, group: true });
  const champion = async (): Promise<{ version: string; text: string }> => {
    const asked = amlops('why', '--connection', file, '--workspace', 'prod', '--model', 'fraud', '--json');
    const code = await asked.ended;
    assert.equal(code, 0, asked.err());
    return { version: /fraud[:/](?:versions\/)?(\d+)/.exec(asked.out())?.[1] ?? '', text: asked.out() };
  };

  before(async () => {
    bench = new Bench();
    const state = join(bench.folder, 'workspace');
    // Slow enough that a promotion is not over before it is killed, on any machine.
    workspace = await startWorkspace({ state, workspaces: ['dev', 'prod'], registry: 'shared', latency: 'request=0.04' });
    file = join(bench.folder, 'connection.json');
    writeFileSync(file, JSON.stringify(workspace.connection));
    writeFileSync(join(bench.root, 'environments.yml'), environments);
    const steps: string[] = [];
    for (const [index, rmse] of [50, 60, 48, 49].entries()) {
      const folder = join(bench.root, `model${index + 1}`);
      mkdirSync(folder);
      for (let part = 0; part < 30; part += 1)
        writeFileSync(join(folder, `part-${part}.bin`), Buffer.alloc(20_000, index * 40 + part));
      writeFileSync(join(bench.root, `metrics${index + 1}.json`), JSON.stringify({ rmse }));
      steps.push(`- task: RegisterModel@1
  inputs:
    azureSubscription: arm-dev
    resourceGroupName: rg-dev
    workspaceName: dev
    modelPath: model${index + 1}
    modelName: fraud
    modelType: custom_model
    metricsFile: metrics${index + 1}.json
    gate: rmse <= 100
`);
    }
    const ran = await run(`steps:\n${steps.join('')}`);
    assert.equal(ran.result, 'succeeded', ran.seen.lines.join('\n'));
  });

  after(async () => {
    await workspace?.close();
    bench.remove();
  });

  it('killed in the middle of a promotion, twice, and run again: one champion, one record, approved in that attempt', async () => {
    writeFileSync(join(bench.root, 'azure-pipelines.yml'), promote('1'));
    const common = [
      '--state',
      join(bench.folder, 'cli'),
      '--connection',
      file,
      '--environments',
      'environments.yml',
      '--approve',
      'all',
      '--repository',
      `aml=${repository}`,
    ];
    // Twice, at different moments of the promotion.
    for (const [attempt, after] of [400, 900].entries()) {
      const killed = amlops('run', 'azure-pipelines.yml', ...common, ...(attempt === 0 ? [] : ['--rerun', '1']));
      for (let turn = 0; turn < 1200 && !/> step promote fraud in prod/.test(killed.err()); turn += 1) await sleep(50);
      await sleep(after);
      assert.equal(killed.child.exitCode, null, `it ended before it was killed: ${killed.err()}`);
      process.kill(-(killed.child.pid ?? 0), 'SIGKILL');
      await killed.ended;
    }
    const last = amlops('run', 'azure-pipelines.yml', ...common, '--rerun', '1', '--json');
    assert.equal(await last.ended, 0, last.err());
    const { stages } = JSON.parse(last.out()) as { stages: { name: string; attempt: number; result: string }[] };
    assert.deepEqual(
      stages.map(({ name, attempt, result }) => `${name} ${attempt} ${result}`),
      ['plan_prod 1 Succeeded', 'promote_prod 3 Succeeded'],
    );
    const now = await champion();
    assert.equal(now.version, '1', now.text);
    const records = join(bench.folder, 'records');
    const fetched = amlops('records', '--connection', file, '--workspace', 'prod', '--model', 'fraud', '--out', records);
    assert.equal(await fetched.ended, 0, fetched.err());
    const verified = amlops('verify', records, '--connection', file, '--workspace', 'prod');
    assert.equal(await verified.ended, 0, verified.err() + verified.out());
    assert.deepEqual(
      readdirSync(records).filter((name) => name.endsWith('.json')),
      ['000001.json'],
    );
  });

  it('a gate that says no: the promotion does not succeed, whoever approved it, and nothing moves', async () => {
    const ran = await run(promote('2'));
    assert.notEqual(ran.results['promote_prod'], 'Succeeded');
    assert.equal(ran.result, 'failed');
    assert.match(ran.seen.lines.join('\n'), /missed by 10/);
    assert.equal((await champion()).version, '1');
  });

  it('two runs wait at the same approval and the newer is approved first: the champion never goes back', async () => {
    const questions: { runId: number; give: (answer: ApprovalAnswer) => void }[] = [];
    let bothAsked = (): void => undefined;
    const both = new Promise<void>((resolve) => (bothAsked = resolve));
    const approver = (question: ApprovalQuestion): Promise<ApprovalAnswer> =>
      new Promise((give) => {
        assert.match(question.summaries[0]?.text ?? '', /fraud/, 'the plan is shown');
        questions.push({ runId: question.runId, give });
        if (questions.length === 2) bothAsked();
      });
    bench.write('older.yml', promote('3')).write('newer.yml', promote('4'));
    const older = run('', { entry: 'older.yml', approver });
    while (questions.length < 1) await sleep(50);
    const newer = run('', { entry: 'newer.yml', approver });
    await both;
    questions[1]?.give({ status: 'approved', comment: 'the newer one', by: 'local user' });
    assert.equal((await newer).results['promote_prod'], 'Succeeded', (await newer).seen.lines.join('\n'));
    questions[0]?.give({ status: 'approved', comment: 'too late', by: 'local user' });
    const late = await older;
    assert.equal(late.results['promote_prod'], 'Failed', late.seen.lines.join('\n'));
    const champ = await champion();
    assert.match(late.seen.lines.join('\n'), /no longer|stale|changed/i);
    assert.match(champ.text, /the newer one/);
  });
});
