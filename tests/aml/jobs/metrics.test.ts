/** Metrics of a job and its steps: names that collide, what is no number, and which trial speaks for a sweep. */
import assert from 'node:assert/strict';
import { metricSources, readMetrics, settledMetrics } from '../../../src/aml/jobs/metrics.js';
import type { StepState } from '../../../src/aml/jobs/steps.js';
import type { Workspace } from '../../../src/aml/workspace.js';
import { FakeClock } from '../../support/fake-platform.js';

type Values = Record<string, number | string | null>;

/** A workspace whose runs have logged `runs(n)`, at the n-th look at the run. */
function workspaceOf(runs: (id: string, look: number) => Values): Workspace {
  const looks = new Map<string, number>();
  const request = async ({ query }: { query: { run_id: string } }) => {
    const look = (looks.get(query.run_id) ?? 0) + 1;
    looks.set(query.run_id, look);
    const metrics = Object.entries(runs(query.run_id, look)).map(([key, value]) => ({ key, value }));
    return { status: 200, body: { run: { data: { metrics } } } };
  };
  return { id: '/ws', azure: { request }, facts: async () => ({ api: 'https://api.test' }) } as unknown as Workspace;
}
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
      j: { auc: 0.9, late: null },
      a: { auc: 0.5, loss: 1, 'größe/µ': 1e-9, same: 2, nan: 'NaN' },
      b: { loss: 2, same: 2, inf: 'Infinity', nan: 3 },
    };
    const { values, remarks, unfit } = await readMetrics(
      workspaceOf((id) => logged[id] ?? {}),
      metricSources({ name: 'j' }, [step('a'), step('b'), step('g', { group: true })]),
    );
    assert.deepEqual(values, { auc: 0.9, 'a.auc': 0.5, 'a.loss': 1, 'b.loss': 2, 'größe/µ': 1e-9, same: 2, nan: 3 });
    assert.deepEqual(unfit, { late: 'NaN', inf: 'Infinity' });
    assert.match(remarks.join('\n'), /b\.inf is Infinity[^]*loss is logged by a, b/);
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
    ];
    const { values } = await readMetrics(workspaceOf(runs), metricSources({ name: 'j' }, below));
    assert.deepEqual(values, { rows: 7, acc: 2, 's/t1.acc': 1, 's/t2.acc': 2, 's/t3.acc': 3 });
  });

  it('waits for late ones, a bounded time', async () => {
    const clock = new FakeClock();
    const late = workspaceOf((_id, look): Values => (look < 3 ? {} : { auc: 1 }));
    assert.deepEqual((await settledMetrics(late, [{ runId: 'j', name: '' }], { clock })).values, { auc: 1 });
    const before = clock.now();
    assert.deepEqual(
      (
        await settledMetrics(
          workspaceOf(() => ({})),
          [{ runId: 'j', name: '' }],
          { clock },
        )
      ).values,
      {},
    );
    assert.ok(clock.now() - before <= 6_000);
  });
});
