/** A task whose agent is gone, or slow: nobody reads its output. */
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

  it('ends in time when it is cancelled and nobody takes what it prints, of which it keeps only so much', async function () {
    if (process.platform === 'win32') this.skip();
    this.timeout(60000);
    const temp = mkdtempSync(join(tmpdir(), 'amlops-deaf-'));
    const script = `
      import { main } from ${JSON.stringify(join(root, 'src', 'task', 'host.ts'))};
      await main({ name: 'Talker', parse: () => ({}), run: async (inputs, platform) => {
        setTimeout(() => process.stderr.write(String(process.stdout.writableLength)), 500);
        const line = 'x'.repeat(1000);
        for (;;) {
          for (let n = 0; n < 100; n++) platform.foreign(line);
          await platform.taken();
          platform.cancelled.throwIfAborted();
        }
      } });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
      env: { ...process.env, AGENT_TEMPDIRECTORY: temp },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const exited = new Promise<unknown[]>((resolve) => child.once('exit', (...how) => resolve(how)));
    const kept = await new Promise<number>((resolve) => child.stderr.once('data', (data) => resolve(Number(data))));
    assert.ok(kept > 0 && kept < 200_000, `${kept} characters are kept`);
    child.kill('SIGINT');
    assert.deepEqual(await exited, [0, null]);
    child.stdout.destroy();
    rmSync(temp, { recursive: true, force: true });
  });
});
