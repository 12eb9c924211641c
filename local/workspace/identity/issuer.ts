/** Issues and verifies the workspace's access tokens (ES256 JWTs: an RSA key would take longer to make than all the rest of a first start; with the claims are those of Microsoft Entra's v1 tokens). */
import { randomUUID } from 'node:crypto';
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  jwtVerify,
  SignJWT,
  type CryptoKey,
  type JWK,
} from 'jose';
import type { Principal } from '../context.js';

type Verdict =
  | { kind: 'valid'; clientId: string; audience: string }
  | { kind: 'expired' }
  | { kind: 'invalid' }
  | { kind: 'audience'; audience: string };

export interface KeyMaterial {
  privateJwk: JWK;
  publicJwk: JWK;
}

/** A new ES256 key with its `kid`. */
export async function newKey(): Promise<KeyMaterial> {
  const pair = await generateKeyPair('ES256', { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  return {
    privateJwk: { ...(await exportJWK(pair.privateKey)), kid, alg: 'ES256' },
    publicJwk: { ...publicJwk, kid, alg: 'ES256', use: 'sig' },
  };
}

const management = ['https://management.azure.com', 'https://management.core.windows.net', 'https://ml.azure.com'];
const storage = 'https://storage.azure.com';

export class TokenIssuer {
  readonly #keys: KeyMaterial;
  readonly #tenantId: string;
  readonly #base: () => string;
  readonly #lifetime: () => number;
  #private: CryptoKey | undefined;
  #public: CryptoKey | undefined;
  readonly #verified = new Map<string, { verdict: Verdict; until: number }>();

  constructor(keys: KeyMaterial, tenantId: string, base: () => string, lifetime: () => number) {
    this.#keys = keys;
    this.#tenantId = tenantId;
    this.#base = base;
    this.#lifetime = lifetime;
  }

  get jwks(): { keys: JWK[] } {
    return { keys: [{ ...this.#keys.publicJwk }] };
  }
  /** Where to sign in. */
  authority(): string {
    return `${this.#base()}/${this.#tenantId}`;
  }
  /** Audiences that the resource manager and the data planes take. */
  audiences(): string[] {
    return [this.#base(), ...management];
  }
  /** `aud` for a resource that can be asked for (scope without `/.default`); `undefined` for an unknown one. */
  audienceFor(resource: string): string | undefined {
    const plain = resource.replace(/\/+$/, '');
    if ([...this.audiences(), storage].includes(plain)) return plain;
    if (/^https:\/\/[a-z0-9]{3,24}\.blob\.core\.(localhost(:\d+)?|windows\.net)$/i.test(plain)) return storage;
    return undefined;
  }

  /** A signed access token for `audience`. `seconds` overrides the lifetime. */
  async mint(principal: Principal, audience: string, seconds = this.#lifetime()): Promise<{ token: string; expiresIn: number }> {
    this.#private ??= (await importJWK(this.#keys.privateJwk, 'ES256')) as CryptoKey;
    const now = Math.floor(Date.now() / 1000);
    const token = await new SignJWT({
      appid: principal.clientId,
      appidacr: '1',
      idp: `https://sts.windows.net/${this.#tenantId}/`,
      idtyp: 'app',
      oid: principal.objectId,
      tid: this.#tenantId,
      uti: randomUUID().replaceAll('-', '').slice(0, 22),
      ver: '1.0',
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: this.#keys.publicJwk.kid ?? '', x5t: this.#keys.publicJwk.kid ?? '' })
      .setAudience(audience)
      .setIssuer(`https://sts.windows.net/${this.#tenantId}/`)
      .setSubject(principal.objectId)
      .setIssuedAt(now)
      .setNotBefore(now - 5)
      .setExpirationTime(now + seconds)
      .sign(this.#private);
    return { token, expiresIn: seconds };
  }

  /** Judges a token for the resource manager and the data planes; verified tokens are remembered until they expire. */
  async verify(token: string): Promise<Verdict> {
    const known = this.#verified.get(token);
    if (known) return known.until > Date.now() ? known.verdict : { kind: 'expired' };
    this.#public ??= (await importJWK(this.#keys.publicJwk, 'ES256')) as CryptoKey;
    try {
      const { payload } = await jwtVerify(token, this.#public, { issuer: `https://sts.windows.net/${this.#tenantId}/` });
      const audience = String(payload.aud);
      const clientId = payload['appid'];
      if (typeof clientId !== 'string') return { kind: 'invalid' };
      if (!this.audiences().includes(audience)) return { kind: 'audience', audience };
      const verdict: Verdict = { kind: 'valid', clientId, audience };
      if (this.#verified.size > 5000) this.#verified.clear();
      this.#verified.set(token, { verdict, until: (payload.exp ?? 0) * 1000 });
      return verdict;
    } catch (error) {
      return { kind: (error as { code?: string }).code === 'ERR_JWT_EXPIRED' ? 'expired' : 'invalid' };
    }
  }
}
