/** The steps of a job as run history tells of them: names, groups, reuse, errors, and that nothing of them is taken for settled too soon. */
import assert from 'node:assert/strict';
import { readDetails, runError, StepReader } from '../../../src/aml/jobs/steps.js';
import { fakeWorkspace } from '../../support/fake-workspace.js';

type Runs = Record<string, object[]>;

/** Run history with these children; a run's own may change between two looks. */
function historyOf(below: Runs) {
  const asked: string[] = [];
  const workspace = fakeWorkspace(({ url }) => {
    const run = decodeURIComponent(url.split('/').at(-2) ?? '');
    asked.push(run);
    return { body: { value: below[run] ?? [] } };
  });
  return { reader: new StepReader(workspace, 'job'), asked };
}
const group = (runId: string, status: string) => ({ runId, displayName: runId, status, runType: 'azureml.PipelineRun' });

describe('steps of a job', () => {
  it('calls the trials of a sweep by their number, a named trial by its name, a nested step with its parent', async () => {
    const { reader } = historyOf({
      // As the service lists them: the later first.
      job: [
        { runId: 'inner', displayName: 'inner', status: 'Running', runType: 'azureml.PipelineRun' },
        { runId: 'job_1', displayName: 'bold_tree', status: 'Running' },
        { runId: 'job_0', displayName: 'job_0', status: 'Running' },
      ],
      inner: [{ runId: 'inner_2', displayName: 'fit', status: 'Running' }],
    });
    const names = (await reader.read()).map(({ name }) => name);
    assert.deepEqual(names, ['trial_0', 'bold_tree', 'inner', 'inner/fit']);
    // Names that only look like a trial's, and such as nobody gave.
    const odd = historyOf({
      job: [
        ...['1234567', 'job_x', 'job_1_2'].map((displayName, n) => ({ runId: `r${n}`, displayName, createdUtc: `${n}` })),
        { runId: 'r3', displayName: '', name: 'fit', createdUtc: '3' },
        { runId: 'a-long-run-id-4', displayName: null, createdUtc: '4' },
      ],
    });
    const given = (await odd.reader.read()).map(({ name }) => name);
    assert.deepEqual(given, ['1234567', 'job_x', 'job_1_2', 'fit', 'un-id-4'.padStart(8, 'r')]);
  });

  it('tells steps of one name apart, the same way at each look', async () => {
    const fit = (runId: string, createdUtc: string) => ({ runId, displayName: 'a/fit', status: 'Running', createdUtc });
    const below: Runs = { job: [fit('y', '2'), fit('x', '1')] };
    const { reader } = historyOf(below);
    const read = async () => (await reader.read()).map(({ runId, name }) => `${runId} ${name}`);
    assert.deepEqual(await read(), ['x a/fit', 'y a/fit (2)']);
    // One that the list was late with does not take the others' names.
    below['job'] = [...(below['job'] ?? []), fit('w', '0')];
    assert.deepEqual(await read(), ['w a/fit (3)', 'x a/fit', 'y a/fit (2)']);
  });

  it('reads times, ends, errors, the best trial, and where the log of a reused step lies', async () => {
    const { reader } = historyOf({
      job: [
        {
          ...{ runId: 'a', name: 'azureml_anonymous', status: 'Failed', createdUtc: '1' },
          ...{
            startTimeUtc: '2026-01-01T00:00:00Z',
            endTimeUtc: '2026-01-01T00:00:09Z',
            error: { error: { code: 'UserError' } },
          },
        },
        {
          ...{ runId: 'b', displayName: 'b', status: 'Completed', createdUtc: '2', endTimeUtc: 'never' },
          properties: { 'azureml.isreused': 'True', 'azureml.reusedrunid': 'old' },
        },
        // A pipeline that was reused has no runs below: it stands for itself.
        { ...group('c', 'Completed'), createdUtc: '3', properties: { 'azureml.isreused': 'true' } },
        {
          ...{ runId: 'd', displayName: 'd', status: 'Running', createdUtc: '4', runTypeV2: { traits: ['Sweep'] } },
          properties: { best_child_run_id: 'd_1' },
        },
        { status: 'Running', displayName: 'no id' },
      ],
    });
    const [a, b, c, d, ...more] = await reader.read();
    const start = Date.parse('2026-01-01T00:00:00Z');
    assert.deepEqual([a?.name, a?.started, a?.ended, a?.error?.code, a?.logsOf], ['a', start, start + 9_000, 'UserError', 'a']);
    assert.deepEqual([b?.reused, b?.logsOf, b?.ended], [true, 'old', undefined]);
    assert.deepEqual([c?.group, c?.reused, c?.logsOf], [false, true, 'c']);
    assert.deepEqual([d?.group, d?.best], [true, 'd_1']);
    assert.deepEqual(more, []);
  });

  it('asks no more for what cannot change, and goes on asking for what can', async () => {
    const below: Runs = { job: [group('done', 'Completed'), group('late', 'Completed'), group('open', 'Running')] };
    below['done'] = [{ runId: 'x', displayName: 'x', status: 'Completed' }];
    below['late'] = [{ runId: 'y', displayName: 'y', status: 'Finalizing' }];
    below['open'] = [{ runId: 'z', displayName: 'z', status: 'Completed' }];
    const { reader, asked } = historyOf(below);
    await reader.read();
    assert.equal(reader.requests, 4);
    asked.length = 0;
    below['late'] = [{ runId: 'y', displayName: 'y', status: 'Failed' }];
    below['open'] = [...below['open'], { runId: 'w', displayName: 'w', status: 'Queued' }];
    const states = Object.fromEntries((await reader.read()).map(({ name, status }) => [name, status]));
    assert.deepEqual(asked.sort(), ['job', 'late', 'open']);
    assert.equal(reader.requests, 3);
    assert.deepEqual([states['done/x'], states['late/y'], states['open/w']], ['Completed', 'Failed', 'Queued']);
    asked.length = 0;
    await reader.read();
    assert.deepEqual(asked.sort(), ['job', 'open']);
  });

  it('every request listens to a cancel', async () => {
    const { signal } = new AbortController();
    const workspace = fakeWorkspace(() => ({ body: { value: [] } }));
    await new StepReader(workspace, 'job').read(signal);
    await readDetails(workspace, 'run', signal);
    assert.deepEqual(
      workspace.asked.map((request) => request.signal),
      [signal, signal],
    );
  });

  it('goes down a pipeline of pipelines, and not for ever', async () => {
    const { reader } = historyOf(new Proxy({}, { get: (_none, run: string) => [group(`${run}.`, 'Running')] }));
    assert.equal((await reader.read()).length, 9);
  });

  it('reads errors with either spelling and wrapping, and none for nothing; details of a run that is not there', async () => {
    const inner = { code: 'A', message: 'm', innerError: { code: 'B', innererror: { code: 'C' } } };
    for (const value of [inner, { error: inner }])
      assert.deepEqual(runError(value), { code: 'A', message: 'm', codes: ['A', 'B', 'C'] });
    for (const value of [null, undefined, 'text', {}, { error: {} }]) assert.equal(runError(value), undefined);
    assert.equal(
      await readDetails(
        fakeWorkspace(() => ({ status: 404, body: { error: { code: 'NotFound', message: 'no' } } })),
        'r',
      ),
      undefined,
    );
    const full = { status: 'Failed', logFiles: null, error: inner, warnings: [{ message: 'w' }, {}] };
    const found = await readDetails(
      fakeWorkspace(() => ({ body: full })),
      'r',
    );
    assert.deepEqual([found?.status, found?.logFiles, found?.error?.code, found?.warnings], ['Failed', {}, 'A', ['w']]);
  });
});
