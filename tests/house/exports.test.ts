/** What a file exports, another file uses: the exports of a room are what a reader has to know of it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize, sep } from 'node:path';
import { trackedFiles } from '../support/tracked.js';

const root = join(import.meta.dirname, '..', '..');

/** Contracts between rooms: whole, whether or not each of their types is named by somebody today. */
const contracts = [
  'src/task/platform.ts',
  'src/azure/types.ts',
  'src/azure/errors.ts',
  'src/aml/workspace.ts',
  'src/devops/types.ts',
  'src/release/ports.ts',
  'local/workspace/store.ts',
];

/** A command's door is opened by name (cli/amlops.ts). */
const isDoor = (file: string, name: string) => /^cli\/\w+\.ts$/.test(file) && name === 'register';

describe('exports', () => {
  it('are used by another file, or are none', () => {
    const files = trackedFiles(root).filter((file) => /\.(ts|mjs)$/.test(file));
    const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
    const importers = new Map<string, string[]>();
    for (const [file, text] of texts) {
      for (const [, specifier] of text.matchAll(/(?:\bfrom|\bimport\(|\bimport)\s*'(\.[^']+)'/g)) {
        const target = normalize(join(dirname(file), specifier ?? ''))
          .split(sep)
          .join('/')
          .replace(/\.js$/, '.ts');
        importers.set(target, [...(importers.get(target) ?? []), text]);
      }
    }
    const unused: string[] = [];
    for (const [file, text] of texts) {
      if (!/^(src|tasks|local|cli)\/.*\.ts$/.test(file) || contracts.includes(file)) continue;
      const declared = /^export (?:async )?(?:abstract )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/gm;
      for (const [, name = ''] of text.matchAll(declared)) {
        const word = new RegExp(`\\b${name}\\b`);
        if (isDoor(file, name) || importers.get(file)?.some((other) => word.test(other))) continue;
        unused.push(`${file}: ${name} is exported, and no other file uses it`);
      }
    }
    assert.deepEqual(unused, []);
  });
});
