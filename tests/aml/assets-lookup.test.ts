/** What is looked up in a workspace, told from names that no address may hold. */
import assert from 'node:assert/strict';
import { onlineLookups } from '../../src/aml/assets-lookup.js';
import { Failure } from '../../src/azure/errors.js';
import type { Reference } from '../../src/aml/compile/types.js';
import type { Workspace } from '../../src/aml/workspace.js';

describe('lookups', () => {
  it('asks for no name that leads to the collection or above it', async () => {
    const asked: string[] = [];
    const workspace = {
      id: '/w',
      workspace: 'dev',
      azure: {
        request: ({ url }: { url: string }) => {
          asked.push(url);
          return Promise.resolve({ status: 200, body: { value: [] } });
        },
      },
    } as unknown as Workspace;
    const refer = (kind: Reference['kind'], name: string, version?: string) =>
      ({ kind, name, file: 'job.yml', line: 1, column: 2, ...(version === undefined ? {} : { version }) }) as Reference;
    const names = [refer('compute', ''), refer('compute', '..'), refer('data', 'taxi', '..'), refer('model', '.', '1')];
    await assert.rejects(onlineLookups(workspace).check([...names, refer('data', 'a/..', '1')]), (error: Error) => {
      for (const told of [
        '1:2: the name of the compute is empty',
        'no compute ..',
        'no data asset taxi version ..',
        'no model . version 1',
      ])
        assert.ok(error.message.includes(told), error.message);
      return true;
    });
    assert.deepEqual(
      asked.filter((url) => url !== '/w/computes'),
      ['/w/data/a%2F../versions/1'],
    );
  });

  it('names the override or the input that says what is missing: no file of that name is there', async () => {
    const request = () => Promise.resolve({ status: 404, body: { value: [] } });
    const workspace = { id: '/w', workspace: 'dev', azure: { request } } as unknown as Workspace;
    for (const [said, input] of [
      ['input d', 'jobInputs'],
      ['override "inputs.d.path=azureml:taxi:1"', 'overrides'],
    ] as const) {
      const place = { file: said, line: 1, column: 1, input: said };
      await assert.rejects(onlineLookups(workspace).check([{ kind: 'data', name: 'taxi', version: '1', ...place }]), (error) => {
        assert.ok(error instanceof Failure);
        assert.deepEqual([error.details.file, error.details.input], [undefined, input]);
        assert.ok(error.message.endsWith(`  ${said}: there is no data asset taxi version 1`), error.message);
        return true;
      });
    }
  });
});
