/** Registries: the resource in ARM, its assets on both planes, upload and download references, import (azure-ml-rest §3.2, azure-ml-observed §9). */
import { randomUUID } from 'node:crypto';
import type { Answer, Ctx, RegistryRecord, Surface } from '../context.js';
import { badRequest, notFound, ServiceError } from '../errors.js';
import type { Rights } from '../identity/rights.js';
import type { Router } from '../router.js';
import { assetName, objectOf } from '../validate.js';
import type { AssetKind } from '../assets/types.js';
import { registerRegistryAssets, type RegistryCall } from './assets.js';
import { registerRegistryLifecycle } from './lifecycle.js';
import { lowerId, share } from './share.js';

const mfe = '/mferp/managementfrontend';

export function registriesSurface(rights: Rights): Surface {
  return {
    name: 'registries',
    register(router, ctx) {
      registerResource(router, ctx, rights);
      for (const prefix of ['', mfe] as const) registerRegistryAssets(router, ctx, prefix);
      registerUploads(router, ctx);
      registerDownloads(router, ctx);
      registerImport(router, ctx);
    },
  };
}

function resource(ctx: Ctx, registry: RegistryRecord): Record<string, unknown> {
  const group = `/subscriptions/${registry.subscriptionId}/resourceGroups/azureml-rg-${registry.name}`;
  const regions = registry.regions[0] === '*' ? [registry.location] : registry.regions;
  return {
    id: registry.armId,
    name: registry.name,
    type: 'Microsoft.MachineLearningServices/registries',
    location: registry.location,
    tags: registry.tags,
    identity: { type: 'SystemAssigned', principalId: registry.guid, tenantId: ctx.world.tenantId },
    properties: {
      discoveryUrl: `${ctx.urls.base}/registrymanagement/v1.0/registries/${registry.name}/discovery`,
      mlFlowRegistryUri: `azureml://${ctx.urls.base.replace('https://', '')}/mlflow/v1.0${registry.armId}`,
      managedResourceGroup: { resourceId: group },
      intellectualPropertyPublisher: null,
      publicNetworkAccess: 'Enabled',
      regionDetails: regions.map((location) => ({
        location,
        storageAccountDetails: [
          {
            systemCreatedStorageAccount: {
              storageAccountName: registry.account,
              storageAccountType: 'Standard_LRS',
              storageAccountHnsEnabled: false,
              armResourceId: { resourceId: `${group}/providers/Microsoft.Storage/storageAccounts/${registry.account}` },
            },
          },
        ],
        acrDetails: [],
      })),
    },
    systemData: { createdAt: registry.createdAt, createdBy: registry.owner ?? 'amlops', createdByType: 'Application' },
  };
}

function registerResource(router: Router, ctx: Ctx, rights: Rights): void {
  router.registry('GET', '', 'read', ({ registry }) => ({ body: resource(ctx, registry) }));
  registerRegistryLifecycle(router, ctx, rights, (registry) => resource(ctx, registry));
  const list = (path: string) =>
    router.public('GET', `${path}/providers/Microsoft.MachineLearningServices/registries`, 'read', ({ params, principal }) => {
      const shown = ctx.world.registries().filter((registry) => {
        if (registry.subscriptionId !== params['sub']?.toLowerCase()) return false;
        if (params['group'] !== undefined && registry.resourceGroup.toLowerCase() !== params['group'].toLowerCase()) return false;
        try {
          ctx.authorize(principal, registry.armId, 'read', 'registries');
          return true;
        } catch (error) {
          if (error instanceof ServiceError && error.status === 403) return false;
          throw error;
        }
      });
      return { body: { value: shown.map((registry) => resource(ctx, registry)) } };
    });
  list('/subscriptions/:sub');
  list('/subscriptions/:sub/resourceGroups/:group');
}

/** A registry's asset id taken apart; throws 400 for another form or another registry. */
function asset(ctx: Ctx, registry: RegistryRecord, id: unknown): { kind: AssetKind; name: string; version: string } {
  const found =
    /^azureml:\/\/registries\/([^/]+)\/(codes|components|data|environments|models)\/([^/]+)\/versions\/([^/]+)$/i.exec(
      typeof id === 'string' ? id : '',
    );
  const [, owner = '', kind = '', name = '', version = ''] = found ?? [];
  if (!found || owner.toLowerCase() !== registry.name.toLowerCase())
    throw badRequest(`assetId '${String(id)}' is not the id of an asset of registry ${registry.name}.`);
  return { kind: kind.toLowerCase() as AssetKind, name: assetName(name, 'Asset'), version: assetName(version, 'Asset version') };
}

/** A fresh container with a SAS to upload into. */
async function slot(ctx: Ctx, registry: RegistryRecord): Promise<Record<string, unknown>> {
  const container = await ctx.storage.freshContainer(registry);
  return {
    blobUri: ctx.storage.containerUrl(registry.account, container),
    storageAccountArmId: `/subscriptions/${registry.subscriptionId}/resourceGroups/${registry.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${registry.account}`,
    credential: {
      credentialType: 'SAS',
      sasUri: ctx.storage.sasUrl(registry.account, container, { permissions: 'rcwl', minutes: 1440 }),
      wasbsUri: null,
    },
  };
}

function registerUploads(router: Router, ctx: Ctx): void {
  const catalog = ctx.assets;
  const refuseExisting = (registry: RegistryRecord, kind: AssetKind, name: string, version: string): void => {
    if (catalog.get(registry, kind, name, version))
      throw new ServiceError(
        409,
        'UserError',
        `Asset ${lowerId(registry, kind, name, version)} already exists, cannot create new temporary data references for it`,
        {
          inner: ['Conflict', 'TemporaryDataReferencesForExistingAsset'],
        },
      );
  };
  router.registry(
    'PUT',
    '/tempdatarefs/:name/versions/:version',
    'write',
    async ({ registry, body }) => {
      const { kind, name, version } = asset(ctx, registry, objectOf(body)?.['assetId']);
      refuseExisting(registry, kind, name, version);
      return {
        body: {
          blobReferenceForConsumption: await slot(ctx, registry),
          imageReferenceForConsumption: null,
          temporaryDataReferenceId: randomUUID(),
          temporaryDataReferenceType: null,
        },
      };
    },
    { prefix: mfe },
  );
  for (const prefix of ['', mfe] as const)
    for (const kind of ['codes', 'data', 'models'] as const)
      router.registry(
        'POST',
        `/${kind}/:name/versions/:version/startPendingUpload`,
        'write',
        async ({ registry, params, body }) => {
          const { name = '', version = '' } = params;
          refuseExisting(registry, kind, assetName(name, 'Asset'), assetName(version, 'Asset version'));
          return {
            body: {
              blobReferenceForConsumption: await slot(ctx, registry),
              pendingUploadId: (objectOf(body)?.['pendingUploadId'] as string | undefined) ?? randomUUID(),
              pendingUploadType: 'TemporaryBlobReference',
            },
          };
        },
        { prefix },
      );
}

/** `datarefs` (data plane) and `dataReferences` (ARM): a SAS to read one asset's files. */
function registerDownloads(router: Router, ctx: Ctx): void {
  const catalog = ctx.assets;
  const reference = ({ registry, body }: RegistryCall): Answer => {
    const sent = objectOf(body);
    const { kind, name, version } = asset(ctx, registry, sent?.['assetId']);
    const found = catalog.get(registry, kind, name, version);
    if (!found) throw notFound(`Could not find asset with ID: ${lowerId(registry, kind, name, version)}`);
    const uri = found.properties[kind === 'codes' ? 'codeUri' : kind === 'data' ? 'dataUri' : 'modelUri'];
    const own = ctx.storage.parseUrl(String(uri));
    const wanted = ctx.storage.parseUrl(String(sent?.['blobUri'] ?? uri));
    if (!own || !wanted) throw badRequest(`Asset ${lowerId(registry, kind, name, version)} has no files.`);
    // Only the container of that very asset is opened.
    if (own.account !== wanted.account || own.container !== wanted.container)
      throw badRequest(`blobUri '${String(sent?.['blobUri'])}' does not belong to the asset.`);
    return {
      body: {
        blobReferenceForConsumption: {
          blobUri: ctx.storage.blobUrl(own),
          storageAccountArmId: `/subscriptions/${registry.subscriptionId}/resourceGroups/${registry.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${registry.account}`,
          credential: {
            credentialType: 'SAS',
            sasUri: ctx.storage.sasUrl(own.account, own.container, { permissions: 'rl' }),
            wasbsUri: null,
          },
        },
      },
    };
  };
  router.registry('POST', '/datarefs/:name/versions/:version', 'read', reference, { prefix: mfe });
  router.registry('POST', '/dataReferences/:name/versions/:version', 'read', reference);
}

function registerImport(router: Router, ctx: Ctx): void {
  router.registry(
    'POST',
    '/import',
    'write',
    async ({ registry, body, principal, apiVersion }) => {
      const sent = objectOf(objectOf(body)?.['properties']);
      const id = sent?.['sourceAssetId'];
      const found =
        /^azureml:\/\/locations\/[^/]+\/workspaces\/([^/]+)\/(codes|components|data|environments|models)\/([^/]+)\/versions\/([^/]+)$/i.exec(
          typeof id === 'string' ? id : '',
        );
      const [, guid = '', kind = '', name = '', version = ''] = found ?? [];
      const ws = ctx.world.workspaceByGuid(guid);
      if (!found || !ws) throw badRequest(`sourceAssetId '${String(id)}' is not an asset of a workspace.`);
      ctx.authorize(principal, ws.armId, 'read', `workspaces/${kind}`);
      const source = ctx.assets.get(ws, kind.toLowerCase() as AssetKind, name, version);
      if (!source) throw notFound(`Could not find asset with ID: ${String(id)}`);
      const text = (member: string, otherwise: string): string => {
        const value = sent?.[member];
        return typeof value === 'string' && value ? value : otherwise;
      };
      const operation = await share(
        ctx,
        source,
        principal,
        registry.name,
        text('destinationName', name),
        text('destinationVersion', version),
      );
      return {
        status: 202,
        headers: { Location: ctx.operations.resultUrl(operation, apiVersion), 'x-ms-async-operation-timeout': 'PT1H' },
        body: null,
      };
    },
    { prefix: mfe },
  );
}
