/** Uploads: the bytes that were hashed and no others, nothing twice, nothing after a failure or a cancel, so many at a time. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, rmSync, statSync, truncateSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Lanes, uploadFiles } from '../../src/aml/assets-upload.js';
import type { SnapshotFile } from '../../src/aml/snapshot/types.js';
import { Failure } from '../../src/azure/errors.js';
import { BlobStore as Store } from '../support/blob-store.js';
import { cleanUp, files } from './compile/support.js';

const block = 8 * 1024 * 1024;

describe('uploads', () => {
  afterEach(cleanUp);

  /** Files as the walk has found them. */
  function found(given: Record<string, string | Buffer>): SnapshotFile[] {
    const folder = files(given);
    return Object.keys(given).map((name) => {
      const { size, mtimeMs } = statSync(folder.path(name));
      return { path: folder.path(name), name, size, mtimeMs };
    });
  }
  const upload = (store: Store, list: readonly SnapshotFile[], options: { resume?: boolean; signal?: AbortSignal } = {}) =>
    uploadFiles(store.container, 'p/', list, { resume: false, lanes: new Lanes(), ...options });
  const changed = (error: unknown) =>
    error instanceof Failure && error.code === 'FileChanged' && error.details.file !== undefined;

  it('sends no bytes but those that were hashed: another size, another time, gone', async () => {
    const sizes = { small: 'x'.repeat(10), middle: 'y'.repeat(300_000), large: Buffer.alloc(block + 1, 'z') };
    for (const [name, content] of Object.entries(sizes)) {
      const changes: ((path: string) => void)[] = [
        // Either the size tells, or the time.
        (path) => (writeFileSync(path, `${content.toString()}+`), utimesSync(path, 1, 1)),
        (path) => (writeFileSync(path, Buffer.alloc(content.length, 'n')), utimesSync(path, 2, 2)),
        (path) => unlinkSync(path),
      ];
      for (const change of changes) {
        const store = new Store();
        const list = found({ [name]: content }).map((file) => (utimesSync(file.path, 1, 1), { ...file, mtimeMs: 1_000 }));
        change(list[0]?.path ?? '');
        await assert.rejects(upload(store, list), changed, name);
        assert.equal(store.blobs.size, 0);
      }
    }
    // While its blocks go up: cut off, or written to.
    for (const change of [(path: string) => truncateSync(path, block), (path: string) => appendFileSync(path, '+')]) {
      const list = found({ large: Buffer.alloc(7 * block, 'a') });
      const store = new Store(() => change(list[0]?.path ?? ''));
      await assert.rejects(upload(store, list), changed);
      assert.deepEqual([store.blobs.size, store.running], [0, 0]);
    }
    // A folder in the place of the file, or of the folder that it was in.
    for (const [name, change] of [
      ['a', (path: string) => (unlinkSync(path), mkdirSync(path))],
      ['sub/a', (path: string) => (rmSync(dirname(path), { recursive: true }), writeFileSync(dirname(path), ''))],
    ] as const) {
      const list = found({ [name]: 'x' });
      change(list[0]?.path ?? '');
      await assert.rejects(upload(new Store(), list), changed, name);
    }
  });

  it('what another program has begun in blocks of its own and not ended stands in no way', async () => {
    const large = Buffer.alloc(2 * block + 5, 'a');
    const store = new Store();
    store.blocks.set('another-program-0', Buffer.from('x'));
    // Also where it has written the blob before, in the same blocks as we do, and had begun it once more.
    for (const before of [undefined, large]) {
      if (before) store.blocks.set('another-program-0', Buffer.from('x'));
      assert.deepEqual(await upload(store, found({ large }), { resume: true }), { files: 1, bytes: large.length, reused: 0 });
      assert.ok(store.blobs.get('p/large')?.bytes.equals(large));
    }
  });

  it('says why a block was refused, also when that comes while the next one is read, and commits nothing', async () => {
    const store = new Store();
    const container = {
      ...store.container,
      putBlock: async (name: string, id: string, bytes: Uint8Array) => {
        if (id.startsWith('000000-')) throw new Failure('no more room', { code: 'Full' });
        await store.container.putBlock(name, id, bytes);
      },
    };
    const list = found({ large: Buffer.alloc(3 * block, 'a') });
    await assert.rejects(uploadFiles(container, 'p/', list, { resume: false, lanes: new Lanes() }), /no more room/);
    assert.deepEqual(
      store.written.filter((what) => what.endsWith('commit')),
      [],
    );
  });

  it('resumes: what is there with the same bytes stays, whole files and blocks; another of the same size does not', async () => {
    const large = Buffer.alloc(2 * block + 5, 'a');
    large.write('b', block);
    const list = found({ same: 'same', other: 'new', large });
    const store = new Store();
    store.blobs.set('p/same', { bytes: Buffer.from('same'), ids: [] });
    store.blobs.set('p/other', { bytes: Buffer.from('old'), ids: [] });
    assert.deepEqual(await upload(store, list, { resume: true }), { files: 2, bytes: 3 + large.length, reused: 1 });
    assert.equal(store.blobs.get('p/other')?.bytes.toString(), 'new');
    assert.ok(store.blobs.get('p/large')?.bytes.equals(large));
    // All is there now.
    store.written.length = 0;
    assert.deepEqual(await upload(store, list, { resume: true }), { files: 0, bytes: 0, reused: 3 });
    assert.deepEqual(store.written, []);
    // One block differs, in a file of the same size: that block goes, and the list of blocks.
    large.write('c', block);
    const next = found({ large });
    assert.deepEqual(await upload(store, next, { resume: true }), { files: 1, bytes: block, reused: 0 });
    assert.equal(store.written.length, 2);
    assert.ok(store.blobs.get('p/large')?.bytes.equals(large));
    // A run that was killed left blocks that nobody committed.
    const cut = new Store((what) => {
      if (what.includes(' 000002-')) throw new Failure('no', { code: 'Http403', status: 403 });
    });
    await assert.rejects(upload(cut, next, { resume: true }), /no/);
    assert.equal(cut.blobs.size, 0);
    const again = new Store();
    for (const [id, bytes] of cut.blocks) again.blocks.set(id, bytes);
    assert.deepEqual(await upload(again, next, { resume: true }), { files: 1, bytes: 5, reused: 0 });
    assert.ok(again.blobs.get('p/large')?.bytes.equals(large));
  });

  it('one that fails stops the others: nothing starts after it, nothing runs on, and its error is the one that is told', async () => {
    const list = found(Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`f${n}`, `${n}`])));
    const stopped: string[] = [];
    const store = new Store(async (name, signal) => {
      if (name === 'p/f3') throw new Failure('storage says no', { code: 'AuthorizationFailure', status: 403 });
      if (!signal?.aborted) await new Promise((resolve) => signal?.addEventListener('abort', resolve));
      stopped.push(name);
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
    await assert.rejects(upload(store, list), /storage says no/);
    assert.equal(store.running, 0);
    // The lane that it left may have let one in.
    assert.ok(store.written.length <= 17, `${store.written.length} of 60`);
    assert.equal(stopped.length, store.written.length - 1);
    assert.equal(store.blobs.size, 0);
  });

  it('a cancel stops it, also in the midst of a large file', async () => {
    for (const list of [
      found({ large: Buffer.alloc(9 * block, 'a') }),
      found(Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`f${n}`, '']))),
    ]) {
      const abort = new AbortController();
      const store = new Store(() => abort.abort(new Error('cancelled here')));
      await assert.rejects(upload(store, list, { signal: abort.signal }), /cancelled here/);
      assert.ok(store.written.length <= 16, store.written.join());
      assert.equal(store.blobs.size, 0);
      assert.equal(store.running, 0);
    }
    // Also where all that is left is to see which blocks are there.
    const list = found({ large: Buffer.alloc(3 * block, 'a') });
    const store = new Store(({ length }) => {
      if (length > 0 && store.blocks.size === 2) throw new Error('killed');
    });
    await assert.rejects(upload(store, list, { resume: true }), /killed/);
    const abort = new AbortController();
    const again = new Store();
    for (const [id, bytes] of store.blocks) again.blocks.set(id, bytes);
    const blocks = again.container.uncommittedBlocks.bind(again.container);
    again.container.uncommittedBlocks = (name) => (abort.abort(new Error('cancelled here')), blocks(name));
    await assert.rejects(upload(again, list, { resume: true, signal: abort.signal }), /cancelled here/);
    assert.deepEqual(again.written, []);
  });

  it('keeps to its lanes: sixteen files, four blocks of one file, and each that ends lets the next one in', async () => {
    const many = new Store();
    const list = found(Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`f${n}`, 'x'])));
    assert.equal((await upload(many, list)).files, 80);
    assert.equal(many.most, 16);
    // Held until four are under way, and a moment for a fifth.
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const one: Store = new Store(async () => {
      if (one.running === 4) setTimeout(release, 300);
      await held;
    });
    assert.equal((await upload(one, found({ large: Buffer.alloc(9 * block, 'a') }))).bytes, 9 * block);
    assert.equal(one.most, 4);
    // All of several large files together: what is under way is in memory.
    let open: () => void = () => undefined;
    const both = new Promise<void>((resolve) => (open = resolve));
    const several: Store = new Store(async () => {
      if (several.running === 2) setTimeout(open, 300);
      await both;
    });
    const three = found({ a: Buffer.alloc(3 * block, 'a'), b: Buffer.alloc(3 * block, 'b'), c: Buffer.alloc(3 * block, 'c') });
    const shared = new Lanes(2);
    await uploadFiles(several.container, 'p/', three, { resume: false, lanes: shared });
    assert.deepEqual([several.most, several.blobs.size], [2, 3]);
    // The lanes are free again.
    assert.deepEqual([shared.take(), shared.take(), shared.take()], [true, true, false]);
    const lanes = new Lanes(2);
    let running = 0;
    let most = 0;
    const work = async (fails: boolean) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      if (fails) throw new Error('one of them');
    };
    // Failures free their lane as well, and the count stays right over several rounds.
    for (let round = 0; round < 3; round++) {
      const results = await Promise.allSettled(Array.from({ length: 9 }, (_, n) => lanes.run(() => work(n % 2 === 0))));
      assert.equal(results.filter(({ status }) => status === 'rejected').length, 5);
    }
    assert.equal(most, 2);
  });
});
