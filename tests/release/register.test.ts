import assert from 'node:assert/strict';
import fc from 'fast-check';
import { registerModel, type Registration } from '../../src/release/register.js';
import { Refusal } from '../../src/release/refusal.js';
import { MemoryWorld, runFacts, type Schedule } from '../support/memory-release.js';

const run = (runId: string) => runFacts(runId, { commit: `commit${runId}` });
/** A build that registers `bytes`; `place` tells the same bytes at another address apart (the outputs of two jobs). */
const build = (runId: string, bytes: string, place = '', version?: string): Registration => ({
  name: 'm',
  ...(version === undefined ? {} : { version }),
  uri: `azureml://datastores/workspaceblobstore/paths/models/m/${bytes}${place}`,
  type: 'custom_model',
  digest: `sha256:${bytes.padStart(64, '0')}`,
  tags: { 'ado.runId': runId, 'ado.commit': `commit${runId}` },
  properties: {},
  metrics: {},
  run: run(runId),
});
const named = (model: { tags: Record<string, string>; properties: Record<string, string> }): string[] => [
  ...new Set([
    model.tags['ado.runId'] ?? '',
    ...Object.keys(model.properties)
      .filter((key) => key.startsWith('amlops.alsoProducedBy.'))
      .map((key) => key.slice('amlops.alsoProducedBy.'.length)),
  ]),
];
/** Every call waits a number of turns that the seed gives. */
const turns = (waits: number[]): Schedule => {
  let next = 0;
  return {
    write: () => 'ok',
    pause: async () => {
      for (let left = waits[next++ % waits.length]!; left > 0; left--) await new Promise((resolve) => setImmediate(resolve));
    },
  };
};

describe('release: builds that register at once', () => {
  it('property: same bytes are one version that names every run, other bytes are other versions; never an error or an overwrite', () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            bytes: fc.constantFrom('a', 'b', 'c'),
            waits: fc.array(fc.nat(4), { minLength: 1, maxLength: 12 }),
          }),
          { minLength: 2, maxLength: 5 },
        ),
        async (builds) => {
          const dev = new MemoryWorld().workspace('dev');
          const world = new MemoryWorld();
          const ended = await Promise.all(
            builds.map(({ bytes, waits }, index) => registerModel(build(`${index + 1}`, bytes), world.models(dev, turns(waits)))),
          );
          const distinct = new Set(builds.map(({ bytes }) => bytes));
          assert.deepEqual(
            [...dev.models.keys()].sort(),
            [...distinct].map((_, index) => `m:${index + 1}`),
            'the numbers go up without a gap',
          );
          for (const bytes of distinct) {
            const mine = builds.flatMap((one, index) => (one.bytes === bytes ? [index] : []));
            const versions = new Set(mine.map((index) => ended[index]!.model.version));
            assert.equal(versions.size, 1);
            const model = dev.models.get(`m:${[...versions][0]}`)!;
            assert.equal(model.properties['amlops.digest'], build('', bytes).digest);
            assert.equal(mine.filter((index) => ended[index]!.outcome === 'registered').length, 1);
            assert.equal(model.tags['ado.commit'], `commit${model.tags['ado.runId']}`, 'lineage is of one run');
            assert.deepEqual(
              named(model).sort(),
              mine.map((index) => `${index + 1}`),
            );
          }
        },
      ),
      { numRuns: 300 },
    ));

  it('same bytes at two addresses: the slower one adopts the version that it meets on its number, asked for or not', async () => {
    for (const version of [undefined, '1']) {
      const world = new MemoryWorld();
      const dev = world.workspace('dev');
      const first = world.models(dev, turns([0]));
      // The slower one has looked (nothing there) before the faster one makes its version.
      const slow = { ...first, versions: () => Promise.resolve([]), nextVersion: () => Promise.resolve('1') };
      assert.equal((await registerModel(build('1', 'a', '/job1', version), first)).outcome, 'registered');
      const late = await registerModel(build('2', 'a', '/job2', version), slow);
      assert.deepEqual([late.outcome, late.model.version, dev.models.size], ['unchanged', '1', 1]);
      assert.deepEqual(named(late.model), ['1', '2']);
      await assert.rejects(
        registerModel(build('3', 'b', '', '1'), slow),
        (error) => error instanceof Refusal && error.code === 'VersionTaken',
      );
      assert.equal(dev.models.get('m:1')!.tags['ado.runId'], '1');
    }
  });

  it('a build that died between the two steps is completed by the next one, which names itself', async () => {
    const world = new MemoryWorld();
    const dev = world.workspace('dev');
    const models = world.models(dev, turns([0]));
    await assert.rejects(
      registerModel(build('1', 'a'), { ...models, amend: () => Promise.reject(new Error('killed')) }),
      /killed/,
    );
    assert.deepEqual(dev.models.get('m:1')!.tags, {});
    assert.equal((await registerModel(build('2', 'a'), models)).outcome, 'unchanged');
    assert.equal(dev.models.get('m:1')!.tags['ado.runId'], '2');
  });
});
