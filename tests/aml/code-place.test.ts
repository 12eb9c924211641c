/** The place of an upload that takes longer than its signature. */
import assert from 'node:assert/strict';
import { inPlace, pendingUpload, resumedUpload } from '../../src/aml/code-place.js';
import { openWorkspace } from '../../src/aml/workspace.js';
import { connectAzure } from '../../src/azure/azure.js';
import type { BlobContainer } from '../../src/azure/types.js';
import { FakeClock } from '../support/fake-platform.js';
import { fakeWorkspace } from '../support/fake-workspace.js';
import { connectionTo, serve, type Asked, type Reply, type TestServer } from '../support/https-server.js';

describe('the place of an upload', () => {
  let server: TestServer;
  /** The container that is given next, and the signature that storage takes. */
  let container: string;
  let valid: number;
  let given: (string | undefined)[];
  let blobs: string[];

  const answer = ({ path, body, query }: Asked): Reply => {
    if (path.endsWith('/token')) return { body: { access_token: 'token', expires_in: 3600 } };
    if (path.endsWith('/startPendingUpload')) {
      given.push((JSON.parse(body) as { pendingUploadId?: string }).pendingUploadId);
      valid = given.length;
      const blobUri = `${server.origin}/${container}`;
      const credential = { credentialType: 'SAS', sasUri: `${blobUri}?sig=${valid}` };
      return { body: { pendingUploadId: 'upload-7', blobReferenceForConsumption: { blobUri, credential } } };
    }
    if (query.get('sig') !== String(valid)) return { status: 403, headers: { 'x-ms-error-code': 'AuthenticationFailed' } };
    blobs.push(path);
    return { status: 201 };
  };
  before(async () => {
    server = await serve((asked) => answer(asked));
  });
  after(() => server.close());
  beforeEach(() => {
    container = 'c1';
    given = [];
    blobs = [];
  });

  const place = () => {
    const azure = connectAzure(connectionTo(server), { clock: new FakeClock(), onSecret: () => undefined });
    return pendingUpload(openWorkspace(azure, { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' }), 'name', undefined);
  };
  /** Three files, before each of which the signature expires. */
  const upload = async (at: Awaited<ReturnType<typeof place>>, moved: boolean) => {
    for (const name of ['a', 'b', 'c']) {
      if (!moved) valid = -1;
      await at.container.writeBytes(name, Buffer.from(name));
    }
  };

  it('is asked for again under its own id when its signature has expired, as often as that happens', async () => {
    assert.equal(await inPlace(await place(), upload), `${server.origin}/c1`);
    assert.deepEqual(given, [undefined, 'upload-7', 'upload-7', 'upload-7']);
    assert.deepEqual(blobs, ['/c1/a', '/c1/b', '/c1/c']);
  });

  it('may be another one then: everything goes there', async () => {
    const first = await place();
    container = 'c2';
    const told: boolean[] = [];
    const uri = await inPlace(first, (at, moved) => {
      told.push(moved);
      return upload(at, moved);
    });
    assert.deepEqual([uri, told], [`${server.origin}/c2`, [false, true]]);
    assert.deepEqual(blobs, ['/c2/a', '/c2/b', '/c2/c']);
  });

  it('is asked for as the service has it, and again when that has failed; a cancel ends it', async () => {
    const { signal } = new AbortController();
    const where = 'https://acct.blob.core.windows.net/c';
    const opened: unknown[] = [];
    const of = (reference: object | undefined) => {
      const workspace = fakeWorkspace(() => ({ body: { pendingUploadId: 'u', blobReferenceForConsumption: reference } }));
      workspace.azure.blobs = (url, auth) => {
        opened.push([url, auth.kind]);
        return {} as BlobContainer;
      };
      return workspace;
    };
    const plain = of({ blobUri: `${where}/` });
    const { uri, auth } = await pendingUpload(plain, 'name', 'before', signal);
    assert.deepEqual([uri, auth], [where, { kind: 'entra' }]);
    const [asked] = plain.asked;
    assert.deepEqual(
      [asked?.method, asked?.body, asked?.retries, asked?.signal],
      ['POST', { pendingUploadId: 'before', pendingUploadType: 'TemporaryBlobReference' }, 5, signal],
    );
    assert.match(asked?.url ?? '', /\/codes\/name\/versions\/1\/startPendingUpload$/);
    // The address may stand in the signed one only.
    assert.equal((await pendingUpload(of({ credential: { sasUri: `${where}?sig=1` } }), 'name', undefined)).uri, where);
    assert.deepEqual(opened, [
      [where, 'entra'],
      [where, 'sas'],
    ]);
    await assert.rejects(pendingUpload(of(undefined), 'name', undefined), /gave no place to upload code to/);
  });

  it('begun by the run before: taken up under its name, or not at all where the service does not take that', async () => {
    for (const [status, given] of [
      [200, 'taken up'],
      [400, 'none'],
      [409, 'none'],
      [403, 'refused'],
    ] as const) {
      const reference = { blobUri: 'https://acct.blob.core.windows.net/c' };
      const workspace = fakeWorkspace(() => ({ status, body: { blobReferenceForConsumption: reference } }));
      workspace.azure.blobs = () => ({}) as BlobContainer;
      const place = resumedUpload(workspace, 'name').then(
        (found) => (found ? 'taken up' : 'none'),
        () => 'refused',
      );
      assert.equal(await place, given);
      assert.equal((workspace.asked[0]?.body as { pendingUploadId?: string }).pendingUploadId, 'name');
    }
    const abort = new AbortController();
    const cancelled = fakeWorkspace(() => {
      abort.abort(new Error('enough'));
      return { status: 400 };
    });
    await assert.rejects(resumedUpload(cancelled, 'name', abort.signal), /enough/);
  });

  it('what else goes wrong in an upload is told as it is', async () => {
    const first = await place();
    const fault = new Error('disk');
    await assert.rejects(
      inPlace(first, () => Promise.reject(fault)),
      (error) => error === fault,
    );
  });

  it('does not wander for ever', async () => {
    const first = await place();
    const wandering = async (at: typeof first) => {
      valid = -1;
      container += 'x';
      await at.container.writeBytes('a', Buffer.from('a'));
    };
    await assert.rejects(inPlace(first, wandering), /three times/);
    assert.equal(given.length, 4);
  });
});
