/**
 * Tokens of one connection (reference task-contract C.1-C.5): own requests behind a small cache, because @azure/identity costs a third of
 * the cold start. A federated assertion is asked anew for every refresh; nothing of it is kept here.
 */
import { clientAssertion, readCertificate, type Certificate } from './assertion.js';
import { Failure } from './errors.js';
import { foreignReply } from './foreign.js';
import { backOff, type Http, type HttpRequest, type HttpResponse } from './http.js';
import type { AzureConnection } from './types.js';

interface Token {
  value: string;
  expires: number;
  /** From then on a new one is asked for; the old one serves until `expires` when that fails. */
  refresh: number;
}

const early = 5 * 60_000;

export class Tokens {
  readonly #http: Http;
  readonly #connection: AzureConnection;
  readonly #onSecret: (value: string) => void;
  readonly #tokens = new Map<string, Token>();
  readonly #asking = new Map<string, Promise<Token>>();
  #certificate: Certificate | undefined;

  constructor(http: Http, connection: AzureConnection, onSecret: (value: string) => void) {
    this.#http = http;
    this.#connection = connection;
    this.#onSecret = onSecret;
  }

  /**
   * A token for `scope`, valid for at least a minute where the issuer allows it. One request at a time per scope.
   * Errors: `Failure` with the AADSTS code and what to do about it.
   */
  async get(scope: string, signal?: AbortSignal): Promise<string> {
    signal?.throwIfAborted();
    const now = this.#http.clock.now();
    const known = this.#tokens.get(scope);
    if (known && now < known.refresh) return known.value;
    let asking = this.#asking.get(scope);
    if (!asking) {
      asking = this.#ask(scope).finally(() => this.#asking.delete(scope));
      this.#asking.set(scope, asking);
    }
    try {
      return (await abandon(asking, signal)).value;
    } catch (error) {
      signal?.throwIfAborted();
      if (known && this.#http.clock.now() < known.expires - 5_000) return known.value;
      throw error;
    }
  }

  /** Forgets a token that a service refused, unless it was replaced meanwhile. */
  drop(scope: string, value: string): void {
    if (this.#tokens.get(scope)?.value === value) this.#tokens.delete(scope);
  }

  async #ask(scope: string): Promise<Token> {
    const { credential } = this.#connection;
    const now = this.#http.clock.now();
    const reply =
      credential.kind === 'managedIdentity' ? await this.#managedIdentity(scope, credential.endpoint) : await this.#entra(scope);
    const value = reply['access_token'];
    if (typeof value !== 'string' || value === '') {
      throw new Failure(`The token reply for service connection ${this.#connection.name} holds no access_token.`, {
        code: 'TokenReplyInvalid',
      });
    }
    this.#onSecret(value);
    const life = Math.max(10, Number(reply['expires_in']) || 3600) * 1000;
    const token = { value, expires: now + life, refresh: now + Math.max(life - early, life / 2) };
    this.#tokens.set(scope, token);
    return token;
  }

  async #entra(scope: string): Promise<Record<string, unknown>> {
    const connection = this.#connection;
    const { credential, clientId } = connection;
    if (!clientId) {
      throw new Failure(`Service connection ${connection.name} names no service principal (client id).`, {
        code: 'ConnectionIncomplete',
        advice: 'Open the service connection in the project settings and save it again.',
      });
    }
    const url = `${connection.authority}/${encodeURIComponent(connection.tenantId)}/oauth2/v2.0/token`;
    const form = new URLSearchParams({ client_id: clientId, scope, grant_type: 'client_credentials' });
    const bearer = (assertion: string) => {
      this.#onSecret(assertion);
      form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
      form.set('client_assertion', assertion);
    };
    if (credential.kind === 'secret') {
      this.#onSecret(credential.clientSecret);
      form.set('client_secret', credential.clientSecret);
    } else if (credential.kind === 'certificate') {
      this.#certificate ??= readCertificate(credential.pem, connection.name);
      bearer(clientAssertion(this.#certificate, clientId, url, this.#http.clock.date()));
    } else if (credential.kind === 'federated') {
      bearer(await credential.assertion());
    }
    const response = await this.#http.send({
      method: 'POST',
      url,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: form.toString(),
      // Asking for a token changes nothing: a repeated request is harmless.
      retries: 5,
      timeoutMs: 30_000,
      operation: `sign in as service connection ${connection.name}`,
    });
    const text = response.bytes.toString('utf8');
    const foreign = foreignReply(`sign in as service connection ${connection.name}`, url, { ...response, text }, true);
    if (foreign) throw foreign;
    if (response.status === 200) return parse(text);
    const failure = signInFailure(connection, response.status, text);
    const end = this.#certificate?.notAfter;
    if (end === undefined || end > this.#http.clock.date()) throw failure;
    const advice = `The certificate of the service connection expired on ${new Date(end).toISOString().slice(0, 10)}. Upload a new one to the app registration, and set it in the service connection.`;
    throw new Failure(failure.message, { ...failure.details, advice });
  }

  /** Reference task-contract C.1: IMDS, api-version 2018-02-01. The reply carries numbers as text. */
  async #managedIdentity(scope: string, endpoint = 'http://169.254.169.254'): Promise<Record<string, unknown>> {
    const query = new URLSearchParams({ 'api-version': '2018-02-01', resource: scope.replace(/\/\.default$/, '') });
    if (this.#connection.clientId) query.set('client_id', this.#connection.clientId);
    const operation = `ask the agent machine's managed identity for a token (service connection ${this.#connection.name})`;
    const advice =
      'Managed identity works only on a self-hosted agent that runs on an Azure virtual machine with an identity assigned to it.';
    let response;
    for (let attempt = 0; ; attempt++) {
      try {
        response = await this.#http.send({
          method: 'GET',
          url: `${endpoint}/metadata/identity/oauth2/token?${query.toString()}`,
          headers: { Metadata: 'true' },
          plainHttp: true,
          retries: 3,
          timeoutMs: 10_000,
          operation,
        });
      } catch (error) {
        throw new Failure(`Could not ${operation}: the identity endpoint does not answer.`, {
          code: 'ManagedIdentityUnavailable',
          advice,
          cause: error,
        });
      }
      // The endpoint answers 404 and 410 while it is being updated.
      if ((response.status !== 404 && response.status !== 410) || attempt >= 4) break;
      await this.#http.clock.sleep(1000 * 2 ** attempt);
    }
    const text = response.bytes.toString('utf8');
    if (response.status === 200) return parse(text);
    const reply = parse(text);
    const said =
      [reply['error_description'], reply['error']].find((word) => typeof word === 'string') ?? `HTTP ${response.status}`;
    throw new Failure(`Could not ${operation}: ${said}`, {
      code: 'ManagedIdentityRefused',
      status: response.status,
      operation,
      advice,
    });
  }
}

/**
 * Sends with a token of `scope`, which `put` writes into the headers. A refused token (401) changed nothing: a new one is tried once; where
 * the service says "expired", as it does while its own caches lag, more often. Gives any final status.
 */
export async function sendWithToken(
  http: Http,
  tokens: Pick<Tokens, 'get' | 'drop'>,
  scope: string,
  request: Omit<HttpRequest, 'prepare'>,
  put: (headers: Record<string, string>, token: string) => void,
): Promise<HttpResponse> {
  let used = '';
  const sending: HttpRequest = {
    ...request,
    prepare: async (headers) => {
      used = await tokens.get(scope, request.signal);
      put(headers, used);
    },
  };
  let reply = await http.send(sending);
  for (let refused = 0; reply.status === 401; refused++) {
    // A reply to HEAD has no text; storage gives the code beside it.
    const said = `${reply.headers['x-ms-error-code'] ?? ''} ${reply.bytes.toString('utf8')}`;
    if (refused >= (/expir|^InvalidAuthenticationInfo/i.test(said) ? 4 : 1)) break;
    tokens.drop(scope, used);
    if (refused > 0) await http.clock.sleep(backOff(refused - 1), request.signal);
    const again = await http.send(sending);
    reply = { ...again, ambiguous: reply.ambiguous || again.ambiguous };
  }
  return reply;
}

/** Waits for a shared promise, but not longer than this caller wants to. */
async function abandon<T>(shared: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return shared;
  let leave: (() => void) | undefined;
  const left = new Promise<never>((_, reject) => {
    leave = () => reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([shared, left]);
  } finally {
    if (leave) signal.removeEventListener('abort', leave);
  }
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** What to do about an error of Microsoft Entra (reference task-contract C.5, 6). */
const signInAdvice: Record<string, string> = {
  AADSTS70021:
    'No federated credential of the app registration matches. Compare issuer and subject below with those shown by the service connection, and correct the federated credential.',
  AADSTS700211:
    'The app registration has no federated credential with this issuer. Copy the issuer that the service connection shows into the federated credential.',
  AADSTS700213:
    'The app registration has no federated credential with this subject. Copy the subject that the service connection shows into the federated credential (it changes when the connection is renamed or shared).',
  AADSTS700223:
    'The federated credential was refused. Compare its issuer, subject and audience with those that the service connection shows.',
  AADSTS7000215:
    "The client secret is wrong (often the secret's id was pasted instead of its value). Set the secret of the service connection again, or move to workload identity federation, which has no secret.",
  AADSTS7000222:
    'The client secret has expired. Make a new one and set it in the service connection, or move to workload identity federation, which has no secret.',
  AADSTS700016:
    'The application is not known in this tenant. Check the client id and the tenant id of the service connection; the service principal may have been deleted.',
  AADSTS90002: 'The tenant is not known. Check the tenant id of the service connection, and its cloud (environment).',
  AADSTS700024:
    'The assertion was outside its time of validity. Set the clock of a self-hosted agent right; running the step again attaches to the same job.',
  AADSTS700027:
    "The certificate was refused: it has expired, or is not one of the app registration's. Upload it there, or set the new one in the service connection.",
  AADSTS500011:
    'The tenant does not know the resource that the token is for. Check the cloud (environment) and the server URL of the service connection, and its tenant.',
  AADSTS50034: 'The account is not known in this tenant. Check the tenant id of the service connection.',
  AADSTS53003:
    "A conditional access policy blocks this sign-in (location or risk). Ask the tenant's administrators for an exception for workload identities.",
};

function signInFailure(connection: AzureConnection, status: number, text: string): Failure {
  const reply = parse(text);
  const description = typeof reply['error_description'] === 'string' ? reply['error_description'] : '';
  const code = /AADSTS\d+/.exec(description)?.[0] ?? (typeof reply['error'] === 'string' ? reply['error'] : `Http${status}`);
  const operation = `sign in as service connection ${connection.name}`;
  const said = description.split(/\r?\n/)[0]?.replace(/\s*Trace ID:.*$/, '') || text.slice(0, 300) || `HTTP ${status}`;
  const correlationId = typeof reply['correlation_id'] === 'string' ? reply['correlation_id'] : undefined;
  return new Failure(`Could not ${operation}: ${said}`, {
    code,
    status,
    operation,
    advice:
      signInAdvice[code] ??
      'Check the service connection in the project settings ("Verify"), its tenant and its service principal.',
    ...(correlationId ? { correlationId } : {}),
  });
}
