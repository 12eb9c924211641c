/** A task whose agent is gone: nobody reads its output any more. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

describe('a task whose agent died', () => {
  it('ends by itself instead of writing into a closed pipe for ever', async function () {
    this.timeout(60000);
    const temp = mkdtempSync(join(tmpdir(), 'amlops-orphan-'));
    const script = `
      import { main } from ${JSON.stringify(join(root, 'src', 'task', 'host.ts'))};
      await main({ name: 'Talker', parse: () => ({}), run: async (inputs, platform) => {
        for (;;) { platform.info('still here'); await new Promise((resolve) => setTimeout(resolve, 20)); }
      } });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
      env: { ...process.env, AGENT_TEMPDIRECTORY: temp },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.stdout.destroy();
    child.stderr.destroy();
    assert.equal(await exited, 1);
    rmSync(temp, { recursive: true, force: true });
  });
});
