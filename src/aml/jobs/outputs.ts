/** Where a job's named outputs lie, and fetching them (reference azure-ml-rest §2.6, azure-ml-observed §2 and §3). */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path, { dirname } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { passesByItself } from '../../azure/line.js';
import { Failure } from '../../azure/errors.js';
import type { BlobContainer, BlobItem } from '../../azure/types.js';
import { locate, openDatastore } from '../datastore.js';
import { together } from '../together.js';
import { parseDatastoreUri } from '../uris.js';
import type { Workspace } from '../workspace.js';
import type { JobState } from './job.js';
import { historyBase } from './steps.js';

export interface LocatedOutput {
  name: string;
  container: BlobContainer;
  /** Path in the container; a folder's without a final slash. */
  path: string;
  /** `azureml://…/paths/…` */
  uri: string;
}

interface RunData {
  runMetadata?: { outputs?: Record<string, { assetId?: string | null; type?: string | null } | null> | null } | null;
}

/** Names of the outputs that a user may ask for: those of the job's file. `default` is the service's own. */
export function outputNames(job: JobState): string[] {
  return Object.keys(job.outputs).filter((name) => name !== 'default');
}

/**
 * Finds an output's bytes: the address that ARM gives, else the asset that run history names, resolved by the data plane, else the places
 * where the service puts outputs by default. Errors: `Failure` `OutputNotFound`.
 */
export async function locateOutput(
  workspace: Workspace,
  job: JobState,
  name: string,
  signal?: AbortSignal,
): Promise<LocatedOutput> {
  const there = job.outputs[name]?.uri;
  const uri = there && parseDatastoreUri(there) ? there : await resolvedUri(workspace, job.name, name, signal);
  if (uri && parseDatastoreUri(uri)) {
    const { datastore, path } = await locate(workspace, uri, signal);
    return { name, container: datastore.container, path: path.replace(/\/+$/, ''), uri };
  }
  const datastore = await openDatastore(workspace, undefined, signal);
  for (const path of [`azureml/${job.name}/${name}`, `dataset/${job.name}/${name}`]) {
    for await (const _item of datastore.container.list(`${path}/`, signal)) {
      return { name, container: datastore.container, path, uri: `azureml://datastores/${datastore.name}/paths/${path}/` };
    }
  }
  const names = outputNames(job);
  throw new Failure(`Job ${job.name} has no output "${name}" with anything in it.`, {
    code: 'OutputNotFound',
    advice: names.length > 0 ? `Its outputs: ${names.join(', ')}.` : 'Its file names no outputs.',
  });
}

async function resolvedUri(workspace: Workspace, runId: string, name: string, signal?: AbortSignal): Promise<string | undefined> {
  const extra = signal ? { signal } : {};
  const { status, body } = await workspace.azure.request<RunData>({
    method: 'POST',
    url: `${await historyBase(workspace, signal)}/rundata`,
    body: { runId, selectRunMetadata: true, selectRunDefinition: false, selectJobSpecification: false },
    accept: [404],
    retries: 5,
    operation: `read the outputs of job ${runId}`,
    ...extra,
  });
  const output = status === 404 ? undefined : body?.runMetadata?.outputs?.[name];
  if (!output?.assetId) return undefined;
  if (parseDatastoreUri(output.assetId)) return output.assetId;
  const { api } = await workspace.facts(signal);
  const room = /\/models\//i.test(output.assetId) ? 'modelregistry/v1.0' : 'data/v1.0';
  const tail = room === 'data/v1.0' ? 'dataversion/batchGetResolvedUris' : 'models/batchGetResolvedUris';
  const reply = await workspace.azure.request<{ values?: Record<string, { uri?: string } | string | null> }>({
    method: 'POST',
    url: `${api}/${room}${workspace.id}/${tail}`,
    body: { values: [output.assetId] },
    accept: [400, 404],
    retries: 5,
    operation: `find the bytes of output ${name}`,
    ...extra,
  });
  const found = Object.values(reply.body?.values ?? {})[0];
  return typeof found === 'string' ? found : found?.uri;
}

interface OutputFile {
  /** Below the output, `/` between folders. */
  path: string;
  size: number;
  sha256: string;
}

export interface FetchedOutput {
  name: string;
  folder: string;
  files: OutputFile[];
  bytes: number;
  /** `sha256:<hex>` over the lines `path TAB size TAB sha256 LF` (design §6). */
  digest: string;
}

/**
 * Fetches one output into `folder`, 16 files at a time; every file's size is checked, and no name leads out of the folder. One failed file
 * stops the others, and nothing of it runs on: a further try must not meet it on the disk.
 */
export async function fetchOutput(output: LocatedOutput, folder: string, signal?: AbortSignal): Promise<FetchedOutput> {
  const items: { item: BlobItem; path: string }[] = [];
  // `model` must not fetch `model2/…`: the exact blob, or what lies below it.
  for await (const item of output.container.list(output.path, signal)) {
    if (item.name === output.path) items.push({ item, path: item.name.split('/').at(-1) ?? item.name });
    else if (output.path === '' || item.name.startsWith(`${output.path}/`)) {
      const path = output.path === '' ? item.name : item.name.slice(output.path.length + 1);
      if (path !== '' && !path.endsWith('/')) items.push({ item, path });
    }
  }
  // A Data Lake account lists folders as empty blobs of the folder's name.
  const folders = new Set(items.flatMap(({ path }) => foldersOf(path)));
  const wanted = items.filter(
    ({ item, path }) => !(item.size === 0 && (folders.has(path) || (item.name === output.path && items.length > 1))),
  );
  checkNames(wanted.map(({ path }) => path));
  // All names are judged before the first file is written.
  const targets = wanted.map(({ path }) => insideOf(folder, path));
  const files: OutputFile[] = [];
  const stop = new AbortController();
  const both = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  // Every file in flight listens on the signal.
  setMaxListeners(0, both);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < wanted.length; at = next++) {
      const { item, path } = wanted[at]!;
      const sha256 = await again(() => fetchFile(output.container, item, targets[at]!, both), both);
      files.push({ path, size: item.size, sha256 });
    }
  };
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw unwritable(error, folder);
  });
  await together(Array.from({ length: 16 }, worker), stop);
  files.sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return { name: output.name, folder, files, bytes, digest: digestOf(files) };
}

export function digestOf(files: readonly OutputFile[]): string {
  const hash = createHash('sha256');
  for (const { path, size, sha256 } of files) hash.update(`${path}\t${size}\t${sha256}\n`);
  return `sha256:${hash.digest('hex')}`;
}

/** The folders that a blob's path goes through. */
function foldersOf(path: string): string[] {
  const parts = path.split('/').slice(0, -1);
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}

/** What Windows opens as a device or a file's hidden stream (`12:30.json`), or finds under another name than it was given. */
const notForWindows =
  /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)|[. ]$|[:<>"|?*\u0001-\u001f]/i;

/**
 * A blob's name as a path below `folder`. Errors: `Failure` `PathOutside` for one that leads out, or holds a backslash (a way out on Windows);
 * on Windows `PathUnwritable` for what it cannot hold.
 */
export function insideOf(
  folder: string,
  name: string,
  paths: Pick<typeof path, 'isAbsolute' | 'join' | 'relative' | 'resolve' | 'sep'> = path,
): string {
  const root = paths.resolve(folder);
  const target = paths.resolve(root, ...name.split('/'));
  const way = paths.relative(root, target);
  // From one drive of Windows to another there is no way: it is absolute then.
  const out = way === '' || way === '..' || way.startsWith(`..${paths.sep}`) || paths.isAbsolute(way);
  if (out || /[\\\u0000]/.test(name)) {
    throw new Failure(`The output holds a file named ${JSON.stringify(name)}, which leads out of its folder.`, {
      code: 'PathOutside',
      advice: 'Nothing of this output was written. Find out which step writes such a name.',
    });
  }
  if (paths.sep === '\\' && name.split('/').some((part) => notForWindows.test(part))) {
    throw new Failure(`The output holds a file named ${JSON.stringify(name)}, which Windows cannot write.`, {
      code: 'PathUnwritable',
      advice:
        'Nothing of this output was written. Have the step write another name, or fetch the output on a Linux or macOS agent.',
    });
  }
  return paths.join(root, way);
}

/**
 * Names that a file system cannot hold beside each other: a file where another has its folder, and, where letters of either case are the same
 * (Windows, macOS), names that differ in nothing else. `holder`: the beginning of the sentence that names them. Errors: `Failure` `PathUnwritable`; nothing was written then.
 */
export function checkNames(
  names: readonly string[],
  platform: NodeJS.Platform = process.platform,
  holder = 'The output holds',
): void {
  const folded = (name: string) => (platform === 'win32' || platform === 'darwin' ? name.normalize('NFC').toLowerCase() : name);
  const files = new Map<string, string>();
  const clash = (one: string, other: string) =>
    new Failure(`${holder} ${JSON.stringify(one)} and ${JSON.stringify(other)}, which cannot both be written here.`, {
      code: 'PathUnwritable',
      advice: 'Use other names, or fetch the output on a Linux agent.',
    });
  for (const name of names) {
    const before = files.get(folded(name));
    if (before !== undefined) throw clash(before, name);
    files.set(folded(name), name);
  }
  for (const name of names) {
    for (const above of foldersOf(name)) {
      const file = files.get(folded(above));
      if (file !== undefined) throw clash(file, name);
    }
  }
}

/** Two more tries after what passes by itself: a download has no effect in Azure. */
async function again<T>(body: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await body();
    } catch (error) {
      if (tries >= 2 || signal.aborted || !passesByItself(error)) throw error;
    }
  }
}

async function fetchFile(container: BlobContainer, item: BlobItem, target: string, signal: AbortSignal): Promise<string> {
  await mkdir(dirname(target), { recursive: true }).catch((error: unknown) => {
    throw unwritable(error, target);
  });
  const options = { ...(item.etag ? { ifMatch: item.etag } : {}), signal };
  // Also in the midst of a file, which is asked for from there when a line breaks.
  const judged = (error: unknown) =>
    error instanceof Failure && error.details.status === 412 ? outputChanged(`The file ${item.name} was changed`) : error;
  const got = await container.read(item.name, options).catch((error: unknown) => {
    throw judged(error);
  });
  if (!got) throw outputChanged(`The file ${item.name} went away`);
  const hash = createHash('sha256');
  const stored = item.md5 === undefined ? undefined : createHash('md5');
  let size = 0;
  const count = new Transform({
    transform(piece: Buffer, _encoding, done) {
      size += piece.length;
      hash.update(piece);
      stored?.update(piece);
      done(null, piece);
    },
  });
  await pipeline(got.stream, count, createWriteStream(target), { signal }).catch((error: unknown) => {
    throw unwritable(judged(error), target);
  });
  if (size !== item.size)
    throw new Failure(`The file ${item.name} has ${item.size} bytes, but ${size} arrived.`, { code: 'OutputChanged' });
  if (stored && stored.digest('base64') !== item.md5) {
    throw new Failure(`What arrived of the file ${item.name} is not what was stored: its MD5 is another.`, {
      code: 'OutputChanged',
    });
  }
  return hash.digest('hex');
}

function outputChanged(what: string): Failure {
  return new Failure(`${what} while it was fetched.`, {
    code: 'OutputChanged',
    advice: 'Something still writes to this output. Run the step again when it is done: it takes the result of the same job.',
  });
}

/** An error of this machine's disk in a user's words; any other error as it is. */
function unwritable(error: unknown, target: string): unknown {
  const { code, syscall } = error as { code?: unknown; syscall?: unknown };
  if (typeof code !== 'string' || !['open', 'write', 'mkdir'].includes(String(syscall))) return error;
  return new Failure(`The file ${target} could not be written (${code}).`, {
    code: 'FileUnwritable',
    input: 'downloadPath',
    advice:
      // Windows says of a long path that it is not there, others of a file system that is read-only.
      code === 'ENAMETOOLONG' || (code === 'ENOENT' && target.length > 240)
        ? 'The path is too long for this file system: give a shorter downloadPath.'
        : code === 'EBUSY' || code === 'EPERM'
          ? 'Another program may hold a file of this name open (on Windows), or it is write-protected: give another downloadPath.'
          : 'Give a downloadPath that the agent may write to, with room for the output.',
    cause: error,
  });
}
