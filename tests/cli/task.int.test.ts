/** `amlops task` as a user calls it, without a workspace: connections filled in, result file, Ctrl+C. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fillInputs } from '../../local/agent/local-connections.js';
import type { TaskDefinition } from '../../local/agent/task-definition.js';
import { readConnectionFile } from '../../local/connection-file.js';
import { authority } from '../../local/tls.js';

const root = join(import.meta.dirname, '..', '..');
const probe = join(root, 'tests', 'local', 'agent', 'fixtures', 'Probe');

describe('amlops task', function () {
  this.timeout(60_000);
  let folder: string;
  let connection: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-cli-task-'));
    await authority(folder);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const entry = (name: string, id: string) => ({
      name: `arm-${name}`,
      id: `aaaaaaaa-0000-4000-8000-00000000000${id}`,
      url: 'https://localhost:1',
      scheme: 'ServicePrincipal',
      tenantId: 't',
      clientId: `client-${name}`,
      clientSecret: `secret-of-${name}`,
      subscriptionId: 's',
    });
    connection = join(folder, 'connection.json');
    writeFileSync(
      connection,
      JSON.stringify({
        ...{
          resourceManager: 'https://localhost:1',
          authority: 'https://localhost:1',
          metadata: {},
          ca: 'ca.pem',
          tenantId: 't',
        },
        ...{ clientId: 'c', clientSecret: 'x', subscriptionId: 's' },
        workspaces: ['dev', 'prod'].map((name) => ({
          name,
          resourceGroup: `rg-${name}`,
          location: 'eastus',
          subscriptionId: 's',
        })),
        serviceConnections: [entry('dev', '1'), entry('prod', '2')],
        federation: { issuer: 'https://issuer', audience: 'a', keyFile: 'key.pem' },
      }),
    );
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const start = (more: string[]): { log: () => string; child: ReturnType<typeof spawn>; end: Promise<number> } => {
    const args = [
      '--import',
      'tsx',
      join(root, 'cli', 'amlops.ts'),
      'task',
      'Probe',
      '--from',
      probe,
      '--connection',
      connection,
    ];
    const child = spawn(process.execPath, [...args, '--workspace', 'dev', ...more], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    child.stdout.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
    return { log: () => log, child, end: new Promise((resolve) => child.once('close', (code) => resolve(code ?? -1))) };
  };

  it('runs a task and writes its result, kept files beside it', async () => {
    const file = join(folder, 'result.json');
    const run = start(['--input', 'scenario=attachments', '--result', file]);
    assert.equal(await run.end, 0);
    assert.match(run.log(), /##\[section\]Starting: Probe attachments/);
    const result = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual([result.result, result.exitCode, result.killedBy], ['Succeeded', 0, null]);
    assert.ok(result.summaries[0].startsWith(join(folder, 'result.files')) && existsSync(result.summaries[0]));
    assert.equal(await start(['--input', 'scenario=exit3']).end, 1);
  });

  it('refuses a root and a result that cannot be, and ends', async () => {
    const missing = join(folder, 'no', 'such');
    for (const more of [
      ['--root', missing],
      ['--root', connection],
      ['--result', join(connection, 'result.json')],
      ['--result', folder],
    ]) {
      const run = start(['--input', 'scenario=ok', ...more]);
      let told = '';
      run.child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString('utf8')));
      assert.equal(await run.end, 2, told);
      assert.match(told, new RegExp(`^amlops task: ${more[0]} .* (there is no such folder|cannot be written: )`));
      assert.equal(run.log(), '');
    }
    assert.equal(existsSync(missing), false, 'nothing is made');
  });

  it('cancels as the agent does when it is interrupted', async () => {
    const file = join(folder, 'canceled.json');
    const run = start(['--input', 'scenario=graceful', '--result', file]);
    await new Promise<void>((resolve) => run.child.stdout?.on('data', () => run.log().includes('waiting') && resolve()));
    run.child.kill('SIGINT');
    assert.equal(await run.end, 1);
    const result = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual([result.result, result.killedBy, result.outputVariables.listed.value], ['Canceled', 'SIGINT', 'stopped']);
  });

  it('fills in what the workspace and the target imply', () => {
    const file = readConnectionFile(connection);
    const names =
      'azureSubscription resourceGroupName workspaceName sourceRegistry targetAzureSubscription targetResourceGroupName targetWorkspaceName targetRegistry';
    const definition = { inputs: names.split(' ').map((name) => ({ name, label: name, type: 'string' })) } as TaskDefinition;
    const source = { azureSubscription: 'arm-dev', resourceGroupName: 'rg-dev', workspaceName: 'dev' };
    const target = { targetAzureSubscription: 'arm-prod', targetResourceGroupName: 'rg-prod', targetWorkspaceName: 'prod' };
    assert.deepEqual(fillInputs(definition, {}, file, 'dev'), source);
    assert.deepEqual(fillInputs(definition, { targetWorkspaceName: 'prod' }, file, 'dev'), { ...source, ...target });
    assert.deepEqual(fillInputs(definition, { targetWorkspaceName: 'prod', sourceRegistry: 'shared' }, file, 'dev'), {
      ...target,
      sourceRegistry: 'shared',
    });
    assert.deepEqual(fillInputs(definition, { azureSubscription: '' }, file, 'dev'), { azureSubscription: '' });
    assert.deepEqual(fillInputs(definition, { workspaceName: 'prod' }, file, 'dev'), {
      ...source,
      workspaceName: 'prod',
      resourceGroupName: 'rg-prod',
    });
    assert.throws(
      () => fillInputs(definition, { targetWorkspaceName: 'nope' }, file, 'dev'),
      /no workspace nope; there are: dev, prod/,
    );
  });
});
