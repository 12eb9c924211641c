/** The two XML answers of blob storage that are read: a page of blobs and a block list. Flat and machine-written, so no XML parser. */
import type { BlobItem } from './types.js';

const entities: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function text(value: string): string {
  return value.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
    if (hex) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(Number(decimal));
    return entities[name ?? ''] ?? whole;
  });
}

function element(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
}

/** How folders show up in a list: of hierarchical accounts, and those that a mount has made. */
const folder = /<hdi_isfolder>true<|<ResourceType>directory</i;

/** Undefined: no list, or one that is cut short. */
export function listPage(xml: string): { items: BlobItem[]; marker: string } | undefined {
  if (!/<EnumerationResults[\s>][\s\S]*<\/EnumerationResults>\s*$/.test(xml)) return undefined;
  const items: BlobItem[] = [];
  for (const [, body = ''] of xml.matchAll(/<Blob>([\s\S]*?)<\/Blob>/g)) {
    if (folder.test(body)) continue;
    const name = /<Name(\s+Encoded="true")?>([^<]*)<\/Name>/.exec(body);
    const raw = text(name?.[2] ?? '');
    const md5 = element(body, 'Content-MD5');
    items.push({
      name: name?.[1] ? decodeURIComponent(raw) : raw,
      size: Number(element(body, 'Content-Length') ?? 0),
      etag: quoted(text(element(body, 'Etag') ?? '')),
      lastModified: new Date(element(body, 'Last-Modified') ?? 0),
      ...(md5 ? { md5 } : {}),
    });
  }
  return { items, marker: text(element(xml, 'NextMarker') ?? '') };
}

/** Lists give etags without the quotes that headers have; If-Match wants them. */
function quoted(etag: string): string {
  return etag === '' || etag.startsWith('"') ? etag : `"${etag}"`;
}

export function blobItem(name: string, headers: Readonly<Record<string, string>>): BlobItem {
  const md5 = headers['content-md5'];
  return {
    name,
    size: Number(headers['content-length'] ?? 0),
    etag: headers['etag'] ?? '',
    lastModified: new Date(headers['last-modified'] ?? 0),
    ...(md5 ? { md5 } : {}),
  };
}

export function blockItems(xml: string): { id: string; size: number }[] {
  return [...xml.matchAll(/<Block>\s*<Name>([^<]*)<\/Name>\s*<Size>(\d+)<\/Size>/g)].map(([, name = '', size]) => ({
    id: Buffer.from(text(name), 'base64').toString('utf8'),
    size: Number(size),
  }));
}
