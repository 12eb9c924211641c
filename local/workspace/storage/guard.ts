/** Whether the blob service lets a request pass on to Azurite: who may use which account, and how (pure; run in the child process). */
import type { IncomingHttpHeaders } from 'node:http';

export interface GuardState {
  /** Accounts that refuse keys and account SAS. */
  identityOnly: string[];
  /** Blob access of principals: object id, account (`*`: all) and whether writing is allowed. */
  roles: { objectId: string; account: string; write: boolean }[];
  /** Public key of the token issuer and its `iss`. */
  jwk: object;
  issuer: string;
}

interface Verdict {
  status: number;
  code: string;
  message: string;
  /** `AuthenticationErrorDetail`. */
  detail?: string;
}

const reads = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Verified tokens: the parts of a JWT never change. */
const known = new Map<string, { objectId: string; expires: number; audience: string }>();

function decode(part: string | undefined): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8')) as Record<string, unknown>;
  } catch (_error) {
    return {};
  }
}

function bearer(
  state: GuardState,
  token: string,
  now: number,
  holds: (input: string, signature: Buffer) => boolean,
): { objectId: string } | Verdict {
  const invalid: Verdict = {
    status: 401,
    code: 'InvalidAuthenticationInfo',
    message: 'Server failed to authenticate the request. Please refer to the information in the www-authenticate header.',
  };
  let claims = known.get(token);
  if (!claims) {
    const [header, payload, signature] = token.split('.');
    const body = decode(payload);
    if (!signature || body['iss'] !== state.issuer || !holds(`${header}.${payload}`, Buffer.from(signature, 'base64url')))
      return invalid;
    claims = { objectId: String(body['oid']), expires: Number(body['exp']) * 1000, audience: String(body['aud']) };
    if (known.size > 1000) known.clear();
    known.set(token, claims);
  }
  if (claims.expires <= now) return { ...invalid, message: 'Lifetime validation failed. The token is expired.' };
  if (!/^https:\/\/storage\.azure\.com\/?$/.test(claims.audience))
    return { ...invalid, message: 'Audience validation failed. Audience did not match.' };
  return { objectId: claims.objectId };
}

/** True for the workspace's own identity (the one with a role on every account); only after `judge` has let the request pass. */
export function isOwn(state: GuardState, headers: IncomingHttpHeaders): boolean {
  const token = /^bearer (.+)/i.exec(headers.authorization ?? '')?.[1]?.trim();
  const claims = token === undefined ? undefined : known.get(token);
  return claims !== undefined && state.roles.some((role) => role.account === '*' && role.objectId === claims.objectId);
}

/** A SAS before or after its time. (Azurite calls that an AuthorizationFailure, which the service says of firewalls.) */
function outOfTime(query: URLSearchParams, now: number): Verdict | undefined {
  if (query.get('sig') === null) return undefined;
  for (const [start, expiry] of [
    ['st', 'se'],
    ['skt', 'ske'],
  ] as const) {
    const [from, to] = [Date.parse(query.get(start) ?? ''), Date.parse(query.get(expiry) ?? '')];
    if (!(now < from) && !(now > to)) continue;
    const text = (time: number): string => (Number.isNaN(time) ? '' : new Date(time).toUTCString());
    return {
      status: 403,
      code: 'AuthenticationFailed',
      message:
        'Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.',
      detail: `Signature not valid in the specified time frame: Start [${text(from)}] - Expiry [${text(to)}] - Current [${text(now)}]`,
    };
  }
  return undefined;
}

/** `undefined`: pass on. `holds` checks an ES256 signature. Source of the codes: Storage service error codes. */
export function judge(
  state: GuardState,
  method: string,
  headers: IncomingHttpHeaders,
  url: string,
  now: number,
  holds: (input: string, signature: Buffer) => boolean,
): Verdict | undefined {
  const account = (headers.host ?? '').split('.')[0]?.toLowerCase() ?? '';
  const query = new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?') + 1) : '');
  const authorization = headers.authorization ?? '';
  const allowed = (objectId: string, write: boolean): boolean =>
    state.roles.some(
      (role) => role.objectId === objectId && (role.account === '*' || role.account === account) && (!write || role.write),
    );
  const denied: Verdict = {
    status: 403,
    code: 'AuthorizationPermissionMismatch',
    message: 'This request is not authorized to perform this operation using this permission.',
  };
  // What changes data: every other method, but the POST that asks for a delegation key.
  const write = !reads.has(method) && !(method === 'POST' && query.get('comp') === 'userdelegationkey');
  if (/^bearer /i.test(authorization)) {
    const verdict = bearer(state, authorization.slice(7).trim(), now, holds);
    if ('status' in verdict) return verdict;
    return allowed(verdict.objectId, write) ? undefined : denied;
  }
  const expired = outOfTime(query, now);
  if (expired) return expired;
  const delegated = query.get('skoid');
  // A delegation SAS is worth what its principal may do, today.
  if (delegated !== null) return allowed(delegated, write) ? undefined : denied;
  if (!state.identityOnly.includes(account)) return undefined;
  if (/^sharedkey/i.test(authorization) || query.get('sig') !== null)
    return {
      status: 403,
      code: 'KeyBasedAuthenticationNotPermitted',
      message: 'Key based authentication is not permitted on this storage account.',
    };
  return undefined;
}
