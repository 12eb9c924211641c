/** One blob container in memory, with the rules of storage that uploads go by. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Failure } from '../../src/azure/errors.js';
import type { BlobContainer } from '../../src/azure/types.js';

const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('base64');

/** Blobs as storage keeps them. `before` is awaited before anything is written. */
export class BlobStore {
  readonly blobs = new Map<string, { bytes: Buffer; ids: string[]; metadata?: Record<string, string> }>();
  /** Not committed yet. */
  readonly blocks = new Map<string, Buffer>();
  readonly #committed = new Map<string, Buffer>();
  readonly written: string[] = [];
  running = 0;
  most = 0;
  constructor(readonly before: (name: string, signal?: AbortSignal) => Promise<void> | void = () => undefined) {}

  async #write(what: string, signal: AbortSignal | undefined, body: () => void): Promise<void> {
    this.written.push(what);
    this.most = Math.max(this.most, ++this.running);
    try {
      await new Promise((resolve) => setImmediate(resolve));
      await this.before(what, signal);
      signal?.throwIfAborted();
      body();
    } finally {
      this.running -= 1;
    }
  }

  readonly container = {
    url: 'https://acct.blob.core.windows.net/store',
    list: (prefix: string) => this.#list(prefix),
    writeBytes: async (name: string, bytes: Buffer, { signal }: { signal?: AbortSignal } = {}) => {
      await this.#write(name, signal, () => this.blobs.set(name, { bytes: Buffer.from(bytes), ids: [] }));
      return { etag: '' };
    },
    putBlock: async (name: string, id: string, bytes: Buffer, signal?: AbortSignal) => {
      // The caller may reuse its memory.
      const own = Buffer.from(bytes);
      await this.#write(`${name} ${id}`, signal, () => {
        for (const { length } of this.blocks.keys())
          if (length !== id.length) throw new Failure('another length', { code: 'InvalidBlobOrBlock', status: 400 });
        this.blocks.set(id, own);
      });
    },
    commitBlocks: async (name: string, ids: string[]) => {
      this.written.push(`${name} commit`);
      for (const [id, bytes] of this.blocks) this.#committed.set(id, bytes);
      this.blocks.clear();
      this.blobs.set(name, { bytes: Buffer.concat(ids.map((id) => this.#committed.get(id) ?? assert.fail(id))), ids });
      return { etag: '' };
    },
    setMetadata: async (name: string, metadata: Record<string, string>) => {
      await new Promise((resolve) => setImmediate(resolve));
      this.written.push(`${name} metadata`);
      Object.assign(this.blobs.get(name) ?? assert.fail(name), { metadata });
    },
    head: async (name: string) => {
      const there = this.blobs.get(name);
      return there && { name, size: there.bytes.length, etag: '', lastModified: new Date(), metadata: there.metadata ?? {} };
    },
    committedBlocks: async (name: string) => this.blobs.get(name)?.ids ?? [],
    uncommittedBlocks: async () => [...this.blocks].map(([id, { length }]) => ({ id, size: length })),
  } as unknown as BlobContainer;

  async *#list(prefix: string) {
    for (const [name, { bytes, ids }] of this.blobs) {
      await Promise.resolve();
      const sum = ids.length > 0 ? {} : { md5: md5(bytes) };
      if (name.startsWith(prefix)) yield { name, size: bytes.length, etag: '', lastModified: new Date(), ...sum };
    }
  }
}
