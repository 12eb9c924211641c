/** The one way to Azure DevOps: azure-devops-node-api over the agent's proxy and CA, its token only for the collection's own hosts. */
import { Failure } from '../azure/errors.js';
import { bypasses } from '../azure/http.js';
import { tlsSettings } from '../azure/trust.js';
import type { AgentNetwork } from '../azure/types.js';
// Types only: the package is loaded when first needed, and only the part that is needed.
import type { IRequestHandler, IRequestOptions } from 'azure-devops-node-api/interfaces/common/VsoBaseInterfaces.js';
import type { ClientApiBase } from 'azure-devops-node-api/ClientApiBases.js';

type RestClient = ClientApiBase['rest'];

/** Bearer: an Entra token or the job's own. Basic: a personal access token. */
export type DevOpsToken = { kind: 'bearer'; token: string } | { kind: 'pat'; token: string };

/** What the classes of azure-devops-node-api (BuildApi, TaskAgentApi, …) are made from. */
interface DevOpsAccess {
  collectionUri: string;
  handlers: IRequestHandler[];
  options: IRequestOptions;
}

/**
 * @param collectionUri e.g. `https://dev.azure.com/org/`
 * @throws Failure `DevOpsInsecure` when it is not https
 */
export function access(collectionUri: string, token: DevOpsToken, network: AgentNetwork = {}): DevOpsAccess {
  if (!URL.canParse(collectionUri) || new URL(collectionUri).protocol !== 'https:')
    throw new Failure(`The Azure DevOps address '${collectionUri}' is not an https URL, so the token is not sent there.`, {
      code: 'DevOpsInsecure',
      advice: 'Use the address of the organization, for example https://dev.azure.com/contoso.',
    });
  const hosts = tokenHosts(collectionUri);
  const authorization =
    token.kind === 'bearer' ? `Bearer ${token.token}` : `Basic ${Buffer.from(`:${token.token}`).toString('base64')}`;
  const tls = tlsSettings(network);
  const handler = {
    prepareRequest(options: {
      host?: string;
      port?: number;
      headers?: Record<string, string>;
      agent?: { options?: object; proxyOptions?: object };
    }): void {
      if (hosts.has(`${options.host?.toLowerCase()}:${options.port ?? 443}`))
        options.headers = { ...options.headers, Authorization: authorization, 'X-TFS-FedAuthRedirect': 'Suppress' };
      // The package's own `cert.caFile` would replace the system's roots; the agent's CA is meant to come on top.
      const { agent } = options;
      if (agent) agent.options = { ...agent.options, ...tls };
      if (agent?.proxyOptions) agent.proxyOptions = { ...agent.proxyOptions, ...tls };
    },
    canHandleAuthentication: () => false,
    handleAuthentication: () => Promise.reject(new Error('not used')),
  };
  return {
    collectionUri: collectionUri.endsWith('/') ? collectionUri : `${collectionUri}/`,
    handlers: [handler as unknown as IRequestHandler],
    options: {
      allowRedirects: false, // a bad token answers 302 to the sign-in page (reference azure-devops-rest §1)
      allowRetries: true,
      maxRetries: 3,
      socketTimeout: 30_000,
      ...(network.proxy
        ? {
            proxy: {
              proxyUrl: network.proxy.url,
              // Both or neither: the package would write "undefined" for one that is missing.
              ...(network.proxy.username
                ? { proxyUsername: network.proxy.username, proxyPassword: network.proxy.password ?? '' }
                : {}),
              proxyBypassHosts: directly(collectionUri, network.proxy.bypass),
            },
          }
        : {}),
    },
  };
}

/** The identity service of an organization stands on a host of its own; no other host ever sees the token. */
function tokenHosts(collectionUri: string): Set<string> {
  const hosts = new Set<string>();
  for (const uri of [collectionUri, identityUri(collectionUri)]) {
    const { hostname, port } = new URL(uri);
    hosts.add(`${hostname.toLowerCase()}:${port || 443}`);
  }
  return hosts;
}

/** The hosts that are asked without the proxy, as the package wants them: patterns of whole addresses (the agent's mean host and port). */
function directly(collectionUri: string, bypass: readonly RegExp[]): string[] {
  return [collectionUri, identityUri(collectionUri)]
    .map((uri) => new URL(uri))
    .filter((url) => bypasses(url, bypass))
    .map(({ origin }) => `^${origin.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}/`);
}

/** Where identities of an organization are looked up: `vssps.` beside dev.azure.com and visualstudio.com, else the collection itself. */
export function identityUri(collectionUri: string): string {
  const url = new URL(collectionUri.endsWith('/') ? collectionUri : `${collectionUri}/`);
  if (url.hostname === 'dev.azure.com') url.hostname = 'vssps.dev.azure.com';
  else if (url.hostname.endsWith('.visualstudio.com') && !url.hostname.includes('.vssps.'))
    url.hostname = url.hostname.replace('.visualstudio.com', '.vssps.visualstudio.com');
  return url.href;
}

/** Raw calls for what the package has no method for. Paths are below the collection; `undefined` is the service's "not found". */
export class DevOpsRest {
  constructor(
    private readonly client: RestClient,
    private readonly collectionUri: string,
  ) {}

  get<T>(path: string, apiVersion: string): Promise<T | undefined> {
    return this.#call<T>(`read ${path}`, () => this.client.get<T>(this.#url(path), { acceptHeader: accept(apiVersion) }));
  }
  /** @throws Failure also for 404: what was to be written is not */
  post<T>(path: string, apiVersion: string, body: unknown): Promise<T | undefined> {
    const operation = `write ${path}`;
    return this.#call<T>(operation, async () =>
      there(operation, await this.client.create<T>(this.#url(path), body, { acceptHeader: accept(apiVersion) })),
    );
  }
  /** @throws Failure also for 404 */
  patch<T>(path: string, apiVersion: string, body: unknown): Promise<T | undefined> {
    const operation = `change ${path}`;
    return this.#call<T>(operation, async () =>
      there(operation, await this.client.update<T>(this.#url(path), body, { acceptHeader: accept(apiVersion) })),
    );
  }
  delete(path: string, apiVersion: string): Promise<unknown> {
    return this.#call(`delete ${path}`, () => this.client.del(this.#url(path), { acceptHeader: accept(apiVersion) }));
  }

  #url(path: string): string {
    return new URL(path, this.collectionUri).href;
  }

  async #call<T>(operation: string, send: () => Promise<{ statusCode: number; result: T | null }>): Promise<T | undefined> {
    try {
      const { statusCode, result } = await send();
      if (statusCode === 404) return undefined;
      // A page instead of JSON: the sign-in page (203) or a proxy's.
      if (statusCode === 203) throw signIn(operation, statusCode);
      return result ?? undefined;
    } catch (error) {
      throw devOpsFailure(error, operation);
    }
  }
}

function there<A extends { statusCode: number }>(operation: string, answer: A): A {
  if (answer.statusCode !== 404) return answer;
  throw new Failure(`Azure DevOps refused (${operation}, HTTP 404): it is not there, or the token may not see it.`, {
    code: 'DevOpsRefused',
    status: 404,
    operation,
    advice: 'It may have been deleted meanwhile: look at the difference again.',
  });
}

function accept(apiVersion: string): string {
  return `application/json;api-version=${apiVersion}`;
}

function signIn(operation: string, status: number): Failure {
  return new Failure(`Azure DevOps asked for a sign-in instead of answering (${operation}, HTTP ${status}).`, {
    code: 'DevOpsSignIn',
    status,
    operation,
    advice: 'The token is missing, expired, or of another organization.',
  });
}

/** One wording for everything that goes wrong on the way to Azure DevOps; never carries headers or the token. */
export function devOpsFailure(error: unknown, operation: string): Failure {
  if (error instanceof Failure) return error;
  const { statusCode, message, code } = error as { statusCode?: number; message?: string; code?: string };
  if (statusCode === 302 || statusCode === 203 || statusCode === 401) return signIn(operation, statusCode);
  const text = (message ?? String(error)).replace(/\s+/g, ' ').slice(0, 500);
  if (statusCode !== undefined)
    return new Failure(`Azure DevOps refused (${operation}, HTTP ${statusCode}): ${text}`, {
      code: 'DevOpsRefused',
      status: statusCode,
      operation,
      ...(statusCode === 403 ? { advice: 'The identity of the token lacks the permission that the message names.' } : {}),
    });
  return new Failure(`Azure DevOps did not answer (${operation}): ${text}`, {
    code: code ?? 'DevOpsUnreachable',
    operation,
    advice: 'Check the address, the proxy and the certificate authority of the agent.',
  });
}
