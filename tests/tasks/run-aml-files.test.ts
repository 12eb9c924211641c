/** The files and folders that RunAmlPipeline is given: what is wrong with them is said before anything is done, with what is there. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Failure } from '../../src/azure/errors.js';
import { InputProblems } from '../../src/task/inputs.js';
import { parse } from '../../tasks/RunAmlPipeline/inputs.js';
import { FakePlatform } from '../support/fake-platform.js';

const problemsIn = async (
  inputs: Record<string, string>,
  variables: Record<string, string> = {},
): Promise<readonly Failure[]> => {
  try {
    await parse(new FakePlatform(inputs, variables));
    return [];
  } catch (error) {
    assert.ok(error instanceof InputProblems, String(error));
    return error.problems;
  }
};
const problemsOf = async (inputs: Record<string, string>) => (await problemsIn(inputs)).map(({ message }) => message);

describe('files that RunAmlPipeline is given', () => {
  it('a path that cannot be one is an input to correct, whatever the file system says of it', async () => {
    const file = import.meta.filename;
    assert.match((await problemsOf({ action: 'validate', pipelineFile: `${file}/x.yml` })).join(), /x\.yml is not there/);
    const long = await problemsOf({ action: 'validate', pipelineFile: `${'a'.repeat(5000)}.yml` });
    assert.match(long.join(), /Input pipelineFile: .*(cannot be read \(ENAMETOOLONG\)|is not there)/);
  });

  it('a link to nowhere and a file that is none are named as what they are', async function () {
    if (process.platform === 'win32') return this.skip();
    const folder = mkdtempSync(join(tmpdir(), 'amlops-inputs-'));
    try {
      const link = join(folder, 'job.yml');
      symlinkSync('../shared/job.yml', link);
      const told = await problemsOf({ action: 'validate', pipelineFile: link });
      assert.match(told.join(), /Input pipelineFile: .*job\.yml is a link to \.\.\/shared\/job\.yml, which is not there/);
      const device = await problemsOf({ action: 'validate', pipelineFile: '/dev/null' });
      assert.match(device.join(), /\/dev\/null is neither a file nor a folder/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('a file that lies elsewhere in the repository is named: the path was written from another folder, or with the other ending', async () => {
    const root = mkdtempSync(join(tmpdir(), 'amlops-inputs-'));
    try {
      for (const folder of ['ml/deep', 'node_modules/x', '.git', 'a/b/c'])
        mkdirSync(join(root, ...folder.split('/')), { recursive: true });
      for (const file of ['ml/Job.yml', 'node_modules/x/job.yml', '.git/job.yml', 'ml/other.yml', 'a/b/c/job.yaml'])
        writeFileSync(join(root, ...file.split('/')), '');
      const advice = async (...names: string[]) => {
        const inputs = { action: 'validate', pipelineFile: join(root, ...names) };
        const problems = await problemsIn(inputs, { 'System.DefaultWorkingDirectory': root });
        return problems[0]?.details.advice ?? '';
      };
      for (const names of [['job.yml'], ['ml', 'deep', 'job.yaml'], ['none', 'JOB.yml']])
        assert.match(await advice(...names), /^Did you mean ml\/Job\.yml or a\/b\/c\/job\.yaml\? The path starts at the repo/);
      assert.match(await advice('train.yml'), /^Folder \. holds no YAML file\. The path/);
      assert.match(await advice('ml', 'train.yml'), /^YAML files in folder ml: Job\.yml, other\.yml\. The path/);
      assert.match(await advice('ml'), /^YAML files in folder ml: Job\.yml, other\.yml\. The path/);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });

  it('a file where the outputs are to go is said before the wait', async () => {
    const at = (downloadPath: string) => problemsOf({ action: 'validate', pipelineFile: 'package.json', downloadPath });
    assert.deepEqual(await at(join(import.meta.dirname, 'none', 'deeper')), []);
    for (const path of [import.meta.filename, join(import.meta.filename, 'below')])
      assert.deepEqual(await at(path), [`Input downloadPath: ${import.meta.filename} is a file, not a folder.`]);
  });
});
