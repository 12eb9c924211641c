/**
 * Copies a model's files from container to container: streamed, parallel, resumable by block, hashed on the way, nothing on the agent's
 * disk (docs/release.md, "Copy"). Blobs that are there already are told by size and by the SHA-256 that was written with them.
 */
import { createHash } from 'node:crypto';
import { Failure } from '../azure/errors.js';
import type { BlobContainer } from '../azure/types.js';
import { eachOf, type BlobModelFiles, type FileSum, type ModelBlob } from './models-files.js';
import { Sha256 } from './models-sha256.js';

/** Up to here a file is one request; above it goes in blocks. */
export const smallFile = 4 * 1024 * 1024;
/** A multiple of 64, so that the hash's state after each block can travel in the block's name. */
export const blockSize = 8 * 1024 * 1024;
const smallParallel = 24;
const blockParallel = 4;
const largeParallel = 2;

export interface CopyOptions {
  signal?: AbortSignal;
  /** Bytes that were moved by this call, and bytes in all. */
  progress?: (moved: number, total: number) => void;
}

interface Copied {
  files: FileSum[];
  /** Bytes read from the source by this call: what a resume has moved. */
  moved: number;
}

const sumKey = 'amlops_sha256';

/**
 * Makes `prefix` (no final slash) hold exactly the source's files. Gives the digests of the bytes there.
 * Errors: `Failure` from storage; what was copied stays for the next attempt.
 */
export async function copyModel(
  source: BlobModelFiles,
  target: BlobContainer,
  prefix: string,
  options: CopyOptions = {},
): Promise<Copied> {
  const { signal } = options;
  const files = await source.list();
  const wanted = new Set(files.map(({ path }) => path));
  const there = new Map<string, number>();
  const strays: string[] = [];
  for await (const item of target.list(`${prefix}/`, signal)) {
    const path = item.name.slice(prefix.length + 1);
    if (wanted.has(path)) there.set(path, item.size);
    else strays.push(item.name);
  }
  await eachOf(strays, smallParallel, async (name) => void (await target.delete(name, signal ? { signal } : {})));
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const sums = new Map<string, string>();
  let moved = 0;
  const count = (bytes: number) => {
    moved += bytes;
    options.progress?.(moved, total);
  };
  const copyOne = async (file: ModelBlob) => {
    const name = `${prefix}/${file.path}`;
    const known = there.get(file.path) === file.size ? (await target.head(name, signal))?.metadata[sumKey] : undefined;
    const sha256 = known ?? (await (file.size <= smallFile ? copySmall : copyLarge)(source, file, target, name, count, signal));
    sums.set(file.path, sha256);
  };
  // Large ones first and few at a time: each is many requests by itself.
  const large = files.filter(({ size }) => size > smallFile).sort((a, b) => b.size - a.size);
  await eachOf(large, largeParallel, copyOne);
  await eachOf(
    files.filter(({ size }) => size <= smallFile),
    smallParallel,
    copyOne,
  );
  return { files: files.map(({ path, size }) => ({ path, size, sha256: sums.get(path) ?? '' })), moved };
}

type CopyFile = (
  source: BlobModelFiles,
  file: ModelBlob,
  target: BlobContainer,
  name: string,
  count: (bytes: number) => void,
  signal?: AbortSignal,
) => Promise<string>;

const copySmall: CopyFile = async (source, file, target, name, count, signal) => {
  const bytes = await source.readBytes(file);
  count(bytes.length);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  await target.writeBytes(name, bytes, { metadata: { [sumKey]: sha256 }, ...(signal ? { signal } : {}) });
  return sha256;
};

/**
 * In blocks. A block's name holds its number and the hash's state after it, so a later attempt goes on behind the last block of an
 * unbroken row without reading the bytes before it again. Of another source (other etag) nothing is taken over.
 */
const copyLarge: CopyFile = async (source, file, target, name, count, signal) => {
  const mark = createHash('sha256').update(`${file.etag}\n${file.size}`).digest('hex').slice(0, 8);
  const ids: string[] = [];
  let hash = new Sha256();
  for (const block of (await target.uncommittedBlocks(name, signal)).sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const state = readId(block.id, ids.length, mark);
    if (!state || block.size !== blockSize) continue;
    ids.push(block.id);
    hash = state;
  }
  const done = ids.length * blockSize;
  const pending = new Set<Promise<void>>();
  const broken: { by?: Error } = {};
  let arrived = done;
  if (done < file.size)
    for await (const block of blocksOf(await source.read(file, done))) {
      hash.update(block);
      arrived += block.length;
      count(block.length);
      const id = blockId(ids.length, mark, hash);
      ids.push(id);
      if (pending.size >= blockParallel) await Promise.race(pending);
      if (broken.by) break;
      const put: Promise<void> = target
        .putBlock(name, id, block, signal)
        .catch((error: unknown) => void (broken.by ??= error as Error))
        .finally(() => pending.delete(put));
      pending.add(put);
    }
  await Promise.all(pending);
  if (broken.by) throw broken.by;
  source.check(file, arrived);
  const sha256 = hash.hex();
  await target.commitBlocks(name, ids, { metadata: { [sumKey]: sha256 }, ...(signal ? { signal } : {}) });
  return sha256;
};

/** 64 characters at most, all of one length, as storage demands: number, source mark, state (32 bytes) in base64. */
function blockId(number: number, mark: string, hash: Sha256): string {
  return `${String(number).padStart(5, '0')}.${mark}.${hash.state().toString('base64url').padEnd(46, '.')}`;
}

function readId(id: string, number: number, mark: string): Sha256 | undefined {
  const match = /^(\d{5})\.([0-9a-f]{8})\.([\w-]{43})\.*$/.exec(id);
  if (!match || Number(match[1]) !== number || match[2] !== mark) return undefined;
  return Sha256.resume(Buffer.from(match[3]!, 'base64url'), (number + 1) * blockSize);
}

async function* blocksOf(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const piece of pieces) {
    let rest = piece;
    while (size + rest.length >= blockSize) {
      const cut = blockSize - size;
      parts.push(rest.subarray(0, cut));
      yield Buffer.concat(parts, blockSize);
      parts = [];
      size = 0;
      rest = rest.subarray(cut);
    }
    if (rest.length > 0) {
      parts.push(rest);
      size += rest.length;
    }
  }
  if (size > 0) yield Buffer.concat(parts, size);
}

/** Removes everything under a prefix; for bytes that turned out to be the wrong ones. */
export async function removeAll(target: BlobContainer, prefix: string, signal?: AbortSignal): Promise<void> {
  const names: string[] = [];
  for await (const item of target.list(`${prefix}/`, signal)) names.push(item.name);
  await eachOf(names, smallParallel, async (name) => {
    if (!name.startsWith(`${prefix}/`)) throw new Failure(`${name} is not under ${prefix}.`, { code: 'PathOutside' });
    await target.delete(name, signal ? { signal } : {});
  });
}
