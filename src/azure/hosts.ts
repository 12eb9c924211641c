/** Which hosts may see a token of a connection. Foreign data (a log URL, a nextLink, a datastore's endpoint) never widens the circle. */
import { Failure } from './errors.js';
import type { AzureConnection } from './types.js';

/** Domains of the Azure ML service itself, beside the resource manager (reference azure-ml-rest §0, observed §9: operations move hosts). */
const serviceDomains = [
  'azureml.ms',
  'azureml.net',
  'api.ml.azure.cn',
  'api.ml.azure.us',
  'ml.azure.cn',
  'ml.azure.us',
  'ml.azure.com',
];
/** Names inside them whose servers belong to whoever made them: online endpoints and compute instances. */
const guests = /\.(inference|instances)\./;
/** Resource managers whose domain holds names that anybody may take (`*.cloudapp.azure.com`). */
const sharedDomains = ['azure.com', 'chinacloudapi.cn', 'usgovcloudapi.net', 'microsoftazure.de'];
/** Blob storage of the public clouds. */
const storageDomains = [
  'core.windows.net',
  'core.chinacloudapi.cn',
  'core.usgovcloudapi.net',
  'core.cloudapi.de',
  'storage.azure.net',
];

const below = (host: string, domain: string) => host === domain || host.endsWith(`.${domain}`);

export class Hosts {
  readonly #trusted = new Set<string>();
  readonly #manager: URL;
  readonly #name: string;

  constructor(connection: AzureConnection) {
    this.#manager = secure(connection.resourceManager, `the resource manager of service connection ${connection.name}`);
    secure(connection.authority, `the authority of service connection ${connection.name}`);
    this.#name = connection.name;
    this.#trusted.add(this.#manager.host);
  }

  /** `host` as `name[:port]`. */
  trust(host: string): void {
    this.#trusted.add(host.toLowerCase());
  }

  /** Throws before anything is sent. */
  check(url: URL): void {
    if (url.protocol !== 'https:') throw this.#refusal(url, 'it is not https');
    if (this.#trusted.has(url.host)) return;
    const ownCloud = !below(this.#manager.hostname, 'localhost');
    const service = serviceDomains.some((domain) => below(url.hostname, domain)) && !guests.test(url.hostname);
    if (ownCloud && url.port === '' && service) return;
    throw this.#refusal(url, 'nothing that this connection was told leads there');
  }

  /** A container's address gets storage tokens only inside the clouds' storage domains, or the resource manager's own domain (Azure Stack, local). */
  checkStorage(url: URL): void {
    if (url.protocol !== 'https:') throw this.#refusal(url, 'it is not https');
    const { hostname } = this.#manager;
    const own = below(hostname, 'localhost') || hostname === '127.0.0.1' ? 'localhost' : hostname.split('.').slice(1).join('.');
    if (storageDomains.some((domain) => below(url.hostname, domain))) return;
    const mayServe = own === 'localhost' || (own.includes('.') && !sharedDomains.includes(own));
    if (mayServe && below(url.hostname, own)) return;
    throw this.#refusal(url, 'it is no storage address of this cloud');
  }

  #refusal(url: URL, why: string): Failure {
    return new Failure(`A token of service connection ${this.#name} is not sent to ${url.protocol}//${url.host}: ${why}.`, {
      code: 'UntrustedHost',
      advice:
        "If that address is right, it must come from the service connection or from the workspace's own discovery document; see where it was configured.",
    });
  }
}

function secure(address: string, what: string): URL {
  let url: URL | undefined;
  try {
    url = new URL(address);
  } catch {
    url = undefined;
  }
  if (url?.protocol === 'https:' && !url.username) return url;
  throw new Failure(`${what} is not an https address: ${address || '(empty)'}.`, {
    code: 'ConnectionInvalid',
    advice: 'Correct the service connection (server URL, cloud) in the project settings.',
  });
}
