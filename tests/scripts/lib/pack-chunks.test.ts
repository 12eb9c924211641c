/** Packing changes in how many files a bundle lies, and nothing of what it does. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Files = Record<string, string>;
type Requires = Record<string, { file: string; lazy: boolean }[]>;
type Packed = (files: Files, requires: Requires, packs: Record<string, string[]>) => Files;

describe('packing of chunks', () => {
  /** A chunk that says when it runs, then requires others: `a` at once, `?a` later, each when it is told. */
  const chunk = (name: string, needs: string[]) => {
    const now = needs.filter((need) => !need.startsWith('?')).map((need) => `require("./${need}.js").name`);
    const later = needs.filter((need) => need.startsWith('?')).map((need) => `()=>require("./${need.slice(1)}.js").go()`);
    return `"use strict";module.exports={name:"${name}",go(){console.log("go ${name}");for(const next of [${later.join()}])next();}};console.log("run ${name} after",[${now.join()}].join());`;
  };
  const tree: Record<string, string[]> = {
    index: ['shared', 'base', '?lib', '?big', '?alone'],
    shared: ['base'],
    base: [],
    lib: ['shared', 'deep', '?late'],
    deep: ['base'],
    late: ['deep', 'own'],
    big: ['heavy', 'shared', '?beside'],
    heavy: ['base'],
    beside: ['heavy'],
    alone: ['own', 'heavy', 'deep', '?beside'],
    own: [],
  };
  const files = Object.fromEntries(Object.entries(tree).map(([name, needs]) => [`${name}.js`, chunk(name, needs)]));
  files['index.js'] += 'module.exports.go();';
  const requires = Object.fromEntries(
    Object.entries(tree).map(([name, needs]) => [
      `${name}.js`,
      needs.map((need) => ({ file: `${need.replace('?', '')}.js`, lazy: need.startsWith('?') })),
    ]),
  );

  it('keeps what runs, once each, and in which order, wherever the chunks lie', async () => {
    const { packed } = (await import(new URL('../../../scripts/lib/pack-chunks.mjs', import.meta.url).href)) as {
      packed: Packed;
    };
    const folder = mkdtempSync(join(tmpdir(), 'amlops-pack-'));
    const told = (given: Files, name: string) => {
      const at = join(folder, name);
      mkdirSync(at);
      for (const [file, code] of Object.entries(given)) writeFileSync(join(at, file), code);
      const { stdout, stderr } = spawnSync(process.execPath, [join(at, 'index.js')], { encoding: 'utf8' });
      assert.equal(stderr, '');
      return stdout;
    };
    try {
      const plain = told(files, 'plain');
      assert.equal(plain.match(/^run heavy /gm)?.length, 1);
      assert.equal(plain.match(/^go beside/gm)?.length, 2);
      for (const [name, packs, left] of [
        ['start', { 'index.js': [] }, 9],
        ['more', { 'index.js': ['lib.js'] }, 7],
        ['two', { 'index.js': ['lib.js'], 'big.js': ['beside.js'] }, 5],
        ['all', { 'index.js': ['lib.js', 'late.js', 'big.js', 'beside.js', 'alone.js'] }, 1],
      ] as const) {
        const made = packed(files, requires, packs as unknown as Record<string, string[]>);
        assert.equal(Object.keys(made).length, left, name);
        assert.equal(told(made, name), plain, name);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
