/** Models of a registry, over a server that is every service at once. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { RegistryModels } from '../../src/aml/registries.js';
import { openWorkspace } from '../../src/aml/workspace.js';
import { connectAzure } from '../../src/azure/azure.js';
import { FakeClock } from '../support/fake-platform.js';
import { connectionTo, serve, type Asked, type Reply, type TestServer } from '../support/https-server.js';

describe('models of a registry', () => {
  const names = ['m/a', 'm/b', 'm/c'];
  let server: TestServer;
  let given = 0;
  const storage = () => `https://store.blob.core.localhost:${server.port}/c1`;
  const answer = ({ path, query }: Asked): Reply => {
    if (path.endsWith('/token')) return { body: { access_token: 't', expires_in: 3600 } };
    if (path.endsWith('/workspaces/w'))
      return { body: { properties: { workspaceId: 'guid', discoveryUrl: `${server.origin}/discovery` } } };
    if (path === '/discovery') return { body: { api: server.origin } };
    if (path.endsWith('/registries/r/discovery'))
      return {
        body: { registryName: 'r', primaryRegionResourceProviderUri: server.origin, subscriptionId: 's', resourceGroup: 'g' },
      };
    if (path.endsWith('/datarefs/m/versions/1')) {
      given += 1;
      const sasUri = `${storage()}?sv=2023-11-03&sig=${given}`;
      return { body: { blobReferenceForConsumption: { blobUri: storage(), credential: { credentialType: 'SAS', sasUri } } } };
    }
    // The first signature is over when the files are listed.
    if (query.get('sig') === '1' && query.get('comp') !== 'list')
      return { status: 403, headers: { 'x-ms-error-code': 'AuthenticationFailed' } };
    if (query.get('comp') === 'list') {
      const blobs = names.map(
        (name) => `<Blob><Name>${name}</Name><Properties><Content-Length>1</Content-Length><Etag>0x1</Etag></Properties></Blob>`,
      );
      const body = `<?xml version="1.0"?><EnumerationResults><Blobs>${blobs.join('')}</Blobs><NextMarker/></EnumerationResults>`;
      return { headers: { 'x-ms-version': '2023-11-03', 'content-type': 'application/xml' }, body };
    }
    return { headers: { 'x-ms-version': '2023-11-03', etag: '0x1', 'content-length': '1' }, body: path.slice(-1) };
  };
  before(async () => {
    server = await serve(answer);
  });
  after(() => server.close());

  it('are read to the end although their signature expires meanwhile: another is asked for, once', async () => {
    const azure = connectAzure(connectionTo(server), { clock: new FakeClock(), onSecret: () => undefined });
    const workspace = openWorkspace(azure, { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' });
    const files = new RegistryModels(workspace, 'r').files({ uri: `${storage()}/m`, name: 'm', version: '1' });
    const sums = await files.hash();
    assert.deepEqual(
      sums.map(({ path, sha256 }) => [path, sha256]),
      ['a', 'b', 'c'].map((text) => [text, createHash('sha256').update(text).digest('hex')]),
    );
    assert.equal(given, 2);
  });
});
