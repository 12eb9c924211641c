/** The unmodified @azure/arm-machinelearning against the embedded workspace: list, get, create, delete of each operation group that is claimed. */
import assert from 'node:assert/strict';
import type { AmlCompute, AzureMachineLearningWorkspaces, ComputeInstance } from '@azure/arm-machinelearning';
import { armClient, namesOf } from '../../support/arm-client.js';
import { armId, send, startUp, tokenOf, type Running } from '../../support/workspace.js';

describe('@azure/arm-machinelearning', () => {
  let running: Running;
  let client: AzureMachineLearningWorkspaces;
  let group: string;
  let ws: string;
  before(async () => {
    running = await startUp();
    const { connection } = running;
    const [first] = connection.workspaces;
    assert.ok(first);
    group = first.resourceGroup;
    ws = first.name;
    client = armClient(connection);
  });
  after(async () => await running.stop());

  /** A file in the workspace's storage; gives its datastore URI. */
  async function uploaded(path: string): Promise<string> {
    const { connection } = running;
    const store = await client.datastores.get(group, ws, 'workspaceblobstore');
    const blob = store.properties as { accountName?: string; containerName?: string };
    const url = `https://${blob.accountName}.blob.${connection.metadata.storage_endpoint}/${blob.containerName}/${path}`;
    const put = await send(connection, 'PUT', url, {
      token: await tokenOf(connection, undefined, 'https://storage.azure.com/.default'),
      headers: { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2022-11-02' },
      body: Buffer.from('x'),
    });
    assert.equal(put.status, 201, put.text);
    return `azureml://datastores/workspaceblobstore/paths/${path}`;
  }

  it('workspaces', async () => {
    assert.deepEqual(await namesOf(client.workspaces.listBySubscription()), ['dev']);
    assert.deepEqual(await namesOf(client.workspaces.listByResourceGroup(group)), ['dev']);
    const found = await client.workspaces.get(group, ws);
    assert.match(found.discoveryUrl ?? '', /^https:\/\/localhost:\d+\/discovery$/);
    assert.ok((await client.workspaces.listKeys(group, ws)).userStorageKey);
    await assert.rejects(client.workspaces.get(group, 'nope'), { code: 'ResourceNotFound', statusCode: 404 });
    const wait = { updateIntervalInMs: 10 };
    const changed = await client.workspaces.beginUpdateAndWait(group, ws, { description: 'text', tags: { a: 'b' } }, wait);
    assert.deepEqual([changed.description, changed.tags], ['text', { a: 'b' }]);
    assert.deepEqual((await client.workspaces.beginDiagnoseAndWait(group, ws, wait)).value?.otherResults, []);
    await client.workspaces.beginResyncKeysAndWait(group, ws, wait);
  });

  it('compute', async () => {
    assert.deepEqual(await namesOf(client.computeOperations.list(group, ws)), ['cpu-cluster']);
    const made = await client.computeOperations.beginCreateOrUpdateAndWait(
      group,
      ws,
      'small',
      {
        location: 'eastus',
        properties: { computeType: 'AmlCompute', properties: { vmSize: 'S', scaleSettings: { maxNodeCount: 1 } } },
      },
      { updateIntervalInMs: 10 },
    );
    assert.equal(made.properties?.provisioningState, 'Succeeded');
    assert.equal((await client.computeOperations.get(group, ws, 'small')).properties?.computeType, 'AmlCompute');
    await client.computeOperations.beginDeleteAndWait(group, ws, 'small', 'Delete', { updateIntervalInMs: 10 });
    await assert.rejects(client.computeOperations.get(group, ws, 'small'), { statusCode: 404 });
    const wait = { updateIntervalInMs: 10 };
    const instance = { location: 'eastus', properties: { computeType: 'ComputeInstance' as const, properties: { vmSize: 'S' } } };
    await client.computeOperations.beginCreateOrUpdateAndWait(group, ws, 'ci-1', instance, wait);
    const state = async () => {
      const { properties } = await client.computeOperations.get(group, ws, 'ci-1');
      return (properties as ComputeInstance | undefined)?.properties?.state;
    };
    assert.equal(await state(), 'Running');
    await client.computeOperations.beginStopAndWait(group, ws, 'ci-1', wait);
    assert.equal(await state(), 'Stopped');
    await client.computeOperations.beginStartAndWait(group, ws, 'ci-1', wait);
    assert.equal(await state(), 'Running');
    // The cluster of the first start is one like any other: changed, deleted, made again.
    const fewer = { properties: { scaleSettings: { maxNodeCount: 2 } } };
    const less = await client.computeOperations.beginUpdateAndWait(group, ws, 'cpu-cluster', fewer, wait);
    assert.equal((less.properties as AmlCompute).properties?.scaleSettings?.maxNodeCount, 2);
    await client.computeOperations.beginDeleteAndWait(group, ws, 'cpu-cluster', 'Delete', wait);
    await assert.rejects(client.computeOperations.get(group, ws, 'cpu-cluster'), { statusCode: 404 });
    assert.deepEqual(await namesOf(client.computeOperations.list(group, ws)), ['ci-1']);
    const again = { location: 'eastus', properties: { computeType: 'AmlCompute' as const, properties: { vmSize: 'S' } } };
    await client.computeOperations.beginCreateOrUpdateAndWait(group, ws, 'cpu-cluster', again, wait);
    assert.deepEqual((await namesOf(client.computeOperations.list(group, ws))).sort(), ['ci-1', 'cpu-cluster']);
  });

  it('datastores', async () => {
    assert.ok((await namesOf(client.datastores.list(group, ws))).includes('workspaceartifactstore'));
    assert.deepEqual(await namesOf(client.datastores.list(group, ws, { isDefault: true })), ['workspaceblobstore']);
    const secrets = (await client.datastores.listSecrets(group, ws, 'workspaceblobstore')) as {
      secretsType: string;
      key?: string;
    };
    assert.equal(secrets.secretsType, 'AccountKey');
    const own = {
      properties: {
        datastoreType: 'AzureBlob',
        accountName: 'acct',
        containerName: 'c',
        credentials: { credentialsType: 'Sas', secrets: { secretsType: 'Sas', sasToken: '?sv=1' } },
      },
    } as const;
    await client.datastores.createOrUpdate(group, ws, 'own', own);
    const read = await client.datastores.get(group, ws, 'own');
    assert.equal(JSON.stringify(read).includes('sasToken'), false, 'secrets are hidden');
    assert.equal(((await client.datastores.listSecrets(group, ws, 'own')) as { sasToken?: string }).sasToken, '?sv=1');
    await client.datastores.delete(group, ws, 'own');
    await assert.rejects(client.datastores.get(group, ws, 'own'), { statusCode: 404 });
  });

  const versions = [
    { kind: 'code', containers: 'codeContainers', versions: 'codeVersions' },
    { kind: 'component', containers: 'componentContainers', versions: 'componentVersions' },
    { kind: 'data', containers: 'dataContainers', versions: 'dataVersions' },
    { kind: 'environment', containers: 'environmentContainers', versions: 'environmentVersions' },
    { kind: 'model', containers: 'modelContainers', versions: 'modelVersions' },
  ] as const;
  for (const { kind, ...groups } of versions)
    it(`${groups.containers} and ${groups.versions}`, async () => {
      const uri = await uploaded(`arm/${kind}/file.txt`);
      const bodies: Record<string, object> = {
        code: { codeUri: `https://x.blob.core.localhost/c/arm` },
        component: {
          componentSpec: { name: 'made', version: '1', type: 'command', command: 'echo', environment: 'azureml:e:1' },
        },
        data: { dataType: 'uri_file', dataUri: uri },
        environment: { image: 'python:3.11', condaFile: 'dependencies: [pip]' },
        model: { modelType: 'custom_model', modelUri: uri },
      };
      // One shape for five groups of the same operations.
      const all = client[groups.versions];
      const containers = client[groups.containers];
      const body = (properties: object) => ({ properties }) as never;
      for (const version of ['1', '2'])
        await all.createOrUpdate(group, ws, 'made', version, body({ ...bodies[kind], tags: { a: version } }));
      assert.deepEqual((await namesOf(all.list(group, ws, 'made'))).sort(), ['1', '2']);
      assert.deepEqual(await namesOf(all.list(group, ws, 'made', { orderBy: 'createdtime desc', top: 1 })), ['2']);
      const got = await all.get(group, ws, 'made', '1');
      assert.equal(got.properties?.tags?.['a'], '1');
      assert.equal(got.id, `${armId(running.connection)}/${kind === 'data' ? 'data' : `${kind}s`}/made/versions/1`);
      const container = await containers.get(group, ws, 'made');
      assert.equal(`${container.properties?.latestVersion} ${container.properties?.nextVersion}`, '2 3');
      assert.ok((await namesOf(containers.list(group, ws))).includes('made'));
      await containers.createOrUpdate(
        group,
        ws,
        'made',
        body({
          description: 'kept',
          isArchived: true,
          ...(kind === 'data' ? { dataType: 'uri_file' } : {}),
        }),
      );
      assert.equal((await namesOf(containers.list(group, ws))).includes('made'), false, 'archived');
      await all.delete(group, ws, 'made', '1');
      await assert.rejects(all.get(group, ws, 'made', '1'), { statusCode: 404 });
    });

  it('pages through more than one page', async () => {
    for (let n = 0; n < 45; n += 1)
      await client.environmentVersions.createOrUpdate(group, ws, `page-${n}`, '1', { properties: { image: 'python:3.11' } });
    const found = (await namesOf(client.environmentContainers.list(group, ws))).filter((name) => name.startsWith('page-'));
    assert.equal(new Set(found).size, 45);
  });

  it('schedules', async () => {
    const made = await client.schedules.beginCreateOrUpdateAndWait(
      group,
      ws,
      'nightly',
      {
        properties: {
          trigger: { triggerType: 'Cron', expression: '0 2 * * *' },
          action: { actionType: 'CreateJob', jobDefinition: { jobType: 'Pipeline', jobs: {} } },
        },
      },
      { updateIntervalInMs: 10 },
    );
    assert.equal(made.properties?.isEnabled, true);
    assert.deepEqual(await namesOf(client.schedules.list(group, ws)), ['nightly']);
    await client.schedules.beginDeleteAndWait(group, ws, 'nightly', { updateIntervalInMs: 10 });
    await assert.rejects(client.schedules.get(group, ws, 'nightly'), { statusCode: 404 });
  });

  it('jobs', async () => {
    const command = {
      jobType: 'Command',
      command: 'sleep 30',
      environmentId: 'azureml:AzureML-sklearn-1.5@latest',
      computeId: `${armId(running.connection)}/computes/cpu-cluster`,
    } as const;
    const made = await client.jobs.createOrUpdate(group, ws, 'arm-job', { properties: command });
    assert.equal(made.name, 'arm-job');
    assert.ok((await namesOf(client.jobs.list(group, ws))).includes('arm-job'));
    await client.jobs.beginCancelAndWait(group, ws, 'arm-job', { updateIntervalInMs: 50 });
    assert.equal((await client.jobs.get(group, ws, 'arm-job')).properties.status, 'Canceled');
    await client.jobs.beginDeleteAndWait(group, ws, 'arm-job', { updateIntervalInMs: 50 });
    await assert.rejects(client.jobs.get(group, ws, 'arm-job'), { statusCode: 404 });
  });

  it('endpoints say what is not built', async () => {
    await assert.rejects(
      client.onlineEndpoints.beginCreateOrUpdateAndWait(group, ws, 'e', { location: 'eastus', properties: { authMode: 'Key' } }),
      { statusCode: 501 },
    );
    await assert.rejects(client.onlineEndpoints.get(group, ws, 'e'), { code: 'ResourceNotFound' });
  });
});
