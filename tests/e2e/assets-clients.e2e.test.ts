/** Assets and registries with the unmodified azure-ai-ml: our own script, and the client kit's when it is there. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Venv } from '../../local/python.js';
import { clientKit, clientVenv } from '../support/client-kit.js';
import { startUp, type Running } from '../support/workspace.js';

const script = join(import.meta.dirname, '..', 'local', 'workspace', 'asset_clients.py');

describe('azure-ai-ml: assets and registries', function () {
  this.timeout(600_000);
  let venv: Venv;
  let up: Running;
  before(async () => {
    venv = await clientVenv();
    up = await startUp();
  });
  after(async () => await up?.stop());

  it('creates, reads, downloads and shares', async () => {
    const { stdout } = await promisify(execFile)(venv.python, [script, up.file], { cwd: up.state });
    // Behind the dots that the client prints while it waits.
    assert.match(stdout, /done\s*$/);
  });

  it('passes every check of the client kit', async function () {
    if (!clientKit) {
      console.log('      skipped: ../shared/clients is not there');
      this.skip();
    }
    const { stdout } = await promisify(execFile)(venv.python, [join(clientKit, 'aml_sdk_assets.py'), '--connection', up.file], {
      cwd: up.state,
      maxBuffer: 16 * 1024 * 1024,
    }).catch((error: unknown) => error as { stdout: string });
    assert.deepEqual(
      stdout.split('\n').filter((line) => line.startsWith('FAIL')),
      [],
    );
    assert.match(stdout, /^\d+ passed, 0 failed$/m);
  });
});
