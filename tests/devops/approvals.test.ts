import assert from 'node:assert/strict';
import { stageApprovals, type ApprovalLike, type ApprovalSource, type TimelineRecordLike } from '../../src/devops/approvals.js';
import { runIdentity } from '../../src/devops/identity.js';
import type { RunIdentity } from '../../src/devops/types.js';

const run = (changes: Partial<RunIdentity> = {}): RunIdentity => ({
  ...runIdentity(() => undefined),
  runId: '42',
  stage: 'promote_prod',
  ...changes,
});

const stage = (name: string, attempt = 1): TimelineRecordLike => ({ id: `s-${name}`, type: 'Stage', identifier: name, attempt });
const checkpoint = (name: string, startTime: string, finishTime?: string): TimelineRecordLike => ({
  id: `c-${name}`,
  parentId: `s-${name}`,
  type: 'Checkpoint',
  startTime,
  finishTime: finishTime ?? null,
});
const record = (id: string, name: string): TimelineRecordLike => ({ id, parentId: `c-${name}`, type: 'Checkpoint.Approval' });
const approval = (id: string, changes: Partial<ApprovalLike> = {}): ApprovalLike => ({
  id,
  status: 'approved',
  createdOn: '2026-01-01T10:00:01Z',
  pipeline: { owner: { id: 42 } },
  steps: [
    {
      assignedApprover: { displayName: '[p]\\ML Approvers' },
      actualApprover: { displayName: 'Ada', uniqueName: 'ada@contoso.com' },
      status: 'approved',
      comment: 'plan read',
      lastModifiedOn: '2026-01-01T10:05:00Z',
    },
  ],
  ...changes,
});

function source(records: TimelineRecordLike[], approvals: ApprovalLike[], rest: Partial<ApprovalSource> = {}): ApprovalSource {
  return {
    timeline: async () => records,
    approval: async (id) => approvals.find((candidate) => candidate.id === id),
    approvals: async () => approvals,
    checkSuite: async () => undefined,
    ...rest,
  };
}

const prod = [stage('promote_prod'), checkpoint('promote_prod', '2026-01-01T10:00:00Z', '2026-01-01T10:06:00Z')];

describe('approvals of a stage attempt', () => {
  it('reads who, when, what they said and which resource', async () => {
    const found = await stageApprovals(
      run(),
      source([...prod, record('a1', 'promote_prod')], [approval('a1')], {
        checkSuite: async () => ({
          resources: [{ type: 'endpoint', id: 'e1', name: 'arm-prod' }],
          checkRuns: [{ id: 'A1', status: 'approved', checkConfigurationRef: { resource: { type: 'endpoint', id: 'e1' } } }],
        }),
      }),
    );
    assert.deepEqual(found, {
      readable: true,
      approvals: [
        {
          approvalId: 'a1',
          assigned: '[p]\\ML Approvers',
          actual: 'Ada <ada@contoso.com>',
          status: 'approved',
          comment: 'plan read',
          when: '2026-01-01T10:05:00.000Z',
          bypassed: false,
          resource: 'endpoint arm-prod',
        },
      ],
    });
  });

  it('falls back to the run and the time of the checkpoint when record and approval have different ids', async () => {
    const other = approval('x9', { pipeline: { owner: { id: 41 } } });
    const earlier = approval('x8', { createdOn: '2026-01-01T08:00:00Z' });
    const found = await stageApprovals(run(), source([...prod, record('r1', 'promote_prod')], [other, earlier, approval('x1')]));
    assert.deepEqual(
      found.approvals.map(({ approvalId }) => approvalId),
      ['x1'],
    );
  });

  it('does not guess between two stages that were checked at the same time', async () => {
    const test = [stage('promote_test'), checkpoint('promote_test', '2026-01-01T09:59:00Z')];
    const found = await stageApprovals(run(), source([...prod, ...test, record('r1', 'promote_prod')], [approval('x1')]));
    assert.equal(found.readable, false);
    assert.match(found.reason ?? '', /could belong to stage 'promote_prod' or to another stage/);
    assert.deepEqual(found.approvals, []);
  });

  it('says so when the timeline shows an approval that cannot be read', async () => {
    const found = await stageApprovals(run(), source([...prod, record('r1', 'promote_prod')], []));
    assert.match(found.reason ?? '', /passed 1 approval\(s\), but Azure DevOps shows 0/);
  });

  it('knows a bypass: by the check, or because the stage went on without an answer', async () => {
    const records = [...prod, record('a1', 'promote_prod'), record('a2', 'promote_prod')];
    const skipped = approval('a2', {
      status: 'skipped',
      steps: [{ assignedApprover: { displayName: 'Bob' }, status: 'skipped' }],
    });
    const found = await stageApprovals(
      run(),
      source(records, [approval('a1'), skipped], { checkSuite: async () => ({ checkRuns: [{ id: 'a1', status: 'bypassed' }] }) }),
    );
    assert.deepEqual(
      found.approvals.map(({ approvalId, bypassed, status }) => [approvalId, bypassed, status]),
      [
        ['a1', true, 'bypassed'],
        ['a2', true, 'skipped'],
      ],
    );
  });

  it('reads the attempt that runs, not another one', async () => {
    const first = [...prod, record('a1', 'promote_prod')];
    const second: TimelineRecordLike[] = [
      { ...stage('promote_prod', 2), previousAttempts: [{ attempt: 1, timelineId: 't1' }] },
      checkpoint('promote_prod', '2026-01-02T10:00:00Z'),
      record('a2', 'promote_prod'),
    ];
    const both = source(second, [approval('a1'), approval('a2')], { timeline: async (id) => (id === 't1' ? first : second) });
    const ids = async (stageAttempt: number) =>
      (await stageApprovals(run({ stageAttempt }), both)).approvals.map(({ approvalId }) => approvalId);
    assert.deepEqual(await ids(1), ['a1']);
    assert.deepEqual(await ids(2), ['a2']);
    assert.match((await stageApprovals(run({ stageAttempt: 3 }), both)).reason ?? '', /attempt 3/);
  });

  it('finds none where there is no approval, and an approval without a name is not one', async () => {
    assert.deepEqual(await stageApprovals(run(), source(prod, [])), { readable: true, approvals: [] });
    const nameless = await stageApprovals(
      run(),
      source([...prod, record('a1', 'promote_prod')], [approval('a1', { steps: [] })]),
    );
    assert.equal(nameless.readable, false);
  });
});

describe('identity of a run', () => {
  it('comes from the variables of the agent', () => {
    const variables: Record<string, string> = {
      'system.collectionuri': 'https://dev.azure.com/contoso',
      'system.teamproject': 'Fraud detection',
      'build.buildid': '42',
      'system.stagename': 'promote_prod',
      'system.stageattempt': '2',
      'system.phasename': 'promote',
      'system.jobname': 'promote',
    };
    const found = runIdentity((name) => variables[name.toLowerCase()], {
      url: 'https://dev.azure.com/contoso/',
      accessToken: 'token',
    });
    assert.equal(found.organization, 'contoso');
    assert.equal(found.runUrl, 'https://dev.azure.com/contoso/Fraud%20detection/_build/results?buildId=42');
    assert.equal(found.stageAttempt, 2);
    assert.equal(found.job, 'promote');
    assert.equal(found.accessToken, 'token');
    assert.equal(found.serviceUri, 'https://dev.azure.com/contoso/');
    assert.equal(runIdentity(() => undefined).jobAttempt, 1);
  });
});
