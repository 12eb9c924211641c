/**
 * The one place where routes meet authentication, roles, faults, latency and the error envelopes. Surfaces register handlers;
 * they never see fastify.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, RequestPayload } from 'fastify';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Call, Ctx, Log, Principal, RegistryRecord, WorkspaceCall } from './context.js';
import { correlation, errorBody, parentNotFound, resourceNotFound, ServiceError } from './errors.js';
import type { FaultKind } from './faults.js';
import { actionOf, scopeOf } from './identity/actions.js';
import type { Access, Rights } from './identity/rights.js';

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
type Result = Answer | Promise<Answer>;

export interface RouteOptions {
  /** Largest body in bytes (default 4 MiB, the resource manager's own limit). */
  bodyLimit?: number;
  /** Envelope of errors that are not the handler's own: `mfe` for ARM, `data` for data planes. */
  envelope?: 'mfe' | 'data';
  /** The body is not read: the handler gets it as `call.stream` (uploads of any size and type). Give a `bodyLimit`. */
  raw?: boolean;
  /** Turns a ServiceError into this surface's own answer (MLflow has its own error form). */
  onError?: (error: ServiceError) => Answer;
}

/** Path of a workspace in ARM, as route pattern. */
const workspacePath =
  '/subscriptions/:subscriptionId/resourceGroups/:resourceGroup/providers/Microsoft.MachineLearningServices/workspaces/:workspace';
const registryPath =
  '/subscriptions/:subscriptionId/resourceGroups/:resourceGroup/providers/Microsoft.MachineLearningServices/registries/:registry';

/** Names of the query that are read in any casing. */
const casing = new Map(['api-version', '$top', '$skip', '$skipToken', 'listViewType'].map((name) => [name.toLowerCase(), name]));
const streams = new WeakMap<FastifyRequest, Readable>();
/** When a request began, as `performance.now()` counts. */
const started = new WeakMap<FastifyRequest, number>();

/** Sets the body aside and hands the parser an empty one. */
function keepStream(
  request: FastifyRequest,
  _reply: FastifyReply,
  payload: RequestPayload,
  done: (error: null, payload: RequestPayload) => void,
): void {
  streams.set(request, payload);
  const nothing: RequestPayload = Readable.from([]);
  nothing.receivedEncodedLength = Number(request.headers['content-length'] ?? 0);
  done(null, nothing);
}

/** Reads a body to its end, but not for ever: 256 MB or 30 seconds. */
async function drained(body: Readable): Promise<void> {
  let left = 256 * 1024 * 1024;
  const timer = setTimeout(() => body.destroy(), 30_000);
  body.on('data', (part: Buffer) => {
    if ((left -= part.length) < 0) body.destroy();
  });
  await finished(body, { writable: false }).catch(() => undefined); // Gone: then nobody reads the answer.
  clearTimeout(timer);
}

export class Router {
  readonly #app: FastifyInstance;
  readonly #rights: Rights;
  readonly #log: Log;
  #ctx: Ctx | undefined;

  constructor(app: FastifyInstance, rights: Rights, log: Log) {
    this.#app = app;
    this.#rights = rights;
    this.#log = log;
  }

  /** Gives the router its context; before any request. */
  attach(ctx: Ctx): void {
    this.#ctx = ctx;
  }

  get #context(): Ctx {
    if (!this.#ctx) throw new Error('The router has no context yet.');
    return this.#ctx;
  }

  /**
   * A route below a workspace. `prefix` comes before the ARM path (`''` for ARM itself, `/history/v1.0`, `/mlflow/v2.0` …), `path`
   * after it. `access`: what the caller needs: `read`, `write`, `secrets` (storage keys), by default from the method. The ARM action in a refusal
   * is built from `path`.
   */
  workspace(
    method: Method | Method[],
    path: string,
    access: Access | undefined,
    handler: (call: WorkspaceCall) => Result,
    options: RouteOptions & { prefix?: string } = {},
  ): void {
    const prefix = options.prefix ?? '';
    const envelope = options.envelope ?? (prefix === '' ? 'mfe' : 'data');
    this.#route(method, `${prefix}${workspacePath}${path}`, { ...options, envelope }, (call) => {
      const { subscriptionId = '', resourceGroup = '', workspace = '' } = call.params;
      const resource = actionOf(call.method, 'workspaces', path, prefix);
      const need = access ?? (call.method === 'GET' || call.method === 'HEAD' ? 'read' : 'write');
      this.#rights.checkGroup(call.principal, subscriptionId, resourceGroup, need, resource, workspace);
      const ws = this.#context.world.workspace(subscriptionId, resourceGroup, workspace);
      if (!ws) throw path === '' ? resourceNotFound(`workspaces/${workspace}`, resourceGroup) : parentNotFound(workspace);
      this.#rights.check(call.principal, ws.armId, need, resource, scopeOf(ws.armId, path, call, prefix));
      return handler({ ...call, ws });
    });
  }

  /** A route below a registry, `prefix` '' for ARM or `/mferp/managementfrontend` for its data plane. */
  registry(
    method: Method | Method[],
    path: string,
    access: Access | undefined,
    handler: (call: Call & { registry: RegistryRecord }) => Result,
    options: RouteOptions & { prefix?: string } = {},
  ): void {
    this.#route(
      method,
      `${options.prefix ?? ''}${registryPath}${path}`,
      { ...options, envelope: options.envelope ?? 'mfe' },
      (call) => {
        const { subscriptionId = '', resourceGroup = '', registry: name = '' } = call.params;
        const registry = this.#context.world.registry(name);
        const elsewhere =
          registry?.subscriptionId.toLowerCase() !== subscriptionId.toLowerCase() ||
          registry.resourceGroup.toLowerCase() !== resourceGroup.toLowerCase();
        if (!registry || ((options.prefix ?? '') === '' && elsewhere))
          throw path === '' ? resourceNotFound(`registries/${name}`, resourceGroup) : parentNotFound(name);
        const need = access ?? (call.method === 'GET' || call.method === 'HEAD' ? 'read' : 'write');
        const prefix = options.prefix ?? '';
        const action = actionOf(call.method, 'registries', path, prefix);
        this.#rights.check(call.principal, registry.armId, need, action, scopeOf(registry.armId, path, call, prefix));
        return handler({ ...call, registry });
      },
    );
  }

  /** A route of its own; a valid token is needed, roles are the handler's business (`_access` documents what it does). */
  public(method: Method | Method[], path: string, _access: Access, handler: (call: Call) => Result): void {
    this.#route(method, path, { envelope: 'mfe' }, handler);
  }

  /** A route without a token (sign-in, metadata, discovery). */
  anonymous(method: Method | Method[], path: string, handler: (call: Omit<Call, 'principal'>) => Result): void {
    this.#route(method, path, { envelope: 'mfe' }, handler, true);
  }

  #route(
    method: Method | Method[],
    url: string,
    options: RouteOptions,
    handler: (call: Call) => Result,
    anonymous = false,
  ): void {
    this.#app.route({
      method: method,
      url,
      exposeHeadRoute: false,
      ...(options.bodyLimit === undefined ? {} : { bodyLimit: options.bodyLimit }),
      ...(options.raw ? { preParsing: keepStream } : {}),
      errorHandler: (error, request, reply) => {
        this.fail(error, request, reply, options);
      },
      handler: async (request, reply) => {
        await this.#handle(request, reply, options, handler, anonymous);
        return reply;
      },
    });
  }

  async #handle(
    request: FastifyRequest,
    reply: FastifyReply,
    options: RouteOptions,
    handler: (call: Call) => Result,
    anonymous: boolean,
  ): Promise<void> {
    const ctx = this.#context;
    started.set(request, performance.now());
    const path = request.url.split('?', 1)[0] ?? '';
    const fault = anonymous || path.startsWith('/_amlops') ? undefined : ctx.faults.next(request.method, path);
    await ctx.latency.wait('request', ctx.closing);
    if (fault === 'reset-before') return void request.raw.socket.destroy();
    if (fault === '429' || fault === '503') return this.#throttled(reply, fault, ctx.faults.spec.retryAfter);
    let answer: Answer;
    try {
      if (fault === 'expired') throw this.#rights.expired();
      const principal = anonymous
        ? (undefined as unknown as Principal)
        : await this.#rights.authenticate(request.headers.authorization);
      const query: Record<string, string> = {};
      const repeated: Record<string, string[]> = {};
      for (const [sent, value] of Object.entries(request.query as Record<string, string | string[]>)) {
        const key = casing.get(sent.toLowerCase()) ?? sent;
        if (Array.isArray(value)) repeated[key] = value;
        query[key] = Array.isArray(value) ? (value.at(-1) ?? '') : value;
      }
      answer = await handler({
        method: request.method,
        path,
        params: request.params as Record<string, string>,
        query,
        ...(Object.keys(repeated).length > 0 ? { repeated } : {}),
        headers: request.headers as Record<string, string | undefined>,
        body: request.body ?? undefined,
        apiVersion: query['api-version'] ?? '',
        principal,
        ...(options.raw ? { stream: streams.get(request) ?? request.raw } : {}),
      });
    } catch (error) {
      return this.fail(error, request, reply, options);
    }
    await this.#send(request, reply, answer, 'standard', fault);
  }

  #throttled(reply: FastifyReply, fault: '429' | '503', after: number): void {
    const [code, message] =
      fault === '429'
        ? ['TooManyRequests', 'The request is being throttled as the limit has been reached for operation type.']
        : ['ServerTimeout', 'The request timed out. Please try again.'];
    reply
      .code(Number(fault))
      .header('Retry-After', String(after))
      .header('x-ms-failure-cause', 'gateway')
      .type('application/json; charset=utf-8')
      .send(JSON.stringify({ error: { code, message } }));
  }

  /** Words any error: a ServiceError as the service does, fastify's own as 400/413, anything else as 500 ServiceError (and logs it). */
  fail(error: unknown, request: FastifyRequest, reply: FastifyReply, options: RouteOptions = {}): void {
    let known: ServiceError;
    const code = (error as { code?: string }).code;
    if (error instanceof ServiceError) known = error;
    else if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
      known = new ServiceError(413, 'RequestContentTooLarge', `The request content exceeds the maximum allowed size.`, {
        envelope: 'gateway',
      });
    else if (code === 'InvalidRequestContent')
      known = new ServiceError(
        400,
        'InvalidRequestContent',
        `The request content was invalid and could not be deserialized: '${(error as Error).message}'.`,
        { envelope: 'gateway' },
      );
    else if (typeof code === 'string' && code.startsWith('FST_ERR'))
      known = new ServiceError((error as { statusCode?: number }).statusCode ?? 400, 'InvalidRequest', (error as Error).message, {
        envelope: 'gateway',
      });
    else {
      this.#log.error(`${request.method} ${request.url}`, error);
      known = new ServiceError(500, 'ServiceError', 'InternalServerError');
    }
    const shape =
      options.envelope === 'data' && known.options.envelope === undefined
        ? { ...known.options, envelope: 'data' as const }
        : known.options;
    const worded = new ServiceError(known.status, known.code, known.message, shape);
    const answer: Answer = options.onError?.(worded) ?? {
      status: worded.status,
      ...(shape.headers ? { headers: shape.headers } : {}),
      body: errorBody(worded, { ...correlation(), location: 'eastus', time: this.#context.clock.stamp() }),
    };
    const kind = shape.envelope === 'gateway' ? 'gateway' : shape.envelope === 'none' ? 'standard' : 'error';
    // A client that still writes would meet a closed connection instead of the answer: what it sends is read and dropped first.
    if (known.status === 413) void drained(request.raw).then(() => this.#send(request, reply, answer, kind));
    else void this.#send(request, reply, answer, kind);
  }

  async #send(
    request: FastifyRequest,
    reply: FastifyReply,
    answer: Answer,
    kind: 'standard' | 'error' | 'gateway',
    fault?: FaultKind,
  ): Promise<void> {
    if (fault === 'reset-after') return void request.raw.socket.destroy();
    reply.code(answer.status ?? 200);
    const { request: id } = correlation();
    if (kind === 'gateway') reply.header('x-ms-failure-cause', 'gateway');
    else {
      const seconds = (performance.now() - (started.get(request) ?? performance.now())) / 1000;
      reply.header('x-ms-response-type', kind).header('x-request-time', seconds.toFixed(3));
    }
    const chain = String(request.headers['x-ms-correlation-request-id'] ?? request.id);
    reply.header('x-ms-request-id', id).header('x-ms-correlation-request-id', chain);
    if (request.url.startsWith('/subscriptions'))
      reply.header(
        'x-ms-routing-request-id',
        `EASTUS:${this.#context.clock
          .now()
          .toISOString()
          .replace(/[-:]|\.\d+/g, '')}:${chain}`,
      );
    for (const [name, value] of Object.entries(answer.headers ?? {})) reply.header(name, value);
    if (answer.raw !== undefined) {
      if (answer.contentType) reply.type(answer.contentType);
      reply.send(answer.raw);
      return;
    }
    if (answer.body === undefined) {
      reply.header('Content-Length', '0').send();
      return;
    }
    const text = JSON.stringify(answer.body);
    reply.type(answer.contentType ?? 'application/json; charset=utf-8');
    if (fault !== 'slow' && fault !== 'truncate') {
      reply.send(text);
      return;
    }
    // Written by hand: fastify would not send less than it announced.
    reply.hijack();
    const bytes = Buffer.from(text);
    reply.raw.writeHead(answer.status ?? 200, {
      ...(reply.getHeaders() as Record<string, string>),
      'content-length': bytes.length,
    });
    const half = bytes.length >> 1;
    reply.raw.write(bytes.subarray(0, half));
    if (fault === 'truncate') {
      await sleep(10);
      request.raw.socket.destroy();
      return;
    }
    for (let at = half; at < bytes.length; at += Math.max(1, bytes.length >> 3)) {
      await sleep(200);
      reply.raw.write(bytes.subarray(at, at + Math.max(1, bytes.length >> 3)));
    }
    reply.raw.end();
  }
}
