/** A model on the agent's disk: listed, hashed, uploaded to the place that its bytes name. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Failure } from '../azure/errors.js';
import type { BlobContainer } from '../azure/types.js';
import { eachOf, type FileSum } from './models-files.js';
import { blockSize, smallFile } from './models-copy.js';
import { toSlash } from './snapshot/ignore.js';

export interface LocalFile {
  /** Below the model's root, `/` between folders. */
  path: string;
  file: string;
  size: number;
}

/** Files of a folder, or the one file. Links are followed; a link that leads nowhere, and an empty folder, are errors. */
export async function localFiles(root: string): Promise<{ files: LocalFile[]; single: boolean }> {
  const info = await stat(root).catch((error: unknown) => {
    const missing = (error as { code?: string }).code === 'ENOENT';
    throw new Failure(missing ? `There is nothing at ${root}.` : `${root} cannot be read: ${(error as Error).message}`, {
      code: 'ModelNotFound',
      input: 'modelPath',
      advice: 'Give a folder or file of this agent, relative to the root of the sources, or an azureml:// or runs:/ address.',
      cause: error,
    });
  });
  if (info.isFile()) return { files: [{ path: basename(root), file: root, size: info.size }], single: true };
  const files: LocalFile[] = [];
  for (const entry of await readdir(root, { recursive: true })) {
    const file = join(root, entry);
    const found = await stat(file);
    if (found.isFile()) files.push({ path: toSlash(entry), file, size: found.size });
  }
  if (files.length === 0)
    throw new Failure(`${root} has no files.`, {
      code: 'ModelEmpty',
      input: 'modelPath',
      advice: 'Give the folder that the model was written to, or a file.',
    });
  return { files, single: false };
}

export async function hashLocal(files: readonly LocalFile[]): Promise<FileSum[]> {
  const sums: FileSum[] = [];
  await eachOf(files, 8, async ({ path, file, size }, index) => {
    const hash = createHash('sha256');
    for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) hash.update(piece);
    sums[index] = { path, size, sha256: hash.digest('hex') };
  });
  return sums;
}

/** Uploads what is not there yet; the same names and marks as a copy, so that either can go on with the other's work. */
export async function uploadLocal(
  files: readonly LocalFile[],
  sums: readonly FileSum[],
  target: BlobContainer,
  prefix: string,
  signal?: AbortSignal,
): Promise<void> {
  await eachOf(files, 16, async ({ path, file, size }, index) => {
    const name = `${prefix}/${path}`;
    const sha256 = sums[index]!.sha256;
    const metadata = { amlops_sha256: sha256 };
    const there = await target.head(name, signal);
    if (there?.size === size && there.metadata['amlops_sha256'] === sha256) return;
    const options = { metadata, ...(signal ? { signal } : {}) };
    const check = (bytes: string) => {
      if (bytes !== sha256)
        throw new Failure(`${file} changed while it was uploaded.`, { code: 'ModelChanged', input: 'modelPath' });
    };
    if (size <= smallFile) {
      const bytes = await readFile(file);
      check(createHash('sha256').update(bytes).digest('hex'));
      await target.writeBytes(name, bytes, options);
      return;
    }
    const hash = createHash('sha256');
    const ids: string[] = [];
    for await (const block of createReadStream(file, { highWaterMark: blockSize }) as AsyncIterable<Buffer>) {
      hash.update(block);
      const id = String(ids.length).padStart(5, '0');
      await target.putBlock(name, id, block, signal);
      ids.push(id);
    }
    check(hash.digest('hex'));
    await target.commitBlocks(name, ids, options);
  });
}
