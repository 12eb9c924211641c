/** `connectAzure`: one connection's authenticated requests, long-running operations, pages and blobs. */
import { replyFailure } from './advice.js';
import { openContainer } from './blobs.js';
import { Failure } from './errors.js';
import { brokenJson, foreignReply } from './foreign.js';
import { Hosts } from './hosts.js';
import { Http, type HttpRequest } from './http.js';
import { followOperation } from './operations.js';
import { sendWithToken, Tokens } from './tokens.js';
import type { Azure, AzureConnection, AzureRequest, AzureResponse, BlobAuth, BlobContainer, Clock } from './types.js';

/** The pinned ARM api-version (design §9: its operations are at hand). */
const armApiVersion = '2025-09-01';

let origin: number | undefined;

export const systemClock: Clock = {
  // Time synchronisation sets an agent's clock back or forward by hours, in the middle of a wait.
  now: () => (origin ??= Date.now() - performance.now()) + performance.now(),
  date: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const leave = () => {
        clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', leave);
        resolve();
      }, ms);
      signal?.addEventListener('abort', leave, { once: true });
    }),
};

interface ConnectOptions {
  clock?: Clock;
  /** Told every token, assertion and key the moment it is received or used. */
  onSecret: (value: string) => void;
  /** Client name on requests, e.g. `RunAmlPipeline/1.0.0`. */
  userAgent?: string;
  /** Told in words when a host has not answered for more than a few seconds and is asked again; once, until it answers. */
  onTrouble?: (text: string) => void;
}

interface Page<T> {
  value?: T[] | null;
  nextLink?: string | null;
  continuationToken?: string | null;
}

interface Origin {
  method: AzureRequest['method'];
  url: string;
  scope: string | null;
  operation: string;
}

/** Errors: `Failure` at once when the connection's addresses are not https; everything else when it is first used. */
export function connectAzure(connection: AzureConnection, options: ConnectOptions): Azure {
  return new ConnectedAzure(connection, options);
}

class ConnectedAzure implements Azure {
  readonly connection: AzureConnection;
  readonly http: Http;
  readonly #hosts: Hosts;
  readonly #tokens: Tokens;
  readonly #scope: string;
  readonly #onSecret: (value: string) => void;
  readonly #origins = new WeakMap<AzureResponse<unknown>, Origin>();

  constructor(connection: AzureConnection, options: ConnectOptions) {
    this.connection = connection;
    this.#hosts = new Hosts(connection);
    this.#scope = connection.scope ?? `${connection.resourceManager}/.default`;
    this.#onSecret = options.onSecret;
    this.http = new Http({
      network: connection,
      clock: options.clock ?? systemClock,
      userAgent: options.userAgent ?? 'azure-machine-learning-mlops',
      onTrouble: options.onTrouble,
    });
    this.#tokens = new Tokens(this.http, connection, options.onSecret);
  }

  get clock(): Clock {
    return this.http.clock;
  }

  trustHost(host: string): void {
    this.#hosts.trust(host);
  }

  async token(scope: string, signal?: AbortSignal): Promise<string> {
    return this.#tokens.get(scope, signal);
  }

  async request<T = unknown>(request: AzureRequest): Promise<AzureResponse<T>> {
    const url = this.#url(request);
    const scope = request.scope === undefined ? this.#scope : request.scope;
    if (url.protocol !== 'https:') {
      throw new Failure(`${url.protocol}//${url.host} is not asked: only https is.`, { code: 'NotHttps' });
    }
    if (scope !== null) this.#hosts.check(url);
    const operation = request.operation ?? `${request.method} ${url.host}${url.pathname}`;
    const post = request.method === 'POST';
    const { body, type } = encode(request.body);
    const sending: HttpRequest = {
      method: request.method,
      url: url.href,
      headers: { Accept: 'application/json', ...(type ? { 'Content-Type': type } : {}), ...request.headers },
      ...(body === undefined ? {} : { body }),
      signal: request.signal,
      retries: request.retries ?? 5,
      throttleOnly: request.throttleOnly ?? (post && request.retries === undefined),
      operation,
      ...(request.timeoutSeconds === undefined ? {} : { timeoutMs: request.timeoutSeconds * 1000 }),
      ...(request.maxBytes === undefined ? {} : { maxBytes: request.maxBytes }),
    };
    const reply =
      scope === null || request.accept?.includes(401)
        ? await this.http.send({ ...sending, prepare: async (headers) => this.#bearer(headers, scope, request.signal) })
        : await sendWithToken(this.http, this.#tokens, scope, sending, bearer);
    const { ambiguous } = reply;
    const text = reply.bytes.toString('utf8');
    // Log reads carry their own signature in the address and hold foreign text; everything else may hold a SAS that is new to us.
    if (scope !== null && text.includes('sig=')) {
      // Some of Azure's JSON writes an ampersand as an escape; a bare token begins its text.
      for (const [, value = ''] of text.matchAll(/(?:[?&;"']|\\u0026)sig=([^&"'\s\\<]+)/gi)) this.#signature(value);
    } else if (scope === null) {
      this.#signature(url.searchParams.get('sig') ?? '');
    }
    const json = sending.headers?.['Accept'] === 'application/json';
    const foreign = foreignReply(operation, url.href, { status: reply.status, headers: reply.headers, text }, json);
    // A gateway of the data plane may say "no such thing" with a page of its own; the resource manager never does.
    const meant = reply.status >= 400 && request.accept?.includes(reply.status) && !this.#isManager(url);
    if (foreign && !meant) throw foreign;
    const expected = (reply.status >= 200 && reply.status < 300) || request.accept?.includes(reply.status);
    if (!expected) throw this.#refusal(replyFailure(operation, reply.status, reply.headers, text));
    const decoded = decode(text, reply.headers['content-type']);
    if (json && reply.status < 300 && decoded === text && /json/i.test(reply.headers['content-type'] ?? '') && !isJson(text))
      throw brokenJson(operation, url.href, reply.status);
    const response: AzureResponse<T> = {
      status: reply.status,
      headers: reply.headers,
      body: decoded as T,
      text,
      bytes: reply.bytes,
      ambiguous,
    };
    this.#origins.set(response, { method: request.method, url: url.href, scope, operation });
    return response;
  }

  #isManager(url: URL): boolean {
    return url.origin === new URL(this.connection.resourceManager).origin;
  }

  async #bearer(headers: Record<string, string>, scope: string | null, signal?: AbortSignal): Promise<void> {
    if (scope !== null) bearer(headers, await this.#tokens.get(scope, signal));
  }

  /** A refusal concerns the service connection, so it is named: a step may use two. */
  #refusal(failure: Failure): Failure {
    const { status, advice } = failure.details;
    if (!advice || (status !== 401 && status !== 403)) return failure;
    const named = advice.replace(/(this|the) service connection\b/, `service connection ${this.connection.name}`);
    return new Failure(failure.message, { ...failure.details, advice: named });
  }

  #url(request: AzureRequest): URL {
    const path = request.url.startsWith('/');
    let url: URL;
    try {
      url = new URL(path ? this.connection.resourceManager + request.url : request.url);
    } catch (error) {
      throw new Failure(`${request.url.slice(0, 200)} is not an address.`, { code: 'AddressInvalid', cause: error });
    }
    const version = request.apiVersion === undefined ? (path ? armApiVersion : null) : request.apiVersion;
    // The query of a poll or next link is signed: it is extended as text, never parsed and written again.
    const extra = new URLSearchParams(request.query);
    if (version !== null && !/[?&]api-version=/i.test(url.search)) extra.set('api-version', version);
    const more = extra.toString().replaceAll('+', '%20');
    if (more) url = new URL(`${url.href.replace(/#.*$/, '')}${url.search ? '&' : '?'}${more}`);
    return url;
  }

  async complete<T = unknown>(
    first: AzureResponse<unknown>,
    options: { signal?: AbortSignal; pollSeconds?: number } = {},
  ): Promise<AzureResponse<T>> {
    const origin = this.#origins.get(first);
    if (!origin) throw new Error('complete() takes a response of the same connection');
    return (await followOperation(this, first, origin, options)) as AzureResponse<T>;
  }

  async *list<T>(request: AzureRequest): AsyncIterable<T> {
    const seen = new Set<string>();
    let next: AzureRequest | undefined = request;
    while (next) {
      const { body }: AzureResponse<Page<T> | undefined> = await this.request<Page<T> | undefined>(next);
      if (body && !Array.isArray(body.value) && body.value != null) {
        throw new Failure(`The reply to ${request.operation ?? request.url} is no list.`, { code: 'ReplyInvalid' });
      }
      yield* body?.value ?? [];
      const link: string | null | undefined = body?.nextLink || body?.continuationToken;
      if (!link) return;
      if (seen.has(link) || seen.size > 10_000) {
        throw new Failure(`The pages of ${request.operation ?? request.url} come round again.`, { code: 'PagesLoop' });
      }
      seen.add(link);
      if (!body?.nextLink) {
        next = { ...request, query: { ...request.query, $continuationtoken: link } };
        continue;
      }
      const { query: _query, ...rest } = request;
      next = { ...rest, url: new URL(link, this.#url(request)).href, apiVersion: null };
    }
  }

  blobs(containerUrl: string, auth: BlobAuth): BlobContainer {
    if (auth.kind === 'entra') this.#hosts.checkStorage(new URL(containerUrl));
    if (auth.kind === 'sas') this.#signature(new URLSearchParams(auth.token.replace(/^\?/, '')).get('sig') ?? '');
    if (auth.kind === 'accountKey') this.#onSecret(auth.key);
    return openContainer(this.http, containerUrl, auth, this.#tokens);
  }

  /** Both forms in which a signature shows up. */
  #signature(value: string): void {
    if (value === '') return;
    this.#onSecret(value);
    try {
      const other = value.includes('%') ? decodeURIComponent(value) : encodeURIComponent(value);
      if (other !== value) this.#onSecret(other);
    } catch {
      return;
    }
  }

  close(): void {
    this.http.close();
  }
}

function bearer(headers: Record<string, string>, token: string): void {
  headers['Authorization'] = `Bearer ${token}`;
}

function encode(body: unknown): { body?: string | Uint8Array; type?: string } {
  if (body === undefined) return {};
  if (typeof body === 'string') return { body, type: 'application/json' };
  if (body instanceof Uint8Array) return { body, type: 'application/octet-stream' };
  return { body: JSON.stringify(body), type: 'application/json' };
}

/** "Empty" replies of the service are zero bytes or the four characters `null` (reference azure-ml-observed §0). */
function decode(text: string, type: string | undefined): unknown {
  if (text === '') return undefined;
  if (type !== undefined && !/json/i.test(type) && !/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text.replace(/^\uFEFF/, '')) as unknown;
  } catch {
    return text;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return text === '';
  }
}
