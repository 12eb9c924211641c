/** The unmodified @azure/identity and @azure/storage-blob against the embedded workspace: each credential, and blobs in both modes of storage. */
import assert from 'node:assert/strict';
import { randomBytes, webcrypto } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import type { LookupFunction } from 'node:net';
import { join } from 'node:path';
import 'reflect-metadata';
import { createDefaultHttpClient, type HttpClient } from '@azure/core-rest-pipeline';
import { ClientAssertionCredential, ClientCertificateCredential, ClientSecretCredential } from '@azure/identity';
import {
  BlobSASPermissions,
  BlobServiceClient,
  BlockBlobClient,
  generateBlobSASQueryParameters,
  newPipeline,
  SASProtocol,
  StorageSharedKeyCredential,
  type ContainerClient,
  type Pipeline,
} from '@azure/storage-blob';
import { PemConverter, X509CertificateGenerator } from '@peculiar/x509';
import { importJWK, SignJWT, type JWK } from 'jose';
import type { Connection } from '../../../local/workspace/connection.js';
import { armId, send, startUp, tokenOf, type Running } from '../../support/workspace.js';

const arm = (connection: Connection): string => `${connection.resourceManager}/.default`;

/** Trusts the workspace's authority; names below localhost are the loopback address, which many resolvers do not know. */
function agentOf(connection: Connection): Agent {
  const lookup: LookupFunction = (_name, options, done) =>
    options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
  return new Agent({ ca: readFileSync(connection.ca, 'utf8'), lookup });
}

/** The SDK's own HTTP client with that agent. */
function httpClient(connection: Connection): HttpClient {
  const agent = agentOf(connection);
  const plain = createDefaultHttpClient();
  return {
    sendRequest: async (request) => {
      request.agent = agent;
      return await plain.sendRequest(request);
    },
  };
}

/** A pipeline of @azure/storage-blob with that agent, without retries: a refusal is what is asked about. */
function through(connection: Connection, credential?: Parameters<typeof newPipeline>[0]): Pipeline {
  const agent = agentOf(connection);
  const pipeline = newPipeline(credential, { retryOptions: { maxTries: 1 } });
  const factory: Pipeline['factories'][number] = {
    create: (next) => ({
      sendRequest: async (request) => {
        request.agent = agent;
        return await next.sendRequest(request);
      },
    }),
  };
  pipeline.factories.push(factory);
  return pipeline;
}

const signIn = (connection: Connection) => ({
  authorityHost: connection.authority,
  disableInstanceDiscovery: true,
  httpClient: httpClient(connection),
});

function credential(connection: Connection, name?: string): ClientSecretCredential {
  const found = connection.serviceConnections.find((entry) => entry.name === name) ?? connection;
  return new ClientSecretCredential(connection.tenantId, found.clientId, found.clientSecret, signIn(connection));
}

/** The first workspace's default container. */
async function place(connection: Connection): Promise<{ service: string; account: string; container: string; store: string }> {
  const store = `${connection.resourceManager}${armId(connection)}/datastores/workspaceblobstore`;
  const { json } = await send(connection, 'GET', `${store}?api-version=2025-01-01-preview`, { token: await tokenOf(connection) });
  const { accountName, containerName, endpoint } = json.properties;
  return { service: `https://${accountName}.blob.${endpoint}`, account: accountName, container: containerName, store };
}

/** What a user does with a container: a large file in blocks, a listing by folder, a range, tags of the bytes, conditions, a copy, deletion. */
async function everyday(container: ContainerClient): Promise<void> {
  const bytes = randomBytes(3_000_000);
  const large = container.getBlockBlobClient('clients/a b/größe.bin');
  const sent = await large.uploadData(bytes, { blockSize: 1_000_000, concurrency: 3, metadata: { from: 'clients' } });
  assert.ok((await large.downloadToBuffer()).equals(bytes));
  assert.ok((await large.downloadToBuffer(999_990, 20)).equals(bytes.subarray(999_990, 1_000_010)));
  const properties = await large.getProperties();
  assert.deepEqual(
    [properties.contentLength, properties.metadata?.['from'], properties.etag],
    [bytes.length, 'clients', sent.etag],
  );
  const once = { conditions: { ifNoneMatch: '*' } };
  const small = container.getBlockBlobClient('clients/small.txt');
  await small.upload('one', 3, once);
  await assert.rejects(small.upload('two', 3, once), { statusCode: 409, code: 'BlobAlreadyExists' });
  await assert.rejects(small.upload('two', 3, { conditions: { ifMatch: sent.etag ?? '' } }), { statusCode: 412 });
  const names: string[] = [];
  for await (const page of container.listBlobsByHierarchy('/', { prefix: 'clients/' }).byPage({ maxPageSize: 1 }))
    for (const { name } of [...(page.segment.blobPrefixes ?? []), ...page.segment.blobItems]) names.push(name);
  assert.deepEqual(names.sort(), ['clients/a b/', 'clients/small.txt']);
  for await (const { name } of container.listBlobsFlat({ prefix: 'clients/' })) await container.deleteBlob(name);
  await assert.rejects(small.getProperties(), { statusCode: 404 });
}

describe('@azure/identity', () => {
  let up: Running;
  let connection: Connection;
  before(async () => {
    up = await startUp({ args: ['--workspaces', 'dev'] });
    ({ connection } = up);
  });
  after(async () => await up?.stop());

  /** The token is good for what it was asked for. */
  async function reads(token: string): Promise<void> {
    const url = `${connection.resourceManager}${armId(connection)}?api-version=2024-10-01`;
    assert.equal((await send(connection, 'GET', url, { token })).status, 200);
  }

  it('signs in with a secret, keeps the token, and says why it cannot', async () => {
    const good = credential(connection);
    const { token, expiresOnTimestamp } = await good.getToken(arm(connection));
    assert.ok(expiresOnTimestamp > Date.now() + 600_000);
    await reads(token);
    assert.equal((await good.getToken(arm(connection))).token, token);
    const bad = new ClientSecretCredential(connection.tenantId, connection.clientId, 'wrong', signIn(connection));
    await assert.rejects(bad.getToken(arm(connection)), /AADSTS7000215/);
  });

  it('signs in with an assertion of the federation', async () => {
    const { issuer, audience, keyFile } = connection.federation;
    const { privateJwk } = JSON.parse(readFileSync(keyFile, 'utf8')) as { privateJwk: JWK };
    const found = connection.serviceConnections.find(({ name }) => name === 'arm-dev');
    assert.ok(found);
    const assertion = async (): Promise<string> =>
      await new SignJWT({ sub: 'sc://organization/project/arm-dev' })
        .setProtectedHeader({ alg: 'ES256', ...(privateJwk.kid !== undefined && { kid: privateJwk.kid }) })
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime('5m')
        .sign(await importJWK(privateJwk, 'ES256'));
    const federated = new ClientAssertionCredential(connection.tenantId, found.clientId, assertion, signIn(connection));
    await reads((await federated.getToken(arm(connection))).token);
  });

  it('signs in with a certificate that is registered, and with no other', async () => {
    const algorithm = {
      name: 'RSASSA-PKCS1-v1_5',
      hash: 'SHA-256',
      publicExponent: new Uint8Array([1, 0, 1]),
      modulusLength: 2048,
    };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: 'CN=clients',
      keys,
      signingAlgorithm: algorithm,
    });
    const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
    const certificatePath = join(up.state, 'client.pem');
    writeFileSync(certificatePath, `${key}\n${certificate.toString('pem')}\n`);
    const certified = () =>
      new ClientCertificateCredential(connection.tenantId, connection.clientId, { certificatePath }, signIn(connection));
    await assert.rejects(certified().getToken(arm(connection)), /AADSTS700027/);
    const added = await send(
      connection,
      'PUT',
      `${connection.resourceManager}/_amlops/principals/${connection.clientId}/certificate`,
      {
        token: await tokenOf(connection),
        headers: { 'content-type': 'application/x-pem-file' },
        body: Buffer.from(certificate.toString('pem')),
      },
    );
    assert.equal(added.status, 204, added.text);
    await reads((await certified().getToken(arm(connection))).token);
  });
});

describe('@azure/storage-blob', () => {
  for (const mode of ['keys', 'identity'] as const)
    describe(`with --storage ${mode}`, () => {
      let up: Running;
      let connection: Connection;
      let where: Awaited<ReturnType<typeof place>>;
      before(async () => {
        up = await startUp({ args: ['--workspaces', 'dev', '--storage', mode] });
        ({ connection } = up);
        where = await place(connection);
      });
      after(async () => await up?.stop());

      /** The account's key; in the identity mode the service hands none out. */
      async function accountKey(): Promise<string | undefined> {
        const reply = await send(connection, 'POST', `${where.store}/listSecrets?api-version=2025-01-01-preview`, {
          token: await tokenOf(connection),
          body: {},
        });
        return reply.json.key as string | undefined;
      }

      it('serves a token of a principal with a blob role', async () => {
        const service = new BlobServiceClient(where.service, through(connection, credential(connection)));
        await everyday(service.getContainerClient(where.container));
      });

      it('lets a reader read only', async () => {
        const container = (name?: string) =>
          new BlobServiceClient(where.service, through(connection, credential(connection, name))).getContainerClient(
            where.container,
          );
        await container().getBlockBlobClient('read.txt').upload('text', 4);
        const reader = container('arm-dev-read').getBlockBlobClient('read.txt');
        assert.equal((await reader.downloadToBuffer()).toString(), 'text');
        await assert.rejects(reader.upload('other', 5), { statusCode: 403, code: 'AuthorizationPermissionMismatch' });
      });

      it('takes a user-delegation SAS for what it names, while it lasts', async () => {
        const service = new BlobServiceClient(where.service, through(connection, credential(connection)));
        await service.getContainerClient(where.container).getBlockBlobClient('signed.txt').upload('signed', 6);
        const [startsOn, expiresOn] = [new Date(Date.now() - 60_000), new Date(Date.now() + 600_000)];
        const key = await service.getUserDelegationKey(startsOn, expiresOn);
        const signed = (blobName: string, until = expiresOn): BlockBlobClient => {
          const values = { containerName: where.container, blobName, startsOn, expiresOn: until, protocol: SASProtocol.Https };
          const sas = generateBlobSASQueryParameters(
            { ...values, permissions: BlobSASPermissions.parse('r') },
            key,
            where.account,
          );
          return new BlockBlobClient(`${where.service}/${where.container}/signed.txt?${sas.toString()}`, through(connection));
        };
        assert.equal((await signed('signed.txt').downloadToBuffer()).toString(), 'signed');
        await assert.rejects(signed('signed.txt').upload('changed', 7), { statusCode: 403 });
        await assert.rejects(signed('other.txt').downloadToBuffer(), { statusCode: 403 });
        await assert.rejects(signed('signed.txt', new Date(Date.now() - 30_000)).downloadToBuffer(), { statusCode: 403 });
      });

      it(mode === 'keys' ? 'takes the account key, and no other' : 'hands out no key, and takes none', async () => {
        const key = await accountKey();
        const withKey = (value: string): ContainerClient =>
          new BlobServiceClient(
            where.service,
            through(connection, new StorageSharedKeyCredential(where.account, value)),
          ).getContainerClient(where.container);
        const wrong = withKey(randomBytes(64).toString('base64'));
        if (mode === 'keys') {
          assert.ok(key);
          await everyday(withKey(key));
          await assert.rejects(wrong.getBlockBlobClient('x').upload('x', 1), { statusCode: 403, code: 'AuthenticationFailed' });
        } else {
          assert.equal(key, undefined);
          await assert.rejects(wrong.getBlockBlobClient('x').upload('x', 1), {
            statusCode: 403,
            code: 'KeyBasedAuthenticationNotPermitted',
          });
        }
      });
    });
});
