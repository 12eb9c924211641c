/** Storage for the inside: blobs of every account, SAS, and what datastore URIs mean. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import type { Scope, WorkspaceRecord } from '../context.js';
import { ServiceError } from '../errors.js';
import type { Datastores } from './datastores.js';
import { signSas, type DelegationKey } from './sas.js';
import type { BlobEntry, BlobPlace, Datastore, SasOptions, Storage, WriteOptions } from './types.js';
import type { Wire } from './wire.js';
import { BlobError, collect } from './wire.js';

const block = 8 * 1024 * 1024;

function pathOf(place: BlobPlace): string {
  return `/${place.container}/${place.path.split('/').map(encodeURIComponent).join('/')}`;
}

function text(xml: string, tag: string): string | undefined {
  const found = new RegExp(`<${tag}[^>]*>([\\s\\S]*?)</${tag}>`).exec(xml)?.[1];
  return found
    ?.replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replace(/&#x([0-9a-f]+);/gi, (_all, code: string) => String.fromCodePoint(parseInt(code, 16)))
    .replaceAll('&amp;', '&');
}

interface BlobsOptions {
  wire: Wire;
  port: () => number;
  /** Key of an account, `undefined` when it hands none out. */
  key: (account: string) => string | undefined;
  /** Seconds that a SAS lives at most. */
  sasLifetime: () => number;
  datastores: Datastores;
}

export class Blobs implements Storage {
  readonly #wire: Wire;
  readonly #port: () => number;
  readonly #key: BlobsOptions['key'];
  readonly #sasLifetime: BlobsOptions['sasLifetime'];
  readonly #datastores: Datastores;
  #delegation: DelegationKey | undefined;
  readonly #appended = new Set<string>();

  constructor(options: BlobsOptions) {
    this.#wire = options.wire;
    this.#port = options.port;
    this.#key = options.key;
    this.#sasLifetime = options.sasLifetime;
    this.#datastores = options.datastores;
  }

  /** Fetches a user delegation key (valid six days) for accounts without keys. Any account serves. */
  async renewDelegation(account: string): Promise<void> {
    const [start, expiry] = [new Date(Date.now() - 900_000), new Date(Date.now() + 6 * 86_400_000)].map((date) =>
      date.toISOString().replace(/\.\d+Z$/, 'Z'),
    );
    const body = `<?xml version="1.0" encoding="utf-8"?><KeyInfo><Start>${start}</Start><Expiry>${expiry}</Expiry></KeyInfo>`;
    const answer = await this.#wire.ask(
      account,
      'POST',
      '/?restype=service&comp=userdelegationkey',
      { 'content-type': 'application/xml' },
      Buffer.from(body),
    );
    const xml = (await collect(answer.stream)).toString('utf8');
    this.#delegation = {
      objectId: text(xml, 'SignedOid') ?? '',
      tenantId: text(xml, 'SignedTid') ?? '',
      start: text(xml, 'SignedStart') ?? '',
      expiry: text(xml, 'SignedExpiry') ?? '',
      version: text(xml, 'SignedVersion') ?? '',
      value: text(xml, 'Value') ?? '',
    };
  }

  containerUrl(account: string, container: string): string {
    return `https://${account}.blob.core.localhost:${this.#port()}/${container}`;
  }
  blobUrl(place: BlobPlace): string {
    return `https://${place.account}.blob.core.localhost:${this.#port()}${pathOf(place)}`;
  }
  parseUrl(url: string): BlobPlace | undefined {
    const found = /^(?:https?|wasbs?):\/\/([a-z0-9]+)\.blob\.core\.[a-z.]+(?::\d+)?\/([a-z0-9$-]+)\/?([^?]*)/i.exec(url);
    if (!found) return undefined;
    const [, account = '', container = '', path = ''] = found;
    try {
      return { account: account.toLowerCase(), container, path: decodeURIComponent(path) };
    } catch (_error) {
      return undefined; // Not percent-encoded text.
    }
  }
  sasUrl(account: string, container: string, options: SasOptions): string {
    const now = Date.now();
    const request = {
      account,
      container,
      permissions: options.permissions,
      start: new Date(now - 600_000),
      expiry: new Date(now + Math.min((options.minutes ?? 480) * 60, this.#sasLifetime()) * 1000),
      ...(options.blob === undefined ? {} : { blob: options.blob }),
    };
    const key = this.#key(account);
    if (key === undefined && !this.#delegation) throw new Error('No user delegation key.');
    const query = signSas(request, key === undefined ? { delegation: this.#delegation as DelegationKey } : { key });
    const base =
      options.blob === undefined
        ? this.containerUrl(account, container)
        : this.blobUrl({ account, container, path: options.blob });
    return `${base}?${query}`;
  }
  accountKey(account: string): string {
    const key = this.#key(account);
    if (key === undefined)
      throw new ServiceError(403, 'UserError', `Key based authentication is not permitted on storage account '${account}'.`, {
        inner: ['Auth', 'KeyBasedAuthenticationNotPermitted'],
      });
    return key;
  }

  async ensureContainer(account: string, container: string): Promise<void> {
    (await this.#wire.ask(account, 'PUT', `/${container}?restype=container`, {}, undefined, [409])).stream.resume();
  }
  async freshContainer(scope: Scope): Promise<string> {
    const name = `${scope.guid}-${createHash('sha256').update(randomBytes(16)).digest('hex').slice(0, 26)}`;
    await this.ensureContainer(scope.account, name);
    return name;
  }

  async *list(place: BlobPlace): AsyncIterable<BlobEntry> {
    let marker = '';
    do {
      const query = `restype=container&comp=list&prefix=${encodeURIComponent(place.path)}&marker=${encodeURIComponent(marker)}`;
      const answer = await this.#wire.ask(place.account, 'GET', `/${place.container}?${query}`, {}, undefined, [404]);
      const xml = (await collect(answer.stream)).toString('utf8');
      if (answer.status === 404) return;
      for (const [, item = ''] of xml.matchAll(/<Blob>([\s\S]*?)<\/Blob>/g)) {
        const md5 = text(item, 'Content-MD5');
        yield {
          name: text(item, 'Name') ?? '',
          size: Number(text(item, 'Content-Length') ?? 0),
          etag: text(item, 'Etag') ?? '',
          lastModified: text(item, 'Last-Modified') ?? '',
          ...(md5 ? { md5 } : {}),
        };
      }
      marker = text(xml, 'NextMarker') ?? '';
    } while (marker);
  }
  async head(place: BlobPlace): Promise<(BlobEntry & { metadata: Record<string, string>; contentType: string }) | undefined> {
    const answer = await this.#wire.ask(place.account, 'HEAD', pathOf(place), {}, undefined, [404]);
    answer.stream.resume();
    if (answer.status === 404) return undefined;
    const header = (name: string) => String(answer.headers[name] ?? '');
    const metadata: Record<string, string> = {};
    for (const [name, value] of Object.entries(answer.headers))
      if (name.startsWith('x-ms-meta-')) metadata[name.slice(10)] = String(value);
    return {
      name: place.path,
      size: Number(header('content-length')),
      etag: header('etag'),
      lastModified: header('last-modified'),
      contentType: header('content-type'),
      metadata,
      ...(header('content-md5') ? { md5: header('content-md5') } : {}),
    };
  }
  async #get(place: BlobPlace, headers: Record<string, string>): Promise<Readable | undefined> {
    const answer = await this.#wire.ask(place.account, 'GET', pathOf(place), headers, undefined, [404, 416]);
    if (answer.status === 404 || answer.status === 416) answer.stream.resume();
    return answer.status === 404 ? undefined : answer.stream;
  }
  async read(place: BlobPlace, range?: { offset: number; count?: number }): Promise<Buffer | undefined> {
    if (range?.count === 0) return Buffer.alloc(0);
    const headers: Record<string, string> = range
      ? { 'x-ms-range': `bytes=${range.offset}-${range.count === undefined ? '' : range.offset + range.count - 1}` }
      : {};
    const answer = await this.#wire.ask(place.account, 'GET', pathOf(place), headers, undefined, [404, 416]);
    const bytes = await collect(answer.stream);
    return answer.status === 404 ? undefined : answer.status === 416 ? Buffer.alloc(0) : bytes;
  }
  async stream(place: BlobPlace): Promise<Readable | undefined> {
    return await this.#get(place, {});
  }

  #headers(options: WriteOptions, content = 'content-type'): Record<string, string> {
    return {
      ...(options.contentType === undefined ? {} : { [content]: options.contentType }),
      ...(options.ifNoneMatch === undefined ? {} : { 'if-none-match': options.ifNoneMatch }),
      ...Object.fromEntries(Object.entries(options.metadata ?? {}).map(([name, value]) => [`x-ms-meta-${name}`, value])),
    };
  }
  async write(place: BlobPlace, bytes: Uint8Array | string, options: WriteOptions = {}): Promise<void> {
    const body = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    const headers = { 'x-ms-blob-type': 'BlockBlob', 'content-length': String(body.length), ...this.#headers(options) };
    (await this.#wire.ask(place.account, 'PUT', pathOf(place), headers, body)).stream.resume();
  }
  async writeFile(place: BlobPlace, file: string, options: WriteOptions = {}): Promise<void> {
    const { size } = await stat(file);
    if (size <= block) {
      await this.write(place, await collect(createReadStream(file)), options);
      return;
    }
    const ids: string[] = [];
    for await (const part of createReadStream(file, { highWaterMark: block })) {
      const bytes = part as Buffer;
      const id = Buffer.from(String(ids.length).padStart(8, '0')).toString('base64');
      ids.push(id);
      const headers = { 'content-length': String(bytes.length) };
      (
        await this.#wire.ask(
          place.account,
          'PUT',
          `${pathOf(place)}?comp=block&blockid=${encodeURIComponent(id)}`,
          headers,
          bytes,
        )
      ).stream.resume();
    }
    const list = Buffer.from(
      `<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`,
    );
    const headers = { 'content-length': String(list.length), ...this.#headers(options, 'x-ms-blob-content-type') };
    (await this.#wire.ask(place.account, 'PUT', `${pathOf(place)}?comp=blocklist`, headers, list)).stream.resume();
  }
  async append(place: BlobPlace, bytes: Uint8Array): Promise<void> {
    const path = pathOf(place);
    const key = `${place.account}${path}`;
    if (!this.#appended.has(key)) {
      const headers = {
        'x-ms-blob-type': 'AppendBlob',
        'content-length': '0',
        'if-none-match': '*',
        'content-type': 'text/plain; charset=utf-8',
      };
      (await this.#wire.ask(place.account, 'PUT', path, headers, undefined, [409, 412])).stream.resume();
      if (this.#appended.size > 10_000) this.#appended.clear();
      this.#appended.add(key);
    }
    for (let at = 0; at < bytes.length; at += 4 * 1024 * 1024) {
      const part = bytes.subarray(at, at + 4 * 1024 * 1024);
      (
        await this.#wire.ask(place.account, 'PUT', `${path}?comp=appendblock`, { 'content-length': String(part.length) }, part)
      ).stream.resume();
    }
  }
  async remove(place: BlobPlace): Promise<boolean> {
    const answer = await this.#wire.ask(place.account, 'DELETE', pathOf(place), {}, undefined, [404]);
    answer.stream.resume();
    this.#appended.delete(`${place.account}${pathOf(place)}`);
    return answer.status !== 404;
  }
  async copy(from: BlobPlace, to: BlobPlace): Promise<void> {
    const source = await this.#wire.ask(from.account, 'GET', pathOf(from));
    const size = Number(source.headers['content-length'] ?? 0);
    if (size <= block) {
      const headers = { contentType: String(source.headers['content-type'] ?? 'application/octet-stream') };
      await this.write(to, await collect(source.stream), headers);
      return;
    }
    const answer = await this.#wire.send(
      to.account,
      'PUT',
      pathOf(to),
      { 'x-ms-blob-type': 'BlockBlob', 'content-length': String(size), 'content-type': String(source.headers['content-type']) },
      source.stream,
    );
    answer.stream.resume();
    if (answer.status >= 400) throw new BlobError(answer.status, 'CopyFailed', `Copy of ${from.path} failed: ${answer.status}.`);
  }

  resolve(ws: WorkspaceRecord, uri: string): BlobPlace | undefined {
    return this.#datastores.resolve(ws, uri) ?? this.parseUrl(uri);
  }
  longUri(ws: WorkspaceRecord, datastore: string, path: string): string {
    return this.#datastores.longUri(ws, datastore, path);
  }
  datastore(ws: WorkspaceRecord, name: string): Datastore | undefined {
    return this.#datastores.place(ws, name);
  }
  defaultDatastore(ws: WorkspaceRecord): string {
    return this.#datastores.default(ws);
  }
}
