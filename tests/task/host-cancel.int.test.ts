/** The host under a cancel: what the task still has to ask of Azure is not cut off, neither by a second signal nor by a fault on the way. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

describe('the host of a task that is cancelled', function () {
  this.timeout(60_000);

  /** `story` is the body of `run(inputs, platform)`; `signal` comes when it has written `ready`, `signals` times. */
  async function told(
    story: string,
    signals = 1,
    signal: NodeJS.Signals = 'SIGINT',
  ): Promise<{ code: number | null; out: string }> {
    const temp = mkdtempSync(join(tmpdir(), 'amlops-host-'));
    const script = `
      import { main } from ${JSON.stringify(join(root, 'src', 'task', 'host.ts'))};
      const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      await main({ name: 'Tasky', parse: () => ({}), run: async (inputs, platform) => { ${story} } });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
      env: { ...process.env, AGENT_TEMPDIRECTORY: temp },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    let left = signals;
    child.stdout.on('data', (piece: Buffer) => {
      out += piece.toString();
      if (out.includes('ready') && left-- > 0) child.kill(signal);
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    rmSync(temp, { recursive: true, force: true });
    return { code, out };
  }
  const waits = `
    setInterval(() => undefined, 1_000);
    platform.info('ready');
    await new Promise((resolve) => platform.cancelled.addEventListener('abort', resolve));
    platform.info('cancelled');`;

  it('lets the story end by itself, whatever else goes wrong meanwhile, and leaves the result to the agent', async () => {
    for (const stray of ['', `void Promise.reject(new Error('stray'));`, `setTimeout(() => { throw new Error('stray'); });`]) {
      const { code, out } = await told(
        `${waits} ${stray} await pause(300); platform.info('asked Azure'); throw platform.cancelled.reason;`,
        2,
      );
      assert.equal(code, 0, out);
      assert.match(out, /cancelled[^]*asked Azure/);
      assert.equal(/stray/.test(out), stray !== '', out);
      assert.doesNotMatch(out, /task\.complete|fault of its own/);
    }
  });

  it('leaves by itself, and says so, when the story does not end in the time that the agent gives', async function () {
    // Windows has no SIGTERM that a process could hear.
    if (process.platform === 'win32') this.skip();
    const { code, out } = await told(`${waits} await new Promise(() => undefined);`, 1, 'SIGTERM');
    assert.equal(code, 0, out);
    assert.match(out, /cancelled\nThe clean-up was not finished in the time that the agent gives; leaving\.\n$/);
  });

  it('without a cancel a stray fault ends the task, once, in red', async () => {
    const { code, out } = await told(`void Promise.reject(new Error('stray')); await pause(60_000);`, 0);
    assert.equal(code, 0, out);
    assert.match(out, /Error: stray\n/);
    assert.deepEqual(out.match(/##vso\[task\.complete [^\]]*\].*/g), [
      '##vso[task.complete result=Failed;]Tasky had a fault of its own: stray',
    ]);
  });
});
