/** Making and deleting workspaces over ARM (Workspaces_CreateOrUpdate, Workspaces_Delete; azure-ml-rest §4). */
import type { Answer, Call, Ctx, WorkspaceRecord } from '../context.js';
import { badRequest, notBuilt } from '../errors.js';
import type { Rights } from '../identity/rights.js';
import type { Router } from '../router.js';
import type { Blobs } from '../storage/blobs.js';
import { Datastores } from '../storage/datastores.js';
import { assetName, objectOf, placeNames, textOf, trackedResource } from '../validate.js';
import { accountOf, workspaceRecord } from '../world-records.js';
import { accountNamed, oneByOne, openAccount } from './accounts.js';
import { changeWorkspace, there, workspaceSettingsTable, type WorkspaceSettings } from './workspace-update.js';
import { workspaceBody } from './workspaces.js';

/** Kept as they are sent: addresses of resources that nothing here stands behind, and descriptions. */
const kept = new Set([
  'description',
  'friendlyName',
  'imageBuildCompute',
  'keyVault',
  'applicationInsights',
  'containerRegistry',
  'hbiWorkspace',
]);
/** Only the service sets them; clients that copy a workspace send them along. */
const readOnly = new Set(
  'workspaceId tenantId provisioningState creationTime notebookInfo privateLinkCount mlFlowTrackingUri discoveryUrl serviceProvisionedResourceGroup linkedModelInventoryArmId sdkTelemetryAppInsightsKey sasGetterUri storageHnsEnabled privateEndpointConnections softDeletedAt scheduledPurgeDate associatedWorkspaces'.split(
    ' ',
  ),
);

/** True for what asks for nothing: absent, false, empty, and objects of such members. */
function plain(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  if (typeof value === 'string') return /^(|false|none|null)$/i.test(value);
  return typeof value === 'object' && Object.values(value).every(plain);
}

export interface Lifecycle {
  /** A PUT: makes a workspace, or changes the one that is there. */
  put(call: Pick<Call, 'params' | 'principal' | 'apiVersion' | 'body'>): Promise<{ ws: WorkspaceRecord; made: boolean }>;
}

export function registerLifecycle(router: Router, ctx: Ctx, rights: Rights, storage: Blobs): Lifecycle {
  const path =
    '/subscriptions/:subscriptionId/resourceGroups/:resourceGroup/providers/Microsoft.MachineLearningServices/workspaces/:workspace';
  const turn = oneByOne();

  /** The gateway's checks; the workspace, when it is there. */
  const find = ({ params, principal }: Pick<Call, 'params' | 'principal'>): WorkspaceRecord | undefined => {
    const { subscriptionId = '', resourceGroup = '', workspace = '' } = params;
    rights.checkGroup(principal, subscriptionId, resourceGroup, 'write', 'workspaces', workspace);
    const found = ctx.world.workspace(subscriptionId, resourceGroup, workspace);
    if (found) rights.check(principal, found.armId, 'write', 'workspaces');
    return found;
  };
  const operation = (ws: WorkspaceRecord, seconds: number) => ({
    style: 'workspace' as const,
    location: ws.location,
    subscriptionId: ws.subscriptionId,
    seconds,
    now: ctx.clock.now(),
  });

  const make = async (call: Pick<Call, 'params' | 'principal' | 'apiVersion' | 'body'>): Promise<WorkspaceRecord> => {
    const { params, principal, apiVersion } = call;
    const name = assetName(params['workspace'], 'Workspace', placeNames);
    const { sent, properties, location, tags } = trackedResource(call.body, 'Workspace', apiVersion);
    const place = ctx.world
      .resourceGroups()
      .find(
        (entry) =>
          entry.name.toLowerCase() === params['resourceGroup']?.toLowerCase() &&
          entry.subscriptionId.toLowerCase() === params['subscriptionId']?.toLowerCase(),
      );
    if (!place) throw badRequest(`Resource group ${params['resourceGroup']} is not there.`); // `find` has said so already.
    const mode = textOf(properties['systemDatastoresAuthMode']).toLowerCase();
    if (mode && mode !== 'accesskey' && mode !== 'identity')
      throw notBuilt(`Workspaces_CreateOrUpdate with properties.systemDatastoresAuthMode ${mode}`);
    const record = workspaceRecord({
      index: Math.max(-1, ...ctx.world.workspaces().map((ws) => ws.index)) + 1,
      ...{ name, location, subscriptionId: place.subscriptionId, resourceGroup: place.name },
      storageMode: mode ? (mode === 'identity' ? 'identity' : 'keys') : ctx.world.storageMode,
      createdAt: ctx.clock.stamp(),
      owner: principal.name,
      creatingUntil: ctx.clock.now().getTime() + ctx.latency.seconds('operation') * 1000,
      ...(tags ? { tags } : {}),
    });
    const id = properties['storageAccount'];
    const account =
      typeof id === 'string' && id ? accountNamed(ctx, rights, principal, id, accountOf(record)) : accountOf(record);
    record.account = account.name;
    if (account.storageMode !== record.storageMode) {
      if (mode)
        throw notBuilt(
          `Workspaces_CreateOrUpdate with another systemDatastoresAuthMode than storage account ${account.name} has`,
        );
      record.storageMode = account.storageMode;
    }
    const settings = wishes(ctx, record, sent, properties);
    await openAccount(ctx, account, principal);
    if (account.storageMode === 'identity') await storage.renewDelegation(account.name);
    await Promise.all([record.blobContainer, 'azureml'].map((container) => storage.ensureContainer(record.account, container)));
    await ctx.world.change((tx) => {
      tx.put('workspaces', record.guid, record);
      tx.put(workspaceSettingsTable, record.guid, {
        ...settings,
        lastModifiedAt: record.createdAt,
        lastModifiedBy: principal.name,
      });
      Datastores.seed(tx, record, `core.localhost:${ctx.urls.storagePort}`, record.createdAt);
    });
    return record;
  };

  /** Takes the workspace away at once; its jobs are ended and its records removed behind the operation that is polled. */
  const remove = async (ws: WorkspaceRecord) => {
    const begun = await ctx.world.change((tx) => {
      for (const { key, value } of tx.entries<WorkspaceRecord>('workspaces'))
        if (value.guid === ws.guid) tx.remove('workspaces', key);
      if (ws.owner === undefined) tx.put('removed', `workspaces/${ws.name.toLowerCase()}`, ctx.clock.stamp());
      tx.put('storageAccounts', ws.account, accountOf(ws));
      const { subscriptionId, resourceGroup: name, location } = ws;
      tx.put('resourceGroups', `${subscriptionId}/${name.toLowerCase()}`, { subscriptionId, name, location });
      return ctx.operations.create(tx, operation(ws, Infinity));
    });
    const until = ctx.clock.now().getTime() + ctx.latency.seconds('operation') * 1000;
    const rest = async (): Promise<void> => {
      await ctx.hooks.endJobs?.(ws);
      await ctx.store.removeBelow(`${ws.guid}/`);
    };
    const end = async (error?: { code: string; message: string }) =>
      await ctx.store.write((tx) => {
        tx.remove(workspaceSettingsTable, ws.guid);
        ctx.operations.finish(tx, begun.id, Math.max(until, ctx.clock.now().getTime()), error);
      });
    rest()
      .then(
        async () => await end(),
        async (error: unknown) => {
          ctx.log.error(`Workspace ${ws.name} was not cleaned up`, error);
          await end({ code: 'ServiceError', message: 'The jobs of the workspace could not be ended.' });
        },
      )
      .catch((error: unknown) => {
        ctx.log.error(`The end of ${begun.id} could not be noted`, error);
      });
    return begun;
  };

  const lifecycle: Lifecycle = {
    put: async (call) =>
      await turn(async () => {
        const found = find(call);
        if (!found) return { ws: await make(call), made: true };
        trackedResource(call.body, 'Workspace', call.apiVersion, found);
        await changeWorkspace(ctx, found, call.body, call.principal, 'Workspaces_CreateOrUpdate');
        return { ws: found, made: false };
      }),
  };
  router.public('PUT', path, 'write', async (call): Promise<Answer> => {
    const { ws, made } = await lifecycle.put(call);
    if (!made) return { body: workspaceBody(ctx, ws, call.apiVersion) };
    const begun = await ctx.store.write((tx) => ctx.operations.create(tx, operation(ws, ctx.latency.seconds('operation'))));
    return {
      status: 201,
      headers: { 'Azure-AsyncOperation': ctx.operations.statusUrl(begun, call.apiVersion) },
      body: workspaceBody(ctx, ws, call.apiVersion),
    };
  });
  router.public('DELETE', path, 'write', async (call): Promise<Answer> => {
    const begun = await turn(async () => {
      const found = find(call);
      return found && (await remove(found));
    });
    if (!begun) return { status: 204 };
    return {
      status: 202,
      headers: {
        'Azure-AsyncOperation': ctx.operations.statusUrl(begun, call.apiVersion),
        Location: ctx.operations.resultUrl(begun, call.apiVersion),
      },
      body: null,
    };
  });
  return lifecycle;
}

/** What of a body is kept; throws 501 for the first member that would ask for more than a record. */
function wishes(
  ctx: Ctx,
  record: WorkspaceRecord,
  sent: Record<string, unknown>,
  properties: Record<string, unknown>,
): Pick<WorkspaceSettings, 'properties'> {
  const usual = workspaceBody(ctx, record, '');
  // Nothing stands behind them: a workspace that was made without them has none.
  const found: Record<string, unknown> = { keyVault: null, applicationInsights: null, containerRegistry: null };
  for (const [member, value] of Object.entries(properties)) {
    if (readOnly.has(member) || member === 'storageAccount' || member === 'systemDatastoresAuthMode') continue;
    if (kept.has(member)) {
      if (value != null && value !== '') found[member] = member === 'hbiWorkspace' ? /^true$/i.test(textOf(value)) : value;
    } else if (member === 'encryption' && /^disabled$/i.test(textOf(objectOf(value)?.['status']))) continue;
    else if (!plain(value) && !there(value, objectOf(usual['properties'])?.[member]))
      throw notBuilt(`Workspaces_CreateOrUpdate with properties.${member}`);
  }
  for (const member of ['identity', 'sku', 'kind'])
    if (!plain(sent[member]) && !there(sent[member], usual[member])) throw notBuilt(`Workspaces_CreateOrUpdate with ${member}`);
  return { properties: found };
}
