/** Versions and containers of registries, over ARM and over the registry's data plane (azure-ml-rest §3.2, azure-ml-observed §9). */
import { randomUUID } from 'node:crypto';
import type { Answer, Call, Ctx, RegistryRecord } from '../context.js';
import { badRequest, notBuilt, notFound, ServiceError } from '../errors.js';
import type { Router } from '../router.js';
import { assetName, objectOf, propertiesOf } from '../validate.js';
import { containerKey, containerTable, type Catalog, type ContainerRecord } from '../assets/catalog.js';
import { filesBelow, rewriteCode, rewriteComponent, rewriteEnvironment } from '../assets/rewrite.js';
import type { AssetKind, FoundAsset } from '../assets/types.js';
import { containerBody, filtered, ordered, page, trim, viewed } from '../assets/view.js';
import { lowerId } from './share.js';

export type RegistryCall = Call & { registry: RegistryRecord };
const kinds: AssetKind[] = ['codes', 'components', 'data', 'environments', 'models'];
const what: Record<AssetKind, string> = {
  codes: 'Code',
  components: 'Component',
  data: 'Data',
  environments: 'Environment',
  models: 'Model',
};

/** Members that the registries' own api-version does not know, but for models. */
const younger = new Set(['autoDeleteSetting', 'autoRebuild', 'provisioningState', 'intellectualProperty']);

/** A registry's version as resource: of models `name` is the model's, of the rest it is the version. */
function registryBody(catalog: Catalog, asset: FoundAsset, apiVersion: string): Record<string, unknown> {
  const dataplane = apiVersion.includes('dataplane');
  const known = trim(asset.properties, dataplane ? '' : apiVersion, dataplane ? undefined : asset.kind);
  const properties =
    dataplane && asset.kind !== 'models'
      ? Object.fromEntries(
          Object.entries(known).filter(([member, value]) => !younger.has(member) && !(member === 'stage' && value === null)),
        )
      : known;
  const latest = asset.kind === 'environments' && catalog.latest(asset.scope, asset.kind, asset.name)?.version === asset.version;
  return {
    id: asset.id,
    name: asset.kind === 'models' ? asset.name : asset.version,
    type: asset.kind,
    properties:
      asset.kind === 'environments'
        ? {
            ...properties,
            properties: {
              ...objectOf(properties['properties']),
              ...(latest ? { 'azureml.labels': 'latest,invisibleLatest' } : {}),
            },
            ...(dataplane ? { stage: properties['stage'] ?? null, intellectualProperty: null } : {}),
          }
        : properties,
    systemData: asset.systemData,
  };
}

interface Tombstone {
  at: string;
}

export function registerRegistryAssets(router: Router, ctx: Ctx, prefix: '' | '/mferp/managementfrontend'): void {
  const catalog = ctx.assets;
  for (const kind of kinds) register(router, ctx, catalog, kind, prefix);
}

function register(router: Router, ctx: Ctx, catalog: Catalog, kind: AssetKind, prefix: '' | '/mferp/managementfrontend'): void {
  const options = { prefix };
  const missing = (registry: RegistryRecord, name: string, version: string) =>
    notFound(`Could not find asset with ID: ${lowerId(registry, kind, name, version)}`);
  const find = ({ registry, params }: RegistryCall): FoundAsset => {
    const { name = '', version = '' } = params;
    const found =
      catalog.get(registry, kind, name, version) ??
      (version === 'azureml_default' ? catalog.latest(registry, kind, name) : undefined);
    if (!found) throw missing(registry, name, version);
    return found;
  };
  router.registry(
    'GET',
    `/${kind}`,
    'read',
    (call) => {
      const shown = viewed(call.query);
      const all = catalog.containers(call.registry, kind).filter((entry) => shown(entry.isArchived));
      const { page: items, nextLink } = page(all, call.query, `${ctx.urls.base}${call.path}`);
      return {
        body: {
          value: items.map((entry) => containerBody(catalog, call.registry, kind, entry, call.apiVersion)),
          ...(nextLink ? { nextLink } : {}),
        },
      };
    },
    options,
  );
  router.registry(
    'GET',
    `/${kind}/:name`,
    'read',
    ({ registry, params, apiVersion }) => {
      const name = params['name'] ?? '';
      const found = catalog.container(registry, kind, name);
      if (!found)
        throw notFound(
          `Could not find asset container with ID: azureml://registries/${registry.name.toLowerCase()}/${kind}/${name}`,
        );
      return { body: containerBody(catalog, registry, kind, found, apiVersion) };
    },
    options,
  );
  router.registry(
    'GET',
    `/${kind}/:name/versions`,
    'read',
    (call) => {
      const name = call.params['name'] ?? '';
      const all =
        kind === 'codes' && call.query['hash'] !== undefined
          ? [catalog.byHash(call.registry, call.query['hash'])].filter((entry) => entry !== undefined)
          : catalog.versions(call.registry, kind, name);
      const { page: items, nextLink } = page(
        // A container that is not there has no versions: azure-ai-ml lists before it creates.
        ordered(filtered(all ?? [], call.query), call.query),
        call.query,
        `${ctx.urls.base}${call.path}`,
      );
      return {
        body: { value: items.map((asset) => registryBody(catalog, asset, call.apiVersion)), ...(nextLink ? { nextLink } : {}) },
      };
    },
    options,
  );
  router.registry(
    'GET',
    `/${kind}/:name/versions/:version`,
    'read',
    (call) => ({ body: registryBody(catalog, find(call), call.apiVersion) }),
    options,
  );
  router.registry(
    'GET',
    `/${kind}/:name/labels/:label`,
    'read',
    ({ registry, params, apiVersion }) => {
      const { name = '', label = '' } = params;
      const found = label === 'latest' || label === 'default' ? catalog.latest(registry, kind, name) : undefined;
      if (!found) throw missing(registry, name, label);
      return { body: registryBody(catalog, found, apiVersion) };
    },
    options,
  );
  router.registry('PUT', `/${kind}/:name`, 'write', async (call) => await putContainer(ctx, catalog, kind, call), options);
  router.registry(
    'PUT',
    `/${kind}/:name/versions/:version`,
    'write',
    async (call) => await putVersion(ctx, catalog, kind, call, prefix),
    options,
  );
  router.registry(
    'DELETE',
    `/${kind}/:name/versions/:version`,
    'write',
    async (call) => {
      const { name = '', version = '' } = call.params;
      if (!(await catalog.remove(call.registry, kind, name, version))) return { status: 204 };
      const operation = await ctx.store.write((tx) => {
        tx.put('tombstones', lowerId(call.registry, kind, name, version), { at: ctx.clock.stamp() } satisfies Tombstone);
        return ctx.operations.create(tx, operationOf(ctx, call.registry, 'assetstore'));
      });
      return {
        status: 202,
        headers: { Location: ctx.operations.resultUrl(operation, call.apiVersion), 'x-ms-async-operation-timeout': 'PT1H' },
        body: null,
      };
    },
    options,
  );
  router.registry(
    'DELETE',
    `/${kind}/:name`,
    'write',
    () => {
      throw notBuilt(`Registry${what[kind]}Containers_Delete`);
    },
    options,
  );
}

function operationOf(ctx: Ctx, registry: RegistryRecord, style: 'assetstore' | 'environment', id?: string) {
  return {
    style,
    location: registry.location,
    subscriptionId: registry.subscriptionId,
    seconds: ctx.latency.seconds('operation'),
    now: ctx.clock.now(),
    ...(id === undefined ? {} : { id }),
  };
}

async function putContainer(ctx: Ctx, catalog: Catalog, kind: AssetKind, call: RegistryCall): Promise<Answer> {
  const name = assetName(call.params['name'], what[kind]);
  const sent = propertiesOf(call.body, `${what[kind]}Container`, call.apiVersion);
  const now = ctx.clock.stamp();
  const text = (value: unknown) => (objectOf(value) ?? {}) as Record<string, string>;
  const record = await ctx.store.write((tx) => {
    const before = tx.get<ContainerRecord>(containerTable, containerKey(call.registry, kind, name));
    const next: ContainerRecord = {
      name: before?.name ?? name,
      description: (sent['description'] as string | null | undefined) ?? before?.description ?? null,
      tags: { ...before?.tags, ...text(sent['tags']) },
      properties: { ...text(sent['properties']), ...before?.properties },
      isArchived: sent['isArchived'] === true,
      ...(kind === 'data' ? { dataType: before?.dataType ?? sent['dataType'] } : {}),
      systemData: {
        ...(before?.systemData ?? { createdAt: now, createdBy: call.principal.name, createdByType: 'Application' }),
        lastModifiedAt: now,
      },
    };
    tx.put(containerTable, containerKey(call.registry, kind, name), next);
    return next;
  });
  return { status: 200, body: containerBody(catalog, call.registry, kind, record, call.apiVersion) };
}

/** What is stored of a version that was sent. Throws ServiceError 400. */
async function properties(
  ctx: Ctx,
  catalog: Catalog,
  kind: AssetKind,
  registry: RegistryRecord,
  sent: Record<string, unknown>,
  name: string,
  version: string,
): Promise<Record<string, unknown>> {
  const common = {
    description: sent['description'] ?? null,
    tags: sent['tags'] ?? {},
    properties: sent['properties'] ?? {},
    isArchived: sent['isArchived'] ?? false,
    isAnonymous: sent['isAnonymous'] ?? false,
  };
  const uploaded = async (member: string): Promise<string> => {
    const uri = sent[member];
    if (typeof uri !== 'string' || !uri) throw badRequest(`${member} is required.`);
    const place = ctx.storage.parseUrl(uri);
    if (place?.account !== registry.account) {
      if (kind === 'data' && /^https?:\/\//i.test(uri) && !place) return uri;
      throw badRequest(
        `${member} '${uri}' is not in the registry's storage: upload to the place that tempdatarefs or startPendingUpload gave.`,
      );
    }
    for await (const _file of filesBelow(ctx.storage, place)) return uri;
    throw new ServiceError(400, 'UserError', 'The request is invalid.', {
      details: [
        {
          code: `${what[kind]}AssetPathNotFoundInStorage`,
          message: `No blobs found in storage at ${kind} asset path: ${place.path}`,
        },
      ],
      inner: ['BadArgument'],
    });
  };
  switch (kind) {
    case 'codes':
      return rewriteCode({ ...sent, codeUri: await uploaded('codeUri') });
    case 'environments':
      return rewriteEnvironment(sent);
    case 'components':
      return rewriteComponent(
        { storage: ctx.storage, hooks: ctx.hooks, curated: (name) => catalog.latest(registry, 'environments', name)?.version },
        sent,
        name,
        version,
      );
    case 'data':
      return { ...common, dataUri: await uploaded('dataUri'), dataType: sent['dataType'] ?? 'uri_folder' };
    case 'models':
      return {
        ...common,
        flavors: sent['flavors'] ?? {},
        modelType: sent['modelType'] ?? 'custom_model',
        modelUri: await uploaded('modelUri'),
        jobName: sent['jobName'] ?? null,
        provisioningState: 'Succeeded',
        stage: sent['stage'] ?? null,
        originAssetId: null,
      };
  }
}

async function putVersion(ctx: Ctx, catalog: Catalog, kind: AssetKind, call: RegistryCall, prefix: string): Promise<Answer> {
  const { registry, apiVersion } = call;
  const name = assetName(call.params['name'], what[kind]);
  const version = assetName(call.params['version'], `${what[kind]} version`);
  const sent = propertiesOf(call.body, `${what[kind]}Version`, apiVersion);
  const id = lowerId(registry, kind, name, version);
  const gone = ctx.store.get<Tombstone>('tombstones', id);
  if (gone)
    throw badRequest(`Asset ${id} was deleted at ${gone.at}, it cannot be recreated. Please try again with a different version.`);
  const stored = await properties(ctx, catalog, kind, registry, sent, name, version);
  const before = catalog.get(registry, kind, name, version);
  const source = kind === 'components' ? objectOf(sent['componentSpec']) : undefined;
  const operation = await ctx.store.write((tx) => {
    // An environment or component that is there stays as it is, whatever was sent (recorded for environments).
    if (!before || !['environments', 'components', 'codes'].includes(kind))
      catalog.store(tx, registry, kind, name, version, stored, call.principal.name, source ? { source } : {});
    const style = kind === 'environments' ? 'environment' : 'assetstore';
    return ctx.operations.create(tx, operationOf(ctx, registry, style, `${registry.name}_${name}_${version}_${randomUUID()}`));
  });
  const asset = catalog.get(registry, kind, name, version);
  const timeout = { 'x-ms-async-operation-timeout': 'PT1H' };
  if (prefix !== '' || !asset)
    return { status: 202, headers: { Location: ctx.operations.resultUrl(operation, apiVersion), ...timeout }, body: null };
  return {
    status: before ? 200 : 201,
    headers: { 'Azure-AsyncOperation': ctx.operations.statusUrl({ ...operation, style: 'mfe' }, apiVersion), ...timeout },
    body: registryBody(catalog, asset, apiVersion),
  };
}
