/** The samples of docs/clients.md, run as a user runs them: the official clients against `amlops up`. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { clientVenv } from '../support/client-kit.js';
import { startUp, type Running } from '../support/workspace.js';

const root = join(import.meta.dirname, '..', '..');

describe('samples/clients', () => {
  let up: Running;
  let python: string;
  before(async () => {
    [up, { python }] = [await startUp(), await clientVenv()];
  });
  after(async () => await up.stop());

  const run = (program: string, sample: string, ...args: string[]): string =>
    execFileSync(program, [join('samples', 'clients', sample), ...args, up.file], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', GIT_PYTHON_REFRESH: 'quiet' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  it('submit a job and follow it, track a run, list models', () => {
    const job = run(python, 'run_job.py', 'samples/diabetes/pipeline.yml');
    assert.match(job, /Step 'train' completed\./);
    assert.match(job, /COMPLETED|Completed/);
    assert.match(run(python, 'track.py'), /^by hand 0\.1 0\.45$/m);
    execFileSync(python, ['-c', register, up.file], {
      cwd: root,
      env: { ...process.env, PYTHONPATH: join(root, 'samples', 'clients'), PYTHONDONTWRITEBYTECODE: '1' },
    });
    assert.equal(run(process.execPath, 'list_models.mjs'), 'kept 1\n');
  }).timeout(300_000);
});

const register = `
import sys
from amlops_local import Local
from azure.ai.ml.entities import Model
Local(sys.argv[1]).ml_client().models.create_or_update(Model(name="kept", path="samples/diabetes/conda.yml"))
`;
