/** Fetching an output onto a disk that does not take it: said with the file and the input, never a fault of our own. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fetchOutput, type LocatedOutput } from '../../../src/aml/jobs/outputs.js';
import { Failure } from '../../../src/azure/errors.js';
import type { BlobContainer } from '../../../src/azure/types.js';

const output = (names: string[]): LocatedOutput => ({
  name: 'model',
  path: 'out',
  uri: 'azureml://datastores/d/paths/out/',
  container: {
    async *list() {
      for (const name of names) yield { name: `out/${name}`, size: 1, etag: '"1"', lastModified: new Date(0) };
    },
    read: async () => ({ stream: Readable.from([Buffer.from('x')]), size: 1, etag: '"1"' }),
  } as unknown as BlobContainer,
});

describe('outputs on a disk', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'amlops-outputs-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const refused = (code: string, words: RegExp) => (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code);
    assert.match(`${error.message} ${error.details.advice}`, words);
    return true;
  };

  it('writes what it holds, and says what cannot be written', async () => {
    const place = join(folder, 'model');
    const { files, bytes } = await fetchOutput(output(['b/c', 'a']), place);
    assert.deepEqual([files.map(({ path }) => path), bytes], [['a', 'b/c'], 2]);
    writeFileSync(join(folder, 'taken'), '');
    await assert.rejects(fetchOutput(output(['d/e']), join(folder, 'taken')), refused('FileUnwritable', /downloadPath/));
    const long = `${'n'.repeat(300)}/x`;
    await assert.rejects(fetchOutput(output([long]), join(folder, 'long')), refused('FileUnwritable', /too long/));
    await assert.rejects(fetchOutput(output(['a', 'a/b']), join(folder, 'clash')), refused('PathUnwritable', /"a" and "a\/b"/));
    assert.deepEqual(readdirSync(folder).includes('clash'), false);
  });
});
