import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import type { BlobContainer } from '../../src/azure/types.js';
import { blockSize, copyModel } from '../../src/aml/models-copy.js';
import { BlobModelFiles } from '../../src/aml/models-files.js';
import { Sha256 } from '../../src/aml/models-sha256.js';

/** A container in memory; `failAfter` writes fail from then on. */
class Memory {
  readonly blobs = new Map<string, { bytes: Buffer; metadata: Record<string, string> }>();
  readonly blocks = new Map<string, Map<string, Buffer>>();
  failAfter = Infinity;
  reads = 0;
  readonly url = 'https://acct.blob.core.localhost/c';
  #write(): void {
    if (this.failAfter-- <= 0) throw new Error('the line is cut');
  }
  container(): BlobContainer {
    const { blobs, blocks } = this;
    return {
      url: this.url,
      list: async function* (prefix: string) {
        await Promise.resolve();
        for (const [name, { bytes }] of [...blobs].sort())
          if (name.startsWith(prefix)) yield { name, size: bytes.length, etag: `e${bytes.length}`, lastModified: new Date(0) };
      },
      head: (name: string) => {
        const blob = blobs.get(name);
        return Promise.resolve(
          blob && { name, size: blob.bytes.length, etag: '', lastModified: new Date(0), metadata: blob.metadata },
        );
      },
      read: (name: string, { offset = 0 } = {}) => {
        const blob = blobs.get(name);
        if (!blob) return Promise.resolve(undefined);
        const rest = blob.bytes.subarray(offset);
        const pieces = Array.from({ length: Math.ceil(rest.length / 100_003) }, (_, i) =>
          rest.subarray(i * 100_003, (i + 1) * 100_003),
        );
        this.reads += rest.length;
        return Promise.resolve({ stream: Readable.from(pieces), size: blob.bytes.length, etag: '' });
      },
      readBytes: (name: string) => {
        const blob = blobs.get(name);
        this.reads += blob?.bytes.length ?? 0;
        return Promise.resolve(blob && { bytes: blob.bytes, etag: '' });
      },
      writeBytes: (name: string, bytes: Uint8Array, options: { metadata?: Record<string, string> } = {}) => {
        this.#write();
        blobs.set(name, { bytes: Buffer.from(bytes), metadata: options.metadata ?? {} });
        return Promise.resolve({ etag: '' });
      },
      putBlock: async (name: string, id: string, bytes: Uint8Array) => {
        await new Promise((resolve) => setImmediate(resolve));
        this.#write();
        if (!blocks.has(name)) blocks.set(name, new Map());
        blocks.get(name)!.set(id, Buffer.from(bytes));
      },
      committedBlocks: async () => [],
      uncommittedBlocks: (name: string) =>
        Promise.resolve([...(blocks.get(name) ?? [])].map(([id, bytes]) => ({ id, size: bytes.length }))),
      commitBlocks: (name: string, ids: string[], options: { metadata?: Record<string, string> } = {}) => {
        this.#write();
        assert.equal(new Set(ids.map((id) => Buffer.from(id).length)).size, 1, 'block names are of one length');
        assert.ok(ids.every((id) => Buffer.from(id).length <= 64));
        blobs.set(name, { bytes: Buffer.concat(ids.map((id) => blocks.get(name)!.get(id)!)), metadata: options.metadata ?? {} });
        blocks.delete(name);
        return Promise.resolve({ etag: '' });
      },
      setMetadata: () => Promise.resolve(),
      delete: (name: string) => Promise.resolve(blobs.delete(name)),
    };
  }
}
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('aml: copying models', () => {
  it('hashes as Node does, also from a state that was put back', () => {
    for (const size of [0, 1, 55, 56, 63, 64, 65, 127, 128, 1000, 100_000]) {
      const bytes = randomBytes(size);
      const hash = new Sha256();
      for (let at = 0; at < size; at += 37) hash.update(bytes.subarray(at, at + 37));
      assert.equal(hash.hex(), sha(bytes), `${size}`);
      const half = size - (size % 64);
      const state = new Sha256().update(bytes.subarray(0, half)).state();
      assert.equal(Sha256.resume(state, half).update(bytes.subarray(half)).hex(), sha(bytes));
    }
  });

  it('copies exactly the files, removes strays, and resumes by file and by block', async () => {
    const from = new Memory();
    const to = new Memory();
    const content: Record<string, Buffer> = {
      MLmodel: Buffer.from('flavors'),
      'data/é.bin': randomBytes(1000),
      'big.bin': randomBytes(blockSize * 5 + 12345),
    };
    for (const [path, bytes] of Object.entries(content)) from.blobs.set(`m/1/${path}`, { bytes, metadata: {} });
    from.blobs.set('m/10/other', { bytes: Buffer.from('no'), metadata: {} });
    to.blobs.set('p/stray', { bytes: Buffer.from('x'), metadata: {} });
    to.blobs.set('p/MLmodel', { bytes: Buffer.from('changed'), metadata: {} });
    const source = () => new BlobModelFiles(from.container(), 'm/1', 'm:1');
    to.failAfter = 4;
    await assert.rejects(copyModel(source(), to.container(), 'p'), /line is cut/);
    to.failAfter = Infinity;
    const { files, moved } = await copyModel(source(), to.container(), 'p');
    assert.ok(moved > 0, 'what is moved is counted');
    assert.ok(moved <= content['big.bin']!.length - 4 * blockSize + 2000, `${moved} bytes were moved after four of five blocks`);
    assert.deepEqual([...to.blobs.keys()].sort(), ['p/MLmodel', 'p/big.bin', 'p/data/é.bin']);
    for (const { path, size, sha256 } of files) {
      assert.equal(sha256, sha(content[path]!), path);
      assert.equal(size, content[path]!.length);
      assert.ok(to.blobs.get(`p/${path}`)!.bytes.equals(content[path]!), path);
    }
    from.reads = 0;
    assert.deepEqual((await copyModel(source(), to.container(), 'p')).files, files);
    assert.equal(from.reads, 0, 'a second copy moves nothing');
    assert.deepEqual(await source().hash(), files);
  });

  it('takes a single file for a model, and says when there is nothing', async () => {
    const from = new Memory();
    from.blobs.set('x/model.pkl', { bytes: Buffer.from('a'), metadata: {} });
    const single = new BlobModelFiles(from.container(), 'x/model.pkl', 'm:1');
    assert.deepEqual(
      (await single.list()).map(({ path }) => path),
      ['model.pkl'],
    );
    assert.equal(await single.single(), true);
    await assert.rejects(new BlobModelFiles(from.container(), 'x/mod', 'm:1').list(), /m:1 has no files/);
  });
});
