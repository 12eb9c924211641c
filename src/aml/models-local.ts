/** A model on the agent's disk: listed, hashed, uploaded to the place that its bytes name. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Failure } from '../azure/errors.js';
import type { BlobContainer } from '../azure/types.js';
import { eachOf, type FileSum } from './models-files.js';
import { blockSize, smallFile } from './models-copy.js';

interface LocalFile {
  /** Below the model's root, `/` between folders. */
  path: string;
  file: string;
  size: number;
}

/** Files of a folder, or the one file. Links are followed; one that leads nowhere or into a circle, and an empty folder, are errors. */
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
  await collect(root, '', [], files);
  if (files.length === 0)
    throw new Failure(`${root} has no files.`, {
      code: 'ModelEmpty',
      input: 'modelPath',
      advice: 'Give the folder that the model was written to, or a file.',
    });
  return { files, single: false };
}

/** `above`: where the folders around this one really lie; a link to one of them would never end. */
async function collect(folder: string, prefix: string, above: readonly string[], files: LocalFile[]): Promise<void> {
  const real = await realpath(folder).catch(unreadable(folder));
  if (above.includes(real)) throw circle(folder);
  for (const name of await readdir(folder).catch(unreadable(folder))) {
    const file = join(folder, name);
    const found = await stat(file).catch(unreadable(file));
    if (found.isFile()) files.push({ path: `${prefix}${name}`, file, size: found.size });
    else if (found.isDirectory()) await collect(file, `${prefix}${name}/`, [...above, real], files);
  }
}

function circle(folder: string): Failure {
  return new Failure(`${folder} is a link into a folder that it lies in itself.`, {
    code: 'ModelUnreadable',
    input: 'modelPath',
    advice: 'Remove the link: the model would never end.',
  });
}

/** What the file system says of a model's file, in a user's words. */
function unreadable(file: string): (error: unknown) => never {
  return (error) => {
    const { code, path } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new Failure(`${path ?? file} cannot be read (${code}).`, {
      code: 'ModelUnreadable',
      input: 'modelPath',
      advice: 'Links must lead to what is there, and the user of the agent must have the right to read every file.',
      cause: error,
    });
  };
}

export async function hashLocal(files: readonly LocalFile[]): Promise<FileSum[]> {
  const sums: FileSum[] = [];
  await eachOf(files, 8, async ({ path, file, size }, index) => {
    const hash = createHash('sha256');
    const reading = async () => {
      for await (const piece of createReadStream(file) as AsyncIterable<Buffer>) hash.update(piece);
    };
    await reading().catch(unreadable(file));
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
