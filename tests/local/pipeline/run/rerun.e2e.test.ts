/** Runs that end badly: a failed job, a cancel, a killed process; and running again as the next attempt of the same run. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProjectDocument, RunDocument } from '../../../../local/pipeline/devops/types.js';
import { startAmlops } from '../../../support/task-cli.js';
import { Bench } from './support.js';

const pipeline = (marks: string): string => `
stages:
- stage: train
  jobs:
  - job: good
    steps:
    - checkout: none
    - bash: |
        echo x >> ${marks}/good
        echo "##vso[task.setvariable variable=version;isOutput=true]$(Build.BuildId)"
      name: s
  - job: bad
    steps:
    - checkout: none
    - bash: echo "attempt $(System.JobAttempt) of stage attempt $(System.StageAttempt)"; test -e ${marks}/repaired
- stage: promote
  condition: and(succeeded(), ne(dependencies.train.outputs['good.s.version'], ''))
  jobs:
  - job: promote
    variables:
      version: $[ stageDependencies.train.good.outputs['s.version'] ]
    steps:
    - checkout: none
    - bash: echo "promoted $(version)"
`;

async function until(what: () => boolean): Promise<void> {
  for (let turn = 0; turn < 600 && !what(); turn += 1) await sleep(50);
  assert.ok(what(), 'waited too long');
}

describe('runs again', () => {
  let bench: Bench;
  let marks: string;
  beforeEach(() => {
    bench = new Bench();
    marks = join(bench.folder, 'marks');
    mkdirSync(marks);
  });
  afterEach(() => bench.remove());

  it('runs the failed job again as attempt 2 of the same run; what ended well is kept, with its outputs', async () => {
    const first = await bench.run(pipeline(marks));
    assert.deepEqual(first.results, { train: 'Failed', promote: 'Skipped' });
    writeFileSync(join(marks, 'repaired'), '');
    const second = await bench.run('', { rerun: first.runId });
    assert.equal(second.runId, first.runId);
    assert.deepEqual(second.results, { train: 'Succeeded', promote: 'Succeeded' });
    assert.equal(readFileSync(join(marks, 'good'), 'utf8'), 'x\n', 'the good job ran once');
    const log = second.seen.lines.join('\n');
    assert.match(log, /attempt 2 of stage attempt 2/);
    assert.match(log, new RegExp(`promoted ${first.runId}`));
    const stage = second.document.records.find(({ type, identifier }) => type === 'Stage' && identifier === 'train');
    assert.equal(stage?.attempt, 2);
    const [previous] = stage?.previousAttempts ?? [];
    assert.equal(second.document.previous[previous?.timelineId ?? '']?.find(({ type }) => type === 'Stage')?.result, 'failed');
    await assert.rejects(bench.run('', { rerun: first.runId }), /there is nothing to run again/);
    await assert.rejects(bench.run('', { rerun: 99 }), /There is no run 99/);
  }).timeout(60_000);

  it('a cancel reaches the running step, always() steps still run, later stages do not, and it can be run again', async () => {
    const cancel = new AbortController();
    const text = `
stages:
- stage: A
  jobs:
  - job: a
    steps:
    - checkout: none
    - bash: |
        trap 'echo "caught the cancel"; exit 1' INT
        touch ${marks}/running
        test -e ${marks}/again && exit 0
        sleep 60 & wait
    - bash: echo "clean up $(Agent.JobStatus)"
      condition: always()
    - bash: echo not any more
- stage: B
  jobs:
  - job: b
    steps: [{checkout: none}, {bash: echo b}]
- stage: C
  dependsOn: B
  condition: always()
  jobs:
  - job: c
    steps: [{checkout: none}, {bash: echo c}]
`;
    const running = bench.run(text, { signal: cancel.signal });
    await until(() => existsSync(join(marks, 'running')));
    cancel.abort();
    const ran = await running;
    assert.equal(ran.result, 'canceled');
    assert.equal(ran.results['A'], 'Canceled');
    assert.equal(ran.results['B'], 'Canceled');
    const log = ran.seen.lines.join('\n');
    assert.match(log, /caught the cancel/);
    assert.match(log, /clean up Canceled/);
    assert.doesNotMatch(log, /not any more/);
    writeFileSync(join(marks, 'again'), '');
    const again = await bench.run('', { rerun: ran.runId });
    assert.deepEqual([again.results['A'], again.results['B'], again.results['C']], ['Succeeded', 'Succeeded', 'Succeeded']);
  }).timeout(60_000);

  it('a second cancel stops the steps too that run after a cancel', async () => {
    const [cancel, hurry] = [new AbortController(), new AbortController()];
    const steps = ['running', 'cleaning', 'more'].map(
      (name) => `    - bash: touch ${marks}/${name}; sleep 60 & wait\n      condition: always()\n`,
    );
    const text = `jobs:\n- job: a\n  steps:\n  - checkout: none\n${steps.join('').replace(/^ {2}/gm, '')}`;
    const running = bench.run(text, { signal: cancel.signal, hurry: hurry.signal });
    await until(() => existsSync(join(marks, 'running')));
    cancel.abort();
    await until(() => existsSync(join(marks, 'cleaning')));
    hurry.abort();
    assert.equal((await running).result, 'canceled');
    assert.equal(existsSync(join(marks, 'more')), false);
  }).timeout(60_000);

  it('a run whose process was killed is run again as attempt 2; the record is true', async () => {
    bench.write(
      'azure-pipelines.yml',
      `
stages:
- stage: train
  jobs:
  - job: train
    steps: [{checkout: none}, {bash: 'echo x >> ${marks}/train'}]
- stage: promote
  jobs:
  - deployment: promote
    environment: aml-prod
    strategy:
      runOnce:
        deploy:
          steps:
          - bash: |
              echo "stage attempt $(System.StageAttempt) of run $(Build.BuildId)"
              touch ${marks}/half
              test -e ${marks}/again || sleep 15
`,
    );
    bench.write('environments.yml', 'environments:\n- name: aml-prod\n  approvals:\n  - approvers: [local user]\n');
    const state = join(bench.folder, 'state');
    const start = (...more: string[]) => {
      const place = ['--state', state, '--environments', 'environments.yml', '--from', join(bench.folder, 'tasks'), '--json'];
      return startAmlops(['run', 'azure-pipelines.yml', ...place, ...more], { cwd: bench.root, input: true });
    };
    const first = start('--approve', 'all');
    await until(() => existsSync(join(marks, 'half')));
    first.child.kill('SIGKILL');
    await first.ended;
    const file = join(state, 'pipelines', 'local', 'runs', '1', 'run.json');
    const left = JSON.parse(readFileSync(file, 'utf8')) as RunDocument;
    assert.equal(left.status, 'inProgress');
    assert.equal(left.records.find(({ type, identifier }) => type === 'Stage' && identifier === 'train')?.result, 'succeeded');
    writeFileSync(join(marks, 'again'), '');

    const second = start('--rerun', '1');
    second.child.stdin.write('maybe\ny looks right\n');
    assert.equal(await second.ended, 0, second.err());
    assert.match(second.err(), /Approval needed: environment aml-prod/);
    const outcome = JSON.parse(second.out()) as { runId: number; stages: { name: string; attempt: number }[] };
    assert.deepEqual(
      [outcome.runId, ...outcome.stages.map(({ name, attempt }) => `${name} ${attempt}`)],
      [1, 'train 1', 'promote 2'],
    );
    assert.match(second.err(), /stage attempt 2 of run 1/);
    assert.equal(readFileSync(join(marks, 'train'), 'utf8'), 'x\n');
    const run = JSON.parse(readFileSync(file, 'utf8')) as RunDocument;
    const answers = run.approvals.map(({ status, steps }) => `${status}: ${steps[0]?.comment}`);
    assert.deepEqual(answers, ['approved: approved by --approve all', 'approved: looks right']);
    const [killed] = Object.values(run.previous);
    assert.equal(killed?.find(({ type }) => type === 'Stage')?.result, 'abandoned');
    assert.equal(
      killed?.filter(({ state }) => state === 'inProgress').length,
      0,
      'nothing of the killed attempt is shown as running',
    );
    const { deployments } = JSON.parse(
      readFileSync(join(state, 'pipelines', 'local', 'project.json'), 'utf8'),
    ) as ProjectDocument;
    assert.deepEqual(
      deployments.map(({ stageAttempt, result }) => `${stageAttempt} ${result}`),
      ['1 abandoned', '2 succeeded'],
    );

    // Killed at the approval: the question of the dead process is nobody's any more.
    const waiting = start();
    await until(() => /Approve\?/.test(waiting.err()));
    waiting.child.kill('SIGKILL');
    await waiting.ended;
    const resumed = start('--rerun', '2', '--approve', 'none');
    assert.equal(await resumed.ended, 1);
    const halted = JSON.parse(readFileSync(join(state, 'pipelines', 'local', 'runs', '2', 'run.json'), 'utf8')) as RunDocument;
    assert.deepEqual(
      halted.approvals.map(({ status }) => status),
      ['canceled', 'rejected'],
    );

    const nobody = start();
    nobody.child.stdin.end();
    assert.equal(await nobody.ended, 1);
    assert.match(nobody.err(), /Nobody is there to answer for environment aml-prod/);
    assert.equal(readFileSync(join(marks, 'train'), 'utf8'), 'x\nx\nx\n');
  }).timeout(120_000);
});
