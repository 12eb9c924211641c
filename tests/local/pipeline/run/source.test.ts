/** What a local run says of its sources, with git on the machine and without. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout, sourceFacts } from '../../../../local/pipeline/run/source.js';

describe('the sources of a local run', () => {
  const commit = 'c0ffee'.repeat(6) + 'c0ff';
  let folder: string;
  let path: string | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-source-'));
    path = process.env['PATH'];
    process.env['PATH'] = '';
  });
  afterEach(() => {
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true, force: true });
  });

  it('a machine without git still knows branch and commit of a work tree', async () => {
    mkdirSync(join(folder, '.git', 'refs', 'heads', 'feature'), { recursive: true });
    writeFileSync(join(folder, '.git', 'HEAD'), 'ref: refs/heads/feature/x\n');
    writeFileSync(join(folder, '.git', 'refs', 'heads', 'feature', 'x'), `${commit}\n`);
    const facts = await sourceFacts(folder);
    assert.deepEqual([facts.branch, facts.commit, facts.git], ['refs/heads/feature/x', commit, false]);
    writeFileSync(join(folder, '.git', 'HEAD'), `${commit}\n`);
    assert.deepEqual([(await sourceFacts(folder)).branch, (await sourceFacts(folder)).commit], ['refs/heads/main', commit]);
  });

  it('a folder that is no work tree is checked out whole, without the state and the packages', async () => {
    for (const file of ['a.txt', 'b/c.txt', '.amlops/connection.json', 'b/node_modules/x/y.js']) {
      mkdirSync(join(folder, 'from', file, '..'), { recursive: true });
      writeFileSync(join(folder, 'from', file), file);
    }
    assert.deepEqual((await sourceFacts(join(folder, 'from'))).commit, '0'.repeat(40));
    assert.equal(await checkout(join(folder, 'from'), join(folder, 'to')), 2);
  });
});
