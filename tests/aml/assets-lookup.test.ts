/** What is looked up in a workspace, told from names that no address may hold. */
import assert from 'node:assert/strict';
import { onlineLookups } from '../../src/aml/assets-lookup.js';
import { Failure } from '../../src/azure/errors.js';
import type { Reference } from '../../src/aml/compile/types.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { fakeWorkspace, type Answer } from '../support/fake-workspace.js';

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

  const place = { file: '/repo/job.yml', line: 3, column: 7 };
  const caught = (work: Promise<unknown>) =>
    work.then(
      () => assert.fail('it did not fail'),
      (error: unknown) => error as Failure,
    );

  it('asks for each thing once, at its own address, and says nothing when all is there', async () => {
    const { signal } = new AbortController();
    const workspace = fakeWorkspace(() => ({ body: {} }));
    const references = [
      { kind: 'compute', name: 'cpu' },
      { kind: 'compute', name: 'cpu' },
      { kind: 'datastore', name: 'store' },
      { kind: 'code', name: 'c', version: '1' },
      { kind: 'environment', name: 'a b/c', version: '1 2' },
      { kind: 'environment', name: 'a b/c', version: '2' },
      { kind: 'component', name: 'part', version: '1' },
      { kind: 'data', name: 'taxi', version: '1' },
      { kind: 'model', name: 'm', version: '1' },
    ] as const;
    const lookups = onlineLookups(workspace);
    assert.deepEqual(
      await lookups.check(
        references.map((one) => ({ ...one, ...place })),
        signal,
      ),
      [],
    );
    assert.deepEqual(
      workspace.asked.map(({ url }) => url.replace(workspace.id, '')),
      [
        '/computes/cpu',
        '/datastores/store',
        '/codes/c/versions/1',
        '/environments/a%20b%2Fc/versions/1%202',
        '/environments/a%20b%2Fc/versions/2',
        '/components/part/versions/1',
        '/data/taxi/versions/1',
        '/models/m/versions/1',
      ],
    );
    for (const request of workspace.asked) assert.deepEqual([request.method, request.signal], ['GET', signal]);
  });

  it('tells all that is missing in one go, with its place, the computes that are there, and at most twenty of them', async () => {
    const computes = Array.from({ length: 25 }, (_, n) => ({ name: `c${n}` }));
    for (const [list, told] of [
      [{ body: { value: computes } }, /^Computes of the workspace: c0, c1, .*, c19, and serverless\. Correct/],
      [{ body: { value: [{}] } }, /^Computes of the workspace: none, and/],
      [{ status: 403, body: {} }, /^Computes of the workspace: none, and/],
    ] as [Answer, RegExp][]) {
      const workspace = fakeWorkspace(({ url }) => (url.endsWith('/computes') ? list : { status: 404 }));
      const references: Reference[] = [
        { kind: 'data', name: 'taxi', label: 'latest', ...place },
        { kind: 'environment', name: 'env', version: '3', ...place, line: 9 },
        { kind: 'model', name: 'm', label: 'best', ...place },
        { kind: 'compute', name: 'gone', ...place },
      ];
      const { code, message, details } = await caught(onlineLookups(workspace).check(references));
      assert.equal(code, 'ReferenceNotFound');
      assert.match(message, /^In workspace w something that the job names is missing:\n/);
      assert.deepEqual(
        message
          .split('\n')
          .slice(1)
          .map((line) => line.replace(/^.*job\.yml:/, '')),
        [
          '3:7: there is no data asset taxi',
          '9:7: there is no environment env version 3',
          '3:7: the label in m@best is not known; accepted: @latest',
          '3:7: there is no compute gone',
        ],
      );
      assert.match(details.advice ?? '', told);
      assert.deepEqual([details.file, details.line, details.column], [place.file, 3, 7]);
    }
    // Nobody asks for computes where none is missing.
    const other = fakeWorkspace(() => ({ status: 404 }));
    const { details } = await caught(onlineLookups(other).check([{ kind: 'model', name: 'm', version: '1', ...place }]));
    assert.ok(details.advice?.startsWith('Correct the names'));
    assert.equal(other.asked.length, 1);
  });

  it('leaves what may not be read to the service, with a warning; any other trouble is told as it is', async () => {
    const workspace = fakeWorkspace(({ url }) => ({ status: url.includes('/data/') ? 200 : 403, body: {} }));
    const warnings = await onlineLookups(workspace).check([
      { kind: 'environment', name: 'env', version: '1', ...place },
      { kind: 'model', name: 'm', label: 'latest', ...place, input: 'input m' },
      { kind: 'data', name: 'd', version: '1', ...place },
    ]);
    const told = (what: string) => ({ message: `${what} could not be looked up: the connection may not read it.` });
    assert.deepEqual(warnings, [{ ...told('environment env'), ...place }, told('model m')]);
    for (const status of [400, 409, 500]) {
      const failing = fakeWorkspace(() => ({ status }));
      const error = await caught(onlineLookups(failing).check([{ kind: 'data', name: 'd', version: '1', ...place }]));
      assert.equal(error.details.status, status);
    }
    const fault = new Error('a fault');
    const broken = fakeWorkspace(() => Promise.reject(fault));
    assert.equal(await caught(onlineLookups(broken).check([{ kind: 'data', name: 'd', version: '1', ...place }])), fault);
  });

  it('finds the version behind @latest as the service has it, once; after a failure again', async () => {
    const { signal } = new AbortController();
    const versions = (request: { url: string }): Answer => {
      if (request.url.includes('/environments/known')) return { body: { properties: { latestVersion: '9' } } };
      if (request.url.includes('/data/gone')) return { status: 404 };
      if (/\/(environments|data)\/[^/]+$/.test(request.url)) return { body: { properties: {} } };
      if (request.url.includes('/components/byid/')) return { body: { value: [{ id: '/x/versions/4' }, { name: '3' }] } };
      if (request.url.includes('/models/none/')) return { body: { value: [] } };
      return request.url.includes('/models/gone/')
        ? { status: 404, body: { value: [{ name: '1' }] } }
        : { body: { value: [{ name: '5' }] } };
    };
    for (const [kind, name, version, requests] of [
      ['environment', 'known', '9', 1],
      ['environment', 'other', '5', 2],
      ['data', 'other', '5', 2],
      ['data', 'gone', undefined, 1],
      ['component', 'byid', '4', 1],
      ['model', 'm', '5', 1],
      ['model', 'none', undefined, 1],
      ['model', 'gone', undefined, 1],
    ] as const) {
      const workspace = fakeWorkspace(versions);
      const lookups = onlineLookups(workspace);
      const found = () => lookups.resolveLabel(kind, name, 'latest', signal).catch((error: unknown) => error as Failure);
      const [one, two] = await Promise.all([found(), found()]);
      assert.deepEqual(one, two);
      if (version !== undefined) assert.deepEqual(one, { version, certain: true });
      else {
        const shown = kind === 'data' ? 'data asset' : kind;
        assert.equal((one as Failure).message, `There is no ${shown} ${name}@latest in workspace w.`);
        assert.equal((one as Failure).code, 'ReferenceNotFound');
      }
      assert.equal(workspace.asked.length, requests, `${kind} ${name}`);
      for (const request of workspace.asked) assert.deepEqual([request.method, request.signal], ['GET', signal]);
      const last = workspace.asked.at(-1);
      if (last?.url.endsWith('/versions')) assert.deepEqual(last.query, { $orderBy: 'createdtime desc', $top: '1' });
    }
    const workspace = fakeWorkspace(() =>
      workspace.asked.length === 1 ? { status: 500 } : { body: { value: [{ name: '2' }] } },
    );
    const lookups = onlineLookups(workspace);
    await caught(lookups.resolveLabel('model', 'm', 'latest'));
    assert.equal((await lookups.resolveLabel('model', 'm', 'latest')).version, '2');
    assert.match((await caught(lookups.resolveLabel('model', 'm', 'best'))).message, /no model m@best/);
    assert.equal(workspace.asked.length, 2);
  });
});
