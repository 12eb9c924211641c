/** Contracts of the one way to Azure: connection, tokens, requests, blobs. Implementations stand beside this file. */
import type { Readable } from 'node:stream';

export interface Clock {
  /** Milliseconds since 1970, counted on from the beginning of the process: nobody sets this back or forward. For durations. */
  now(): number;
  /** Milliseconds since 1970 by the machine's clock, which may be set at any time: for times that others read or have written. */
  date(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** How the agent reaches the network: its own configuration, the same for every connection (reference task-contract B.5, B.9). */
export interface AgentNetwork {
  /** PEM file or text to trust besides the system's (Agent.CAInfo). */
  ca?: string;
  proxy?: { url: string; username?: string; password?: string; bypass: RegExp[] };
  /** Files of the agent's client certificate, shown to servers that ask for one (Agent.ClientCert and its likes). */
  clientCertificate?: { certificate?: string; key?: string; archive?: string; password?: string };
  /** The agent verifies no server certificate (Agent.SkipCertValidation). */
  skipCertValidation?: true;
}

/** Where and as whom: made from a service connection (src/task/connection.ts) or from connection.json (cli). */
export interface AzureConnection extends AgentNetwork {
  /** Name for messages, e.g. `arm-dev`. */
  name: string;
  /** Base of the resource manager, no trailing slash. */
  resourceManager: string;
  /** Authority host, no trailing slash. */
  authority: string;
  /** Token scope of the resource manager where it is not `{resourceManager}/.default` (Azure Stack). */
  scope?: string;
  tenantId: string;
  clientId?: string;
  subscriptionId?: string;
  credential:
    | { kind: 'secret'; clientSecret: string }
    | { kind: 'certificate'; pem: string }
    | { kind: 'federated'; assertion: (signal?: AbortSignal) => Promise<string> }
    | { kind: 'managedIdentity'; endpoint?: string };
}

export interface AzureRequest {
  method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE' | 'HEAD';
  /** Absolute, or a path below the resource manager (then `apiVersion` defaults to the pinned one). */
  url: string;
  apiVersion?: string | null;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** Sent as JSON unless it is a string or bytes. */
  body?: unknown;
  /** Token scope; default the resource manager's. `null`: no token (a log URL that carries its own SAS). */
  scope?: string | null;
  /** Statuses besides 2xx that are an answer, not an error. */
  accept?: number[];
  signal?: AbortSignal;
  /** Retries of 429/5xx/resets. Default 5 for reads and for PUT/PATCH/DELETE; a POST is sent again only after a 429 (nothing was done then). */
  retries?: number;
  /** Send again only after a 429, as for a POST: the caller reads back what a lost reply hides. */
  throttleOnly?: boolean;
  /** What is being done, for messages: `read the workspace mlw-dev`. Default: method and path. */
  operation?: string;
  /** Until the reply's headers, and between two pieces of its body. Default 100. */
  timeoutSeconds?: number;
  /** Largest reply that is read. Default 64 MiB. */
  maxBytes?: number;
}

export interface AzureResponse<T> {
  status: number;
  headers: Readonly<Record<string, string>>;
  body: T;
  /** The bytes as text, before parsing. */
  text: string;
  bytes: Buffer;
  /** True when an earlier sending of this request may have been executed although its reply was lost. */
  ambiguous: boolean;
}

/** One authenticated way to one connection's Azure. A request never carries this connection's token to a host that the connection did not lead to. */
export interface Azure {
  readonly connection: AzureConnection;
  token(scope: string, signal?: AbortSignal): Promise<string>;
  request<T = unknown>(request: AzureRequest): Promise<AzureResponse<T>>;
  /** Follows an operation to its end (Azure-AsyncOperation, Location; reference azure-ml-rest §5) and gives the last answer. */
  complete<T = unknown>(
    first: AzureResponse<unknown>,
    options?: { signal?: AbortSignal; pollSeconds?: number },
  ): Promise<AzureResponse<T>>;
  /** Pages through `value`/`nextLink`. */
  list<T>(request: AzureRequest): AsyncIterable<T>;
  blobs(containerUrl: string, auth: BlobAuth): BlobContainer;
  /** Hosts that discovery made trustworthy for tokens besides the resource manager (data plane, registry). */
  trustHost(host: string): void;
}

/**
 * A SAS may say how a fresh one is had: when it has been used for `forMs` (by the container that was opened with it), and when storage takes it
 * no more. `next` gives undefined where there is none to be had.
 */
export type BlobAuth =
  | { kind: 'sas'; token: string; renewal?: { forMs?: number; next: () => Promise<BlobAuth | undefined> } }
  | { kind: 'accountKey'; account: string; key: string }
  | { kind: 'entra' };

export interface BlobItem {
  name: string;
  size: number;
  etag: string;
  lastModified: Date;
  md5?: string;
}

export interface BlobWriteOptions {
  ifNoneMatch?: '*';
  ifMatch?: string;
  contentType?: string;
  metadata?: Record<string, string>;
  signal?: AbortSignal;
}

export interface BlobContainer {
  readonly url: string;
  list(prefix: string, signal?: AbortSignal): AsyncIterable<BlobItem>;
  head(name: string, signal?: AbortSignal): Promise<(BlobItem & { metadata: Record<string, string> }) | undefined>;
  /** Stream of a blob or a range of it; `undefined` when there is no such blob. */
  read(
    name: string,
    options?: { offset?: number; count?: number; ifMatch?: string; signal?: AbortSignal },
  ): Promise<{ stream: Readable; size: number; etag: string } | undefined>;
  /** Whole small blob (at most `maxBytes`, default 16 MiB). */
  readBytes(
    name: string,
    options?: { maxBytes?: number; signal?: AbortSignal },
  ): Promise<{ bytes: Buffer; etag: string } | undefined>;
  /** Writes small content in one request; gives the new etag. A failed condition is a Failure with code `ConditionNotMet` (status 409 or 412). */
  writeBytes(name: string, bytes: Uint8Array, options?: BlobWriteOptions): Promise<{ etag: string }>;
  putBlock(name: string, blockId: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Uncommitted blocks of a blob (resume). */
  uncommittedBlocks(name: string, signal?: AbortSignal): Promise<{ id: string; size: number }[]>;
  /** Ids of the blocks that a blob consists of; none for one that was written whole, or that is not there. */
  committedBlocks(name: string, signal?: AbortSignal): Promise<string[]>;
  commitBlocks(name: string, blockIds: string[], options?: BlobWriteOptions): Promise<{ etag: string }>;
  setMetadata(name: string, metadata: Record<string, string>, signal?: AbortSignal): Promise<void>;
  delete(name: string, options?: { ifMatch?: string; signal?: AbortSignal }): Promise<boolean>;
}
