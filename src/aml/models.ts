/** Models of a workspace over the resource manager (reference azure-ml-rest §3.1, azure-ml-observed §4). */
import { Failure } from '../azure/errors.js';
import { locate, openDatastore, type Datastore } from './datastore.js';
import { copyModel, removeAll, type CopyOptions } from './models-copy.js';
import { BlobModelFiles } from './models-files.js';
import { RegistryModels } from './registries.js';
import { formatDatastoreUri, parseBlobUri } from './uris.js';
import type { Workspace } from './workspace.js';

/** One version as ARM and the registry's data plane answer it. */
export interface ModelInfo {
  id: string;
  name: string;
  version: string;
  type: string;
  uri: string;
  description?: string;
  stage?: string;
  jobName?: string;
  flavors?: unknown;
  tags: Record<string, string>;
  properties: Record<string, string>;
  archived: boolean;
}

interface ModelInput {
  uri: string;
  type: string;
  description?: string;
  stage?: string;
  jobName?: string;
  flavors?: unknown;
  tags: Record<string, string>;
  properties: Record<string, string>;
}

export interface VersionBody {
  id?: string;
  name?: string;
  properties?: {
    description?: string | null;
    tags?: Record<string, string | null> | null;
    properties?: Record<string, string | null> | null;
    modelType?: string | null;
    modelUri?: string | null;
    jobName?: string | null;
    flavors?: unknown;
    stage?: string | null;
    isArchived?: boolean | null;
  } | null;
}

/** `id` gives the version, for list replies of producers that name it in another place. */
export function modelInfo(body: VersionBody, name: string, version: string, id: string): ModelInfo {
  const { description, tags, properties, modelType, modelUri, jobName, flavors, stage, isArchived } = body.properties ?? {};
  return {
    id,
    name,
    version,
    type: modelType ?? 'custom_model',
    uri: modelUri ?? '',
    ...(description ? { description } : {}),
    ...(stage ? { stage } : {}),
    ...(jobName ? { jobName } : {}),
    ...(flavors && typeof flavors === 'object' && Object.keys(flavors).length > 0 ? { flavors } : {}),
    tags: texts(tags),
    properties: texts(properties),
    archived: isArchived ?? false,
  };
}

function texts(map: Record<string, string | null> | null | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, value ?? '']));
}

export interface ModelsOptions extends CopyOptions {
  /** Told what a person should see. */
  say?: (line: string) => void;
}

/** Models of one workspace with one connection; has the shape that src/release asks of a source and of a target. */
export class WorkspaceModels {
  readonly place: { kind: 'workspace'; id: string; name: string; location?: string };
  constructor(
    readonly workspace: Workspace,
    private readonly options: ModelsOptions = {},
  ) {
    this.place = { kind: 'workspace', id: workspace.id, name: workspace.workspace };
  }

  get #signal(): { signal?: AbortSignal } {
    return this.options.signal ? { signal: this.options.signal } : {};
  }

  #url(name: string, version?: string): string {
    const versions = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`;
    return `${this.workspace.id}/models/${encodeURIComponent(name)}${versions}`;
  }

  #id(name: string, version: string): string {
    return `${this.workspace.id}/models/${name}/versions/${version}`;
  }

  /** The version, or undefined when there is none (a missing workspace is an error of its own). */
  async version(name: string, version: string): Promise<ModelInfo | undefined> {
    const { status, body } = await this.workspace.azure.request<VersionBody & ErrorBody>({
      method: 'GET',
      url: this.#url(name, version),
      accept: [404],
      operation: `read model ${name}:${version} of workspace ${this.workspace.workspace}`,
      ...this.#signal,
    });
    if (status === 404) return this.#absent(body);
    return modelInfo(body, name, version, this.#id(name, version));
  }

  async #absent(body: ErrorBody | undefined): Promise<undefined> {
    const code = body?.error?.code;
    if (code === 'ResourceNotFound' || code === 'ParentResourceNotFound' || code === 'ResourceGroupNotFound')
      await this.workspace.facts(this.options.signal);
    return undefined;
  }

  async versions(name: string): Promise<ModelInfo[]> {
    const url = `${this.#url(name)}/versions`;
    const operation = `list versions of model ${name} in workspace ${this.workspace.workspace}`;
    // The list's own 404 is an unknown model (observed §0), which is no error here; later pages never are.
    const first = await this.workspace.azure.request<{ value?: VersionBody[]; nextLink?: string | null } & ErrorBody>({
      method: 'GET',
      url,
      query: { listViewType: 'All' },
      accept: [404],
      operation,
      ...this.#signal,
    });
    if (first.status === 404) return (await this.#absent(first.body)) ?? [];
    const bodies = [...(first.body.value ?? [])];
    if (first.body.nextLink)
      for await (const body of this.workspace.azure.list<VersionBody>({
        method: 'GET',
        url: first.body.nextLink,
        apiVersion: null,
        operation,
        ...this.#signal,
      }))
        bodies.push(body);
    return bodies.map((body) => {
      const version = body.name ?? /\/versions\/([^/]+)$/.exec(body.id ?? '')?.[1] ?? '';
      return modelInfo(body, name, version, this.#id(name, version));
    });
  }

  async byId(id: string): Promise<ModelInfo | undefined> {
    const registry = /^azureml:\/\/registries\/([^/]+)\/models\/([^/]+)\/versions\/([^/]+)$/i.exec(id);
    if (registry) return new RegistryModels(this.workspace, registry[1]!, this.options).version(registry[2]!, registry[3]!);
    const own = /\/models\/([^/]+)\/versions\/([^/]+)$/i.exec(id);
    if (!own || !id.toLowerCase().startsWith(`${this.workspace.id.toLowerCase()}/`)) return undefined;
    return this.version(own[1]!, own[2]!);
  }

  files(model: { uri: string; id: string; name: string; version: string }): LazyFiles {
    if (model.id.startsWith('azureml://registries/')) {
      const registry = /^azureml:\/\/registries\/([^/]+)/.exec(model.id)![1]!;
      return new RegistryModels(this.workspace, registry, this.options).files(model);
    }
    return new LazyFiles(() => this.#open(model));
  }

  async #open(model: { uri: string; name: string; version: string }): Promise<BlobModelFiles> {
    const label = `${model.name}:${model.version}`;
    const { signal } = this.options;
    const blob = parseBlobUri(model.uri);
    if (blob)
      return new BlobModelFiles(this.workspace.azure.blobs(blob.containerUrl, { kind: 'entra' }), trim(blob.path), label, signal);
    const { datastore, path } = await locate(this.workspace, model.uri, signal);
    return new BlobModelFiles(datastore.container, trim(path), label, signal);
  }

  /** Highest number there ever was plus one, as far as the service remembers it (`nextVersion` of the container). */
  async nextVersion(name: string): Promise<string> {
    const { status, body } = await this.workspace.azure.request<{ properties?: { nextVersion?: string | null } }>({
      method: 'GET',
      url: this.#url(name),
      accept: [404],
      operation: `read model ${name} of workspace ${this.workspace.workspace}`,
      ...this.#signal,
    });
    if (status === 404) return '1';
    const said = body.properties?.nextVersion ?? '';
    // Names that are no numbers make the service offer a time stamp (observed §4): then count what there is.
    const numbers = (await this.versions(name)).map(({ version }) => Number(version)).filter(Number.isInteger);
    return String(Math.max(/^\d+$/.test(said) ? Number(said) : 1, ...numbers.map((number) => number + 1)));
  }

  /**
   * Makes a version. The service has no condition on PUT: it refuses another path for a version that is there, and merges into one with
   * the same path; so the version is looked for first, and the reply is read for whose it is.
   */
  async create(name: string, version: string, input: ModelInput): Promise<'created' | 'same' | 'taken'> {
    const there = await this.version(name, version);
    if (there) return samePath(there.uri, input.uri) ? 'same' : 'taken';
    const { status, body, ambiguous } = await this.workspace.azure.request<VersionBody & ErrorBody>({
      method: 'PUT',
      url: this.#url(name, version),
      body: { properties: putBody(input) },
      accept: [400, 409],
      operation: `register model ${name}:${version} in workspace ${this.workspace.workspace}`,
      ...this.#signal,
    });
    if (status === 400 || status === 409) {
      const now = await this.version(name, version);
      if (now) return samePath(now.uri, input.uri) ? 'same' : 'taken';
      throw new Failure(
        `Could not register model ${name}:${version} in workspace ${this.workspace.workspace}: ${message(body)}`,
        {
          code: body.error?.code ?? 'ModelRefused',
          status,
        },
      );
    }
    return status === 201 || ambiguous ? 'created' : 'same';
  }

  async amend(
    name: string,
    version: string,
    change: { tags?: Record<string, string>; properties?: Record<string, string> },
  ): Promise<void> {
    const there = await this.version(name, version);
    if (!there)
      throw new Failure(`The model ${name}:${version} is not in workspace ${this.workspace.workspace} any more.`, {
        code: 'ModelNotFound',
      });
    const tags = { ...there.tags, ...change.tags };
    const properties = { ...there.properties, ...change.properties };
    if (same(tags, there.tags) && same(properties, there.properties)) return;
    await this.workspace.azure.request({
      method: 'PUT',
      url: this.#url(name, version),
      body: { properties: { ...putBody({ ...there, tags, properties }), isArchived: there.archived } },
      operation: `add tags and properties to model ${name}:${version} of workspace ${this.workspace.workspace}`,
      ...this.#signal,
    });
  }

  /** Copies into `amlops/models/{name}/{digest}/` of the default datastore: a place that the bytes themselves name. */
  async stage(
    name: string,
    digest: string,
    from: LazyFiles,
  ): Promise<{ uri: string; files: { path: string; size: number; sha256: string }[] }> {
    const datastore = await openDatastore(this.workspace, undefined, this.options.signal);
    const prefix = stagePath(name, digest);
    const source = await from.open();
    const { files, moved } = await copyModel(source, datastore.container, prefix, this.options);
    const total = files.reduce((sum, { size }) => sum + size, 0);
    const rest = moved < total ? '; the rest was there already' : '';
    this.options.say?.(`Copied ${moved} of ${total} bytes in ${files.length} ${files.length === 1 ? 'file' : 'files'}${rest}.`);
    const single = (await source.single()) ? `/${files[0]!.path}` : '';
    return { uri: this.#uriOf(datastore, `${prefix}${single}`), files };
  }

  #uriOf(datastore: Datastore, path: string): string {
    const { subscriptionId, resourceGroup, workspace } = this.workspace;
    return formatDatastoreUri({ datastore: datastore.name, path, subscriptionId, resourceGroup, workspace });
  }

  async unstage(name: string, digest: string): Promise<void> {
    const datastore = await openDatastore(this.workspace, undefined, this.options.signal);
    await removeAll(datastore.container, stagePath(name, digest), this.options.signal);
  }
}

/** Files whose place costs requests to find out. */
export class LazyFiles {
  #opened: Promise<BlobModelFiles> | undefined;
  constructor(private readonly how: () => Promise<BlobModelFiles>) {}
  open(): Promise<BlobModelFiles> {
    this.#opened ??= this.how();
    return this.#opened;
  }
  async list() {
    return (await this.open()).list();
  }
  async hash() {
    return (await this.open()).hash();
  }
}

interface ErrorBody {
  error?: { code?: string; message?: string; details?: { code?: string; message?: string }[] };
}

function message(body: ErrorBody): string {
  return (
    [body.error?.message, ...(body.error?.details ?? []).map((detail) => detail.message)].filter(Boolean).join(' ') ||
    'no reason given'
  );
}

function stagePath(name: string, digest: string): string {
  return `amlops/models/${name}/${digest.replace(/^sha256:/, '')}`;
}

function putBody({ uri, type, description, stage, jobName, flavors, tags, properties }: ModelInput): Record<string, unknown> {
  return {
    modelUri: uri,
    modelType: type,
    ...(description ? { description } : {}),
    ...(stage ? { stage } : {}),
    ...(jobName ? { jobName } : {}),
    ...(flavors ? { flavors } : {}),
    isAnonymous: false,
    isArchived: false,
    tags,
    properties,
  };
}

function trim(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}

/** The service rewrites URIs (observed §4): casing of the group's word, a final slash, the short form made long. */
function samePath(a: string, b: string): boolean {
  const tail = (uri: string) => uri.replace(/^.*\/datastores\//i, '').replace(/\/+$/, '');
  return tail(a) === tail(b);
}

function same(a: Record<string, string>, b: Record<string, string>): boolean {
  return Object.entries(a).every(([key, value]) => b[key] === value);
}
