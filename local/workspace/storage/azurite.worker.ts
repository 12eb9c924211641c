/**
 * The blob service as a child process: Azurite behind a guard. The guard knows what Azurite does not: signatures of Entra tokens,
 * blob roles, and accounts that refuse keys. When the parent is gone, however it went, Azurite is closed in order, because it keeps
 * its index in memory for seconds. (A process of its own, in its own group, so that Ctrl-C and `kill -9` of the parent pass it by.)
 */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { createRequire } from 'node:module';
import type { LookupFunction } from 'node:net';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Injected } from '../faults.js';
import { tuneAzurite } from './azurite-tuning.js';
import { BlobFaults } from './blob-faults.js';
import { isOwn, judge, type GuardState } from './guard.js';

/** First message from the parent. */
export interface StartMessage {
  kind: 'start';
  folder: string;
  port: number;
  certFile: string;
  keyFile: string;
  caFile: string;
  /** `account:key;account:key`. */
  accounts: string;
  guard: GuardState;
  /** Specification of faults (faults.ts). */
  faults: string;
}
export type ParentMessage =
  | StartMessage
  | { kind: 'guard'; guard: GuardState }
  /** All accounts, when one was added. Answered with `injected`. */
  | { kind: 'accounts'; id: number; accounts: string }
  /** Asks what was injected; with `set` it then begins anew with that specification. */
  | { kind: 'faults'; id: number; set?: string }
  | { kind: 'stop' };
export type WorkerMessage =
  | { kind: 'ready'; port: number }
  | { kind: 'injected'; id: number; injected: Injected[] }
  | { kind: 'failed'; code?: string; message: string };

interface BlobServer {
  httpServer: Server;
  accountDataStore: { refresh(): void };
  start(): Promise<void>;
  close(): Promise<void>;
}

const require = createRequire(import.meta.url);

let guard: GuardState = { identityOnly: [], roles: [], jwk: {}, issuer: '' };
let key: KeyObject | undefined;
const faults = new BlobFaults();
/** When the last request came. */
let asked = -Infinity;

function setGuard(state: GuardState): void {
  guard = state;
  key = createPublicKey({ key: state.jwk as never, format: 'jwk' });
}

function signatureHolds(input: string, signature: Buffer): boolean {
  return key !== undefined && verify('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }, signature);
}

function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
  detail?: string,
): void {
  const more = detail === undefined ? '' : `<AuthenticationErrorDetail>${detail}</AuthenticationErrorDetail>`;
  const body = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`;
  response.writeHead(status, {
    'content-type': 'application/xml',
    'x-ms-error-code': code,
    ...headers,
    ...(status === 401
      ? { 'WWW-Authenticate': `Bearer authorization_uri=${guard.issuer} resource_id=https://storage.azure.com` }
      : {}),
  });
  response.end(body);
}

/** A server-side copy from an address with a SAS is tried out by a request of Azurite to itself, under a name few resolvers know. */
function reachItself(azurite: ReturnType<typeof createRequire>, caFile: string): void {
  const lookup: LookupFunction = (_name, options, done) =>
    options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
  const { defaults } = azurite('axios') as { defaults: { httpsAgent?: Agent; proxy?: false } };
  Object.assign(defaults, { httpsAgent: new Agent({ ca: readFileSync(caFile), lookup }), proxy: false });
}

async function start(message: StartMessage): Promise<BlobServer> {
  process.env['AZURITE_ACCOUNTS'] = message.accounts;
  const azurite = createRequire(require.resolve('azurite/package.json'));
  tuneAzurite(azurite, () => asked);
  reachItself(azurite, message.caFile);
  const { default: Configuration } = require('azurite/dist/src/blob/BlobConfiguration') as {
    default: new (...options: unknown[]) => object;
  };
  const { default: Service } = require('azurite/dist/src/blob/BlobServer') as {
    default: new (configuration: object) => BlobServer;
  };
  setGuard(message.guard);
  faults.set(message.faults);
  const persistence = [{ locationId: 'Default', locationPath: `${message.folder}/blobs`, maxConcurrency: 50 }];
  const server = new Service(
    new Configuration(
      '127.0.0.1',
      message.port,
      60,
      `${message.folder}/index.json`,
      `${message.folder}/extents.json`,
      persistence,
      false,
      undefined,
      false,
      undefined,
      true,
      true,
      message.certFile,
      message.keyFile,
      '',
      'basic',
    ),
  );
  const [inner] = server.httpServer.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[];
  if (!inner) throw new Error('Azurite has no request listener.');
  server.httpServer.removeAllListeners('request');
  server.httpServer.on('request', (request: IncomingMessage, response: ServerResponse) => {
    asked = performance.now();
    const verdict = judge(guard, request.method ?? 'GET', request.headers, request.url ?? '/', Date.now(), signatureHolds);
    const stop = (status: number, code: string, text: string, headers?: Record<string, string>, detail?: string): void => {
      request.resume();
      refuse(response, status, code, text, headers, detail);
    };
    if (verdict) return stop(verdict.status, verdict.code, verdict.message, {}, verdict.detail);
    const serve = () => inner(request, response);
    const fault = faults.active && !isOwn(guard, request.headers) ? faults.next(request) : undefined;
    if (fault) faults.inject(fault, request, response, serve, stop);
    else serve();
  });
  await server.start();
  return server;
}

let server: Promise<BlobServer> | undefined;
let stopping = false;

function stop(): void {
  if (stopping) return;
  stopping = true;
  void (server ?? Promise.resolve(undefined))
    .then((running) => running?.close())
    .then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(
          `The blob service did not close in order: ${error instanceof Error ? error.message : String(error)}\n`,
        );
        process.exit(1);
      },
    );
}

const tell = (message: WorkerMessage): void => void process.send?.(message);

process.on('message', (message: ParentMessage) => {
  if (message.kind === 'stop') stop();
  else if (message.kind === 'guard') setGuard(message.guard);
  else if (message.kind === 'accounts') {
    process.env['AZURITE_ACCOUNTS'] = message.accounts;
    void server?.then((running) => {
      running.accountDataStore.refresh();
      tell({ kind: 'injected', id: message.id, injected: faults.injected });
    });
  } else if (message.kind === 'faults') {
    if (message.set !== undefined) faults.set(message.set);
    tell({ kind: 'injected', id: message.id, injected: faults.injected });
  } else {
    server = start(message);
    server.then(
      (running) => {
        const address = running.httpServer.address();
        tell({ kind: 'ready', port: typeof address === 'object' && address ? address.port : message.port });
      },
      (error: unknown) => {
        const code = (error as { code?: string }).code;
        tell({
          kind: 'failed',
          ...(code === undefined ? {} : { code }),
          message: error instanceof Error ? error.message : String(error),
        });
        process.exitCode = 1;
        process.disconnect?.();
      },
    );
  }
});
process.on('disconnect', stop);
process.on('SIGINT', stop);
process.on('SIGTERM', stop);
