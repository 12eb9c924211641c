/** What surrounds workspaces in the resource manager: subscriptions, resource groups, permissions, storage accounts. */
import type { Answer, Ctx, ResourceGroup, StorageAccount } from '../context.js';
import { notBuilt, resourceNotFound, ServiceError } from '../errors.js';
import type { Router } from '../router.js';

type Roles = (call: { principal: { clientId: string } }, scope: string) => string[];

export function registerSurroundings(router: Router, ctx: Ctx, roles: Roles): void {
  registerGroups(router, ctx, roles);
  registerPermissions(router, ctx, roles);
}

/** Subscriptions and resource groups, as far as the caller has a role in them. */
function registerGroups(router: Router, ctx: Ctx, roles: Roles): void {
  const page = (value: unknown[]): Answer => ({ body: { value } });
  const idOf = (group: ResourceGroup) => `/subscriptions/${group.subscriptionId}/resourceGroups/${group.name}`;
  const readable = (call: Parameters<Roles>[0]): ResourceGroup[] =>
    ctx.world
      .resourceGroups()
      .filter(
        (group) =>
          roles(call, idOf(group)).length > 0 ||
          ctx.world.workspaces().some((ws) => ws.armId.startsWith(`${idOf(group)}/`) && roles(call, ws.armId).length > 0),
      );
  const same = (a: string | undefined, b: string) => a?.toLowerCase() === b.toLowerCase();
  const missing = (code: string, message: string) => new ServiceError(404, code, message, { envelope: 'gateway' });
  const subscription = (id: string) => ({
    id: `/subscriptions/${id}`,
    subscriptionId: id,
    tenantId: ctx.world.tenantId,
    displayName: `amlops ${id.slice(0, 8)}`,
    state: 'Enabled',
    authorizationSource: 'RoleBased',
  });
  router.public('GET', '/subscriptions', 'read', (call) =>
    page([...new Set(readable(call).map((group) => group.subscriptionId))].map(subscription)),
  );
  router.public('GET', '/subscriptions/:sub', 'read', (call) => {
    const found = readable(call).find((group) => same(call.params['sub'], group.subscriptionId));
    if (!found) throw missing('SubscriptionNotFound', `The subscription '${call.params['sub']}' could not be found.`);
    return { body: subscription(found.subscriptionId) };
  });
  const group = (entry: ResourceGroup) => ({
    id: idOf(entry),
    name: entry.name,
    type: 'Microsoft.Resources/resourceGroups',
    location: entry.location,
    properties: { provisioningState: 'Succeeded' },
  });
  router.public('GET', '/subscriptions/:sub/resourceGroups', 'read', (call) =>
    page(
      readable(call)
        .filter((entry) => same(call.params['sub'], entry.subscriptionId))
        .map(group),
    ),
  );
  router.public(['GET', 'HEAD'], '/subscriptions/:sub/resourceGroups/:group', 'read', (call) => {
    const found = readable(call).find(
      (entry) => same(call.params['sub'], entry.subscriptionId) && same(call.params['group'], entry.name),
    );
    if (!found) throw missing('ResourceGroupNotFound', `Resource group '${call.params['group']}' could not be found.`);
    return call.method === 'HEAD' ? { status: 204 } : { body: group(found) };
  });
  router.public(['PUT', 'PATCH', 'DELETE'], '/subscriptions/:sub/resourceGroups/:group', 'write', ({ method }) => {
    throw notBuilt(`ResourceGroups_${method === 'PUT' ? 'CreateOrUpdate' : method === 'PATCH' ? 'Update' : 'Delete'}`);
  });
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
function registerPermissions(router: Router, ctx: Ctx, roles: Roles): void {
  const permissions = (scope: string, call: Parameters<Roles>[0]): Answer => ({
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
  const idOf = (entry: StorageAccount) =>
    `/subscriptions/${entry.subscriptionId}/resourceGroups/${entry.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${entry.name}`;
  const find = (call: Parameters<Roles>[0] & { params: Record<string, string> }): StorageAccount => {
    const { sub, group, account: name } = call.params;
    const found = ctx.world
      .storageAccounts()
      .find(
        (entry) =>
          entry.name === name?.toLowerCase() &&
          entry.subscriptionId === sub?.toLowerCase() &&
          entry.resourceGroup.toLowerCase() === group?.toLowerCase(),
      );
    if (!found || !roles(call, idOf(found)).some((role) => role === 'Contributor' || role === 'Reader'))
      throw resourceNotFound(`storageAccounts/${name}`, group ?? '', 'Microsoft.Storage');
    return found;
  };
  router.public('GET', account, 'read', (call) => {
    const found = find(call);
    return {
      body: {
        id: idOf(found),
        name: found.name,
        type: 'Microsoft.Storage/storageAccounts',
        location: found.location,
        kind: 'StorageV2',
        sku: { name: 'Standard_LRS', tier: 'Standard' },
        properties: {
          provisioningState: 'Succeeded',
          allowSharedKeyAccess: found.storageMode === 'keys',
          isHnsEnabled: false,
          publicNetworkAccess: 'Enabled',
          primaryEndpoints: { blob: `https://${found.name}.blob.core.localhost:${ctx.urls.storagePort}/` },
        },
      },
    };
  });
  router.public('POST', `${account}/listKeys`, 'secrets', (call) => {
    const found = find(call);
    if (!roles(call, idOf(found)).includes('Contributor'))
      throw new ServiceError(
        403,
        'AuthorizationFailed',
        `The client '${call.principal.clientId}' does not have authorization to perform action 'Microsoft.Storage/storageAccounts/listKeys/action' over scope '${call.path}'.`,
        { envelope: 'gateway' },
      );
    return { body: { keys: [{ keyName: 'key1', permissions: 'FULL', value: ctx.storage.accountKey(found.name) }] } };
  });
}
