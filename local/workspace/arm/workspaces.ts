/** Workspaces in the resource manager: reading them, their keys. */
import { page } from '../assets/view.js';
import type { Answer, Call, Ctx, WorkspaceRecord } from '../context.js';
import { notBuilt } from '../errors.js';
import type { Router } from '../router.js';
import { registerSurroundings } from './surroundings.js';
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
      ...((ws.creatingUntil ?? 0) > ctx.clock.now().getTime() ? { provisioningState: 'Creating' } : {}),
    }),
    identity: { type: 'SystemAssigned', principalId: ws.guid, tenantId: ctx.world.tenantId },
    kind: 'Default',
    sku: { name: 'Basic', tier: 'Basic' },
    systemData: {
      createdAt: ws.createdAt,
      createdBy: ws.owner ?? 'amlops',
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
  const listed = ({ apiVersion, query, path }: Call, found: WorkspaceRecord[]): Answer => {
    const shown = page(found, query, `${ctx.urls.base}${path}`, 100);
    const value = shown.page.map((ws) => workspaceBody(ctx, ws, apiVersion));
    return { body: { value, ...(shown.nextLink ? { nextLink: shown.nextLink } : {}) } };
  };
  const readable = (call: Parameters<typeof roles>[0]): WorkspaceRecord[] =>
    ctx.world.workspaces().filter((ws) => roles(call, ws.armId).length > 0);
  const same = (a: string | undefined, b: string) => a?.toLowerCase() === b.toLowerCase();

  router.workspace('GET', '', 'read', ({ ws, apiVersion }) => ({ body: workspaceBody(ctx, ws, apiVersion) }));
  registerWorkspaceUpdate(router, ctx);
  for (const action of ['listKeys', 'listStorageAccountKeys', 'listNotebookKeys', 'listNotebookAccessToken'])
    router.workspace('POST', `/${action}`, 'secrets', ({ ws }) => {
      if (action === 'listStorageAccountKeys') return { body: { userStorageKey: ctx.storage.accountKey(ws.account) } };
      if (action !== 'listKeys') throw notBuilt(`Workspaces_${action.charAt(0).toUpperCase()}${action.slice(1)}`);
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
    listed(
      call,
      readable(call).filter((ws) => same(call.params['sub'], ws.subscriptionId)),
    ),
  );
  router.public('GET', `/subscriptions/:sub/resourceGroups/:group${provider}/workspaces`, 'read', (call) =>
    listed(
      call,
      readable(call).filter((ws) => same(call.params['sub'], ws.subscriptionId) && same(call.params['group'], ws.resourceGroup)),
    ),
  );

  registerSurroundings(router, ctx, roles);
}
