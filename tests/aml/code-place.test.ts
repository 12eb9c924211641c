/** The place of an upload that takes longer than its signature. */
import assert from 'node:assert/strict';
import { inPlace, pendingUpload } from '../../src/aml/code-place.js';
import { openWorkspace } from '../../src/aml/workspace.js';
import { connectAzure } from '../../src/azure/azure.js';
import { FakeClock } from '../support/fake-platform.js';
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
    assert.equal(await inPlace(first, upload), `${server.origin}/c2`);
    assert.deepEqual(blobs, ['/c2/a', '/c2/b', '/c2/c']);
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
