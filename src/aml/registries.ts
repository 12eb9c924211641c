/** Models of a registry over its data plane (reference azure-ml-rest §3.2, azure-ml-observed §9). */
import { Failure } from '../azure/errors.js';
import type { BlobAuth } from '../azure/types.js';
import { BlobModelFiles } from './models-files.js';
import { LazyFiles, modelInfo, type ModelInfo, type ModelsOptions, type VersionBody } from './models.js';
import { parseBlobUri } from './uris.js';
import type { Workspace } from './workspace.js';

const apiVersion = '2021-10-01-dataplanepreview';

interface RegistryFacts {
  name: string;
  regions: string[];
  /** Base of the asset routes. */
  base: string;
}

/** A registry as one connection sees it: `workspace` leads to the regional data plane and signs the requests. */
export class RegistryModels {
  readonly place: { kind: 'registry'; id: string; name: string };
  #facts: Promise<RegistryFacts> | undefined;
  constructor(
    private readonly workspace: Workspace,
    registry: string,
    private readonly options: ModelsOptions = {},
  ) {
    this.place = { kind: 'registry', id: `azureml://registries/${registry}`, name: registry };
  }

  get #signal(): { signal?: AbortSignal } {
    return this.options.signal ? { signal: this.options.signal } : {};
  }

  /** Where the registry is. Errors: `Failure` when it is unknown or this connection may not see it. */
  facts(): Promise<RegistryFacts> {
    this.#facts ??= this.#discover();
    this.#facts.catch(() => (this.#facts = undefined));
    return this.#facts;
  }

  async #discover(): Promise<RegistryFacts> {
    const { azure } = this.workspace;
    const { api } = await this.workspace.facts(this.options.signal);
    const { name } = this.place;
    const { body } = await azure
      .request<Discovery>({
        method: 'GET',
        url: `${api}/registrymanagement/v1.0/registries/${encodeURIComponent(name)}/discovery`,
        apiVersion: null,
        operation: `find the registry ${name} with connection ${azure.connection.name}`,
        ...this.#signal,
      })
      .catch((error: unknown) => {
        // The service does not tell an unknown registry from one that this principal may not see.
        if (!(error instanceof Failure) || (error.details.status !== 403 && error.details.status !== 404)) throw error;
        throw new Failure(error.message, {
          ...error.details,
          code: error.code,
          advice: `Check the name of the registry, and give the principal of service connection ${azure.connection.name} the role "AzureML Registry User" on it.`,
          cause: error,
        });
      });
    const { primaryRegionResourceProviderUri: provider, subscriptionId, resourceGroup } = body;
    if (!provider?.startsWith('https://') || !subscriptionId || !resourceGroup)
      throw new Failure(`The registry ${name} does not say where its data plane is.`, { code: 'RegistryIncomplete' });
    azure.trustHost(new URL(provider).host);
    return {
      name: body.registryName ?? name,
      regions: body.regions ?? [],
      base: `${provider.replace(/\/+$/, '')}/mferp/managementfrontend/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/providers/Microsoft.MachineLearningServices/registries/${body.registryName ?? name}`,
    };
  }

  #id(name: string, version: string): string {
    return `${this.place.id}/models/${name}/versions/${version}`;
  }

  async version(name: string, version: string): Promise<ModelInfo | undefined> {
    const { base } = await this.facts();
    const { status, body } = await this.workspace.azure.request<VersionBody>({
      method: 'GET',
      url: `${base}/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`,
      apiVersion,
      accept: [404],
      operation: `read model ${name}:${version} of registry ${this.place.name}`,
      ...this.#signal,
    });
    return status === 404 ? undefined : modelInfo(body, name, version, this.#id(name, version));
  }

  async versions(name: string): Promise<ModelInfo[]> {
    const { base } = await this.facts();
    const operation = `list versions of model ${name} in registry ${this.place.name}`;
    const { azure } = this.workspace;
    const first = await azure.request<{ value?: VersionBody[]; nextLink?: string | null }>({
      method: 'GET',
      url: `${base}/models/${encodeURIComponent(name)}/versions`,
      apiVersion,
      accept: [404],
      operation,
      ...this.#signal,
    });
    if (first.status === 404) return [];
    const bodies = [...(first.body.value ?? [])];
    if (first.body.nextLink)
      for await (const body of azure.list<VersionBody>({
        method: 'GET',
        url: first.body.nextLink,
        apiVersion: null,
        operation,
        ...this.#signal,
      }))
        bodies.push(body);
    return bodies.map((body) => {
      // `name` of a registry model is the model's, not the version's (observed §9): the id tells.
      const version = /\/versions\/([^/]+)$/.exec(body.id ?? '')?.[1] ?? body.name ?? '';
      return modelInfo(body, name, version, this.#id(name, version));
    });
  }

  async byId(id: string): Promise<ModelInfo | undefined> {
    const match = /^azureml:\/\/registries\/([^/]+)\/models\/([^/]+)\/versions\/([^/]+)$/i.exec(id);
    return match && match[1]!.toLowerCase() === this.place.name.toLowerCase() ? this.version(match[2]!, match[3]!) : undefined;
  }

  files(model: { uri: string; name: string; version: string }): LazyFiles {
    return new LazyFiles(() => this.#open(model));
  }

  async #open(model: { uri: string; name: string; version: string }): Promise<BlobModelFiles> {
    const blob = parseBlobUri(model.uri);
    if (!blob)
      throw new Failure(
        `The registry ${this.place.name} gives ${model.uri} for ${model.name}:${model.version}, which is no blob address.`,
        { code: 'UriInvalid' },
      );
    const { auth, containerUrl = blob.containerUrl } = await this.#readAccess(model);
    return new BlobModelFiles(
      this.workspace.azure.blobs(containerUrl, auth),
      blob.path.replace(/^\/+|\/+$/g, ''),
      `${model.name}:${model.version}`,
      this.options.signal,
    );
  }

  /** A read reference for the version's blobs: a SAS, asked for again when it has expired, or no credential (then the connection's own identity reads). */
  async #readAccess(model: { uri: string; name: string; version: string }): Promise<{ auth: BlobAuth; containerUrl?: string }> {
    const { base } = await this.facts();
    const { body } = await this.workspace.azure.request<{
      blobReferenceForConsumption?: {
        blobUri?: string;
        credential?: { credentialType?: string; sasUri?: string | null } | null;
      } | null;
    }>({
      method: 'POST',
      url: `${base}/datarefs/${encodeURIComponent(model.name)}/versions/${encodeURIComponent(model.version)}`,
      apiVersion,
      body: { assetId: this.#id(model.name, model.version), blobUri: model.uri },
      // It writes nothing.
      retries: 5,
      operation: `get read access to model ${model.name}:${model.version} of registry ${this.place.name}`,
      ...this.#signal,
    });
    const sas = body.blobReferenceForConsumption?.credential?.sasUri;
    if (!sas) return { auth: { kind: 'entra' } };
    const next = async (): Promise<BlobAuth> => (await this.#readAccess(model)).auth;
    const auth: BlobAuth = { kind: 'sas', token: new URL(sas).search, renewal: { next } };
    const containerUrl = parseBlobUri(sas)?.containerUrl;
    return { auth, ...(containerUrl === undefined ? {} : { containerUrl }) };
  }

  /**
   * Shares a version of the workspace: `import` with its operation, as the official client does; `publish` of the resource manager where
   * the data plane does not take it. A version that is there afterwards is success, whoever made it: its bytes are checked by the caller.
   */
  async share(model: { name: string; version: string; uri: string }, name: string, version: string): Promise<void> {
    const { base } = await this.facts();
    const { azure } = this.workspace;
    const { location, workspaceId } = await this.workspace.facts(this.options.signal);
    const operation = `share model ${model.name}:${model.version} with registry ${this.place.name}`;
    const first = await azure.request({
      method: 'POST',
      url: `${base}/import`,
      apiVersion,
      body: {
        properties: {
          referenceType: 'Id',
          destinationName: name,
          destinationVersion: version,
          sourceAssetId: `azureml://locations/${location}/workspaces/${workspaceId}/models/${model.name}/versions/${model.version}`,
        },
      },
      accept: [400, 404, 405, 409, 501],
      operation,
      ...this.#signal,
    });
    const poll = { pollSeconds: 1, ...this.#signal };
    if (first.status < 300) {
      await azure.complete(first, poll);
      return;
    }
    if (await this.version(name, version)) return;
    if (first.status === 404 || first.status === 405 || first.status === 501) {
      this.options.say?.(
        `The registry's data plane does not take an import (HTTP ${first.status}); publishing through the resource manager.`,
      );
      const published = await azure.request({
        method: 'POST',
        url: `${this.workspace.id}/models/${encodeURIComponent(model.name)}/versions/${encodeURIComponent(model.version)}/publish`,
        body: { registryName: this.place.name, destinationName: name, destinationVersion: version },
        operation,
        ...this.#signal,
      });
      await azure.complete(published, poll);
      return;
    }
    const { error } = (first.body ?? {}) as { error?: { code?: string; message?: string } };
    throw new Failure(`Could not ${operation}: ${error?.message ?? `HTTP ${first.status}`}`, {
      code: error?.code ?? 'ShareRefused',
      status: first.status,
      operation,
    });
  }
}

interface Discovery {
  registryName?: string;
  regions?: string[];
  primaryRegionResourceProviderUri?: string;
  subscriptionId?: string;
  resourceGroup?: string;
}
