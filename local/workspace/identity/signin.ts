/** Sign-in: token endpoint, OpenID configuration, cloud metadata. Refusals carry Entra's AADSTS codes. */
import { createHash, randomUUID, timingSafeEqual, X509Certificate } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, importJWK, importX509, jwtVerify, type CryptoKey, type JWK } from 'jose';
import type { Answer, Call, Ctx, Principal } from '../context.js';
import type { Router } from '../router.js';

/** A service principal as stored: `secretHash` = sha256 hex of its client secret. */
export interface StoredPrincipal extends Principal {
  secretHash: string;
  /** Names of the service connections that may present a federated assertion for it. */
  connections: string[];
  /** PEM certificates registered for certificate assertions. */
  certificates?: string[];
}

/** Who may vouch for pipelines: the OIDC issuer of the local agent harness. */
interface Federation {
  issuer: string;
  audience: string;
  publicJwk: JWK;
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    readonly number: number,
    message: string,
  ) {
    super(message);
  }
}

function refusal({ status, error, number, message }: Refusal, now: Date): Answer {
  const [trace, correlation] = [randomUUID(), randomUUID()];
  const timestamp = now.toISOString().replace('T', ' ').replace(/\.\d+/, '');
  return {
    status,
    body: {
      error,
      error_description: `AADSTS${number}: ${message} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
      error_codes: [number],
      timestamp,
      trace_id: trace,
      correlation_id: correlation,
      error_uri: `https://login.microsoftonline.com/error?code=${number}`,
    },
  };
}

function form(body: unknown): URLSearchParams {
  return new URLSearchParams(Buffer.isBuffer(body) ? body.toString('utf8') : '');
}

function need(values: URLSearchParams, name: string): string {
  const value = values.get(name);
  if (value) return value;
  throw new Refusal(400, 'invalid_request', 900144, `The request body must contain the following parameter: '${name}'.`);
}

function sameSecret(secret: string, hash: string): boolean {
  return timingSafeEqual(createHash('sha256').update(secret).digest(), Buffer.from(hash, 'hex'));
}

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

async function checkAssertion(
  assertion: string,
  principal: StoredPrincipal,
  federation: Federation,
  endpoints: string[],
): Promise<void> {
  let claims: ReturnType<typeof decodeJwt>;
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    claims = decodeJwt(assertion);
    header = decodeProtectedHeader(assertion);
  } catch (_error) {
    throw new Refusal(400, 'invalid_request', 50027, 'JWT token is invalid or malformed.');
  }
  const now = Date.now() / 1000;
  const stale = () =>
    new Refusal(
      401,
      'invalid_client',
      700024,
      'Client assertion is not within its valid time range. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .',
    );
  if (typeof claims.exp !== 'number' || claims.exp < now || (claims.nbf ?? 0) > now + 300) throw stale();
  if (claims.iss === principal.clientId) {
    const certificate = principal.certificates?.find((pem) => {
      const parsed = new X509Certificate(pem);
      const sha1 = createHash('sha1').update(parsed.raw).digest('base64url');
      const sha256 = createHash('sha256').update(parsed.raw).digest('base64url');
      return header['x5t'] === sha1 || header['x5t#S256'] === sha256;
    });
    const wrong = (why: string) =>
      new Refusal(
        401,
        'invalid_client',
        700027,
        `The certificate with identifier used to sign the client assertion is not registered on application. [Reason - ${why}]`,
      );
    if (!certificate) throw wrong('The key was not found.');
    await jwtVerify(assertion, await importX509(certificate, String(header.alg)), {
      audience: endpoints,
      subject: principal.clientId,
      clockTolerance: 300, // as above: the official client rounds its clock up
    }).catch(() => {
      throw wrong('The key used is found, but the signature, audience or subject does not fit.');
    });
    return;
  }
  if (claims.iss !== federation.issuer)
    throw new Refusal(
      401,
      'invalid_client',
      700211,
      `No matching federated identity record found for presented assertion issuer '${String(claims.iss)}'.`,
    );
  const subject = String(claims.sub);
  if (!principal.connections.some((name) => subject.startsWith('sc://') && subject.endsWith(`/${name}`)))
    throw new Refusal(
      401,
      'invalid_client',
      700213,
      `No matching federated identity record found for presented assertion subject '${subject}'.`,
    );
  const audience = Array.isArray(claims.aud) ? claims.aud.join(',') : String(claims.aud);
  if (audience !== federation.audience)
    throw new Refusal(
      401,
      'invalid_client',
      700212,
      `No matching federated identity record found for presented assertion audience '${audience}'.`,
    );
  await jwtVerify(assertion, (await importJWK(federation.publicJwk, 'ES256')) as CryptoKey, { clockTolerance: 300 }).catch(() => {
    throw new Refusal(401, 'invalid_client', 50013, 'Assertion failed signature validation.');
  });
}

/** Registers sign-in and the documents that need no token. */
export function registerSignIn(router: Router, ctx: Ctx, federation: Federation): void {
  const tenantNames = () => [ctx.world.tenantId, 'common', 'organizations'];
  const configuration = (tenant: string): Answer => {
    const at = `${ctx.urls.base}/${tenant}`;
    if (!tenantNames().includes(tenant.toLowerCase()))
      return refusal(
        new Refusal(
          400,
          'invalid_tenant',
          90002,
          `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.`,
        ),
        ctx.clock.now(),
      );
    return {
      body: {
        issuer: `${ctx.urls.base}/${ctx.world.tenantId}/v2.0`,
        token_endpoint: `${at}/oauth2/v2.0/token`,
        authorization_endpoint: `${at}/oauth2/v2.0/authorize`,
        device_authorization_endpoint: `${at}/oauth2/v2.0/devicecode`,
        jwks_uri: `${at}/discovery/v2.0/keys`,
        token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic'],
        response_types_supported: ['code', 'id_token', 'token'],
        subject_types_supported: ['pairwise'],
        id_token_signing_alg_values_supported: ['ES256'],
        scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
        tenant_region_scope: 'EU',
      },
    };
  };
  for (const path of ['/:tenant/v2.0/.well-known/openid-configuration', '/:tenant/.well-known/openid-configuration'])
    router.anonymous('GET', path, (call) => configuration(call.params['tenant'] ?? ''));
  router.anonymous('GET', '/:tenant/discovery/v2.0/keys', () => ({ body: ctx.issuer.jwks }));
  router.anonymous('GET', '/common/discovery/instance', (call) => ({
    body: {
      tenant_discovery_endpoint: call.query['authorization_endpoint']?.replace(
        /\/oauth2\/.*$/,
        '/v2.0/.well-known/openid-configuration',
      ),
      'api-version': '1.1',
      metadata: [
        {
          preferred_network: `localhost:${ctx.urls.port}`,
          preferred_cache: `localhost:${ctx.urls.port}`,
          aliases: [`localhost:${ctx.urls.port}`],
        },
      ],
    },
  }));

  const token = async (call: Omit<Call, 'principal'>, version: 1 | 2): Promise<Answer> => {
    try {
      const values = form(call.body);
      const tenant = call.params['tenant'] ?? '';
      if (!tenantNames().includes(tenant.toLowerCase()))
        throw new Refusal(
          400,
          'invalid_request',
          90002,
          `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.`,
        );
      const grant = need(values, 'grant_type');
      if (grant !== 'client_credentials')
        throw new Refusal(400, 'unsupported_grant_type', 70003, `The app requested an unsupported grant type '${grant}'.`);
      const clientId = need(values, 'client_id');
      const principal = ctx.world.principal(clientId) as StoredPrincipal | undefined;
      if (!principal)
        throw new Refusal(
          400,
          'unauthorized_client',
          700016,
          `Application with identifier '${clientId}' was not found in the directory '${tenant}'.`,
        );
      const secret = values.get('client_secret');
      const assertion = values.get('client_assertion');
      if (assertion !== null) {
        if (values.get('client_assertion_type') !== assertionType)
          throw new Refusal(
            400,
            'invalid_request',
            900144,
            `The request body must contain the following parameter: 'client_assertion_type'.`,
          );
        const at = `${ctx.urls.base}/${tenant}`;
        await checkAssertion(assertion, principal, federation, [`${at}/oauth2/v2.0/token`, `${at}/oauth2/token`, `${at}/v2.0`]);
      } else if (secret === null)
        throw new Refusal(
          401,
          'invalid_client',
          7000218,
          `The request body must contain the following parameter: 'client_assertion' or 'client_secret'.`,
        );
      else if (!sameSecret(secret, principal.secretHash))
        throw new Refusal(
          401,
          'invalid_client',
          7000215,
          `Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '${clientId}'.`,
        );
      const scope = version === 1 ? `${need(values, 'resource')}/.default` : need(values, 'scope');
      const wanted = scope.split(' ').filter((entry) => !['openid', 'profile', 'offline_access', 'email'].includes(entry));
      const first = wanted[0] ?? '';
      if (wanted.length !== 1 || !first.endsWith('/.default'))
        throw new Refusal(
          400,
          'invalid_scope',
          1002012,
          `The provided value for scope ${scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).`,
        );
      const resource = first.slice(0, -'/.default'.length);
      const audience = ctx.issuer.audienceFor(resource);
      if (audience === undefined)
        throw new Refusal(
          400,
          'invalid_resource',
          500011,
          `The resource principal named ${resource} was not found in the tenant named ${tenant}.`,
        );
      const { token: access, expiresIn } = await ctx.issuer.mint(principal, audience);
      const expires = Math.floor(Date.now() / 1000) + expiresIn;
      return {
        headers: { 'Cache-Control': 'no-store, no-cache', Pragma: 'no-cache' },
        body: {
          token_type: 'Bearer',
          expires_in: version === 1 ? String(expiresIn) : expiresIn,
          ext_expires_in: version === 1 ? String(expiresIn) : expiresIn,
          ...(version === 1 ? { expires_on: String(expires), not_before: String(expires - expiresIn - 300), resource } : {}),
          access_token: access,
        },
      };
    } catch (error) {
      if (error instanceof Refusal) return refusal(error, ctx.clock.now());
      throw error;
    }
  };
  router.anonymous('POST', '/:tenant/oauth2/v2.0/token', (call) => token(call, 2));
  router.anonymous('POST', '/:tenant/oauth2/token', (call) => token(call, 1));

  router.anonymous('GET', '/metadata/endpoints', (call) => {
    const cloud = {
      name: 'Local',
      portal: ctx.urls.base,
      resourceManager: `${ctx.urls.base}/`,
      authentication: {
        loginEndpoint: `${ctx.urls.base}/`,
        audiences: [`${ctx.urls.base}/`],
        tenant: ctx.world.tenantId,
        identityProvider: 'AAD',
      },
      suffixes: { storage: `core.localhost:${ctx.urls.storagePort}` },
    };
    // A list in 2019, one document since, and other names in the oldest one.
    if (call.apiVersion.startsWith('2015')) {
      const { loginEndpoint, audiences } = cloud.authentication;
      const gallery = {
        galleryEndpoint: `${ctx.urls.base}/`,
        graphEndpoint: `${ctx.urls.base}/`,
        portalEndpoint: `${ctx.urls.base}/`,
      };
      return { body: { ...gallery, authentication: { loginEndpoint, audiences } } };
    }
    return { body: call.apiVersion >= '2019' && call.apiVersion < '2022' ? [cloud] : cloud };
  });
}
