/**
 * The compile target that writes: codes, environments, components and local data of a job into a workspace
 * (reference azure-ml-rest §1.3 to §1.6). Everything is asked for once, however often a job names it.
 */
import { createHash, randomUUID } from 'node:crypto';
import { Failure } from '../azure/errors.js';
import type { BlobContainer } from '../azure/types.js';
import { onlineLookups } from './assets-lookup.js';
import { Lanes, uploadFiles } from './assets-upload.js';
import { inPlace, pendingUpload, resumedUpload } from './code-place.js';
import { inSnapshotOrder } from './snapshot/hash.js';
import type { AssetWrite, CodeSnapshot, CompileTarget, LocalData, WriteRequest } from './compile/types.js';
import { API_VERSIONS } from './compile/versions.js';
import { openDatastore } from './datastore.js';
import type { Workspace } from './workspace.js';

/** The datastore that local data goes to when an input names none; the client's constant. */
const BLOB_STORE = 'workspaceblobstore';

interface OnlineOptions {
  /** Told while bytes go up. */
  progress?: (upload: { bytes: number; files: number; reused: number }) => void;
  /** What stays the same when a killed run is run again (its job's name): its upload may then be gone on with. */
  resumeKey?: () => Promise<string> | string;
}

/** More than one round of requests: worth the question what is there. */
function isLarge(files: readonly { size: number }[]): boolean {
  return files.length > 32 || files.reduce((sum, { size }) => sum + size, 0) > 8 * 1024 * 1024;
}

/** A name that a killed run and the one after it both arrive at. */
function codeName(resumeKey: string, { folder, hash }: CodeSnapshot): string {
  const digest = createHash('sha256').update(`${resumeKey}\n${folder}\n${hash}`).digest('hex');
  return digest.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-5$3-8$4-$5');
}

/** In: the workspace. Out: a target for `compileJob`. It keeps what it wrote in memory: use one per submission. */
export function onlineTarget(workspace: Workspace, options: OnlineOptions = {}): CompileTarget {
  return new OnlineTarget(workspace, options);
}

class OnlineTarget implements CompileTarget {
  readonly sequential = false;
  readonly sends = true;
  readonly requests: WriteRequest[] = [];
  readonly upload = { bytes: 0, files: 0, reused: 0 };
  readonly workspaceId: string;
  readonly check: CompileTarget['check'];
  readonly resolveLabel: CompileTarget['resolveLabel'];
  private readonly lanes = new Lanes();
  private readonly memory = new Map<string, Promise<string>>();
  /** What a version was last written with. */
  private readonly versions = new Map<string, { body: string; made: Promise<string> }>();

  constructor(
    readonly workspace: Workspace,
    private readonly options: OnlineOptions,
  ) {
    this.workspaceId = workspace.id;
    const lookups = onlineLookups(workspace);
    this.check = (references, signal) => lookups.check(references, signal);
    this.resolveLabel = (kind, name, label, signal) => lookups.resolveLabel(kind, name, label, signal);
  }

  /** One flight per key; a failure is forgotten, so that a later call may succeed. */
  private once(key: string, work: () => Promise<string>): Promise<string> {
    const known = this.memory.get(key);
    if (known) return known;
    const made = work();
    this.memory.set(key, made);
    made.catch(() => this.memory.delete(key));
    return made;
  }

  code(snapshot: CodeSnapshot, signal?: AbortSignal): Promise<string> {
    return this.once(`code ${snapshot.hash}`, async () => {
      const key = isLarge(snapshot.files) ? await this.options.resumeKey?.() : undefined;
      const resumable = key !== undefined;
      let name = resumable ? codeName(key, snapshot) : randomUUID();
      const found = await this.codeByHash(name, snapshot, signal);
      if (found !== undefined) {
        this.upload.reused += snapshot.files.length;
        return found;
      }
      let place = resumable ? await resumedUpload(this.workspace, name, signal) : undefined;
      if (!place) {
        if (resumable) name = randomUUID();
        place = await pendingUpload(this.workspace, name, undefined, signal);
      }
      const id = `${this.workspaceId}/codes/${name}/versions/1`;
      const prefix = snapshot.folder === '' ? '' : `${snapshot.folder}/`;
      const uri = await inPlace(place, async ({ container }, moved) => {
        // Whether the container is a new one is the service's affair: what lies in it tells.
        await this.send(container, prefix, snapshot.files, resumable || moved, signal);
        await this.confirm(container, prefix, snapshot.files, name, '1', signal);
      });
      const made = this.put(
        id,
        API_VERSIONS.code,
        {
          properties: {
            codeUri: `${uri}/${snapshot.folder}`,
            isAnonymous: true,
            properties: { hash_sha256: snapshot.hash, hash_version: Number(snapshot.hashVersion) },
          },
        },
        `register the code of ${snapshot.folder || 'the job'}`,
        signal,
      );
      return resumable ? made.catch((error: unknown) => this.madeBefore(id, error, signal)) : made;
    });
  }

  /** Asks for code with the same content. The name in the path counts for nothing: any code of the workspace may be found. */
  private async codeByHash(name: string, snapshot: CodeSnapshot, signal?: AbortSignal): Promise<string | undefined> {
    const { body } = await this.workspace.azure.request<{ value?: { id?: string }[] } | undefined>({
      method: 'GET',
      url: `${this.workspaceId}/codes/${name}/versions`,
      apiVersion: API_VERSIONS.code,
      query: { hash: snapshot.hash, hashVersion: snapshot.hashVersion },
      accept: [404],
      operation: 'look for code with the same content',
      ...(signal ? { signal } : {}),
    });
    const id = body?.value?.[0]?.id;
    return typeof id === 'string' && id.startsWith('/subscriptions/') ? id : undefined;
  }

  /** The killed run may have registered the same files from another place, which the service does not let change. */
  private async madeBefore(id: string, error: unknown, signal?: AbortSignal): Promise<string> {
    if (!(error instanceof Failure) || error.details.status !== 400) throw error;
    const given = signal ? { signal } : {};
    const there = await this.workspace.azure.request({
      method: 'GET',
      url: id,
      apiVersion: API_VERSIONS.code,
      accept: [404],
      operation: 'look for the code of the run before',
      ...given,
    });
    if (there.status === 404) throw error;
    return id;
  }

  async codeUri(snapshot: CodeSnapshot, signal?: AbortSignal): Promise<string> {
    const id = await this.code(snapshot, signal);
    const { body } = await this.workspace.azure.request<{ properties?: { codeUri?: string } }>({
      method: 'GET',
      url: id,
      apiVersion: API_VERSIONS.code,
      operation: 'read the address of the code',
      ...(signal ? { signal } : {}),
    });
    return (body.properties?.codeUri ?? '').replace(/\/+$/, '');
  }

  codeAt(url: string, signal?: AbortSignal): Promise<string> {
    return this.once(`code ${url}`, () =>
      this.put(
        `${this.workspaceId}/codes/${randomUUID()}/versions/1`,
        API_VERSIONS.code,
        { properties: { codeUri: url, isAnonymous: true, properties: {} } },
        'register the code of a URL',
        signal,
      ),
    );
  }

  async data(local: LocalData, signal?: AbortSignal): Promise<string> {
    const place = await this.localUpload(local, signal);
    return place.uri;
  }

  async contextUri(local: LocalData, signal?: AbortSignal): Promise<string> {
    const place = await this.localUpload(local, signal);
    return `${place.url}/`;
  }

  /** Content-addressed place on a datastore: what is there is not sent again. */
  private async localUpload(local: LocalData, signal?: AbortSignal): Promise<{ uri: string; url: string }> {
    const store = local.datastore ?? BLOB_STORE;
    const base = `LocalUpload/${local.id}/${local.name}`;
    const url = await this.once(`data ${store} ${base}`, async () => {
      const { container } = await openDatastore(this.workspace, store, signal);
      const prefix = local.kind === 'folder' ? `${base}/` : `LocalUpload/${local.id}/`;
      const indicator = indicatorOf(prefix, local.files);
      const head = indicator === undefined ? undefined : await container.head(indicator, signal);
      if (head?.metadata['upload_status'] === 'completed') this.upload.reused += local.files.length;
      else {
        await this.send(container, prefix, local.files, true, signal);
        await this.confirm(container, prefix, local.files, randomUUID(), randomUUID(), signal);
      }
      return `${container.url}/${base}`;
    });
    return { uri: `azureml://datastores/${store}/paths/${base}`, url };
  }

  private async send(
    container: BlobContainer,
    prefix: string,
    files: LocalData['files'],
    resume: boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    const sent = await uploadFiles(container, prefix, files, { resume, lanes: this.lanes, signal });
    this.upload.bytes += sent.bytes;
    this.upload.files += sent.files;
    this.upload.reused += sent.reused;
    this.options.progress?.({ ...this.upload });
  }

  /** Marks an upload as complete, the way the client recognises it. */
  private async confirm(
    container: BlobContainer,
    prefix: string,
    files: LocalData['files'],
    name: string,
    version: string,
    signal?: AbortSignal,
  ): Promise<void> {
    const indicator = indicatorOf(prefix, files);
    if (indicator !== undefined) await container.setMetadata(indicator, { upload_status: 'completed', name, version }, signal);
  }

  environment(asset: AssetWrite, signal?: AbortSignal): Promise<string> {
    return this.version('environments', asset, signal);
  }

  component(asset: AssetWrite, signal?: AbortSignal): Promise<string> {
    return this.version('components', asset, signal);
  }

  /**
   * Description and tags do not count in the version of an anonymous environment: steps that differ in them write it one after the other, and
   * the last one's stand, as with the official client. What was written last is not written again.
   */
  private version(collection: 'environments' | 'components', asset: AssetWrite, signal?: AbortSignal): Promise<string> {
    const path = `${this.workspaceId}/${collection}/${asset.name}/versions/${asset.version ?? '1'}`;
    const body = JSON.stringify(asset.body);
    const before = this.versions.get(path);
    if (before?.body === body) return before.made;
    const operation = `create ${collection.slice(0, -1)} ${asset.name}`;
    const put = () => this.lanes.run(() => this.put(path, asset.apiVersion, asset.body, operation, signal));
    // Whose write has failed says so itself.
    const made = before ? before.made.then(put, put) : put();
    const written = { body, made };
    this.versions.set(path, written);
    made.catch(() => this.versions.get(path) === written && this.versions.delete(path));
    return made;
  }

  /**
   * PUT of a version whose name follows from its content: when somebody else is creating the same one, theirs is as good.
   * Gives the id of the reply: the service names anonymous components itself (reference azure-ml-observed §4).
   */
  private async put(path: string, apiVersion: string, body: unknown, operation: string, signal?: AbortSignal): Promise<string> {
    this.requests.push({ method: 'PUT', path, query: { 'api-version': apiVersion }, body });
    const extra = signal ? { signal } : {};
    const {
      status,
      text,
      body: made,
    } = await this.workspace.azure.request<{ id?: string }>({
      method: 'PUT',
      url: path,
      apiVersion,
      body,
      accept: [409],
      operation,
      ...extra,
    });
    if (status === 409) {
      const there = await this.workspace.azure.request<{ id?: string }>({
        method: 'GET',
        url: path,
        apiVersion,
        accept: [404],
        operation,
        ...extra,
      });
      if (there.status === 404)
        throw new Failure(`Could not ${operation}: ${text.slice(0, 500)}`, { code: 'Conflict', status, operation });
      return there.body.id ?? path;
    }
    return made.id ?? path;
  }
}

/** The first file of an upload, in the order of paths, carries the mark. */
function indicatorOf(prefix: string, files: LocalData['files']): string | undefined {
  const names = inSnapshotOrder(files).map(({ name }) => name);
  names.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return names[0] === undefined ? undefined : `${prefix}${names[0]}`;
}
export { onlineLookups as lookups } from './assets-lookup.js';
