import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { resolvePath } from '../../../src/aml/compile/context.js';
import { IgnoreRules, toSlash } from '../../../src/aml/snapshot/ignore.js';
import { codeSnapshot, localData } from '../../../src/aml/snapshot/snapshot.js';
import { walk } from '../../../src/aml/snapshot/walk.js';
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

  it('gives local data an id of seed, names and contents', async () => {
    const seed = 'Initialize for october 2021 AML CLI version';
    const folder = files({ 'd/x.csv': '1', 'd/sub/y': '2' });
    assert.equal((await localData(folder.path('d/x.csv'))).id, sha256(`${seed}1`));
    const data = await localData(folder.path('d'));
    assert.equal(data.id, sha256(`${seed}suby2x.csv1`));
    assert.deepEqual(data.files.map(({ name }) => name).sort(), ['sub/y', 'x.csv']);
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
      (await codeSnapshot({ code: folder.path('c'), alsoIgnore: component ? ['__pycache__'] : [] })).files
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

  it('follows links, but not in a circle', () => {
    const folder = files({ 'c/a/x': '1', 'other/y': '2' });
    symlinkSync(folder.path('other'), folder.path('c/link'));
    symlinkSync(folder.path('c'), folder.path('c/a/loop'));
    assert.deepEqual(
      walk(folder.path('c'), new IgnoreRules([]))
        .files.map(({ name }) => name)
        .sort(),
      ['a/x', 'link/y'],
    );
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
