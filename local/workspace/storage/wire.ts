/** Requests of the workspace's own identity to the blob service: keep-alive https to the loopback address, Entra token. */
import { readFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';

export class BlobError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'BlobError';
  }
}

interface WireResponse {
  status: number;
  headers: IncomingHttpHeaders;
  stream: IncomingMessage;
}

export async function collect(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

export class Wire {
  readonly #agent: Agent;
  readonly #port: () => number;
  readonly #token: () => Promise<string>;

  constructor(caFile: string, port: () => number, token: () => Promise<string>) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: 32, ca: readFileSync(caFile) });
    this.#port = port;
    this.#token = token;
  }

  /** Any status is an answer; only transport errors throw. `path` is encoded, with query. */
  async send(
    account: string,
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Uint8Array | Readable,
  ): Promise<WireResponse> {
    const token = await this.#token();
    const host = `${account}.blob.core.localhost`;
    const port = this.#port();
    return await new Promise((resolve, reject) => {
      const request = httpsRequest(
        {
          host: '127.0.0.1',
          port,
          servername: host,
          method,
          path,
          agent: this.#agent,
          headers: { host: `${host}:${port}`, 'x-ms-version': '2022-11-02', authorization: `Bearer ${token}`, ...headers },
        },
        (stream) => resolve({ status: stream.statusCode ?? 0, headers: stream.headers, stream }),
      );
      request.on('error', reject);
      if (body === undefined) request.end();
      else if (body instanceof Uint8Array) request.end(body);
      else body.on('error', (error) => request.destroy(error)).pipe(request);
    });
  }

  /** As `send`, but a status of 400 or more besides `accept` throws BlobError. */
  async ask(
    account: string,
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: Uint8Array,
    accept: number[] = [],
  ): Promise<WireResponse> {
    const response = await this.send(account, method, path, headers, body);
    if (response.status < 400 || accept.includes(response.status)) return response;
    const text = (await collect(response.stream)).toString('utf8');
    const code = String(response.headers['x-ms-error-code'] ?? /<Code>(.*?)<\/Code>/.exec(text)?.[1] ?? 'StorageError');
    throw new BlobError(response.status, code, `${method} ${path.split('?', 1)[0]} at ${account}: ${response.status} ${code}.`);
  }

  close(): void {
    this.#agent.destroy();
  }
}
