/** Artifacts of runs and models: the listing of `artifacts/list`, and the proxy through which plain MLflow moves bytes. */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Answer, Ctx } from '../context.js';
import type { BlobPlace } from '../storage/types.js';
import { findRun, artifactUri } from './run-view.js';
import { placeOf, safePath } from './places.js';
import { missing, need, text, type Handler, type MlflowCall } from './wire.js';

interface FileInfo {
  path: string;
  is_dir: boolean;
  file_size?: number;
}

/** Files and folders directly below a place, by name. */
export async function listFolder(call: Pick<MlflowCall, 'ctx'>, place: BlobPlace): Promise<FileInfo[]> {
  const prefix = place.path === '' ? '' : `${place.path.replace(/\/+$/, '')}/`;
  const found = new Map<string, FileInfo>();
  for await (const { name, size } of call.ctx.storage.list({ ...place, path: prefix })) {
    if (!name.startsWith(prefix)) continue;
    const [first = '', ...rest] = name.slice(prefix.length).split('/');
    if (first === '') continue;
    if (rest.length) found.set(first, { path: first, is_dir: true });
    else if (!found.has(first)) found.set(first, { path: first, is_dir: false, file_size: size });
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** `GET artifacts/list`: paths relative to the run's root. */
const listRun: Handler = async (call) => {
  const run = findRun(call, text(call.fields, 'run_id') ?? need(call.fields, 'run_uuid'));
  const below = safePath(text(call.fields, 'path') ?? '');
  const root = `ExperimentRun/${run.dataContainerId}`;
  const files = await listFolder(call, placeOf(call.ws, below ? `${root}/${below}` : root, false));
  return {
    root_uri: artifactUri(call, run),
    files: files.map((file) => ({ ...file, path: below ? `${below}/${file.path}` : file.path })),
  };
};

export const artifactHandlers: Record<string, [methods: string, Handler]> = { list: ['GET', listRun] };

/** Folder listing of the proxy (`?path=`): names only, as MLflow's own server gives them. */
export async function proxyList(call: MlflowCall): Promise<Answer> {
  const path = text(call.fields, 'path') ?? '';
  return { body: { files: await listFolder(call, placeOf(call.ws, path, false)) } };
}

export async function proxyDownload(call: MlflowCall): Promise<Answer> {
  const path = call.params['*'] ?? '';
  const stream = await call.ctx.storage.stream(placeOf(call.ws, path, false));
  if (!stream) throw missing(`No such artifact: '${path}'`);
  return { raw: stream, contentType: 'application/octet-stream' };
}

/** Bodies on their way to the storage; a start removes what a killed workspace left of them. */
export const uploadFolder = (ctx: Ctx): string => ctx.world.folder('uploads');

/** Small uploads stay in memory; a large one goes through a file, so that memory stays flat. */
const inMemory = 8 * 1024 * 1024;

export async function storeStream(
  call: Pick<MlflowCall, 'ctx'>,
  place: BlobPlace,
  stream: Readable,
  contentType?: string,
): Promise<void> {
  const options = contentType === undefined ? {} : { contentType };
  const chunks: Buffer[] = [];
  let size = 0;
  const iterator = stream[Symbol.asyncIterator]();
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    chunks.push(next.value as Buffer);
    size += (next.value as Buffer).length;
    if (size <= inMemory) continue;
    const folder = await mkdtemp(join(uploadFolder(call.ctx), 'body-'));
    try {
      const file = join(folder, 'body');
      async function* all(): AsyncGenerator<Buffer> {
        yield* chunks.splice(0);
        for (let more = await iterator.next(); !more.done; more = await iterator.next()) yield more.value as Buffer;
      }
      await pipeline(all, createWriteStream(file));
      await call.ctx.storage.writeFile(place, file, options);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return;
  }
  await call.ctx.storage.write(place, Buffer.concat(chunks), options);
}

export async function proxyUpload(call: MlflowCall): Promise<Answer> {
  const place = placeOf(call.ws, call.params['*'] ?? '', true);
  if (call.stream) await storeStream(call, place, call.stream, call.contentType);
  return { body: {} };
}

/** What is not there is deleted already: a client that lost the answer asks again. */
export async function proxyDelete(call: MlflowCall): Promise<Answer> {
  const place = placeOf(call.ws, call.params['*'] ?? '', true);
  await call.ctx.storage.remove(place);
  for await (const { name } of call.ctx.storage.list({ ...place, path: `${place.path}/` }))
    await call.ctx.storage.remove({ ...place, path: name });
  return { body: {} };
}
