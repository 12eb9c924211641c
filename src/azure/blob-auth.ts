/** Who a storage request comes from: a SAS in the query, the account's shared key, or an Entra token. */
import { createHmac } from 'node:crypto';
import type { BlobAuth } from './types.js';

/** Scope of storage tokens in every cloud (reference task-contract C.1, design §6). */
export const storageScope = 'https://storage.azure.com/.default';
const version = '2023-11-03';

/** Gives the query to append (SAS) and what to do with the headers before each sending. `url` has its final query, without the SAS. */
export function authorize(
  auth: BlobAuth,
  method: string,
  url: URL,
  length: number,
): { query: string; sign: (headers: Record<string, string>, token?: string) => void } {
  if (auth.kind === 'sas') {
    return { query: auth.token.replace(/^\?/, ''), sign: (headers) => void (headers['x-ms-version'] = version) };
  }
  const sign = (headers: Record<string, string>, token?: string) => {
    headers['x-ms-version'] = version;
    headers['x-ms-date'] = new Date().toUTCString();
    if (auth.kind === 'entra') headers['Authorization'] = `Bearer ${token}`;
    else headers['Authorization'] = `SharedKey ${auth.account}:${signature(auth, method, url, length, headers)}`;
  };
  return { query: '', sign };
}

/** "Authorize with Shared Key", version 2009-09-19 and later. */
function signature(
  auth: { account: string; key: string },
  method: string,
  url: URL,
  length: number,
  headers: Record<string, string>,
): string {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const of = (name: string) => lower.get(name) ?? '';
  const own = [...lower.keys()].filter((name) => name.startsWith('x-ms-')).sort();
  const resource = [`/${auth.account}${url.pathname}`];
  for (const name of [...new Set(url.searchParams.keys())].sort()) {
    resource.push(`${name.toLowerCase()}:${url.searchParams.getAll(name).sort().join(',')}`);
  }
  const text = [
    method,
    of('content-encoding'),
    of('content-language'),
    length > 0 ? String(length) : '',
    of('content-md5'),
    of('content-type'),
    '',
    '',
    of('if-match'),
    of('if-none-match'),
    '',
    '',
    ...own.map((name) => `${name}:${of(name).trim()}`),
    resource.join('\n'),
  ].join('\n');
  return createHmac('sha256', Buffer.from(auth.key, 'base64')).update(text, 'utf8').digest('base64');
}
