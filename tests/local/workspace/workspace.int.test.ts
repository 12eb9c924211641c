/** The embedded workspace as its callers meet it: sign-in, rights, storage modes, bad input, faults, restart. */
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, randomUUID, sign, X509Certificate, createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, importJWK, SignJWT, type CryptoKey } from 'jose';
import { armId, send, startUp, tokenOf, type Reply, type Running } from '../../support/workspace.js';

const api = 'api-version=2023-08-01-preview';

async function call(
  running: Running,
  method: string,
  path: string,
  options: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Reply> {
  return await send(
    running.connection,
    method,
    path.startsWith('https') ? path : `${running.connection.resourceManager}${path}`,
    options,
  );
}

async function signIn(running: Running, values: Record<string, string>, tenant = running.connection.tenantId): Promise<Reply> {
  return await call(running, 'POST', `/${tenant}/oauth2/v2.0/token`, {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      scope: `${running.connection.resourceManager}/.default`,
      ...values,
    }).toString(),
  });
}

/** Uploads one file through an upload slot and registers it as model version; gives the reply. */
async function model(running: Running, token: string, name: string, version: string, workspace = 'dev'): Promise<Reply> {
  const at = `${armId(running.connection, workspace)}/models/${name}/versions/${version}`;
  const slot = await call(running, 'POST', `${at}/startPendingUpload?${api}`, {
    token,
    body: { pendingUploadType: 'TemporaryBlobReference' },
  });
  assert.equal(slot.status, 200, slot.text);
  const sas = new URL(String(slot.json.blobReferenceForConsumption.credential.sasUri));
  const put = await send(running.connection, 'PUT', `https://${sas.host}${sas.pathname}/m/model.txt${sas.search}`, {
    headers: { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2022-11-02' },
    body: Buffer.from(`${name} ${version}`),
  });
  assert.equal(put.status, 201, put.text);
  return await call(running, 'PUT', `${at}?${api}`, {
    token,
    body: { properties: { modelUri: `https://${sas.host}${sas.pathname}/m`, modelType: 'custom_model' } },
  });
}

describe('embedded workspace', () => {
  let running: Running;
  let token: string;
  let dev: string;
  before(async () => {
    running = await startUp();
    token = await tokenOf(running.connection);
    dev = armId(running.connection);
  });
  after(async () => await running.stop());

  describe('sign-in', () => {
    it('issues tokens whose audience is the scope', async () => {
      const { clientId, clientSecret } = running.connection;
      for (const [scope, audience] of [
        [`${running.connection.resourceManager}/.default`, running.connection.resourceManager],
        ['https://management.azure.com/.default', 'https://management.azure.com'],
        ['https://ml.azure.com/.default', 'https://ml.azure.com'],
        ['https://storage.azure.com/.default', 'https://storage.azure.com'],
      ] as const) {
        const reply = await signIn(running, { client_id: clientId, client_secret: clientSecret, scope });
        assert.equal(reply.status, 200, reply.text);
        const claims = JSON.parse(
          Buffer.from(String(reply.json.access_token).split('.')[1] ?? '', 'base64url').toString(),
        ) as Record<string, unknown>;
        assert.equal(claims['aud'], audience);
        assert.equal(claims['appid'], clientId);
        assert.equal(claims['tid'], running.connection.tenantId);
      }
    });

    it('refuses with the AADSTS code of the cause', async () => {
      const { clientId, clientSecret } = running.connection;
      const good = { client_id: clientId, client_secret: clientSecret };
      const cases: [Record<string, string>, number, number, string?][] = [
        [{ ...good, client_secret: 'wrong' }, 401, 7000215],
        [{ ...good, client_id: randomUUID() }, 400, 700016],
        [{ client_id: clientId }, 401, 7000218],
        [{ ...good, scope: 'https://elsewhere.example/.default' }, 400, 500011],
        [{ ...good, scope: 'https://ml.azure.com/user' }, 400, 1002012],
        [{ ...good, grant_type: 'password' }, 400, 70003],
        [good, 400, 90002, randomUUID()],
        [
          {
            client_id: clientId,
            client_assertion: 'x',
            client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          },
          400,
          50027,
        ],
      ];
      for (const [values, status, code, tenant] of cases) {
        const reply = await signIn(running, values, tenant);
        assert.equal(reply.status, status, reply.text);
        assert.deepEqual(reply.json.error_codes, [code]);
        assert.match(reply.json.error_description, new RegExp(`^AADSTS${code}: `));
      }
    });

    it('takes a federated assertion for the connection that it names, and no other', async () => {
      const { federation, clientId, serviceConnections } = running.connection;
      const { privateJwk } = JSON.parse(readFileSync(federation.keyFile, 'utf8')) as { privateJwk: { alg: string; kid: string } };
      const key = (await importJWK(privateJwk, privateJwk.alg)) as CryptoKey;
      const other = (await importJWK(
        { ...(await exportJWK(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)), alg: 'ES256' },
        'ES256',
      )) as CryptoKey;
      const assertion = async (
        change: Partial<{ iss: string; sub: string; aud: string; exp: number }> = {},
        by = key,
      ): Promise<string> =>
        await new SignJWT({
          iss: federation.issuer,
          sub: 'sc://org/project/arm-dev',
          aud: federation.audience,
          exp: Math.floor(Date.now() / 1000) + 300,
          ...change,
        })
          .setProtectedHeader({ alg: 'ES256' })
          .sign(by);
      const present = async (text: string): Promise<Reply> =>
        await signIn(running, {
          client_id: clientId,
          client_assertion: text,
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        });
      assert.equal((await present(await assertion())).status, 200);
      assert.equal(serviceConnections[0]?.name, 'arm-dev');
      for (const [text, code] of [
        [await assertion({ iss: 'https://elsewhere.example' }), 700211],
        [await assertion({ sub: 'sc://org/project/arm-prod' }), 700213],
        [await assertion({ aud: 'api://other' }), 700212],
        [await assertion({ exp: Math.floor(Date.now() / 1000) - 10 }), 700024],
        [await assertion({}, other), 50013],
      ] as const)
        assert.deepEqual((await present(text)).json.error_codes, [code]);
    });

    it('takes an assertion signed with a registered certificate', async () => {
      const { clientId, tenantId, authority } = running.connection;
      // The server's own leaf serves as certificate: its key is at hand.
      const pem = readFileSync(join(running.state, 'server.pem'), 'utf8');
      const key = createPrivateKey(readFileSync(join(running.state, 'server.key')));
      const certificate = new X509Certificate(pem);
      const now = Math.floor(Date.now() / 1000);
      const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const head = encode({ alg: 'ES256', 'x5t#S256': createHash('sha256').update(certificate.raw).digest('base64url') });
      const input = `${head}.${encode({ iss: clientId, sub: clientId, aud: `${authority}/${tenantId}/oauth2/v2.0/token`, nbf: now + 60, exp: now + 300, jti: randomUUID() })}`;
      const assertion = `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
      const present = async () =>
        await signIn(running, {
          client_id: clientId,
          client_assertion: assertion,
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        });
      assert.deepEqual((await present()).json.error_codes, [700027]);
      const added = await call(running, 'PUT', `/_amlops/principals/${clientId}/certificate`, {
        token,
        body: Buffer.from(certificate.toString()),
        headers: { 'content-type': 'application/x-pem-file' },
      });
      assert.equal(added.status, 204, added.text);
      assert.equal((await present()).status, 200);
    });
  });

  describe('rights', () => {
    it('asks for a valid token of the right audience', async () => {
      for (const bad of [undefined, 'rubbish', token.slice(0, -6) + 'AAAAAA']) {
        const reply = await call(running, 'GET', `${dev}?${api}`, bad === undefined ? {} : { token: bad });
        assert.equal(reply.status, 401);
        assert.match(reply.json.error.code, /Authentication/);
        assert.equal(reply.headers['x-ms-failure-cause'], 'gateway');
      }
      const storage = await tokenOf(running.connection, undefined, 'https://storage.azure.com/.default');
      assert.equal(
        (await call(running, 'GET', `${dev}?${api}`, { token: storage })).json.error.code,
        'InvalidAuthenticationTokenAudience',
      );
    });

    it('tells an unknown subscription, group and workspace from a missing right', async () => {
      const { subscriptionId } = running.connection;
      const get = async (path: string) => await call(running, 'GET', `${path}?${api}`, { token });
      const provider = 'providers/Microsoft.MachineLearningServices/workspaces';
      const found = async (path: string) => {
        const reply = await get(path);
        return `${reply.status} ${reply.json.error.code}`;
      };
      assert.equal(
        await found(`/subscriptions/${randomUUID()}/resourceGroups/rg-dev/${provider}/dev`),
        '404 SubscriptionNotFound',
      );
      assert.equal(
        await found(`/subscriptions/${subscriptionId}/resourceGroups/nope/${provider}/dev`),
        '404 ResourceGroupNotFound',
      );
      assert.equal(
        await found(`/subscriptions/${subscriptionId}/resourceGroups/rg-dev/${provider}/nope`),
        '404 ResourceNotFound',
      );
      assert.equal(
        await found(`/subscriptions/${subscriptionId}/resourceGroups/rg-dev/${provider}/nope/models/m`),
        '404 ParentResourceNotFound',
      );
      assert.equal(await found(armId(running.connection, 'prod')), '403 AuthorizationFailed');
      const prod = await tokenOf(running.connection, 'arm-prod');
      assert.equal((await call(running, 'GET', `${dev}?${api}`, { token: prod })).status, 403);
      assert.equal(
        (
          await call(running, 'GET', `${armId(running.connection, 'prod').toUpperCase().replace('/PROD', '/prod')}?${api}`, {
            token: prod,
          })
        ).status,
        200,
      );
    });

    it('lets a reader read, and nothing else', async () => {
      const reader = await tokenOf(running.connection, 'arm-dev-read');
      assert.equal((await call(running, 'GET', `${dev}/datastores/workspaceblobstore?${api}`, { token: reader })).status, 200);
      for (const [method, path, action, on] of [
        ['POST', '/datastores/workspaceblobstore/listSecrets', 'datastores/listSecrets/action', '/datastores/workspaceblobstore'],
        ['PUT', '/environments/e/versions/1', 'environments/versions/write', '/environments/e/versions/1'],
        ['DELETE', '/models/m/versions/1', 'models/versions/delete', '/models/m/versions/1'],
        ['POST', '/jobs/j/cancel', 'jobs/cancel/action', '/jobs/j'],
      ] as const) {
        const reply = await call(running, method, `${dev}${path}?${api}`, {
          token: reader,
          body: { properties: { image: 'x' } },
        });
        assert.equal(`${reply.status} ${reply.json.error.code}`, '403 AuthorizationFailed');
        const said = `to perform action 'Microsoft.MachineLearningServices/workspaces/${action}' over scope '${dev}${on}' or`;
        assert.ok(String(reply.json.error.message).includes(said), reply.text);
      }
    });

    it('describes its cloud in the form of each year', async () => {
      const cloud = async (version: string) => (await call(running, 'GET', `/metadata/endpoints?api-version=${version}`)).json;
      assert.equal((await cloud('2019-05-01'))[0].name, 'Local');
      assert.equal((await cloud('2022-09-01')).authentication.identityProvider, 'AAD');
      assert.deepEqual(
        Object.keys((await cloud('2015-01-01')) as object).join(),
        'galleryEndpoint,graphEndpoint,portalEndpoint,authentication',
      );
    });
  });

  describe('bad input', () => {
    const versions = () => call(running, 'GET', `${dev}/environments?${api}&listViewType=All`, { token });
    it('is refused with a code and what is wrong, and nothing is written', async () => {
      const before = (await versions()).text;
      const put = async (path: string, body: unknown) => await call(running, 'PUT', `${dev}${path}?${api}`, { token, body });
      assert.equal(
        (
          await call(running, 'PUT', `${dev}/environments/e/versions/1?${api}`, {
            token,
            body: Buffer.from('{"properties": '),
            headers: { 'content-type': 'application/json' },
          })
        ).json.error.code,
        'InvalidRequestContent',
      );
      const unknown = await put('/environments/e/versions/1', { properties: { image: 'x', imaje: 'y' } });
      assert.equal(unknown.status, 400);
      assert.match(
        unknown.json.error.details[0].message,
        /^Could not find member 'imaje' on object of type 'EnvironmentVersion'\. Path 'properties\.imaje', line 1, position \d+\.$/,
      );
      assert.equal((await put('/environments/..%2F..%2Fe/versions/1', { properties: { image: 'x' } })).status, 400);
      assert.equal((await put('/environments/e/versions/1', { properties: { image: 'x', condaFile: 'a: [' } })).status, 400);
      assert.equal((await put('/environments/e/versions/1', {})).status, 400);
      assert.equal(
        (await put('/models/m/versions/one', { properties: { modelUri: 'azureml://datastores/workspaceblobstore/paths/x' } }))
          .status,
        400,
      );
      assert.equal(
        (
          await put('/models/m/versions/1', {
            properties: { modelUri: 'azureml://datastores/workspaceblobstore/paths/a/../../b' },
          })
        ).status,
        400,
      );
      assert.equal(
        (await put('/models/m/versions/1', { properties: { modelUri: 'azureml://datastores/workspaceblobstore/paths/none' } }))
          .json.error.details[0].code,
        'ModelAssetPathNotFoundInStorage',
      );
      assert.equal((await put('/components/c/versions/1', { properties: { componentSpec: 'text' } })).status, 400);
      assert.equal((await versions()).text, before);
    });

    it('a body of 100 MB, one nested too deep and an address that is none are answered as such', async () => {
      const big = await call(running, 'PUT', `${dev}/environments/e/versions/1?${api}`, {
        token,
        body: Buffer.alloc(100 * 1024 * 1024, 32),
        headers: { 'content-type': 'application/json' },
      });
      assert.deepEqual([big.status, big.json.error.code], [413, 'RequestContentTooLarge']);
      const deep = await call(running, 'PUT', `${dev}/environments/e/versions/1?${api}`, {
        token,
        body: `{"properties":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`,
        headers: { 'content-type': 'application/json' },
      });
      assert.deepEqual([deep.status, deep.json.error.code], [400, 'InvalidRequestContent']);
      assert.match(deep.json.error.message, /MaxDepth/);
      const wrong = await call(running, 'GET', `${dev}/%zz`, { token });
      assert.deepEqual([wrong.status, wrong.json.error.code], [400, 'InvalidRequestUri']);
      const loop = { properties: { image: 'x', condaFile: 'a: &a [*a]\n' } };
      const circular = await call(running, 'PUT', `${dev}/environments/e/versions/1?${api}`, { token, body: loop });
      assert.equal(circular.status, 400, circular.text);
      const away = { properties: { dataType: 'uri_file', dataUri: 'azureml://datastores/workspaceblobstore/paths/../../x' } };
      assert.equal((await call(running, 'PUT', `${dev}/data/d/versions/1?${api}`, { token, body: away })).status, 400);
    });

    it('what is not built says 501 and its name', async () => {
      const reply = await call(running, 'PUT', `${dev}/onlineEndpoints/e?${api}`, { token, body: { properties: {} } });
      assert.equal(reply.status, 501);
      assert.match(reply.json.error.message, /OnlineEndpoints_CreateOrUpdate/);
      assert.equal((await call(running, 'GET', `${dev}/whatever/x?${api}`, { token })).status, 501);
    });
  });

  describe('faults', () => {
    const set = async (faults: string): Promise<Reply> => await call(running, 'PUT', '/_amlops', { token, body: { faults } });
    afterEach(async () => assert.equal((await set('')).status, 200));

    it('are the same for the same seed', async () => {
      const draw = async (seed: number): Promise<string[]> => {
        await set(`seed=${seed},rate=0.5,kinds=429+503,retry-after=7`);
        const seen: string[] = [];
        for (let i = 0; i < 12; i += 1) {
          const reply = await call(running, 'GET', `${dev}/computes?${api}`, { token });
          seen.push(String(reply.status));
          if (reply.status !== 200) assert.equal(reply.headers['retry-after'], '7');
        }
        return seen;
      };
      const first = await draw(7);
      assert.ok(new Set(first).size > 1, first.join());
      assert.deepEqual(await draw(7), first);
      assert.notDeepEqual(await draw(8), first);
    });

    it('a reset after the commit loses the answer, not the write', async () => {
      await set('rate=1,burst=1,kinds=reset-after,path=environments');
      const at = `${dev}/environments/reset-after/versions/1?${api}`;
      await assert.rejects(call(running, 'PUT', at, { token, body: { properties: { image: 'x' } } }));
      await set('rate=1,burst=1,kinds=reset-before,path=environments');
      await assert.rejects(
        call(running, 'PUT', at.replace('reset-after', 'reset-before'), { token, body: { properties: { image: 'x' } } }),
      );
      await set('');
      assert.equal((await call(running, 'GET', at, { token })).status, 200);
      assert.equal((await call(running, 'GET', at.replace('reset-after', 'reset-before'), { token })).status, 404);
    });

    it('an expired token, a truncated and a slow body', async () => {
      await set('rate=1,burst=1,kinds=expired,path=computes');
      const expired = await call(running, 'GET', `${dev}/computes?${api}`, { token });
      assert.equal(`${expired.status} ${expired.json.error.code}`, '401 ExpiredAuthenticationToken');
      await set('rate=1,burst=1,kinds=truncate,path=computes');
      await assert.rejects(call(running, 'GET', `${dev}/computes?${api}`, { token }));
      await set('rate=1,burst=1,kinds=slow,path=computes');
      assert.equal((await call(running, 'GET', `${dev}/computes?${api}`, { token })).json.value[0].name, 'cpu-cluster');
    });

    it('an unknown specification is refused', async () => {
      for (const bad of ['rate=2', 'kinds=teapot', 'speed=1', 'path=(', 'retry-after=0.5'])
        assert.equal((await set(bad)).status, 400, bad);
    });
  });

  it('a registry does not take the same version twice', async () => {
    assert.equal((await model(running, token, 'shared-model', '1')).status, 201);
    const publish = async () =>
      await call(running, 'POST', `${dev}/models/shared-model/versions/1/publish?${api}`, {
        token,
        body: { registryName: running.connection.registry, destinationName: 'shared-model', destinationVersion: '1' },
      });
    const first = await publish();
    assert.equal(first.status, 202, first.text);
    for (let status = 202; status === 202;)
      status = (await call(running, 'GET', String(first.headers['location']), { token })).status;
    assert.equal((await publish()).status, 409);
  });

  it('shows everything again after a restart', async () => {
    assert.equal((await model(running, token, 'kept', '1')).status, 201);
    const before = await call(running, 'GET', `${dev}/models/kept/versions/1?${api}`, { token });
    const { state } = running;
    await running.stop(true);
    running = await startUp({ state });
    token = await tokenOf(running.connection);
    const after = await call(running, 'GET', `${dev}/models/kept/versions/1?${api}`, { token });
    assert.deepEqual(after.json, before.json);
    const reference = await call(running, 'POST', `${dev}/models/kept/versions/1/startPendingUpload?${api}`, { token, body: {} });
    assert.equal(reference.status, 200);
    assert.ok(readdirSync(state).includes('connection.json'));
  });
});

describe('embedded workspace with --storage identity', () => {
  let running: Running;
  let token: string;
  let blob: string;
  before(async () => {
    running = await startUp({ args: ['--storage', 'identity', '--workspaces', 'dev,test,prod,far@westeurope'] });
    token = await tokenOf(running.connection);
    const store = await call(running, 'GET', `${armId(running.connection)}/datastores/workspaceblobstore?${api}`, { token });
    blob = `https://${store.json.properties.accountName}.blob.${running.connection.metadata.storage_endpoint}/${store.json.properties.containerName}/a.txt`;
  });
  after(async () => await running.stop());

  it('hands out no keys', async () => {
    const reply = await call(running, 'POST', `${armId(running.connection)}/datastores/workspaceblobstore/listSecrets?${api}`, {
      token,
    });
    assert.ok(reply.status >= 400 && reply.status < 500, reply.text);
    assert.equal(reply.json.secretsType, undefined);
  });

  it('takes Entra tokens of principals with a blob role, and no others', async () => {
    const as = async (name: string, method: 'GET' | 'PUT') =>
      await send(running.connection, method, blob, {
        token: await tokenOf(running.connection, name, 'https://storage.azure.com/.default'),
        headers: { 'x-ms-version': '2022-11-02', ...(method === 'PUT' ? { 'x-ms-blob-type': 'BlockBlob' } : {}) },
        ...(method === 'PUT' ? { body: Buffer.from('x') } : {}),
      });
    assert.equal((await as('arm-dev', 'PUT')).status, 201);
    assert.equal((await as('arm-dev', 'GET')).text, 'x');
    assert.equal((await as('arm-dev-read', 'GET')).text, 'x');
    for (const [name, method] of [
      ['arm-dev-read', 'PUT'],
      ['arm-prod', 'GET'],
    ] as const) {
      const reply = await as(name, method);
      assert.equal(`${reply.status} ${String(reply.headers['x-ms-error-code'])}`, '403 AuthorizationPermissionMismatch');
    }
    const forged = await tokenOf(running.connection);
    assert.equal(
      (await send(running.connection, 'GET', blob, { token: forged, headers: { 'x-ms-version': '2022-11-02' } })).status,
      401,
    );
  });

  it('refuses account keys and account SAS, and takes a user-delegation SAS', async () => {
    const get = async (url: string, headers: Record<string, string> = {}) =>
      await send(running.connection, 'GET', url, { headers: { 'x-ms-version': '2022-11-02', ...headers } });
    for (const reply of [
      await get(blob, { authorization: 'SharedKey a:b' }),
      await get(`${blob}?sv=2022-11-02&ss=b&srt=o&sp=r&se=2099-01-01T00:00:00Z&sig=x`),
    ])
      assert.equal(`${reply.status} ${String(reply.headers['x-ms-error-code'])}`, '403 KeyBasedAuthenticationNotPermitted');
    // Upload slots hand out delegation SAS.
    assert.equal((await model(running, token, 'm', '1')).status, 201);
  });

  it('a registry takes no version of a workspace outside its regions', async () => {
    const far = await tokenOf(running.connection, 'arm-far');
    assert.equal((await model(running, far, 'm', '1', 'far')).status, 201);
    const reply = await call(running, 'POST', `${armId(running.connection, 'far')}/models/m/versions/1/publish?${api}`, {
      token: far,
      body: { registryName: running.connection.registry, destinationName: 'm', destinationVersion: '1' },
    });
    assert.equal(reply.status, 400);
    assert.match(reply.json.error.message, /region westeurope is not one of the regions of registry/);
  });

  it('keeps its mode when it is started again', async () => {
    const { state } = running;
    await running.stop(true);
    running = await startUp({ state });
    token = await tokenOf(running.connection);
    const reply = await call(running, 'POST', `${armId(running.connection)}/listStorageAccountKeys?${api}`, { token });
    assert.equal(reply.status, 403, reply.text);
  });
});
