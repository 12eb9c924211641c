/** RunAmlPipeline when things go wrong around it: faults of every kind from a seed, cancels in every phase, storage without keys. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { armId, send, startUp, tokenOf, type Running } from '../support/workspace.js';

const image = 'environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}\ncompute: azureml:cpu-cluster';
const fine = `type: command
code: src
command: cp ok.txt \${{outputs.result}}/got.txt && cat \${{inputs.data}} && echo one && echo two
inputs: {data: {type: uri_file, path: data.txt}}
outputs: {result: {type: uri_folder}}
${image}
`;
const fails = `type: command\ncode: src\ncommand: python fail.py\n${image}\n`;
const long = `type: command\ncommand: for i in $(seq 300); do echo line $i; sleep 0.2; done\n${image}\n`;
const large = `type: command
command: for i in $(seq 600); do echo $i > \${{outputs.result}}/$i.txt; done
outputs: {result: {type: uri_folder}}
${image}
`;
const seeds = process.env['AMLOPS_SOAK'] ? 100 : 3;

interface Result {
  result: string;
  issues: { type: string; message: string }[];
  outputVariables: Record<string, { value: string }>;
  killedBy: string | null;
  problems: unknown[];
}
type Ended = Result & { log: string; value(name: string): string | undefined };
interface Injected {
  method: string;
  path: string;
  kind: string;
}

/** Runs the built task; `interrupt` resolves when it is time for SIGINT, which is sent twice, the second time to the task itself. */
async function run(
  up: Running,
  folder: string,
  inputs: Record<string, string>,
  interrupt?: (log: () => string) => Promise<void>,
): Promise<Ended> {
  const kept = mkdtempSync(join(folder, 'result-'));
  const file = join(kept, 'result.json');
  const child = spawn(
    process.execPath,
    [
      ...['bin/amlops.mjs', 'task', 'RunAmlPipeline', '--connection', up.file, '--workspace', 'dev', '--root', folder],
      ...['--result', file, ...Object.entries(inputs).flatMap(([name, value]) => ['--input', `${name}=${value}`])],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (log += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  if (interrupt) {
    await Promise.race([interrupt(() => log), closed]);
    const [task] = childrenOf(child.pid ?? 0);
    child.kill('SIGINT');
    await sleep(150);
    // The task may have ended by now, which is as good.
    if (task !== undefined && childrenOf(child.pid ?? 0).includes(task)) process.kill(task, 'SIGINT');
  }
  await closed;
  assert.ok(existsSync(file), err + log);
  const result = JSON.parse(readFileSync(file, 'utf8')) as Result;
  assert.deepEqual(result.problems, [], log);
  assert.doesNotMatch(log, /Warning:/);
  for (const { clientSecret } of up.connection.serviceConnections) assert.ok(!`${log}${err}`.includes(clientSecret));
  return { ...result, log, value: (name) => result.outputVariables[name]?.value };
}

/** Child processes (Linux only; elsewhere the second signal is left out). */
function childrenOf(pid: number): number[] {
  const list = `/proc/${pid}/task/${pid}/children`;
  return existsSync(list) ? readFileSync(list, 'utf8').split(' ').filter(Boolean).map(Number) : [];
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(40);
}

function write(folder: string, files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

async function adminPut(up: Running, body: { faults?: string; latency?: string }): Promise<void> {
  const reply = await send(up.connection, 'PUT', `${up.connection.resourceManager}/_amlops`, {
    token: await tokenOf(up.connection),
    body,
  });
  assert.equal(reply.status, 200, reply.text);
}

/** Every job of the workspace that was submitted with this experiment. */
async function jobsOf(up: Running, experiment: string): Promise<{ name: string; status: string }[]> {
  const found: { name: string; status: string }[] = [];
  const token = await tokenOf(up.connection);
  let next: string | undefined = `${up.connection.resourceManager}${armId(up.connection)}/jobs?api-version=2025-06-01`;
  while (next) {
    const reply = await send(up.connection, 'GET', next, { token });
    assert.equal(reply.status, 200, reply.text);
    for (const { name, properties } of reply.json.value) {
      if (properties.experimentName === experiment) found.push({ name, status: properties.status });
    }
    next = reply.json.nextLink;
  }
  return found;
}

/** The one job of an experiment, when it has ended. */
async function ended(up: Running, experiment: string): Promise<string> {
  let jobs: { name: string; status: string }[] = [];
  await until(async () => {
    jobs = await jobsOf(up, experiment);
    return jobs.every(({ status }) => /^(Completed|Failed|Canceled)$/.test(status));
  });
  assert.equal(jobs.length, 1, JSON.stringify(jobs));
  return jobs[0]?.status ?? '';
}

describe('RunAmlPipeline among faults', () => {
  let up: Running;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-faults-'));
    up = await startUp({ args: ['--workspaces', 'dev'] });
  });
  after(async () => {
    await up?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  for (let seed = 1; seed <= seeds; seed++) {
    it(`seed ${seed}: right results, one job each, no secret`, async () => {
      // Code and data of its own, so that every seed has something to upload.
      const root = join(folder, `seed-${seed}`);
      write(root, {
        'fine.yml': fine,
        'fails.yml': fails,
        'data.txt': `data ${seed}\n`,
        'src/ok.txt': `ok ${seed}`,
        'src/fail.py': `def fit():\n    raise ValueError("no labels ${seed}")\n\n\nfit()\n`,
      });
      const also = 'metrics-late=2,not-responding=2,token-lifetime=20,operations-move';
      await adminPut(up, { faults: `seed=${seed},rate=0.2,retry-after=1,${also}` });
      const [good, bad] = await Promise.all([
        run(up, root, {
          ...{ pipelineFile: 'fine.yml', experimentName: `fine-${seed}` },
          ...{ downloadOutputs: 'all', downloadPath: join(root, 'fetched') },
        }),
        run(up, root, { pipelineFile: 'fails.yml', experimentName: `fails-${seed}` }),
      ]);
      await adminPut(up, { faults: '' });
      assert.equal(good.result, 'Succeeded', good.log);
      assert.equal(good.value('jobStatus'), 'Completed');
      assert.equal(readFileSync(join(root, 'fetched', 'result', 'got.txt'), 'utf8'), `ok ${seed}`);
      const lines = good.log.split('\n').filter((line) => /\] (data \d+|one|two)$/.test(line));
      assert.equal(lines.length, 3, good.log);
      assert.equal(bad.result, 'Failed', bad.log);
      assert.equal(bad.value('jobStatus'), 'Failed');
      assert.match(
        bad.issues.find(({ type }) => type === 'error')?.message ?? '',
        new RegExp(`user code.*no labels ${seed}`),
        bad.log,
      );
      assert.equal(await ended(up, `fine-${seed}`), 'Completed');
      assert.equal(await ended(up, `fails-${seed}`), 'Failed');
    });
  }
});

describe('RunAmlPipeline cancelled', () => {
  let up: Running;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-cancel-'));
    write(folder, { 'long.yml': long, 'large.yml': large, 'many.yml': `${long}code: many\n` });
    mkdirSync(join(folder, 'many'));
    for (let index = 0; index < 2500; index++) writeFileSync(join(folder, 'many', `f${index}.txt`), `file ${index}`);
    up = await startUp({ args: ['--workspaces', 'dev', '--storage', 'identity'] });
  });
  after(async () => {
    await up?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => adminPut(up, { faults: '' }));

  async function injected(method: string, path: RegExp): Promise<boolean> {
    const reply = await send(up.connection, 'GET', `${up.connection.resourceManager}/_amlops`, {
      token: await tokenOf(up.connection),
    });
    return (reply.json.injected as Injected[]).some((one) => one.method === method && path.test(one.path));
  }

  /** SIGINT was enough: the task left by itself, before the 7.5 s after which the agent says SIGTERM. */
  function left(ended: Ended): void {
    assert.equal(ended.result, 'Canceled', ended.log);
    assert.ok(ended.killedBy === null || ended.killedBy === 'SIGINT', `${ended.killedBy}\n${ended.log}`);
    assert.doesNotMatch(ended.log, /clean-up was not finished/);
  }

  it('while it uploads: nothing was submitted, and it says so', async () => {
    await adminPut(up, { faults: 'rate=1,kinds=slow,path=/startPendingUpload$' });
    const cancelled = await run(up, folder, { pipelineFile: 'many.yml', experimentName: 'uploading' }, async () => {
      await until(() => injected('POST', /startPendingUpload$/));
      await sleep(1500);
    });
    left(cancelled);
    assert.doesNotMatch(cancelled.log, /Uploaded/);
    assert.match(cancelled.log, /Cancelled before a job was submitted/);
    assert.deepEqual(await jobsOf(up, 'uploading'), []);
  });

  it('while it submits: a job whose reply was still on its way is cancelled', async () => {
    await adminPut(up, { faults: 'rate=1,kinds=slow,path=/jobs/reply-on-its-way$' });
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'long.yml', experimentName: 'submitting', jobName: 'reply-on-its-way' },
      () => until(() => injected('PUT', /reply-on-its-way$/)),
    );
    left(cancelled);
    assert.match(cancelled.log, /Azure was asked to cancel job reply-on-its-way/);
    assert.equal(await ended(up, 'submitting'), 'Canceled');
  });

  it('while the service does not take the submission: there is no job, and it says so', async () => {
    await adminPut(up, { faults: 'rate=1,kinds=429,retry-after=1,path=/jobs/never-taken$' });
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'long.yml', experimentName: 'throttled', jobName: 'never-taken' },
      () => until(() => injected('PUT', /never-taken$/)),
    );
    left(cancelled);
    assert.match(cancelled.log, /job never-taken does not exist in Azure/);
    assert.deepEqual(await jobsOf(up, 'throttled'), []);
  });

  it('while it waits: the job is cancelled, also when the request to do so meets faults', async () => {
    await adminPut(up, { faults: 'seed=5,rate=1,kinds=503+reset-before+reset-after,path=/cancel$' });
    const cancelled = await run(up, folder, { pipelineFile: 'long.yml', experimentName: 'waiting' }, (log) =>
      until(() => /line 2/.test(log())),
    );
    left(cancelled);
    assert.match(cancelled.log, /Azure was asked to cancel job|had already ended/);
    assert.equal(await ended(up, 'waiting'), 'Canceled');
  });

  it('while it waits, with cancelWithPipeline false: the job runs on, and it says so', async () => {
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'long.yml', experimentName: 'left', cancelWithPipeline: 'false', streamLogs: 'none' },
      (log) => until(() => /: Running/.test(log())),
    );
    left(cancelled);
    const name = cancelled.value('jobName') ?? '';
    assert.match(cancelled.log, new RegExp(`job ${name} runs on in Azure \\(cancelWithPipeline is false\\)`));
    assert.deepEqual(await jobsOf(up, 'left'), [{ name, status: 'Running' }]);
    const token = await tokenOf(up.connection);
    await send(up.connection, 'POST', `${up.connection.resourceManager}${armId(up.connection)}/jobs/${name}/cancel`, { token });
  });

  it('while it downloads: the job had completed and stays so; with storage that takes no keys', async () => {
    const fetched = join(folder, 'fetched');
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'large.yml', experimentName: 'downloading', downloadOutputs: 'result', downloadPath: fetched },
      () => until(() => existsSync(join(fetched, 'result')) && readdirSync(join(fetched, 'result')).length > 5),
    );
    left(cancelled);
    assert.ok(readdirSync(join(fetched, 'result')).length < 600, 'the download was over before the signal');
    assert.match(cancelled.log, /had already ended/);
    assert.equal(await ended(up, 'downloading'), 'Completed');
  });

  it('runs whole where the storage takes no keys: code, data and outputs by identity', async () => {
    write(folder, { 'fine.yml': fine, 'data.txt': 'by identity\n', 'src/ok.txt': 'ok' });
    const good = await run(up, folder, {
      ...{ pipelineFile: 'fine.yml', experimentName: 'identity' },
      ...{ downloadOutputs: 'all', downloadPath: join(folder, 'by-identity') },
    });
    assert.equal(good.result, 'Succeeded', good.log);
    assert.match(good.log, /by identity/);
    assert.equal(readFileSync(join(folder, 'by-identity', 'result', 'got.txt'), 'utf8'), 'ok');
    assert.equal(await ended(up, 'identity'), 'Completed');
  });
});
