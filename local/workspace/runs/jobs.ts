/** The ARM job: its document beside the run record, how a PUT completes and merges it, and how it is shown (azure-ml-observed.md §1). */
import { offset } from '../clock.js';
import type { Ctx, WorkspaceRecord } from '../context.js';
import { invalidBody, ServiceError } from '../errors.js';
import type { Reader } from './access.js';
import { asObject, asText, either, type Json } from '../engine/json.js';
import { lastSegment } from '../engine/uris.js';
import { atLeast, commandBody, nulls, pipelineBody, sweepBody } from './job-kinds.js';
import type { RunRecord } from './record.js';

/** What only ARM shows of a job. Status, tags, properties, display name, description and archive flag are the run's. */
export interface JobDocument {
  name: string;
  workspace: string;
  /** The body's `properties`, completed. */
  properties: Json;
  createdAt: string;
  createdBy: string;
  lastModifiedAt?: string;
  lastModifiedBy?: string;
}

const key = (workspace: string, name: string): string => `${workspace}/${name.toLowerCase()}`;
export const jobTable = 'jobs';

export function getJob(reader: Reader, workspace: string, name: string): JobDocument | undefined {
  return reader.get<JobDocument>(jobTable, key(workspace, name));
}

export function jobKey(document: JobDocument): string {
  return key(document.workspace, document.name);
}

/** Names that ARM takes for a job (azure-ml-rest.md §0). @throws ServiceError 400 */
export function checkJobName(name: string): void {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}$/.test(name))
    throw new ServiceError(400, 'UserError', `The job name '${name.slice(0, 260)}' is not valid.`, {
      target: 'id',
      details: [
        {
          code: 'InvalidJobName',
          message: 'A name has letters, digits, - and _, begins with a letter or digit and is at most 255 long.',
          target: 'id',
        },
      ],
      inner: ['BadArgument', 'ArgumentInvalid'],
    });
}

/** Members of a job body that the service knows, by job type (spec 2025-09-01 and the previews that the clients use). */
const baseMembers =
  'componentId computeId description displayName experimentName identity isArchived notificationSetting properties services tags jobType status parentJobName secretsConfiguration schedule';
const members: Record<string, string> = {
  command:
    'autologgerSettings codeId command distribution environmentId environmentVariables inputs limits outputs parameters queueSettings resources',
  pipeline: 'inputs jobs outputs settings sourceJobId bindings',
  sweep:
    'earlyTermination inputs limits objective outputs queueSettings resources samplingAlgorithm searchSpace trial componentConfiguration',
};
const outputMembers = 'description uri assetName assetVersion mode jobOutputType autoDeleteSetting pathOnCompute';
const inputMembers = 'description uri mode jobInputType value pathOnCompute';

/** The service refuses members that it does not know (azure-ml-observed.md §0). @throws ServiceError 400 `RequestInvalid` */
export function checkMembers(properties: Json, apiVersion: string): void {
  const type = (asText(properties['jobType']) ?? '').toLowerCase();
  const own = members[type];
  if (own === undefined) return;
  const details: { code: string; message: string }[] = [];
  const text = JSON.stringify({ properties });
  // The service reads each such object on its own: paths begin there, positions do not.
  const check = (object: Json, known: string, typeName: string): void => {
    for (const name of Object.keys(object))
      if (!known.split(' ').includes(name))
        details.push({
          code: 'RequestInvalid',
          message: `Could not find member '${name}' on object of type '${typeName}'. Path '${name}', line 1, position ${text.indexOf(JSON.stringify(name)) + name.length + 3}.`,
        });
  };
  check(properties, `${baseMembers} ${own}`, `${type[0]?.toUpperCase()}${type.slice(1)}Job`);
  // assetVersion: known in the previews of 2022 and 2024, refused by 2025-01-01-preview.
  const outputs = apiVersion === '2025-01-01-preview' ? outputMembers.replace('assetVersion ', '') : outputMembers;
  const typeName = (object: Json, member: string, suffix: string): string =>
    (asText(object[member]) ?? 'literal').replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase()) + suffix;
  for (const value of Object.values(asObject(properties['outputs'])))
    check(asObject(value), outputs, typeName(asObject(value), 'jobOutputType', 'JobOutput'));
  for (const value of Object.values(asObject(properties['inputs'])))
    check(asObject(value), inputMembers, typeName(asObject(value), 'jobInputType', 'JobInput'));
  for (const [name, value] of Object.entries(asObject(properties['inputs'])))
    if (/^literal$/i.test(asText(asObject(value)['jobInputType']) ?? '') && asObject(value)['value'] == null)
      details.push({
        code: 'RequestInvalid',
        message: `Required property 'value' not found in JSON. Path 'inputs.${name}', line 1, position ${text.indexOf(JSON.stringify(name)) + name.length + 3}.`,
      });
  if (details.length > 0) throw invalidBody(details);
}

/** Texts by name; values that are not text become it, as the service does. */
export function texts(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(asObject(value)).map(([name, entry]) => [
      name,
      entry === null ? (null as unknown as string) : (asText(entry) ?? JSON.stringify(entry)),
    ]),
  );
}

const pascal = (flag: boolean): string => (flag ? 'True' : 'False');

/** Properties that the service adds to a job when it is created. */
export function serviceProperties(ctx: Ctx, ws: WorkspaceRecord, body: Json): Record<string, string> {
  const type = (asText(body['jobType']) ?? '').toLowerCase();
  const computeId = asText(body['computeId']);
  if (type !== 'pipeline')
    return { '_azureml.ComputeTargetType': 'amlctrain', ...(computeId && { '_azureml.ClusterName': lastSegment(computeId) }) };
  const settings = asObject(body['settings']);
  const componentId = asText(body['componentId']);
  const compute = asText(either(settings, 'default_compute')) ?? computeId;
  const datastore = asText(either(settings, 'default_datastore'));
  const flag = (name: string): boolean | undefined => {
    const text = asText(either(settings, name));
    return text === undefined ? undefined : /^true$/i.test(text);
  };
  const rerun = flag('force_rerun');
  return {
    'azureml.DevPlatv2': 'true',
    'azureml.runsource': 'azureml.PipelineRun',
    runSource: 'MFE',
    runType: 'HTTP',
    'azureml.parameters': JSON.stringify(literals(body)),
    'azureml.continue_on_step_failure': pascal(flag('continue_on_step_failure') ?? componentId !== undefined),
    'azureml.continue_on_failed_optional_input': pascal(flag('continue_on_failed_optional_input') ?? true),
    ...(rerun !== undefined && { 'azureml.enforceRerun': pascal(rerun) }),
    ...(compute !== undefined && { 'azureml.defaultComputeName': lastSegment(compute) }),
    'azureml.defaultDataStoreName': datastore === undefined ? ctx.storage.defaultDatastore(ws) : lastSegment(datastore),
    'azureml.pipelineComponent': 'pipelinerun',
    ...(componentId !== undefined && { 'azureml.SourceComponentId': componentId }),
  };
}

function literals(body: Json): Record<string, string> {
  return Object.fromEntries(
    Object.entries(asObject(body['inputs'])).flatMap(([name, value]) => {
      const text = asText(asObject(value)['value']);
      return text === undefined ? [] : [[name, text]];
    }),
  );
}

export function shownInputs(inputs: unknown): Json {
  return Object.fromEntries(
    Object.entries(asObject(inputs)).map(([name, raw]) => {
      const input = asObject(raw);
      const literal = (asText(input['jobInputType']) ?? 'literal') === 'literal';
      return [name, { description: null, ...(literal ? { value: null } : { uri: null, mode: 'ReadOnlyMount' }), ...input }];
    }),
  );
}

/** `registered`: the members that tell under which name an output is registered; they come and go with the api-version. */
export function shownOutputs(outputs: unknown, registered: readonly string[]): Json {
  return Object.fromEntries(
    Object.entries(asObject(outputs)).map(([name, raw]) => [
      name,
      {
        description: null,
        uri: null,
        ...Object.fromEntries(registered.map((member) => [member, null])),
        mode: 'ReadWriteMount',
        ...asObject(raw),
      },
    ]),
  );
}

/** Services of a job: tracking and Studio (azure-ml-observed.md §1). */
function servicesOf(ctx: Ctx, ws: WorkspaceRecord, name: string, own: unknown, early: boolean): Json {
  const service = (type: string, endpoint: string): Json => ({
    jobServiceType: type,
    port: null,
    endpoint,
    status: null,
    errorMessage: null,
    properties: null,
    ...(!early && { nodes: null }),
  });
  const host = ctx.urls.base.replace(/^https:\/\//, '');
  return {
    ...Object.fromEntries(
      Object.entries(asObject(own)).map(([key, value]) => [
        key,
        nulls(asObject(value), 'jobServiceType port endpoint status errorMessage properties nodes'),
      ]),
    ),
    Tracking: service('Tracking', `azureml://${host}${ctx.urls.mlflow(ws, 'v1.0')}?`),
    Studio: service(
      'Studio',
      `${ctx.urls.base}/runs/${name}?wsid=/subscriptions/${ws.subscriptionId}/resourcegroups/${ws.resourceGroup}/workspaces/${ws.name}`,
    ),
  };
}

/**
 * A job as ARM answers it. `status` is given, because faults may hide the run's own. `made`: the reply to the PUT that made it, in which
 * a job without a compute has none; later the service has filled it in.
 */
export function jobBody(
  ctx: Ctx,
  ws: WorkspaceRecord,
  document: JobDocument,
  run: RunRecord,
  status: string,
  apiVersion: string,
  made = false,
): Json {
  const { properties } = document;
  const version = apiVersion || '2025-09-01';
  const newest = atLeast(version, '2025-01-01');
  const early = !atLeast(version, '2022-06-01');
  const type = (asText(properties['jobType']) ?? '').toLowerCase();
  const { '_azureml.ClusterName': cluster, ...added } = run.properties;
  const computeId =
    properties['computeId'] ?? (made || type === 'pipeline' ? null : `${ws.armId}/computes/${run.target ?? 'serverless'}`);
  const base: Json = {
    description: run.description ?? null,
    tags: run.tags,
    // The name of the cluster came with later versions.
    properties: atLeast(version, '2023') && cluster !== undefined ? { ...added, '_azureml.ClusterName': cluster } : added,
    ...(newest && { parentJobName: null }),
    displayName: run.displayName,
    status,
    experimentName: run.experimentName,
    services: servicesOf(ctx, ws, document.name, properties['services'], early),
    computeId,
    isArchived: run.hidden,
    identity: properties['identity'] ?? null,
    ...(version === '2022-02-01-preview' && { schedule: null }),
    ...(!early && { componentId: properties['componentId'] ?? null }),
    ...(atLeast(version, '2023-04-01') && { notificationSetting: properties['notificationSetting'] ?? null }),
    jobType: properties['jobType'],
  };
  const registered = early ? [] : version === '2025-01-01-preview' ? ['assetName'] : ['assetName', 'assetVersion'];
  const inputs = shownInputs(properties['inputs']);
  const outputs = shownOutputs(properties['outputs'], registered);
  const specific =
    type === 'command'
      ? commandBody(properties, inputs, outputs, version, computeId !== null)
      : type === 'pipeline'
        ? pipelineBody(properties, inputs, outputs)
        : { ...sweepBody(properties, inputs, outputs, version, computeId !== null), ...base };
  return {
    id: `${ws.armId}/jobs/${document.name}`,
    name: document.name,
    type: 'Microsoft.MachineLearningServices/workspaces/jobs',
    properties: { ...base, ...specific },
    systemData: systemData(document),
  };
}

/** `lastModified*` is absent until something changes. */
export function systemData(document: JobDocument): Json {
  return {
    createdAt: offset(document.createdAt),
    createdBy: document.createdBy,
    createdByType: 'Application',
    ...(document.lastModifiedAt !== undefined && {
      lastModifiedAt: document.lastModifiedAt,
      lastModifiedBy: document.lastModifiedBy,
      lastModifiedByType: 'Application',
    }),
  };
}

/** The service's own output of a command job: its artifacts, in the odd form without `/paths/`. */
export function defaultOutput(name: string): Json {
  return {
    uri: `azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.${name}`,
    mode: 'ReadWriteMount',
    jobOutputType: 'uri_folder',
  };
}
