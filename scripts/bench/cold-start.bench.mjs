// From the start of a task's process to its first request, beside `node -e 0` from start to exit.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { inTurn, once, seconds } from '../lib/measure.mjs';
import { taskEnvironment, taskFile } from '../lib/bench-task.mjs';

export const title = 'task cold start to the first request';
export const goal = '<= 2.5x `node -e 0`';

export async function measure() {
  const { serve } = await tsImport('../../tests/support/https-server.ts', import.meta.url);
  const folder = mkdtempSync(join(tmpdir(), 'amlops-bench-'));
  let asked = () => undefined;
  const server = await serve(() => {
    asked();
    return { status: 503, headers: { 'Retry-After': '60' }, body: {} };
  });
  writeFileSync(join(folder, 'ca.pem'), server.ca);
  writeFileSync(join(folder, 'pipeline.yml'), 'type: command\ncommand: echo\nenvironment: azureml:e:1\ncompute: azureml:c\n');
  const connection = {
    url: server.origin,
    authority: server.origin,
    tenantId: 'b0000000-0000-0000-0000-00000000000a',
    clientId: 'b0000000-0000-0000-0000-00000000000b',
    clientSecret: 'bench-secret-value',
    subscriptionId: 'b0000000-0000-0000-0000-00000000000c',
  };
  const env = taskEnvironment({
    connection,
    ca: join(folder, 'ca.pem'),
    folder,
    inputs: { action: 'run', pipelineFile: join(folder, 'pipeline.yml'), resourceGroupName: 'rg', workspaceName: 'ws' },
  });
  const first = async () => {
    const started = process.hrtime.bigint();
    const child = spawn(process.execPath, [taskFile('RunAmlPipeline')], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    const exit = new Promise((resolve) => child.once('exit', resolve));
    const ms = await new Promise((resolve, reject) => {
      asked = () => resolve(Number(process.hrtime.bigint() - started) / 1e6);
      void exit.then(() => reject(new Error(`the task ended without a request: ${text.slice(-600)}`)));
    });
    child.kill('SIGKILL');
    await exit;
    return ms;
  };
  try {
    const { a, b, ratio } = await inTurn(11, first, async () => (await once(process.execPath, ['-e', '0'])).ms);
    return [{ value: seconds(a), beside: `${seconds(b)} (${ratio.toFixed(2)}x)`, ok: ratio <= 2.5 }];
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
