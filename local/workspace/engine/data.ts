/** Bytes between storage and the folders of a job: snapshots, inputs, outputs. */
import { chmodSync, constants, cpSync, lstatSync, mkdirSync, opendirSync, readdirSync } from 'node:fs';
import { chmod, cp, lstat, mkdir, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { createHash, randomUUID } from 'node:crypto';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BlobEntry, BlobPlace, Storage } from '../storage/types.js';
import { JobFailure, type Tree } from './types.js';

/** Up to here a copy on this machine is done at once. */
const smallCount = 64;
const smallBytes = 1024 * 1024;

/** Runs `work` for each item, so many at once. */
async function eachOf<T>(items: Iterable<T> | AsyncIterable<T>, atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const running = new Set<Promise<void>>();
  for await (const item of items) {
    const one = work(item).finally(() => running.delete(one));
    // The first failure is thrown below; without this it would count as unhandled until then.
    one.catch(() => undefined);
    running.add(one);
    if (running.size >= atOnce) await Promise.race(running);
  }
  await Promise.all(running);
}

/** Path of a blob below `folder`. @throws JobFailure `PathLeavesFolder` when its name leads out of it */
export function insideFolder(folder: string, name: string): string {
  const path = resolve(folder, name);
  if (name.includes('\0') || name.includes('\\') || (path !== folder && !path.startsWith(folder + sep)))
    throw new JobFailure(`The path '${name}' leaves its folder.`, 'UserError', { innerCode: 'PathLeavesFolder' });
  return path;
}

async function download(storage: Storage, place: BlobPlace, size: number, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  if (size <= 1_000_000) {
    const bytes = await storage.read(place);
    if (!bytes) throw new JobFailure(`${place.container}/${place.path} has vanished while it was read.`);
    await writeFile(to, bytes);
    return;
  }
  const stream = await storage.stream(place);
  if (!stream) throw new JobFailure(`${place.container}/${place.path} has vanished while it was read.`);
  await pipeline(stream, createWriteStream(to));
}

/** Blobs at a place: the one of that name, or those below it as a folder. */
async function blobsAt(storage: Storage, place: BlobPlace): Promise<{ single: boolean; entries: BlobEntry[] }> {
  const path = place.path.replace(/\/+$/, '');
  if (path !== '' && !place.path.endsWith('/')) {
    const head = await storage.head({ ...place, path });
    // Folders of hierarchical accounts show up as empty blobs with this mark.
    if (head && head.metadata['hdi_isfolder'] !== 'true') return { single: true, entries: [{ ...head, name: path }] };
  }
  const prefix = path === '' ? '' : `${path}/`;
  const entries: BlobEntry[] = [];
  for await (const entry of storage.list({ ...place, path: prefix })) if (entry.name.length > prefix.length) entries.push(entry);
  return { single: false, entries };
}

/**
 * Copies a file or folder of the storage to this machine.
 * @param to the folder that stands for the place; a single file lands in it under its own name
 * @returns path of the file or folder; undefined when nothing is there
 */
export async function fetchPlace(storage: Storage, place: BlobPlace, to: string): Promise<string | undefined> {
  const { single, entries } = await blobsAt(storage, place);
  if (entries.length === 0) return undefined;
  await mkdir(to, { recursive: true });
  const prefix = place.path.replace(/\/+$/, '');
  const strip = single ? prefix.length - (prefix.split('/').pop() ?? '').length : prefix === '' ? 0 : prefix.length + 1;
  await eachOf(entries, 8, (entry) =>
    download(storage, { ...place, path: entry.name }, entry.size, insideFolder(to, entry.name.slice(strip))),
  );
  return single ? join(to, prefix.slice(strip)) : to;
}

/** A name for what a place holds right now: equal bytes, equal name. */
export async function fingerprint(storage: Storage, place: BlobPlace): Promise<string> {
  const { entries } = await blobsAt(storage, place);
  const hash = createHash('sha256');
  const prefix = place.path.replace(/\/+$/, '');
  const lines = entries.map(({ name, size, md5, etag }) => `${name.slice(prefix.length)}\t${size}\t${md5 ?? etag}`);
  for (const line of lines.sort()) hash.update(`${line}\n`);
  return hash.digest('hex');
}

/** `undefined` for what is not there (or is a link to nothing). */
async function ifThere<T>(pending: Promise<T>): Promise<T | undefined> {
  return pending.catch((error: unknown) => {
    if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  });
}

/**
 * Files below a folder (or the file itself), with paths relative to it and `/` between folders.
 * @param within links to files are followed as long as they stay in this folder; `skipped` gets the names of the others. Without it no
 *   link is followed: what a job links to is not the job's.
 */
async function filesOf(path: string, within?: string, skipped: string[] = []): Promise<{ file: string; name: string }[]> {
  const base = within === undefined ? undefined : await realpath(within);
  /** The file or folder that a path stands for, when it may be read. */
  const real = async (file: string): Promise<string | undefined> => {
    const target = base === undefined ? undefined : await ifThere(realpath(file));
    return target !== undefined && base !== undefined && target.startsWith(base + sep) ? target : undefined;
  };
  let top = await ifThere(lstat(path));
  if (!top) return [];
  let folder = path;
  if (top.isSymbolicLink()) {
    const target = await real(path);
    if (target === undefined) skipped.push('');
    if (target === undefined) return [];
    folder = target;
    top = await lstat(target);
  }
  if (!top.isDirectory()) return top.isFile() ? [{ file: folder, name: '' }] : [];
  const found: { file: string; name: string }[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const name = relative(folder, file).split(sep).join('/');
    if (entry.isFile()) found.push({ file, name });
    else if (entry.isSymbolicLink()) {
      const target = await real(file);
      if (target !== undefined && (await stat(target)).isFile()) found.push({ file: target, name });
      else skipped.push(name);
    }
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Uploads a file or the content of a folder to a place.
 * @param within folder out of which no link is followed; the names of links that lead elsewhere are put into `skipped`
 * @returns number of files
 */
export async function storePath(
  storage: Storage,
  path: string,
  place: BlobPlace,
  within: string,
  skipped: string[] = [],
): Promise<number> {
  if (isEmptyFolder(path)) return 0;
  const files = await filesOf(path, within, skipped);
  const base = place.path.replace(/\/+$/, '');
  await eachOf(files, 8, ({ file, name }) => storage.writeFile({ ...place, path: name === '' ? base : `${base}/${name}` }, file));
  return files.length;
}

function isEmptyFolder(path: string): boolean {
  const top = lstatSync(path, { throwIfNoEntry: false });
  return top?.isDirectory() === true && readdirSync(path).length === 0;
}

/**
 * Copies a folder or file on this machine; copy-on-write where the file system can.
 * @param readOnly makes the copied files so (mounts), links and what they lead to aside; best effort, as root may write anyway
 */
export async function copyPath(from: string, to: string, readOnly = false): Promise<void> {
  const options = { recursive: true, mode: constants.COPYFILE_FICLONE, verbatimSymlinks: true };
  mkdirSync(dirname(to), { recursive: true });
  const small = smallTree(from);
  if (small) {
    cpSync(from, to, options);
    if (readOnly) for (const name of small) chmodSync(join(to, name), 0o444);
    return;
  }
  await cp(from, to, options);
  if (readOnly) await makeReadOnly(to);
}

/** Makes everything below a path read-only, links and what they lead to aside. */
export async function makeReadOnly(path: string): Promise<void> {
  for (const { file } of await filesOf(path)) await chmod(file, 0o444);
}

/** The files of a tree that is copied faster than the thread pool takes turns for it, as paths below it; undefined for a larger one. */
function smallTree(path: string): string[] | undefined {
  const top = lstatSync(path);
  if (!top.isDirectory()) return top.size > smallBytes ? undefined : top.isFile() ? [''] : [];
  const files: string[] = [];
  const folders = [''];
  let entries = 0;
  let bytes = 0;
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const listing = opendirSync(join(path, folder));
    try {
      for (let entry = listing.readSync(); entry; entry = listing.readSync()) {
        const name = join(folder, entry.name);
        if (entry.isDirectory()) folders.push(name);
        else if (entry.isFile()) {
          files.push(name);
          bytes += lstatSync(join(path, name)).size;
        }
        if (++entries > smallCount || bytes > smallBytes) return undefined;
      }
    } finally {
      listing.closeSync();
    }
  }
  return files;
}

/** Removes a tree's files without anybody waiting for it; they are gone when the tree has ended. */
export function discard(tree: Tree, path: string): void {
  const removal = rm(path, { recursive: true, force: true, maxRetries: 3 })
    .catch((error: unknown) => {
      tree.ctx.log.error(`${path} could not be removed`, error);
    })
    .finally(() => tree.leaving.delete(removal));
  tree.leaving.add(removal);
}

/**
 * Snapshots of code, fetched once and kept by the address of their content.
 */
export class SnapshotCache {
  readonly #folder: string;
  readonly #pending = new Map<string, Promise<string>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Folder with the snapshot of `key`; filled by `fill` when it is not there. Read-only by agreement. */
  get(key: string, fill: (folder: string) => Promise<void>): Promise<string> {
    let pending = this.#pending.get(key);
    if (!pending) {
      pending = this.#fetch(key, fill);
      this.#pending.set(key, pending);
      pending.catch(() => this.#pending.delete(key));
    }
    return pending;
  }

  async #fetch(key: string, fill: (folder: string) => Promise<void>): Promise<string> {
    const folder = join(this.#folder, createHash('sha256').update(key).digest('hex').slice(0, 32));
    if (await stat(folder).catch(() => undefined)) return folder;
    const making = `${folder}.${randomUUID()}`;
    await mkdir(making, { recursive: true });
    try {
      await fill(making);
      await rename(making, folder);
    } catch (error) {
      await rm(making, { recursive: true, force: true });
      // Another process of the same state folder was quicker: what it fetched is the same.
      if (['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) return folder;
      throw error;
    }
    return folder;
  }
}
