/** How jobs, their runs and refusals are answered, one small case a rule (azure-ml-observed §0, §1, §2, §4). */
import assert from 'node:assert/strict';
import { offset, SystemClock } from '../../../local/workspace/clock.js';
import { armId, send, startUp, tokenOf, type Reply, type Running } from '../../support/workspace.js';

describe('answers about jobs', () => {
  let running: Running;
  let token: string;
  let scope: string;
  before(async () => {
    running = await startUp();
    token = await tokenOf(running.connection);
    scope = armId(running.connection);
  });
  after(async () => await running.stop());

  const ask = async (method: string, path: string, version: string, body?: unknown): Promise<Reply> => {
    const url = `${running.connection.resourceManager}${path.startsWith('/history') ? path : scope + path}`;
    return await send(running.connection, method, `${url}${url.includes('?') ? '&' : '?'}api-version=${version}`, {
      token,
      ...(body === undefined ? {} : { body }),
    });
  };
  const info = (reply: Reply, type: string): unknown =>
    (reply.json.error.additionalInfo as { type: string; info: { value: unknown } }[]).find((entry) => entry.type === type)?.info
      .value;
  const command = {
    jobType: 'Command',
    command: 'sleep 30',
    environmentId: 'azureml:AzureML-sklearn-1.5@latest',
    outputs: { o: { jobOutputType: 'uri_folder' } },
  };

  it('a member that is not known: one detail each, RequestInvalid and the format of the message', async () => {
    const wrong = {
      ...command,
      outputs: { o: { jobOutputType: 'uri_folder', assetVersion: '2' }, p: { jobOutputType: 'uri_file', x: 1 } },
    };
    const job = await ask('PUT', '/jobs/unknown', '2025-01-01-preview', { properties: wrong });
    const model = await ask('PUT', '/models/m/versions/1', '2023-04-01', {
      properties: { modelUri: 'https://x/y', flavour: {} },
    });
    for (const reply of [job, model]) {
      assert.equal(reply.status, 400);
      assert.equal(reply.json.error.message, 'Request is invalid and/or missing fields.');
      assert.deepEqual(Object.keys(reply.json.error as object), ['code', 'message', 'details', 'additionalInfo']);
      assert.deepEqual(info(reply, 'InnerError'), { code: 'RequestInvalid', innerError: null });
      assert.equal(info(reply, 'MessageFormat'), 'Request is invalid and/or missing fields.');
    }
    const details = job.json.error.details as { code: string; message: string }[];
    assert.deepEqual(
      details.map(({ code, message }) => `${code}: ${message.replace(/\d+\.$/, 'N.')}`),
      [
        "RequestInvalid: Could not find member 'assetVersion' on object of type 'UriFolderJobOutput'. Path 'assetVersion', line 1, position N.",
        "RequestInvalid: Could not find member 'x' on object of type 'UriFileJobOutput'. Path 'x', line 1, position N.",
      ],
    );
  });

  it('a component that is not there: 404 on the PUT of the pipeline, without target and InnerError', async () => {
    const componentId = `${scope}/components/none/versions/3`;
    const jobs = { s: { name: 's', type: 'command', componentId } };
    const reply = await ask('PUT', '/jobs/lost', '2024-01-01-preview', {
      properties: { jobType: 'Pipeline', jobs, inputs: {}, outputs: {} },
    });
    assert.deepEqual([reply.status, reply.json.error.code, reply.json.error.details], [404, 'NotFound', []]);
    assert.equal(reply.json.error.message, `key: ${componentId}, Message: Not found component none (version: 3).`);
    assert.ok(!('target' in reply.json.error) && info(reply, 'InnerError') === undefined);
  });

  it('a job without a compute has none in the reply to its PUT and one later; the versions of 2022 then tell of no queue', async () => {
    const made = (await ask('PUT', '/jobs/anywhere', '2022-12-01-preview', { properties: command })).json.properties;
    assert.deepEqual([made.computeId, made.queueSettings], [null, { jobTier: 'Standard', priority: null }]);
    const later = (await ask('GET', '/jobs/anywhere', '2022-12-01-preview')).json.properties;
    assert.deepEqual([later.computeId, 'queueSettings' in later], [`${scope}/computes/serverless`, false]);
    assert.equal((await ask('GET', '/jobs/anywhere', '2024-01-01-preview')).json.properties.queueSettings.jobTier, 'Standard');
    await ask('POST', '/jobs/anywhere/cancel', '2024-01-01-preview');
  });

  it('members by api-version; what a second PUT changed shows in who changed it from the next GET on', async () => {
    const placed = { ...command, computeId: `${scope}/computes/cpu-cluster` };
    const made = await ask('PUT', '/jobs/placed', '2025-01-01-preview', { properties: placed });
    assert.equal(made.json.properties.properties['_azureml.ClusterName'], 'cpu-cluster');
    const { properties: old } = (await ask('GET', '/jobs/placed', '2022-02-01-preview')).json;
    assert.deepEqual(
      [old.schedule, 'componentId' in old, 'nodes' in old.services.Studio, 'shmSize' in old.resources, 'queueSettings' in old],
      [null, false, false, false, false],
    );
    assert.deepEqual(Object.keys(old.outputs.o as object).sort(), ['description', 'jobOutputType', 'mode', 'uri']);
    assert.ok(!('_azureml.ClusterName' in (await ask('GET', '/jobs/placed', '2022-12-01-preview')).json.properties.properties));
    const changed = await ask('PUT', '/jobs/placed', '2025-01-01-preview', { properties: { ...placed, isArchived: true } });
    assert.deepEqual([changed.status, changed.json.properties.isArchived], [200, true]);
    assert.deepEqual(Object.keys(changed.json.systemData as object), ['createdAt', 'createdBy', 'createdByType']);
    const shown = (await ask('GET', '/jobs/placed', '2025-01-01-preview')).json.systemData;
    assert.equal(shown.lastModifiedByType, 'Application');
    await ask('POST', '/jobs/placed/cancel', '2025-01-01-preview');
  });

  it('an anonymous component that was there: its own id, the version that was sent; a pipeline component with the ids of its graphs', async () => {
    const spec = { name: 'azureml_anonymous', version: '1', type: 'command', command: 'ls', environment: command.environmentId };
    const put = async (version: string, componentSpec: object) =>
      (
        await ask('PUT', `/components/azureml_anonymous/versions/${version}`, '2022-10-01', {
          properties: { isAnonymous: true, componentSpec },
        })
      ).json;
    const first = await put('a', spec);
    assert.equal(first.properties.componentSpec.version, first.name);
    const again = await put('b', spec);
    assert.deepEqual([again.id, again.properties.componentSpec.version], [first.id, '1']);
    const pipeline = await put('c', { name: 'azureml_anonymous', type: 'pipeline', jobs: {} });
    assert.match(
      pipeline.properties.properties['azureml.DatasetAccessModeGraphId'],
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
    );
    assert.deepEqual(
      (await ask('GET', `/components/azureml_anonymous/versions/${pipeline.name}`, '2024-01-01-preview')).json.properties
        .properties,
      {},
    );
  });

  it('stores that came with the workspace: later versions do not tell who made them', async () => {
    const who = async (version: string) =>
      Object.keys((await ask('GET', '/datastores/workspaceblobstore', version)).json.systemData as object).join(' ');
    assert.equal(await who('2022-10-01'), 'createdAt createdBy createdByType lastModifiedAt lastModifiedBy lastModifiedByType');
    assert.equal(await who('2024-07-01-preview'), 'createdAt lastModifiedAt lastModifiedBy lastModifiedByType');
  });

  it('the trial of a sweep is told as a command is', async () => {
    const properties = {
      jobType: 'Sweep',
      objective: { goal: 'Maximize', primaryMetric: 'm' },
      samplingAlgorithm: { samplingAlgorithmType: 'Random' },
      searchSpace: { x: ['choice', [[1, 2]]] },
      limits: { jobLimitsType: 'Sweep', maxTotalTrials: 1 },
      trial: { command: 'echo ${{search_space.x}}', environmentId: command.environmentId },
    };
    const made = (await ask('PUT', '/jobs/swept', '2024-01-01-preview', { properties })).json.properties;
    assert.deepEqual(made.trial, {
      codeId: null,
      ...properties.trial,
      distribution: null,
      environmentVariables: {},
      resources: { instanceCount: 1, instanceType: null, properties: null, shmSize: '2g', dockerArgs: null },
    });
    assert.deepEqual(made.limits, { ...properties.limits, timeout: null, trialTimeout: null });
    assert.deepEqual([made.earlyTermination, made.outputs.default.jobOutputType], [null, 'uri_folder']);
    await ask('POST', '/jobs/swept/cancel', '2024-01-01-preview');
  });

  it('the job of a schedule is completed by its type', async () => {
    const put = async (jobDefinition: object) => {
      const properties = {
        trigger: { triggerType: 'Cron', expression: '15 10 * * 1' },
        action: { actionType: 'CreateJob', jobDefinition },
      };
      const { json } = await ask('PUT', '/schedules/s', '2023-06-01-preview', { properties });
      return json.properties.action.jobDefinition as Record<string, Record<string, unknown>>;
    };
    const inputs = { n: { jobInputType: 'literal', value: '1' } };
    const made = await put({ ...command, inputs });
    assert.deepEqual(
      [made['computeId'], made['resources']?.['shmSize'], made['distribution'], 'sourceJobId' in made],
      [null, '2g', null, false],
    );
    assert.deepEqual(made['inputs']?.['n'], { description: null, jobInputType: 'literal', value: '1' });
    const jobs = { a: { type: 'command', componentId: 'x' }, b: { type: 'pipeline', componentId: 'y' } };
    const pipeline = await put({ jobType: 'Pipeline', jobs, outputs: { o: { jobOutputType: 'uri_folder' } } });
    assert.equal(pipeline['sourceJobId'], null);
    assert.deepEqual(
      Object.values(pipeline['jobs'] ?? {}).map((node) => Object.keys(node as object).length),
      [13, 9],
    );
    assert.equal((pipeline['outputs']?.['o'] as { assetName: unknown }).assetName, null);
  });

  it('further pages are under $skipToken', async () => {
    for (let n = 0; n < 21; n += 1) await ask('PUT', `/models/page-${n}`, '2023-04-01', { properties: {} });
    const { nextLink } = (await ask('GET', '/models', '2023-04-01')).json as { nextLink: string };
    assert.match(nextLink, /^https:.*\/models\?.*&\$skipToken=[\w-]+$/);
    const rest = await send(running.connection, 'GET', nextLink, { token });
    assert.deepEqual([rest.json.value.length, Object.keys(rest.json as object)], [1, ['value']]);
  });

  it('the definition of a pipeline in rundata is PascalCase', async () => {
    const componentSpec = { name: 'azureml_anonymous', type: 'command', command: 'true', environment: command.environmentId };
    const { json } = await ask('PUT', '/components/azureml_anonymous/versions/d', '2024-01-01-preview', {
      properties: { isAnonymous: true, componentSpec },
    });
    const jobs = { s: { name: 's', type: 'command', componentId: json.id } };
    const properties = { jobType: 'Pipeline', jobs, inputs: {}, outputs: { o: { jobOutputType: 'uri_folder' } } };
    assert.equal((await ask('PUT', '/jobs/pipe', '2024-01-01-preview', { properties })).status, 201);
    const data = await ask('POST', `/history/v1.0${scope}/rundata`, 'v1.0', { runId: 'pipe' });
    assert.deepEqual(Object.keys(data.json.runDefinition as object), ['JobType', 'Jobs', 'OutputBindings', 'Status']);
    assert.equal(data.json.runDefinition.OutputBindings.o.JobOutputType, 3);
  });

  it('times have no trailing zeros, and no two stamps are equal', () => {
    assert.deepEqual(
      ['2026-01-01T10:00:00.120Z', '2026-01-01T10:00:00.000Z', '2026-01-01T10:00:00Z', '2026-01-01T10:00:00.5+00:00'].map(offset),
      ['2026-01-01T10:00:00.12+00:00', '2026-01-01T10:00:00+00:00', '2026-01-01T10:00:00+00:00', '2026-01-01T10:00:00.5+00:00'],
    );
    const clock = new SystemClock();
    const stamps = Array.from({ length: 500 }, () => clock.stamp());
    assert.deepEqual([...new Set(stamps)].sort(), stamps);
    assert.ok(stamps.every((stamp) => /T\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?\+00:00$/.test(stamp)));
  });
});
