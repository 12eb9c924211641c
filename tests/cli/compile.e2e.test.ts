/** `amlops compile` as a user runs it: data on standard output, words on standard error, 0, 1 or 2. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, files, WS } from '../aml/compile/support.js';

const root = join(import.meta.dirname, '..', '..');

describe('amlops compile', function () {
  this.timeout(60_000);
  before(() => {
    if (!existsSync(join(root, 'dist', 'cli', 'amlops.js')))
      spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs')], { cwd: root });
  });
  afterEach(cleanUp);
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [join(root, 'dist', 'cli', 'amlops.js'), 'compile', ...args], { encoding: 'utf8' });

  it('prints the writes', () => {
    const folder = files({ 'job.yml': 'command: echo ${{inputs.rate}}\nenvironment: azureml:env@latest\ninputs: { rate: 1 }\n' });
    const { status, stdout, stderr } = run(
      folder.path('job.yml'),
      '--workspace',
      WS,
      '--name',
      'n',
      '--input',
      'rate=0.10',
      '--set',
      'compute=azureml:gpu',
    );
    assert.equal(status, 0, stderr);
    const { requests } = JSON.parse(stdout) as {
      requests: { method: string; path: string; query: object; body: { properties: Record<string, unknown> } }[];
    };
    assert.equal(requests.length, 1);
    assert.deepEqual(
      { method: requests[0]?.method, path: requests[0]?.path, query: requests[0]?.query },
      { method: 'PUT', path: `${WS}/jobs/n`, query: { 'api-version': '2025-01-01-preview' } },
    );
    assert.deepEqual(requests[0]?.body.properties['inputs'], { rate: { jobInputType: 'literal', value: '0.10' } });
    assert.equal(requests[0]?.body.properties['computeId'], `${WS}/computes/gpu`);
    assert.match(stderr, /job\.yml:2:14: The label in azureml:env@latest cannot be looked up/);
  });

  it('ends with 1 for a file that is no job, 2 for wrong usage, and prints nothing then', () => {
    const folder = files({ 'job.yml': 'command: echo\n' });
    const wrong = run(folder.path('job.yml'), '--workspace', WS);
    assert.deepEqual([wrong.status, wrong.stdout], [1, '']);
    assert.match(wrong.stderr, /The key environment of a command job is missing/);
    for (const args of [[folder.path('job.yml')], [folder.path('job.yml'), '--workspace', 'mlw-dev'], ['--workspace', WS]]) {
      const usage = run(...args);
      assert.deepEqual([usage.status, usage.stdout], [2, ''], usage.stderr);
    }
  });
});
