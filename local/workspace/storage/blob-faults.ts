/**
 * Faults of blob storage (`storage=…` of `--faults`), in the process of the blob service: which request meets one, and what it
 * looks like on the wire. Codes and texts as the Storage service gives them ("Blob service error codes").
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Draw, parseFaults, type Injected, type StorageFaultKind } from '../faults.js';

type Done = () => void;
type Write = ServerResponse['write'];

/** What a client asked for, without what is its own secret or chance: `/container/blob?comp=block`. */
function operation(url: string): { path: string; detail: string } {
  const [path = '', rest = ''] = url.split('?', 2);
  const query = new URLSearchParams(rest);
  const kept = ['restype', 'comp'].flatMap((name) => (query.get(name) === null ? [] : [`${name}=${query.get(name)}`]));
  const block = Buffer.from(query.get('blockid') ?? '', 'base64').toString('latin1');
  // Containers of uploads are `{guid}-{26 characters}`.
  const fixed = path.replace(/^(\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[0-9a-z]{26}(?=\/|$)/, '$1');
  return { path: `${path}${kept.length ? `?${kept.join('&')}` : ''}`, detail: `${fixed} ${kept.join('&')} ${block}` };
}

export class BlobFaults {
  #draw = new Draw<StorageFaultKind>({ seed: 1, burst: 1, limit: 0, rate: 0, kinds: [] });
  #retryAfter = 1;
  readonly injected: Injected[] = [];

  /** Replaces the specification and starts counting anew. `text` was checked by the parent. */
  set(text: string): void {
    const { seed, burst, limit, storage: rate, storageKinds: kinds, storagePath: path, retryAfter } = parseFaults(text);
    this.#draw = new Draw({ seed, burst, limit, rate, kinds, ...(path ? { path } : {}) });
    this.#retryAfter = retryAfter;
    this.injected.length = 0;
  }

  /** True when any request may meet a fault: the caller need not find out who asks otherwise. */
  get active(): boolean {
    return this.#draw.spec.rate > 0;
  }

  next(request: IncomingMessage): StorageFaultKind | undefined {
    const method = request.method ?? 'GET';
    const { path, detail } = operation(request.url ?? '/');
    if (!this.#draw.meets(`${method} ${path}`)) return undefined;
    const range = request.headers['x-ms-range'] ?? request.headers.range ?? '';
    const bearer = /^bearer /i.test(request.headers.authorization ?? '');
    const drawn = this.#draw.next(method, `${detail} ${String(range)}`, (kind) =>
      kind === 'truncate' ? method === 'GET' : kind === 'expired' ? bearer : true,
    );
    if (drawn) this.injected.push({ method, path, ...drawn, service: 'storage' });
    return drawn?.kind;
  }

  /** Carries the fault out. `serve` hands the request on; `refuse` answers with an error of the service. */
  inject(
    kind: StorageFaultKind,
    request: IncomingMessage,
    response: ServerResponse,
    serve: Done,
    refuse: (status: number, code: string, message: string, headers?: Record<string, string>) => void,
  ): void {
    const again = { 'Retry-After': String(this.#retryAfter) };
    if (kind === 'reset-before') request.socket.destroy();
    else if (kind === '503') refuse(503, 'ServerBusy', 'The server is currently unable to receive requests.', again);
    else if (kind === '500')
      refuse(500, 'InternalError', 'The server encountered an internal error. Please retry the request.', again);
    else if (kind === '429') refuse(429, 'TooManyRequests', 'Operations per second is over the account limit.', again);
    else if (kind === 'expired') refuse(401, 'InvalidAuthenticationInfo', 'Lifetime validation failed. The token is expired.');
    else {
      if (kind === 'reset-after') loseReply(request, response);
      else if (kind === 'truncate') cutShort(request, response);
      else slowDown(response);
      serve();
    }
  }
}

const sizeOf = (chunk: unknown): number => (typeof chunk === 'string' ? Buffer.byteLength(chunk) : (chunk as Uint8Array).length);
const isBody = (chunk: unknown): boolean => chunk instanceof Uint8Array || typeof chunk === 'string';
const bytesOf = (chunk: unknown): Buffer => (typeof chunk === 'string' ? Buffer.from(chunk) : Buffer.from(chunk as Uint8Array));

/** What the service did stays done, the client never hears of it. */
function loseReply(request: IncomingMessage, response: ServerResponse): void {
  response.write = (() => true) as Write;
  response.end = (() => {
    request.socket.destroy();
    return response;
  }) as ServerResponse['end'];
}

/** Half of the announced body, then the line is cut. Replies without a body stay whole. */
function cutShort(request: IncomingMessage, response: ServerResponse): void {
  const write = response.write.bind(response) as (chunk: Buffer, done: Done) => boolean;
  let left: number | undefined;
  const cut = (chunk: unknown): boolean => {
    const bytes = bytesOf(chunk);
    left ??= (Number(response.getHeader('content-length') ?? 0) || bytes.length) >> 1;
    const part = bytes.subarray(0, left);
    left -= part.length;
    if (left > 0) return write(part, () => undefined);
    response.write = (() => true) as Write;
    response.end = (() => response) as ServerResponse['end'];
    response.flushHeaders();
    write(part, () => request.socket.destroy());
    return true;
  };
  const end = response.end.bind(response) as (...given: unknown[]) => ServerResponse;
  response.write = cut as Write;
  response.end = ((...given: unknown[]) => {
    if (!isBody(given[0]) || sizeOf(given[0]) === 0) return end(...given);
    cut(given[0]);
    return response;
  }) as ServerResponse['end'];
}

/** The first piece of the body dribbles, the rest follows at full speed; a reply without a body comes late. */
function slowDown(response: ServerResponse): void {
  const write = response.write.bind(response) as (chunk: Buffer) => boolean;
  const end = response.end.bind(response) as (...given: unknown[]) => ServerResponse;
  const held: Buffer[] = [];
  let ending: unknown[] | undefined;
  let begun = false;
  const dribble = async (): Promise<void> => {
    const first = held.shift() ?? Buffer.alloc(0);
    const step = Math.max(1, Math.ceil(first.length / 4));
    for (let at = 0; at < 4 && !response.destroyed; at += 1) {
      await sleep(200);
      const piece = first.subarray(at * step, (at + 1) * step);
      if (piece.length > 0) write(piece);
    }
    response.write = write as Write;
    response.end = end as ServerResponse['end'];
    for (const chunk of held) write(chunk);
    if (ending) end(...ending);
    else response.emit('drain');
  };
  const hold = (): void => {
    if (begun) return;
    begun = true;
    void dribble();
  };
  response.write = ((chunk: unknown) => {
    held.push(bytesOf(chunk));
    hold();
    return false;
  }) as Write;
  response.end = ((...given: unknown[]) => {
    if (isBody(given[0])) held.push(bytesOf(given[0]));
    ending = given.filter((entry) => typeof entry === 'function');
    hold();
    return response;
  }) as ServerResponse['end'];
}
