/** What the commands leave in the system's temporary folder: nothing, however they end, and whatever jobs and steps left in it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { amlops, task } from '../support/task-cli.js';
import { startUp, type Running } from '../support/workspace.js';

const job = (program: string): string =>
  `type: command\ncommand: ${program}\nenvironment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}\ncompute: azureml:cpu-cluster\n`;
/** Leaves a folder in what Python and the shell take for the temporary folder. */
const litter = `python -c "import tempfile; print(tempfile.mkdtemp())" && mktemp -d`;

/** A job's own, near the engine or (where that path is long) not. */
const own = /\/(?:t|amlops-job-)[/\w]*\/tmp/;

describe('the temporary folder', function () {
  this.timeout(300_000);
  const variables = ['TMPDIR', 'TMP', 'TEMP'];
  const earlier = variables.map((name) => process.env[name]);
  let folder: string;
  let temp: string;
  let up: Running;
  const left = (): string[] => readdirSync(temp);
  const notEngine = (name: string): boolean => !name.startsWith('amlops-engine-');
  const file = (name: string): string => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-left-'));
    temp = file('tmp');
    mkdirSync(temp);
    for (const name of variables) process.env[name] = temp;
    writeFileSync(file('good.yml'), job(litter));
    writeFileSync(file('bad.yml'), job(`${litter}; exit 3`));
    writeFileSync(file('long.yml'), job(`${litter}; sleep 600`));
    writeFileSync(
      file('azure-pipelines.yml'),
      `steps:
- bash: 'echo $(Agent.TempDirectory); mktemp -p "$AGENT_TEMPDIRECTORY"'
- task: RunAmlPipeline@1
  inputs: {azureSubscription: arm-dev, resourceGroupName: rg-dev, workspaceName: dev, pipelineFile: good.yml}
`,
    );
    // Odd characters: the engine then works outside the state folder.
    up = await startUp({ state: file("state of o'neil"), args: ['--workspaces', 'dev'] });
  });
  after(async () => {
    await up?.stop();
    for (const [index, name] of variables.entries()) {
      if (earlier[index] === undefined) delete process.env[name];
      else process.env[name] = earlier[index];
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it('holds nothing of ours after tasks that succeeded, failed and were cancelled', async () => {
    const run = (name: string, more: Parameters<typeof task>[4] = {}) =>
      task('RunAmlPipeline', up.file, 'dev', { pipelineFile: file(name) }, more);
    const good = await run('good.yml', { run: 1 });
    assert.equal(good.result, 'Succeeded', good.out);
    assert.match(good.out, own, 'the job has a temporary folder of its own');
    assert.equal((await run('bad.yml', { run: 2 })).result, 'Failed');
    const started = async (out: () => string): Promise<void> => {
      while (!own.test(out())) await new Promise((resolve) => setTimeout(resolve, 100));
    };
    assert.equal((await run('long.yml', { run: 3, cancelWhen: started })).result, 'Canceled');
    // The task does not wait for the end of the job that it cancelled.
    for (let turn = 0; turn < 300 && left().some(notEngine); turn += 1) await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual(left().filter(notEngine), []);
  });

  it('holds nothing after pipelines, also with a workspace of their own, nor after compile, expand and lint', async () => {
    const place = '/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w';
    const pipeline = file('azure-pipelines.yml');
    for (const args of [
      ['compile', file('good.yml'), '--workspace', place],
      ['expand', pipeline, '--root', folder],
      ['lint', pipeline, '--root', folder],
      ['run', pipeline, '--root', folder, '--connection', up.file, '--state', file('runs')],
      ['run', pipeline, '--root', folder, '--state', file('own')],
    ]) {
      const { code, err } = await amlops(args);
      assert.equal(code, 0, `${args.join(' ')}: ${err}`);
    }
    assert.deepEqual(left().filter(notEngine), []);
  });

  it('holds nothing after the workspace ended, nor after one that was killed and started again', async () => {
    await up.kill();
    assert.equal(left().length, 1, 'a killed one cannot clean up');
    up = await startUp({ state: up.state, args: ['--workspaces', 'dev'] });
    assert.equal(left().length, 1);
    await up.stop(true);
    assert.deepEqual(left(), []);
  });
});
