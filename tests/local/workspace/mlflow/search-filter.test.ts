/** MLflow's search language, on its own. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseFilter, parseOrder, satisfies, sortBy } from '../../../../local/workspace/mlflow/search-filter.js';
import { MlflowError } from '../../../../local/workspace/mlflow/wire.js';

describe('MLflow search filter', () => {
  it('reads entities, quotes, numbers, lists and NULL', () => {
    const read = (filter: string) =>
      parseFilter(filter).map(({ entity, key, operator, value }) => [entity, key, operator, value]);
    assert.deepEqual(read("metrics.acc > 0.5 and params.depth = '3' AND tags.`a b` != 'x'"), [
      ['metric', 'acc', '>', 0.5],
      ['param', 'depth', '=', '3'],
      ['tag', 'a b', '!=', 'x'],
    ]);
    assert.deepEqual(read('metrics."val/loss" <= -1e-3'), [['metric', 'val/loss', '<=', -0.001]]);
    assert.deepEqual(read('metrics.val/loss < 2'), [['metric', 'val/loss', '<', 2]]);
    assert.deepEqual(read("tags.mlflow.parentRunId = 'x'"), [['tag', 'mlflow.parentRunId', '=', 'x']]);
    assert.deepEqual(read("run_id IN ('a', 'b') AND status = 'FINISHED'"), [
      ['attribute', 'run_id', 'IN', ['a', 'b']],
      ['attribute', 'status', '=', 'FINISHED'],
    ]);
    assert.deepEqual(read("params.x NOT IN ('1') and tags.t IS NULL and attributes.start_time >= 17"), [
      ['param', 'x', 'NOT IN', ['1']],
      ['tag', 't', 'IS NULL', null],
      ['attribute', 'start_time', '>=', 17],
    ]);
    assert.deepEqual(read("name='kit-model'"), [['attribute', 'name', '=', 'kit-model']]);
    assert.deepEqual(read('  '), []);
  });

  it('refuses what it cannot read, and says so', () => {
    for (const filter of [
      'metrics.acc >',
      'metrics.acc',
      "metrics.acc > 'a'",
      'params.x = 3',
      "params.x > '3'",
      'a = 1 or b = 2',
      "foo.x = 'y'",
      '= 1',
      "name IN ('a'",
      "name = 'open",
      'attributes.run_id = 5',
      'dataset.name IS NULL',
    ]) {
      assert.throws(() => parseFilter(filter), MlflowError, filter);
    }
  });

  it('ends on any text', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (filter) => {
        try {
          parseFilter(filter);
        } catch (error) {
          assert.ok(error instanceof MlflowError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('compares: patterns, missing values', () => {
    const [like] = parseFilter("params.x ILIKE 'A%_c'");
    assert.ok(like);
    assert.equal(satisfies('abbc', like), true);
    assert.equal(satisfies('ac', like), false);
    assert.equal(satisfies(undefined, like), false);
  });

  it('sorts with missing values last either way', () => {
    const items = [{ v: 2 }, { v: undefined }, { v: Number.NaN }, { v: 1 }];
    const by = (clause: string) => sortBy(items, parseOrder([clause]), (item) => item.v).map(({ v }) => v);
    assert.deepEqual(by('metrics.v DESC'), [2, 1, Number.NaN, undefined]);
    assert.deepEqual(by('metrics.v'), [1, 2, Number.NaN, undefined]);
  });

  it('orders by one key a clause', () => {
    assert.equal(parseOrder(['metrics.`a b, c` desc'])[0]?.key, 'a b, c');
    for (const clause of ['metrics.a DESCENDING', 'metrics.a, params.b', 'metrics.a ASC NULLS FIRST', 'metrics.a ASC DESC'])
      assert.throws(() => parseOrder([clause]), MlflowError, clause);
  });
});
