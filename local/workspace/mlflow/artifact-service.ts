/**
 * The artifacts service as azureml-mlflow and azure-ai-ml speak to it: `/artifact/v2.0/…/artifacts/{origin}/{container}` and run history's
 * view of the same, `/history/v1.0/…/experiments/{e}/runs/{r}/artifacts` (reference azure-ml-rest §2.4; shapes: azureml-mlflow 1.60 `_restclient`).
 * Files are listed with SAS URLs; an upload asks for empty artifacts first and writes to their URLs.
 */
import type { Answer, Ctx, WorkspaceCall, WorkspaceRecord } from '../context.js';
import { badRequest, notFound, notBuilt, ServiceError } from '../errors.js';
import type { Router } from '../router.js';
import { getRun } from '../runs/access.js';
import type { BlobEntry, BlobPlace } from '../storage/types.js';
import { objectOf } from '../validate.js';
import { placeOf, safePath } from './places.js';
import { storeStream } from './artifacts.js';
import { MlflowError } from './wire.js';

interface Container {
  origin: string;
  container: string;
}

const largestUpload = 64 * 1024 ** 3;

export function registerArtifactService(router: Router, ctx: Ctx): void {
  const artifact = { prefix: '/artifact/v2.0', envelope: 'data' } as const;
  const history = { prefix: '/history/v1.0', envelope: 'data' } as const;
  const ofPath = (call: WorkspaceCall): Container => ({
    origin: call.params['origin'] ?? '',
    container: call.params['container'] ?? '',
  });
  const ofRun = (call: WorkspaceCall): Container => {
    const id = call.params['run'] ?? '';
    const run = getRun(ctx.store, call.ws.guid, id);
    if (!run) throw new ServiceError(404, 'UserError', `Run ${id} was not found`, { envelope: 'data', inner: ['NotFoundError'] });
    return { origin: 'ExperimentRun', container: run.dataContainerId };
  };
  const runBases = ['/experiments/:experiment/runs/:run/artifacts', '/experimentids/:experiment/runs/:run/artifacts'];
  const add = (
    method: 'GET' | 'POST',
    path: string,
    access: 'read' | 'write',
    handler: (call: WorkspaceCall, container: Container) => Promise<Answer>,
  ): void => {
    const inContainer = inOwnWords((call) => handler(call, ofPath(call)));
    router.workspace(method, `/artifacts/:origin/:container${path}`, access, inContainer, artifact);
    for (const base of runBases)
      router.workspace(
        method,
        `${base}${path}`,
        access,
        inOwnWords((call) => handler(call, ofRun(call))),
        history,
      );
  };
  const service = new ArtifactService(ctx);
  add('GET', '', 'read', (call, container) => service.list(call, container));
  add('GET', '/path', 'read', (call, container) => service.list(call, container));
  add('GET', '/metadata', 'read', (call, container) => service.metadata(call, container));
  add('GET', '/contentinfo', 'read', (call, container) => service.contentInfo(call, container));
  add('GET', '/artifacturi', 'read', async (call, container) => ({
    raw: (await service.uri(call, container, 'r')) ?? '',
    contentType: 'text/plain',
  }));
  add('GET', '/prefix/contentinfo', 'read', (call, container) => service.prefixInfo(call, container));
  add('POST', '/batch/metadata', 'write', (call, container) => service.createEmpty(call, container));
  const base = '/artifacts/:origin/:container';
  const download = inOwnWords((call) => service.download(call, ofPath(call)));
  router.workspace('GET', `${base}/content`, 'read', download, artifact);
  router.workspace(
    'GET',
    `${base}/write`,
    'write',
    inOwnWords(async (call) => ({ raw: (await service.uri(call, ofPath(call), 'rcw')) ?? '', contentType: 'text/plain' })),
    artifact,
  );
  const upload = inOwnWords((call) => service.upload(call, ofPath(call)));
  router.workspace('POST', `${base}/content`, 'write', upload, {
    ...artifact,
    raw: true,
    bodyLimit: largestUpload,
  });
  const createOne = inOwnWords((call) => service.createOne(call));
  router.workspace('POST', '/artifacts/metadata', 'write', createOne, artifact);
  router.workspace('POST', '/artifacts/register', 'write', createOne, artifact);
}

type Handle = (call: WorkspaceCall) => Promise<Answer>;

/** What is shared with MLflow's surface speaks MLflow's errors; this service has Azure ML's. */
function inOwnWords(handle: Handle): Handle {
  return async (call) => {
    try {
      return await handle(call);
    } catch (error) {
      if (error instanceof MlflowError && error.status === 400) throw badRequest(error.message);
      throw error;
    }
  };
}

/** What a blob tells of an artifact; a file that is not written yet has neither. */
type Stored = Pick<BlobEntry, 'etag' | 'lastModified'>;

class ArtifactService {
  constructor(private readonly ctx: Ctx) {}

  #place(ws: WorkspaceRecord, { origin, container }: Container, path: string): BlobPlace {
    return placeOf(ws, `${origin}/${container}${path === '' ? '' : `/${safePath(path)}`}`, true);
  }

  #artifact({ origin, container }: Container, path: string, stored?: Stored): Record<string, unknown> {
    const written = stored === undefined ? NaN : Date.parse(stored.lastModified);
    return {
      artifactId: `${origin}/${container}/${path}`,
      origin,
      container,
      path,
      // Listings give it without its quotes.
      etag: stored ? `"${stored.etag.replaceAll('"', '')}"` : '',
      createdTime: Number.isNaN(written) ? this.ctx.clock.stamp() : new Date(written).toISOString().replace('Z', '0000+00:00'),
      dataPath: { dataStoreName: 'workspaceartifactstore', relativePath: `${origin}/${container}/${path}`, sqlDataPath: null },
      tags: {},
    };
  }

  #information(ws: WorkspaceRecord, container: Container, path: string, permissions: string): Record<string, unknown> {
    const place = this.#place(ws, container, path);
    return {
      contentUri: this.ctx.storage.sasUrl(place.account, place.container, { permissions, blob: place.path }),
      origin: container.origin,
      container: container.container,
      path,
      tags: {},
    };
  }

  async list(call: WorkspaceCall, container: Container): Promise<Answer> {
    const value: unknown[] = [];
    const root = this.#place(call.ws, container, '');
    const below = safePath(call.query['path'] ?? '');
    for await (const blob of this.ctx.storage.list({ ...root, path: `${root.path}/${below}` })) {
      value.push(this.#artifact(container, blob.name.slice(root.path.length + 1), blob));
    }
    return { body: { value, continuationToken: null, nextLink: null } };
  }

  async #existing(call: WorkspaceCall, container: Container): Promise<Stored & { path: string }> {
    const path = safePath(call.query['path'] ?? '');
    const found = path === '' ? undefined : await this.ctx.storage.head(this.#place(call.ws, container, path));
    if (!found) throw notFound(`Artifact ${container.origin}/${container.container}/${path} was not found`);
    return { path, etag: found.etag, lastModified: found.lastModified };
  }

  async metadata(call: WorkspaceCall, container: Container): Promise<Answer> {
    const found = await this.#existing(call, container);
    return { body: this.#artifact(container, found.path, found) };
  }

  async contentInfo(call: WorkspaceCall, container: Container): Promise<Answer> {
    const { path } = await this.#existing(call, container);
    return { body: this.#information(call.ws, container, path, 'r') };
  }

  async uri(call: WorkspaceCall, container: Container, permissions: string): Promise<string | undefined> {
    const path = safePath(call.query['path'] ?? '');
    return this.#information(call.ws, container, path, permissions)['contentUri'] as string;
  }

  async prefixInfo(call: WorkspaceCall, container: Container): Promise<Answer> {
    const root = this.#place(call.ws, container, '');
    const below = safePath(call.query['path'] ?? '');
    const value: unknown[] = [];
    for await (const { name } of this.ctx.storage.list({ ...root, path: `${root.path}/${below}` })) {
      value.push(this.#information(call.ws, container, name.slice(root.path.length + 1), 'r'));
    }
    return { body: { value, continuationToken: null, nextLink: null } };
  }

  /** Names for files that the caller will write; each gets a URL that it may write to. Nothing is stored yet. */
  async createEmpty(call: WorkspaceCall, container: Container): Promise<Answer> {
    const paths = (call.body as { paths?: { path?: unknown }[] } | undefined)?.paths;
    if (!Array.isArray(paths)) throw badRequest('The request needs a list of paths.');
    const artifacts: Record<string, unknown> = {};
    const artifactContentInformation: Record<string, unknown> = {};
    for (const { path } of paths) {
      if (typeof path !== 'string' || path === '') throw badRequest('Every path has to be a text.');
      // `./x`, as folders are walked by clients; the answer is found under the name that was asked for.
      const plain = safePath(path.replace(/(^|\/)\.(?=\/)/g, '').replace(/\/{2,}/g, '/'));
      artifacts[path] = this.#artifact(container, plain);
      artifactContentInformation[path] = this.#information(call.ws, container, plain, 'rcw');
    }
    return { body: { artifacts, artifactContentInformation, errors: {} } };
  }

  async createOne(call: WorkspaceCall): Promise<Answer> {
    const { origin, container, path } = (call.body ?? {}) as Record<string, unknown>;
    if (typeof origin !== 'string' || typeof container !== 'string' || typeof path !== 'string') {
      throw badRequest('An artifact needs origin, container and path.');
    }
    const { path: own } = this.#place(call.ws, { origin, container }, path);
    const elsewhere = objectOf(objectOf(call.body)?.['dataPath']);
    const [store, lies] = [elsewhere?.['dataStoreName'], elsewhere?.['relativePath']];
    if ((store != null && store !== 'workspaceartifactstore') || (lies != null && lies !== own))
      throw notBuilt(`artifacts that lie elsewhere (${String(store)}, ${String(lies)})`);
    return { body: this.#artifact({ origin, container }, safePath(path)) };
  }

  async download(call: WorkspaceCall, container: Container): Promise<Answer> {
    const { path } = await this.#existing(call, container);
    const stream = await this.ctx.storage.stream(this.#place(call.ws, container, path));
    if (!stream) throw notFound(`Artifact ${path} was not found`);
    return { raw: stream, contentType: 'application/octet-stream' };
  }

  async upload(call: WorkspaceCall, container: Container): Promise<Answer> {
    const path = safePath(call.query['path'] ?? '');
    if (path === '') throw badRequest("The query 'path' is missing.");
    const place = this.#place(call.ws, container, path);
    if (call.stream) await storeStream({ ctx: this.ctx }, place, call.stream, call.headers['content-type']);
    return { body: this.#artifact(container, path, await this.ctx.storage.head(place)) };
  }
}
