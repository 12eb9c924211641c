/** RunAmlPipeline when things go wrong around it: faults of every kind from a seed, cancels in every phase, storage without keys. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { faultKinds, storageFaultKinds, type Injected } from '../../local/workspace/faults.js';
import { armId, send, startUp, tokenOf, type Running } from '../support/workspace.js';

const environment = 'environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}';
const image = `${environment}\ncompute: azureml:cpu-cluster`;
const command = `type: command
code: src
command: cp ok.txt \${{outputs.result}}/got.txt && cat \${{inputs.data}} && echo one && echo two && python metric.py
inputs: {data: {type: uri_file, path: data.txt}}
outputs: {result: {type: uri_folder}}
${image}
`;
const pipeline = `type: pipeline
settings: {default_compute: azureml:cpu-cluster}
inputs: {data: {type: uri_file, path: data.txt}}
outputs: {result: {type: uri_folder}}
jobs:
  first:
    code: src
    command: cat \${{inputs.data}} && echo one && cp ok.txt \${{outputs.made}}/got.txt
    ${environment}
    inputs: {data: '\${{parent.inputs.data}}'}
    outputs: {made: {type: uri_folder}}
  second:
    code: src
    command: echo two && cp -r \${{inputs.made}}/. \${{outputs.kept}} && python metric.py
    ${environment}
    inputs: {made: '\${{parent.jobs.first.outputs.made}}'}
    outputs: {kept: '\${{parent.outputs.result}}'}
`;
/** What MLflow's client does to log a metric, and tries again as it does. */
const metric = `import json, os, time, urllib.request
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
now = int(time.time() * 1000)
body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "accuracy", "value": 0.75, "timestamp": now, "step": 0}
headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
for left in range(8, -1, -1):
    try:
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
        break
    except Exception:
        if left == 0:
            raise
        time.sleep(0.2)
`;
const fails = `type: command\ncode: broken\ncommand: python fail.py\n${image}\n`;
const long = `type: command\ncommand: for i in $(seq 300); do echo line $i; sleep 0.2; done\n${image}\n`;
const large = `type: command
command: for i in $(seq 600); do echo $i > \${{outputs.result}}/$i.txt; done
outputs: {result: {type: uri_folder}}
${image}
`;
const seeds = process.env['AMLOPS_SOAK'] ? Number(process.env['AMLOPS_SOAK_SEEDS'] ?? 100) : 4;
/** Workspaces that take the seeds in turn (a seed is mostly waiting), by how their storage is reached. */
const lanes = ['keys', 'identity'];

interface Result {
  result: string;
  issues: { type: string; message: string }[];
  outputVariables: Record<string, { value: string }>;
  killedBy: string | null;
  problems: unknown[];
}
type Ended = Result & { log: string; value(name: string): string | undefined };

/** Runs the built task; `interrupt` resolves when it is time for SIGINT, which is sent twice, the second time to the task itself. */
async function run(
  up: Running,
  folder: string,
  inputs: Record<string, string>,
  options: { variables?: Record<string, string>; interrupt?: (log: () => string) => Promise<void> } = {},
): Promise<Ended> {
  const { variables = {}, interrupt } = options;
  const kept = mkdtempSync(join(folder, 'result-'));
  const file = join(kept, 'result.json');
  const child = spawn(
    process.execPath,
    [
      ...['bin/amlops.mjs', 'task', 'RunAmlPipeline', '--connection', up.file, '--workspace', 'dev', '--root', folder],
      ...['--result', file, ...Object.entries(inputs).flatMap(([name, value]) => ['--input', `${name}=${value}`])],
      ...Object.entries(variables).flatMap(([name, value]) => ['--variable', `${name}=${value}`]),
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

/** Every resource of a kind (`jobs`, `codes`). */
async function listOf(up: Running, kind: string): Promise<{ name: string; properties: Record<string, string> }[]> {
  const found: { name: string; properties: Record<string, string> }[] = [];
  const token = await tokenOf(up.connection);
  let next: string | undefined = `${up.connection.resourceManager}${armId(up.connection)}/${kind}?api-version=2025-06-01`;
  while (next) {
    const reply = await send(up.connection, 'GET', next, { token });
    assert.equal(reply.status, 200, reply.text);
    found.push(...reply.json.value);
    next = reply.json.nextLink;
  }
  return found;
}

/** Every job of the workspace that was submitted with this experiment. */
async function jobsOf(up: Running, experiment: string): Promise<{ name: string; status: string }[]> {
  const mine = (await listOf(up, 'jobs')).filter(({ properties }) => properties['experimentName'] === experiment);
  return mine.map(({ name, properties }) => ({ name, status: properties['status'] ?? '' }));
}

/** The faults that requests have met since they were set. */
async function injectedIn(up: Running): Promise<Injected[]> {
  const token = await tokenOf(up.connection);
  return (await send(up.connection, 'GET', `${up.connection.resourceManager}/_amlops`, { token })).json.injected as Injected[];
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
  let ups: Running[] = [];
  let folder: string;
  /** What the workspaces did to the seeds' requests, and what of it showed in the logs. */
  const met = new Map<string, number>();
  const count = (what: string, times = 1) => met.set(what, (met.get(what) ?? 0) + times);
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-faults-'));
    ups = await Promise.all(lanes.map((storage) => startUp({ args: ['--workspaces', 'dev', '--storage', storage] })));
  });
  after(async () => {
    await Promise.all(ups.map((up) => up.stop()));
    rmSync(folder, { recursive: true, force: true });
  });

  async function oneSeed(up: Running, seed: number): Promise<void> {
    // Code and data of its own, so that every seed has something to upload.
    const root = join(folder, `seed-${seed}`);
    write(root, {
      'fine.yml': seed % 4 < 2 ? command : pipeline,
      'fails.yml': fails,
      'data.txt': `data ${seed}\n`,
      'src/ok.txt': `ok ${seed}`,
      'src/metric.py': metric,
      'broken/fail.py': `def fit():\n    raise ValueError("no labels ${seed}")\n\n\nfit()\n`,
    });
    const codes = (await listOf(up, 'codes')).length;
    const also = 'metrics-late=2,not-responding=2,token-lifetime=20,operations-move';
    const storage = `storage=0.15,storage-kinds=${storageFaultKinds.join('+')}`;
    await adminPut(up, { faults: `seed=${seed},rate=0.2,retry-after=1,${storage},${also}` });
    // The run's number makes the job's name, and that the faults it meets: the same seed is the same run again.
    const number = { 'Build.BuildId': String(seed) };
    const [good, bad] = await Promise.all([
      run(
        up,
        root,
        {
          ...{ pipelineFile: 'fine.yml', experimentName: `fine-${seed}` },
          ...{ downloadOutputs: 'all', downloadPath: join(root, 'fetched') },
        },
        { variables: { ...number, 'System.StageName': 'fine' } },
      ),
      run(
        up,
        root,
        { pipelineFile: 'fails.yml', experimentName: `fails-${seed}` },
        { variables: { ...number, 'System.StageName': 'fails' } },
      ),
    ]);
    for (const { service, kind } of await injectedIn(up)) count(service ? `${service} ${kind}` : kind);
    for (const { log } of [good, bad]) {
      if (/NotResponding/.test(log)) count('not-responding');
      if (/reply to the submission was lost/.test(log)) count('submission read back');
    }
    await adminPut(up, { faults: '' });
    assert.equal(good.result, 'Succeeded', good.log);
    assert.equal(good.value('jobStatus'), 'Completed');
    assert.equal(readFileSync(join(root, 'fetched', 'result', 'got.txt'), 'utf8'), `ok ${seed}`);
    const lines = good.log.split('\n').filter((line) => /\] (data \d+|one|two)$/.test(line));
    assert.equal(lines.length, 3, good.log);
    assert.deepEqual(JSON.parse(good.value('metrics') ?? ''), { accuracy: 0.75 }, good.log);
    assert.equal(bad.result, 'Failed', bad.log);
    assert.equal(bad.value('jobStatus'), 'Failed');
    assert.match(
      bad.issues.find(({ type }) => type === 'error')?.message ?? '',
      new RegExp(`user code.*no labels ${seed}`),
      bad.log,
    );
    assert.equal(await ended(up, `fine-${seed}`), 'Completed');
    assert.equal(await ended(up, `fails-${seed}`), 'Failed');
    // Steps that share their code, replies that were lost: each folder was registered once.
    assert.equal((await listOf(up, 'codes')).length, codes + 2, good.log + bad.log);
    rmSync(root, { recursive: true });
  }

  for (let first = 1; first <= seeds; first += lanes.length) {
    it(`seeds ${first} to ${first + lanes.length - 1}: right results, one job each, no secret, nothing left over`, async () => {
      await Promise.all(ups.map((up, lane) => oneSeed(up, first + lane)));
    });
  }

  it('met every kind of fault', () => {
    const rare = [...storageFaultKinds.map((kind) => `storage ${kind}`), 'submission read back', 'not-responding'];
    const missing = [...faultKinds, ...rare].filter((kind) => !met.has(kind));
    // What a few seeds need not meet, a hundred do: how many requests a job takes, and so what is drawn, depends on the machine.
    if (seeds >= 30) assert.deepEqual(missing, [], JSON.stringify([...met]));
    else assert.ok(met.size >= 8, JSON.stringify([...met]));
  });
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
    return (await injectedIn(up)).some((one) => one.method === method && path.test(one.path));
  }

  /** SIGINT was enough: the task left by itself, before the 7.5 s after which the agent says SIGTERM. */
  function left(ended: Ended): void {
    assert.equal(ended.result, 'Canceled', ended.log);
    assert.ok(ended.killedBy === null || ended.killedBy === 'SIGINT', `${ended.killedBy}\n${ended.log}`);
    assert.doesNotMatch(ended.log, /clean-up was not finished/);
  }

  it('while it uploads: nothing was submitted, and it says so', async () => {
    await adminPut(up, { faults: 'rate=1,kinds=slow,path=/startPendingUpload$' });
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'many.yml', experimentName: 'uploading' },
      {
        interrupt: async () => {
          await until(() => injected('POST', /startPendingUpload$/));
          await sleep(1500);
        },
      },
    );
    left(cancelled);
    assert.doesNotMatch(cancelled.log, /Uploaded/);
    assert.match(cancelled.log, /Cancelled before a job was submitted/);
    assert.deepEqual(await jobsOf(up, 'uploading'), []);
  });

  it('killed while it uploads and run again: what was sent is not sent again', async function () {
    if (!existsSync('/proc/self/task')) this.skip();
    const inputs = { pipelineFile: 'many.yml', experimentName: 'killed', jobName: 'killed-upload', action: 'submit' };
    await adminPut(up, { faults: 'storage=1,storage-kinds=503,burst=50,storage-path=PUT .*/f999.txt$' });
    const given = Object.entries(inputs).flatMap(([name, value]) => ['--input', `${name}=${value}`]);
    const where = ['--connection', up.file, '--workspace', 'dev', '--root', folder];
    const child = spawn(process.execPath, ['bin/amlops.mjs', 'task', 'RunAmlPipeline', ...where, ...given], { stdio: 'ignore' });
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    await until(async () => (await injectedIn(up)).some(({ path }) => path.includes('/f999.txt')));
    for (const pid of [...childrenOf(child.pid ?? 0), child.pid ?? 0]) process.kill(pid, 'SIGKILL');
    await closed;
    await adminPut(up, { faults: '' });
    assert.deepEqual(await jobsOf(up, 'killed'), []);
    const again = await run(up, folder, inputs);
    assert.equal(again.result, 'Succeeded', again.log);
    const sent = Number(/Uploaded (\d+) file/.exec(again.log)?.[1]);
    // Sixteen were on their way at most.
    assert.ok(sent >= 1 && sent <= 16, again.log);
    assert.equal((await jobsOf(up, 'killed')).length, 1);
    const token = await tokenOf(up.connection);
    await send(up.connection, 'POST', `${up.connection.resourceManager}${armId(up.connection)}/jobs/killed-upload/cancel`, {
      token,
    });
  });

  it('while it submits: a job whose reply was still on its way is cancelled', async () => {
    await adminPut(up, { faults: 'rate=1,kinds=slow,path=/jobs/reply-on-its-way$' });
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'long.yml', experimentName: 'submitting', jobName: 'reply-on-its-way' },
      { interrupt: () => until(() => injected('PUT', /reply-on-its-way$/)) },
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
      { interrupt: () => until(() => injected('PUT', /never-taken$/)) },
    );
    left(cancelled);
    assert.match(cancelled.log, /job never-taken does not exist in Azure/);
    assert.deepEqual(await jobsOf(up, 'throttled'), []);
  });

  it('while it waits: the job is cancelled, also when the request to do so meets faults', async () => {
    await adminPut(up, { faults: 'seed=5,rate=1,kinds=503+reset-before+reset-after,path=/cancel$' });
    const cancelled = await run(
      up,
      folder,
      { pipelineFile: 'long.yml', experimentName: 'waiting' },
      {
        interrupt: (log) => until(() => /line 2/.test(log())),
      },
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
      { interrupt: (log) => until(() => /: Running/.test(log())) },
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
      { interrupt: () => until(() => existsSync(join(fetched, 'result')) && readdirSync(join(fetched, 'result')).length > 5) },
    );
    left(cancelled);
    assert.ok(readdirSync(join(fetched, 'result')).length < 600, 'the download was over before the signal');
    assert.match(cancelled.log, /had already ended/);
    assert.equal(await ended(up, 'downloading'), 'Completed');
  });

  it('runs whole where the storage takes no keys: code, data and outputs by identity', async () => {
    write(folder, { 'fine.yml': command, 'src/metric.py': metric, 'data.txt': 'by identity\n', 'src/ok.txt': 'ok' });
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
