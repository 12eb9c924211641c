/** `amlops expand` and `amlops lint` as they are called. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { withFiles } from '../local/pipeline/expand/project.js';

const root = join(import.meta.dirname, '..', '..');
const amlops = join(root, 'dist', 'cli', 'amlops.js');

function run(args: string[], cwd: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [amlops, ...args], { cwd, encoding: 'utf8' });
}

const files = {
  'pipeline.yml':
    'parameters:\n- name: p\n  type: object\nsteps:\n- template: t.yml@aml\n  parameters: {text: "${{ parameters.p.a }}-${{ variables.v }}"}\nresources:\n  repositories:\n  - {repository: aml, type: git, name: x}\n',
  'aml/t.yml': 'parameters:\n- name: text\nsteps:\n- script: ${{ parameters.text }}\n',
  'bad.yml': 'steps:\n- script: ${{ nope }}\n',
  'plain.yml':
    'jobs:\n- job: j\n  steps:\n  - task: PromoteModel@1\n    inputs: {targetAzureSubscription: arm-prod, modelName: m}\n',
  'params.json': '{"p": "{\\"a\\": 1}"}',
};

describe('amlops expand and lint', () => {
  it('data to standard output, messages to standard error, exit codes', () =>
    withFiles(files, (folder) => {
      const flags = ['--params', 'params.json', '--variable', 'v=x=y', '--repository', 'AML=aml'];
      const json = run(['expand', 'pipeline.yml', '--json', ...flags], folder);
      assert.equal(json.status, 0, json.stderr);
      const document = JSON.parse(json.stdout) as { stages: { jobs: { steps: { inputs: { script: string } }[] }[] }[] };
      assert.equal(document.stages[0]?.jobs[0]?.steps[0]?.inputs.script, '1-x=y');
      const text = run(['expand', 'pipeline.yml', '--param', 'p={a: 2}', '--variable', 'v=z', '--repository', 'aml=aml'], folder);
      assert.match(text.stdout, /^parameters:\n- name: p[\s\S]*script: 2-z\n\n$/);
      const bad = run(['expand', 'bad.yml'], folder);
      assert.deepEqual([bad.status, bad.stdout], [1, '']);
      assert.match(
        bad.stderr,
        /^\/bad\.yml \(Line: 2, Col: 11\): Unrecognized value: 'nope'\. Located at position 1 within expression: 'nope'\./,
      );
      assert.equal(run(['expand', 'missing.yml'], folder).status, 1);
      assert.equal(run(['expand', '../outside.yml'], folder).status, 1);
      assert.equal(run(['expand', 'bad.yml', '--param', 'x'], folder).status, 2);
      const lint = run(['lint', 'plain.yml'], folder);
      assert.equal(lint.status, 1);
      assert.match(lint.stdout, /^plain\.yml:5:\d+: error unprotected-production: Stage __default job j reaches production/);
    }));

  it('the recorded cases through their own script', function () {
    const script = join(root, '..', 'shared', 'conformance', 'compare_templates.py');
    if (!existsSync(script)) {
      process.stderr.write('      skipped: ../shared/conformance/compare_templates.py is not beside the repository\n');
      this.skip();
    }
    this.timeout(120_000);
    const result = spawnSync('python3', [script, '--only', '/cases/deployments', '--expander', `node ${amlops} expand`], {
      encoding: 'utf8',
    });
    assert.equal(result.status, 0, result.stdout + result.stderr);
    assert.match(result.stdout, /[1-9]\d* passed, 0 failed/);
  });
});
