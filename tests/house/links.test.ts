/** Links of the pages lead to files that are there. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { trackedFiles } from '../support/tracked.js';

const root = join(import.meta.dirname, '..', '..');

describe('pages', () => {
  it('link to files of the repository that exist', () => {
    const pages = trackedFiles(root).filter((file) => file.endsWith('.md'));
    assert.ok(pages.length > 10);
    const wrong: string[] = [];
    for (const page of pages) {
      const text = readFileSync(join(root, page), 'utf8').replace(/```[\s\S]*?```|`[^`\n]*`/g, '');
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (!target || /^([a-z]+:|#)/i.test(target)) continue;
        const path = join(root, dirname(page), decodeURIComponent(target.split('#')[0] ?? ''));
        if (!existsSync(path)) wrong.push(`${page}: ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });
});
