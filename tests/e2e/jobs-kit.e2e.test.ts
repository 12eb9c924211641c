/** The client kit's job script: azure-ai-ml submits, streams, downloads, cancels, archives against `amlops up`. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { clientKit, clientVenv } from '../support/client-kit.js';
import { startUp, type Running } from '../support/workspace.js';

describe('client kit: jobs', function () {
  this.timeout(600_000);
  let up: Running | undefined;
  after(() => up?.stop());

  before(async () => (up = await startUp({ args: ['--workspaces', 'dev'] })));

  it('passes every check', async function () {
    if (!clientKit) {
      console.log('      skipped: ../shared/clients is not there');
      this.skip();
    }
    const venv = await clientVenv();
    assert.ok(up);
    const { stdout } = await promisify(execFile)(venv.python, [join(clientKit, 'aml_sdk_jobs.py'), '--connection', up.file], {
      cwd: up.state,
      maxBuffer: 16 * 1024 * 1024,
    }).catch((error: unknown) => error as { stdout: string });
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.startsWith('FAIL')),
      [],
    );
    assert.match(stdout, /^\d+ passed, 0 failed$/m);
  });

  it('serves what users write themselves: streams, downloads, reuse, sweeps', async () => {
    const { python } = await clientVenv();
    assert.ok(up);
    const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'job_clients.py'), up.file], {
      cwd: up.state,
      maxBuffer: 16 * 1024 * 1024,
    }).catch((error: unknown) => {
      throw new Error(`${(error as { stdout: string }).stdout}\n${(error as { stderr: string }).stderr.slice(-3000)}`);
    });
    assert.match(stdout, /^done$/m);
  });
});
