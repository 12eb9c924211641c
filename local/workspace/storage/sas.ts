/** Shared access signatures of blob containers and blobs, by account key or by user delegation key (Storage service version 2022-11-02). */
import { createHmac } from 'node:crypto';

export interface DelegationKey {
  objectId: string;
  tenantId: string;
  start: string;
  expiry: string;
  version: string;
  value: string;
}

interface SasRequest {
  account: string;
  container: string;
  blob?: string;
  permissions: string;
  start: Date;
  expiry: Date;
}

const version = '2022-11-02';

function stamp(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Query without `?`. */
export function signSas(request: SasRequest, by: { key: string } | { delegation: DelegationKey }): string {
  const resource = `/blob/${request.account}/${request.container}${request.blob === undefined ? '' : `/${request.blob}`}`;
  const kind = request.blob === undefined ? 'c' : 'b';
  const [st, se] = [stamp(request.start), stamp(request.expiry)];
  const query: [string, string][] = [
    ['sv', version],
    ['st', st],
    ['se', se],
    ['sr', kind],
    ['sp', request.permissions],
    ['spr', 'https'],
  ];
  const tail = ['', '', '', '', ''];
  let text: string[];
  let key: string;
  if ('key' in by) {
    key = by.key;
    text = [request.permissions, st, se, resource, '', '', 'https', version, kind, '', '', ...tail];
  } else {
    const d = by.delegation;
    key = d.value;
    text = [
      request.permissions,
      st,
      se,
      resource,
      d.objectId,
      d.tenantId,
      d.start,
      d.expiry,
      'b',
      d.version,
      '',
      '',
      '',
      '',
      'https',
      version,
      kind,
      '',
      '',
      ...tail,
    ];
    query.push(
      ['skoid', d.objectId],
      ['sktid', d.tenantId],
      ['skt', d.start],
      ['ske', d.expiry],
      ['sks', 'b'],
      ['skv', d.version],
    );
  }
  query.push(['sig', createHmac('sha256', Buffer.from(key, 'base64')).update(text.join('\n'), 'utf8').digest('base64')]);
  return query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
}

/** Account SAS for blobs (containers and objects; read, write, delete, list, add, create, update), as listSecrets hands it out. Query without `?`. */
export function accountSas(account: string, key: string, seconds: number, now: Date): string {
  const [permissions, services, resources] = ['rwdlacu', 'b', 'co'];
  const [st, se] = [stamp(new Date(now.getTime() - 300_000)), stamp(new Date(now.getTime() + seconds * 1000))];
  const text = [account, permissions, services, resources, st, se, '', 'https', version, '', ''].join('\n');
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');
  const query = { sv: version, ss: services, srt: resources, sp: permissions, st, se, spr: 'https', sig };
  return Object.entries(query)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
}
