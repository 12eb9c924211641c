/** A model on the agent's disk: what is in its folder, links among it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localFiles } from '../../src/aml/models-local.js';

describe('a local model', () => {
  it('follows links, and says which of them leads nowhere or in a circle', async function () {
    if (process.platform === 'win32') return this.skip();
    const folder = mkdtempSync(join(tmpdir(), 'amlops-model-'));
    try {
      mkdirSync(join(folder, 'elsewhere'));
      mkdirSync(join(folder, 'model'));
      writeFileSync(join(folder, 'elsewhere', 'w.bin'), 'x');
      symlinkSync(join('..', 'elsewhere'), join(folder, 'model', 'data'));
      const { files } = await localFiles(join(folder, 'model'));
      assert.deepEqual(
        files.map(({ path }) => path),
        ['data/w.bin'],
      );
      symlinkSync('nothing', join(folder, 'model', 'gone'));
      const broken = { code: 'ModelUnreadable', message: /model.gone cannot be read \(ENOENT\)/ };
      await assert.rejects(localFiles(join(folder, 'model')), broken);
      rmSync(join(folder, 'model', 'gone'));
      symlinkSync('..', join(folder, 'elsewhere', 'up'));
      await assert.rejects(localFiles(folder), {
        code: 'ModelUnreadable',
        message: /is a link into a folder that it lies in itself/,
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
