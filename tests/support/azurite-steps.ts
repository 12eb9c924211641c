/** Requests to a blob service, of every kind that it knows, in an order that makes sense of them. */
import { createHash } from 'node:crypto';

export const account = 'devstoreaccount1';
const md5OfTwo = createHash('md5').update('two').digest('base64');

export interface Step {
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: string;
  /** Name and header or pattern of what later steps need of the answer. */
  keep?: [string, string];
  /** Without the signature. */
  open?: boolean;
}

const block = (name: string) => Buffer.from(name).toString('base64');
const put = (path: string, body: string, headers: Record<string, string> = {}, keep?: [string, string]): Step => ({
  ...{ method: 'PUT', path, body, headers: { 'x-ms-blob-type': 'BlockBlob', ...headers } },
  ...(keep ? { keep } : {}),
});
const set = (path: string, headers: Record<string, string> = {}, body = '', keep?: [string, string]): Step => ({
  ...{ method: 'PUT', path, headers, body },
  ...(keep ? { keep } : {}),
});
export const get = (path: string, headers: Record<string, string> = {}): Step => ({ method: 'GET', path, headers });
const head = (path: string, headers: Record<string, string> = {}): Step => ({ method: 'HEAD', path, headers });
const del = (path: string, headers: Record<string, string> = {}): Step => ({ method: 'DELETE', path, headers });
const page = 'p'.repeat(512);
const lines = (...all: string[]) => all.join('\r\n');

export const steps: Step[] = [
  // Containers: properties, metadata, access, leases.
  set('ccc?restype=container', { 'x-ms-meta-a': '1' }),
  set('ccc?restype=container'),
  set('ddd?restype=container', { 'x-ms-blob-public-access': 'blob' }),
  head('ccc?restype=container'),
  get('ccc?restype=container&comp=metadata'),
  set('ccc?restype=container&comp=metadata', { 'x-ms-meta-b': '2' }),
  get('ccc?restype=container'),
  set(
    'ccc?restype=container&comp=acl',
    {},
    '<SignedIdentifiers><SignedIdentifier><Id>policy</Id><AccessPolicy><Start>2020-01-01T00:00:00Z</Start><Expiry>2100-01-01T00:00:00Z</Expiry><Permission>r</Permission></AccessPolicy></SignedIdentifier></SignedIdentifiers>',
  ),
  get('ccc?restype=container&comp=acl'),
  set('ccc?restype=container&comp=lease', { 'x-ms-lease-action': 'acquire', 'x-ms-lease-duration': '60' }, '', [
    'held',
    'x-ms-lease-id',
  ]),
  del('ccc?restype=container'),
  set('ccc?restype=container&comp=lease', { 'x-ms-lease-action': 'renew', 'x-ms-lease-id': '{held}' }),
  set('ccc?restype=container&comp=lease', { 'x-ms-lease-action': 'release', 'x-ms-lease-id': '{held}' }),
  get('?comp=list&include=metadata'),
  get('?comp=list&prefix=d'),
  get('?restype=service&comp=properties'),
  get('?restype=service&comp=stats'),
  get('?restype=account&comp=properties'),
  set(
    '?restype=service&comp=properties',
    {},
    '<StorageServiceProperties><DefaultServiceVersion>2022-11-02</DefaultServiceVersion></StorageServiceProperties>',
  ),
  // Block blobs: conditions, ranges, MD5, metadata, properties.
  put('ccc/one', 'one', { 'content-type': 'text/plain', 'x-ms-meta-m': 'x' }, ['one', 'etag']),
  put('ccc/one', 'two', { 'if-none-match': '*' }),
  put('ccc/one', 'two', { 'if-match': '"0x1"' }),
  put('ccc/one', 'two', { 'if-match': '{one}', 'content-md5': md5OfTwo }, ['two', 'etag']),
  put('ccc/one', 'three', { 'content-md5': md5OfTwo }),
  put('ccc/empty', ''),
  get('ccc/empty'),
  get('ccc/empty', { range: 'bytes=0-' }),
  get('ccc/one'),
  get('ccc/one', { 'if-none-match': '{two}' }),
  get('ccc/one', { 'if-match': '{one}' }),
  get('ccc/one', { 'if-modified-since': 'Fri, 01 Jan 2100 00:00:00 GMT' }),
  get('ccc/one', { 'if-unmodified-since': 'Wed, 01 Jan 2020 00:00:00 GMT' }),
  get('ccc/one', { range: 'bytes=1-1' }),
  get('ccc/one', { 'x-ms-range': 'bytes=1-', 'x-ms-range-get-content-md5': 'true' }),
  get('ccc/one', { range: 'bytes=9-' }),
  head('ccc/none'),
  get('ccc/none'),
  get('none/one'),
  set('ccc/one?comp=metadata', { 'x-ms-meta-k': 'v' }),
  set('ccc/one?comp=metadata', { 'x-ms-meta-k': 'v', 'if-match': '"0x1"' }),
  get('ccc/one?comp=metadata'),
  set('ccc/one?comp=properties', { 'x-ms-blob-content-type': 'application/json', 'x-ms-blob-cache-control': 'no-cache' }),
  head('ccc/one'),
  set('ccc/one?comp=tier', { 'x-ms-access-tier': 'Cool' }),
  set('ccc/one?comp=tier', { 'x-ms-access-tier': 'Cold!' }),
  // Blocks.
  set(`ccc/blocks?comp=block&blockid=${block('1')}`, {}, 'AAA'),
  set(`ccc/blocks?comp=block&blockid=${block('2')}`, { 'content-md5': md5OfTwo }, 'two'),
  set(`ccc/blocks?comp=block&blockid=${block('3')}`, { 'content-md5': md5OfTwo }, 'BBB'),
  set(`ccc/blocks?comp=block&blockid=${block('url')}`, { 'x-ms-copy-source': '{base}/ccc/one?{sas}' }),
  get('ccc/blocks?comp=blocklist&blocklisttype=all'),
  set('ccc/blocks?comp=blocklist', {}, `<BlockList><Latest>${block('1')}</Latest><Latest>${block('9')}</Latest></BlockList>`),
  set(
    'ccc/blocks?comp=blocklist',
    { 'x-ms-blob-content-type': 'text/x' },
    `<BlockList><Latest>${block('2')}</Latest><Latest>${block('1')}</Latest></BlockList>`,
  ),
  get('ccc/blocks?comp=blocklist&blocklisttype=committed'),
  get('ccc/blocks?comp=blocklist&blocklisttype=uncommitted'),
  get('ccc/blocks', { range: 'bytes=2-4' }),
  // Append blobs.
  set('ccc/log', { 'x-ms-blob-type': 'AppendBlob' }),
  set('ccc/log?comp=appendblock', {}, 'a\n'),
  set('ccc/log?comp=appendblock', { 'x-ms-blob-condition-appendpos': '2' }, 'b\n'),
  set('ccc/log?comp=appendblock', { 'x-ms-blob-condition-appendpos': '2' }, 'c\n'),
  set('ccc/log?comp=appendblock', { 'x-ms-blob-condition-maxsize': '5' }, 'dddd\n'),
  set('ccc/one?comp=appendblock', {}, 'no'),
  get('ccc/log'),
  // Page blobs.
  set('ccc/pages', { 'x-ms-blob-type': 'PageBlob', 'x-ms-blob-content-length': '2048' }),
  set('ccc/pages?comp=page', { 'x-ms-page-write': 'update', range: 'bytes=512-1023' }, page),
  set('ccc/pages?comp=page', { 'x-ms-page-write': 'update', range: 'bytes=1-512' }, page),
  get('ccc/pages?comp=pagelist'),
  set('ccc/pages?comp=page', { 'x-ms-page-write': 'clear', range: 'bytes=512-1023' }),
  get('ccc/pages?comp=pagelist'),
  set('ccc/pages?comp=properties', { 'x-ms-blob-content-length': '1024' }),
  get('ccc/pages', { range: 'bytes=0-15' }),
  // Leases of blobs.
  set('ccc/one?comp=lease', { 'x-ms-lease-action': 'acquire', 'x-ms-lease-duration': '-1' }, '', ['lease', 'x-ms-lease-id']),
  put('ccc/one', 'not mine'),
  put('ccc/one', 'mine', { 'x-ms-lease-id': '{lease}' }),
  set('ccc/one?comp=lease', {
    'x-ms-lease-action': 'change',
    'x-ms-lease-id': '{lease}',
    'x-ms-proposed-lease-id': '11111111-1111-1111-1111-111111111111',
  }),
  set('ccc/one?comp=lease', { 'x-ms-lease-action': 'break', 'x-ms-lease-break-period': '0' }),
  set('ccc/one?comp=lease', { 'x-ms-lease-action': 'fly' }),
  head('ccc/one'),
  // Snapshots.
  set('ccc/one?comp=snapshot', { 'x-ms-meta-s': '1' }, '', ['snapshot', 'x-ms-snapshot']),
  put('ccc/one', 'after'),
  get('ccc/one?snapshot={snapshot}'),
  head('ccc/one?snapshot={snapshot}'),
  del('ccc/one'),
  del('ccc/one', { 'x-ms-delete-snapshots': 'only' }),
  get('ccc/one?snapshot={snapshot}'),
  // Tags.
  set('ccc/one?comp=tags', {}, '<Tags><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tags>'),
  get('ccc/one?comp=tags'),
  put('ccc/tagged', 'x', { 'x-ms-tags': 'k=w' }),
  get('ccc/tagged?comp=tags'),
  get("?comp=blobs&where=k%3D'v'"),
  get("ccc?restype=container&comp=blobs&where=k%3D'w'"),
  get('ccc/one', { 'x-ms-if-tags': "k='other'" }),
  // Copies.
  set('ddd/copied', { 'x-ms-copy-source': '{base}/ccc/one?{sas}' }, '', ['copy', 'x-ms-copy-id']),
  get('ddd/copied'),
  set('ddd/copied?comp=copy&copyid={copy}', { 'x-ms-copy-action': 'abort' }),
  set('ddd/synced', { 'x-ms-copy-source': '{base}/ccc/blocks?{sas}', 'x-ms-requires-sync': 'true' }),
  set('ddd/lost', { 'x-ms-copy-source': '{base}/ccc/nothing?{sas}' }),
  set('ddd/copied', { 'x-ms-copy-source': '{base}/ccc/blocks?{sas}', 'if-none-match': '*' }),
  // Listing.
  get('ccc?restype=container&comp=list&include=metadata,snapshots,tags,uncommittedblobs'),
  get('ccc?restype=container&comp=list&delimiter=/&prefix=b'),
  get('ccc?restype=container&comp=list&maxresults=2'),
  get('ccc?restype=container&comp=list&maxresults=2&marker=empty'),
  // Several in one request.
  {
    ...{ method: 'POST', path: '?comp=batch', headers: { 'content-type': 'multipart/mixed; boundary=b1' } },
    body: lines(
      ...['--b1', 'Content-Type: application/http', 'Content-Transfer-Encoding: binary', 'Content-ID: 0', ''],
      ...['DELETE {path}/ccc/empty?{sas} HTTP/1.1', 'x-ms-version: 2022-11-02', 'Content-Length: 0', ''],
      ...['--b1', 'Content-Type: application/http', 'Content-Transfer-Encoding: binary', 'Content-ID: 1', ''],
      ...['DELETE {path}/ccc/nothing?{sas} HTTP/1.1', 'x-ms-version: 2022-11-02', 'Content-Length: 0', ''],
      ...['--b1--', ''],
    ),
  },
  head('ccc/empty'),
  // Who asks, and what nobody may ask.
  { ...get('ccc/one'), open: true },
  { ...get('ddd/copied'), open: true },
  { ...get('ccc/one?sv=2022-11-02&sr=b&sp=r&se=2100-01-01T00:00:00Z&sig=AAAA'), open: true },
  { ...get('ccc/one', { authorization: 'Bearer none' }), open: true },
  { ...get('ccc/one', { authorization: `SharedKey ${account}:AAAA`, 'x-ms-date': 'Sun, 22 Nov 2026 22:00:00 GMT' }), open: true },
  {
    method: 'POST',
    path: '?restype=service&comp=userdelegationkey',
    body: '<KeyInfo><Start>2026-01-01T00:00:00Z</Start><Expiry>2026-01-02T00:00:00Z</Expiry></KeyInfo>',
  },
  { method: 'PATCH', path: 'ccc/one' },
  { method: 'GET', path: 'ccc/one?comp=nothing' },
  { method: 'PUT', path: 'ccc/one?comp=nothing' },
  {
    method: 'OPTIONS',
    path: 'ccc/one',
    headers: { origin: 'https://example.com', 'access-control-request-method': 'GET' },
    open: true,
  },
  set('ccc/one', { 'x-ms-blob-type': 'Other' }, 'x'),
  set('ccc/one'),
  { method: 'GET', path: 'ccc/one', headers: { 'X-HTTP-Method': 'DELETE' } },
  get('UPPER?restype=container'),
  get('ccc/%00'),
  del('ccc/tagged'),
  del('ccc/tagged'),
  del('ddd?restype=container'),
  get('ddd/copied'),
];
