import assert from 'node:assert/strict';
import type { ServiceError } from '../../../../local/workspace/errors.js';
import { points, readSearchSpace } from '../../../../local/workspace/engine/search.js';
import { Slots } from '../../../../local/workspace/engine/slots.js';

const take = <T>(source: Iterable<T>, count: number): T[] => {
  const found: T[] = [];
  for (const value of source) {
    found.push(value);
    if (found.length === count) break;
  }
  return found;
};

describe('search spaces', () => {
  it('grid: each combination once, in order', () => {
    const space = readSearchSpace({ a: ['choice', [['x', 'y']]], b: { type: 'choice', values: [1, 2] } });
    const shown = [...points(space, 'grid', '')].map((point) => [...point.values()].join(''));
    assert.deepEqual(shown, ['x1', 'x2', 'y1', 'y2']);
  });

  it('random: within its bounds, the same for the same seed', () => {
    const space = readSearchSpace({
      u: ['uniform', [2, 3]],
      q: ['quniform', [0, 10, 5]],
      r: ['randint', [4]],
      l: ['loguniform', [-2, 0]],
    });
    const first = take(points(space, 'random', 's'), 50);
    assert.deepEqual(take(points(space, 'random', 's'), 50), first);
    assert.notDeepEqual(take(points(space, 'random', 't'), 50), first);
    for (const point of first) {
      const [u = 0, q = 0, r = 0, l = 0] = [...point.values()].map(Number);
      assert.ok(u >= 2 && u < 3 && [0, 5, 10].includes(q) && [0, 1, 2, 3].includes(r) && l > 0.13 && l <= 1);
    }
  });

  it('refuses what it cannot sample, by name', () => {
    assert.throws(
      () => readSearchSpace({ a: ['uniform', [1]] }),
      (error: ServiceError) => error.status === 400 && error.message.includes("'a'"),
    );
    assert.throws(() => points(readSearchSpace({ a: ['uniform', [1, 2]] }), 'grid', '').next(), /Grid sampling needs choices/);
    assert.throws(
      () => points(readSearchSpace({ a: ['choice', [[1]]] }), 'bayesian', '').next(),
      (error: ServiceError) => error.status === 501,
    );
  });
});

describe('slots of a compute', () => {
  it('lets so many in as it has nodes, in the order of asking', async () => {
    const slots = new Slots(() => 2);
    const never = new AbortController();
    const order: number[] = [];
    const frees = await Promise.all([slots.take(never.signal), slots.take(never.signal)]);
    const gone = new AbortController();
    const left = assert.rejects(slots.take(gone.signal));
    const waiting = [1, 2].map((n) => slots.take(never.signal).then((free) => (order.push(n), free())));
    gone.abort(new Error('cancelled'));
    await left;
    assert.equal(slots.used, 2);
    for (const free of frees) free();
    await Promise.all(waiting);
    assert.deepEqual([order, slots.used], [[1, 2], 0]);
  });
});
