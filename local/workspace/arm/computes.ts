/** Computes: records whose node count limits how many jobs the engine runs at once (azure-ml-rest §4, azure-ml-observed §8). */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { badRequest, notBuilt, ServiceError } from '../errors.js';
import type { Router } from '../router.js';
import { assetName, objectOf, propertiesOf, textOf } from '../validate.js';

export interface ComputeRecord {
  name: string;
  location: string;
  tags: Record<string, string> | null;
  computeType: string;
  description: string | null;
  properties: Record<string, unknown>;
  createdOn: string;
  modifiedOn: string;
}

const table = 'computes';
const key = (ws: WorkspaceRecord, name: string) => `${ws.guid}/${name.toLowerCase()}`;

/** A compute of the workspace; every workspace has `cpu-cluster` with four nodes. */
export function compute(ctx: Ctx, ws: WorkspaceRecord, name: string): ComputeRecord | undefined {
  return ctx.store.get<ComputeRecord>(table, key(ws, name)) ?? (name.toLowerCase() === 'cpu-cluster' ? standard(ws) : undefined);
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

function body(ws: WorkspaceRecord, record: ComputeRecord): Record<string, unknown> {
  const cluster = {
    vmPriority: 'Dedicated',
    scaleSettings: { maxNodeCount: 4, minNodeCount: 0, nodeIdleTimeBeforeScaleDown: 'PT2M' },
    subnet: null,
    currentNodeCount: 0,
    targetNodeCount: 0,
    nodeStateCounts: {
      preparingNodeCount: 0,
      runningNodeCount: 0,
      idleNodeCount: 0,
      unusableNodeCount: 0,
      leavingNodeCount: 0,
      preemptedNodeCount: 0,
    },
    allocationState: 'Steady',
    allocationStateTransitionTime: record.modifiedOn,
    errors: null,
    remoteLoginPortPublicAccess: 'Enabled',
    osType: 'Linux',
    virtualMachineImage: null,
    isolatedNetwork: false,
    propertyBag: {},
  };
  return {
    id: `${ws.armId}/computes/${record.name}`,
    name: record.name,
    type: 'Microsoft.MachineLearningServices/workspaces/computes',
    location: record.location,
    tags: record.tags,
    properties: {
      createdOn: record.createdOn,
      modifiedOn: record.modifiedOn,
      disableLocalAuth: false,
      description: record.description,
      resourceId: null,
      computeType: record.computeType,
      computeLocation: record.location,
      provisioningState: 'Succeeded',
      provisioningErrors: null,
      isAttachedCompute: false,
      properties: record.computeType === 'AmlCompute' ? { ...cluster, ...record.properties } : record.properties,
    },
  };
}

export function registerComputes(router: Router, ctx: Ctx): void {
  const all = (ws: WorkspaceRecord): ComputeRecord[] => {
    const stored = ctx.store.entries<ComputeRecord>(table, { prefix: `${ws.guid}/` }).map(({ value }) => value);
    return stored.some((entry) => entry.name === 'cpu-cluster') ? stored : [standard(ws), ...stored];
  };
  // 404 with neither body nor content type, as recorded.
  const missing = () => new ServiceError(404, 'NotFound', 'compute not found', { envelope: 'none' });
  router.workspace('GET', '/computes', 'read', ({ ws }) => ({ body: { value: all(ws).map((entry) => body(ws, entry)) } }));
  router.workspace('GET', '/computes/:name', 'read', ({ ws, params }) => {
    const found = compute(ctx, ws, params['name'] ?? '');
    if (!found) throw missing();
    return { body: body(ws, found) };
  });
  router.workspace(['PUT', 'PATCH'], '/computes/:name', 'write', async ({ ws, params, body: sentBody, apiVersion, method }) => {
    const name = assetName(params['name'], 'Compute', /^[a-zA-Z][a-zA-Z0-9-]{1,23}$/);
    const sent = propertiesOf(sentBody, 'Compute', apiVersion);
    const before = compute(ctx, ws, name);
    if (method === 'PATCH' && !before) throw missing();
    const computeType = textOf(sent['computeType'] ?? before?.computeType);
    if (computeType !== 'AmlCompute')
      throw computeType
        ? notBuilt(`Compute_CreateOrUpdate of computeType ${computeType}`)
        : badRequest('computeType is required.');
    const inner = objectOf(sent['properties']) ?? {};
    const nodes = Number(objectOf(inner['scaleSettings'])?.['maxNodeCount'] ?? 4);
    if (!Number.isInteger(nodes) || nodes < 0 || nodes > 1000)
      throw badRequest('scaleSettings.maxNodeCount must be a whole number from 0 to 1000.');
    const now = ctx.clock.stamp();
    const record: ComputeRecord = {
      name: before?.name ?? name,
      location: String((sentBody as { location?: string }).location ?? ws.location),
      tags: (objectOf((sentBody as { tags?: unknown }).tags) as Record<string, string> | undefined) ?? before?.tags ?? null,
      computeType,
      description: (sent['description'] as string | undefined) ?? before?.description ?? null,
      properties: { ...before?.properties, ...inner },
      createdOn: before?.createdOn ?? now,
      modifiedOn: now,
    };
    const operation = await ctx.store.write((tx) => {
      tx.put(table, key(ws, name), record);
      return ctx.operations.create(tx, {
        style: 'compute',
        location: ws.location,
        subscriptionId: ws.subscriptionId,
        seconds: ctx.latency.seconds('operation'),
        now: ctx.clock.now(),
      });
    });
    return {
      status: method === 'PUT' && !before ? 201 : 200,
      headers: { 'Azure-AsyncOperation': ctx.operations.statusUrl(operation, apiVersion) },
      body: body(ws, record),
    };
  });
  router.workspace('DELETE', '/computes/:name', 'write', async ({ ws, params, apiVersion }) => {
    const name = params['name'] ?? '';
    if (!ctx.store.get(table, key(ws, name))) {
      if (name.toLowerCase() === 'cpu-cluster')
        throw badRequest('cpu-cluster is part of the embedded workspace and cannot be deleted.');
      return { status: 204 };
    }
    const operation = await ctx.store.write((tx) => {
      tx.remove(table, key(ws, name));
      return ctx.operations.create(tx, {
        style: 'compute',
        location: ws.location,
        subscriptionId: ws.subscriptionId,
        seconds: ctx.latency.seconds('operation'),
        now: ctx.clock.now(),
      });
    });
    return {
      status: 202,
      headers: {
        'Azure-AsyncOperation': ctx.operations.statusUrl(operation, apiVersion),
        Location: ctx.operations.resultUrl(operation, apiVersion),
      },
      body: null,
    };
  });
  for (const action of ['listKeys', 'listNodes', 'start', 'stop', 'restart'])
    router.workspace('POST', `/computes/:name/${action}`, action === 'listNodes' ? 'read' : 'write', ({ ws, params }) => {
      if (!compute(ctx, ws, params['name'] ?? '')) throw missing();
      if (action === 'listNodes') return { body: { nodes: [], nextLink: null } };
      throw notBuilt(`Compute_${action}`);
    });
}
