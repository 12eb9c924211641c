/** A cancel that was acknowledged while a job had not ended is never lost: it is sent at every write of the life of every kind of job. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import sinon from 'sinon';
import { tree } from '../../../../local/workspace/runs/access.js';
import { isTerminal, type RunRecord } from '../../../../local/workspace/runs/record.js';
import { Jobs } from '../../../support/jobs.js';

const literal = (value: string): object => ({ job_input_type: 'literal', value });
const grid = (values: unknown[]): Record<string, unknown> => ({
  samplingAlgorithm: { samplingAlgorithmType: 'Grid' },
  searchSpace: { x: ['choice', [values]] },
  objective: { goal: 'minimize', primaryMetric: 'm' },
  limits: { jobLimitsType: 'Sweep', maxTotalTrials: values.length, maxConcurrentTrials: 2 },
});

describe('cancel', function () {
  this.timeout(600_000);
  const thorough = process.env['AMLOPS_SOAK'] === '1';
  let jobs: Jobs;
  before(async () => {
    jobs = await Jobs.start();
    // One quick job builds the environment, so that the jobs under test spend their time in their states.
    await jobs.command('warm', 'true');
    await jobs.until('warm');
  });
  after(() => jobs.stop());
  afterEach(() => sinon.restore());

  const runs = (name: string): RunRecord[] => tree(jobs.workspace.ctx.store, jobs.ws.guid, name);
  const mark = `AMLOPS_CANCEL_TEST_${process.pid}`;
  const left = (): number =>
    readdirSync('/proc').filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${mark}=1`);
      } catch {
        return false; // gone meanwhile, or another user's
      }
    }).length;

  /** Submits, and cancels just before the job's write number `at` is done. Gives the runs as the cancel met and as it left them, and the number of writes. */
  async function cancelAt(
    name: string,
    submit: (name: string) => Promise<unknown>,
    at: number,
  ): Promise<{ met: RunRecord[]; acknowledged: RunRecord[]; writes: number }> {
    const { store } = jobs.workspace.ctx;
    const real = store.write.bind(store);
    let writes = 0;
    let met: RunRecord[] = [];
    let acknowledged: RunRecord[] = [];
    let inside = false;
    const stub = sinon.stub(store, 'write').callsFake(async (body) => {
      if (inside || runs(name).length === 0) return real(body);
      if (++writes === at) {
        inside = true;
        met = runs(name);
        const reply = await jobs.ask('POST', `/jobs/${name}/cancel`);
        acknowledged = runs(name);
        inside = false;
        assert.equal(reply.status, 202, reply.text);
      }
      return real(body);
    });
    await submit(name);
    await jobs.until(name);
    stub.restore();
    return { met, acknowledged, writes };
  }

  const variables = { environmentVariables: { [mark]: '1' } };
  const node = (
    name: string,
    command: string,
    more: { spec?: Record<string, unknown>; node?: Record<string, unknown> } = {},
  ): Promise<unknown> => jobs.node(name, command, { ...more, node: { ...more.node, environment_variables: { [mark]: '1' } } });
  const step = { spec: { outputs: { o: { type: 'uri_folder' } } } };
  const reads = (name: string): { spec: Record<string, unknown>; node: Record<string, unknown> } => ({
    spec: { inputs: { i: { type: 'uri_folder' } } },
    node: { inputs: { i: literal(`\${{parent.jobs.${name}.outputs.o}}`) } },
  });
  const fresh = { settings: { force_rerun: true } };

  const kinds: Record<string, () => Promise<(name: string) => Promise<unknown>>> = {
    command: () => Promise.resolve((name) => jobs.command(name, 'echo a', variables)),
    pipeline: async () => {
      const nodes = [await node('one', 'echo > ${{outputs.o}}/f', step), await node('two', 'ls ${{inputs.i}}', reads('one'))];
      return (name) => jobs.pipeline(name, nodes, fresh);
    },
    nested: async () => {
      const inner = await node('inner', 'echo inner');
      const sub = await jobs.component({ type: 'pipeline', inputs: {}, outputs: {}, jobs: { inner } });
      const nodes = [
        { name: 'group', type: 'pipeline', componentId: sub, inputs: {}, outputs: {} },
        await node('beside', 'echo beside'),
      ];
      return (name) => jobs.pipeline(name, nodes, fresh);
    },
    parallel: async () => {
      const code = `azureml:${await jobs.code({ 'entry.py': 'def run(batch):\n    return [str(b) for b in batch]\n' })}`;
      const task = {
        type: 'run_function',
        code,
        entry_script: 'entry.py',
        append_row_to: '${{outputs.rows}}',
        environment: `azureml:${jobs.environment}`,
      };
      const spec = {
        type: 'parallel',
        task,
        mini_batch_size: '1',
        input_data: '${{inputs.i}}',
        inputs: { i: { type: 'uri_folder' } },
        outputs: { rows: { type: 'uri_file' } },
      };
      const score = {
        name: 'score',
        type: 'parallel',
        componentId: await jobs.component(spec),
        task,
        ...reads('make').node,
        outputs: {},
      };
      const nodes = [await node('make', 'echo 1 > ${{outputs.o}}/1; echo 2 > ${{outputs.o}}/2', step), score];
      return (name) => jobs.pipeline(name, nodes, fresh);
    },
    sweep: () =>
      Promise.resolve((name) =>
        jobs.submit(name, {
          jobType: 'Sweep',
          experimentName: 'tests',
          ...grid([1, 2, 3]),
          trial: { command: 'echo ${{search_space.x}}', environmentId: jobs.environment, ...variables },
        }),
      ),
    'reused pipeline': async () => {
      const nodes = [await node('same', 'echo > ${{outputs.o}}/f', step), await node('too', 'ls ${{inputs.i}}', reads('same'))];
      await jobs.pipeline('reused-before', nodes);
      await jobs.until('reused-before');
      return (name) => jobs.pipeline(name, nodes);
    },
  };

  const seen = new Set<string>();
  for (const [kind, prepare] of Object.entries(kinds))
    it(`ends a ${kind} as Canceled, at whatever moment it comes`, async () => {
      const submit = await prepare();
      jobs.workspace.ctx.latency.set('states=0.01');
      const { writes } = await cancelAt(`${kind.replace(' ', '-')}-whole`, submit, 0);
      assert.ok(writes > 3, String(writes));
      const stride = thorough || writes <= 7 ? 1 : writes / 7;
      // The last moments are where a job and its cancel meet.
      const moments = new Set(Array.from({ length: Math.ceil(writes / stride) }, (_, i) => 1 + Math.floor(i * stride)));
      for (const at of [...moments, writes - 1, writes]) {
        const name = `${kind.replace(' ', '-')}-${at}`;
        if (runs(name).length > 0) continue;
        const { met, acknowledged } = await cancelAt(name, submit, at);
        const root = acknowledged[0];
        if (!root || root.status === 'Completed') continue; // it had ended, or had fewer writes
        for (const { status } of met) seen.add(status);
        const ended = runs(name);
        const story = `${name}: met ${met.map(({ status }) => status).join(', ')}; ended ${ended.map(({ status }) => status).join(', ')}`;
        assert.equal(ended[0]?.status, 'Canceled', story);
        for (const run of ended) {
          assert.ok(isTerminal(run.status), story);
          const then = acknowledged.find(({ runId }) => runId === run.runId);
          if (then && !isTerminal(then.status)) assert.equal(run.status, 'Canceled', story);
        }
        const poll = await jobs.ask('POST', `/jobs/${name}/cancel`);
        assert.equal(poll.status, 202, 'a second cancel is acknowledged, too');
        assert.equal(runs(name)[0]?.status, 'Canceled');
      }
      assert.equal(left(), 0);
    });

  it('was tried in every state that a run has', () => {
    for (const status of ['NotStarted', 'Preparing', 'Queued', 'Running', 'Finalizing'])
      assert.ok(seen.has(status), `${status} of ${[...seen].join(', ')}`);
  });
});
