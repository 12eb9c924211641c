/** Snapshots of generated trees beside those of the unmodified official client: the same files under the same hash. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import AdmZip from 'adm-zip';
import fc from 'fast-check';
import { realPath } from '../../../src/aml/compile/context.js';
import { includePath } from '../../../src/aml/compile/includes.js';
import { byCodePoint } from '../../../src/aml/compile/python.js';
import { readParts } from '../../../src/aml/snapshot/archive.js';
import { codeSnapshot, localData } from '../../../src/aml/snapshot/snapshot.js';
import { runClient } from '../../support/client-kit.js';
import { cleanUp, files } from '../compile/support.js';

const names = 'a b lib data x.py y.py x.txt .env .hidden #note !bang keep.py __pycache__ ünï 𝒳𝒴 İx [x] q? A.b'.split(' ');
const patterns = (
  '* ** *.py !*.py a a/ /a /a/ !a b/** **/b a/**/x.py /* /*/ !/lib lib/* !lib/keep.py data/ ? [a-m]* [!a]* [^a]* []a] [a ' +
  '[[:alpha:]]* \\!bang \\#note #note / // **/ *** .* *.* !.gitignore ünï ?𝒴 x.py/ !*/ __pycache__ !__pycache__ q\\? [x] \\[x\\] ../* ../b . ./a !/ lib[!a] a/? İx'
).split(' ');

interface Case {
  base: string;
  kind: 'job' | 'component' | 'data' | 'includes';
  code?: string;
  includes?: string[];
}

describe('snapshots beside the official client', function () {
  this.timeout(600_000);
  after(cleanUp);

  it('hold the same files under the same hash', async () => {
    const folder = files({});
    const lines = fc
      .tuple(
        fc.array(fc.constantFrom(...patterns), { maxLength: 5 }),
        fc.constantFrom('\n', '\r\n', '\r'),
        fc.constantFrom('', '\ufeff'),
      )
      .map(([list, end, mark]) => mark + list.join(end) + end);
    const file = fc.tuple(
      fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }),
      fc.constantFrom('', '1', 'two\r\n'),
    );
    const ignore = fc.tuple(fc.constantFrom('', '', '', 'lib', 'a', 'data'), fc.constantFrom('.gitignore', '.amlignore'), lines);
    const tree = fc.record({
      all: fc.array(file, { minLength: 3, maxLength: 14 }),
      rules: fc.array(ignore, { minLength: 1, maxLength: 3 }),
    });
    const link = fc.tuple(fc.constantFrom('l', 'lib/l', 'x.py'), fc.constantFrom('../other', '../other/a', 'a', 'x.txt'));
    const worlds = fc.sample(fc.record({ code: tree, other: tree, links: fc.array(link, { maxLength: 2 }) }), {
      numRuns: 40,
      seed: 20,
    });
    const cases = worlds.flatMap((world, index): Case[] => {
      const base = folder.path(`t${index}`);
      const put = (name: string, write: (file: string) => void): void => {
        // A name may be taken by a folder, or a folder's name by a file: that entry is left out.
        try {
          mkdirSync(path.dirname(name), { recursive: true });
          write(name);
        } catch (error) {
          assert.match((error as NodeJS.ErrnoException).code ?? '', /EEXIST|ENOTDIR|EISDIR/);
        }
      };
      for (const part of ['code', 'other'] as const) {
        for (const [parts, text] of world[part].all) put(path.join(base, part, ...parts), (name) => writeFileSync(name, text));
        for (const [where, name, text] of world[part].rules)
          put(path.join(base, part, where, name), (rules) => writeFileSync(rules, text));
      }
      for (const [name, target] of world.links) {
        const to = path.resolve(base, 'code', target);
        const from = path.join(base, 'code', name);
        if (existsSync(to) && !from.startsWith(to)) put(from, (at) => symlinkSync(to, at));
      }
      const includes = { base, kind: 'includes' as const, includes: ['other'] };
      const kinds = (['job', 'component', 'data'] as const).map((kind) => ({ base, kind, code: 'code' }));
      const zips = { ...includes, includes: ['other.zip'] };
      return [...kinds, { ...includes, code: 'code' }, includes, { ...zips, code: 'code' }, zips];
    });
    writeFileSync(folder.path('cases.json'), JSON.stringify(cases));
    const script = path.join(import.meta.dirname, '..', '..', 'support', 'snapshots.py');
    const theirs = JSON.parse(
      (await runClient(script, [folder.path('cases.json')])).trim().split('\n').at(-1) ?? '',
    ) as unknown[];
    const ours = await Promise.all(cases.map(snapshotOf));
    cases.forEach((each, index) => assert.deepEqual(ours[index], theirs[index], JSON.stringify(each)));
  });
});

async function snapshotOf({ base, kind, code, includes = [] }: Case): Promise<unknown> {
  const real = code === undefined ? {} : { code: realPath(base, code) };
  if (kind === 'data') {
    const made = await localData(real.code ?? '');
    return { files: made.files.map(({ name }) => name).sort(byCodePoint), hash: made.id };
  }
  const component = { base, ...(code === undefined ? {} : { written: path.resolve(base, code) }) };
  const request = {
    ...real,
    includes: includes.map((each) => includePath(base, each)),
    ...(kind === 'job' ? {} : { component }),
  };
  const made = await codeSnapshot(request);
  const archives = made.files.flatMap(({ name, size, parts }) => (parts ? [[name, members(readParts(parts, 0, size))]] : []));
  const hash = archives.length > 0 ? (Object.fromEntries(archives) as unknown) : made.hash;
  return { files: made.files.map(({ name }) => name).sort(byCodePoint), hash };
}

function members(archive: Buffer): unknown[] {
  return new AdmZip(archive).getEntries().map((entry) => [entry.entryName, entry.isDirectory, entry.getData().toString('utf8')]);
}
