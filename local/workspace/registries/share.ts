/** Sharing: a version of a workspace becomes a version of a registry, bytes and all (azure-ml-rest §3.2, azure-ml-observed §9). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ctx, Principal, RegistryRecord } from '../context.js';
import { badRequest, conflict, notFound, ServiceError } from '../errors.js';
import type { OperationRecord } from '../operations.js';
import type { BlobPlace } from '../storage/types.js';
import type { Catalog } from '../assets/catalog.js';
import { filesBelow } from '../assets/rewrite.js';
import type { FoundAsset } from '../assets/types.js';
import { assetName } from '../validate.js';

const uriMember = {
  codes: 'codeUri',
  data: 'dataUri',
  models: 'modelUri',
  components: undefined,
  environments: undefined,
} as const;

/** Id of a registry asset as error messages have it: the registry's name in lower case. */
export function lowerId(registry: RegistryRecord, kind: string, name: string, version: string): string {
  return `azureml://registries/${registry.name.toLowerCase()}/${kind}/${name}/versions/${version}`;
}

/**
 * Begins to share `source`; the operation that is given back ends when the version stands in the registry. Refused with ServiceError: unknown
 * registry, a registry that does not cover the workspace's region, a version that exists, a caller without rights on the registry.
 */
export async function share(
  ctx: Ctx,
  source: FoundAsset,
  by: Principal,
  registryName: string,
  name: string,
  version: string,
): Promise<OperationRecord> {
  const catalog = ctx.assets;
  const registry = ctx.world.registry(registryName);
  if (!registry) throw notFound(`Registry ${registryName} was not found.`);
  assetName(name, 'Destination');
  assetName(version, 'Destination version');
  if (source.scope.kind !== 'workspace') throw badRequest('Only versions of a workspace can be shared.');
  ctx.authorize(by, registry.armId, 'write', `registries/${source.kind}`);
  if (!catalog.usable(source.scope, registry))
    throw badRequest(catalog.regionMessage(source.scope, registry), [], ['BadArgument', 'RegionNotSupported']);
  if (catalog.get(registry, source.kind, name, version))
    throw conflict(`Asset ${lowerId(registry, source.kind, name, version)} already exists.`);
  const now = ctx.clock.now();
  const operation = await ctx.store.write((tx) =>
    ctx.operations.create(tx, {
      style: 'assetstore',
      location: registry.location,
      subscriptionId: registry.subscriptionId,
      seconds: Infinity,
      now,
    }),
  );
  const from = ctx.clock.now().getTime();
  const work = copyAndStore(ctx, catalog, source, registry, name, version, by, operation)
    .catch(async (error: unknown) => {
      ctx.log.error(`share of ${source.id}`, error);
      const failure =
        error instanceof ServiceError
          ? { code: error.code, message: error.message }
          : { code: 'ServiceError', message: 'The asset could not be copied.' };
      await ctx.store.write((tx) => ctx.operations.finish(tx, operation.id, from, failure));
    })
    .catch((error: unknown) => ctx.log.error('operation could not be ended', error));
  // Clients poll at once and then only every 30 s (no Retry-After is answered, azure-ml-observed §11): what is quick is done by the first poll.
  if (ctx.latency.seconds('share') === 0) await Promise.race([work, sleep(3000, undefined, { ref: false })]);
  return operation;
}

async function copyAndStore(
  ctx: Ctx,
  catalog: Catalog,
  source: FoundAsset,
  registry: RegistryRecord,
  name: string,
  version: string,
  by: Principal,
  operation: OperationRecord,
): Promise<void> {
  await ctx.latency.wait('share', ctx.closing);
  if (source.scope.kind !== 'workspace') return;
  const properties: Record<string, unknown> = { ...source.properties, isArchived: false };
  const member = uriMember[source.kind];
  const place = member === undefined ? undefined : ctx.storage.resolve(source.scope, String(properties[member]));
  if (member !== undefined && place) properties[member] = await copyInto(ctx, place, registry);
  const asset = {
    ...properties,
    ...(source.kind === 'components' ? { componentSpec: await registryComponent(ctx, catalog, source, registry, by) } : {}),
  };
  const originAssetId = `azureml://locations/${source.scope.location}/workspaces/${source.scope.guid}/${source.kind}/${source.name}/versions/${source.version}`;
  await ctx.store.write((tx) => {
    const { created } = catalog.store(tx, registry, source.kind, name, version, { ...asset, originAssetId }, by.name, {
      fresh: true,
      ...(source.source ? { source: source.source } : {}),
      systemData: {
        createdAt: ctx.clock.stamp(),
        createdBy: by.name,
        createdByType: 'Application',
        lastModifiedAt: source.systemData.lastModifiedAt ?? source.systemData.createdAt,
        lastModifiedBy: by.name,
        lastModifiedByType: 'Application',
      },
    });
    if (created) ctx.operations.finish(tx, operation.id, ctx.clock.now().getTime());
  });
}

/** Copies the files of a place into a fresh container of the registry; gives the https URL of the copy. */
async function copyInto(ctx: Ctx, place: BlobPlace, registry: RegistryRecord): Promise<string> {
  const container = await ctx.storage.freshContainer(registry);
  const base = place.path.replace(/\/$/, '').split('/').at(-1) ?? '';
  const copies: Promise<void>[] = [];
  for await (const file of filesBelow(ctx.storage, place)) {
    const single = file.name === place.path;
    const path = single ? file.relative : base ? `${base}/${file.relative}` : file.relative;
    copies.push(ctx.storage.copy({ ...place, path: file.name }, { account: registry.account, container, path }));
    if (copies.length % 8 === 0) await Promise.all(copies);
  }
  await Promise.all(copies);
  return ctx.storage.blobUrl({ account: registry.account, container, path: base || '' });
}

/** A component's code and environment go along: its specification then names the registry's. */
async function registryComponent(
  ctx: Ctx,
  catalog: Catalog,
  source: FoundAsset,
  registry: RegistryRecord,
  by: Principal,
): Promise<Record<string, unknown>> {
  const spec = { ...(source.properties['componentSpec'] as Record<string, unknown>) };
  if (source.scope.kind !== 'workspace') return spec;
  for (const [member, kind] of [
    ['code', 'codes'],
    ['environment', 'environments'],
  ] as const) {
    const reference = spec[member];
    if (typeof reference !== 'string' || /^azureml:\/\/registries\//i.test(reference)) continue;
    const dependency = catalog.resolve(source.scope, reference, kind);
    const properties = { ...dependency.properties };
    if (kind === 'codes') {
      const place = ctx.storage.resolve(source.scope, String(properties['codeUri']));
      if (place) properties['codeUri'] = await copyInto(ctx, place, registry);
    }
    await ctx.store.write((tx) => {
      if (!catalog.get(registry, kind, dependency.name, dependency.version))
        catalog.store(tx, registry, kind, dependency.name, dependency.version, properties, by.name);
    });
    spec[member] = catalog.id(registry, kind, dependency.name, dependency.version);
  }
  return spec;
}
