/** Paths as a Windows agent sees them: what a file names, what a job's output may write, what a model's digest is made of. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { defaultExperiment } from '../../src/aml/compile/base-job.js';
import { resolvePath } from '../../src/aml/compile/context.js';
import { shown } from '../../src/aml/compile/problems.js';
import { isUrl } from '../../src/aml/compile/refs.js';
import { checkNames, insideOf } from '../../src/aml/jobs/outputs.js';
import { findPlace } from '../../src/aml/jobs/traceback.js';
import { toSlash } from '../../src/aml/snapshot/ignore.js';
import { patternBase } from '../../src/aml/snapshot/snapshot.js';
import { checkedPath, modelDigest } from '../../src/release/digest.js';

const { win32, posix } = path;

describe('paths of a Windows agent', () => {
  it('finds what a job file names', () => {
    const base = 'D:\\a\\1\\s\\jobs';
    const cases: [string, string][] = [
      ['../src', 'D:\\a\\1\\s\\src'],
      ['..\\src', 'D:\\a\\1\\s\\src'],
      ['file:./env/conda.yml', 'D:\\a\\1\\s\\jobs\\env\\conda.yml'],
      ['file:C:/data/x.csv', 'C:\\data\\x.csv'],
      ['file:///C:/data/x.csv', 'C:\\data\\x.csv'],
      ['\\\\server\\share\\x', '\\\\server\\share\\x'],
    ];
    for (const [text, expected] of cases) assert.equal(resolvePath(base, text, win32), expected, text);
    assert.equal(resolvePath('/w/jobs', 'file:///data/x', posix), '/data/x');
    // A drive is no scheme.
    for (const text of ['C:\\data', 'C:/data', '\\\\server\\share']) assert.equal(isUrl(text), false, text);
    assert.equal(defaultExperiment('D:\\a\\my jobs\\train.yml', win32), 'myjobs');
    assert.equal(shown('D:\\a\\1\\s\\jobs\\x.yml', 'D:\\a\\1\\s', win32), 'jobs\\x.yml');
    assert.equal(shown('C:\\x.yml', 'D:\\a\\1\\s', win32), 'C:\\x.yml');
    assert.equal(shown('D:\\a\\x.yml', 'D:\\a\\1', win32), 'D:\\a\\x.yml');
  });

  it("matches a component's ignore file also where its drive stands for another place", () => {
    assert.equal(patternBase('D:\\a\\link', 'd:\\a\\src', win32), 'D:\\a\\link');
    assert.equal(patternBase('X:\\src', 'D:\\a\\1\\s\\src', win32), 'D:\\a\\1\\s\\src');
    assert.equal(patternBase('X:\\src', '\\\\server\\share\\src', win32), '\\\\server\\share\\src');
    assert.equal(patternBase('/w/link', '/w/src', posix), '/w/link');
  });

  it("writes a job's outputs below their folder or not at all", () => {
    const folder = 'D:\\a\\1\\aml\\job\\model';
    assert.equal(insideOf(folder, 'sub/weights.bin', win32), `${folder}\\sub\\weights.bin`);
    assert.equal(insideOf(folder, '..names/console.txt', win32), `${folder}\\..names\\console.txt`);
    const outside = ['..\\x', '../x', 'a/../../x', 'a\\..\\..\\x', 'C:\\x', 'C:x', 'C:/x', '\\\\server\\share\\x'];
    for (const name of [...outside, '.', 'a/..', ''])
      assert.throws(() => insideOf(folder, name, win32), /leads out of its folder/, name);
    const devices = [
      'NUL',
      'con',
      'sub/aux.txt',
      'com1',
      'LPT9.log',
      'COM\u00b9',
      'nul .txt',
      'x.',
      'sub /x',
      'a?b',
      'a|b',
      'ab:stream',
      '12:30.json',
      'D:x',
      'a/D:/x',
    ];
    for (const name of devices) assert.throws(() => insideOf(folder, name, win32), /Windows cannot write/, name);
    assert.equal(insideOf('/w/out', 'sub/aux.txt', posix), '/w/out/sub/aux.txt');
    // A time in a name is no way out, where the file system takes it.
    for (const name of ['12:30.json', 'D:x']) assert.equal(insideOf('/w/out', name, posix), `/w/out/${name}`);
    for (const name of ['../x', 'a\\..\\x', 'x\0y']) assert.throws(() => insideOf('/w/out', name, posix), /leads out/, name);
  });

  it('refuses outputs whose names cannot lie beside each other, before anything is written', () => {
    const clash = /cannot both be written here/;
    for (const platform of ['win32', 'darwin', 'linux'] as const) {
      assert.throws(() => checkNames(['a', 'b', 'a/c/d'], platform), clash);
      checkNames(['a/b', 'a/c', 'ab', 'a.b'], platform);
    }
    for (const names of [
      ['Model.bin', 'model.BIN'],
      ['Sub', 'sub/x'],
      ['caf\u00e9', 'cafe\u0301'],
    ]) {
      assert.throws(() => checkNames(names, 'win32'), clash);
      assert.throws(() => checkNames(names, 'darwin'), clash);
      checkNames(names, 'linux');
    }
  });

  it("gives a model's files the same digest everywhere", () => {
    const file = { size: 1, sha256: 'a'.repeat(64) };
    const digest = (names: string[], separator: '\\' | '/') =>
      modelDigest(names.map((name) => ({ ...file, path: toSlash(name, separator) })));
    const expected = digest(['MLmodel', 'data/a.bin', 'data-b'], posix.sep);
    assert.equal(digest(['data-b', 'MLmodel', 'data\\a.bin'], win32.sep), expected);
    assert.throws(() => checkedPath('data\\a.bin'), /impossible path/);
  });

  it('finds the place of a traceback whose paths are those of Windows, and names it with /', async () => {
    const root = mkdtempSync(join(tmpdir(), 'amlops-place-'));
    try {
      mkdirSync(join(root, 'src', 'lib'), { recursive: true });
      writeFileSync(join(root, 'src', 'lib', 'fit.py'), 'def fit():\r\n    raise ValueError("x")\r\n');
      const lines = [
        'Traceback (most recent call last):',
        '  File "C:\\wd\\src\\lib\\fit.py", line 2, in fit',
        '    raise ValueError("x")',
        'ValueError: x',
      ];
      assert.deepEqual(await findPlace(lines, [root]), { path: 'src/lib/fit.py', line: 2, text: 'ValueError: x' });
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
