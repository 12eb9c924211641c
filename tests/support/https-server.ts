/** A small https server for tests: one handler, a certificate that only its CA vouches for, and a list of what was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import type { TLSSocket } from 'node:tls';
import { join } from 'node:path';
import { authority, type Leaf } from '../../local/tls.js';
import type { AzureConnection } from '../../src/azure/types.js';

export interface Asked {
  method: string;
  url: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: string;
  /** The client showed a certificate that `clientCa` vouches for. */
  authorized: boolean;
}

export interface Reply {
  status?: number;
  headers?: Record<string, string>;
  /** Objects are sent as JSON. */
  body?: unknown;
  /** Break the line instead of answering. */
  reset?: boolean;
}

export interface TestServer {
  origin: string;
  port: number;
  ca: string;
  asked: Asked[];
  close(): Promise<void>;
}

/** A connection to a server that stands for Azure and for its sign-in. */
export function connectionTo({ origin, ca }: TestServer, changes: Partial<AzureConnection> = {}): AzureConnection {
  return {
    name: 'arm-test',
    resourceManager: origin,
    authority: origin,
    tenantId: 'tenant',
    clientId: 'client',
    credential: { kind: 'secret', clientSecret: 'the-secret' },
    ca,
    ...changes,
  };
}

let shared: Promise<{ pem: string; leaf: Leaf }> | undefined;

/** One authority for all tests of a process. */
export function testCertificates(): Promise<{ pem: string; leaf: Leaf }> {
  return (shared ??= certificates());
}

async function certificates(): Promise<{ pem: string; leaf: Leaf }> {
  const folder = mkdtempSync(join(tmpdir(), 'amlops-ca-'));
  const made = await authority(folder);
  const leaf = await made.issue(['localhost', '*.localhost', '*.blob.core.localhost', '127.0.0.1', 'manager.test']);
  rmSync(folder, { recursive: true, force: true });
  return { pem: made.pem, leaf };
}

export async function serve(
  handler: (asked: Asked) => Reply | Promise<Reply>,
  options: { plain?: boolean; /** Demand a client certificate of this authority. */ clientCa?: string } = {},
): Promise<TestServer> {
  const { pem, leaf } = await testCertificates();
  const asked: Asked[] = [];
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const url = new URL(request.url ?? '/', 'https://localhost');
    const one: Asked = {
      method: request.method ?? '',
      url: request.url ?? '',
      path: decodeURIComponent(url.pathname),
      query: url.searchParams,
      headers: request.headers,
      body: Buffer.concat(pieces).toString('utf8'),
      authorized: (request.socket as Partial<TLSSocket>).authorized === true,
    };
    asked.push(one);
    const reply = await handler(one);
    if (reply.reset) {
      request.socket.destroy();
      return;
    }
    const bytes = reply.body instanceof Uint8Array || typeof reply.body === 'string' || reply.body === undefined;
    response.writeHead(reply.status ?? 200, { ...(bytes ? {} : { 'Content-Type': 'application/json' }), ...reply.headers });
    response.end(bytes ? (reply.body as string | undefined) : JSON.stringify(reply.body));
  };
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    listener(request, response).catch((error: unknown) => {
      response.writeHead(599);
      response.end(String(error));
    });
  };
  const demand = options.clientCa ? { requestCert: true, rejectUnauthorized: true, ca: options.clientCa } : {};
  const server = options.plain ? createServer(handle) : createSecure({ cert: leaf.cert, key: leaf.key, ...demand }, handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `${options.plain ? 'http' : 'https'}://localhost:${port}`,
    port,
    ca: pem,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
