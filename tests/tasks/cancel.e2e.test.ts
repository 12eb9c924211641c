/**
 * A run that is cancelled, or runs out of its step's time, while Azure does not answer: in each phase the packed task leaves by itself (the
 * agent says SIGTERM 7.5 s after SIGINT), asks for the cancel of what it may have submitted, and says what is left.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createJob, runTaskIn } from '../../local/agent/run-task.js';
import { setWritable, unpackTask } from '../../local/agent/task-folder.js';
import type { TaskRunResult } from '../../local/agent/types.js';
import type { Asked, Reply } from '../support/https-server.js';
import { smallAzure, type SmallAzure } from '../support/small-azure.js';

const root = join(import.meta.dirname, '..', '..');
const never = (): Promise<never> => new Promise(() => undefined);
const submitting = { action: 'run', pipelineFile: 'job.yml', jobName: 'mine' };
const attaching = { action: 'attach', jobName: 'mine' };
const job = (status: string): Reply => ({
  body: { id: '/jobs/mine', name: 'mine', properties: { status, jobType: 'Command', services: {}, outputs: {} } },
});
const missing: Reply = { status: 404, body: { error: { code: 'UserError', message: 'not found' } } };

describe('RunAmlPipeline cancelled while Azure does not answer', function () {
  this.timeout(120_000);
  let folder: string;
  let task: string;
  let azure: SmallAzure;
  let runs = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-cancelled-'));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const vsix = join(root, 'out', `amlops.azure-machine-learning-mlops-${version}.vsix`);
    if (!existsSync(vsix)) await promisify(execFile)(process.execPath, [join(root, 'scripts', 'package.mjs')], { cwd: root });
    task = unpackTask(vsix, 'RunAmlPipeline', join(folder, 'tasks')).folder;
    azure = await smallAzure();
    writeFileSync(join(folder, 'ca.pem'), azure.server.ca);
    const text = 'type: command\ncommand: echo\nenvironment: azureml:env:1\ncompute: azureml:cpu\n';
    writeFileSync(join(folder, 'job.yml'), text);
  });
  after(async () => {
    await azure?.close();
    setWritable(folder, true);
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => azure.reset());

  interface Ended extends TaskRunResult {
    log: string;
    /** Milliseconds from SIGINT to the request that cancels the job. */
    asked?: number;
  }

  /** `hangs`: the request that is never answered; SIGINT comes when it arrives (or after `limit` milliseconds of the step). */
  async function run(
    inputs: Record<string, string>,
    hangs: (asked: Asked) => boolean,
    answers: (asked: Asked) => Reply | undefined,
    limit?: number,
  ): Promise<Ended> {
    const abort = new AbortController();
    let at = 0;
    let asked: number | undefined;
    const hang = (): Promise<never> => {
      if (limit === undefined && !abort.signal.aborted) {
        at = Date.now();
        abort.abort();
      }
      return never();
    };
    azure.signIn = (_form, one) => (hangs(one) ? hang() : undefined);
    azure.manager = (one) => {
      if (one.method === 'POST' && one.path.endsWith('/jobs/mine/cancel')) {
        asked = Date.now() - at;
        return answers(one) ?? { status: 202 };
      }
      return hangs(one) ? hang() : answers(one);
    };
    const log: string[] = [];
    const agentJob = await createJob({
      workFolder: join(folder, `work-${(runs += 1)}`),
      sourcesFolder: folder,
      ca: [join(folder, 'ca.pem')],
      endpoints: [azure.connection('ServicePrincipal', { serviceprincipalkey: 'the~secret.of-arm-1' })],
      onLine: (line) => log.push(line),
    });
    try {
      const common = { azureSubscription: 'arm-dev', resourceGroupName: 'rg', workspaceName: 'ws', streamLogs: 'none' };
      const result = await runTaskIn(agentJob, {
        ...{ from: task, name: 'RunAmlPipeline', inputs: { ...common, ...inputs }, signal: abort.signal },
        ...(limit === undefined ? {} : { timeoutMs: limit }),
      });
      if (process.env['AMLOPS_SHOW_LOGS']) console.error(`\n=== ${log.slice(8).join('\n')}\ncancel after ${asked} ms`);
      assert.deepEqual(result.problems, [], log.join('\n'));
      assert.doesNotMatch(log.join('\n'), /fault of its own|clean-up was not finished/);
      return { ...result, log: log.join('\n'), ...(asked === undefined ? {} : { asked }) };
    } finally {
      await agentJob.finish();
    }
  }

  /** SIGINT was enough. */
  function left(ended: Ended): void {
    assert.deepEqual([ended.result, ended.killedBy, ended.exitCode], ['Canceled', 'SIGINT', 0], ended.log);
  }

  const references = ({ path }: Asked): Reply | undefined => {
    if (path.endsWith('/jobs/mine')) return missing;
    if (path.includes('/environments/')) return { body: { id: `${path}`, name: '1', properties: { image: 'x' } } };
    return path.includes('/computes/')
      ? { body: { id: path, name: 'cpu', properties: { computeType: 'AmlCompute' } } }
      : undefined;
  };
  const running = ({ path }: Asked): Reply | undefined => (path.endsWith('/jobs/mine') ? job('Running') : undefined);

  for (const cancelWithPipeline of ['true', 'false']) {
    const of = (inputs: Record<string, string>): Record<string, string> => ({ ...inputs, cancelWithPipeline });
    describe(`cancelWithPipeline: ${cancelWithPipeline}`, () => {
      it('in the sign-in: nothing was submitted', async () => {
        const ended = await run(of(submitting), ({ path }) => path.endsWith('/token'), references);
        left(ended);
        assert.match(ended.log, /Cancelled before a job was submitted/);
        assert.equal(azure.authorized.length, 0);
      });

      it('while references are looked up: nothing was submitted', async () => {
        const ended = await run(of(submitting), ({ path }) => path.includes('/environments/'), references);
        left(ended);
        assert.match(ended.log, /Cancelled before a job was submitted/);
        assert.ok(azure.authorized.every(({ method }) => method === 'GET'));
      });

      it('in the submission, which arrives late: the job is not lost sight of', async () => {
        let there = false;
        const answers = (asked: Asked): Reply | undefined =>
          asked.path.endsWith('/jobs/mine') && there ? job('Starting') : references(asked);
        const hangs = ({ method, path }: Asked): boolean =>
          (there ||= method === 'PUT' && path.endsWith('/jobs/mine')) && method === 'PUT';
        const ended = await run(of(submitting), hangs, answers);
        left(ended);
        if (cancelWithPipeline === 'true') assert.match(ended.log, /Azure was asked to cancel job mine/);
        else assert.match(ended.log, /job mine runs on in Azure \(cancelWithPipeline is false\)/);
        assert.equal(ended.asked !== undefined, cancelWithPipeline === 'true');
      });

      it('in the submission, which never arrives: it says that there is no job', async () => {
        const ended = await run(
          of(submitting),
          ({ method }) => method === 'PUT',
          (asked) => {
            return asked.path.endsWith('/cancel') ? missing : references(asked);
          },
        );
        left(ended);
        assert.match(ended.log, /job mine does not exist in Azure; it had not been submitted/);
      });

      it('in the wait: the job is cancelled, or runs on', async () => {
        let looks = 0;
        const ended = await run(
          of(attaching),
          ({ method, path }) => method === 'GET' && /\/jobs\/mine$/.test(path) && (looks += 1) > 1,
          running,
        );
        left(ended);
        assert.equal(ended.asked !== undefined, cancelWithPipeline === 'true', ended.log);
        // Generous: a busy machine starts and signals slowly. The request itself waits for nothing.
        if (ended.asked !== undefined) assert.ok(ended.asked < 5_000, `${ended.asked} ms`);
        assert.match(ended.log, cancelWithPipeline === 'true' ? /Azure was asked to cancel/ : /runs on in Azure/);
      });
    });
  }

  it("the step's own time limit: the job is cancelled, the step has failed", async () => {
    const ended = await run(attaching, () => false, running, 4_000);
    assert.deepEqual([ended.result, ended.killedBy, ended.exitCode], ['Failed', 'timeout', 0], ended.log);
    assert.notEqual(ended.asked, undefined, ended.log);
    assert.match(ended.log, /Azure was asked to cancel job mine/);
    assert.match(ended.log, /##\[error\]The task has timed out\./);
  });

  it('a cancel that Azure does not answer: said, in time', async () => {
    let looks = 0;
    const quiet = ({ method, path }: Asked): boolean =>
      (method === 'GET' && path.endsWith('/jobs/mine') && (looks += 1) > 1) || path.endsWith('/metadata');
    azure.reset();
    const abort = run(attaching, quiet, running);
    const manager = azure.manager;
    azure.manager = (asked) => (asked.path.endsWith('/cancel') ? never() : manager(asked));
    const ended = await abort;
    left(ended);
    assert.match(ended.log, /Job mine could not be cancelled in Azure \(no answer within five seconds\)/);
  });
});
