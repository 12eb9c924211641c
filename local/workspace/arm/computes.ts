/** Computes: records whose node count limits how many jobs the engine runs at once (azure-ml-rest §4, azure-ml-observed §8). */
import { offset } from '../clock.js';
import type { Answer, Ctx, Principal, WorkspaceRecord } from '../context.js';
import { badRequest, notBuilt, ServiceError } from '../errors.js';
import { page } from '../assets/view.js';
import type { Router } from '../router.js';
import { assetName, objectOf, propertiesOf, textOf } from '../validate.js';

interface ComputeRecord {
  name: string;
  location: string;
  tags: Record<string, string> | null;
  computeType: string;
  description: string | null;
  properties: Record<string, unknown>;
  identity?: unknown;
  /** Of a compute instance. */
  state?: 'Running' | 'Stopped';
  lastOperation?: Record<string, unknown>;
  /** Only of `cpu-cluster`, which would be there without a record. */
  deleted?: true;
  createdBy?: string;
  createdOn: string;
  modifiedOn: string;
  /** Epoch milliseconds from which on it has been made. */
  due?: number;
}

const table = 'computes';
const key = (ws: WorkspaceRecord, name: string) => `${ws.guid}/${name.toLowerCase()}`;

/** A compute of the workspace; every workspace has `cpu-cluster` with four nodes. */
export function compute(ctx: Ctx, ws: WorkspaceRecord, name: string): ComputeRecord | undefined {
  const found = ctx.store.get<ComputeRecord>(table, key(ws, name));
  if (found) return found.deleted ? undefined : found;
  return name.toLowerCase() === 'cpu-cluster' ? standard(ws) : undefined;
}

function standard(ws: WorkspaceRecord): ComputeRecord {
  return {
    name: 'cpu-cluster',
    location: ws.location,
    tags: {},
    computeType: 'AmlCompute',
    description: null,
    properties: {
      vmSize: 'STANDARD_DS3_V2',
      scaleSettings: { maxNodeCount: 4, minNodeCount: 0, nodeIdleTimeBeforeScaleDown: 'PT2M' },
    },
    createdOn: ws.createdAt,
    modifiedOn: ws.createdAt,
  };
}

/** Members of an AmlCompute; while it is being made, what a cluster would tell is null or absent. */
function cluster(record: ComputeRecord, creating: boolean): Record<string, unknown> {
  const { vmSize, userAccountCredentials, ...sent } = record.properties;
  const user = objectOf(userAccountCredentials);
  return {
    vmSize: typeof vmSize === 'string' ? vmSize.toUpperCase() : vmSize,
    vmPriority: 'Dedicated',
    scaleSettings: { maxNodeCount: 4, minNodeCount: 0, nodeIdleTimeBeforeScaleDown: 'PT2M' },
    ...(user && !creating ? { userAccountCredentials: { ...user, adminUserPassword: null } } : {}),
    subnet: null,
    currentNodeCount: creating ? null : 0,
    targetNodeCount: creating ? null : 0,
    nodeStateCounts: creating
      ? null
      : {
          preparingNodeCount: 0,
          runningNodeCount: 0,
          idleNodeCount: 0,
          unusableNodeCount: 0,
          leavingNodeCount: 0,
          preemptedNodeCount: 0,
        },
    allocationState: creating ? null : 'Steady',
    ...(creating ? {} : { allocationStateTransitionTime: offset(record.modifiedOn) }),
    errors: null,
    remoteLoginPortPublicAccess: 'Enabled',
    osType: 'Linux',
    virtualMachineImage: null,
    isolatedNetwork: false,
    ...(creating ? {} : { propertyBag: {} }),
    ...sent,
  };
}

/** Members of a ComputeInstance. No machine stands behind it: no addresses, no applications. */
function instance(ctx: Ctx, record: ComputeRecord, creating: boolean): Record<string, unknown> {
  const { vmSize, sshSettings, applicationSharingPolicy, schedules, ...sent } = record.properties;
  return {
    vmSize: typeof vmSize === 'string' ? vmSize.toUpperCase() : vmSize,
    subnet: null,
    sshSettings: creating
      ? null
      : {
          sshPublicAccess: 'Disabled',
          adminUserName: 'azureuser',
          sshPort: null,
          ...objectOf(sshSettings),
          adminPublicKey: null,
        },
    autologgerSettings: null,
    errors: creating ? null : [],
    connectivityEndpoints: creating ? null : { publicIpAddress: null, privateIpAddress: null },
    applications: creating ? null : [],
    state: creating ? null : (record.state ?? 'Running'),
    lastOperation: creating ? null : (record.lastOperation ?? null),
    createdBy: { userOrgId: ctx.world.tenantId, userId: record.createdBy ?? null },
    applicationSharingPolicy: creating ? null : (applicationSharingPolicy ?? 'Shared'),
    computeInstanceAuthorizationType: 'personal',
    personalComputeInstanceSettings: null,
    setupScripts: null,
    ...(creating ? {} : { schedules: schedules ?? { computeStartStop: [] } }),
    dataMounts: null,
    dataDisks: null,
    containers: null,
    updateStatus: null,
    versions: null,
    customServices: creating ? null : [],
    osImageMetadata: null,
    ...sent,
  };
}

/** `creating`: the reply to a PUT; else it shows as being made for as long as its operation takes (`--latency operation=…`). */
function body(
  ctx: Ctx,
  ws: WorkspaceRecord,
  record: ComputeRecord,
  creating = (record.due ?? 0) > ctx.clock.now().getTime(),
): Record<string, unknown> {
  return {
    id: `${ws.armId}/computes/${record.name}`,
    name: record.name,
    type: 'Microsoft.MachineLearningServices/workspaces/computes',
    location: record.location,
    tags: record.tags ?? (creating ? null : {}),
    ...(record.identity === undefined ? {} : { identity: record.identity }),
    properties: {
      createdOn: offset(record.createdOn),
      modifiedOn: offset(record.modifiedOn),
      disableLocalAuth: false,
      description: record.description,
      resourceId: null,
      computeType: record.computeType,
      ...(creating ? {} : { computeLocation: record.location }),
      provisioningState: creating ? 'Creating' : 'Succeeded',
      provisioningErrors: null,
      isAttachedCompute: false,
      properties: record.computeType === 'AmlCompute' ? cluster(record, creating) : instance(ctx, record, creating),
    },
  };
}

/** An identity as it is answered: the system's own gets ids. */
function identityOf(ctx: Ctx, ws: WorkspaceRecord, sent: unknown): unknown {
  const identity = objectOf(sent);
  if (!identity) return undefined;
  const system = /SystemAssigned/i.test(textOf(identity['type']));
  return { ...identity, ...(system ? { principalId: ws.guid, tenantId: ctx.world.tenantId } : {}) };
}

/** What is stored of a compute that was sent. Throws 400, and 501 for kinds that are not built. */
function recordOf(
  ctx: Ctx,
  ws: WorkspaceRecord,
  name: string,
  resource: unknown,
  apiVersion: string,
  before: ComputeRecord | undefined,
  by: Principal,
): ComputeRecord {
  const sent = propertiesOf(resource, 'Compute', apiVersion);
  const computeType = textOf(sent['computeType'] ?? before?.computeType);
  if (computeType !== 'AmlCompute' && computeType !== 'ComputeInstance')
    throw computeType ? notBuilt(`Compute_CreateOrUpdate of computeType ${computeType}`) : badRequest('computeType is required.');
  if (before && before.computeType !== computeType)
    throw badRequest(`Compute ${name} is of type ${before.computeType}; the type of a compute cannot be changed.`);
  const inner = objectOf(sent['properties']) ?? {};
  const nodes = Number(objectOf(inner['scaleSettings'])?.['maxNodeCount'] ?? 4);
  if (!Number.isInteger(nodes) || nodes < 0 || nodes > 1000)
    throw badRequest('scaleSettings.maxNodeCount must be a whole number from 0 to 1000.');
  const now = ctx.clock.stamp();
  const { location, tags, identity } = objectOf(resource) ?? {};
  const known = identityOf(ctx, ws, identity) ?? before?.identity;
  const run = computeType === 'ComputeInstance' ? instanceState(ctx, before) : {};
  return {
    name: before?.name ?? name,
    location: typeof location === 'string' ? location : (before?.location ?? ws.location),
    tags: (objectOf(tags) as Record<string, string> | undefined) ?? before?.tags ?? null,
    computeType,
    description: (sent['description'] as string | undefined) ?? before?.description ?? null,
    properties: { ...before?.properties, ...inner },
    ...(known === undefined ? {} : { identity: known }),
    ...run,
    createdBy: before?.createdBy ?? by.objectId,
    createdOn: before?.createdOn ?? now,
    modifiedOn: now,
  };
}

function instanceState(ctx: Ctx, before: ComputeRecord | undefined): Pick<ComputeRecord, 'state' | 'lastOperation'> {
  return {
    state: before?.state ?? 'Running',
    lastOperation: before?.lastOperation ?? operationRecord(ctx, 'Create'),
  };
}
const operationRecord = (ctx: Ctx, operationName: string): Record<string, unknown> => ({
  operationName,
  operationTime: ctx.clock.stamp(),
  operationStatus: 'Succeeded',
  operationTrigger: 'User',
});

export function registerComputes(router: Router, ctx: Ctx): void {
  const all = (ws: WorkspaceRecord): ComputeRecord[] => {
    const stored = ctx.store.entries<ComputeRecord>(table, { prefix: `${ws.guid}/` }).map(({ value }) => value);
    const shown = stored.filter((entry) => !entry.deleted);
    return stored.some((entry) => entry.name === 'cpu-cluster') ? shown : [standard(ws), ...shown];
  };
  // 404 with neither body nor content type, as recorded.
  const missing = () => new ServiceError(404, 'NotFound', 'compute not found', { envelope: 'none' });
  /** Writes (`undefined`: removes) and begins the operation that the client polls: `Azure-AsyncOperation` alone. */
  const begin = async (
    ws: WorkspaceRecord,
    name: string,
    record: ComputeRecord | undefined,
    apiVersion: string,
  ): Promise<Record<string, string>> => {
    const operation = await ctx.store.write((tx) => {
      if (record) tx.put(table, key(ws, name), record);
      else tx.remove(table, key(ws, name));
      return ctx.operations.create(tx, {
        style: 'compute',
        location: ws.location,
        subscriptionId: ws.subscriptionId,
        seconds: ctx.latency.seconds('operation'),
        now: ctx.clock.now(),
      });
    });
    return { 'Azure-AsyncOperation': ctx.operations.statusUrl(operation, apiVersion) };
  };
  router.workspace('GET', '/computes', 'read', ({ ws, query, path }) => {
    const { page: shown, nextLink } = page(all(ws), query, `${ctx.urls.base}${path}`, 100);
    return { body: { value: shown.map((entry) => body(ctx, ws, entry)), ...(nextLink ? { nextLink } : {}) } };
  });
  router.workspace('GET', '/computes/:name', 'read', ({ ws, params }) => {
    const found = compute(ctx, ws, params['name'] ?? '');
    if (!found) throw missing();
    return { body: body(ctx, ws, found) };
  });
  router.workspace(['PUT', 'PATCH'], '/computes/:name', 'write', async (call): Promise<Answer> => {
    const { ws, params, apiVersion, method, principal } = call;
    const name = assetName(params['name'], 'Compute', /^[a-zA-Z][a-zA-Z0-9-]{1,23}$/);
    const before = compute(ctx, ws, name);
    if (method === 'PATCH' && !before) throw missing();
    const due = ctx.clock.now().getTime() + ctx.latency.seconds('operation') * 1000;
    const record = { ...recordOf(ctx, ws, name, call.body, apiVersion, before, principal), ...(method === 'PUT' ? { due } : {}) };
    const headers = await begin(ws, name, record, apiVersion);
    // A PUT on a compute that is there is a 201 in the state Creating, too.
    return method === 'PUT'
      ? { status: 201, headers, body: body(ctx, ws, record, true) }
      : { headers, body: body(ctx, ws, record, false) };
  });
  router.workspace('DELETE', '/computes/:name', 'write', async ({ ws, params, apiVersion }) => {
    const name = params['name'] ?? '';
    const found = compute(ctx, ws, name);
    if (!found) return { status: 204 };
    const left = found.name === 'cpu-cluster' ? ({ ...found, deleted: true } as const) : undefined;
    return { status: 202, headers: await begin(ws, name, left, apiVersion) };
  });
  const states = { start: 'Running', stop: 'Stopped', restart: 'Running' } as const;
  const action = (name: 'start' | 'stop' | 'restart') =>
    router.workspace('POST', `/computes/:name/${name}`, 'write', async ({ ws, params, apiVersion }) => {
      const found = compute(ctx, ws, params['name'] ?? '');
      if (!found) throw missing();
      if (found.computeType !== 'ComputeInstance')
        throw badRequest(`Compute ${found.name} is a ${found.computeType}: only a ComputeInstance can ${name}.`);
      const lastOperation = operationRecord(ctx, `${name[0]?.toUpperCase()}${name.slice(1)}`);
      const record = { ...found, state: states[name], lastOperation, modifiedOn: ctx.clock.stamp() };
      return { status: 202, headers: await begin(ws, found.name, record, apiVersion) };
    });
  for (const name of ['start', 'stop', 'restart'] as const) action(name);
  router.workspace('POST', '/computes/:name/listNodes', 'read', ({ ws, params }) => {
    if (!compute(ctx, ws, params['name'] ?? '')) throw missing();
    return { body: { nodes: [], nextLink: null } };
  });
  router.workspace('POST', '/computes/:name/listKeys', 'write', ({ ws, params }) => {
    if (!compute(ctx, ws, params['name'] ?? '')) throw missing();
    throw notBuilt('Compute_ListKeys');
  });
}
