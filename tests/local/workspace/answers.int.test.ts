/**
 * What the service makes of resources, one small case a rule (azure-ml-observed §0 to §9 and the public recordings of the SDK's own tests):
 * members by api-version, addresses, states, order of lists, words of refusals.
 */
import assert from 'node:assert/strict';
import { armId, send, startUp, tokenOf, type Reply, type Running } from '../../support/workspace.js';

describe('answers of the embedded workspace', () => {
  let running: Running;
  let token: string;
  let scope: string;
  let base: string;
  before(async () => {
    running = await startUp();
    token = await tokenOf(running.connection);
    scope = armId(running.connection);
    base = running.connection.resourceManager;
  });
  after(async () => await running.stop());

  async function call(method: string, path: string, body?: unknown): Promise<Reply> {
    const url = path.startsWith('https') ? path : `${base}${path.startsWith('/sub') ? '' : scope}${path}`;
    return await send(running.connection, method, url, { token, ...(body === undefined ? {} : { body }) });
  }
  const put = async (path: string, properties: unknown, version = '2023-04-01-preview'): Promise<Reply> => {
    const reply = await call('PUT', `${path}${path.includes('?') ? '&' : '?'}api-version=${version}`, { properties });
    assert.ok(reply.status < 300, `${path}: ${reply.status} ${reply.text}`);
    return reply;
  };
  const get = async (path: string, version = '2023-04-01-preview') =>
    await call('GET', `${path}${path.includes('?') ? '&' : '?'}api-version=${version}`);
  const members = (reply: Reply): string =>
    Object.keys(reply.json.properties as object)
      .sort()
      .join(' ');
  const names = (reply: Reply): string[] => (reply.json.value as { name: string }[]).map((entry) => entry.name);
  const inner = (reply: Reply): unknown =>
    (reply.json.error.additionalInfo as { type: string; info: { value: unknown } }[]).find((entry) => entry.type === 'InnerError')
      ?.info.value;

  it('a browser that follows a link to the studio is told that there is none; anybody else needs a token', async () => {
    const url = `${base}/runs/some_job?wsid=${scope}`;
    const seen = await send(running.connection, 'GET', url, { headers: { Accept: 'text/html,*/*;q=0.8' } });
    assert.deepEqual([seen.status, seen.headers['content-type']], [501, 'text/html; charset=utf-8']);
    assert.match(seen.text, /There is no studio here/);
    assert.doesNotMatch(seen.text, /some_job/);
    assert.equal((await send(running.connection, 'GET', url, { headers: { Accept: 'application/json' } })).status, 401);
  });

  describe('datastores', () => {
    const blob = {
      datastoreType: 'AzureBlob',
      accountName: 'acct',
      containerName: 'c',
      endpoint: 'core.windows.net',
      protocol: 'https',
    };
    const keyed = {
      ...blob,
      tags: {},
      credentials: { credentialsType: 'AccountKey', secrets: { secretsType: 'AccountKey', key: 'QQ==' } },
    };
    it('are made with the address that was called, and shown without their secrets', async () => {
      const made = await put('/datastores/own?skipValidation=true', keyed, '2024-07-01-preview');
      assert.equal(made.status, 201);
      assert.match(String(made.headers['location']), /\/datastores\/own\?.*skipValidation=true/);
      assert.deepEqual(made.json.properties, {
        description: null,
        tags: {},
        properties: null,
        isDefault: false,
        credentials: { credentialsType: 'AccountKey' },
        subscriptionId: null,
        resourceGroup: null,
        ...blob,
        serviceDataAccessAuthIdentity: 'None',
      });
      assert.equal(made.json.systemData.lastModifiedByType, 'Application');
      const again = await put('/datastores/own', keyed, '2022-05-01');
      assert.deepEqual(
        [again.status, again.headers['location'], 'subscriptionId' in again.json.properties],
        [200, undefined, false],
      );
      assert.equal((await get('/datastores/workspaceblobstore', '2024-07-01-preview')).json.properties.resourceGroup, 'rg-dev');
    });
    it('hand out a SAS when an expiring secret is asked for, the key else', async () => {
      const secrets = async (name: string, body?: unknown) =>
        (await call('POST', `/datastores/${name}/listSecrets?api-version=2024-07-01-preview`, body)).json as Record<
          string,
          string
        >;
      assert.deepEqual(await secrets('own'), { secretsType: 'AccountKey', key: 'QQ==' });
      const signed = await secrets('workspaceblobstore', { expirableSecret: true, expireAfterHours: 1 });
      assert.deepEqual([Object.keys(signed).sort().join(), signed['secretsType']], ['sasToken,secretsType', 'Sas']);
      assert.match(String(signed['sasToken']), /^\?sv=.*&sig=/);
      const { properties } = (await get('/datastores/workspaceblobstore')).json as { properties: Record<string, string> };
      const host = `${properties['accountName']}.blob.${running.connection.metadata.storage_endpoint}`;
      const url = `https://${host}/${properties['containerName']}/signed.txt${signed['sasToken']}`;
      const headers = { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2022-11-02' };
      const written = await send(running.connection, 'PUT', url, { body: Buffer.from('x'), headers });
      assert.equal(written.status, 201, written.text);
      const wrong = await send(running.connection, 'PUT', url.replace(/sig=./, 'sig=%21'), { body: Buffer.from('x'), headers });
      assert.equal(wrong.status, 403, wrong.text);
    });
    it('are listed newest first, in pages', async () => {
      assert.equal(names(await get('/datastores?orderByAsc=false'))[0], 'own');
      assert.equal(names(await get('/datastores?orderByAsc=true')).at(-1), 'own');
      const first = await get('/datastores?count=2');
      assert.equal(names(first).length, 2);
      const second = await call('GET', String(first.json.nextLink));
      assert.equal(new Set([...names(first), ...names(second)]).size, names(first).length + names(second).length);
    });
  });

  it('environments: members by api-version, label, conda of a build, what a second PUT says', async () => {
    const conda = 'dependencies:\n- python=3.11\n';
    const old = await put('/environments/e/versions/1', { image: 'python:3.11', condaFile: conda }, '2022-05-01');
    assert.equal(members(old), 'condaFile description environmentType image isAnonymous isArchived osType properties tags');
    const fresh = await get('/environments/e/versions/1');
    const { autoDeleteSetting, autoRebuild, intellectualProperty, provisioningState, stage, properties } = fresh.json.properties;
    assert.deepEqual(
      [autoDeleteSetting, autoRebuild, intellectualProperty, provisioningState, stage, properties],
      [null, 'Disabled', null, 'Succeeded', 'Development', { 'azureml.labels': 'latest' }],
    );
    // Archived with all that a GET gave, the label included; the label then moves on with the next version.
    const { environmentType: _type, ...sent } = fresh.json.properties as Record<string, unknown>;
    assert.equal((await put('/environments/e/versions/1', { ...sent, isArchived: true })).status, 201);
    await put('/environments/e/versions/2', { image: 'python:3.12' });
    assert.equal((await put('/environments/e/versions/1', { ...sent, isArchived: false })).json.properties.isArchived, false);
    assert.deepEqual((await get('/environments/e/versions/1')).json.properties.properties, {});
    const build = { contextUri: 'https://x.blob.core.windows.net/c/d/', dockerfilePath: 'Other' };
    assert.equal((await put('/environments/b/versions/bar', { build })).json.properties.condaFile, '');
    const container = (await get('/environments/b')).json.properties;
    assert.deepEqual([container.description, container.latestVersion, container.nextVersion], ['', 'bar', '1']);
    const missing = await get('/environments/none/versions/4');
    assert.equal(missing.json.error.message, 'No environment exists for name: none, version: 4, label: ');
    assert.deepEqual([missing.json.error.details, inner(missing)], [[], { code: 'NotFoundError', innerError: null }]);
    assert.equal(
      (await get('/environments/none')).json.error.message,
      'No environment exists for name: none, version: , label: ',
    );
    const curated = (await get('/environments/AzureML-sklearn-1.5')).json;
    assert.equal(curated.id, `${scope}/environments/AzureML-sklearn-1.5`);
    const version = await get(`/environments/AzureML-sklearn-1.5/versions/${curated.properties.latestVersion}`);
    assert.equal(version.json.properties.environmentType, 'Curated');
    assert.deepEqual(names(await get('/environments')), ['b', 'e']);
  });

  it('components: what the service fills in, what may change, words of a missing one', async () => {
    const spec = {
      name: 'c',
      type: 'command',
      command: 'ls',
      environment: 'azureml:e:1',
      is_deterministic: true,
      inputs: { p: { type: 'uri_folder' }, n: { type: 'number', optional: true, default: 1.5 } },
      resources: { instance_count: 2 },
      description: 'text',
      _source: 'YAML.COMPONENT',
    };
    const old = await put(
      '/components/c/versions/1',
      { description: 'text', componentSpec: spec, properties: { hash: 'a' } },
      '2022-10-01',
    );
    assert.equal(members(old), 'componentSpec description isAnonymous isArchived properties tags');
    assert.equal(old.json.properties.description, null);
    const { inputs, resources, is_deterministic: deterministic } = old.json.properties.componentSpec;
    assert.deepEqual(inputs, {
      p: { optional: 'False', type: 'uri_folder' },
      n: { optional: 'True', type: 'number', default: '1.5' },
    });
    assert.deepEqual([resources, deterministic], [{ instance_count: '2' }, 'True']);
    const changed = {
      componentSpec: {
        ...spec,
        id: `azureml:${scope}/components/c/versions/1`,
        creation_context: { created_by: 'x' },
        inputs: { n: { default: '1.5', type: 'number', optional: true }, p: { type: 'uri_folder', optional: false } },
        display_name: 'Shown',
        version: '1',
      },
      properties: { hash: 'b' },
    };
    const updated = await put('/components/c/versions/1', changed, '2024-01-01-preview');
    assert.deepEqual([updated.status, updated.json.properties.componentSpec.display_name], [200, 'Shown']);
    const { stage, provisioningState, autoDeleteSetting } = updated.json.properties;
    assert.deepEqual([stage, provisioningState, autoDeleteSetting], ['Development', 'Succeeded', null]);
    assert.ok(!('id' in updated.json.properties.componentSpec) && !('creation_context' in updated.json.properties.componentSpec));
    const other = { componentSpec: { ...spec, command: 'ls -l' } };
    assert.equal(
      (await call('PUT', '/components/c/versions/1?api-version=2024-01-01-preview', { properties: other })).status,
      409,
    );
    const logged = { isAnonymous: true, componentSpec: { ...spec, name: 'azureml_anonymous' } };
    assert.equal(
      (await put('/components/azureml_anonymous/versions/1', logged, '2024-01-01-preview')).json.properties.stage,
      'Logged',
    );
    const missing = await get('/components/none');
    assert.equal(missing.json.error.message, 'Not found component none.');
    assert.deepEqual(inner(missing), { code: 'NotFound', innerError: { code: 'ComponentNotFound', innerError: null } });
  });

  it('data and codes: members by api-version, who changed what, containers that a version made', async () => {
    const uri = 'https://example.com/x.csv';
    const data = { dataType: 'mltable', dataUri: uri, referencedUris: ['./x.csv'] };
    const old = await put('/data/d/versions/foo', data, '2022-05-01');
    assert.equal(members(old), 'dataType dataUri description isAnonymous isArchived properties referencedUris tags');
    assert.equal(Object.keys(old.json.systemData as object).join(), 'createdAt,createdBy,createdByType,lastModifiedAt');
    const fresh = (await get('/data/d/versions/foo')).json.properties;
    assert.deepEqual([fresh.autoDeleteSetting, fresh.stage, fresh.intellectualProperty], [null, null, null]);
    assert.ok(!('stage' in (await get('/data/d/versions/foo', '2024-10-01')).json.properties));
    assert.deepEqual((await get('/data/d')).json.properties, {
      description: null,
      tags: null,
      properties: null,
      isArchived: false,
      dataType: 'mltable',
      latestVersion: 'foo',
      nextVersion: '1',
    });
    const slot = await call('POST', '/codes/c/versions/1/startPendingUpload?api-version=2023-04-01', {});
    const code = { codeUri: slot.json.blobReferenceForConsumption.blobUri as string };
    assert.ok(!('provisioningState' in (await put('/codes/c/versions/1', code, '2022-05-01')).json.properties));
    assert.equal((await get('/codes/c/versions/1', '2023-04-01')).json.properties.provisioningState, 'Succeeded');
  });

  it('computes: made in the state Creating, deleted without a body, instances that start and stop', async () => {
    const compute = {
      computeType: 'AmlCompute',
      properties: { vmSize: 'Standard_DS2_v2', userAccountCredentials: { adminUserName: 'a', adminUserPassword: 'secret' } },
    };
    const made = await put('/computes/clu', compute, '2022-10-01-preview');
    assert.deepEqual([made.status, made.headers['location']], [201, undefined]);
    assert.match(
      String(made.headers['azure-asyncoperation']),
      /computeOperationsStatus\/[0-9a-f-]{36}\?api-version=2022-10-01-preview&service=new$/,
    );
    const { properties } = made.json;
    assert.deepEqual(
      [made.json.tags, properties.provisioningState, properties.properties.vmSize, properties.properties.nodeStateCounts],
      [null, 'Creating', 'STANDARD_DS2_V2', null],
    );
    const shown = (await get('/computes/clu')).json;
    assert.deepEqual(
      [shown.tags, shown.properties.provisioningState, shown.properties.properties.userAccountCredentials],
      [{}, 'Succeeded', { adminUserName: 'a', adminUserPassword: null }],
    );
    assert.equal((await put('/computes/clu', compute)).status, 201);
    const gone = await call('DELETE', '/computes/clu?api-version=2022-10-01-preview&underlyingResourceAction=Delete');
    assert.deepEqual([gone.status, gone.text, gone.headers['location']], [202, '', undefined]);
    await put('/computes/ci-1', { computeType: 'ComputeInstance', properties: { vmSize: 'Standard_DS2_v2' } });
    for (const [action, state] of [
      ['stop', 'Stopped'],
      ['start', 'Running'],
      ['restart', 'Running'],
    ] as const) {
      assert.equal((await call('POST', `/computes/ci-1/${action}?api-version=2023-04-01-preview`)).status, 202);
      assert.equal((await get('/computes/ci-1')).json.properties.properties.state, state);
    }
    assert.equal((await call('POST', '/computes/cpu-cluster/start?api-version=2023-04-01')).status, 400);
    const kube = await call('PUT', '/computes/kube?api-version=2023-04-01', {
      properties: { computeType: 'Kubernetes', properties: {} },
    });
    assert.match(
      kube.json.error.message,
      /^The embedded workspace does not implement Compute_CreateOrUpdate of computeType Kubernetes\.$/,
    );
  });

  it('schedules: words in the casing of the service, patterns filled in, an operation that only says Creating', async () => {
    const recurrence = {
      trigger: { triggerType: 'recurrence', frequency: 'day', interval: 1, schedule: { hours: [10], minutes: [0] } },
      action: { actionType: 'CreateJob', jobDefinition: { jobType: 'Pipeline', jobs: {}, settings: {} } },
    };
    await send(running.connection, 'PUT', `${base}/_amlops`, { token, body: { latency: 'operation=3600' } });
    const made = await put('/schedules/s', recurrence, '2023-06-01-preview');
    const { trigger } = made.json.properties;
    assert.deepEqual(
      [trigger.triggerType, trigger.frequency, trigger.schedule],
      ['Recurrence', 'Day', { hours: [10], minutes: [0], weekDays: null, monthDays: null }],
    );
    const poll = await call('GET', String(made.headers['azure-asyncoperation']));
    assert.deepEqual(Object.keys(poll.json as object), ['id', 'name', 'status']);
    assert.equal(poll.json.status, 'Creating');
    await put('/computes/slow', { computeType: 'AmlCompute', properties: {} });
    const states = async () =>
      await Promise.all(
        ['/schedules/s', '/computes/slow'].map(async (path) => (await get(path)).json.properties.provisioningState),
      );
    assert.deepEqual(await states(), ['Creating', 'Creating']);
    await send(running.connection, 'PUT', `${base}/_amlops`, { token, body: { latency: '' } });
    const wrong = { ...recurrence, trigger: { ...recurrence.trigger, frequency: 'fortnight' } };
    assert.equal((await call('PUT', '/schedules/t?api-version=2023-06-01-preview', { properties: wrong })).status, 400);
  });

  it('workspaces: description and tags change, what is not built is refused by name', async () => {
    const patch = await call('PATCH', '?api-version=2024-10-01', {
      tags: { a: 'b' },
      identity: { type: 'SystemAssigned' },
      properties: { description: 'new', publicNetworkAccess: 'Enabled', managedNetwork: { isolationMode: 'Disabled' } },
    });
    assert.deepEqual([patch.status, patch.json.tags, patch.json.properties.description], [200, { a: 'b' }, 'new']);
    const shown = (await get('', '2024-10-01')).json;
    assert.deepEqual([shown.tags, shown.properties.description], [{ a: 'b' }, 'new']);
    const said = async (method: string, path: string, body?: unknown) => {
      const reply = await call(method, path, body);
      return `${reply.status} ${String(reply.json.error.message)}`;
    };
    assert.match(
      await said('PATCH', '?api-version=2024-10-01', { properties: { publicNetworkAccess: 'Disabled' } }),
      /^501 .* Workspaces_Update of properties\.publicNetworkAccess\.$/,
    );
    assert.deepEqual((await call('POST', '/diagnose?api-version=2024-10-01', {})).json.value.storageAccountResults, []);
  });
});
