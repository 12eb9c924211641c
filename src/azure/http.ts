/**
 * The one place that talks HTTP: the Azure SDK's core-rest-pipeline over node:https (never global fetch, design §9), with the agent's
 * proxy and CA, names below `.localhost` resolved here, bodies read with limits, and retries on an injectable clock.
 */
import type { Agent as HttpAgent } from 'node:http';
import { Agent } from 'node:https';
import { randomUUID } from 'node:crypto';
import type { LookupFunction } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';
import {
  createDefaultHttpClient,
  createEmptyPipeline,
  createHttpHeaders,
  createPipelineRequest,
  type PipelinePolicy,
  type PipelineResponse,
} from '@azure/core-rest-pipeline';
import { Failure } from './errors.js';
import { dropsTheLine, nameUnknown, neverSent, noAnswer, sendFailure } from './line.js';
import { tlsSettings, type TlsSettings } from './trust.js';
import type { AgentNetwork, AzureRequest, Clock } from './types.js';

interface HttpOptions {
  network?: AgentNetwork | undefined;
  clock: Clock;
  userAgent?: string | undefined;
  /** Told in words when an answer has been tried for longer than a few seconds; once, until the host answers again. */
  onTrouble?: ((text: string) => void) | undefined;
}

export interface HttpRequest {
  method: AzureRequest['method'];
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  signal?: AbortSignal | undefined;
  /** From the last piece of the body that the line has taken until the reply's headers, and between two pieces of the reply. Default 100 s. */
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
/** Trouble that passes sooner is no news. */
const unnoticed = 10_000;
/** Bodies up to this size are handed over at once, larger ones in pieces. */
const sentWhole = 512 * 1024;
const pieceSent = 128 * 1024;
/** Bytes a second that a reply has to come in at, once it has had its time. */
const slowest = 1024;

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
  /** Hosts that have answered: their names are right, also when they do not resolve for a while. */
  readonly #answered = new Set<string>();
  readonly #troubled = new Set<string>();

  constructor(options: HttpOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.#pipeline.addPolicy(this.#door());
  }

  /** The agent of every request. */
  #door(): PipelinePolicy {
    return {
      name: 'amlopsDoor',
      sendRequest: async (request, next) => {
        const route = this.#route(request.url);
        if (route !== 'plain') request.agent = this.#agents.get(route) ?? (await this.#newAgent(route));
        return next(request);
      },
    };
  }

  /** Through which agent a request goes; `plain`: none of ours. */
  #route(url: string): 'plain' | 'proxy' | 'direct' {
    if (!/^https:/i.test(url)) return 'plain';
    const proxy = this.#options.network?.proxy;
    // A URL is parsed only where there is a list to hold it against: small writes come by the thousand.
    return proxy && !bypasses(new URL(url), proxy.bypass) ? 'proxy' : 'direct';
  }

  async #newAgent(route: 'proxy' | 'direct'): Promise<HttpAgent> {
    const { network = {} } = this.#options;
    const { proxy } = network;
    this.#tls ??= tlsSettings(network);
    // A free socket is dropped before the service's idle limit: a POST must not meet a half-closed line.
    // Node gives each address of a name 250 ms before it tries the next: too little for a far host, whose every address then "fails".
    const settings = {
      ...{ keepAlive: true, maxFreeSockets: 64, timeout: 30_000, scheduling: 'lifo' as const },
      ...{ autoSelectFamilyAttemptTimeout: 2_500, ...this.#tls },
    };
    const agent =
      route === 'proxy' && proxy
        ? (await import('./proxy.js')).proxyAgent(proxy, settings)
        : new Agent({ ...settings, lookup: lookupLocalhost });
    this.#agents.set(route, agent);
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
    const { host } = new URL(request.url);
    const started = this.clock.now();
    let ambiguous = false;
    for (let attempt = 0; ; attempt++) {
      request.signal?.throwIfAborted();
      let wait: number;
      let trouble: string;
      try {
        const response = await this.#once(request);
        this.#answered.add(host);
        if (!transientStatus.has(response.status)) this.#troubled.delete(host);
        if (!transientStatus.has(response.status) || attempt >= retries) return { ...response, ambiguous };
        if (request.throttleOnly && response.status !== 429) return { ...response, ambiguous };
        const asked = retryAfter(response.headers, this.clock.date());
        // "At once" is believed once: a date that has passed and much that is no time at all read like it.
        wait = asked !== undefined && (asked >= 100 || attempt === 0) ? asked : backOff(attempt);
        if (wait > longestWait) return { ...response, ambiguous };
        trouble = `${host} answers HTTP ${response.status}`;
        if (response.status >= 500 || response.status === 408) ambiguous = true;
        response.stream?.destroy();
      } catch (error) {
        request.signal?.throwIfAborted();
        // A name that never was one is a typing error; the resolver of a machine that has just started gets a moment.
        const passes = dropsTheLine(error) || (nameUnknown(error) && (this.#answered.has(host) || attempt < 2));
        const unsent = neverSent(error);
        if (!passes || attempt >= retries || (request.throttleOnly && !unsent)) {
          throw sendFailure(error, request.operation ?? request.method, request.url, attempt);
        }
        if (!unsent) ambiguous = true;
        wait = backOff(attempt);
        trouble = noAnswer(error, request.url);
      }
      if (this.clock.now() - started + wait > unnoticed && !this.#troubled.has(host)) {
        this.#troubled.add(host);
        this.#options.onTrouble?.(
          `${trouble[0]?.toUpperCase()}${trouble.slice(1)}; trying again${wait > unnoticed ? ` in ${Math.round(wait / 1000)} s` : ''}.`,
        );
      }
      await this.clock.sleep(wait, request.signal);
    }
  }

  async #once(request: HttpRequest): Promise<Omit<HttpResponse, 'ambiguous'>> {
    const headers: Record<string, string> = {
      'Accept-Encoding': request.stream ? 'identity' : 'gzip,deflate',
      ...(this.#options.userAgent ? { 'User-Agent': this.#options.userAgent } : {}),
      ...request.headers,
    };
    const { body } = request;
    if (body !== undefined) headers['Content-Length'] = String(Buffer.byteLength(body));
    const requestId = randomUUID();
    // Before `prepare`: a shared key signs every x-ms header.
    headers['x-ms-client-request-id'] = requestId;
    await request.prepare?.(headers);
    const stop = new AbortController();
    const limit = request.timeoutMs ?? 100_000;
    let late = '';
    const expire = () => {
      late ||= `no answer within ${Math.round(limit / 1000)} s`;
      stop.abort();
    };
    let timer = setTimeout(expire, limit);
    let over = false;
    const moved = () => {
      // An answer may come before all is sent.
      if (over) return;
      clearTimeout(timer);
      timer = setTimeout(expire, limit);
    };
    const aborted = () => stop.abort();
    request.signal?.addEventListener('abort', aborted, { once: true });
    const done = () => {
      over = true;
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
          // What the client reads decides whether it unpacks the body, which it does without noticing that a line breaks: that is done here.
          headers: createHttpHeaders({ ...headers, 'Accept-Encoding': 'identity' }),
          requestOverrides: { headers },
          ...(body === undefined ? {} : { body: sent(body, moved) }),
          abortSignal: stop.signal,
          requestId,
          allowInsecureConnection: request.plainHttp === true,
          streamResponseStatusCodes: new Set([Number.POSITIVE_INFINITY]),
        }),
      );
      const began = performance.now();
      const answer = { status: response.status, headers: response.headers.toJSON() };
      const stream = bodyOf(response);
      if (request.stream && response.status < 300 && stream) {
        clearTimeout(timer);
        stream.once('close', done);
        return { ...answer, bytes: Buffer.alloc(0), stream };
      }
      const most = request.maxBytes ?? 64 * 1024 * 1024;
      // What is packed although nobody asked for that is stored so: a blob.
      const packing = headers['Accept-Encoding'] === 'identity' ? undefined : answer.headers['content-encoding'];
      const bytes = stream
        ? await allOf(unpacked(stream, packing), most, request.url, (size) => {
            moved();
            const longer = performance.now() - began - limit;
            if (longer <= 0 || size >= (longer / 1000) * slowest) return;
            late = `only ${size} bytes of the answer came within ${Math.round((limit + longer) / 1000)} s`;
            expire();
          })
        : Buffer.alloc(0);
      done();
      return { ...answer, bytes };
    } catch (error) {
      done();
      // A reply that is not wanted any more must not hold its line open.
      stop.abort();
      if (late) throw Object.assign(new Error(late), { code: 'ETIMEDOUT', cause: error });
      throw error;
    }
  }
}

/** What is sent: large bodies in pieces, as the line takes them, so that a slow line is told from a dead one. */
function sent(body: string | Uint8Array, onPiece: () => void): string | Uint8Array | (() => Readable) {
  if (typeof body === 'string' || body.byteLength <= sentWhole) return body;
  let at = 0;
  const read = function (this: Readable) {
    onPiece();
    this.push(at < body.byteLength ? body.subarray(at, (at += pieceSent)) : null);
  };
  return () => new Readable({ read, highWaterMark: pieceSent });
}

/** The whole body. (Events: an async iterator costs as much as the rest of a small reply.) */
function allOf(stream: Readable, maxBytes: number, url: string, onPiece: (size: number) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let size = 0;
    stream.on('data', (piece: Buffer) => {
      size += piece.length;
      pieces.push(piece);
      onPiece(size);
      if (size > maxBytes)
        stream.destroy(
          new Failure(`The reply of ${new URL(url).host} is larger than ${maxBytes} bytes.`, { code: 'ReplyTooLarge' }),
        );
    });
    stream.once('error', reject);
    let ended = false;
    stream.once('end', () => {
      ended = true;
      resolve(Buffer.concat(pieces));
    });
    stream.once('close', () => {
      // An error that nobody sees still takes its stack, one for every small reply.
      if (!ended) reject(Object.assign(new Error('the reply ended before its body'), { code: 'ERR_STREAM_PREMATURE_CLOSE' }));
    });
  });
}

/** The body as it was before it was packed for the line. A line that breaks breaks it, too. */
function unpacked(stream: Readable, encoding: string | undefined): Readable {
  if (encoding !== 'gzip' && encoding !== 'deflate') return stream;
  return pipeline(stream, encoding === 'gzip' ? createGunzip() : createInflate(), () => undefined);
}

function bodyOf(response: PipelineResponse): Readable | undefined {
  return response.readableStreamBody as Readable | undefined;
}

/** Whether a host is asked without the proxy: this machine always, others by the agent's list. */
export function bypasses(url: URL, patterns: readonly RegExp[]): boolean {
  const { hostname } = url;
  if (hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '127.0.0.1' || hostname === '[::1]')
    return true;
  // The agent leaves path and final slash out, so that `\.corp$` means a host; people write the slash all the same.
  return patterns.some((pattern) => pattern.test(url.origin) || pattern.test(`${url.origin}/`));
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
