/** The VSIX that would be published: what is in it, and the packed task against an embedded workspace, in the harness. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import AdmZip from 'adm-zip';
import { setWritable, unpackTask } from '../../local/agent/task-folder.js';
import type { TaskRunResult } from '../../local/agent/types.js';
import { startUp, type Running } from '../support/workspace.js';

const root = join(import.meta.dirname, '..', '..');
const amlops = join(root, 'bin', 'amlops.mjs');
const names = ['RunAmlPipeline', 'RegisterModel', 'PromoteModel'];

describe('packed extension', function () {
  this.timeout(300_000);
  let folder: string;
  let vsix: string;
  let workspace: Running;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-packed-'));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    vsix = join(root, 'out', `amlops.azure-machine-learning-mlops-${version}.vsix`);
    if (!existsSync(vsix)) await promisify(execFile)(process.execPath, [join(root, 'scripts', 'package.mjs')], { cwd: root });
    workspace = await startUp({ args: ['--workspaces', 'dev'] });
  });
  after(async () => {
    await workspace.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const task = async (more: string[], connection = workspace.file): Promise<TaskRunResult & { code: number; log: string }> => {
    const file = join(folder, `result-${Math.random()}.json`);
    const args = [
      'task',
      'RunAmlPipeline',
      '--from',
      vsix,
      '--connection',
      connection,
      '--workspace',
      'dev',
      '--result',
      file,
      ...more,
    ];
    const child = spawn(process.execPath, [amlops, ...args], { cwd: join(root, 'samples', 'diabetes') });
    let log = '';
    child.stdout.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
    const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
    assert.ok(existsSync(file), log);
    return { ...(JSON.parse(readFileSync(file, 'utf8')) as TaskRunResult), code, log };
  };

  it('holds three valid tasks within their budgets and nothing that does not belong', () => {
    const entries = new AdmZip(vsix).getEntries().map(({ entryName }) => entryName);
    for (const entry of entries) assert.doesNotMatch(entry, /node_modules|\.ts$|\.map$|tests\//);
    for (const name of names) {
      const unpacked = unpackTask(vsix, name, join(folder, 'tasks'));
      assert.equal(unpacked.definition.name, name);
    }
    setWritable(join(folder, 'tasks'), true);
    assert.ok(readFileSync(vsix).length <= 4 * 1024 * 1024);
  });

  it('validates a job with a secret and with workload identity federation, on both Nodes', async () => {
    const connection = JSON.parse(readFileSync(workspace.file, 'utf8')) as { serviceConnections: Record<string, unknown>[] };
    for (const entry of connection.serviceConnections) {
      entry['scheme'] = 'WorkloadIdentityFederation';
      delete entry['clientSecret'];
    }
    const federated = join(folder, 'federated.json');
    writeFileSync(federated, JSON.stringify(connection));
    for (const [file, node] of [
      [workspace.file, '20'],
      [federated, '24'],
    ] as const) {
      const result = await task(['--input', 'pipelineFile=pipeline.yml', '--input', 'action=validate', '--node', node], file);
      assert.deepEqual([result.code, result.result, result.problems], [0, 'Succeeded', []], result.log);
    }
  });

  it('fails with the input, the place and the fix when the file is not there', async () => {
    const result = await task(['--input', 'pipelineFile=nothing.yml']);
    assert.deepEqual([result.code, result.result, result.exitCode], [1, 'Failed', 0], result.log);
    assert.match(result.issues[0]?.message ?? '', /nothing\.yml/);
  });

  it('refuses inputs and workspaces that are not there, as wrong usage', async () => {
    for (const wrong of [
      ['--workspace', 'dev', '--input', 'pipelinefile2=x'],
      ['--workspace', 'nowhere', '--input', 'pipelineFile=pipeline.yml'],
    ]) {
      const args = [amlops, 'task', 'RunAmlPipeline', '--from', vsix, '--connection', workspace.file, ...wrong];
      const { code } = await promisify(execFile)(process.execPath, args).then(
        () => ({ code: 0 }),
        (error: { code: number }) => error,
      );
      assert.equal(code, 2);
    }
  });
});
