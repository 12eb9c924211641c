/**
 * Template deployments, as far as azure-ai-ml makes workspaces with one (`workspaces.begin_create`): its template is known by its workspace
 * resource, and what that asks for goes the way of a PUT. The storage account is made; key vault and Application Insights stay addresses
 * that nothing stands behind, so the deployment does not list them among what it made. Any other template is 501.
 */
import { randomUUID } from 'node:crypto';
import type { Answer, Call, Ctx } from '../context.js';
import { badRequest, notBuilt, ServiceError } from '../errors.js';
import type { Rights } from '../identity/rights.js';
import type { Router } from '../router.js';
import { objectOf, textMap, textOf } from '../validate.js';
import type { Lifecycle } from './lifecycle.js';

const path = '/subscriptions/:subscriptionId/resourceGroups/:resourceGroup/providers/Microsoft.Resources/deployments/:name';
const table = 'deployments';

interface Deployment {
  name: string;
  id: string;
  operation: string;
  timestamp: string;
  /** Epoch milliseconds from which on it has succeeded. */
  due: number;
  parameters: Record<string, unknown>;
  /** ARM ids of what it made. */
  made: string[];
}

type Values = Record<string, unknown>;

/** The parameters of a workspace template: what was sent, else defaults that are no expression. Throws 501 for any other template. */
function parametersOf(properties: Values): { values: Values; apiVersion: string } {
  const template = objectOf(properties['template']);
  const resources = Array.isArray(template?.['resources'])
    ? (template['resources'] as unknown[]).map((entry) => objectOf(entry) ?? {})
    : [];
  const [workspace, ...others] = resources.filter((entry) => entry['type'] === 'Microsoft.MachineLearningServices/workspaces');
  const declared = objectOf(template?.['parameters']) ?? {};
  const conditional = resources.every((entry) => typeof entry['condition'] === 'string');
  if (
    !workspace ||
    others.length ||
    !conditional ||
    workspace['name'] !== "[parameters('workspaceName')]" ||
    !declared['storageAccountOption']
  )
    throw notBuilt("Deployments_CreateOrUpdate of a template other than azure-ai-ml's for a workspace");
  const sent = objectOf(properties['parameters']) ?? {};
  const unknown = Object.keys(sent).find((name) => !(name in declared));
  if (unknown !== undefined)
    throw new ServiceError(
      400,
      'InvalidTemplate',
      `Deployment template validation failed: 'The template parameters '${unknown}' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time.'.`,
      { envelope: 'gateway' },
    );
  const values: Values = {};
  for (const [name, declaration] of Object.entries(declared)) {
    const given = objectOf(sent[name])?.['value'];
    const usual = objectOf(declaration)?.['defaultValue'];
    values[name] = given ?? (typeof usual === 'string' && usual.startsWith('[') ? null : (usual ?? null));
  }
  return { values, apiVersion: textOf(workspace['apiVersion']) };
}

/** The workspace that those parameters describe, as the body of a PUT. Throws 501 for what only other resources could do. */
function workspaceOf(values: Values, subscriptionId: string, resourceGroup: string): Record<string, unknown> {
  const text = (name: string) => textOf(values[name]);
  for (const [name, usual] of Object.entries({
    privateEndpointType: 'none',
    encryption_status: 'disabled',
    associatedResourcePNA: 'enabled',
    storageAccountBehindVNet: 'false',
    keyVaultBehindVNet: 'false',
    containerRegistryBehindVNet: 'false',
    offlineStoreStorageAccountOption: 'none',
    materializationIdentityOption: 'none',
    workspace_hub: '',
    adbWorkspace: '',
  }))
    if (values[name] != null && text(name).toLowerCase() !== usual)
      throw notBuilt(`Deployments_CreateOrUpdate of a workspace with ${name} ${text(name).slice(0, 100)}`);
  const id = (what: string, type: string): string | null =>
    text(`${what}Option`) === 'none' || !text(`${what}Name`)
      ? null
      : `/subscriptions/${text(`${what}SubscriptionId`) || subscriptionId}/resourceGroups/${text(`${what}ResourceGroupName`) || resourceGroup}/providers/${type}/${text(`${what}Name`)}`;
  return {
    location: values['location'] ?? null,
    tags: values['tagValues'] == null ? {} : textMap(values['tagValues'], 'tagValues'),
    identity: values['identity'] ?? null,
    kind: values['kind'] ?? null,
    properties: {
      friendlyName: values['friendlyName'] ?? null,
      description: values['description'] ?? null,
      storageAccount: id('storageAccount', 'Microsoft.Storage/storageAccounts'),
      keyVault: id('keyVault', 'Microsoft.KeyVault/vaults'),
      applicationInsights: id('applicationInsights', 'Microsoft.Insights/components'),
      containerRegistry: id('containerRegistry', 'Microsoft.ContainerRegistry/registries'),
      hbiWorkspace: values['confidential_data'] ?? null,
      imageBuildCompute: values['imageBuildCompute'] ?? null,
      publicNetworkAccess: values['publicNetworkAccess'] ?? null,
      softDeleteEnabled: values['soft_delete_enabled'] ?? null,
      primaryUserAssignedIdentity: values['primaryUserAssignedIdentity'] ?? null,
      systemDatastoresAuthMode: text('systemDatastoresAuthMode') || null,
      allowRoleAssignmentOnRG: values['allowRoleAssignmentOnRG'] ?? null,
      managedNetwork: values['managedNetwork'] ?? null,
      provisionNetworkNow: values['provisionNetworkNow'] ?? null,
      enableDataIsolation: values['enable_data_isolation'] ?? null,
      workspaceHubConfig: values['workspace_hub_config'] ?? null,
      existingWorkspaces: values['existing_workspaces'] ?? null,
      serverlessComputeSettings: values['serverless_compute_settings'] ?? null,
    },
  };
}

export function registerDeployments(router: Router, ctx: Ctx, rights: Rights, lifecycle: Lifecycle): void {
  const key = ({ params }: Pick<Call, 'params'>) =>
    `${params['subscriptionId']}/${params['resourceGroup']}/${params['name']}`.toLowerCase();
  const state = (found: Deployment) => (ctx.clock.now().getTime() < found.due ? 'Running' : 'Succeeded');
  const find = (call: Call): Deployment => {
    const found = ctx.store.get<Deployment>(table, key(call));
    if (found && rights.roles(call.principal, found.id).some((role) => role === 'Contributor' || role === 'Reader')) return found;
    throw new ServiceError(404, 'DeploymentNotFound', `Deployment '${call.params['name']}' could not be found.`, {
      envelope: 'gateway',
    });
  };
  const body = (found: Deployment, provisioningState: string = state(found)) => ({
    id: found.id,
    name: found.name,
    type: 'Microsoft.Resources/deployments',
    properties: {
      provisioningState,
      correlationId: found.operation,
      timestamp: found.timestamp,
      duration: 'PT1S',
      mode: 'Incremental',
      parameters: found.parameters,
      outputResources: found.made.map((id) => ({ id })),
    },
  });
  router.public('PUT', path, 'write', async (call): Promise<Answer> => {
    const { name = '', subscriptionId = '', resourceGroup = '' } = call.params;
    if (!/^[-\w._()]{1,64}$/.test(name)) throw badRequest(`Deployment name '${name.slice(0, 100)}' is invalid.`);
    const properties = objectOf(objectOf(call.body)?.['properties']);
    if (!properties) throw badRequest('The body must have properties with a template.');
    if (!/^incremental$/i.test(textOf(properties['mode'])))
      throw notBuilt(`Deployments_CreateOrUpdate in mode ${textOf(properties['mode'])}`);
    const { values, apiVersion } = parametersOf(properties);
    const { ws } = await lifecycle.put({
      params: { subscriptionId, resourceGroup, workspace: textOf(values['workspaceName']) },
      principal: call.principal,
      apiVersion,
      body: workspaceOf(values, subscriptionId, resourceGroup),
    });
    const group = ws.armId.slice(0, ws.armId.indexOf('/providers/'));
    const deployment: Deployment = {
      name,
      id: `${group}/providers/Microsoft.Resources/deployments/${name}`,
      operation: randomUUID(),
      timestamp: ctx.clock.stamp(),
      due: ctx.clock.now().getTime() + ctx.latency.seconds('operation') * 1000,
      parameters: objectOf(properties['parameters']) ?? {},
      made: [`${group}/providers/Microsoft.Storage/storageAccounts/${ws.account}`, ws.armId],
    };
    await ctx.store.write((tx) => tx.put(table, key(call), deployment));
    return {
      status: 201,
      headers: {
        'Azure-AsyncOperation': `${ctx.urls.base}${deployment.id}/operationStatuses/${deployment.operation}?api-version=${call.apiVersion}`,
      },
      body: body(deployment, 'Accepted'),
    };
  });
  router.public('GET', path, 'read', (call) => ({ body: body(find(call)) }));
  router.public('GET', `${path}/operationStatuses/:operation`, 'read', (call) => ({ body: { status: state(find(call)) } }));
  const operations = (call: Call): Answer => {
    const found = find(call);
    const value = found.made.map((id, index) => ({
      id: `${found.id}/operations/${index}`,
      operationId: `${found.operation}-${index}`,
      properties: {
        provisioningOperation: 'Create',
        provisioningState: state(found),
        timestamp: found.timestamp,
        duration: 'PT1S',
        trackingId: found.operation,
        statusCode: 'OK',
        targetResource: {
          id,
          resourceType: (/\/providers\/([^/]+\/[^/]+)\//.exec(id) ?? [])[1],
          resourceName: id.slice(id.lastIndexOf('/') + 1),
        },
      },
    }));
    return { body: { value } };
  };
  // The resource manager's own address leaves the provider out.
  for (const at of [path, path.replace('providers/Microsoft.Resources/', '')])
    router.public('GET', `${at}/operations`, 'read', operations);
  for (const method of ['DELETE', 'PATCH'] as const)
    router.public(method, path, 'write', () => {
      throw notBuilt(`Deployments_${method === 'DELETE' ? 'Delete' : 'Update'}`);
    });
}
