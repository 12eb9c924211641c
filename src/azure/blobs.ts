/**
 * Blob containers over the same pipeline. Own thin requests instead of @azure/storage-blob: that package adds 300 KB to each bundle and
 * 200 ms to the start, and what is needed of it is seven requests (docs/azure.md has the measurement).
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { replyFailure } from './advice.js';
import { authorize, storageScope } from './blob-auth.js';
import { Shown } from './blob-sas.js';
import { resuming } from './blob-stream.js';
import { blobItem, blockItems, listPage } from './blob-xml.js';
import { Failure } from './errors.js';
import { foreignReply } from './foreign.js';
import type { Http, HttpRequest, HttpResponse } from './http.js';
import { sendWithToken, type Tokens } from './tokens.js';
import type { BlobAuth, BlobContainer, BlobItem, BlobWriteOptions } from './types.js';

/** `containerUrl` may carry a query (a SAS URL); its token is then used as `auth` when that is a SAS. */
export function openContainer(
  http: Http,
  containerUrl: string,
  auth: BlobAuth,
  tokens: Pick<Tokens, 'get' | 'drop'>,
): BlobContainer {
  return new Container(http, containerUrl, auth, tokens);
}

interface Call {
  method: HttpRequest['method'];
  name?: string;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  body?: Uint8Array;
  signal?: AbortSignal | undefined;
  accept?: number[];
  stream?: boolean;
  maxBytes?: number;
  what: string;
}

class Container implements BlobContainer {
  readonly url: string;
  readonly #http: Http;
  readonly #shown: Shown;
  readonly #tokens: Pick<Tokens, 'get' | 'drop'>;

  constructor(http: Http, containerUrl: string, auth: BlobAuth, tokens: Pick<Tokens, 'get' | 'drop'>) {
    const url = new URL(containerUrl);
    if (url.protocol !== 'https:')
      throw new Failure(`The storage address ${url.protocol}//${url.host} is not https.`, { code: 'NotHttps' });
    url.search = '';
    url.hash = '';
    this.url = url.href.replace(/\/+$/, '');
    this.#http = http;
    this.#shown = new Shown(auth, http.clock);
    this.#tokens = tokens;
  }

  async #send(call: Call): Promise<HttpResponse> {
    const auth = await this.#shown.current();
    let response = await this.#sendAs(auth, call);
    const fresh = await this.#shown.instead(auth, response);
    if (fresh) {
      const again = await this.#sendAs(fresh, call);
      response = { ...again, ambiguous: response.ambiguous || again.ambiguous };
    }
    // The bytes of a blob may be a web page themselves: what tells is who signs the reply.
    const { status, headers, bytes } = response;
    const text = call.method === 'GET' && status < 300 ? '' : bytes.toString('utf8');
    const foreign = foreignReply(call.what, this.url, { status, headers, text }, false);
    if (foreign) {
      response.stream?.destroy();
      throw foreign;
    }
    this.#shown.answered(fresh ?? auth, response.status);
    if ((response.status >= 200 && response.status < 300) || call.accept?.includes(response.status)) return response;
    throw storageFailure(call.what, response);
  }

  async #sendAs(auth: BlobAuth, call: Call): Promise<HttpResponse> {
    const segments = call.name?.split('/') ?? [];
    // An address resolves them: another blob would be asked for.
    if (segments.some((segment) => segment === '.' || segment === '..')) {
      throw new Failure(`Could not ${call.what}: no address can hold a name with . or .. between its slashes.`, {
        code: 'BlobNameInvalid',
        operation: call.what,
      });
    }
    const path = call.name === undefined ? '' : `/${segments.map(encodeURIComponent).join('/')}`;
    const url = new URL(this.url + path);
    for (const [key, value] of Object.entries(call.query ?? {})) url.searchParams.set(key, value);
    const { sign, query } = authorize(auth, call.method, url, call.body?.byteLength ?? 0);
    const signed = url.href.replaceAll('+', '%20') + (query ? `${url.search ? '&' : '?'}${query}` : '');
    const sending = {
      method: call.method,
      url: signed,
      headers: {
        ...(call.body && !call.headers?.['Content-Type'] ? { 'Content-Type': 'application/octet-stream' } : {}),
        ...call.headers,
      },
      ...(call.body === undefined ? {} : { body: call.body }),
      signal: call.signal,
      // Three minutes: an upload of an hour is not given up for a name that does not resolve for two.
      retries: 10,
      // A slow line still moves 64 KB/s.
      timeoutMs: 60_000 + (call.body?.byteLength ?? 0) / 64,
      stream: call.stream === true,
      ...(call.maxBytes === undefined ? {} : { maxBytes: call.maxBytes }),
      operation: call.what,
    };
    return auth.kind === 'entra'
      ? await sendWithToken(this.#http, this.#tokens, storageScope, sending, sign)
      : await this.#http.send({ ...sending, prepare: sign });
  }

  /** Folders that show up as empty blobs (Data Lake Gen2, mounts) are left out: their files are listed themselves. */
  async *list(prefix: string, signal?: AbortSignal): AsyncIterable<BlobItem> {
    const what = `list ${this.url}/${prefix}`;
    const seen = new Set<string>();
    let marker = '';
    do {
      const response = await this.#send({
        method: 'GET',
        query: {
          ...{ restype: 'container', comp: 'list', prefix, maxresults: '5000', include: 'metadata' },
          ...(marker ? { marker } : {}),
        },
        signal,
        what,
      });
      const page = listPage(response.bytes.toString('utf8'));
      // Half a list would be taken for all that is there.
      if (!page) throw new Failure(`Could not ${what}: the reply is no whole list.`, { code: 'ReplyInvalid', operation: what });
      yield* page.items;
      marker = page.marker;
      if (seen.has(marker)) throw new Failure(`The pages of "${what}" come round again.`, { code: 'PagesLoop', operation: what });
      seen.add(marker);
    } while (marker);
  }

  async head(name: string, signal?: AbortSignal): Promise<(BlobItem & { metadata: Record<string, string> }) | undefined> {
    const response = await this.#send({ method: 'HEAD', name, signal, accept: [404], what: `look at ${this.url}/${name}` });
    if (response.status === 404) return undefined;
    const metadata: Record<string, string> = {};
    for (const [key, value] of Object.entries(response.headers))
      if (key.startsWith('x-ms-meta-')) metadata[key.slice(10)] = value;
    return { ...blobItem(name, response.headers), metadata };
  }

  async #open(name: string, from: number, to: number | undefined, etag: string | undefined, signal?: AbortSignal) {
    const range = from > 0 || to !== undefined ? { 'x-ms-range': `bytes=${from}-${to === undefined ? '' : to - 1}` } : {};
    const what = `read ${this.url}/${name}`;
    const response = await this.#send({
      method: 'GET',
      name,
      headers: { ...range, ...(etag ? { 'If-Match': etag } : {}) },
      signal,
      accept: [404, 416],
      stream: true,
      what,
    });
    const { status, headers, stream } = response;
    const begins = Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1] ?? 0);
    if (status >= 300 || begins === from) return response;
    // The whole blob, or another part of it: joined to what is there it would be no blob of anybody's.
    stream?.destroy();
    throw new Failure(`Could not ${what}: bytes from ${from} on were asked for, those from ${begins} on came.`, {
      code: 'RangeIgnored',
      operation: what,
      advice: 'Something between this agent and the storage answers in its place: a proxy or a cache.',
    });
  }

  /** A stream that outlives broken lines: what is missing is asked for again, of the same etag. `size` is the whole blob's. */
  async read(
    name: string,
    options: { offset?: number; count?: number; ifMatch?: string; signal?: AbortSignal } = {},
  ): Promise<{ stream: Readable; size: number; etag: string } | undefined> {
    const start = options.offset ?? 0;
    const stop = options.count === undefined ? undefined : start + options.count;
    if (options.count === 0) return { stream: Readable.from([]), size: 0, etag: '' };
    const first = await this.#open(name, start, stop, options.ifMatch, options.signal);
    if (first.status === 404) return undefined;
    const etag = first.headers['etag'] ?? '';
    const length = /\/(\d+)$/.exec(first.headers['content-range'] ?? '')?.[1] ?? first.headers['content-length'];
    // A proxy that sends on in pieces leaves the length out: without it an end that comes too early looks like the end.
    const total = length === undefined ? await this.#length(name, first, options.signal) : Number(length);
    if (first.status === 416 || !first.stream) return { stream: Readable.from([]), size: total, etag };
    const end = Math.min(stop ?? total, total);
    const reopen = async (position: number) => (await this.#open(name, position, end, etag, options.signal)).stream;
    return {
      stream: Readable.from(resuming(first.stream, start, end, reopen, options.signal), { objectMode: false }),
      size: total,
      etag,
    };
  }

  async #length(name: string, first: HttpResponse, signal?: AbortSignal): Promise<number> {
    const what = `find out how large ${this.url}/${name} is`;
    const { headers } = await this.#send({ method: 'HEAD', name, signal, what });
    if (headers['content-length'] && headers['etag'] === first.headers['etag']) return Number(headers['content-length']);
    first.stream?.destroy();
    throw new Failure(`Could not ${what}: no reply says it.`, { code: 'LengthMissing', operation: what });
  }

  async readBytes(
    name: string,
    options: { maxBytes?: number; signal?: AbortSignal } = {},
  ): Promise<{ bytes: Buffer; etag: string } | undefined> {
    const maxBytes = options.maxBytes ?? 16 * 1024 * 1024;
    const response = await this.#send({
      method: 'GET',
      name,
      signal: options.signal,
      accept: [404],
      maxBytes,
      headers: { 'Accept-Encoding': 'identity' },
      what: `read ${this.url}/${name}`,
    });
    return response.status === 404 ? undefined : { bytes: response.bytes, etag: response.headers['etag'] ?? '' };
  }

  async writeBytes(name: string, bytes: Uint8Array, options: BlobWriteOptions = {}): Promise<{ etag: string }> {
    const md5 = createHash('md5').update(bytes).digest('base64');
    const response = await this.#send({
      method: 'PUT',
      name,
      body: bytes,
      headers: {
        'x-ms-blob-type': 'BlockBlob',
        'Content-MD5': md5,
        ...writeHeaders(options),
        ...(options.contentType ? { 'Content-Type': options.contentType } : {}),
      },
      signal: options.signal,
      accept: [409, 412],
      what: `write ${this.url}/${name}`,
    });
    if (response.status < 300) return { etag: response.headers['etag'] ?? '' };
    // The condition may be broken by our own write, whose reply was lost.
    if (response.ambiguous) {
      const there = await this.readBytes(name, {
        maxBytes: bytes.byteLength + 1,
        ...(options.signal ? { signal: options.signal } : {}),
      });
      if (there && Buffer.compare(there.bytes, bytes) === 0) return { etag: there.etag };
    }
    throw storageFailure(`write ${this.url}/${name}`, response);
  }

  async putBlock(name: string, blockId: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#send({
      method: 'PUT',
      name,
      query: { comp: 'block', blockid: Buffer.from(blockId).toString('base64') },
      body: bytes,
      headers: { 'Content-MD5': createHash('md5').update(bytes).digest('base64') },
      signal,
      what: `write a block of ${this.url}/${name}`,
    });
  }

  async uncommittedBlocks(name: string, signal?: AbortSignal): Promise<{ id: string; size: number }[]> {
    return this.#blocks(name, 'uncommitted', signal);
  }

  async committedBlocks(name: string, signal?: AbortSignal): Promise<string[]> {
    return (await this.#blocks(name, 'committed', signal)).map(({ id }) => id);
  }

  async #blocks(
    name: string,
    blocklisttype: 'committed' | 'uncommitted',
    signal?: AbortSignal,
  ): Promise<{ id: string; size: number }[]> {
    const response = await this.#send({
      method: 'GET',
      name,
      query: { comp: 'blocklist', blocklisttype },
      signal,
      accept: [404],
      what: `list blocks of ${this.url}/${name}`,
    });
    return response.status === 404 ? [] : blockItems(response.bytes.toString('utf8'));
  }

  async commitBlocks(name: string, blockIds: string[], options: BlobWriteOptions = {}): Promise<{ etag: string }> {
    const items = blockIds.map((id) => `<Latest>${Buffer.from(id).toString('base64')}</Latest>`).join('');
    const response = await this.#send({
      method: 'PUT',
      name,
      query: { comp: 'blocklist' },
      body: Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${items}</BlockList>`),
      headers: {
        'Content-Type': 'application/xml',
        ...writeHeaders(options),
        ...(options.contentType ? { 'x-ms-blob-content-type': options.contentType } : {}),
      },
      signal: options.signal,
      what: `commit ${this.url}/${name}`,
    });
    return { etag: response.headers['etag'] ?? '' };
  }

  async setMetadata(name: string, metadata: Record<string, string>, signal?: AbortSignal): Promise<void> {
    await this.#send({
      method: 'PUT',
      name,
      query: { comp: 'metadata' },
      headers: writeHeaders({ metadata }),
      signal,
      what: `set the metadata of ${this.url}/${name}`,
    });
  }

  async delete(name: string, options: { ifMatch?: string; signal?: AbortSignal } = {}): Promise<boolean> {
    const response = await this.#send({
      method: 'DELETE',
      name,
      headers: options.ifMatch ? { 'If-Match': options.ifMatch } : {},
      signal: options.signal,
      accept: [404],
      what: `delete ${this.url}/${name}`,
    });
    return response.status !== 404;
  }
}

function writeHeaders(options: BlobWriteOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  if (options.ifNoneMatch) headers['If-None-Match'] = options.ifNoneMatch;
  if (options.ifMatch) headers['If-Match'] = options.ifMatch;
  for (const [key, value] of Object.entries(options.metadata ?? {})) headers[`x-ms-meta-${key}`] = value;
  return headers;
}

function storageFailure(what: string, response: HttpResponse): Failure {
  const code = response.headers['x-ms-error-code'] ?? '';
  // 412 is also said of a blob that is leased.
  const condition = (response.status === 412 && !code.startsWith('Lease')) || code === 'BlobAlreadyExists';
  if (!condition) return replyFailure(what, response.status, response.headers, response.bytes.toString('utf8'));
  return new Failure(`Could not ${what}: somebody else wrote it first (HTTP ${response.status}).`, {
    code: 'ConditionNotMet',
    status: response.status,
    operation: what,
  });
}
