/** Workspaces and registries that requests make and delete: what they are worth, who may, what a restart shows, what is refused. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AzureMachineLearningWorkspaces } from '@azure/arm-machinelearning';
import { armClient, namesOf } from '../../support/arm-client.js';
import { send, startUp, tokenOf, type Reply, type Running } from '../../support/workspace.js';

const version = 'api-version=2024-10-01';
const wait = { updateIntervalInMs: 10 };

describe('workspaces and registries over ARM', function () {
  let up: Running;
  let token: string;
  let client: AzureMachineLearningWorkspaces;
  let group: string;
  let scope: string;

  const connect = async (): Promise<void> => {
    token = await tokenOf(up.connection);
    client = armClient(up.connection);
  };
  const call = async (method: string, path: string, body?: unknown, as = token): Promise<Reply> =>
    await send(up.connection, method, `${up.connection.resourceManager}${scope}/${path}?${version}`, {
      token: as,
      ...(body === undefined ? {} : { body }),
    });
  /** Polls an operation to its end; gives its last state. */
  const ended = async (reply: Reply): Promise<string> => {
    for (;;) {
      const state = await send(up.connection, 'GET', String(reply.headers['azure-asyncoperation']), { token });
      if (state.json.status !== 'InProgress') return String(state.json.status);
      await sleep(50);
    }
  };
  const restart = async (): Promise<void> => {
    await up.stop(true);
    up = await startUp({ state: up.state });
    await connect();
  };
  const names = async (): Promise<string[]> => await namesOf(client.workspaces.listByResourceGroup(group));

  before(async () => {
    up = await startUp();
    group = up.connection.resourceGroup;
    scope = `/subscriptions/${up.connection.subscriptionId}/resourceGroups/${group}/providers/Microsoft.MachineLearningServices`;
    await connect();
  });
  after(async () => await up.stop());

  it('makes a workspace with storage of its own that a restart shows again', async () => {
    const asked = { location: 'East US', friendlyName: 'Fresh', description: 'text', tags: { a: 'b' } };
    const made = await client.workspaces.beginCreateOrUpdateAndWait(group, 'fresh', asked, wait);
    assert.deepEqual(
      [made.provisioningState, made.location, made.friendlyName, made.tags],
      ['Succeeded', 'eastus', 'Fresh', { a: 'b' }],
    );
    assert.equal(made.keyVault, null, 'nothing stands behind a key vault');
    const store = (await client.datastores.get(group, 'fresh', 'workspaceblobstore')).properties as unknown as Record<
      string,
      string
    >;
    assert.ok(made.storageAccount?.endsWith(store['accountName'] ?? '?'));
    const blob = async (method: string) =>
      await send(
        up.connection,
        method,
        `https://${store['accountName']}.blob.${up.connection.metadata.storage_endpoint}/${store['containerName']}/a/b.txt`,
        {
          token: await tokenOf(up.connection, undefined, 'https://storage.azure.com/.default'),
          headers: { 'x-ms-version': '2022-11-02', ...(method === 'PUT' ? { 'x-ms-blob-type': 'BlockBlob' } : {}) },
          ...(method === 'PUT' ? { body: Buffer.from('x') } : {}),
        },
      );
    assert.equal((await blob('PUT')).status, 201);
    await client.modelVersions.createOrUpdate(group, 'fresh', 'm', '1', {
      properties: { modelType: 'custom_model', modelUri: 'azureml://datastores/workspaceblobstore/paths/a/b.txt' },
    });
    const changed = await client.workspaces.beginCreateOrUpdateAndWait(
      group,
      'fresh',
      { location: 'eastus', description: 'new' },
      wait,
    );
    assert.deepEqual([changed.description, changed.tags], ['new', { a: 'b' }]);
    await restart();
    assert.deepEqual(await names(), ['dev', 'fresh']);
    assert.equal((await client.workspaces.get(group, 'fresh')).description, 'new');
    assert.equal((await client.modelVersions.get(group, 'fresh', 'm', '1')).properties?.jobName ?? null, null);
    assert.equal((await blob('GET')).text, 'x');
    const entry = up.connection.workspaces.find(({ name }) => name === 'fresh');
    assert.equal(entry?.clientId, up.connection.clientId, 'who made it, uses it');
  });

  it('ends the jobs of a workspace that is deleted, and makes an empty one under its name', async () => {
    await client.jobs.createOrUpdate(group, 'fresh', 'long', {
      properties: { jobType: 'Command', command: 'sleep 300', environmentId: 'azureml:AzureML-sklearn-1.5@latest' },
    });
    const gone = await call('DELETE', 'workspaces/fresh');
    assert.equal(gone.status, 202);
    assert.equal((await call('GET', 'workspaces/fresh/jobs/long')).json.error.code, 'ParentResourceNotFound');
    assert.equal(await ended(gone), 'Succeeded');
    assert.equal((await send(up.connection, 'GET', String(gone.headers.location), { token })).status, 200);
    assert.equal((await call('DELETE', 'workspaces/fresh')).status, 204);
    await client.workspaces.beginCreateOrUpdateAndWait(group, 'fresh', { location: 'eastus' }, wait);
    assert.equal((await call('GET', 'workspaces/fresh/models/m')).status, 404);
    assert.equal((await call('GET', 'workspaces/fresh/jobs/long')).status, 404);
    await client.workspaces.beginDeleteAndWait(group, 'fresh', { ...wait });
  });

  it('refuses what it cannot be, and writes nothing then', async () => {
    const { storageAccount = '' } = await client.workspaces.get(group, 'dev');
    const [reader, other] = [await tokenOf(up.connection, 'arm-dev-read'), await tokenOf(up.connection, 'arm-test')];
    const plain = { location: 'eastus' };
    const cases: [number, string, string, unknown, string?][] = [
      [403, 'AuthorizationFailed', 'w1x', plain, reader],
      [403, 'AuthorizationFailed', 'w1x', plain, other],
      [400, 'LocationRequired', 'w1x', {}],
      [400, 'LocationNotAvailableForResourceType', 'w1x', { location: '../x' }],
      [400, 'InvalidRequestContent', 'w1x', { ...plain, extra: 1 }],
      [400, 'InvalidRequestContent', 'w1x', '{"location":'],
      [400, 'UserError', 'w1x', { ...plain, properties: { nothingKnown: 1 } }],
      [400, 'UserError', 'w1x', { ...plain, properties: { friendlyName: {} } }],
      [400, 'UserError', 'w1x', { ...plain, tags: { a: 1 } }],
      [400, 'UserError', 'w1', plain],
      [400, 'UserError', `w${'x'.repeat(33)}`, plain],
      [400, 'UserError', '%2e%2e%2fw1x', plain],
      [400, 'LinkedInvalidPropertyId', 'w1x', { ...plain, properties: { storageAccount: 'mine' } }],
      [
        403,
        'LinkedAuthorizationFailed',
        'w1x',
        { ...plain, properties: { storageAccount: storageAccount.replace(group, 'rg-test') } },
      ],
      [501, 'NotImplemented', 'w1x', { ...plain, kind: 'Hub' }],
      [501, 'NotImplemented', 'w1x', { ...plain, properties: { publicNetworkAccess: 'Disabled' } }],
      [501, 'NotImplemented', 'w1x', { ...plain, properties: { managedNetwork: { isolationMode: 'AllowInternetOutbound' } } }],
      [501, 'NotImplemented', 'w1x', { ...plain, identity: { type: 'UserAssigned' } }],
      [409, 'InvalidResourceLocation', 'dev', { location: 'westus' }],
    ];
    const before = await names();
    for (const [status, code, name, body, as] of cases) {
      const reply = await call('PUT', `workspaces/${name}`, body, as);
      assert.deepEqual([reply.status, reply.json?.error?.code], [status, code], `${name} ${JSON.stringify(body)}: ${reply.text}`);
    }
    const accounts = JSON.stringify(
      (await call('GET', 'workspaces')).json.value.map((ws: { properties: object }) => ws.properties),
    );
    assert.deepEqual(await names(), before);
    assert.equal(accounts.includes('w1x'), false);
    assert.equal((await call('DELETE', 'workspaces/dev', undefined, reader)).status, 403);
    await assert.rejects(client.workspaces.beginDeleteAndWait('nope', 'dev', wait), { code: 'ResourceGroupNotFound' });
  });

  it('shares a storage account when asked to, and keeps keys from an identity workspace', async () => {
    const { storageAccount = '' } = await client.workspaces.get(group, 'dev');
    const shared = await client.workspaces.beginCreateOrUpdateAndWait(
      group,
      'beside',
      { location: 'eastus', storageAccount },
      wait,
    );
    assert.equal(shared.storageAccount, storageAccount);
    const own = await call('PUT', 'workspaces/nokeys', {
      location: 'eastus',
      properties: { systemDatastoresAuthMode: 'Identity' },
    });
    assert.equal(own.status, 400, 'a later version knows this member');
    const url = `${up.connection.resourceManager}${scope}/workspaces/nokeys`;
    const body = { location: 'eastus', properties: { systemDatastoresAuthMode: 'Identity' } };
    const later = await send(up.connection, 'PUT', `${url}?api-version=2026-05-01`, { token, body });
    assert.equal(later.status, 201, later.text);
    assert.equal((await call('POST', 'workspaces/nokeys/datastores/workspaceblobstore/listSecrets')).status, 400);
    for (const name of ['beside', 'nokeys']) assert.equal(await ended(await call('DELETE', `workspaces/${name}`)), 'Succeeded');
  });

  it('makes, changes and deletes a registry', async () => {
    const region = (location: string) => ({
      location,
      storageAccountDetails: [{ systemCreatedStorageAccount: { storageAccountType: 'Standard_LRS' } }],
      acrDetails: [{ systemCreatedAcrAccount: { acrAccountSku: 'Premium' } }],
    });
    const body = { location: 'eastus', tags: { a: 'b' }, properties: { regionDetails: [region('eastus'), region('westus')] } };
    const made = await call('PUT', 'registries/own', body);
    assert.equal(made.status, 202);
    assert.equal(await ended(made), 'Succeeded');
    const environment = { properties: { image: 'python:3.11' } };
    assert.equal((await call('PUT', 'registries/own/environments/e/versions/1', environment)).status, 201);
    await restart();
    const regions = async () =>
      (await call('GET', 'registries/own')).json.properties.regionDetails.map((entry: { location: string }) => entry.location);
    assert.deepEqual(await regions(), ['eastus', 'westus']);
    assert.equal((await call('GET', 'registries/own/environments/e/versions/1')).status, 200);
    assert.equal((await call('PATCH', 'registries/own', { tags: { c: 'd' } })).json.tags.c, 'd');
    const less = await call('POST', 'registries/own/removeRegions', {
      location: 'eastus',
      properties: { regionDetails: [region('westus')] },
    });
    assert.equal(await ended(less), 'Succeeded');
    assert.deepEqual(await regions(), ['eastus']);
    const other = await tokenOf(up.connection, 'arm-test');
    const refusals: [number, string, string, unknown, string?][] = [
      [400, 'PUT', 'own2', { location: 'eastus', properties: { regionDetails: [] } }],
      [400, 'PUT', 'own2', { location: 'eastus', properties: { regionDetails: [region('westus')] } }],
      [400, 'PUT', 'own2', { location: 'eastus', properties: { ...body.properties, nothingKnown: 1 } }],
      [409, 'PUT', 'shared', body],
      [403, 'PUT', 'own2', body, other],
      [403, 'DELETE', 'own', undefined, other],
      [501, 'PUT', 'own2', { ...body, properties: { ...body.properties, publicNetworkAccess: 'Disabled' } }],
      [404, 'PATCH', 'own2', { tags: {} }],
      [204, 'DELETE', 'own2', undefined],
    ];
    for (const [status, method, name, sent, as] of refusals) {
      const reply = await call(method, `registries/${name}`, sent, as);
      assert.equal(reply.status, status, `${method} ${name}: ${reply.text}`);
    }
    assert.equal(await ended(await call('DELETE', 'registries/own')), 'Succeeded');
    assert.equal((await call('GET', 'registries/own')).status, 404);
  });

  it('takes the template of azure-ai-ml and no other', async () => {
    const path = `/subscriptions/${up.connection.subscriptionId}/resourcegroups/${group}/providers/Microsoft.Resources/deployments/d1`;
    const url = (suffix = '') => `${up.connection.resourceManager}${path}${suffix}?api-version=2020-06-01`;
    const template = {
      parameters: { workspaceName: {}, location: {}, storageAccountOption: { defaultValue: 'new' }, storageAccountName: {} },
      resources: [
        {
          type: 'Microsoft.MachineLearningServices/workspaces',
          apiVersion: '2023-08-01-preview',
          condition: "[variables('enablePE')]",
          name: "[parameters('workspaceName')]",
        },
      ],
    };
    const parameters = {
      workspaceName: { value: 'plain' },
      location: { value: 'eastus' },
      storageAccountName: { value: 'plainstorage1' },
    };
    const deploy = async (properties: object) => await send(up.connection, 'PUT', url(), { token, body: { properties } });
    const other = { ...template, resources: [{ ...template.resources[0], name: 'fixed' }] };
    assert.equal((await deploy({ mode: 'Incremental', template: other, parameters })).status, 501);
    assert.equal((await deploy({ mode: 'Complete', template, parameters })).status, 501);
    assert.equal(
      (await deploy({ mode: 'Incremental', template, parameters: { ...parameters, more: { value: 1 } } })).status,
      400,
    );
    assert.equal((await send(up.connection, 'GET', url(), { token })).json.error.code, 'DeploymentNotFound');
    const made = await deploy({ mode: 'Incremental', template, parameters });
    assert.equal(made.status, 201, made.text);
    assert.equal(await ended(made), 'Succeeded');
    const listed = await send(up.connection, 'GET', url('/operations'), { token });
    assert.deepEqual(
      listed.json.value.map(
        (entry: { properties: { targetResource: { resourceName: string } } }) => entry.properties.targetResource.resourceName,
      ),
      ['plainstorage1', 'plain'],
    );
    assert.match((await client.workspaces.get(group, 'plain')).storageAccount ?? '', /plainstorage1$/);
  });

  it('keeps a deleted workspace away, also one that was named at the start', async () => {
    await client.workspaces.beginDeleteAndWait(group, 'dev', wait);
    await restart();
    const { connection } = up;
    assert.deepEqual(
      connection.workspaces.map(({ name }) => name),
      ['test', 'prod', 'plain'],
    );
    assert.equal(connection.resourceGroup, 'rg-test', 'the first workspace is another one now');
  });
});
