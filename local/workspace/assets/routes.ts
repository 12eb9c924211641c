/** ARM routes of workspace assets: containers and versions of codes, components, data, environments and models; publish. */
import { randomUUID } from 'node:crypto';
import type { Answer, Ctx, Surface, WorkspaceCall } from '../context.js';
import { badRequest, invalidBody, ServiceError } from '../errors.js';
import { share } from '../registries/share.js';
import type { Router } from '../router.js';
import { assetName, objectOf, propertiesOf } from '../validate.js';
import { curatedInWorkspace } from './curated.js';
import { containerKey, containerTable, type Catalog, type ContainerRecord } from './catalog.js';
import { missingContainer, missingVersion, singular } from './missing.js';
import type { AssetKind } from './types.js';
import { containerBody, filtered, ordered, page, versionBody, viewed } from './view.js';

const kinds: AssetKind[] = ['codes', 'components', 'data', 'environments', 'models'];
export const assetsSurface: Surface = {
  name: 'assets',
  register(router, ctx) {
    const catalog = ctx.assets;
    for (const kind of kinds) {
      registerContainers(router, ctx, catalog, kind);
      registerVersions(router, ctx, catalog, kind);
    }
    registerPendingUpload(router, ctx);
    registerSnapshots(router, ctx, catalog);
  },
};

function registerContainers(router: Router, ctx: Ctx, catalog: Catalog, kind: AssetKind): void {
  router.workspace('GET', `/${kind}`, 'read', (call) => {
    const shown = viewed(call.query);
    const all = catalog
      .containers(call.ws, kind)
      .filter((entry) => shown(entry.isArchived) && entry.name !== 'azureml_anonymous');
    const { page: items, nextLink } = page(all, call.query, `${ctx.urls.base}${call.path}`);
    return {
      body: {
        value: items.map((entry) => containerBody(catalog, call.ws, kind, entry, call.apiVersion)),
        ...(nextLink ? { nextLink } : {}),
      },
    };
  });
  router.workspace('GET', `/${kind}/:name`, 'read', ({ ws, params, apiVersion }) => {
    const name = params['name'] ?? '';
    const found = catalog.container(ws, kind, name);
    if (found) return { body: containerBody(catalog, ws, kind, found, apiVersion) };
    const curated = curatedInWorkspace(catalog, ctx.world, ws, kind, name);
    const registry = ctx.world.registry('azureml');
    const record = curated && registry && catalog.container(registry, kind, name);
    if (!record) throw missingContainer(kind, name);
    const body = containerBody(catalog, registry, kind, record, apiVersion);
    return { body: { ...body, id: `${ws.armId}/${kind}/${name}`, type: `Microsoft.MachineLearningServices/workspaces/${kind}` } };
  });
  router.workspace('PUT', `/${kind}/:name`, 'write', async (call) => {
    const name = assetName(call.params['name'], singular[kind]);
    const sent = propertiesOf(call.body, `${singular[kind]}Container`, call.apiVersion);
    const now = ctx.clock.stamp();
    const { record, created } = await ctx.store.write((tx) => {
      const before = tx.get<ContainerRecord>(containerTable, containerKey(call.ws, kind, name));
      const changed = { lastModifiedAt: now, lastModifiedBy: call.principal.name, lastModifiedByType: 'Application' };
      const text = (value: unknown) => (objectOf(value) ?? {}) as Record<string, string>;
      const next: ContainerRecord = {
        name: before?.name ?? name,
        description: (sent['description'] as string | null | undefined) ?? before?.description ?? null,
        tags: { ...before?.tags, ...text(sent['tags']) },
        properties: { ...text(sent['properties']), ...before?.properties },
        isArchived: sent['isArchived'] === true,
        ...(kind === 'data' ? { dataType: before?.dataType ?? sent['dataType'] } : {}),
        systemData: before
          ? { ...before.systemData, ...changed }
          : { createdAt: now, createdBy: call.principal.name, createdByType: 'Application', ...changed },
      };
      tx.put(containerTable, containerKey(call.ws, kind, name), next);
      return { record: next, created: !before };
    });
    return {
      status: created ? 201 : 200,
      ...(created ? { headers: { Location: `${ctx.urls.base}${call.path}?api-version=${call.apiVersion}` } } : {}),
      body: containerBody(catalog, call.ws, kind, record, call.apiVersion),
    };
  });
  router.workspace('DELETE', `/${kind}/:name`, 'write', async ({ ws, params }) => {
    const name = params['name'] ?? '';
    const versions = catalog.versions(ws, kind, name);
    if (!versions) return { status: 204 };
    if (versions.length) throw badRequest(`${singular[kind]} container ${name} has versions; delete them first.`);
    await ctx.store.write((tx) => tx.remove(containerTable, containerKey(ws, kind, name)));
    return { status: 200 };
  });
}

function registerVersions(router: Router, ctx: Ctx, catalog: Catalog, kind: AssetKind): void {
  const find = ({ ws, params }: WorkspaceCall) => {
    const { name = '', version = '' } = params;
    const found =
      kind === 'components' && version === 'azureml_default'
        ? catalog.latest(ws, kind, name)
        : (catalog.get(ws, kind, name, version) ?? curatedInWorkspace(catalog, ctx.world, ws, kind, name, version));
    if (!found) throw missingVersion(kind, name, version);
    return found;
  };
  router.workspace('GET', `/${kind}/:name/versions`, 'read', (call) => {
    const { ws, params, query, apiVersion } = call;
    const name = params['name'] ?? '';
    if (kind === 'codes' && query['hash'] !== undefined) {
      // The container does not matter: the whole workspace is searched.
      const found = catalog.byHash(ws, query['hash']);
      return { body: { value: found ? [versionBody(catalog, found, apiVersion)] : [] } };
    }
    const curated = curatedInWorkspace(catalog, ctx.world, ws, kind, name);
    const all = catalog.versions(ws, kind, name) ?? (curated && [curated]);
    if (!all) throw missingContainer(kind, name);
    const { page: items, nextLink } = page(ordered(filtered(all, query), query), query, `${ctx.urls.base}${call.path}`);
    return { body: { value: items.map((asset) => versionBody(catalog, asset, apiVersion)), ...(nextLink ? { nextLink } : {}) } };
  });
  router.workspace('GET', `/${kind}/:name/versions/:version`, 'read', (call) => ({
    body: versionBody(catalog, find(call), call.apiVersion),
  }));
  router.workspace('GET', `/${kind}/:name/labels/:label`, 'read', ({ ws, params, apiVersion }) => {
    const { name = '', label = '' } = params;
    const known = label === 'latest' || label === 'default';
    const found = known ? (catalog.latest(ws, kind, name) ?? curatedInWorkspace(catalog, ctx.world, ws, kind, name)) : undefined;
    if (!found) throw missingVersion(kind, name, '', label);
    return { body: versionBody(catalog, found, apiVersion) };
  });
  router.workspace('PUT', `/${kind}/:name/versions/:version`, 'write', async (call): Promise<Answer> => {
    const { name = '', version = '' } = call.params;
    const sent = propertiesOf(call.body, `${singular[kind]}Version`, call.apiVersion);
    const { asset, created } = await catalog.put(call.ws, kind, name, version, sent, call.principal.name);
    // Environments answer 201 for a version that was there, too (azure-ml-observed §0).
    const status = created || kind === 'environments' ? 201 : 200;
    const headers: Record<string, string> =
      status === 201
        ? { Location: `${ctx.urls.base}${call.ws.armId}/${kind}/${name}/versions/${version}?api-version=${call.apiVersion}` }
        : {};
    return { status, headers, body: versionBody(catalog, asset, call.apiVersion) };
  });
  router.workspace('DELETE', `/${kind}/:name/versions/:version`, 'write', async ({ ws, params }) => {
    const { name = '', version = '' } = params;
    return { status: (await catalog.remove(ws, kind, name, version)) ? 200 : 204 };
  });
  router.workspace('POST', `/${kind}/:name/versions/:version/publish`, 'write', async (call) => {
    const found = find(call);
    const body = objectOf(call.body) ?? {};
    const text = (member: string): string => {
      if (typeof body[member] === 'string' && body[member]) return body[member];
      throw invalidBody([{ code: 'RequestInvalid', message: `The member '${member}' is required.`, target: member }]);
    };
    const operation = await share(
      ctx,
      found,
      call.principal,
      text('registryName'),
      text('destinationName'),
      text('destinationVersion'),
    );
    return {
      status: 202,
      headers: { Location: ctx.operations.resultUrl(operation, call.apiVersion), 'x-ms-async-operation-timeout': 'PT1H' },
      body: null,
    };
  });
}

/**
 * Upload slots: a fresh container and a SAS that may read, create, write and list, but not delete. The operation's name is "create or get":
 * the same `pendingUploadId` of the same version gets the same container (not observed; nobody may rely on it).
 */
function registerPendingUpload(router: Router, ctx: Ctx): void {
  const slots = new Map<string, Promise<string>>();
  for (const kind of ['codes', 'data', 'models'] as const)
    router.workspace('POST', `/${kind}/:name/versions/:version/startPendingUpload`, 'write', async ({ ws, params, body }) => {
      assetName(params['name'], singular[kind]);
      assetName(params['version'], `${singular[kind]} version`);
      const asked = objectOf(body)?.['pendingUploadId'];
      const id = typeof asked === 'string' && asked !== '' ? asked : randomUUID();
      const key = [ws.armId.toLowerCase(), kind, params['name'], params['version'], id].join(' ');
      const slot = slots.get(key) ?? ctx.storage.freshContainer(ws);
      slots.set(key, slot);
      slot.catch(() => slots.delete(key));
      const container = await slot;
      return {
        body: {
          blobReferenceForConsumption: {
            blobUri: ctx.storage.containerUrl(ws.account, container),
            storageAccountArmId: `/subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${ws.account}`,
            credential: {
              credentialType: 'SAS',
              sasUri: ctx.storage.sasUrl(ws.account, container, { permissions: 'rcwl', minutes: 1440 }),
            },
          },
          pendingUploadId: id,
          pendingUploadType: 'None',
        },
      };
    });
}

/** The older reuse check, `snapshots/getByHash` (azure-ml-observed §4, azure-ml-rest §9 row 3). */
function registerSnapshots(router: Router, ctx: Ctx, catalog: Catalog): void {
  router.workspace(
    'GET',
    '/snapshots/getByHash',
    'read',
    async ({ ws, query }) => {
      const found = query['hash'] === undefined ? undefined : catalog.byHash(ws, query['hash']);
      if (!found)
        throw new ServiceError(404, 'UserError', `Snapshot with hash ${query['hash'] ?? ''} was not found.`, {
          component: 'content',
          inner: ['NotFoundError'],
        });
      const place = ctx.storage.parseUrl(String(found.properties['codeUri']));
      const children: Record<string, unknown> = {};
      const leaf = (name: string, type: 'File' | 'Directory', md5: string | null, size: number) => ({
        name,
        hash: md5,
        type,
        timestamp: '0001-01-01T00:00:00+00:00',
        sasUrl: null,
        absoluteUrl: null,
        sizeBytes: size,
        sizeSet: type === 'File',
        children: {} as Record<string, unknown>,
      });
      if (place)
        for await (const blob of ctx.storage.list({ ...place, path: place.path ? `${place.path.replace(/\/$/, '')}/` : '' })) {
          const parts = blob.name.slice(place.path ? place.path.replace(/\/$/, '').length + 1 : 0).split('/');
          let level = children;
          for (const part of parts.slice(0, -1))
            level = ((level[part] ??= leaf(part, 'Directory', null, 0)) as { children: Record<string, unknown> }).children;
          const name = parts.at(-1) ?? '';
          level[name] = leaf(
            name,
            'File',
            blob.md5 ? Buffer.from(blob.md5, 'base64').toString('hex').toUpperCase() : null,
            blob.size,
          );
        }
      const who = {
        userObjectId: ctx.world.tenantId,
        userPuId: '0000000000000000',
        userIdp: null,
        userAltSecId: null,
        userIss: `https://sts.windows.net/${ctx.world.tenantId}/`,
        userTenantId: ctx.world.tenantId,
        userName: found.systemData.createdBy,
        upn: null,
      };
      return {
        body: {
          snapshotType: 'LocalFiles',
          id: found.name,
          root: { ...leaf('', 'Directory', null, 0), children },
          tags: found.properties['tags'],
          properties: { ...objectOf(found.properties['properties']), 'azureml.codeUri': found.properties['codeUri'] },
          description: found.properties['description'],
          name: found.name,
          version: found.version,
          createdBy: who,
          createdTime: found.systemData.createdAt,
          modifiedBy: who,
          modifiedTime: found.systemData.lastModifiedAt ?? found.systemData.createdAt,
          gitRepositoryCommit: null,
          uri: found.properties['codeUri'],
          contentHash: query['hash'],
          hashVersion: query['hashVersion'] ?? null,
          provisioningState: 'Succeeded',
        },
      };
    },
    { prefix: '/content/v2.0' },
  );
}
