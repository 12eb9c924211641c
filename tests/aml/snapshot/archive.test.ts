import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import AdmZip from 'adm-zip';
import { includePath } from '../../../src/aml/compile/includes.js';
import { Lanes, uploadFiles } from '../../../src/aml/assets-upload.js';
import { folderToZip, readParts, zipOf } from '../../../src/aml/snapshot/archive.js';
import { codeSnapshot } from '../../../src/aml/snapshot/snapshot.js';
import type { CodeSnapshot, SnapshotFile } from '../../../src/aml/snapshot/types.js';
import type { BlobContainer } from '../../../src/azure/types.js';
import { cleanUp, files } from '../compile/support.js';

const bytesOf = ({ parts = [], size }: SnapshotFile): Buffer => readParts(parts, 0, size);
const membersOf = (archive: Buffer): Record<string, string> =>
  Object.fromEntries(new AdmZip(archive).getEntries().map((entry) => [entry.entryName, entry.getData().toString()]));
const archiveIn = ({ files: list }: CodeSnapshot): SnapshotFile => list.find(({ parts }) => parts) ?? assert.fail('no archive');

describe('folders as zip', () => {
  afterEach(cleanUp);

  it('lays a folder beside the code as one archive, without what the ignore files leave out', async () => {
    const folder = files({
      'c/a.py': '1',
      'c/.gitignore': '*.log\n/lib/no\n',
      'lib/.gitignore': '*.txt\n',
      'lib/b.py': '2',
      'lib/Ünï/é.py': '3',
      'lib/Z': '',
      'lib/no': '4',
      'lib/x.log': '5',
      'lib/x.txt': '6',
      // An ignore file further down counts for nothing here.
      'lib/Ünï/.gitignore': '*.py\n',
      'lib/__pycache__/b.pyc': '7',
    });
    const snapshot = await codeSnapshot({ code: folder.path('c'), includes: [folder.path('lib.zip')] });
    assert.deepEqual(snapshot.files.map(({ name }) => name).sort(), ['.gitignore', 'a.py', 'lib.zip']);
    const archive = archiveIn(snapshot);
    const members = membersOf(bytesOf(archive));
    assert.deepEqual(Object.keys(members), ['lib/', 'lib/.gitignore', 'lib/Z', 'lib/b.py', 'lib/Ünï/.gitignore', 'lib/Ünï/é.py']);
    assert.equal(members['lib/Ünï/é.py'], '3');
    const listed = `3#.gitignore#14#a.py#1#lib.zip#${archive.size}*.log\n/lib/no\n1`;
    assert.equal(snapshot.hash, createHash('sha256').update(listed).update(bytesOf(archive)).digest('hex'));
  });

  it('has the same hash for the same contents, whatever the times and the rights', async () => {
    const one = files({ 'lib/a': '1', 'lib/b/c': '2' });
    const two = files({ 'lib/b/c': '2', 'lib/a': '1' });
    utimesSync(two.path('lib/a'), 1, 1);
    chmodSync(two.path('lib/a'), 0o600);
    const hash = async (folder: typeof one): Promise<string> => (await codeSnapshot({ includes: [folder.path('lib.zip')] })).hash;
    assert.equal(await hash(one), await hash(two));
    writeFileSync(two.path('lib/a'), '2');
    assert.notEqual(await hash(one), await hash(two));
  });

  it('takes a file named .zip for itself, and any other name for nothing', () => {
    const folder = files({ 'lib/a': '1', 'there.zip': 'zip', 'there/a': '1', file: '1', '.zip/x': '1' });
    symlinkSync(folder.path('lib'), folder.path('link'));
    assert.equal(folderToZip(folder.path('lib.zip')), folder.path('lib'));
    assert.equal(folderToZip(folder.path('link.zip')), folder.path('link'));
    for (const name of ['there.zip', 'file.zip', 'none.zip', 'lib', 'lib.ZIP', '.zip'])
      assert.equal(folderToZip(folder.path(name)), undefined, name);
    // `..` after a link is the folder above its target.
    folder.write({ 'far/away/x': '1', 'far/lib/x': '1' });
    symlinkSync(folder.path('far/away'), folder.path('near'));
    assert.equal(includePath(folder.folder, 'near/../lib.zip'), folder.path('far/lib.zip'));
  });

  it('keeps what is behind a link below its own name', async () => {
    const folder = files({ 'lib/a': '1', 'other/b': '2' });
    symlinkSync(folder.path('other'), folder.path('lib/link'));
    symlinkSync(folder.path('other/b'), folder.path('lib/one'));
    symlinkSync(folder.path('lib'), folder.path('named'));
    const { files: list } = await codeSnapshot({ includes: [folder.path('named.zip')] });
    const names = Object.keys(membersOf(bytesOf(list[0] ?? assert.fail())));
    assert.deepEqual(names, ['named/', 'named/a', 'named/link/b', 'named/one']);
  });

  it('is read in pieces of any size', async () => {
    const folder = files({ 'lib/a': 'a'.repeat(1000), 'lib/b': '', 'lib/c': 'c'.repeat(77) });
    const archive = archiveIn(await codeSnapshot({ includes: [folder.path('lib.zip')] }));
    const whole = bytesOf(archive);
    for (const size of [1, 7, 100, 999]) {
      const pieces: Buffer[] = [];
      for (let at = 0; at < archive.size; at += size)
        pieces.push(readParts(archive.parts ?? [], at, Math.min(size, archive.size - at)));
      assert.ok(Buffer.concat(pieces).equals(whole), String(size));
    }
  });

  it('goes up in blocks when it is large, and not at all when a file has changed since', async () => {
    const large = Buffer.alloc(9 * 1024 * 1024, 'x');
    const folder = files({ 'lib/large': large, 'lib/z': 'z' });
    const archive = archiveIn(await codeSnapshot({ includes: [folder.path('lib.zip')] }));
    const blocks = new Map<string, Buffer>();
    let sent = Buffer.alloc(0);
    const container: Partial<BlobContainer> = {
      putBlock: async (_name, id, bytes) => void blocks.set(id, Buffer.from(bytes)),
      commitBlocks: async (_name, ids) => {
        sent = Buffer.concat(ids.map((id) => blocks.get(id) ?? assert.fail(id)));
        return { etag: '' };
      },
    };
    const upload = (): Promise<unknown> =>
      uploadFiles(container as BlobContainer, 'p/', [archive], { resume: false, lanes: new Lanes() });
    await upload();
    assert.equal(membersOf(sent)['lib/large'], large.toString());
    assert.equal(membersOf(sent)['lib/z'], 'z');
    utimesSync(folder.path('lib/z'), 1, 1);
    await assert.rejects(upload, /z changed or was removed/);
  });

  it('refuses what no zip holds', async () => {
    const file = { path: '/lib/x', name: 'x', size: 5 * 1024 ** 3, mtimeMs: 0 };
    await assert.rejects(zipOf('/lib', [file]), /too large for one zip: 1 files?, 5368709/);
  });
});
