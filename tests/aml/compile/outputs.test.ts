import assert from 'node:assert/strict';
import { compileJob, offlineTarget } from '../../../src/aml/compile/index.js';
import type { ReadJob } from '../../../src/aml/compile/types.js';
import { cleanUp, files, workspace } from './support.js';

const component = `type: pipeline
outputs: { model: { type: uri_folder }, score: { type: uri_file } }
jobs: { a: { command: echo, environment: "azureml:e:1", compute: "azureml:c" } }
`;

describe('compile: names of outputs', () => {
  afterEach(cleanUp);

  async function told(job: string): Promise<unknown> {
    let names: unknown = 'not told';
    await files({ 'job.yml': job, 'c.yml': component }).compile('job.yml', {
      onRead: ({ type, outputs }) => void (names = outputs ? [type, ...outputs] : 'not told'),
    });
    return names;
  }

  it('are told where the files name all that there are', async () => {
    const command = 'command: echo\nenvironment: azureml:e:1\ncompute: azureml:c\n';
    assert.deepEqual(await told(command), ['Command']);
    assert.deepEqual(await told(`${command}outputs: { b: { type: uri_folder }, a: }\n`), ['Command', 'b', 'a']);
    assert.deepEqual(await told('type: pipeline\ncomponent: c.yml\n'), ['Pipeline', 'model', 'score']);
    assert.equal(
      await told('type: pipeline\ncomponent: azureml:there:1\noutputs: { model: { type: uri_folder } }\n'),
      'not told',
    );
  });

  it('may end the compilation before anything is looked up or written', async () => {
    const folder = files({
      'job.yml': 'command: echo\ncode: src\nenvironment: { image: ubuntu }\ncompute: azureml:c\noutputs: { model: }\n',
      'src/a.py': '1',
    });
    const asked: string[] = [];
    const target = new Proxy(offlineTarget(workspace), {
      get: (of, key) => {
        const value: unknown = Reflect.get(of, key);
        if (typeof value === 'function') asked.push(String(key));
        return value;
      },
    });
    const source = { file: folder.path('job.yml'), name: 'case', env: {} };
    const stop = ({ outputs, needsAmlToken }: ReadJob): never => {
      throw new Error(`stopped at ${outputs?.[0]}, ${needsAmlToken}`);
    };
    await assert.rejects(compileJob({ ...source, onRead: stop }, target), /stopped at model, false/);
    assert.deepEqual(asked, []);
    await compileJob({ ...source, onRead: () => undefined }, target);
    assert.deepEqual(asked.sort(), ['check', 'code', 'environment']);
  });
});
