/** Approvals and checks before a stage, and what follows from each answer (reference azure-pipelines-yaml §1.4, §1.8). */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Project } from '../../../../local/pipeline/devops/project.js';
import type { ApprovalAnswer, ApprovalQuestion } from '../../../../local/pipeline/run/types.js';
import { Bench } from './support.js';

/** Plan with a reader's connection, promotion with the promoter's; the promotion says who approved, read with the job's own token. */
const pipeline = `
stages:
- stage: plan
  jobs:
  - job: plan
    steps:
    - task: PromoteModel@1
      inputs: {action: plan, targetAzureSubscription: arm-prod-read}
- stage: promote
  jobs:
  - deployment: promote
    environment: aml-prod
    strategy:
      runOnce:
        deploy:
          steps:
          - task: PromoteModel@1
            inputs: {action: promote, targetAzureSubscription: arm-prod}
- stage: after
  jobs:
  - job: after
    steps: [{checkout: none}, {script: echo after}]
`;
const guarded = `
environments:
- name: aml-prod
  approvals:
  - approvers: [Ada]
    instructions: Read the plan.
serviceConnections:
- name: arm-prod
  branchControl: {allowedBranches: [refs/heads/main]}
`;
const task = `
const fs = require('fs'), path = require('path');
if (process.env.INPUT_ACTION === 'plan') {
  const file = path.join(process.env.AGENT_TEMPDIRECTORY, 'plan.md');
  fs.writeFileSync(file, '# Plan: fraud 7 to prod');
  console.log('##vso[task.uploadsummary]' + file);
} else {
  const base = process.env.SYSTEM_COLLECTIONURI + process.env.SYSTEM_TEAMPROJECTID + '/_apis/pipelines/approvals?$expand=steps';
  fetch(base, { headers: { authorization: 'Bearer ' + process.env.ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN } })
    .then((response) => response.json())
    .then(({ value }) => console.log('approvals ' + value.filter((a) => a.pipeline.owner.id == process.env.BUILD_BUILDID).map((a) => a.status + ' by ' + a.steps.map((s) => s.actualApprover && s.actualApprover.displayName))));
}`;

describe('checks and approvals of a local run', () => {
  let bench: Bench;
  const connections = ['arm-prod', 'arm-prod-read'];
  before(() => {
    bench = new Bench().task('PromoteModel', ['action', 'targetAzureSubscription'], task);
  });
  after(() => bench.remove());
  const run = (options: Parameters<Bench['run']>[1] = {}) => {
    bench.asked.length = 0;
    return bench.run(pipeline, { connections, environmentsText: guarded, ...options });
  };

  it('asks exactly once, after the plan, with the plan shown', async () => {
    const ran = await run();
    assert.deepEqual(ran.results, { plan: 'Succeeded', promote: 'Succeeded', after: 'Succeeded' });
    assert.equal(bench.asked.length, 1);
    assert.deepEqual(bench.asked[0]?.summaries, [{ stage: 'plan', text: '# Plan: fraud 7 to prod' }]);
    assert.equal(bench.asked[0]?.resource.name, 'aml-prod');
    assert.ok(ran.seen.lines.includes('approvals approved by Ada'), ran.seen.lines.join('\n'));
    const [suite] = ran.document.suites;
    assert.deepEqual(
      suite?.checkRuns.map(({ status, checkConfigurationRef: { resource } }) => `${resource.name} ${status}`).sort(),
      ['aml-prod approved', 'arm-prod approved'],
    );
    const kinds = ran.document.records.filter(({ type }) => type.startsWith('Checkpoint')).map(({ type }) => type);
    assert.deepEqual(kinds.sort(), ['Checkpoint', 'Checkpoint.Approval', 'Checkpoint.TaskCheck']);
    const project = await Project.open(join(bench.folder, 'state'), 'fraud');
    assert.equal(project.now.deployments.at(-1)?.result, 'succeeded', 'the environment has a history');
  });

  it('a rejection fails the stage and skips what follows', async () => {
    const ran = await run({ approver: bench.answering('rejected', 'not today') });
    assert.deepEqual(ran.results, { plan: 'Succeeded', promote: 'Failed', after: 'Skipped' });
    assert.equal(ran.result, 'failed');
    assert.match(ran.stages[1]?.reason ?? '', /environment aml-prod was rejected by Ada: not today/);
    assert.equal(
      ran.document.records.some(({ type, identifier }) => type === 'Job' && identifier.startsWith('promote')),
      false,
    );
  });

  it('a branch that may not use the connection fails the stage before anybody is asked', async () => {
    const ran = await run({ variables: { 'Build.SourceBranch': 'refs/heads/feature/x' } });
    assert.equal(ran.results['promote'], 'Failed');
    assert.equal(bench.asked.length, 0);
    assert.match(
      ran.stages[1]?.reason ?? '',
      /Branch control of endpoint arm-prod: refs\/heads\/feature\/x is not one of refs\/heads\/main/,
    );
  });

  it('an unanswered approval skips the stage when its time is up', async () => {
    await run();
    const project = await Project.open(join(bench.folder, 'state'), 'fraud');
    await project.change(({ checks }) => {
      for (const check of checks) if (check.type.name === 'Approval') check.timeout = 0.002;
    });
    const ran = await bench.run(pipeline, { connections, approver: () => Promise.resolve(undefined) });
    assert.deepEqual(ran.results, { plan: 'Succeeded', promote: 'Skipped', after: 'Skipped' });
    assert.match(ran.stages[1]?.reason ?? '', /was not given within/);
    assert.equal(ran.document.approvals[0]?.status, 'timedOut');
  });

  it('a bypass lets the stage go on and is remembered as one', async () => {
    const ran = await run({ approver: bench.answering('bypassed') });
    assert.equal(ran.results['promote'], 'Succeeded');
    assert.equal(
      ran.document.suites[0]?.checkRuns.find(({ checkConfigurationRef }) => checkConfigurationRef.type.name === 'Approval')
        ?.status,
      'bypassed',
    );
    assert.ok(ran.seen.lines.includes('approvals skipped by '), ran.seen.lines.join('\n'));
  });

  it('asks every approver that is needed, in sequence, and says when the service would not take the answer', async () => {
    const two = guarded.replace('[Ada]', '[Ada, Bob]\n    order: inSequence\n    requesterCannotApprove: true');
    const pending: string[][] = [];
    const ran = await run({
      environmentsText: two,
      approver: ({ approval }) => {
        pending.push(approval.steps.map(({ status }) => status));
        return Promise.resolve({ status: 'approved', comment: '', by: 'local user' });
      },
    });
    assert.equal(ran.results['promote'], 'Succeeded');
    assert.deepEqual(pending, [
      ['pending', 'uninitiated'],
      ['approved', 'pending'],
    ]);
    assert.match(ran.seen.warnings.join('\n'), /'local user' could not approve this run, having requested it/);
  });

  it('two runs wait at the same approval: each has its own answer, in any order, one at a time in the environment', async () => {
    const questions: ((answer: ApprovalAnswer) => void)[] = [];
    let bothAsked = (): void => undefined;
    const both = new Promise<void>((resolve) => (bothAsked = resolve));
    const order: number[] = [];
    const waiting = (question: ApprovalQuestion): Promise<ApprovalAnswer> =>
      new Promise((resolve) => {
        questions[question.runId] = resolve;
        order.push(question.runId);
        if (order.length === 2) bothAsked();
      });
    const environmentsText = guarded.replace('  approvals:', '  exclusiveLock: true\n  approvals:');
    const first = run({ approver: waiting, environmentsText });
    const second = bench.run('', { connections, approver: waiting });
    await both;
    const [older = 0, newer = 0] = [...order].sort((a, b) => a - b);
    questions[newer]?.({ status: 'approved', comment: 'newer', by: 'Ada' });
    const ended = await Promise.race([first, second]);
    assert.equal(ended.runId, newer, 'the other one still waits');
    questions[older]?.({ status: 'rejected', comment: 'stale', by: 'Ada' });
    const runs = await Promise.all([first, second]);
    const byId = Object.fromEntries(runs.map((ran) => [ran.runId, ran.results['promote']]));
    assert.deepEqual(byId, { [older]: 'Failed', [newer]: 'Succeeded' });
    assert.equal(existsSync(join(bench.folder, 'state', 'fraud', 'locks')), true);
  });
});
