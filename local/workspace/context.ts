/**
 * What every surface of the embedded workspace is given. A surface (ARM resources, runs, MLflow, registries …) registers its
 * routes through the router and finds everything else here; it keeps no state of its own outside the store.
 */
import type { Readable } from 'node:stream';
import type { Catalog } from './assets/catalog.js';
import type { Faults } from './faults.js';
import type { Latency } from './latency.js';
import type { Operations } from './operations.js';
import type { Router } from './router.js';
import type { Storage } from './storage/types.js';
import type { Store, Tx } from './store.js';
import type { TokenIssuer } from './identity/issuer.js';

/** A workspace or a registry: both have a place in ARM, a region and a storage account. */
interface ScopeRecord {
  /** Place in lists; the first workspace is the one that connection.json speaks of. */
  index: number;
  name: string;
  subscriptionId: string;
  resourceGroup: string;
  /** Region; of a registry, its primary one. */
  location: string;
  /** `workspaceId` or `registryId`, a GUID. */
  guid: string;
  /** ARM id in the service's own casing, `/subscriptions/…/resourceGroups/…/…`. */
  armId: string;
  /** Storage account name; host `{account}.blob.core.localhost`. */
  account: string;
  createdAt: string;
  tags: Record<string, string>;
  /** Made by a request: the connection whose principal sent it. */
  owner?: string;
  /** Made by a request: epoch milliseconds until which it is shown as being made. */
  creatingUntil?: number;
}

/** A storage account: of a workspace or registry, or of one that was deleted (its data stays, as in Azure). */
export interface StorageAccount {
  name: string;
  subscriptionId: string;
  resourceGroup: string;
  location: string;
  storageMode: 'keys' | 'identity';
}

export interface ResourceGroup {
  subscriptionId: string;
  name: string;
  location: string;
}

export interface WorkspaceRecord extends ScopeRecord {
  kind: 'workspace';
  /** Container of workspaceblobstore. (workspaceartifactstore is always `azureml`.) */
  blobContainer: string;
  /** keys: account key and SAS are handed out; identity: Entra tokens and user-delegation SAS only. */
  storageMode: 'keys' | 'identity';
}

export interface RegistryRecord extends ScopeRecord {
  kind: 'registry';
  /** Regions it covers; workspaces elsewhere cannot use it. */
  regions: string[];
}

export type Scope = WorkspaceRecord | RegistryRecord;

/** Who calls: one service principal (or the workspace's own identity for internal calls). */
export interface Principal {
  name: string;
  /** Application (client) id. */
  clientId: string;
  /** Object id, `oid` of its tokens. */
  objectId: string;
  tenantId: string;
}

/** What is served and how the parts are called from outside. All without trailing slash. */
interface Urls {
  /** `https://localhost:PORT`: resource manager, authority, data planes. */
  readonly base: string;
  readonly port: number;
  /** Port of the blob service; `https://{account}.blob.core.localhost:{storagePort}`. */
  readonly storagePort: number;
  /** Path below `base` of a workspace's MLflow tracking: `/mlflow/v2.0/subscriptions/…`. */
  mlflow(ws: WorkspaceRecord, version?: 'v1.0' | 'v2.0'): string;
}

export interface World {
  readonly tenantId: string;
  /** PEM file of the CA that signed our certificates. */
  readonly caFile: string;
  /** State folder; each surface may keep files below `folder(name)`. */
  readonly root: string;
  folder(name: string): string;
  workspaces(): WorkspaceRecord[];
  registries(): RegistryRecord[];
  /** By name, without regard to case. */
  workspace(subscriptionId: string, resourceGroup: string, name: string): WorkspaceRecord | undefined;
  workspaceByGuid(guid: string): WorkspaceRecord | undefined;
  registry(name: string): RegistryRecord | undefined;
  principal(clientId: string): Principal | undefined;
  /** Groups of everything that is or was there. */
  resourceGroups(): ResourceGroup[];
  storageAccounts(): StorageAccount[];
  /** What a workspace that is made now does with account keys, unless it says itself. */
  readonly storageMode: 'keys' | 'identity';
  /** One transaction that may change workspaces, registries, accounts and roles; all parts have seen it when it resolves. */
  change<R>(body: (tx: Tx) => R): Promise<R>;
}

/** Reads the time; the only clock of the workspace (so that tests and `--latency` can move it). */
export interface Clock {
  now(): Date;
  /** ISO time with 7 fractional digits and `+00:00`, as `systemData` has it. */
  stamp(): string;
}

export interface Log {
  warn(message: string): void;
  error(message: string, error?: unknown): void;
}

/** What other surfaces know and this one needs; each is set by the surface that owns the knowledge while it registers. */
export interface Hooks {
  /** Where an output of a job lies, as long datastore URI, or the reason why not (runs). `outputs/artifacts/paths/x` is not asked: that is the artifact store. */
  jobOutput?: (ws: WorkspaceRecord, job: string, output: string) => Promise<string | undefined>;
  /** True when a job of that name exists (runs). */
  jobExists?: (ws: WorkspaceRecord, job: string) => boolean;
  /** Cancels every job of a workspace and waits until it has ended (runs). */
  endJobs?: (ws: WorkspaceRecord) => Promise<void>;
}

export interface Ctx {
  readonly store: Store;
  readonly world: World;
  readonly urls: Urls;
  readonly storage: Storage;
  readonly assets: Catalog;
  readonly operations: Operations;
  readonly issuer: TokenIssuer;
  readonly faults: Faults;
  readonly latency: Latency;
  /** Throws ServiceError 403 unless the principal may do that on an ARM resource. */
  authorize(principal: Principal, resource: string, access: 'read' | 'write' | 'secrets', operation: string): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly hooks: Hooks;
  /** Aborted when the workspace closes. */
  readonly closing: AbortSignal;
}

/** A part of the HTTP surface. */
export interface Surface {
  readonly name: string;
  /** Adds the routes. Called once, before the server listens. */
  register(router: Router, ctx: Ctx): void | Promise<void>;
  /** Called once when the server listens: adopt or end what an earlier process left running. */
  start?(ctx: Ctx): void | Promise<void>;
  /** Called when the workspace closes: end children, flush. */
  stop?(): void | Promise<void>;
}

/** One authorised request. */
export interface Call {
  method: string;
  /** Path without query, as sent. */
  path: string;
  /** Route parameters, percent-decoded, original casing. */
  params: Record<string, string>;
  /** Query; of a repeated name the last value counts. Names as sent; use `query['$top']`. */
  query: Record<string, string>;
  /** All values of the names that the query repeats, when there are any. */
  repeated?: Record<string, string[]>;
  headers: Record<string, string | undefined>;
  /** Parsed JSON; `undefined` when there was no body; a Buffer for any other content type. */
  body: unknown;
  apiVersion: string;
  principal: Principal;
  /** The unread body, on routes that asked for it. */
  stream?: Readable;
}

export interface WorkspaceCall extends Call {
  ws: WorkspaceRecord;
}

/** What a handler answers. */
export interface Answer {
  /** Default 200. */
  status?: number;
  headers?: Record<string, string>;
  /** `undefined`: no bytes; `null`: the four characters `null`; else JSON. */
  body?: unknown;
  /** Bytes instead of JSON; give `contentType`. */
  raw?: Buffer | string | Readable;
  contentType?: string;
}
