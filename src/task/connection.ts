/** A service connection of the agent as an AzureConnection (reference task-contract C.1, C.2): every scheme, any cloud from its own data. */
import { Failure } from '../azure/errors.js';
import { foreignReply } from '../azure/foreign.js';
import { Http } from '../azure/http.js';
import type { AgentNetwork, AzureConnection } from '../azure/types.js';
import { networkOf } from './network.js';
import type { Platform, ServiceEndpoint } from './platform.js';

export interface TaskConnection {
  azure: AzureConnection;
  /** What the connection itself is scoped to; a workspace-scoped one needs no names as inputs. */
  resourceGroup?: string;
  workspace?: string;
}

/** Public authority of the clouds that a connection may name without saying where it is. */
const authorities: Record<string, string> = {
  azurecloud: 'https://login.microsoftonline.com',
  azurechinacloud: 'https://login.chinacloudapi.cn',
  azureusgovernment: 'https://login.microsoftonline.us',
};

/** Errors: `Failure` naming the service connection and what it lacks. Nothing is sent. */
export function connectionOf(endpoint: ServiceEndpoint, platform: Platform): TaskConnection {
  const { parameters, data } = endpoint;
  const name = data['subscriptionname'] ? `${endpoint.id} (${data['subscriptionname']})` : endpoint.id;
  const cloud = (data['environment'] ?? 'AzureCloud').toLowerCase();
  const authority = data['activedirectoryauthority'] ?? authorities[cloud] ?? data['environmentauthorityurl'];
  const bad = (what: string, advice: string) =>
    new Failure(`Service connection ${name} ${what}`, { code: 'ConnectionUnusable', advice });
  if (!authority)
    throw bad(
      `is for the cloud "${data['environment']}" and names no authority.`,
      'Save the service connection again in the project settings.',
    );
  const scheme = endpoint.scheme.toLowerCase();
  const tenantId = parameters['tenantid'] ?? data['tenantid'] ?? '';
  const clientId =
    scheme === 'managedserviceidentity' ? data['msiclientid'] : (parameters['serviceprincipalid'] ?? data['serviceprincipalid']);
  if (!tenantId && scheme !== 'managedserviceidentity')
    throw bad('names no tenant.', 'Save the service connection again in the project settings.');
  for (const secret of [parameters['serviceprincipalkey'], parameters['serviceprincipalcertificate']])
    if (secret) platform.secret(secret);
  const network = networkOf(platform);
  const resource = data['activedirectoryserviceendpointresourceid'];
  const azure: AzureConnection = {
    name,
    resourceManager: trimSlash(endpoint.url),
    authority: trimSlash(authority),
    ...(cloud === 'azurestack' && resource ? { scope: `${trimSlash(resource)}/.default` } : {}),
    tenantId,
    ...(clientId ? { clientId } : {}),
    ...(data['subscriptionid'] ? { subscriptionId: data['subscriptionid'] } : {}),
    credential: credentialOf(),
    ...network,
  };
  const scope = parameters['scope'] ?? data['scope'] ?? '';
  const resourceGroup = data['resourcegroupname'] ?? /\/resourcegroups\/([^/]+)/i.exec(scope)?.[1];
  const workspace = data['mlworkspacename'] ?? /\/workspaces\/([^/]+)/i.exec(scope)?.[1];
  return { azure, ...(resourceGroup ? { resourceGroup } : {}), ...(workspace ? { workspace } : {}) };

  function credentialOf(): AzureConnection['credential'] {
    if (scheme === 'workloadidentityfederation')
      return { kind: 'federated', assertion: assertionSource(endpoint.id, platform, network) };
    if (scheme === 'managedserviceidentity') return { kind: 'managedIdentity' };
    if (scheme === 'serviceprincipal') {
      const pem = parameters['serviceprincipalcertificate'];
      const clientSecret = parameters['serviceprincipalkey'];
      if (parameters['authenticationtype']?.toLowerCase() === 'spncertificate' || (!clientSecret && pem)) {
        if (pem) return { kind: 'certificate', pem };
        throw bad('holds no certificate.', 'Upload the certificate with its private key as one PEM text.');
      }
      if (clientSecret) return { kind: 'secret', clientSecret };
      throw bad('holds no client secret.', 'Set the secret again, or convert the connection to workload identity federation.');
    }
    throw bad(
      `uses the scheme ${endpoint.scheme}, which cannot reach Azure Machine Learning.`,
      'Use an Azure Resource Manager connection with workload identity federation, a service principal or a managed identity.',
    );
  }
}

function trimSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

/**
 * Assertions of a federated connection: a plain POST to the collection (reference task-contract C.2), kept until 60 s before they expire,
 * because a token refresh must never use an old one (AADSTS700024).
 */
export function assertionSource(
  connectionId: string,
  platform: Platform,
  network: AgentNetwork,
): (signal?: AbortSignal) => Promise<string> {
  let kept: { value: string; until: number } | undefined;
  let http: Http | undefined;
  return async (signal) => {
    if (kept && platform.clock.now() < kept.until) return kept.value;
    const url = oidcUrl(connectionId, platform);
    const token = platform.endpoint('SYSTEMVSSCONNECTION')?.parameters['accesstoken'] ?? platform.variable('System.AccessToken');
    if (!token) {
      throw new Failure("The job's own token (System.AccessToken) did not reach this task.", {
        code: 'JobTokenMissing',
        advice: 'Run the task in an Azure Pipelines job.',
      });
    }
    http ??= new Http({ network, clock: platform.clock });
    const operation = `ask Azure DevOps for an assertion of service connection ${connectionId}`;
    const response = await http.send({
      method: 'POST',
      url,
      headers: {
        Authorization: `Bearer ${token}`,
        'Content-Type': 'application/json',
        Accept: 'application/json',
        'X-TFS-FedAuthRedirect': 'Suppress',
      },
      body: '',
      retries: 5,
      timeoutMs: 30_000,
      signal,
      operation,
    });
    const text = response.bytes.toString('utf8');
    // Azure DevOps answers 203 and its sign-in page to a token that it does not take.
    const foreign = response.status === 203 ? undefined : foreignReply(operation, url, { ...response, text }, true);
    if (foreign) throw foreign;
    if (response.status !== 200) throw assertionFailure(operation, response.status, text);
    const value = field(text, 'oidcToken');
    if (!value)
      throw new Failure(`Could not ${operation}: the reply holds no oidcToken.`, { code: 'AssertionInvalid', operation });
    platform.secret(value);
    const claims = Buffer.from(value.split('.')[1] ?? '', 'base64url').toString('utf8');
    // How long it lives by the issuer's own clock: this machine's may be hours off.
    const made = Number(field(claims, 'iat') ?? platform.clock.date() / 1000);
    const life = (Number(field(claims, 'exp')) - made) * 1000;
    kept = { value, until: platform.clock.now() + (Number.isFinite(life) ? life - 60_000 : 60_000) };
    return value;
  };
}

/** The address, refused unless https and of the collection's host: the job's token goes there, and earlier steps can overwrite variables. */
function oidcUrl(connectionId: string, platform: Platform): string {
  const request = platform.variable('System.OidcRequestUri');
  if (!request) {
    throw new Failure('The agent gave no address for federated assertions (System.OidcRequestUri).', {
      code: 'OidcUnavailable',
      advice:
        'Workload identity federation needs Azure DevOps Services (or Server 2025) and a current agent. Use a service principal with a secret or certificate instead.',
    });
  }
  const own = platform.endpoint('SYSTEMVSSCONNECTION')?.url;
  const homes = [platform.variable('System.CollectionUri'), own].filter(
    (url) => url !== undefined && URL.canParse(url),
  ) as string[];
  const url = URL.canParse(request) ? new URL(request) : undefined;
  if (url?.protocol !== 'https:' || !homes.some((home) => new URL(home).host === url.host)) {
    throw new Failure(`The job's token is not sent to ${url?.host ?? request}: it is not the host of this collection.`, {
      code: 'UntrustedHost',
      advice: 'Some earlier step has overwritten SYSTEM_OIDCREQUESTURI. Find out which, and why.',
    });
  }
  url.searchParams.set('api-version', '7.1');
  url.searchParams.set('serviceConnectionId', connectionId);
  return url.href;
}

function assertionFailure(operation: string, status: number, text: string): Failure {
  const said = field(text, 'message') ?? `HTTP ${status}`;
  const advice =
    status === 401 || status === 203
      ? "The job's own token has expired (after a day or two). Submit with `action: submit`, and attach to the job from a later run."
      : 'Check that this pipeline may use the service connection.';
  return new Failure(`Could not ${operation}: ${said}`, { code: 'AssertionRefused', status, operation, advice });
}

function field(text: string, name: string): string | undefined {
  try {
    const value = (JSON.parse(text) as Record<string, unknown> | null)?.[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  } catch {
    return undefined;
  }
}
