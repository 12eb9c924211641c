/** The index of the blob service answers with the tuning as it does without. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { tuneAzurite } from '../../../../local/workspace/storage/azurite-tuning.js';

interface Doc {
  accountName: string;
  containerName: string;
  name: string;
  snapshot: string;
  size: number;
}
interface Collection {
  insert(doc: Doc): Doc;
  update(doc: Doc): void;
  remove(doc: Doc): void;
  find(query: object): Doc[];
  findOne(query: object): Doc | null;
  findAndRemove(query: object): void;
}

describe('the tuned index of the blob service', () => {
  it('is whole in its file when it is closed while it is being saved', async () => {
    const azurite = createRequire(createRequire(import.meta.url).resolve('azurite/package.json'));
    tuneAzurite(azurite);
    interface Database {
      addCollection(name: string): { insert(doc: object): object };
      saveDatabase(done?: () => void): void;
      close(done: (error?: unknown) => void): void;
    }
    const Loki = azurite('lokijs') as new (file: string, options: object) => Database;
    const folder = mkdtempSync(join(tmpdir(), 'amlops-index-'));
    try {
      const file = join(folder, 'index.json');
      const database = new Loki(file, { autosave: true, autosaveInterval: 60_000 });
      const blobs = database.addCollection('blobs');
      for (let at = 0; at < 5000; at += 1) blobs.insert({ name: `blob-${at}`, text: 'x'.repeat(200) });
      database.saveDatabase(); // What the clock does every few seconds; nothing is written after it.
      await promisify(database.close.bind(database))();
      assert.match(readFileSync(file, 'utf8'), /"blob-4999"/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('finds what is there and nothing else, whatever was written, changed and removed', () => {
    const azurite = createRequire(createRequire(import.meta.url).resolve('azurite/package.json'));
    tuneAzurite(azurite);
    const Loki = azurite('lokijs') as new (name: string) => { addCollection(name: string, options: object): Collection };
    // Names that look like numbers are ordered as numbers by the index.
    const name = fc.constantFrom('a', 'A', '9', '10', '1e1', '010', '1a', '0', 'dir/9', 'dir/10', ' ');
    const place = fc.record({ accountName: fc.constantFrom('x', 'y'), containerName: fc.constantFrom('c', '1'), name });
    const step = fc.record({
      place,
      kind: fc.constantFrom('insert', 'insert', 'update', 'remove', 'sweep'),
      snapshot: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const collection = new Loki('blobs.db').addCollection('blobs', {
          indices: ['accountName', 'containerName', 'name', 'snapshot'],
        });
        let model: Doc[] = [];
        const at = (doc: Doc, key: object) => Object.entries(key).every(([member, value]) => doc[member as keyof Doc] === value);
        for (const [size, { place: of, kind, snapshot }] of steps.entries()) {
          const key = { ...of, snapshot: snapshot ? '2026' : '' };
          const there = collection.findOne(key);
          assert.equal(there?.size, model.find((doc) => at(doc, key))?.size);
          if (kind === 'sweep') {
            collection.findAndRemove({ accountName: key.accountName, containerName: key.containerName });
            model = model.filter((doc) => !at(doc, { accountName: key.accountName, containerName: key.containerName }));
          } else if (kind === 'insert' && !there) {
            collection.insert({ ...key, size });
            model.push({ ...key, size });
          } else if (kind === 'update' && there) {
            collection.update(Object.assign(there, { size }));
            Object.assign(model.find((doc) => at(doc, key)) ?? {}, { size });
          } else if (kind === 'remove' && there) {
            collection.remove(there);
            model = model.filter((doc) => !at(doc, key));
          }
          const query = { accountName: of.accountName, containerName: of.containerName, name: of.name };
          const sizes = (docs: Doc[]) => docs.map((doc) => doc.size).sort((a, b) => a - b);
          assert.deepEqual(sizes(collection.find(query)), sizes(model.filter((doc) => at(doc, query))));
          const all = { accountName: of.accountName, containerName: of.containerName };
          assert.deepEqual(sizes(collection.find(all)), sizes(model.filter((doc) => at(doc, all))));
        }
      }),
      { numRuns: 300 },
    );
  });
});
