/** The exclusive lock between runs: one holder, also after a death in the middle of taking it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { acquire } from '../../../../local/pipeline/run/locks.js';

const resource = { type: 'environment', id: '1', name: 'aml-prod' } as const;
const never = new AbortController().signal;

describe('exclusive lock', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'locks-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is taken from a run that died while it took it, and from one that died with it', async () => {
    const place = join(folder, 'environment-1');
    mkdirSync(place);
    for (const left of ['', '{"run": 3', JSON.stringify({ run: 3, pid: 2 ** 22 + 1 })]) {
      writeFileSync(join(place, 'holder.json'), left);
      const lock = await acquire(folder, resource, 4, 'sequential', never, (run) => assert.fail(`waits for ${run}`));
      await lock!.release();
    }
  });

  it('is never held by two, and those who wait are told by whom it is held', async () => {
    let holders = 0;
    const told: [number, number][] = [];
    const one = async (run: number): Promise<void> => {
      const lock = await acquire(folder, resource, run, 'sequential', never, (by) => told.push([run, by]));
      assert.equal(++holders, 1);
      for (let i = 0; i < 20; i++) await turn();
      holders -= 1;
      await lock!.release();
    };
    const first = await acquire(folder, resource, 1, 'sequential', never);
    const others = [2, 3, 4].map(one);
    while (told.length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(told.slice(0, 3).sort(), [
      [2, 1],
      [3, 1],
      [4, 1],
    ]);
    await first!.release();
    await Promise.all(others);
  });
});
