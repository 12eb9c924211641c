import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Store } from '../../../../local/workspace/store.js';
import { newRun, type RunRecord } from '../../../../local/workspace/runs/record.js';
import * as access from '../../../../local/workspace/runs/access.js';
import * as metrics from '../../../../local/workspace/runs/metrics.js';

const createdBy = { objectId: 'o', tenantId: 't', name: 'arm-dev', type: 'Application' as const };

function run(runId: string, extra: Partial<RunRecord> = {}): RunRecord {
  return newRun({
    runId,
    workspace: 'w',
    experimentId: 'e',
    experimentName: 'exp',
    kind: 'Command',
    runUuid: runId,
    createdBy,
    ...extra,
  });
}

describe('runs in the store', () => {
  let folder: string;
  let store: Store;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'amlops-runs-'));
    store = new Store(folder);
    await store.write((tx) => {
      access.putRun(tx, run('one'));
      access.putRun(tx, run('two'));
      access.putRun(tx, run('two-a', { parentRunId: 'two' }));
      access.putRun(tx, run('two-b', { parentRunId: 'two' }));
    });
  });
  after(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });
  const ids = (runs: RunRecord[]): string[] => runs.map(({ runId }) => runId);

  it('lists roots newest first, children in order, everything of an experiment, in pages', () => {
    assert.deepEqual(ids(access.listRuns(store, 'w')), ['two', 'one']);
    assert.deepEqual(ids(access.children(store, 'w', 'two')), ['two-a', 'two-b']);
    assert.deepEqual(ids(access.listRuns(store, 'w', { experimentId: 'e', before: 4, limit: 2 })), ['two-a', 'two']);
    assert.deepEqual(ids(access.tree(store, 'w', 'two')), ['two', 'two-a', 'two-b']);
    assert.deepEqual(access.listRuns(store, 'other'), []);
  });

  it('knows what has not ended', async () => {
    await store.write((tx) => access.updateRun(tx, 'w', 'one', (one) => (one.status = 'Completed')));
    assert.deepEqual(ids(access.activeRuns(store)), ['two', 'two-a', 'two-b']);
    assert.equal(access.getRun(store, 'w', 'ONE')?.revision, 1);
  });

  it('keeps every value of a metric and knows the current one, NaN and infinities included', async () => {
    const points = [
      { key: 'val/loss', value: 3, timestamp: 10, step: 0 },
      { key: 'val/loss', value: NaN, timestamp: 11, step: 2 },
      { key: 'val/loss', value: 1, timestamp: 12, step: 1 },
      { key: 'best', value: -Infinity, timestamp: 12, step: 0 },
    ];
    await store.write((tx) => {
      metrics.appendMetrics(tx, 'w', 'two', points.slice(0, 2));
      metrics.appendMetrics(tx, 'w', 'two', points.slice(2));
    });
    assert.deepEqual(
      metrics.metricHistory(store, 'w', 'two', 'val/loss').map(({ value }) => value),
      [3, NaN, 1],
    );
    assert.deepEqual(metrics.metricHistory(store, 'w', 'two', 'val/loss', { from: 1, limit: 1 }), [
      { value: NaN, timestamp: 11, step: 2 },
    ]);
    assert.deepEqual(metrics.latestMetrics(store, 'w', 'two'), [
      { key: 'best', count: 1, value: -Infinity, timestamp: 12, step: 0 },
      { key: 'val/loss', count: 3, value: NaN, timestamp: 11, step: 2 },
    ]);
    await store.write((tx) => metrics.removeMetrics(tx, 'w', 'two'));
    assert.deepEqual(metrics.latestMetrics(store, 'w', 'two'), []);
  });

  it('has one experiment a name', async () => {
    await store.write((tx) => {
      access.ensureExperiment(tx, 'w', 'a/b', 'id1');
      access.ensureExperiment(tx, 'w', 'a/b', 'id2');
    });
    assert.deepEqual(
      access.listExperiments(store, 'w').map(({ id }) => id),
      ['id1'],
    );
    const renamed = { ...(access.getExperimentByName(store, 'w', 'a/b') as access.Experiment), name: 'c' };
    await store.write((tx) => access.putExperiment(tx, renamed, 'a/b'));
    assert.equal(access.getExperimentByName(store, 'w', 'a/b'), undefined);
    assert.equal(access.getExperimentByName(store, 'w', 'c')?.id, 'id1');
  });
});
