/** Metrics of a job and its steps: names that collide, what is no number, and which trial speaks for a sweep. */
import assert from 'node:assert/strict';
import { bestTrials, metricSources, readMetrics, settledMetrics } from '../../../src/aml/jobs/metrics.js';
import type { StepState } from '../../../src/aml/jobs/steps.js';
import type { AzureRequest } from '../../../src/azure/types.js';
import type { Workspace } from '../../../src/aml/workspace.js';
import { FakeClock } from '../../support/fake-platform.js';

type Values = Record<string, number | string | null | undefined>;

interface Looked {
  workspace: Workspace;
  /** Looks at each run. */
  looks: Map<string, number>;
  signals: Set<AbortSignal | undefined>;
  /** Most requests at once. */
  most: number;
}

/** A workspace whose runs have logged `runs(n)`, at the n-th look at the run; undefined where MLflow knows no such run. */
function world(runs: (id: string, look: number) => Values | undefined): Looked {
  const looked: Looked = { workspace: undefined as never, looks: new Map(), signals: new Set(), most: 0 };
  let now = 0;
  const request = async (asked: AzureRequest) => {
    assert.deepEqual([asked.method, asked.url], ['GET', 'https://api.test/mlflow/v2.0/ws/api/2.0/mlflow/runs/get']);
    const id = String(asked.query?.['run_id']);
    const look = (looked.looks.get(id) ?? 0) + 1;
    looked.looks.set(id, look);
    looked.signals.add(asked.signal);
    looked.most = Math.max(looked.most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    const found = runs(id, look);
    if (!found && asked.accept?.includes(404))
      return { status: 404, body: { run: { data: { metrics: [{ key: 'not', value: 1 }] } } } };
    if (!found) throw new Error('404');
    const metrics = Object.entries(found).map(([key, value]) => ({ key, value }));
    return { status: 200, body: { run: { data: metrics.length > 0 ? { metrics } : {} } } };
  };
  looked.workspace = { id: '/ws', azure: { request }, facts: async () => ({ api: 'https://api.test' }) } as unknown as Workspace;
  return looked;
}
const workspaceOf = (runs: (id: string, look: number) => Values | undefined) => world(runs).workspace;
const step = (name: string, more: Partial<StepState> = {}): StepState => ({
  runId: name,
  name,
  status: 'Completed',
  phase: 'completed',
  group: false,
  reused: false,
  logsOf: name,
  ...more,
});

describe('metrics of a job', () => {
  it("the job's own win, what steps log differently has their names, and only numbers are numbers", async () => {
    const logged: Record<string, Values> = {
      j: { auc: 0.9, late: null, none: '', gone: undefined },
      a: { auc: 0.5, loss: 1, 'größe/µ': 1e-9, same: 2, nan: 'NaN' },
      b: { loss: 2, same: 2, inf: 'Infinity', nan: 3 },
    };
    const { values, remarks, unfit } = await readMetrics(
      workspaceOf((id) => logged[id]),
      // A step without an MLflow run, and a group, whose own run is nobody's.
      metricSources({ name: 'j' }, [step('a'), step('b'), step('c'), step('g', { group: true, logsOf: 'a' })]),
    );
    assert.deepEqual(values, { auc: 0.9, 'a.auc': 0.5, 'a.loss': 1, 'b.loss': 2, 'größe/µ': 1e-9, same: 2, nan: 3 });
    assert.deepEqual(unfit, { late: 'NaN', none: 'NaN', gone: 'NaN', inf: 'Infinity' });
    assert.match(remarks.join('\n'), /^late is NaN: left out$[^]*^b\.inf is Infinity[^]*loss is logged by a, b/m);
    // A job without steps is its own leaf: it is read once.
    assert.equal(metricSources({ name: 'j' }, [step('j')]).length, 1);
  });

  it('the best trial speaks for its sweep, at the top and within a pipeline', async () => {
    const runs = (id: string): Values => (id.startsWith('t') ? { acc: Number(id.slice(1)) } : id === 'prep' ? { rows: 7 } : {});
    const trials = ['t1', 't3', 't2'].map((id) => step(id));
    const top = metricSources({ name: 'j', properties: { best_child_run_id: 't3' } }, trials);
    const all = { 't1.acc': 1, 't2.acc': 2, 't3.acc': 3 };
    assert.deepEqual((await readMetrics(workspaceOf(runs), top)).values, { ...all, acc: 3 });
    assert.deepEqual((await readMetrics(workspaceOf(runs), metricSources({ name: 'j' }, trials))).values, all);
    const below = [
      step('prep'),
      step('s', { group: true, best: 't2' }),
      ...['t1', 't2', 't3'].map((id) => step(`s/${id}`, { runId: id, logsOf: id })),
      step('nested', { group: true }),
      step('nested/deep', { runId: 'deep', logsOf: 'deep' }),
    ];
    const within = (id: string): Values | undefined =>
      ({
        ...{ prep: { rows: 7, bad: Number.NaN }, deep: { acc: 2, depth: 9 }, t2: { acc: 2, lr: 1 } },
        // What the best has not logged is not the sweep's, be it one trial's or the same of all others.
        ...{ t1: { acc: 1, lr: 1, early: 1, patience: 5, worse: 'NaN' }, t3: { acc: 3, early: 2, patience: 5, once: 4 } },
      })[id];
    const { values, remarks, unfit } = await readMetrics(workspaceOf(within), metricSources({ name: 'j' }, below));
    const aside = { 's/t1.early': 1, 's/t3.early': 2, 's/t1.patience': 5, 's/t3.patience': 5, 's/t3.once': 4 };
    const accuracies = { 's/t1.acc': 1, 's/t2.acc': 2, 's/t3.acc': 3, 'nested/deep.acc': 2 };
    assert.deepEqual(values, { rows: 7, depth: 9, acc: 2, lr: 1, ...accuracies, ...aside });
    assert.deepEqual(unfit, { bad: 'NaN' });
    assert.match(remarks.join('\n'), /s\/t1\.worse is NaN[^]*early is logged by s\/t1, s\/t3: given as <step>\.early/);
    assert.deepEqual(bestTrials({}, below), ['s/t2']);
    assert.deepEqual(bestTrials({ properties: { best_child_run_id: 't1' } }, trials), ['t1']);
  });

  it('waits for late ones until two looks agree, a bounded time', async () => {
    const { signal } = new AbortController();
    const settle = async (runs: (look: number) => Values) => {
      const clock = new FakeClock();
      const before = clock.now();
      const { workspace, looks, signals } = world((_id, look) => runs(look));
      const { values } = await settledMetrics(workspace, [{ runId: 'j', name: '' }], { clock, signal });
      // A cancel ends the request that is on its way.
      assert.deepEqual([...signals], [signal]);
      return { values, looks: looks.get('j'), took: clock.now() - before };
    };
    assert.deepEqual(await settle(() => ({ auc: 1 })), { values: { auc: 1 }, looks: 2, took: 500 });
    const late = await settle((look): Values => (look < 3 ? {} : { auc: 1 }));
    assert.deepEqual(late, { values: { auc: 1 }, looks: 4, took: 3_500 });
    const growing = await settle((look): Values => (look < 2 ? { auc: 1 } : { auc: 1, loss: 2 }));
    assert.deepEqual(growing, { values: { auc: 1, loss: 2 }, looks: 3, took: 1_500 });
    const never = await settle((look): Values => ({ auc: look }));
    assert.ok(never.took <= 6_000 && never.looks !== undefined && never.looks >= 4);
    assert.deepEqual(never.values, { auc: never.looks });
    assert.ok((await settle(() => ({}))).took <= 6_000);
  });

  it('asks for eight runs at a time', async () => {
    const trials = Array.from({ length: 40 }, (_, n) => step(`t${n}`));
    const looked = world((id) => ({ [id]: 1 }));
    const { values } = await readMetrics(looked.workspace, metricSources({ name: 'j' }, trials));
    assert.deepEqual([Object.keys(values).length, looked.looks.size, looked.most], [41, 41, 8]);
  });
});
