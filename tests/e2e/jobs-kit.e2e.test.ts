/** Jobs with the unmodified azure-ai-ml against `amlops up`: the client kit's script when it is there, and our own. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { passKit, runClient } from '../support/client-kit.js';
import { startUp, type Running } from '../support/workspace.js';

describe('client kit: jobs', function () {
  this.timeout(600_000);
  let up: Running;
  before(async () => (up = await startUp({ args: ['--workspaces', 'dev'] })));
  after(async () => await up?.stop());

  it('submits, streams, downloads, cancels, archives: every check passes', async function () {
    await passKit(this, 'aml_sdk_jobs.py', up);
  });

  it('serves what users write themselves: streams, downloads, reuse, sweeps', async () => {
    assert.match(await runClient(join(import.meta.dirname, 'job_clients.py'), [up.file], up.state), /^done$/m);
  });
});
