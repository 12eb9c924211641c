/** A forward proxy for tests: CONNECT only, every name leads to this machine, credentials asked for when given. */
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { testCertificates } from './https-server.js';

export interface TestProxy {
  url: string;
  /** `host:port` of each way that was opened. */
  asked: string[];
  refused: number;
  close(): Promise<void>;
}

export async function startProxy(options: { secure?: boolean; credentials?: string } = {}): Promise<TestProxy> {
  const open = new Set<Duplex>();
  const wanted = options.credentials && `Basic ${Buffer.from(options.credentials).toString('base64')}`;
  const { leaf } = await testCertificates();
  const server = options.secure ? createSecure({ cert: leaf.cert, key: leaf.key }) : createServer();
  const proxy: TestProxy = {
    url: '',
    asked: [],
    refused: 0,
    close: () =>
      new Promise((resolve) => {
        for (const socket of open) socket.destroy();
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  server.on('connect', (request: IncomingMessage, client: Duplex) => {
    open.add(client);
    client.on('error', () => client.destroy());
    if (wanted && request.headers['proxy-authorization'] !== wanted) {
      proxy.refused += 1;
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\n\r\n');
      return;
    }
    proxy.asked.push(request.url ?? '');
    const upstream = connect(Number(/:(\d+)$/.exec(request.url ?? '')?.[1]), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    open.add(upstream);
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.url = `${options.secure ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}`;
  return proxy;
}
