/** The stored assets of all workspaces and registries, and the rules of their versions (azure-ml-observed §4). */
import { createHash, randomUUID } from 'node:crypto';
import type { Clock, Hooks, RegistryRecord, Scope, WorkspaceRecord, World } from '../context.js';
import { badRequest, conflict, notFound, ServiceError } from '../errors.js';
import { missingVersion, singular } from './missing.js';
import type { Storage } from '../storage/types.js';
import type { Store, Tx } from '../store.js';
import { assetName, objectOf } from '../validate.js';
import { asSent, merge, staged } from './merge.js';
import { parseReference } from './references.js';
import {
  fromJob,
  rewriteCode,
  rewriteComponent,
  rewriteData,
  rewriteEnvironment,
  rewriteModel,
  type RewriteContext,
} from './rewrite.js';
import { curatedAsset, curatedNames } from './curated.js';
import type { AssetKind, AssetReference, AssetVersion, FoundAsset, SystemData } from './types.js';

export const assetTable = 'assets';
export const containerTable = 'containers';

export interface ContainerRecord {
  name: string;
  description: string | null;
  tags: Record<string, string>;
  properties: Record<string, string>;
  isArchived: boolean;
  /** Of data containers: the type of their versions. */
  dataType?: unknown;
  systemData: SystemData;
}

export const containerKey = (scope: Scope, kind: AssetKind, name: string): string =>
  `${scope.guid}/${kind}/${name.toLowerCase()}`;
export const versionKey = (scope: Scope, kind: AssetKind, name: string, version: string): string =>
  `${containerKey(scope, kind, name)}/${version.toLowerCase()}`;

interface PutResult {
  asset: FoundAsset;
  created: boolean;
}

/** Every asset of every workspace and registry: what other surfaces ask, and what the routes write. */
export class Catalog {
  readonly #store: Store;
  readonly #world: World;
  readonly #clock: Clock;
  readonly #rewrite: RewriteContext;

  constructor(store: Store, world: World, storage: Storage, clock: Clock, hooks: Hooks) {
    this.#store = store;
    this.#world = world;
    this.#clock = clock;
    this.#rewrite = { storage, hooks, curated: (name) => this.#curated(name) };
  }

  #curated(name: string): string | undefined {
    const registry = this.#world.registry('azureml');
    return registry && this.latest(registry, 'environments', name)?.version;
  }

  /** ARM id or registry id of a version. */
  id(scope: Scope, kind: AssetKind, name: string, version: string): string {
    return scope.kind === 'workspace'
      ? `${scope.armId}/${kind}/${name}/versions/${version}`
      : `azureml://registries/${scope.name}/${kind}/${name}/versions/${version}`;
  }
  #found(scope: Scope, asset: AssetVersion): FoundAsset {
    return { ...asset, scope, id: this.id(scope, asset.kind, asset.name, asset.version) };
  }

  get(scope: Scope, kind: AssetKind, name: string, version: string): FoundAsset | undefined {
    const stored = this.#store.get<AssetVersion>(assetTable, versionKey(scope, kind, name, version));
    if (stored) return this.#found(scope, stored);
    const curated = curatedAsset(scope, kind, name, version);
    return curated && this.#found(scope, curated);
  }
  /** Newest first; undefined when there is no such container. */
  versions(scope: Scope, kind: AssetKind, name: string): FoundAsset[] | undefined {
    const curated = curatedAsset(scope, kind, name);
    if (curated) return [this.#found(scope, curated)];
    if (!this.container(scope, kind, name)) return undefined;
    return this.#store
      .entries<AssetVersion>(assetTable, { prefix: `${containerKey(scope, kind, name)}/` })
      .map(({ value }) => this.#found(scope, value))
      .sort((a, b) => b.order - a.order);
  }
  /** Newest that is not archived. */
  latest(scope: Scope, kind: AssetKind, name: string): FoundAsset | undefined {
    return this.versions(scope, kind, name)?.find((asset) => asset.properties['isArchived'] !== true);
  }
  container(scope: Scope, kind: AssetKind, name: string): ContainerRecord | undefined {
    const curated = curatedAsset(scope, kind, name);
    if (curated) return containerOf(curated);
    return this.#store.get<ContainerRecord>(containerTable, containerKey(scope, kind, name));
  }
  /** Newest first. */
  containers(scope: Scope, kind: AssetKind): ContainerRecord[] {
    const curated = curatedNames(scope, kind);
    if (curated) return curated.flatMap((name) => this.container(scope, kind, name) ?? []);
    return this.#store
      .entries<ContainerRecord>(containerTable, { prefix: `${scope.guid}/${kind}/` })
      .map(({ value }) => value)
      .sort((a, b) => (a.systemData.createdAt < b.systemData.createdAt ? 1 : -1));
  }
  /** Names of the containers. */
  names(scope: Scope, kind: AssetKind): string[] {
    return this.containers(scope, kind).map((entry) => entry.name);
  }

  /**
   * `latestVersion` and `nextVersion` of a container: numbers count up; other versions have no latest and a time stamp as next.
   * Environments and data name the newest version whatever it is, and count on from the highest number.
   */
  numbering(scope: Scope, kind: AssetKind, name: string): { latestVersion: string | null; nextVersion: string } {
    const all = this.versions(scope, kind, name) ?? [];
    const numeric = all.map((asset) => asset.version).filter((version) => /^\d+$/.test(version));
    const top = numeric.reduce((highest, version) => (BigInt(version) > highest ? BigInt(version) : highest), 0n);
    if (kind === 'environments' || kind === 'data')
      return {
        latestVersion: all[0]?.version ?? null,
        nextVersion: String(top + 1n),
      };
    if (all.length && numeric.length < all.length) return { latestVersion: null, nextVersion: this.#versionStamp() };
    return { latestVersion: top > 0n ? String(top) : null, nextVersion: String(top + 1n) };
  }
  /** `2023-02-10-22-11-56-5712149`. */
  #versionStamp(): string {
    const stamp = this.#clock.now().toISOString();
    return `${stamp.slice(0, 10)}-${stamp.slice(11, 19).replaceAll(':', '-')}-${stamp.slice(20, 23)}0000`;
  }

  /** May the workspace use the registry? Its region is one of the registry's; the built-in `azureml` serves all. */
  usable(ws: WorkspaceRecord, registry: RegistryRecord): boolean {
    return registry.regions.includes('*') || registry.regions.includes(ws.location);
  }

  /** Looks a reference (references.ts) up as seen from a workspace. Throws ServiceError 404 in the service's words. */
  resolve(ws: WorkspaceRecord, reference: string, kind: AssetKind): FoundAsset {
    const parsed = parseReference(reference, kind);
    if (!parsed) throw badRequest(`'${reference}' is not a reference to one of the ${kind}.`);
    const curated = kind === 'environments' && /^azureml-/i.test(parsed.name);
    const scope = this.#scope(ws, parsed, curated);
    const found = this.#pick(scope, parsed);
    if (found) return found;
    const version = parsed.version ?? parsed.label ?? 'latest';
    if (scope.kind === 'registry')
      throw notFound(
        `Could not find asset with ID: azureml://registries/${scope.name.toLowerCase()}/${kind}/${parsed.name}/versions/${version}`,
      );
    throw missingVersion(kind, parsed.name, version);
  }
  #pick(scope: Scope, parsed: AssetReference): FoundAsset | undefined {
    const { kind, name, version, label } = parsed;
    if (version !== undefined && version !== 'azureml_default') return this.get(scope, kind, name, version);
    if (label === undefined || label === 'latest' || label === 'default') return this.latest(scope, kind, name);
    return undefined;
  }
  #scope(ws: WorkspaceRecord, parsed: AssetReference, curated: boolean): Scope {
    const owner = parsed.registry ?? (curated && !parsed.workspace ? 'azureml' : undefined);
    if (owner !== undefined) {
      const registry = this.#world.registry(owner);
      if (!registry || !this.usable(ws, registry))
        throw new ServiceError(
          registry ? 400 : 404,
          'UserError',
          registry ? this.regionMessage(ws, registry) : `Registry ${owner} was not found.`,
          {
            inner: registry ? ['BadArgument', 'RegionNotSupported'] : ['NotFoundError'],
          },
        );
      return registry;
    }
    if (parsed.workspaceGuid !== undefined)
      return this.#world.workspaceByGuid(parsed.workspaceGuid) ?? this.#foreign(parsed.workspaceGuid);
    if (!parsed.workspace) return ws;
    const { subscriptionId, resourceGroup, name } = parsed.workspace;
    const found = this.#world.workspace(subscriptionId, resourceGroup, name);
    // An asset of another workspace cannot be used, whether it exists or not.
    return found?.guid === ws.guid ? ws : this.#foreign(name);
  }
  #foreign(name: string): never {
    throw badRequest(
      `The asset belongs to workspace ${name}; assets can be used only in their own workspace or through a registry.`,
    );
  }
  regionMessage(ws: WorkspaceRecord, registry: RegistryRecord): string {
    return `Workspace region ${ws.location} is not one of the regions of registry ${registry.name} (${registry.regions.join(', ')}).`;
  }

  /**
   * Creates or updates one version as an ARM PUT does (rewrites included), without HTTP. `version` undefined: the next free one.
   * Throws ServiceError. `by` is the principal's name.
   */
  async put(
    ws: WorkspaceRecord,
    kind: AssetKind,
    name: string,
    version: string | undefined,
    properties: Record<string, unknown>,
    by: string,
  ): Promise<PutResult> {
    if (version !== undefined) return await this.#putVersion(ws, kind, name, version, properties, by, false);
    for (let attempt = 0; ; attempt += 1) {
      const { nextVersion } = this.numbering(ws, kind, name);
      try {
        return await this.#putVersion(ws, kind, name, nextVersion, properties, by, true);
      } catch (error) {
        if (!(error instanceof ServiceError && error.status === 409) || attempt >= 50) throw error;
      }
    }
  }

  async #properties(
    scope: Scope,
    kind: AssetKind,
    sent: Record<string, unknown>,
    name: string,
    version: string,
  ): Promise<Record<string, unknown>> {
    if (kind === 'codes') return rewriteCode(sent);
    if (kind === 'components') return rewriteComponent(this.#rewrite, sent, name, version);
    if (kind === 'environments') return rewriteEnvironment(sent);
    if (scope.kind === 'registry') throw new Error(`Registry ${kind} are stored by the registry surface.`);
    return kind === 'data' ? await rewriteData(this.#rewrite, scope, sent) : await rewriteModel(this.#rewrite, scope, sent);
  }

  /** Long form of a job URI in a workspace, `undefined` when it is none. */
  async fromJob(ws: WorkspaceRecord, uri: string): Promise<{ uri: string; job: string } | undefined> {
    return await fromJob(this.#rewrite, ws, uri);
  }

  async #putVersion(
    ws: WorkspaceRecord,
    kind: AssetKind,
    name: string,
    version: string,
    sent: Record<string, unknown>,
    by: string,
    fresh: boolean,
  ): Promise<PutResult> {
    const anonymous = kind === 'components' && sent['isAnonymous'] === true;
    assetName(name, singular[kind]);
    assetName(version, `${singular[kind]} version`);
    if (kind === 'models' && !/^[1-9]\d{0,17}$/.test(version))
      throw badRequest(`Model version '${version}' is invalid: a version must be a positive integer.`);
    const chosen = anonymous ? randomUUID() : version;
    const properties = await this.#properties(ws, kind, sent, name, chosen);
    const source = kind === 'components' ? objectOf(sent['componentSpec']) : undefined;
    if (!anonymous)
      return await this.#store.write((tx) =>
        this.store(tx, ws, kind, name, version, properties, by, { fresh, ...(source ? { source } : {}) }),
      );
    // An equal anonymous component made earlier is given back.
    const { version: _version, name: _name, ...content } = source ?? {};
    const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex');
    return await this.#store.write((tx) => {
      const key = `${ws.guid}/${hash}`;
      const known = tx.get<string>('anonymous', key);
      const found = known === undefined ? undefined : tx.get<AssetVersion>(assetTable, versionKey(ws, kind, name, known));
      if (found) return { asset: this.#found(ws, asSent(found, source)), created: true };
      tx.put('anonymous', key, chosen);
      return this.store(tx, ws, kind, name, chosen, properties, by, source ? { source } : {});
    });
  }

  /** Writes a version inside a transaction: creates it, or merges into the one that is there. */
  store(
    tx: Tx,
    scope: Scope,
    kind: AssetKind,
    name: string,
    version: string,
    properties: Record<string, unknown>,
    by: string,
    options: { fresh?: boolean; source?: Record<string, unknown>; systemData?: SystemData } = {},
  ): PutResult {
    const now = this.#clock.stamp();
    const key = versionKey(scope, kind, name, version);
    const before = tx.get<AssetVersion>(assetTable, key);
    const changed = { lastModifiedAt: now, lastModifiedBy: by, lastModifiedByType: 'Application' };
    const made: SystemData = options.systemData ?? { createdAt: now, createdBy: by, createdByType: 'Application', ...changed };
    if (before) {
      if (options.fresh) throw conflict(`${singular[kind]} ${name}:${version} already exists.`);
      const merged = merge(kind, before, properties);
      const asset: AssetVersion = { ...before, properties: merged, systemData: { ...before.systemData, ...changed } };
      tx.put(assetTable, key, asset);
      return { asset: this.#found(scope, asset), created: false };
    }
    const container = tx.get<ContainerRecord>(containerTable, containerKey(scope, kind, name));
    if (!container)
      tx.put(containerTable, containerKey(scope, kind, name), {
        name,
        description: null,
        tags: {},
        properties: {},
        isArchived: false,
        ...(kind === 'data' ? { dataType: properties['dataType'] } : {}),
        systemData: made,
      } satisfies ContainerRecord);
    const order = (tx.get<number>('world', 'order') ?? 0) + 1;
    tx.put('world', 'order', order);
    const asset: AssetVersion = {
      kind,
      name: container?.name ?? name,
      version,
      properties: staged(scope, kind, properties),
      systemData: made,
      order,
      ...(options.source ? { source: options.source } : {}),
    };
    tx.put(assetTable, key, asset);
    const hash = objectOf(properties['properties'])?.['hash_sha256'];
    if (kind === 'codes' && typeof hash === 'string') tx.put('codeHashes', `${scope.guid}/${hash}`, key);
    return { asset: this.#found(scope, asset), created: true };
  }

  /** A code version by its content hash, anywhere in the scope. */
  byHash(scope: Scope, hash: string): FoundAsset | undefined {
    const key = this.#store.get<string>('codeHashes', `${scope.guid}/${hash}`);
    const stored = key === undefined ? undefined : this.#store.get<AssetVersion>(assetTable, key);
    return stored && this.#found(scope, stored);
  }

  /** Deletes one version; false when there is none. */
  async remove(scope: Scope, kind: AssetKind, name: string, version: string): Promise<boolean> {
    const key = versionKey(scope, kind, name, version);
    return await this.#store.write((tx) => {
      if (!tx.get(assetTable, key)) return false;
      tx.remove(assetTable, key);
      return true;
    });
  }
}

function containerOf(asset: AssetVersion): ContainerRecord {
  return { name: asset.name, description: null, tags: {}, properties: {}, isArchived: false, systemData: asset.systemData };
}
