/**
 * Exchanges recorded from the live service (../shared/conformance/service): each in-scope request is sent to the embedded workspace after what
 * it needs has been made there, and the answers are compared. Exceptions stand in `excused` with their reason.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareReply, type Exchange } from '../../support/exchange.js';
import { armId, send, startUp, tokenOf, type Reply, type Running } from '../../support/workspace.js';

const folder = join(import.meta.dirname, '..', '..', '..', '..', 'shared', 'conformance', 'service');
const files = existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.json') && file !== 'index.json') : [];

/** Differences that are meant, by path; and why. */
const cluster = {
  paths: [/_aml_system_ComputeTargetStatus$/],
  reason: 'counts of nodes',
};
const later = {
  paths: [
    /(schedule|shmSize|dockerArgs|dockerArgsList|assetName|assetVersion|parentJobName|componentId|notificationSetting|queueSettings|nodes)$/,
  ],
  reason: 'the api-version of the recording is masked; it was an older one',
};
const excused: Record<string, { paths: RegExp[]; reason: string }> = {
  'component-put-anonymous-2022': {
    paths: [/componentSpec\.(outputs|code|environment|command)$/],
    reason: 'left out of the transcribed request',
  },
  'history-children': cluster,
  'history-run-get-reused-step': cluster,
  'history-run-get-step': cluster,
  'history-rundata': {
    paths: [...cluster.paths, /^runDefinition\.outputData\.\w+\.mechanism$/],
    reason: `${cluster.reason}; the step of the test mounts its output`,
  },
  'history-rundata-pipeline-parent': { paths: [/runMetadata\.status$/], reason: 'the recorded run was cancelled' },
  'job-get-command-queued': {
    paths: [...cluster.paths, /^properties\.status$/],
    reason: `${cluster.reason}; the local queue is empty`,
  },
  'job-get-pipeline-completed': {
    paths: [/^properties\.jobs\./],
    reason: 'the pipeline of the test has other steps',
  },
  'job-put-archive': {
    paths: [...cluster.paths, ...later.paths, /^properties\.(status|properties\._azureml\.ClusterName)$/],
    reason: `${cluster.reason}; ${later.reason}`,
  },
  'job-put-pipeline': {
    paths: [/^properties\.jobs\./],
    reason: 'the request was not transcribed; the one of the test has one step',
  },
  'registry-discovery': { paths: [/^registryFqdns\./], reason: 'named by region' },
  'schedule-put': {
    paths: [/jobDefinition\.(computeId|jobs|inputs)/],
    reason: 'the request was not transcribed; the one of the test has no steps',
  },
  'snapshot-get-by-hash': { paths: [/azureml\.codeUri$/], reason: 'a place in storage' },
  'workspace-get-2024': { paths: [/systemDatastoresAuthMode$/], reason: 'recorded of a workspace without account keys' },
};

/** Not sent: the recording holds no request. */
const untold: Record<string, string> = {
  'job-put-pipeline-parallel-for': 'its request was not transcribed; control flow is refused at submission (docs/engine.md)',
};

/** Requests that are answered 501: endpoints belong to a later round. */
const notBuilt = /^(batch-endpoint-put|batch-endpoint-invoke|deployment-|endpoint-(?!get-missing))/;

let running: Running;
let token: string;
let base: string;
let scope: string;

async function call(method: string, path: string, body?: unknown): Promise<Reply> {
  return await send(running.connection, method, path.startsWith('https') ? path : `${base}${path}`, {
    token,
    ...(body === undefined ? {} : { body }),
  });
}
const put = async (path: string, properties: unknown, version = '2023-08-01-preview'): Promise<Reply> => {
  const reply = await call('PUT', `${scope}${path}?api-version=${version}`, { properties });
  assert.ok(reply.status < 300, `${path}: ${reply.status} ${reply.text}`);
  return reply;
};

/** Puts a file into the workspace's own storage with the account key's SAS that an upload slot gives. */
async function upload(container: string, path: string, text: string, headers: Record<string, string> = {}): Promise<string> {
  const storage = await tokenOf(running.connection, undefined, 'https://storage.azure.com/.default');
  const account = String((await call('GET', `${scope}/datastores/workspaceblobstore`)).json.properties.accountName);
  const url = `https://${account}.blob.${running.connection.metadata.storage_endpoint}/${container}/${path}`;
  const reply = await send(running.connection, 'PUT', url, {
    token: storage,
    body: Buffer.from(text),
    headers: { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2022-11-02', ...headers },
  });
  assert.equal(reply.status, 201, reply.text);
  return url;
}

/** A recorded request in our names. */
function ours(value: string): string {
  const ws = running.connection.workspaces[0];
  assert.ok(ws);
  return value
    .replaceAll('/subscriptions/00000000-0000-0000-0000-000000000000', `/subscriptions/${ws.subscriptionId}`)
    .replace(/\/resource([gG])roups\/rg(?=\/)/g, `/resource$1roups/${ws.resourceGroup}`)
    .replaceAll('/workspaces/ws', `/workspaces/${ws.name}`)
    .replaceAll('00000000-0000-0000-0000-000000000001', workspaceGuid)
    .replaceAll(`/registries/testFeed`, `/registries/${running.connection.registry}`);
}
let workspaceGuid = '';
let registryScope = '';

/** Waits for the end of a run. */
async function ended(job: string): Promise<string> {
  for (let i = 0; i < 1200; i += 1) {
    const status = String((await call('GET', `${scope}/jobs/${job}?api-version=2023-04-01`)).json.properties.status);
    if (['Completed', 'Failed', 'Canceled'].includes(status)) return status;
    await sleep(250);
  }
  throw new Error(`${job} has not ended.`);
}

async function componentId(): Promise<string> {
  const reply = await put('/components/azureml_anonymous/versions/1', {
    isAnonymous: true,
    componentSpec: {
      name: 'azureml_anonymous',
      version: '1',
      type: 'command',
      is_deterministic: true,
      command: 'echo hello > ${{outputs.component_out_path}}/h.txt',
      environment: 'azureml:AzureML-sklearn-1.5@latest',
      outputs: { component_out_path: { type: 'uri_folder' } },
      _source: 'YAML.JOB',
    },
  });
  return String(reply.json.id);
}

/** A pipeline of one step, run twice: the second is reused. Made once. */
let pipelines: Promise<{ parent: string; step: string; reusedParent: string; reusedStep: string }> | undefined;
async function makePipelines(): Promise<{ parent: string; step: string; reusedParent: string; reusedStep: string }> {
  const id = await componentId();
  const submit = async (name: string): Promise<{ parent: string; step: string }> => {
    await put(
      `/jobs/${name}`,
      {
        jobType: 'Pipeline',
        experimentName: 'azure-ai-ml',
        displayName: name,
        description: 'd',
        computeId: `${scope}/computes/cpu-cluster`,
        tags: { tag: 'tagvalue', owner: 'sdkteam' },
        settings: { _source: 'YAML.JOB', continue_on_step_failure: false },
        inputs: {},
        outputs: { job_out_path_1: { mode: 'ReadWriteMount', jobOutputType: 'uri_folder' } },
        jobs: {
          hello_world_component_inline: {
            name: 'hello_world_component_inline',
            type: 'command',
            computeId: `${scope}/computes/cpu-cluster`,
            outputs: { component_out_path: { value: '${{parent.outputs.job_out_path_1}}', type: 'literal' } },
            _source: 'YAML.JOB',
            componentId: id,
          },
        },
      },
      '2022-12-01-preview',
    );
    assert.equal(await ended(name), 'Completed', running.log());
    const children = await call('GET', `/history/v1.0${scope}/runs/${name}/children`);
    return { parent: name, step: String(children.json.value[0].runId) };
  };
  const first = await submit('conf_pipeline_1');
  const second = await submit('conf_pipeline_2');
  return { ...first, reusedParent: second.parent, reusedStep: second.step };
}

/** What a request needs, made before it; gives what is to be sent instead of the recorded request, where names must differ. */
type Seed = (exchange: Exchange) => Promise<Partial<{ path: string; body: unknown; skip: string; allow: RegExp[] }> | void>;
const runs = () => (pipelines ??= makePipelines());
const mlmodel =
  'flavors:\n  sklearn:\n    pickled_model: model.pkl\n    sklearn_version: 1.1.3\n    serialization_format: pickle\n    code:\n  automl-forecasting:\n    forecasting_model_type: fc.model_type.sklearn\n  python_function:\n    env:\n      conda: conda.yaml\n      virtualenv: python_env.yaml\n    loader_module: azureml.training.tabular.models.mlflow.timeseries\n    model_path: model.pkl\n    predict_fn: predict\n    python_version: 3.9.19\n';
const blobs = () => `azureml-blobstore-${workspaceGuid}`;
const pathOfUri = (body: unknown): string => /\/paths\/([^"]*)/.exec(JSON.stringify(body))?.[1] ?? '';

/** A command job of the given name that holds in the queue long enough to be looked at. */
async function jobNamed(name: string, properties: Record<string, unknown> = {}): Promise<void> {
  await put(`/jobs/${name}`, {
    jobType: 'Command',
    command: 'sleep 60',
    environmentId: 'azureml:AzureML-sklearn-1.5@latest',
    computeId: `${scope}/computes/cpu-cluster`,
    identity: { identityType: 'AMLToken' },
    ...properties,
  });
}

/** The environment and the compute that the recorded jobs name. */
async function jobNeeds(): Promise<void> {
  await put('/environments/AzureML-sklearn-0.24-ubuntu18.04-py37-cpu/versions/1', { image: 'python:3.11' });
  await put('/computes/testCompute', { computeType: 'AmlCompute', properties: {} });
}

const seeds: Record<string, Seed> = {
  'job-put-command': jobNeeds,
  'job-put-command-unreachable-input': jobNeeds,
  'job-put-archive': async ({ request }) => {
    await jobNeeds();
    const {
      isArchived: _archived,
      services: _services,
      ...first
    } = (JSON.parse(ours(JSON.stringify(request.body))) as { properties: Record<string, unknown> }).properties;
    await put('/jobs/test-cjob-000011-3', { ...first, command: 'sleep 60' });
  },
  'job-get-command-queued': async ({ request }) => {
    const recorded = JSON.parse(readFileSync(join(folder, 'job-put-command.json'), 'utf8')) as Exchange;
    await jobNeeds();
    await put('/jobs/conf_queued', {
      ...(JSON.parse(ours(JSON.stringify(recorded.request.body))) as { properties: object }).properties,
      command: 'sleep 60',
    });
    return { path: `${scope}/jobs/conf_queued?api-version=${request.query['api-version']}` };
  },

  'blob-head-uploaded': async () => {
    const url = await upload(blobs(), 'LocalUpload/00/COMPONENT_PLACEHOLDER', 'x'.repeat(35), {
      'x-ms-meta-name': 'n',
      'x-ms-meta-version': '1',
      'x-ms-meta-upload_status': 'completed',
    });
    return { path: url };
  },
  'blob-head-artifacts-missing': async () => ({
    path: (await upload(blobs(), 'a/b', 'x')).replace(/a\/b$/, 'az-ml-artifacts/0/COMPONENT_PLACEHOLDER'),
  }),
  'data-put-file': async ({ request }) => void (await upload(blobs(), pathOfUri(request.body), 'x')),
  'data-batch-get-resolved-uris': async () => {
    const { step } = await runs();
    return {
      body: {
        values: [
          `azureml://locations/eastus/workspaces/${workspaceGuid}/data/azureml_${step}_output_data_component_out_path/versions/1`,
        ],
      },
    };
  },
  'model-put-file': async ({ request }) => {
    await upload(blobs(), pathOfUri(request.body), 'x');
  },
  'model-put-stage': async ({ request }) => void (await upload(blobs(), `${pathOfUri(request.body)}/MLmodel`, mlmodel)),
  'model-put-repeat': async ({ request }) => {
    await upload(blobs(), pathOfUri(request.body), 'x');
    const body = JSON.parse(ours(JSON.stringify(request.body))) as { properties: unknown };
    await put('/models/mir_test_model/versions/1', body.properties);
  },
  'model-container-get': async () => {
    await upload(blobs(), 'LocalUpload/c/m.pkl', 'x');
    await put('/models/contained/versions/1', {
      modelType: 'custom_model',
      modelUri: 'azureml://datastores/workspaceblobstore/paths/LocalUpload/c/m.pkl',
    });
    return { path: `${scope}/models/contained?api-version=2022-05-01` };
  },
  ...Object.fromEntries(
    ['file', 'folder', 'mlflow'].map((kind) => [
      kind === 'mlflow' ? 'model-put-runs-uri-mlflow' : `model-put-job-uri-${kind}`,
      async ({ request }: Exchange) => {
        const { parent } = await runs();
        await upload('azureml', `ExperimentRun/dcid.${parent}/outputs/model.pkl`, 'x');
        await upload('azureml', `ExperimentRun/dcid.${parent}/outputs/MLmodel`, mlmodel);
        return { body: JSON.parse(JSON.stringify(request.body).replaceAll('quirky_knee_46ds1xhcgt_1', parent)) as unknown };
      },
    ]),
  ),
  // The live service had an equal component already and gave it back.
  'component-put-anonymous': async ({ request }) => {
    const { properties } = JSON.parse(ours(JSON.stringify(request.body))) as { properties: unknown };
    await put('/components/azureml_anonymous/versions/1', properties, '2022-10-01');
  },
  'registry-import': async ({ request }) => {
    await upload(blobs(), 'LocalUpload/i/m.pkl', 'x');
    await put('/models/model_test_791069743408/versions/2', {
      modelType: 'custom_model',
      modelUri: 'azureml://datastores/workspaceblobstore/paths/LocalUpload/i/m.pkl',
    });
    return { path: `/mferp/managementfrontend${registryScope}/import?api-version=${request.query['api-version']}` };
  },
  'registry-import-poll-running': async () => {
    await call('PUT', '/_amlops', { latency: 'share=3600' });
    return { path: String((await importModel('3')).headers['location']) };
  },
  'registry-import-poll-done': async () => {
    await call('PUT', '/_amlops', { latency: '' });
    const path = String((await importModel('4')).headers['location']);
    for (let i = 0; i < 200 && (await call('GET', path)).status === 202; i += 1) await sleep(50);
    return { path };
  },
  'registry-tempdatarefs': async () => ({
    path: `/mferp/managementfrontend${registryScope}/tempdatarefs/t/versions/2`,
    body: {
      assetId: `azureml://registries/${running.connection.registry}/models/t/versions/2`,
      temporaryDataReferenceType: 'TemporaryBlobReference',
    },
  }),
  'registry-tempdatarefs-conflict': async () => {
    const made = await call(
      'PUT',
      `/mferp/managementfrontend${registryScope}/environments/e/versions/2?api-version=2021-10-01-dataplanepreview`,
      { properties: { image: 'ubuntu:22.04' } },
    );
    assert.equal(made.status, 202, made.text);
    return {
      path: `/mferp/managementfrontend${registryScope}/tempdatarefs/e/versions/2`,
      body: {
        assetId: `azureml://registries/${running.connection.registry}/environments/e/versions/2`,
        temporaryDataReferenceType: 'TemporaryBlobReference',
      },
    };
  },
  'registry-discovery-forbidden': async () => ({ path: '/registrymanagement/v1.0/registries/notOurs/discovery' }),
  'compute-async-operation': async () => ({
    path: String((await put('/computes/other', { computeType: 'AmlCompute', properties: {} })).headers['azure-asyncoperation']),
  }),
  'schedule-put': async ({ request }) => ({
    body: {
      properties: {
        description: 'd',
        ...schedule(),
        ...(request.body as { properties: object }).properties,
        displayName: 'weekly',
      },
    },
  }),
  'schedule-async-operation': async () => ({
    path: String((await put('/schedules/s1', schedule())).headers['azure-asyncoperation']),
  }),
  'schedule-delete': async () => void (await put('/schedules/test_7903107812', schedule())),
  'schedule-list-enabled-only': async () => void (await put('/schedules/s1', schedule())),
  'snapshot-get-by-hash': async ({ request }) => {
    const slot = await call('POST', `${scope}/codes/c5e725e4-390c-4ed9-8afd-37e3b074f122/versions/1/startPendingUpload`, {});
    const url = new URL(String(slot.json.blobReferenceForConsumption.credential.sasUri));
    const file = `https://${url.host}${url.pathname}/COMPONENT_PLACEHOLDER${url.search}`;
    const sent = await send(running.connection, 'PUT', file, {
      body: Buffer.from('x'.repeat(35)),
      headers: { 'x-ms-blob-type': 'BlockBlob' },
    });
    assert.equal(sent.status, 201, sent.text);
    await put('/codes/c5e725e4-390c-4ed9-8afd-37e3b074f122/versions/1', {
      codeUri: `https://${url.host}${url.pathname}`,
      properties: { hash_sha256: request.query['hash'], hash_version: '202208' },
    });
  },
  'job-get-pipeline-completed': async () => ({ path: `${scope}/jobs/${(await runs()).parent}?api-version=2022-12-01-preview` }),
  'job-get-child': async () => ({ path: `${scope}/jobs/${(await runs()).step}?api-version=2022-12-01-preview` }),
  'history-children': async () => ({ path: `/history/v1.0${scope}/runs/${(await runs()).reusedParent}/children` }),
  'history-run-get-step': async () => ({ path: `/history/v1.0${scope}/runs/${(await runs()).step}` }),
  'history-run-get-reused-step': async () => ({ path: `/history/v1.0${scope}/runs/${(await runs()).reusedStep}` }),
  'history-rundata': async ({ request }) => ({ body: { ...(request.body as object), runId: (await runs()).step } }),
  'history-rundata-pipeline-parent': async ({ request }) => ({
    body: { ...(request.body as object), runId: (await runs()).parent },
  }),
  'job-put-pipeline': async () => {
    const id = await componentId();
    const step = {
      name: 'hello_world_inline_commandjob_1',
      type: 'command',
      computeId: `${scope}/computes/cpu-cluster`,
      outputs: { component_out_path_1: { value: '${{parent.outputs.job_out_path_1}}', type: 'literal' } },
      _source: 'YAML.JOB',
      componentId: id,
    };
    return {
      body: {
        properties: {
          description: 'd',
          tags: { tag: 'tagvalue', owner: 'sdkteam' },
          displayName: 'x',
          experimentName: 'azure-ai-ml',
          computeId: `${scope}/computes/cpu-cluster`,
          jobType: 'Pipeline',
          jobs: { hello_world_inline_commandjob_1: step },
          inputs: {},
          outputs: { job_out_path_1: { mode: 'ReadWriteMount', jobOutputType: 'uri_folder' } },
          settings: { _source: 'YAML.JOB', continue_on_step_failure: false },
        },
      },
      allow: [/^properties\.jobs\.[^.]+\./],
    };
  },
  'job-cancel-poll-in-progress': async () => {
    await jobNamed('conf_cancel_1');
    const reply = await call('POST', `${scope}/jobs/conf_cancel_1/cancel?api-version=2023-02-01-preview`);
    return { path: String(reply.headers['location']) };
  },
  'job-cancel-poll-done': async () => {
    await jobNamed('conf_cancel_2');
    const path = String(
      (await call('POST', `${scope}/jobs/conf_cancel_2/cancel?api-version=2023-02-01-preview`)).headers['location'],
    );
    for (let i = 0; i < 400 && (await call('GET', path)).status === 202; i += 1) await sleep(50);
    return { path };
  },
};

function schedule(): Record<string, unknown> {
  return {
    trigger: {
      triggerType: 'Cron',
      expression: '15 10 * * 1',
      startTime: '2022-03-10 10:15:00',
      endTime: '2022-11-08 18:40:32',
      timeZone: 'Pacific Standard Time',
    },
    action: {
      actionType: 'CreateJob',
      jobDefinition: {
        jobType: 'Pipeline',
        displayName: 'hello_pipeline_abc',
        settings: { _source: 'YAML.JOB' },
        jobs: {},
        inputs: {},
        outputs: {},
      },
    },
  };
}

async function importModel(version: string): Promise<Reply> {
  await seeds['registry-import']?.({ request: { query: {} } } as Exchange);
  return await call('POST', `/mferp/managementfrontend${registryScope}/import?api-version=2021-10-01-dataplanepreview`, {
    properties: {
      referenceType: 'Id',
      destinationName: 'model_test_791069743408',
      destinationVersion: version,
      sourceAssetId: `azureml://locations/eastus/workspaces/${workspaceGuid}/models/model_test_791069743408/versions/2`,
    },
  });
}

describe('exchanges recorded from the live service', function () {
  before(async function () {
    if (!files.length) {
      console.log('      skipped: ../shared/conformance/service is not there');
      this.skip();
    }
    running = await startUp();
    base = running.connection.resourceManager;
    token = await tokenOf(running.connection);
    scope = armId(running.connection);
    workspaceGuid = String((await call('GET', scope)).json.properties.workspaceId);
    const registries = await call(
      'GET',
      `/subscriptions/${running.connection.subscriptionId}/providers/Microsoft.MachineLearningServices/registries`,
    );
    registryScope = String(
      (registries.json.value as { name: string; id: string }[]).find((entry) => entry.name === running.connection.registry)?.id,
    );
  });
  after(async () => await running?.stop());

  // The order of the files, but what is slow to prepare last.
  for (const file of files) {
    const name = file.replace(/\.json$/, '');
    if (untold[name] !== undefined) {
      it.skip(`${name}: ${untold[name]}`);
      continue;
    }
    it(name, async () => {
      const exchange = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Exchange;
      const { request } = exchange;
      const seeded = (await seeds[name]?.(exchange)) ?? {};
      const query = new URLSearchParams(request.query).toString();
      const body =
        seeded.body ?? (request.body === null ? undefined : (JSON.parse(ours(JSON.stringify(request.body))) as unknown));
      const target = seeded.path ?? `${ours(request.path)}${query ? `?${query}` : ''}`;
      const reply = /^blob-/.test(name)
        ? await send(running.connection, request.method, target, {
            token: await tokenOf(running.connection, undefined, 'https://storage.azure.com/.default'),
            headers: { 'x-ms-version': '2022-11-02' },
          })
        : await call(request.method, target, body);
      if (notBuilt.test(name)) {
        assert.ok([404, 501].includes(reply.status), `${reply.status} ${reply.text}`);
        if (reply.status === 501) assert.match(reply.json.error.message, /does not implement/);
        return;
      }
      const found = compareReply(exchange, reply, [...(excused[name]?.paths ?? []), ...(seeded.allow ?? [])]);
      assert.deepEqual(found, [], `\n${found.join('\n')}`);
    });
  }
});
