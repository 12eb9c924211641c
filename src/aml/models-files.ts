/** Bytes of a model version in blob storage: listed, hashed, copied (design §6). */
import { createHash } from 'node:crypto';
import { Failure } from '../azure/errors.js';
import type { BlobContainer, BlobItem } from '../azure/types.js';

export interface FileSum {
  path: string;
  size: number;
  /** Lower-case hex. */
  sha256: string;
}

export interface ModelBlob {
  /** Below the model's root. */
  path: string;
  size: number;
  /** Whole name in the container. */
  name: string;
  etag: string;
}

/** How many small files are under way at once; a connection each. */
const parallel = 24;

/** Runs `work` over all items, `width` at a time; the first error ends it. */
export async function eachOf<T>(
  items: readonly T[],
  width: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  let stopped = false;
  const worker = async () => {
    for (let at = next++; at < items.length && !stopped; at = next++) {
      try {
        await work(items[at]!, at);
      } catch (error) {
        stopped = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}

/** A model's files: a folder of blobs, or one blob. */
export class BlobModelFiles {
  #listed: Promise<ModelBlob[]> | undefined;
  /** `path` in the container, no final slash; a folder or one blob. */
  constructor(
    readonly container: BlobContainer,
    readonly path: string,
    private readonly label: string,
    private readonly signal?: AbortSignal,
  ) {}

  /** Errors: `Failure` `ModelEmpty` when nothing is there. */
  list(): Promise<ModelBlob[]> {
    this.#listed ??= this.#list();
    return this.#listed;
  }

  /** Whether the model is one blob rather than a folder. */
  async single(): Promise<boolean> {
    const files = await this.list();
    return files.length === 1 && files[0]!.name === this.path;
  }

  async #list(): Promise<ModelBlob[]> {
    const items: (BlobItem & { path: string })[] = [];
    for await (const item of this.container.list(this.path, this.signal)) {
      if (item.name === this.path) items.push({ ...item, path: item.name.split('/').at(-1) ?? item.name });
      else if (this.path === '' || item.name.startsWith(`${this.path}/`)) {
        const path = this.path === '' ? item.name : item.name.slice(this.path.length + 1);
        if (path !== '' && !path.endsWith('/')) items.push({ ...item, path });
      }
    }
    // A Data Lake account lists folders as empty blobs of the folder's name.
    const folders = new Set(
      items.flatMap(({ path }) =>
        path
          .split('/')
          .slice(0, -1)
          .map((_, i, parts) => parts.slice(0, i + 1).join('/')),
      ),
    );
    const files = items.filter(
      ({ name, path, size }) => !(size === 0 && (folders.has(path) || (name === this.path && items.length > 1))),
    );
    if (files.length === 0)
      throw new Failure(`${this.label} has no files: nothing is at ${this.container.url}/${this.path}.`, {
        code: 'ModelEmpty',
        advice: 'Check that the job wrote its model there, and that nobody removed it.',
      });
    return files.map(({ name, path, size, etag }) => ({ name, path, size, etag }));
  }

  /** Reads every byte. Errors: `Failure` when a file changes or goes away meanwhile. */
  async hash(): Promise<FileSum[]> {
    const files = await this.list();
    const sums: FileSum[] = [];
    await eachOf(files, parallel, async (file, index) => {
      const hash = createHash('sha256');
      let size = 0;
      for await (const piece of await this.read(file)) {
        hash.update(piece);
        size += piece.length;
      }
      this.check(file, size);
      sums[index] = { path: file.path, size, sha256: hash.digest('hex') };
    });
    return sums;
  }

  /** One file as pieces, of the etag that was listed. */
  async read(file: ModelBlob, offset = 0): Promise<AsyncIterable<Buffer>> {
    const options = {
      ...(file.etag ? { ifMatch: file.etag } : {}),
      ...(this.signal ? { signal: this.signal } : {}),
      ...(offset ? { offset } : {}),
    };
    const got = await this.container.read(file.name, options);
    if (!got) throw new Failure(`${file.path} of ${this.label} went away while it was read.`, { code: 'ModelChanged' });
    return got.stream as AsyncIterable<Buffer>;
  }

  async readBytes(file: ModelBlob): Promise<Buffer> {
    const got = await this.container.readBytes(file.name, {
      maxBytes: file.size + 1,
      ...(this.signal ? { signal: this.signal } : {}),
    });
    if (!got) throw new Failure(`${file.path} of ${this.label} went away while it was read.`, { code: 'ModelChanged' });
    this.check(file, got.bytes.length);
    return got.bytes;
  }

  check(file: ModelBlob, size: number): void {
    if (size !== file.size)
      throw new Failure(`${file.path} of ${this.label} has ${file.size} bytes, but ${size} arrived.`, { code: 'ModelChanged' });
  }
}
