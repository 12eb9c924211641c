/** What a job reads: its code and its data inputs, as paths on this machine. */
import { existsSync, mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyPath, fetchPlace, insideFolder, makeReadOnly, type SnapshotCache } from './data.js';
import { locate } from './locate.js';
import { asText } from './json.js';
import { Canceled, JobFailure, type DataValue, type Task } from './types.js';

/** Name for a path segment that came from a job: no separators, no dots that climb. */
export const segment = (name: string): string => name.replace(/[^\w.-]+/g, '_').replace(/^\.+/, '_') || '_';

/** Folder with the code snapshot, fetched once. */
export async function snapshotOf(task: Task, snapshots: SnapshotCache, codeId: string): Promise<string> {
  const { ctx, ws } = task.tree;
  const code = ctx.assets.resolve(ws, codeId, 'codes');
  const uri = asText(code.properties['codeUri']) ?? '';
  const found = locate(ctx, ws, uri);
  if ('url' in found) throw new JobFailure(`The code snapshot ${uri} is not in this workspace's storage.`);
  return snapshots.get(`${code.id} ${uri}`, async (folder) => {
    const place = { ...found.place, path: found.place.path.replace(/\/?$/, '/') };
    if ((await fetchPlace(ctx.storage, place, folder)) === undefined) throw new JobFailure(`The code snapshot ${uri} is empty.`);
  });
}

/** Path (or, with mode direct, the URI) that stands for a data input. */
export async function fetchInput(task: Task, value: DataValue, folder: string): Promise<string> {
  const { ctx, ws } = task.tree;
  const mode = value.mode?.toLowerCase() ?? 'readonlymount';
  if (mode === 'direct') {
    const found = locate(ctx, ws, value.uri);
    return 'place' in found ? directUri(task, value.uri) : found.url;
  }
  mkdirSync(folder, { recursive: true });
  const readOnly = !/download|readwrite/.test(mode);
  if (value.local !== undefined && existsSync(value.local)) {
    const copy = join(folder, value.type === 'uri_file' ? segment(value.local.split(/[/\\]/).pop() ?? 'data') : 'data');
    await copyPath(value.local, copy, readOnly);
    return copy;
  }
  const found = locate(ctx, ws, value.uri);
  const path =
    'url' in found ? await fetchUrl(found.url, value, folder, task.signal) : await fetchPlace(ctx.storage, found.place, folder);
  if (path === undefined) {
    if (!value.mayBeEmpty)
      throw new JobFailure(`No data was found at input path '${value.uri}'.`, 'UserError', { innerCode: 'DataNotFound' });
    return value.type === 'uri_file' ? join(folder, 'data') : folder;
  }
  if (readOnly) await makeReadOnly(path);
  return path;
}

/** A URI that a process can open with a client library: the long form. */
export function directUri(task: Task, uri: string): string {
  const match = /^azureml:\/\/datastores\/([^/]+)\/(?:paths\/)?(.*)$/i.exec(uri);
  return match ? task.tree.ctx.storage.longUri(task.tree.ws, match[1] ?? '', match[2] ?? '') : uri;
}

async function fetchUrl(url: string, value: DataValue, folder: string, signal: AbortSignal): Promise<string> {
  if (value.type !== 'uri_file')
    throw new JobFailure(`Input '${url}' is a web address; only a uri_file can be read from one here.`);
  try {
    const response = await fetch(url, { signal });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    const path = insideFolder(folder, segment(new URL(url).pathname.split('/').pop() ?? 'data'));
    await writeFile(path, Buffer.from(await response.arrayBuffer()));
    return path;
  } catch (error) {
    if (signal.aborted) throw new Canceled();
    const cause = error instanceof Error ? ((error.cause as Error | undefined)?.message ?? error.message) : String(error);
    throw new JobFailure(`Input data '${url}' cannot be read: ${cause}`, 'UserError', { innerCode: 'DataUnreachable' });
  }
}
