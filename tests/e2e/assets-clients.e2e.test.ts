/** Assets and registries with the unmodified azure-ai-ml: our own script, and the client kit's when it is there. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { passKit, runClient } from '../support/client-kit.js';
import { startUp, type Running } from '../support/workspace.js';

const script = join(import.meta.dirname, '..', 'local', 'workspace', 'asset_clients.py');

describe('azure-ai-ml: assets and registries', function () {
  this.timeout(600_000);
  let up: Running;
  before(async () => (up = await startUp()));
  after(async () => await up?.stop());

  it('creates, reads, downloads and shares', async () => {
    // Behind the dots that the client prints while it waits.
    assert.match(await runClient(script, [up.file], up.state), /done\s*$/);
  });

  it('passes every check of the client kit', async function () {
    await passKit(this, 'aml_sdk_assets.py', up);
  });
});
