/**
 * The one place that talks HTTP: the Azure SDK's core-rest-pipeline over node:https (never global fetch, design §9), with the agent's
 * proxy and CA, names below `.localhost` resolved here, bodies read with limits, and retries on an injectable clock.
 */
import type { Agent as HttpAgent } from 'node:http';
import { Agent } from 'node:https';
import { randomUUID } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import {
  createDefaultHttpClient,
  createEmptyPipeline,
  createHttpHeaders,
  createPipelineRequest,
  type PipelinePolicy,
  type PipelineResponse,
} from '@azure/core-rest-pipeline';
import { Failure } from './errors.js';
import { dropsTheLine, sendFailure } from './advice.js';
import { tlsSettings, type TlsSettings } from './trust.js';
import type { AgentNetwork, AzureRequest, Clock } from './types.js';

interface HttpOptions {
  network?: AgentNetwork | undefined;
  clock: Clock;
  userAgent?: string | undefined;
}

export interface HttpRequest {
  method: AzureRequest['method'];
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  signal?: AbortSignal | undefined;
  /** Until the reply's headers, and between two pieces of its body. Default 100 s. */
  timeoutMs?: number | undefined;
  /** Give the body as a stream instead of bytes. */
  stream?: boolean;
  maxBytes?: number;
  /** Only for the managed identity endpoint, which speaks plain http on a link-local address. */
  plainHttp?: boolean;
  /** Retries of transient failures; `throttleOnly`: a repeated POST is safe only when the service said 429. */
  retries?: number;
  throttleOnly?: boolean;
  /** For messages: what was being done. */
  operation?: string;
  /** Called before each sending (fresh token, fresh signature). */
  prepare?: (headers: Record<string, string>) => Promise<void> | void;
}

export interface HttpResponse {
  status: number;
  headers: Readonly<Record<string, string>>;
  bytes: Buffer;
  stream?: Readable;
  /** True when an earlier sending may have been executed although its reply was lost. */
  ambiguous: boolean;
}

const transientStatus = new Set([408, 429, 500, 502, 503, 504]);
const longestWait = 300_000;

/** Names below `.localhost` are the loopback address (RFC 6761), whatever the resolver knows. */
const lookupLocalhost: LookupFunction = (host, options, done) => {
  if (host === 'localhost' || host.endsWith('.localhost')) {
    if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
    else done(null, '127.0.0.1', 4);
    return;
  }
  void import('node:dns').then(({ lookup }) => lookup(host, options, done as never));
};

export class Http {
  readonly clock: Clock;
  readonly #pipeline = createEmptyPipeline();
  readonly #client = createDefaultHttpClient();
  readonly #agents = new Map<string, HttpAgent>();
  readonly #options: HttpOptions;
  #tls: TlsSettings | undefined;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.#pipeline.addPolicy(this.#door());
  }

  /** Agent and client name on every request. */
  #door(): PipelinePolicy {
    return {
      name: 'amlopsDoor',
      sendRequest: async (request, next) => {
        if (this.#options.userAgent) request.headers.set('User-Agent', this.#options.userAgent);
        const agent = await this.#agentFor(new URL(request.url));
        if (agent) request.agent = agent;
        return next(request);
      },
    };
  }

  async #agentFor(url: URL): Promise<HttpAgent | undefined> {
    if (url.protocol !== 'https:') return undefined;
    const { network = {} } = this.#options;
    const { proxy } = network;
    const key = proxy && !bypasses(url, proxy.bypass) ? 'proxy' : 'direct';
    let agent = this.#agents.get(key);
    if (agent) return agent;
    this.#tls ??= tlsSettings(network);
    // A free socket is dropped before the service's idle limit: a POST must not meet a half-closed line.
    const settings = { keepAlive: true, maxFreeSockets: 64, timeout: 30_000, scheduling: 'lifo' as const, ...this.#tls };
    if (key === 'proxy' && proxy) {
      const { proxyAgent } = await import('./proxy.js');
      agent = proxyAgent(proxy, settings);
    } else {
      agent = new Agent({ ...settings, lookup: lookupLocalhost });
    }
    this.#agents.set(key, agent);
    return agent;
  }

  /** Closes idle connections; a task's last act. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /**
   * Sends, retries what is transient (reference azure-ml-rest §5: Retry-After in seconds), gives any final status.
   * Errors: `Failure` with the operation and advice when no answer came; the signal's reason when aborted.
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const retries = request.retries ?? 0;
    let ambiguous = false;
    for (let attempt = 0; ; attempt++) {
      request.signal?.throwIfAborted();
      let wait: number;
      try {
        const response = await this.#once(request);
        if (!transientStatus.has(response.status) || attempt >= retries) return { ...response, ambiguous };
        if (request.throttleOnly && response.status !== 429) return { ...response, ambiguous };
        wait = retryAfter(response.headers, this.clock.now()) ?? backOff(attempt);
        if (wait > longestWait) return { ...response, ambiguous };
        if (response.status >= 500 || response.status === 408) ambiguous = true;
        response.stream?.destroy();
      } catch (error) {
        request.signal?.throwIfAborted();
        if (!dropsTheLine(error) || attempt >= retries || request.throttleOnly) {
          throw sendFailure(error, request.operation ?? request.method, request.url, attempt);
        }
        ambiguous = true;
        wait = backOff(attempt);
      }
      await this.clock.sleep(wait, request.signal);
    }
  }

  async #once(request: HttpRequest): Promise<Omit<HttpResponse, 'ambiguous'>> {
    const headers: Record<string, string> = {
      'Accept-Encoding': request.stream ? 'identity' : 'gzip,deflate',
      ...request.headers,
    };
    const requestId = randomUUID();
    // Before `prepare`: a shared key signs every x-ms header.
    headers['x-ms-client-request-id'] = requestId;
    await request.prepare?.(headers);
    const stop = new AbortController();
    const limit = request.timeoutMs ?? 100_000;
    let timedOut = false;
    const expire = () => {
      timedOut = true;
      stop.abort();
    };
    let timer = setTimeout(expire, limit);
    const aborted = () => stop.abort();
    request.signal?.addEventListener('abort', aborted, { once: true });
    const done = () => {
      clearTimeout(timer);
      request.signal?.removeEventListener('abort', aborted);
    };
    try {
      request.signal?.throwIfAborted();
      const response = await this.#pipeline.sendRequest(
        this.#client,
        createPipelineRequest({
          method: request.method,
          url: request.url,
          headers: createHttpHeaders(headers),
          ...(request.body === undefined ? {} : { body: request.body }),
          abortSignal: stop.signal,
          requestId,
          allowInsecureConnection: request.plainHttp === true,
          streamResponseStatusCodes: new Set([Number.POSITIVE_INFINITY]),
        }),
      );
      const answer = { status: response.status, headers: response.headers.toJSON() };
      const stream = bodyOf(response);
      if (request.stream && response.status < 300 && stream) {
        clearTimeout(timer);
        stream.once('close', done);
        return { ...answer, bytes: Buffer.alloc(0), stream };
      }
      const bytes = stream
        ? await allOf(stream, request.maxBytes ?? 64 * 1024 * 1024, request.url, () => {
            clearTimeout(timer);
            timer = setTimeout(expire, limit);
          })
        : Buffer.alloc(0);
      done();
      return { ...answer, bytes };
    } catch (error) {
      done();
      if (timedOut) {
        throw Object.assign(new Error(`no answer within ${Math.round(limit / 1000)} s`), { code: 'ETIMEDOUT', cause: error });
      }
      throw error;
    }
  }
}

/** The whole body. (Events: an async iterator costs as much as the rest of a small reply.) */
function allOf(stream: Readable, maxBytes: number, url: string, onPiece: () => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let size = 0;
    stream.on('data', (piece: Buffer) => {
      onPiece();
      size += piece.length;
      pieces.push(piece);
      if (size > maxBytes)
        stream.destroy(
          new Failure(`The reply of ${new URL(url).host} is larger than ${maxBytes} bytes.`, { code: 'ReplyTooLarge' }),
        );
    });
    stream.once('error', reject);
    stream.once('end', () => resolve(Buffer.concat(pieces)));
    stream.once('close', () =>
      reject(Object.assign(new Error('the reply ended before its body'), { code: 'ERR_STREAM_PREMATURE_CLOSE' })),
    );
  });
}

function bodyOf(response: PipelineResponse): Readable | undefined {
  return response.readableStreamBody as Readable | undefined;
}

function bypasses(url: URL, patterns: readonly RegExp[]): boolean {
  const { hostname } = url;
  if (hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '127.0.0.1' || hostname === '[::1]')
    return true;
  return patterns.some((pattern) => pattern.test(url.href));
}

/** Milliseconds that the service asks to wait, from any of the forms it uses. */
function retryAfter(headers: Readonly<Record<string, string>>, now: number): number | undefined {
  for (const name of ['retry-after-ms', 'x-ms-retry-after-ms']) {
    const value = Number(headers[name]);
    if (headers[name] && Number.isFinite(value)) return Math.max(0, value);
  }
  const text = headers['retry-after'];
  if (!text) return undefined;
  const seconds = Number(text);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** 0.8 s, 1.6 s, 3.2 s … at most 30 s, spread by up to a quarter so that parallel requests do not come back together. */
export function backOff(attempt: number): number {
  return Math.min(30_000, 800 * 2 ** attempt) * (1 + Math.random() / 4);
}
