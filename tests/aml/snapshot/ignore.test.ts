import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IgnoreRules } from '../../../src/aml/snapshot/ignore.js';

describe('patterns of ignore files', () => {
  /** Pattern, names that it matches, names that it does not. Each line as the client reads it. */
  const cases: [string, string[], string[]][] = [
    ['?', ['a', 'sub/b', '𝒴', '.'], ['ab']],
    ['?𝒴', ['x𝒴'], ['x𝒴z']],
    ['[𝒳a]b', ['𝒳b', 'ab'], ['xb']],
    ['*', ['a', '.', 'a/b'], []],
    ['.*', ['.', '.env', 'x/.env'], ['a']],
    ['**', ['a', 'a/b'], []],
    ['**/', ['a/b'], ['a']],
    ['/*/', ['a/b', 'a/b/c'], ['a']],
    ['a/?', ['a/b', 'a/b/c'], ['a/bc']],
    ['lib[!a]', ['libx', 'lib/'], ['liba', 'lib']],
    ['[]a]', [']', 'a'], ['b']],
    ['[^a]', ['^', 'a'], ['b']],
    ['[a', ['[a'], ['a']],
    ['[+--]', ['+', ',', '-'], ['.']],
    ['[a-z-9]', ['b', '-', '9'], ['8']],
    ['[[:alpha:]]', [':]', 'a]', '[]'], ['a', 'b']],
    ['[\\\\]', ['\\'], ['x']],
    ['q\\?', ['q?'], ['qx']],
    ['\\#note', ['#note'], ['note']],
    ['\\!bang', ['!bang'], ['bang']],
    ['#note', [], ['#note', 'note']],
    ['/', [], ['a']],
    ['//', [], ['a', 'a/b']],
    ['./a', ['./a'], ['a']],
    ['../x', ['../x', '../x/y'], ['x']],
    ['a//b', ['a//b'], ['a/b']],
    ['{k}$^+.(|)', ['{k}$^+.(|)'], ['k']],
    // Python's blanks are stripped, U+FEFF is not one of them.
    ['\u00a0lib\u0085', ['lib'], []],
    ['\x1clib\x0c', ['lib'], []],
    ['\ufefflib', ['\ufefflib'], ['lib']],
    // A name may end in a line break that no pattern speaks of; `.` does not match one.
    ['a', ['a\n', 'a/b'], ['a/b\nc']],
  ];
  it('match what the client matches', () => {
    for (const [pattern, yes, no] of cases) {
      const rules = new IgnoreRules([pattern]);
      const wrong = [...yes.filter((name) => !rules.ignores(name)), ...no.filter((name) => rules.ignores(name))];
      assert.deepEqual([...rules.warnings, ...wrong], [], JSON.stringify(pattern));
    }
  });

  it('names lines that are no patterns, which have no effect', () => {
    const rules = new IgnoreRules(['!', 'x\\', 'a\\/b', '[z-a]*', 'ok'], '/code', '.gitignore');
    assert.deepEqual(
      rules.warnings.map((text) => text.slice(0, text.indexOf(';'))),
      [
        '.gitignore:1: "!" is not a pattern (nothing follows the !)',
        '.gitignore:2: "x\\\\" is not a pattern (nothing follows the backslash)',
        '.gitignore:3: "a\\\\/b" is not a pattern (nothing follows the backslash)',
        '.gitignore:4: "[z-a]*" is not a pattern (a range that runs backwards)',
      ],
    );
    assert.deepEqual(
      [rules.ignores('x\\'), rules.ignores('a/b'), rules.ignores('z'), rules.ignores('ok')],
      [false, false, false, true],
    );
  });

  it('enters every folder that holds something to send', () => {
    const word = fc.constantFrom('a', 'b', 'lib', 'x.py', '.env', 'ab');
    const part = fc.oneof(word, fc.constantFrom('*', '**', '?', '*.py', '[!a]', '[a-m]*', 'a*', '*b'));
    const pattern = fc
      .tuple(
        fc.constantFrom('', '', '!'),
        fc.constantFrom('', '/'),
        fc.array(part, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('', '/'),
      )
      .map(([not, start, parts, end]) => `${not}${start}${parts.join('/')}${end}`);
    const folders = fc.array(word, { minLength: 1, maxLength: 3 });
    const property = fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), folders, folders, (lines, above, below) => {
      const rules = new IgnoreRules(lines);
      const folder = above.join('/');
      assert.ok(!rules.prunes(folder) || rules.ignores(`${folder}/${below.join('/')}`), `${folder} / ${below.join('/')}`);
    });
    fc.assert(property, { numRuns: 3000 });
  });
});
