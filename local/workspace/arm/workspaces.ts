/** Workspaces and what surrounds them in the resource manager: subscriptions, resource groups, permissions, storage accounts. */
import type { Answer, Ctx, WorkspaceRecord } from '../context.js';
import { notBuilt, ServiceError } from '../errors.js';
import type { Router } from '../router.js';
import { registerWorkspaceUpdate, workspaceSettings } from './workspace-update.js';

const provider = '/providers/Microsoft.MachineLearningServices';

/** Members that came with later api-versions. */
const since2023 = new Set([
  'managedNetwork',
  'allowRoleAssignmentOnRG',
  'creationTime',
  'ipAllowlist',
  'serverlessComputeSettings',
  'EnableSoftwareBillOfMaterials',
  'systemDatastoresAuthMode',
  'enableServiceSideCMKEncryption',
]);

function known(apiVersion: string, properties: Record<string, unknown>): Record<string, unknown> {
  if (apiVersion === '' || apiVersion >= '2023') return properties;
  return Object.fromEntries(Object.entries(properties).filter(([member]) => !since2023.has(member)));
}

/** A workspace as ARM answers it. */
export function workspaceBody(ctx: Ctx, ws: WorkspaceRecord, apiVersion: string): Record<string, unknown> {
  const group = `/subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}`;
  const host = ctx.urls.base.replace('https://', '');
  const settings = workspaceSettings(ctx, ws);
  return {
    id: ws.armId,
    name: ws.name,
    type: 'Microsoft.MachineLearningServices/workspaces',
    location: ws.location,
    tags: settings?.tags ?? ws.tags,
    etag: null,
    properties: known(apiVersion, {
      friendlyName: ws.name,
      description: '',
      storageAccount: `${group}/providers/Microsoft.Storage/storageAccounts/${ws.account}`,
      keyVault: `${group}/providers/Microsoft.Keyvault/vaults/kv-${ws.name}`,
      applicationInsights: `${group}/providers/Microsoft.insights/components/ai-${ws.name}`,
      hbiWorkspace: false,
      tenantId: ctx.world.tenantId,
      imageBuildCompute: null,
      provisioningState: 'Succeeded',
      managedNetwork: {
        changeableIsolationModes: ['AllowInternetOutbound', 'AllowOnlyApprovedOutbound'],
        isolationMode: 'Disabled',
      },
      allowRoleAssignmentOnRG: true,
      v1LegacyMode: false,
      softDeleteEnabled: false,
      // Names in the form that clients expect; nothing stands behind them.
      containerRegistry: `${group}/providers/Microsoft.ContainerRegistry/registries/cr${ws.account}`,
      creationTime: ws.createdAt,
      notebookInfo: {
        resourceId: ws.guid,
        fqdn: `ml-${ws.name}-${ws.location}-${ws.guid}.${ws.location}.notebooks.localhost`,
        isPrivateLinkEnabled: false,
        notebookPreparationError: null,
      },
      storageHnsEnabled: false,
      workspaceId: ws.guid,
      linkedModelInventoryArmId: null,
      privateLinkCount: 0,
      publicNetworkAccess: 'Enabled',
      ipAllowlist: [],
      discoveryUrl: `${ctx.urls.base}/discovery`,
      mlFlowTrackingUri: `azureml://${host}${ctx.urls.mlflow(ws, 'v1.0')}`,
      serverlessComputeSettings: null,
      EnableSoftwareBillOfMaterials: false,
      sdkTelemetryAppInsightsKey: '00000000-0000-0000-0000-000000000000',
      sasGetterUri: '',
      enableServiceSideCMKEncryption: false,
      systemDatastoresAuthMode: ws.storageMode === 'keys' ? 'accesskey' : 'identity',
      enableDataIsolation: false,
      ...settings?.properties,
    }),
    identity: { type: 'SystemAssigned', principalId: ws.guid, tenantId: ctx.world.tenantId },
    kind: 'Default',
    sku: { name: 'Basic', tier: 'Basic' },
    systemData: {
      createdAt: ws.createdAt,
      createdBy: 'amlops',
      createdByType: 'Application',
      lastModifiedAt: settings?.lastModifiedAt ?? ws.createdAt,
      lastModifiedBy: settings?.lastModifiedBy ?? 'amlops',
      lastModifiedByType: 'Application',
    },
  };
}

export function registerWorkspaces(
  router: Router,
  ctx: Ctx,
  roles: (call: { principal: { clientId: string } }, scope: string) => string[],
): void {
  const page = (value: unknown[]): Answer => ({ body: { value } });
  const readable = (call: Parameters<typeof roles>[0]): WorkspaceRecord[] =>
    ctx.world.workspaces().filter((ws) => roles(call, ws.armId).length > 0);
  const same = (a: string | undefined, b: string) => a?.toLowerCase() === b.toLowerCase();

  router.workspace('GET', '', 'read', ({ ws, apiVersion }) => ({ body: workspaceBody(ctx, ws, apiVersion) }));
  registerWorkspaceUpdate(router, ctx);
  for (const action of ['listKeys', 'listStorageAccountKeys', 'listNotebookKeys', 'listNotebookAccessToken'])
    router.workspace('POST', `/${action}`, 'secrets', ({ ws }) => {
      if (action === 'listStorageAccountKeys') return { body: { userStorageKey: ctx.storage.accountKey(ws.account) } };
      if (action !== 'listKeys') throw notBuilt(`Workspaces_${action}`);
      const key = ctx.storage.accountKey(ws.account);
      return {
        body: {
          userStorageKey: key,
          userStorageResourceId: `/subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${ws.account}`,
          appInsightsInstrumentationKey: null,
          containerRegistryCredentials: null,
          notebookAccessKeys: null,
        },
      };
    });
  router.public('GET', `/subscriptions/:sub${provider}/workspaces`, 'read', (call) =>
    page(
      readable(call)
        .filter((ws) => same(call.params['sub'], ws.subscriptionId))
        .map((ws) => workspaceBody(ctx, ws, call.apiVersion)),
    ),
  );
  router.public('GET', `/subscriptions/:sub/resourceGroups/:group${provider}/workspaces`, 'read', (call) =>
    page(
      readable(call)
        .filter((ws) => same(call.params['sub'], ws.subscriptionId) && same(call.params['group'], ws.resourceGroup))
        .map((ws) => workspaceBody(ctx, ws, call.apiVersion)),
    ),
  );

  const subscription = (id: string) => ({
    id: `/subscriptions/${id}`,
    subscriptionId: id,
    tenantId: ctx.world.tenantId,
    displayName: `amlops ${id.slice(0, 8)}`,
    state: 'Enabled',
    authorizationSource: 'RoleBased',
  });
  router.public('GET', '/subscriptions', 'read', (call) =>
    page([...new Set(readable(call).map((ws) => ws.subscriptionId))].map(subscription)),
  );
  router.public('GET', '/subscriptions/:sub', 'read', (call) => {
    const found = readable(call).find((ws) => same(call.params['sub'], ws.subscriptionId));
    if (!found)
      throw new ServiceError(404, 'SubscriptionNotFound', `The subscription '${call.params['sub']}' could not be found.`, {
        envelope: 'gateway',
      });
    return { body: subscription(found.subscriptionId) };
  });
  const group = (ws: WorkspaceRecord) => ({
    id: `/subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}`,
    name: ws.resourceGroup,
    type: 'Microsoft.Resources/resourceGroups',
    location: ws.location,
    properties: { provisioningState: 'Succeeded' },
  });
  router.public('GET', '/subscriptions/:sub/resourceGroups', 'read', (call) =>
    page(
      readable(call)
        .filter((ws) => same(call.params['sub'], ws.subscriptionId))
        .map(group),
    ),
  );
  router.public('GET', '/subscriptions/:sub/resourceGroups/:group', 'read', (call) => {
    const found = readable(call).find(
      (ws) => same(call.params['sub'], ws.subscriptionId) && same(call.params['group'], ws.resourceGroup),
    );
    if (!found)
      throw new ServiceError(404, 'ResourceGroupNotFound', `Resource group '${call.params['group']}' could not be found.`, {
        envelope: 'gateway',
      });
    return { body: group(found) };
  });
  registerPermissions(router, ctx, roles);
}

const actions: Record<string, { actions: string[]; notActions: string[]; dataActions: string[] }> = {
  Contributor: {
    actions: ['*'],
    notActions: [
      'Microsoft.Authorization/*/Delete',
      'Microsoft.Authorization/*/Write',
      'Microsoft.Authorization/elevateAccess/Action',
    ],
    dataActions: [],
  },
  Reader: { actions: ['*/read'], notActions: [], dataActions: [] },
  'Storage Blob Data Contributor': {
    actions: ['Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action'],
    notActions: [],
    dataActions: ['read', 'write', 'delete', 'add/action', 'move/action'].map(
      (verb) => `Microsoft.Storage/storageAccounts/blobServices/containers/blobs/${verb}`,
    ),
  },
  'Storage Blob Data Reader': {
    actions: ['Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action'],
    notActions: [],
    dataActions: ['Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'],
  },
};

/** Permissions_ListForResource and the storage accounts, for those who check their rights before they act. */
function registerPermissions(
  router: Router,
  ctx: Ctx,
  roles: (call: { principal: { clientId: string } }, scope: string) => string[],
): void {
  const permissions = (scope: string, call: Parameters<typeof roles>[0]): Answer => ({
    body: { value: roles(call, scope).map((role) => ({ notDataActions: [], ...actions[role] })) },
  });
  const suffix = '/providers/Microsoft.Authorization/permissions';
  for (const kind of [
    'Microsoft.MachineLearningServices/workspaces',
    'Microsoft.MachineLearningServices/registries',
    'Microsoft.Storage/storageAccounts',
  ])
    router.public('GET', `/subscriptions/:sub/resourceGroups/:group/providers/${kind}/:name${suffix}`, 'read', (call) =>
      permissions(call.path.slice(0, -suffix.length), call),
    );
  router.public('GET', `/subscriptions/:sub/resourceGroups/:group${suffix}`, 'read', (call) =>
    permissions(call.path.slice(0, -suffix.length), call),
  );
  const account = '/subscriptions/:sub/resourceGroups/:group/providers/Microsoft.Storage/storageAccounts/:account';
  const find = (call: Parameters<typeof roles>[0] & { params: Record<string, string> }): WorkspaceRecord => {
    const { sub, group, account: name } = call.params;
    const ws = ctx.world
      .workspaces()
      .find(
        (entry) =>
          entry.account === name?.toLowerCase() &&
          entry.subscriptionId === sub?.toLowerCase() &&
          entry.resourceGroup.toLowerCase() === group?.toLowerCase(),
      );
    if (!ws || !roles(call, ws.armId).length)
      throw new ServiceError(
        404,
        'ResourceNotFound',
        `The Resource 'Microsoft.Storage/storageAccounts/${name}' under resource group '${group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix`,
        { envelope: 'gateway' },
      );
    return ws;
  };
  router.public('GET', account, 'read', (call) => {
    const ws = find(call);
    return {
      body: {
        id: `/subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${ws.account}`,
        name: ws.account,
        type: 'Microsoft.Storage/storageAccounts',
        location: ws.location,
        kind: 'StorageV2',
        sku: { name: 'Standard_LRS', tier: 'Standard' },
        properties: {
          provisioningState: 'Succeeded',
          allowSharedKeyAccess: ws.storageMode === 'keys',
          isHnsEnabled: false,
          publicNetworkAccess: 'Enabled',
          primaryEndpoints: { blob: `https://${ws.account}.blob.core.localhost:${ctx.urls.storagePort}/` },
        },
      },
    };
  });
  router.public('POST', `${account}/listKeys`, 'secrets', (call) => {
    const ws = find(call);
    if (!roles(call, ws.armId).includes('Contributor'))
      throw new ServiceError(
        403,
        'AuthorizationFailed',
        `The client '${call.principal.clientId}' does not have authorization to perform action 'Microsoft.Storage/storageAccounts/listKeys/action' over scope '${call.path}'.`,
        { envelope: 'gateway' },
      );
    return { body: { keys: [{ keyName: 'key1', permissions: 'FULL', value: ctx.storage.accountKey(ws.account) }] } };
  });
}
