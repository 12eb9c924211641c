/** Assets written into a workspace, told by single answers: what somebody else has made meanwhile, what failed and is tried again, what is asked. */
import assert from 'node:assert/strict';
import { onlineTarget } from '../../src/aml/assets-online.js';
import type { AssetWrite } from '../../src/aml/compile/types.js';
import { Failure } from '../../src/azure/errors.js';
import type { AzureRequest } from '../../src/azure/types.js';
import { codeSnapshot, localData } from '../../src/aml/snapshot/snapshot.js';
import { BlobStore } from '../support/blob-store.js';
import { fakeWorkspace, type Answer } from '../support/fake-workspace.js';
import { cleanUp, files } from './compile/support.js';

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

  describe('code and data', () => {
    afterEach(cleanUp);
    const uri = 'https://acct.blob.core.windows.net/store';
    /** Answers of a workspace that knows no code, gives one place for all, and has one datastore. */
    const usual = ({ method, url }: AzureRequest): Answer => {
      if (url.endsWith('/startPendingUpload')) return { body: { blobReferenceForConsumption: { blobUri: uri } } };
      if (method === 'GET' && url.endsWith('/versions')) return { body: { value: [] } };
      if (method === 'PUT') return { body: { id: `${url}!` } };
      const properties = { datastoreType: 'AzureBlob', accountName: 'acct', containerName: 'store' };
      return url.includes('/datastores/') ? { body: { name: url.split('/').pop(), properties } } : { status: 404 };
    };
    const world = (store: BlobStore, given: Parameters<typeof onlineTarget>[1] = {}, answer = usual) => {
      const workspace = fakeWorkspace(answer);
      workspace.azure.blobs = () => store.container;
      return { one: onlineTarget(workspace, given), asked: workspace.asked, id: workspace.id };
    };
    const many = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`c/f${n}`, `${n}`]));

    it('code: asked for by its hash, sent, marked, registered; a single file lies in the root', async () => {
      const folder = files({ 'c/B': 'bb', 'c/a': 'a' });
      const store = new BlobStore();
      const told: unknown[] = [];
      const { one, asked, id } = world(store, { progress: (upload) => told.push(upload) }, (request) => {
        // What is registered is whole.
        if (request.method === 'PUT') assert.equal(store.written.at(-1)?.endsWith(' metadata'), true);
        return usual(request);
      });
      const snapshot = await codeSnapshot({ code: folder.path('c') });
      const made = await one.code(snapshot, signal);
      const [look, begin, put] = asked;
      assert.equal(await one.code(snapshot, signal), made);
      assert.equal(asked.length, 3);
      assert.deepEqual(look?.query, { hash: snapshot.hash, hashVersion: '202208' });
      const name = /\/codes\/([0-9a-f-]{36})\/versions\/1!$/.exec(made)?.[1] ?? '';
      assert.equal(begin?.url, `${id}/codes/${name}/versions/1/startPendingUpload`);
      assert.deepEqual(put?.body, {
        properties: {
          codeUri: `${uri}/c`,
          isAnonymous: true,
          properties: { hash_sha256: snapshot.hash, hash_version: 202208 },
        },
      });
      for (const request of asked) assert.deepEqual([request.signal, typeof request.apiVersion], [signal, 'string']);
      // The mark is on the first by code units.
      assert.deepEqual([...store.blobs.keys()].sort(), ['c/B', 'c/a']);
      assert.deepEqual(store.blobs.get('c/B')?.metadata, { upload_status: 'completed', name, version: '1' });
      assert.deepEqual([one.upload, told], [{ bytes: 3, files: 2, reused: 0 }, [{ bytes: 3, files: 2, reused: 0 }]]);
      assert.deepEqual(one.requests, [
        { method: 'PUT', path: put?.url, query: { 'api-version': put?.apiVersion }, body: put?.body },
      ]);
      await one.code(await codeSnapshot({ code: folder.path('c/a') }));
      assert.ok(store.blobs.has('a'));
      assert.equal((asked.at(-1)?.body as { properties: { codeUri: string } }).properties.codeUri, `${uri}/`);
      assert.deepEqual(one.upload, { bytes: 4, files: 3, reused: 0 });
    });

    it('code that is there is not sent; what is found must be an id of the service; a 404 of the question means none', async () => {
      const snapshot = await codeSnapshot({ code: files({ 'c/a': 'a' }).path('c') });
      for (const [found, reused] of [
        [{ body: { value: [{ id: '/subscriptions/s/codes/x/versions/1' }] } }, true],
        [{ body: { value: [{ id: 'azureml:x:1' }] } }, false],
        [{ body: { value: [{}] } }, false],
        [{ status: 404 }, false],
      ] as [Answer, boolean][]) {
        const store = new BlobStore();
        const { one } = world(store, {}, (request) => (request.url.endsWith('/versions') ? found : usual(request)));
        const made = await one.code(snapshot);
        assert.deepEqual([made === '/subscriptions/s/codes/x/versions/1', store.blobs.size === 0], [reused, reused]);
        assert.deepEqual(one.upload, reused ? { bytes: 0, files: 0, reused: 1 } : { bytes: 1, files: 1, reused: 0 });
      }
    });

    it('large code has a place that a killed run and the one after it both find; what lies there stays', async () => {
      const folder = files({
        ...many,
        ...Object.fromEntries(
          Object.keys(many)
            .slice(1)
            .map((name) => [`few/${name}`, '1']),
        ),
        'small/a': '1',
        'heavy/a': Buffer.alloc(8 * 1024 * 1024 + 1),
        'edge/a': Buffer.alloc(8 * 1024 * 1024),
      });
      const code = (name: string) => codeSnapshot({ code: folder.path(name) });
      const begun = async (name: string, key: string | undefined, store = new BlobStore()) => {
        const { one, asked } = world(store, key === undefined ? {} : { resumeKey: async () => key });
        await one.code(await code(name));
        const begins = asked.filter((request) => request.url.endsWith('/startPendingUpload'));
        assert.equal(begins.length, 1);
        const [{ url, body }] = begins as [AzureRequest];
        return {
          name: url.split('/').at(-4),
          before: (body as { pendingUploadId?: string }).pendingUploadId,
          upload: one.upload,
        };
      };
      const store = new BlobStore();
      const first = await begun('c', 'job-1', store);
      assert.match(first.name ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.equal(first.before, first.name);
      // A part of it is there.
      store.blobs.delete('c/f7');
      const again = await begun('c', 'job-1', store);
      assert.deepEqual([again.name, again.upload], [first.name, { bytes: 1, files: 1, reused: 32 }]);
      assert.notEqual((await begun('c', 'job-2')).name, first.name);
      folder.write({ 'c/f0': 'other' });
      assert.notEqual((await begun('c', 'job-1')).name, first.name);
      assert.ok((await begun('heavy', 'job-1')).before);
      // Not worth a question, or nobody's to go on with: all of it is sent, to a place of its own.
      for (const [name, key] of [
        ['small', 'job-1'],
        ['edge', 'job-1'],
        ['few', 'job-1'],
        ['c', undefined],
      ] as const) {
        const one = await begun(name, key);
        assert.equal(one.before, undefined);
        assert.notEqual(one.name, (await begun(name, key)).name);
      }
    });

    it('a place that the service gives only once, and code that the killed run has registered', async () => {
      const snapshot = await codeSnapshot({ code: files(many).path('c') });
      const resumeKey = () => 'job-1';
      const refusing = (status: number, there: number) => (request: AzureRequest) => {
        if (request.method === 'PUT') return { status };
        if (request.method === 'GET' && /versions\/1$/.test(request.url)) return { status: there, body: {} };
        return usual(request);
      };
      for (const [status, there, taken] of [
        [400, 200, true],
        [400, 404, false],
        [403, 200, false],
      ] as const) {
        const { one, asked } = world(new BlobStore(), { resumeKey }, refusing(status, there));
        const made = await one.code(snapshot, signal).catch((error: unknown) => error);
        const put = asked.find(({ method }) => method === 'PUT');
        if (taken) assert.equal(made, put?.url);
        else assert.equal((made as Failure).details.status, status);
        assert.equal(asked.at(-1)?.signal, signal);
      }
      // Whose name nobody else can know has not been registered before.
      const { one: own, asked: few } = world(new BlobStore(), {}, refusing(400, 200));
      await assert.rejects(own.code(snapshot), (error) => (error as Failure).details.status === 400);
      assert.equal(few.at(-1)?.method, 'PUT');
      const once = (request: AzureRequest) =>
        (request.body as { pendingUploadId?: string } | undefined)?.pendingUploadId ? { status: 409 } : usual(request);
      const { one, asked } = world(new BlobStore(), { resumeKey }, once);
      await one.code(snapshot);
      const [taken = '', other = ''] = asked.filter(({ method }) => method === 'POST').map(({ url }) => url);
      assert.notEqual(taken, other);
      assert.equal(asked.at(-1)?.url, other.replace('/startPendingUpload', ''));
      assert.equal(one.upload.files, 33);
    });

    it('data: under its content on the datastore that is named, sent once and marked; what is marked is there', async () => {
      const folder = files({ 'd/a.csv': 'a', 'd/sub/b.csv': 'bb', 'one.csv': '1' });
      const store = new BlobStore();
      const data = await localData(folder.path('d'));
      const place = `LocalUpload/${data.id}/d`;
      const { one, asked } = world(store);
      const both = await Promise.all([one.data(data), one.contextUri(data)]);
      assert.deepEqual(both, [`azureml://datastores/workspaceblobstore/paths/${place}`, `${uri}/${place}/`]);
      assert.match(asked[0]?.url ?? '', /\/datastores\/workspaceblobstore$/);
      assert.deepEqual([...store.blobs.keys()].sort(), [`${place}/a.csv`, `${place}/sub/b.csv`]);
      assert.equal(store.blobs.get(`${place}/a.csv`)?.metadata?.['upload_status'], 'completed');
      assert.deepEqual(one.upload, { bytes: 3, files: 2, reused: 0 });
      store.written.length = 0;
      const { one: second } = world(store);
      await second.data(data);
      assert.deepEqual([second.upload, store.written], [{ bytes: 0, files: 0, reused: 2 }, []]);
      // The upload was killed before its mark: what is there stays.
      for (const metadata of [{}, { upload_status: 'started' }]) {
        Object.assign(store.blobs.get(`${place}/a.csv`) ?? {}, { metadata });
        store.blobs.delete(`${place}/sub/b.csv`);
        const { one: third } = world(store);
        await third.data(data);
        assert.deepEqual(third.upload, { bytes: 2, files: 1, reused: 1 });
      }
      const single = { ...(await localData(folder.path('one.csv'))), datastore: 'mine' };
      const { one: other, asked: named } = world(store);
      assert.equal(await other.data(single), `azureml://datastores/mine/paths/LocalUpload/${single.id}/one.csv`);
      assert.match(named[0]?.url ?? '', /\/datastores\/mine$/);
      assert.ok(store.blobs.get(`LocalUpload/${single.id}/one.csv`)?.metadata);
    });
  });
});
