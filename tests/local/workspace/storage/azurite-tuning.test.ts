/** The index and the steps of the blob service answer with the tuning as they do without. */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import sinon from 'sinon';
import type { Dispatch, Specification } from '../../../../local/workspace/storage/azurite-dispatch.js';
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

  it('is not written among the writes of an upload, but when they end, and at the latest after half a minute', () => {
    const azurite = createRequire(createRequire(import.meta.url).resolve('azurite/package.json'));
    const clock = sinon.useFakeTimers({ now: 0, toFake: ['performance'] });
    const Loki = azurite('lokijs') as { prototype: { autosaveDirty: () => boolean } };
    const { autosaveDirty } = Loki.prototype;
    try {
      let asked = 0;
      tuneAzurite(azurite, () => asked);
      const index = Object.assign(Object.create(Loki.prototype) as object, { collections: [{ dirty: true }] }) as {
        collections: { dirty: boolean }[];
        autosaveDirty(): boolean;
      };
      const at = (seconds: number, last: number) => {
        clock.tick(seconds * 1000 - performance.now());
        asked = last * 1000;
        return index.autosaveDirty();
      };
      assert.deepEqual([at(5, 4.9), at(10, 9.9), at(30, 29.9)], [false, false, false]);
      assert.equal(at(36, 35.9), true, 'half a minute after the first look');
      assert.equal(at(40, 39.9), false);
      assert.equal(at(45, 40), true, 'nobody has asked for a while');
      index.collections = [{ dirty: false }];
      assert.equal(at(50, 45), false, 'nothing to save');
    } finally {
      Loki.prototype.autosaveDirty = autosaveDirty;
      clock.restore();
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

describe('the tuned steps of a request to the blob service', () => {
  const azurite = createRequire(createRequire(import.meta.url).resolve('azurite/package.json'));
  /** Compiled anew: not what an earlier test has replaced. */
  const fresh = (name: string): unknown => {
    const file = azurite.resolve(name);
    const before = azurite.cache[file];
    delete azurite.cache[file];
    try {
      return azurite(name);
    } finally {
      if (before) azurite.cache[file] = before;
    }
  };
  before(() => tuneAzurite(azurite));

  it('put no log lines together that nobody reads, and keep those of errors', () => {
    const said: string[] = [];
    const logger = {
      info: () => said.push('info'),
      verbose: () => said.push('verbose'),
      error: () => said.push('error'),
    };
    const end = fresh('./dist/src/blob/generated/middleware/end.middleware') as {
      default: (context: object, response: object, logger: object) => void;
    };
    let ended = false;
    // Has none of what only the log line asks for.
    end.default({ startTime: new Date(0) }, { getBodyStream: () => ({ end: () => (ended = true) }) }, logger);
    assert.ok(ended);
    const dispatch = fresh('./dist/src/blob/generated/middleware/dispatch.middleware') as { default: Dispatch };
    let refused: unknown;
    dispatch.default({ dispatchPattern: '/' }, requestOf('PATCH', {}, {}), (error) => (refused = error), logger);
    assert.match(String(refused), /UnsupportedRequest/);
    assert.deepEqual(said, ['error']);
  });

  it('give ids of version 4, each its own, and signatures as before', () => {
    const id = fresh('uuid/v4') as () => string;
    const ids = Array.from({ length: 1000 }, () => id());
    assert.equal(new Set(ids).size, ids.length);
    for (const one of ids) assert.match(one, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const { computeHMACSHA256 } = azurite('./dist/src/common/utils/utils') as {
      computeHMACSHA256: (text: string, key: Buffer) => string;
    };
    for (let round = 0; round < 2; round += 1)
      for (let at = 0; at < 100; at += 1)
        for (const key of [Buffer.from('a'), Buffer.from('b')])
          assert.equal(computeHMACSHA256(`text ${at}`, key), createHmac('sha256', key).update(`text ${at}`).digest('base64'));
  });

  it('mean the operation that they meant before, whatever is asked', () => {
    const original = (fresh('./dist/src/blob/generated/middleware/dispatch.middleware') as { default: Dispatch }).default;
    const tuned = (azurite('./dist/src/blob/generated/middleware/dispatch.middleware') as { default: Dispatch }).default;
    const { default: specifications } = azurite('./dist/src/blob/generated/artifacts/specifications') as {
      default: Record<string, Specification>;
    };
    /** Every parameter that an operation requires, with its own value, another operation's, and none. */
    const values = (of: 'queryParameters' | 'headerParameters') => {
      const all = new Map<string, Set<string>>();
      for (const specification of Object.values(specifications))
        for (const { mapper } of specification[of] ?? [])
          if (mapper.required) {
            const name = mapper.serializedName ?? '';
            const known = all.get(name) ?? new Set(['', 'other', 'Container', 'BlockBlob']);
            for (const value of [mapper.defaultValue, ...(mapper.type.allowedValues ?? [])])
              if (value !== undefined) known.add(String(value)).add(String(value).toUpperCase());
            all.set(name, known);
          }
      return fc.record(Object.fromEntries([...all].map(([name, known]) => [name, fc.constantFrom(...known)])), {
        requiredKeys: [],
      });
    };
    const of = (dispatch: Dispatch, pattern: string, request: ReturnType<typeof requestOf>) => {
      const context: { dispatchPattern: string; operation?: number } = { dispatchPattern: pattern };
      let error: Error | undefined;
      dispatch(context, request, (problem) => (error = problem as Error), { verbose() {}, info() {}, error() {} });
      return { operation: context.operation, error: error?.message };
    };
    const met = new Set<number | undefined>();
    fc.assert(
      fc.property(
        fc.constantFrom('/', '/container', '/container/blob'),
        fc.constantFrom('PUT', 'PUT', 'PUT', 'GET', 'HEAD', 'POST', 'DELETE', 'PATCH'),
        fc.option(fc.constantFrom('GET', 'DELETE', ' GET ', 'PUT', ''), { freq: 8 }),
        values('queryParameters'),
        values('headerParameters'),
        (pattern, method, override, query, headers) => {
          const request = requestOf(method, query, { ...headers, ...(override === null ? {} : { 'X-HTTP-Method': override }) });
          const expected = of(original, pattern, request);
          met.add(expected.operation);
          assert.deepEqual(of(tuned, pattern, request), expected);
        },
      ),
      { numRuns: 4000 },
    );
    assert.ok(met.size > 30, `only ${met.size} operations were met`);
  });
});

type Parameters = Record<string, string | undefined>;

function requestOf(method: string, query: Parameters, headers: Parameters) {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    getMethod: () => method,
    getPath: () => '/',
    getQuery: (name: string) => query[name],
    getHeader: (name: string) => lower.get(name.toLowerCase()),
  };
}
