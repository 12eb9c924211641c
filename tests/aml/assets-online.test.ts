/** Assets written into a workspace, told by single answers: what somebody else has made meanwhile, what failed and is tried again, what is asked. */
import assert from 'node:assert/strict';
import { onlineTarget } from '../../src/aml/assets-online.js';
import type { AssetWrite } from '../../src/aml/compile/types.js';
import { Failure } from '../../src/azure/errors.js';
import type { AzureRequest } from '../../src/azure/types.js';
import { fakeWorkspace, type Answer } from '../support/fake-workspace.js';

const asset = { name: 'env', version: '7', apiVersion: '2024', body: { properties: { image: 'x' } } } as AssetWrite;
const { signal } = new AbortController();

describe('assets of a job, told by single answers', () => {
  const target = (answer: (request: AzureRequest) => Answer) => {
    const workspace = fakeWorkspace(answer);
    return { target: onlineTarget(workspace), asked: workspace.asked };
  };

  it('a version that somebody else is creating is theirs, if it is there', async () => {
    for (const [there, given] of [
      [{ body: { id: '/theirs' } }, '/theirs'],
      [{ body: {} }, 'path'],
      [{ status: 404 }, 'refused'],
    ] as [Answer, string][]) {
      const { target: one, asked } = target(({ method }) =>
        method === 'PUT' ? { status: 409, bytes: Buffer.from('being created') } : there,
      );
      const got = await one.environment(asset, signal).catch((error: unknown) => error);
      const [put, get] = asked;
      if (given === 'refused') {
        assert.ok(got instanceof Failure && got.code === 'Conflict' && got.details.status === 409);
        assert.equal(got.message, 'Could not create environment env: being created');
      } else assert.equal(got, given === 'path' ? put?.url : given);
      assert.deepEqual([put?.method, put?.apiVersion, put?.body, put?.signal], ['PUT', '2024', asset.body, signal]);
      assert.match(put?.url ?? '', /\/environments\/env\/versions\/7$/);
      assert.deepEqual([get?.method, get?.url, get?.apiVersion, get?.signal], ['GET', put?.url, '2024', signal]);
    }
  });

  it('what failed is asked for again by the next who wants it; what was made is not, however often it is wanted', async () => {
    let left = 1;
    const { target: one, asked } = target(() => (left-- > 0 ? { status: 400 } : { body: { id: '/made' } }));
    await assert.rejects(one.component(asset), (error) => (error as Failure).details.status === 400);
    assert.deepEqual(await Promise.all([one.component(asset), one.component(asset)]), ['/made', '/made']);
    assert.equal(asked.length, 2);
    assert.match(asked[0]?.url ?? '', /\/components\/env\/versions\/7$/);
    // Another content of the same version waits for the one before it, which may fail.
    left = 1;
    const other = { ...asset, version: '8' };
    const both = await Promise.allSettled([one.component(other), one.component({ ...other, body: { b: 1 } as never })]);
    assert.deepEqual(
      both.map(({ status }) => status),
      ['rejected', 'fulfilled'],
    );
    left = 1;
    await assert.rejects(one.codeAt('git+https://example.org/code'));
    const codes = await Promise.all([1, 2].map(() => one.codeAt('git+https://example.org/code', signal)));
    assert.deepEqual(codes, ['/made', '/made']);
    const { body, signal: given, url } = asked.at(-1) ?? {};
    assert.deepEqual(
      [body, given],
      [{ properties: { codeUri: 'git+https://example.org/code', isAnonymous: true, properties: {} } }, signal],
    );
    assert.match(url ?? '', /\/codes\/[0-9a-f-]{36}\/versions\/1$/);
    assert.equal(asked.length, 6);
  });

  it('the address of a code is read from the code that was found', async () => {
    const id = '/subscriptions/s/codes/c/versions/1';
    const { target: one, asked } = target(({ url }) =>
      url === id ? { body: { properties: { codeUri: 'https://acct/c/folder//' } } } : { body: { value: [{ id }] } },
    );
    const snapshot = { hash: 'h', hashVersion: '202208', folder: 'folder', files: [] };
    assert.equal(await one.codeUri(snapshot as never, signal), 'https://acct/c/folder');
    assert.deepEqual(
      asked.map(({ method, query, signal: given }) => [method, query, given]),
      [
        ['GET', { hash: 'h', hashVersion: '202208' }, signal],
        ['GET', undefined, signal],
      ],
    );
  });
});
