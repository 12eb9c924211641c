/** Blob storage as the workspace's own identity sees it: for the engine, the artifacts service and asset resolution. */
import type { Readable } from 'node:stream';
import type { Scope, WorkspaceRecord } from '../context.js';

export interface BlobPlace {
  account: string;
  container: string;
  /** Path in the container, `/` between folders, never a leading `/`; a folder may end in `/`. */
  path: string;
}

export interface BlobEntry {
  name: string;
  size: number;
  etag: string;
  md5?: string;
  lastModified: string;
}

export interface WriteOptions {
  contentType?: string;
  metadata?: Record<string, string>;
  /** `*`: refuse when the blob is there (throws with status 409). */
  ifNoneMatch?: '*';
}

export interface SasOptions {
  /** e.g. `rcwl`, `r`. */
  permissions: string;
  /** Lifetime; default 8 hours 10 minutes, as the service gives log URLs. */
  minutes?: number;
  /** One blob only; else the container. */
  blob?: string;
}

export interface Datastore {
  name: string;
  place: BlobPlace;
}

export interface Storage {
  /** `https://{account}.blob.core.localhost:{port}` of the container, no trailing slash. */
  containerUrl(account: string, container: string): string;
  blobUrl(place: BlobPlace): string;
  /** Any `https://{account}.blob.core.…/container/path` (any port, with or without `:443`, query dropped), or `undefined`. */
  parseUrl(url: string): BlobPlace | undefined;
  /** URL with a SAS: by account key, or by user delegation when the account forbids keys. */
  sasUrl(account: string, container: string, options: SasOptions): string;

  ensureContainer(account: string, container: string): Promise<void>;
  list(place: BlobPlace): AsyncIterable<BlobEntry>;
  head(place: BlobPlace): Promise<(BlobEntry & { metadata: Record<string, string>; contentType: string }) | undefined>;
  /** Whole blob, or a range of it; `undefined` when there is none. */
  read(place: BlobPlace, range?: { offset: number; count?: number }): Promise<Buffer | undefined>;
  stream(place: BlobPlace): Promise<Readable | undefined>;
  write(place: BlobPlace, bytes: Uint8Array | string, options?: WriteOptions): Promise<void>;
  /** Streams a file of any size up in blocks. */
  writeFile(place: BlobPlace, file: string, options?: WriteOptions): Promise<void>;
  /** Appends to an append blob, making it first when needed (growing logs). */
  append(place: BlobPlace, bytes: Uint8Array): Promise<void>;
  remove(place: BlobPlace): Promise<boolean>;
  /** Server-side copy between blobs of any accounts. */
  copy(from: BlobPlace, to: BlobPlace): Promise<void>;

  /** `azureml://datastores/…`, `azureml://subscriptions/…`, blob https URLs; `undefined` when it is another kind of address (public http, adl …). Throws ServiceError for an unknown datastore. */
  resolve(ws: WorkspaceRecord, uri: string): BlobPlace | undefined;
  /** `azureml://subscriptions/…/resourcegroups/…/workspaces/…/datastores/{ds}/paths/{path}`. */
  longUri(ws: WorkspaceRecord, datastore: string, path: string): string;
  /** Blob datastores with their container; `undefined` when not a blob datastore or unknown. */
  datastore(ws: WorkspaceRecord, name: string): Datastore | undefined;
  /** Name of the default datastore, normally `workspaceblobstore`. */
  defaultDatastore(ws: WorkspaceRecord): string;
  /** A fresh container of the scope's account for an upload: `{guid}-{26 characters}`. */
  freshContainer(scope: Scope): Promise<string>;
  /** Account key; throws ServiceError when the account forbids keys. */
  accountKey(account: string): string;
}
