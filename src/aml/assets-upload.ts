/** Uploads of snapshots and local data: 16 requests at a time, nothing copied, nothing sent that is already there. */
import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { Failure } from '../azure/errors.js';
import type { BlobContainer } from '../azure/types.js';
import { readParts } from './snapshot/archive.js';
import type { SnapshotFile } from './snapshot/types.js';
import { together } from './together.js';

/** Files up to this size are read at once: hashing has just read them, and four trips to the thread pool cost more than the reading. */
const SMALL = 256 * 1024;
/** Files up to this size go in one request, larger ones in blocks of it. */
const WHOLE = 8 * 1024 * 1024;
const AT_ONCE = 16;
/** Of a block: its number and its MD5. */
const idLength = '000000-'.length + 32;

/** Lets at most `limit` pieces of work run at a time. */
export class Lanes {
  private running = 0;
  private waiting: (() => void)[] = [];
  /** Of those who have waited: taking them out one by one would move all the others, every time. */
  private gone = 0;
  constructor(private readonly limit = AT_ONCE) {}

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (!this.take()) await new Promise<void>((resolve) => this.waiting.push(resolve));
    try {
      return await work();
    } finally {
      this.give();
    }
  }

  /** A lane for more of the work that runs in one already; false when none is free. To be given back. */
  take(): boolean {
    if (this.running >= this.limit) return false;
    this.running++;
    return true;
  }

  give(): void {
    const next = this.waiting[this.gone];
    if (!next) {
      this.running--;
      return;
    }
    if (++this.gone === this.waiting.length) [this.waiting, this.gone] = [[], 0];
    next();
  }
}

interface Uploaded {
  files: number;
  bytes: number;
  /** Files that were there already, from a run that was interrupted. */
  reused: number;
}

/**
 * Puts files into a container as `{prefix}{file.name}`. With `resume`, blobs of the same size and MD5, or of the same blocks, stay as they are.
 * Errors: a file that changed since it was hashed; Failures of storage. One failed file stops the others.
 */
export async function uploadFiles(
  container: BlobContainer,
  prefix: string,
  files: readonly SnapshotFile[],
  options: { resume: boolean; lanes: Lanes; signal?: AbortSignal | undefined },
): Promise<Uploaded> {
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  // Every file in flight listens on the signal.
  setMaxListeners(0, signal);
  const there = options.resume ? await existing(container, prefix, signal) : new Map<string, { size: number; md5?: string }>();
  const result: Uploaded = { files: 0, bytes: 0, reused: 0 };
  const work = files.map((file) =>
    options.lanes.run(async () => {
      signal.throwIfAborted();
      const name = `${prefix}${file.name}`;
      const given = { there: there.get(name), resume: options.resume, lanes: options.lanes };
      const sent = await uploadFile(container, name, file, given, signal).catch((error: unknown) => {
        throw isGone(error, file) ? changed(file) : error;
      });
      if (sent === undefined) result.reused++;
      else {
        result.files++;
        result.bytes += sent;
      }
    }),
  );
  await together(work, stop);
  return result;
}

async function existing(
  container: BlobContainer,
  prefix: string,
  signal: AbortSignal,
): Promise<Map<string, { size: number; md5?: string }>> {
  const found = new Map<string, { size: number; md5?: string }>();
  for await (const { name, size, md5 } of container.list(prefix, signal)) {
    found.set(name, md5 === undefined ? { size } : { size, md5 });
  }
  return found;
}

interface Given {
  /** What has the file's name in the container. */
  there: { size: number; md5?: string } | undefined;
  resume: boolean;
  lanes: Lanes;
}

/** Gives the bytes that were sent; undefined when the file was there. */
async function uploadFile(
  container: BlobContainer,
  name: string,
  file: SnapshotFile,
  given: Given,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { there } = given;
  if (file.size <= WHOLE) {
    const bytes = file.parts
      ? readParts(file.parts, 0, file.size)
      : file.size <= SMALL
        ? readFileSync(file.path)
        : await readFile(file.path, { signal });
    // Other content of the same size would lie for good under the hash of what was there before: its time tells (an archive's parts are
    // judged as they are read).
    const same = bytes.byteLength === file.size && (file.parts !== undefined || statSync(file.path).mtimeMs === file.mtimeMs);
    if (!same) throw changed(file);
    if (there?.size === file.size && there.md5 === createHash('md5').update(bytes).digest('base64')) return undefined;
    await container.writeBytes(name, bytes, { signal });
    return file.size;
  }
  // Blocks that were not committed make no blob that a list shows.
  return uploadBlocks(container, name, file, given, signal);
}

/** Blocks are named after their content, so that those of an interrupted upload are taken as they are. */
async function uploadBlocks(
  container: BlobContainer,
  name: string,
  file: SnapshotFile,
  { there, resume, lanes }: Given,
  signal: AbortSignal,
): Promise<number | undefined> {
  let committed = there?.size === file.size ? await container.committedBlocks(name, signal) : [];
  const begun = resume ? await container.uncommittedBlocks(name, signal) : [];
  const known = new Set([...committed, ...begun.map(({ id }) => id)]);
  // All blocks of a blob must have names of one length: what another program has begun and not ended goes away when none of it is taken.
  if (begun.some(({ id }) => id.length !== idLength)) {
    await container.commitBlocks(name, [], { signal });
    committed = [];
    known.clear();
  }
  const ids: string[] = [];
  let sent = 0;
  let own = true;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const inFlight = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  const send = (id: string, block: Buffer, release: () => void): void => {
    const sending: Promise<void> = container.putBlock(name, id, block, either).finally(() => {
      inFlight.delete(sending);
      release();
    });
    // It may come while a block is read, when nobody waits for those in flight.
    sending.catch((error: unknown) => (failure ??= { error }));
    inFlight.add(sending);
  };
  const source = await openSource(file);
  try {
    for (let offset = 0; offset < file.size; offset += WHOLE) {
      signal.throwIfAborted();
      if (failure) throw failure.error;
      const block = await source.read(offset, Math.min(WHOLE, file.size - offset));
      const id = `${String(ids.length).padStart(6, '0')}-${createHash('md5').update(block).digest('hex')}`;
      ids.push(id);
      if (known.has(id)) continue;
      sent += block.length;
      // One goes in the file's own lane. More of them, up to four, where lanes are free: memory stays small however many files are large,
      // and a single one still fills the line.
      let release: (() => void) | undefined;
      while (!release) {
        if (own) {
          own = false;
          release = () => (own = true);
        } else if (inFlight.size < 4 && lanes.take()) release = () => lanes.give();
        else await Promise.race(inFlight);
      }
      send(id, block, release);
    }
    await Promise.all(inFlight);
    if (failure) throw failure.error;
    await source.same();
  } finally {
    // Nothing is written any more when this has failed.
    stop.abort();
    await Promise.allSettled(inFlight);
    await source.close();
  }
  if (committed.length === ids.length && committed.every((id, n) => id === ids[n])) return undefined;
  await container.commitBlocks(name, ids, { signal });
  return sent;
}

interface Source {
  read(offset: number, length: number): Promise<Buffer>;
  /** Throws when it is not the file any more that was hashed. */
  same(): Promise<void>;
  close(): Promise<void>;
}

/** A large file, to be read in blocks; it must be the one that was hashed, before the first block and after the last. */
async function openSource(file: SnapshotFile): Promise<Source> {
  const { parts } = file;
  const nothing = async () => undefined;
  // Each part is judged when it is read.
  if (parts) return { read: async (offset, length) => readParts(parts, offset, length), same: nothing, close: nothing };
  const same = async () => {
    const now = await stat(file.path);
    if (now.size !== file.size || now.mtimeMs !== file.mtimeMs) throw changed(file);
  };
  await same();
  const handle = await open(file.path, 'r');
  const read = async (offset: number, length: number): Promise<Buffer> => {
    const block = Buffer.allocUnsafe(length);
    const { bytesRead } = await handle.read(block, 0, length, offset);
    if (bytesRead !== length) throw changed(file);
    return block;
  };
  return { read, same, close: () => handle.close() };
}

/** The file was removed, or is a folder now. */
function isGone(error: unknown, file: SnapshotFile): boolean {
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  return (path === file.path && (code === 'ENOENT' || code === 'ENOTDIR')) || (code === 'EISDIR' && syscall === 'read');
}

function changed(file: SnapshotFile): Failure {
  return new Failure(`${file.path} changed or was removed while it was being uploaded.`, {
    code: 'FileChanged',
    file: file.path,
    advice: 'Run again when nothing writes to the folder.',
  });
}
