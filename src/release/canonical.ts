/** Canonical JSON (RFC 8785) and SHA-256: the same content gives the same bytes on every machine. */
import { createHash } from 'node:crypto';
import { Refusal } from './refusal.js';

/** Half of a surrogate pair: has no UTF-8, so no digest. */
export const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * RFC 8785: members sorted by UTF-16 code units, no white space, numbers as ECMAScript writes them, `undefined` members left out.
 * Throws `Refusal` (`NotCanonical`) for NaN, infinities, lone surrogates and anything that JSON does not know.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') {
    if (LONE_SURROGATE.test(value))
      throw new Refusal('Text with half a surrogate pair cannot be recorded.', { code: 'NotCanonical' });
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new Refusal(`The number ${value} cannot be recorded.`, { code: 'NotCanonical' });
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof value === 'object') {
    const members = Object.entries(value as Record<string, unknown>).filter(([, member]) => member !== undefined);
    members.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${members.map(([key, member]) => `${canonicalJson(key)}:${canonicalJson(member)}`).join(',')}}`;
  }
  throw new Refusal(`A ${typeof value} cannot be recorded.`, { code: 'NotCanonical' });
}

/** SHA-256 in lower-case hex. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** `sha256:<hex>` of the canonical JSON of a value. */
export function digestOf(value: unknown): string {
  return `sha256:${sha256Hex(canonicalJson(value))}`;
}
