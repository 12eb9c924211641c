/** The end of a failed step's log: the lines that tell, as a terminal would show them, and the digest that is made of them. */
import assert from 'node:assert/strict';
import { failureDigest } from '../../../src/aml/jobs/digest.js';
import { jobState, phaseOf } from '../../../src/aml/jobs/job.js';
import type { StepState } from '../../../src/aml/jobs/steps.js';
import { logTail } from '../../../src/aml/jobs/tail.js';
import { fakeWorkspace, type Answer } from '../../support/fake-workspace.js';

interface Given {
  /** By file; of run `x` where the name begins with `x:`. */
  files?: Record<string, string>;
  /** The store sends whole files. */
  whole?: boolean;
  /** What the service says of a run besides. */
  errors?: Record<string, object>;
  instead?: (url: string) => Answer | undefined;
}

function workspaceOf({ files = {}, whole, errors = {}, instead }: Given) {
  return fakeWorkspace(({ url, headers }) => {
    const other = instead?.(url);
    if (other) return other;
    const run = /\/runs\/([^/]+)\/details$/.exec(url)?.[1];
    if (run !== undefined) {
      const names = Object.keys(files).filter((name) => (name.includes(':') ? name.startsWith(`${run}:`) : true));
      const logFiles = Object.fromEntries(names.map((name) => [name.replace(/^.*:/, ''), `https://logs/${name}`]));
      return { body: { status: 'Failed', logFiles, ...(errors[run] ? { error: { error: errors[run] } } : {}) } };
    }
    const text = files[url.replace('https://logs/', '')];
    if (text === undefined) return { status: 404, bytes: Buffer.from('<Error>gone</Error>') };
    const bytes = Buffer.from(text);
    if (whole) return { bytes };
    const [, from = 0, to = 0] = (/^bytes=(\d+)-(\d+)$/.exec(headers?.['Range'] ?? '') ?? []).map(Number);
    if (from >= bytes.length) return { status: 416 };
    const range = `bytes ${from}-${Math.min(to, bytes.length - 1)}/${bytes.length}`;
    return { status: 206, bytes: bytes.subarray(from, to + 1), headers: { 'content-range': range } };
  });
}
const user = 'user_logs/std_log.txt';
const tailOf = (given: Given, lines = 3, bytes?: number) =>
  logTail(workspaceOf(given), 'r', { lines, ...(bytes ? { bytes } : {}) });

describe('the end of a log', () => {
  it('is its last lines, and says when there is more before them', async () => {
    assert.deepEqual(await tailOf({ files: { [user]: 'a\nb\nc\nd\n \n\n' } }), { lines: ['b', 'c', 'd'], cut: true });
    assert.deepEqual(await tailOf({ files: { [user]: 'a\r\nb\n' } }), { lines: ['a', 'b'], cut: false });
    assert.deepEqual(await tailOf({ files: { [user]: '10%\r20%\r100%\n\u001b[31mred\u001b[0m' } }), {
      lines: ['100%', 'red'],
      cut: false,
    });
    for (const files of [{}, { [user]: '' }]) assert.deepEqual(await tailOf({ files }), { lines: [], cut: false });
  });

  it('of a long log reads no more than it needs, whole lines only, also where the store sends the whole', async () => {
    const text = Array.from({ length: 1_000 }, (_, n) => `line ${n}`).join('\n');
    for (const whole of [false, true]) {
      const found = await tailOf({ files: { [user]: `${text}\n` }, whole }, 100, 45);
      // 45 bytes: half of line 995, then four.
      assert.deepEqual(found, { lines: ['line 996', 'line 997', 'line 998', 'line 999'], cut: true });
    }
    // One line that is longer than all that is read.
    assert.deepEqual((await tailOf({ files: { [user]: 'aaaa\nbbbb\n' } }, 9, 5)).lines, ['bbbb']);
    assert.deepEqual(await tailOf({ files: { [user]: 'aaaa\nbbbb\n' } }, 9, 10), { lines: ['aaaa', 'bbbb'], cut: false });
  });

  it('takes another process of the step where that has the traceback, and the build log where there is nothing else', async () => {
    const trace = 'Traceback (most recent call last):\nValueError: here\n';
    const process = (n: number) => `user_logs/std_log_process_0${n}.txt`;
    const last = async (files: Record<string, string>) => (await tailOf({ files })).lines.at(-1);
    assert.equal(
      await last({ [process(0)]: 'fine\n', [process(1)]: 'also fine\n', [process(2)]: trace, [process(3)]: 'x\n' }),
      'ValueError: here',
    );
    assert.equal(await last({ [process(0)]: trace, [process(1)]: `${trace}later\n` }), 'ValueError: here');
    assert.equal(await last({ [process(0)]: 'fine\n', [process(1)]: 'also fine\n' }), 'fine');
    assert.equal(await last({ [process(0)]: '', [process(1)]: 'spoke\n' }), 'spoke');
    assert.equal(await last({ 'azureml-logs/20_image_build_log.txt': 'no such package\n' }), 'no such package');
    assert.equal(await last({ 'logs/20_image_build_log.txt': 'no such package\n', 'x.txt': 'y' }), 'no such package');
  });

  it('is that of the process that failed first, of many, and says which; not of those that failed because of it', async () => {
    const trace = (exception: string) =>
      `Traceback (most recent call last):\n  File "train.py", line 7, in <module>\n    fit()\n${exception}\n`;
    const rank = (n: number) => `user_logs/std_log_process_${n}.txt`;
    const fine = (n: number): [string, string] => [rank(n), `epoch 1\nrank ${n} fine\n`];
    const of = async (...files: [string, string][]) => {
      const { file, lines } = await tailOf({ files: Object.fromEntries(files) });
      return [file?.replace('user_logs/std_log_', ''), lines.at(-1)];
    };
    const own = trace('ValueError: here');
    for (const because of [
      'torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1333, remote process exited',
      'RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.5]:41022',
      'ConnectionResetError: [Errno 104] Connection reset by peer',
      'torch.distributed.elastic.multiprocessing.api.SignalException: Process 12 got signal: 15',
      'horovod.common.exceptions.HorovodInternalError: allreduce failed',
    ])
      assert.deepEqual(
        await of([rank(0), trace(because)], fine(1), [rank(2), own]),
        ['process_2.txt', 'ValueError: here'],
        because,
      );
    // One that ended without a word of Python; one that got over its exception long before; the first of two.
    assert.deepEqual(await of(fine(0), [rank(1), 'epoch 1\nSegmentation fault (core dumped)\n']), [
      'process_1.txt',
      'Segmentation fault (core dumped)',
    ]);
    const got = `${trace('OSError: no cache')}${'step\n'.repeat(100)}`;
    assert.deepEqual(await of([rank(0), got], [rank(1), own]), ['process_1.txt', 'ValueError: here']);
    assert.deepEqual(await of([rank(0), own], [rank(1), trace('ValueError: there')]), ['process_0.txt', 'ValueError: here']);
    assert.deepEqual(await of(fine(0), fine(1)), ['process_0.txt', 'rank 0 fine']);
    // By number, as many as there may be.
    const many = Array.from({ length: 40 }, (_, n) => (n === 31 ? ([rank(31), own] as [string, string]) : fine(n)));
    assert.deepEqual(await of(...many), ['process_31.txt', 'ValueError: here']);
    assert.deepEqual(await of([rank(10), own], fine(0), [rank(9), trace('ValueError: nine')]), [
      'process_9.txt',
      'ValueError: nine',
    ]);
    // Two first ones: a worker and a parameter server.
    const roles = { 'user_logs/std_log_ps_0.txt': own, 'user_logs/std_log_worker_0.txt': 'fine\n' };
    assert.deepEqual((await tailOf({ files: roles })).lines.at(-1), 'ValueError: here');
    // Older generations: the program's log before the service's.
    const older = { 'azureml-logs/55_azureml-execution.txt': 'pulled\n', 'azureml-logs/65_job_prep.txt': 'ready\n' };
    assert.equal(
      (
        await tailOf({ files: { ...older, 'azureml-logs/70_driver_log.txt': own, 'azureml-logs/75_job_post.txt': 'bye\n' } })
      ).lines.at(-1),
      'ValueError: here',
    );
    assert.equal((await tailOf({ files: older })).lines.at(-1), 'ready');
    assert.equal((await tailOf({ files: { [user]: own } })).file, undefined);
  });

  it('shows nothing of a reply that is no log', async () => {
    for (const status of [401, 403, 404, 416])
      assert.deepEqual(
        await tailOf({
          files: { [user]: 'x' },
          instead: (url) => (url.startsWith('https://logs/') ? { status, bytes: Buffer.from('<Error>') } : undefined),
        }),
        { lines: [], cut: false },
      );
  });
});

describe('the digest of a failed job', () => {
  const step = (name: string, status: string, more: Partial<StepState> = {}): StepState => ({
    ...{ runId: name, name, status, phase: phaseOf(status), group: false, reused: false, logsOf: name },
    ...more,
  });
  const digest = (given: Given, steps: StepState[] = [step('a', 'Failed')], signal?: AbortSignal) => {
    const workspace = workspaceOf(given);
    return failureDigest(workspace, jobState({ properties: { status: 'Failed' } }, workspace, 'j'), steps, [], signal);
  };

  it('speaks of the leaf that failed first; one whose end nobody knows comes last', async () => {
    const steps = [step('open', 'Failed'), step('b', 'Failed', { ended: 9 }), step('a', 'Failed', { ended: 5, logsOf: 'old' })];
    const files = { [`old:${user}`]: 'words of a\n', [`b:${user}`]: 'words of b\n' };
    const found = await digest({ files, errors: { a: { code: 'UserError', message: 'exited with status code 1' } } }, steps);
    assert.deepEqual([found.step, found.runId, found.itself, found.cause], ['a', 'a', false, 'user code']);
    assert.deepEqual(found.lines, ['words of a']);
    assert.equal(found.message, 'exited with status code 1');
  });

  it("the step's own error, else the job's; no words at all are said to be none", async () => {
    const of = (code: string) => ({ code, message: `${code} it was` });
    assert.equal((await digest({ errors: { a: of('One'), j: of('Two') } })).message, 'One it was');
    assert.equal((await digest({ errors: { j: of('Two') } })).message, 'Two it was');
    assert.equal((await digest({ errors: { j: of('Two') } }, [])).itself, true);
    assert.equal((await digest({})).message, 'The service gave no message (Failed).');
    const own = step('a', 'Failed', { error: { code: 'Own', message: 'own words', codes: ['Own'] } });
    assert.equal((await digest({ errors: { a: of('One') } }, [own])).message, 'own words');
  });

  it('forty lines, six hundred characters, and what could not be read; a cancel is no trouble of reading', async () => {
    const text = Array.from({ length: 99 }, (_, n) => `${n}`).join('\n');
    const long = await digest({ files: { [user]: text }, errors: { a: { code: 'X', message: 'x'.repeat(5_000) } } });
    assert.deepEqual([long.lines.length, long.lines.at(-1), long.message.length], [40, '98', 600]);
    const blind = await digest({ instead: () => ({ status: 403, body: { error: { code: 'X', message: 'no rights' } } }) });
    assert.match(blind.lines.join(), /^\(the rest could not be read: .*no rights\)$/);
    const abort = new AbortController();
    abort.abort(new Error('cancelled here'));
    await assert.rejects(digest({}, [], abort.signal), /cancelled here/);
  });
});
