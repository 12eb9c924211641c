import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { resolvePath } from '../../../src/aml/compile/context.js';
import { snapshotHash } from '../../../src/aml/snapshot/hash.js';
import { IgnoreRules, toSlash } from '../../../src/aml/snapshot/ignore.js';
import { codeSnapshot, localData, type CodeRequest } from '../../../src/aml/snapshot/snapshot.js';
import { cleanUp, files } from '../compile/support.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('snapshots', () => {
  afterEach(cleanUp);

  it('hashes count, names and sizes, then contents, in the order of lower-cased paths', async () => {
    const folder = files({ 'c/B.py': 'bb', 'c/a.py': 'a', 'c/sub/z': '' });
    const snapshot = await codeSnapshot({ code: folder.path('c') });
    assert.equal(snapshot.hash, sha256('3#a.py#1#B.py#2#sub/z#0abb'));
    assert.equal(snapshot.folder, 'c');
    assert.equal(snapshot.bytes, 3);
  });

  it('hashes files as they lie across the megabytes that are read at a time', async () => {
    const mega = 1024 * 1024;
    const sizes = [3, mega - 3, 0, mega, 1, mega - 2, 7, 2 * mega + 1, mega - 8, mega + 5, 0];
    const contents = sizes.map((size, index) =>
      Array.from({ length: size }, (_none, at) => String((at * 7 + index) % 10)).join(''),
    );
    const names = contents.map((_content, index) => `f${String(index).padStart(2, '0')}`);
    const folder = files(Object.fromEntries(names.map((name, index) => [`c/${name}`, contents[index] ?? ''])));
    const listed = names.map((name, index) => `#${name}#${sizes[index]}`).join('');
    assert.equal((await codeSnapshot({ code: folder.path('c') })).hash, sha256(`${sizes.length}${listed}${contents.join('')}`));
    const fed = names.map((name, index) => name + (contents[index] ?? '')).join('');
    const seed = 'Initialize for october 2021 AML CLI version';
    assert.equal((await localData(folder.path('c'))).id, sha256(seed + fed));
  });

  it('gives local data an id of seed, names and contents', async () => {
    const seed = 'Initialize for october 2021 AML CLI version';
    const folder = files({ 'd/x.csv': '1', 'd/sub/y': '2' });
    assert.equal((await localData(folder.path('d/x.csv'))).id, sha256(`${seed}1`));
    const data = await localData(folder.path('d'));
    assert.equal(data.id, sha256(`${seed}suby2x.csv1`));
    assert.deepEqual(data.files.map(({ name }) => name).sort(), ['sub/y', 'x.csv']);
    // Lower-cased, by code points (U+FF5E comes before U+1F600, whose first half is smaller), and links as what they lead to.
    const order = files({ 'd/b': '1', 'd/A': '2', 'd/a': '3', 'd/B/z': '4', 'd/\u{1f600}': '5', 'd/\uff5e': '6', 'e/in': '7' });
    symlinkSync('../e', order.path('d/c'));
    symlinkSync('../e/in', order.path('d/d'));
    assert.equal((await localData(order.path('d'))).id, sha256(`${seed}A2a3Bz4b1cin7d7\uff5e6\u{1f600}5`));
    const code = await codeSnapshot({ code: order.path('d') });
    assert.equal(code.hash, sha256('8#A#1#a#1#b#1#B/z#1#c/in#1#d#1#\uff5e#1#\u{1f600}#123147765'));
  });

  it('lets a cancel in while it reads, and refuses what comes into a folder of data meanwhile: its id would stand for it, too', async () => {
    const mega = Buffer.alloc(9 * 1024 * 1024, 'x');
    const folder = files({ 'd/a.bin': mega, 'd/z/old': '1' });
    for (const work of [
      (signal: AbortSignal) => localData(folder.path('d'), signal),
      (signal: AbortSignal) => codeSnapshot({ code: folder.path('d') }, signal),
    ]) {
      const abort = new AbortController();
      setImmediate(() => abort.abort(new Error('enough')));
      await assert.rejects(work(abort.signal), /enough/);
    }
    const making = localData(folder.path('d'));
    folder.write({ 'd/z/new.csv': '2' });
    await assert.rejects(making, /d\/z\/new\.csv came into the folder while that was being read/);
    assert.deepEqual((await localData(folder.path('d'))).files.length, 3);
  });

  it('prefers .amlignore, lets the last matching line decide, and leaves __pycache__ out of components', async () => {
    const folder = files({
      'c/.amlignore': '# comment\na/\n!a/keep.py\n*.log\n!b.log\n/root.txt\n',
      'c/.gitignore': '*\n',
      'c/a/keep.py': '1',
      'c/a/no.py': '1',
      'c/a.log': '1',
      'c/b.log': '1',
      'c/root.txt': '1',
      'c/sub/root.txt': '1',
      'c/__pycache__/x.pyc': '1',
    });
    const names = async (component: boolean): Promise<string[]> =>
      (await codeSnapshot({ code: folder.path('c'), ...(component ? { component: { base: folder.folder } } : {}) })).files
        .map(({ name }) => name)
        .sort();
    assert.deepEqual(await names(true), ['.amlignore', '.gitignore', 'a/keep.py', 'b.log', 'sub/root.txt']);
    assert.deepEqual(await names(false), ['.amlignore', '.gitignore', '__pycache__/x.pyc', 'a/keep.py', 'b.log', 'sub/root.txt']);
  });

  it('does not enter an ignored folder unless a negation may bring something back', () => {
    const rules = new IgnoreRules(['node_modules/', 'data/', '!data/keep/**']);
    assert.equal(rules.prunes('node_modules'), true);
    assert.equal(rules.prunes('src'), false);
    assert.equal(rules.prunes('data'), false);
    assert.equal(rules.prunes('data/other'), true);
    assert.equal(new IgnoreRules(['a/', '!*.py']).prunes('a'), false);
    const cases: [string, string, boolean][] = [
      ['*.py', 'x/y.py', true],
      ['/x.py', 'a/x.py', false],
      ['a/b', 'a/b/c', true],
      ['**/b', 'a/b', true],
      ['a/**/c', 'a/b/x/c', true],
      ['a/**', 'a', false],
      ['[!a]x', 'bx', true],
      ['[!a]x', 'ax', false],
      ['a?c', 'a/c', false],
      ['\\!x', '!x', true],
      ['sub/', 'sub', false],
    ];
    for (const [pattern, name, ignored] of cases)
      assert.equal(new IgnoreRules([pattern]).ignores(name), ignored, `${pattern} ${name}`);
  });

  it('lays additional includes beside the code', async () => {
    const folder = files({ 'c/a.py': '1', 'inc/b.py': '2', 'inc/.gitignore': '*.txt\n', 'inc/t.txt': '3', 'one.csv': '4' });
    const snapshot = await codeSnapshot({ code: folder.path('c'), includes: [folder.path('inc'), folder.path('one.csv')] });
    assert.equal(snapshot.folder, 'code_with_additional_includes');
    assert.deepEqual(snapshot.files.map(({ name }) => name).sort(), ['a.py', 'inc/.gitignore', 'inc/b.py', 'one.csv']);
  });

  it('follows links, and leaves out with a warning what leads nowhere or in a circle', async () => {
    const folder = files({ 'c/a/x': '1', 'other/y': '2', 'c/b/z': '3' });
    symlinkSync(folder.path('other'), folder.path('c/link'));
    symlinkSync(folder.path('c'), folder.path('c/a/loop'));
    symlinkSync(folder.path('c'), folder.path('c/a/again'));
    symlinkSync('nothing', folder.path('c/gone'));
    symlinkSync('gone.tmp', folder.path('c/gone.tmp'));
    folder.write({ 'c/.amlignore': '*.tmp\n' });
    const expected = ['.amlignore', 'a/x', 'b/z', 'link/y'];
    const warnings = ['a/again is a link into', 'a/loop is a link into', 'gone is a link that leads nowhere'];
    const told = (list: readonly string[]): string[] =>
      list.map((text, at) => text.slice(folder.path('c').length + 1, folder.path('c').length + 1 + (warnings[at] ?? '').length));
    const include = folder.path('other/y');
    for (const made of [
      await codeSnapshot({ code: folder.path('c') }),
      await localData(folder.path('c')),
      await codeSnapshot({ code: folder.path('c'), includes: [include], component: { base: folder.folder } }),
    ]) {
      const names = made.files.map(({ name }) => name).sort();
      assert.deepEqual(
        names.filter((name) => name !== 'y'),
        expected,
      );
      assert.deepEqual(told([...made.warnings].sort()), warnings);
    }
  });

  it('matches what lies behind a linked folder where it lies, and says so', async () => {
    const folder = files({
      'c/.gitignore': '/venv\n/real/no.py\n*.log\n',
      'c/real/no.py': '1',
      'out/m.py': '2',
      'out/n.log': '3',
    });
    symlinkSync('../out', folder.path('c/venv'));
    symlinkSync('real', folder.path('c/other'));
    const made = await codeSnapshot({ code: folder.path('c') });
    assert.deepEqual(
      made.files.map(({ name }) => name),
      ['.gitignore', 'venv/m.py'],
    );
    assert.match(made.warnings.join(), /c\/venv is ignored, but it links to .*out, .* matched as \.\.\/out\//);
    // The hash of data asks for the link by its own name.
    const data = await localData(folder.path('c'));
    assert.equal(data.id, sha256('Initialize for october 2021 AML CLI version.gitignore/venv\n/real/no.py\n*.log\notherreal'));
  });

  it('takes the patterns of a linked ignore file from where that file lies, for a component from its code as it is written', async () => {
    const folder = files({ 'shared/ignore': '/a.py\n../c/b.py\n', 'c/a.py': '1', 'c/b.py': '2' });
    symlinkSync('../shared/ignore', folder.path('c/.amlignore'));
    symlinkSync('c', folder.path('written'));
    const names = async (component?: CodeRequest['component']): Promise<string[]> =>
      (await codeSnapshot({ code: folder.path('c'), ...(component ? { component } : {}) })).files.map(({ name }) => name).sort();
    assert.deepEqual(await names(), ['.amlignore', 'a.py']);
    assert.deepEqual(await names({ base: folder.folder, written: folder.path('c') }), ['.amlignore', 'b.py']);
    assert.deepEqual(await names({ base: folder.folder, written: folder.path('written') }), ['.amlignore', 'a.py']);
  });

  it('lets the ignore files of sub folders count beside includes, where a folder is . to its own', async () => {
    const folder = files({
      'c/a.py': '1',
      'c/sub/.gitignore': '*\n!.gitignore\n',
      'c/dots/.gitignore': '.*\n',
      'c/dots/b.py': '2',
      'c/kept/.gitignore': '/*.py\n',
      'c/kept/c.py': '3',
      'one.csv': '4',
      '.gitignore': 'one.csv\ninc.py\n',
      'inc.py': '5',
      'other/.gitignore': 'a.py\n',
      'other/.amlignore': '*\n',
    });
    const component = { base: folder.folder };
    const names = async (request: CodeRequest): Promise<string[]> =>
      (await codeSnapshot({ component, ...request })).files.map(({ name }) => name).sort();
    const beside = await codeSnapshot({ component, code: folder.path('c'), includes: [folder.path('one.csv')] });
    assert.deepEqual(beside.files.map(({ name }) => name).sort(), ['a.py', 'kept/.gitignore', 'one.csv']);
    assert.equal(beside.warnings.filter((text) => text.includes('leaves the whole folder out')).length, 2);
    // Without code the ignore file beside the component counts.
    assert.deepEqual(await names({ includes: [folder.path('one.csv'), folder.path('c/a.py')] }), ['a.py']);
    // An ignore file that an include brings counts alone, not what lies beside it.
    const brought = { code: folder.path('c'), includes: [folder.path('other/.gitignore')] };
    assert.deepEqual(await names(brought), ['.gitignore', 'kept/.gitignore']);
  });

  it('orders names that differ in case only by code points', async () => {
    const folder = files({ 'c/b': '3', 'c/a': '2', 'c/A': '1', 'c/B': '4' });
    assert.equal((await codeSnapshot({ code: folder.path('c') })).hash, sha256('4#A#1#a#1#B#1#b#11243'));
  });

  it('names what changed or vanished while it was read, and an ignore file that is not text', async () => {
    const folder = files({ 'c/a': '12', 'd/.gitignore': Buffer.from([0x61, 0xff]) });
    const file = { path: folder.path('c/a'), name: 'a', size: 2, mtimeMs: 0 };
    for (const size of [1, 3]) await assert.rejects(snapshotHash([{ ...file, size }]), /c\/a changed or was removed/);
    await assert.rejects(snapshotHash([{ ...file, path: folder.path('c/gone') }]), /c\/gone changed or was removed/);
    await assert.rejects(codeSnapshot({ code: folder.path('d') }), /\.gitignore is not UTF-8 text/);
    if (process.platform !== 'linux') return;
    for (const name of ['file', 'folder/x']) {
      const odd = files({ 'e/a': '1' });
      const [first = '', ...below] = name.split('/');
      const path = Buffer.concat([Buffer.from(`${odd.path('e')}/${first}`), Buffer.from([0xe9])]);
      if (below.length > 0) mkdirSync(path);
      else writeFileSync(path, '1');
      for (const make of [() => codeSnapshot({ code: odd.path('e') }), () => localData(odd.path('e'))])
        await assert.rejects(make, /The name of .* is not UTF-8/, name);
    }
  });

  it('leaves out a folder that may not be read, and refuses a file', async function () {
    if (process.platform === 'win32' || !process.seteuid) return this.skip();
    const folder = files({ 'c/a': '1', 'c/shut/b': '2' });
    const root = process.geteuid?.() === 0;
    chmodSync(folder.folder, 0o755);
    const above = statSync(path.dirname(folder.folder)).mode;
    if (root) chmodSync(path.dirname(folder.folder), above | 0o011);
    chmodSync(folder.path('c/shut'), 0);
    try {
      // The rights of files do not bind the superuser.
      if (root) process.seteuid(65534);
      const made = await codeSnapshot({ code: folder.path('c') });
      assert.deepEqual([made.files.map(({ name }) => name), made.warnings.length], [['a'], 1]);
      assert.match(made.warnings.join(), /c\/shut may not be read/);
      await assert.rejects(localData(folder.path('c')), /EACCES|may not be read/);
      if (root) process.seteuid(0);
      chmodSync(folder.path('c/a'), 0);
      if (root) process.seteuid(65534);
      await assert.rejects(codeSnapshot({ code: folder.path('c') }), /EACCES/);
    } finally {
      if (root) process.seteuid(0);
      chmodSync(folder.path('c/shut'), 0o755);
      if (root) chmodSync(path.dirname(folder.folder), above);
    }
  });

  it('writes blob paths with / and reads the paths of Windows', () => {
    assert.equal(toSlash('a\\b\\c', path.win32.sep), 'a/b/c');
    assert.equal(toSlash('a\\b', path.posix.sep), 'a\\b');
    assert.equal(resolvePath('C:\\repo\\jobs', './src', path.win32), 'C:\\repo\\jobs\\src');
    assert.equal(resolvePath('C:\\repo\\jobs', '../data/x.csv', path.win32), 'C:\\repo\\data\\x.csv');
    assert.equal(resolvePath('C:\\repo', 'file:./env.yml', path.win32), 'C:\\repo\\env.yml');
    assert.equal(resolvePath('C:\\repo', 'D:\\data', path.win32), 'D:\\data');
  });
});
