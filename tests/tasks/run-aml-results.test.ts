/** What a job that has ended gives to the pipeline: metrics, outputs, and what a failed one died of. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Failure } from '../../src/azure/errors.js';
import type { AzureRequest, BlobContainer } from '../../src/azure/types.js';
import { checkDownloads } from '../../tasks/RunAmlPipeline/downloads.js';
import { digestFailure } from '../../tasks/RunAmlPipeline/failure.js';
import type { Inputs } from '../../tasks/RunAmlPipeline/inputs.js';
import type { Report } from '../../tasks/RunAmlPipeline/report.js';
import { fetchOutputs, giveMetrics, stepsOf } from '../../tasks/RunAmlPipeline/results.js';
import { FakePlatform } from '../support/fake-platform.js';
import { fakeWorkspace, type Answer } from '../support/fake-workspace.js';
import { job, step } from '../support/job-states.js';

const reportOf = (more: Partial<Report> = {}): Report => ({
  ...{ job: job(), workspace: { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' }, attempt: 1, how: 'submitted' },
  ...{ end: 'completed', waitedMs: 1_000, steps: [], outputs: [] },
  ...more,
});
const inputsOf = (more: Partial<Inputs> = {}) =>
  ({ action: 'run', file: '', downloadOutputs: [], streamLogs: 'all', ...more }) as Inputs;

describe('RunAmlPipeline: metrics of a job that has completed', () => {
  const give = async (runs: Record<string, Record<string, number | string>>, report = reportOf()) => {
    const platform = new FakePlatform();
    const workspace = fakeWorkspace(({ query }) => {
      const metrics = Object.entries(runs[String(query?.['run_id'])] ?? {}).map(([key, value]) => ({ key, value }));
      return { body: { run: { data: { metrics } } } };
    });
    const { values } = await giveMetrics(workspace, report, platform);
    const { metrics, metricsFile = '' } = platform.outputs;
    assert.deepEqual(JSON.parse(readFileSync(metricsFile, 'utf8')), values);
    return { platform, metrics, values };
  };
  const many = (count: number, name: (n: number) => string, value: (n: number) => number | string) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [name(n), value(n)]));

  it('shows which trial speaks, the first of what is no number and of many, and hands over all exactly', async () => {
    const sweep = reportOf({ job: job({ properties: { best_child_run_id: 't2' } }), steps: [step('t1'), step('t2')] });
    const lost = many(
      12,
      (n) => `lost${n}`,
      () => 'NaN',
    );
    const { platform, metrics } = await give({ j: { auc: 0.123456789, ...lost }, t2: { 'long name': 2 } }, sweep);
    assert.equal(metrics, '{"auc":0.123456789,"long name":2}');
    assert.deepEqual(platform.lines, [
      'Best trial: t2.',
      ...Array.from({ length: 10 }, (_, n) => `Metric lost${n} is NaN: left out.`),
      'The same of 2 more metrics: see the attachment aml.run.',
      ...['Metrics:', '  auc        0.123457', '  long name  2'],
    ]);
    const wide = await give({
      j: many(
        52,
        (n) => `${'m'.repeat(60)}${n}`,
        (n) => n,
      ),
    });
    assert.deepEqual([wide.platform.lines.length, wide.platform.lines[1]], [52, `  ${'m'.repeat(60)}0  0`]);
    assert.equal(wide.platform.lines.at(-1), '  and 2 more: see metricsFile');
    assert.equal((await give({ j: many(50, String, (n) => n) })).platform.lines.length, 51);
    // An environment variable of later steps has a limit.
    const large = await give({
      j: many(
        500,
        (n) => `${'m'.repeat(45)}${n}`,
        (n) => n,
      ),
    });
    assert.equal(large.metrics, undefined);
    assert.match(large.platform.warnings.join(), /500 metrics, too many.*read them from metricsFile/);
    const full = new FakePlatform();
    Object.defineProperty(full, 'temp', { value: import.meta.filename });
    const one = fakeWorkspace(() => ({ body: { run: { data: { metrics: [{ key: 'auc', value: 1 }] } } } }));
    await giveMetrics(one, reportOf(), full);
    assert.deepEqual(full.outputs, { metrics: '{"auc":1}' });
    assert.match(full.warnings.join(), /could not be written to a file.*ENOTDIR/);
    const none = await give({});
    assert.deepEqual([none.metrics, none.platform.lines, none.platform.warnings], ['{}', [], []]);
  });

  it('does without metrics where Azure refuses them, but hides neither a cancel nor a fault of its own', async () => {
    const refused = new FakePlatform();
    const error = { code: 'AuthorizationFailed', message: 'no rights' };
    await giveMetrics(
      fakeWorkspace(() => ({ status: 403, body: { error } })),
      reportOf(),
      refused,
    );
    assert.match(refused.warnings.join(), /metrics could not be read, so the output variable metrics is empty\..*no rights/);
    assert.equal(refused.outputs['metrics'], '{}');
    const broken = fakeWorkspace(() => Promise.reject(new TypeError('a fault')));
    await assert.rejects(giveMetrics(broken, reportOf(), new FakePlatform()), /a fault/);
    const cancelled = new FakePlatform();
    const torn = fakeWorkspace(() => {
      cancelled.abort.abort(new Error('cancelled'));
      return { status: 403 };
    });
    await assert.rejects(giveMetrics(torn, reportOf(), cancelled), /cancelled/);
    assert.deepEqual(cancelled.warnings, []);
  });

  it('reads the steps that the wait has not read, of jobs that have some', async () => {
    const workspace = fakeWorkspace(() => ({ body: { value: [{ runId: 'r', displayName: 'train', status: 'Completed' }] } }));
    const names = async (more: Partial<Report>) =>
      (await stepsOf(workspace, reportOf(more), new FakePlatform())).map(({ name }) => name);
    assert.deepEqual(await names({ steps: [step('known')] }), ['known']);
    assert.deepEqual(await names({ job: job({ type: 'Command' }) }), []);
    assert.equal(workspace.asked.length, 0);
    assert.deepEqual(await names({}), ['train']);
  });
});

describe('RunAmlPipeline: outputs of a job that has completed', () => {
  const uri = (path: string) => ({ type: 'uri_folder', uri: `azureml://datastores/store/paths/${path}/` });
  const outputs = { model: uri('model'), empty: uri('empty'), unwritten: { type: 'uri_folder' }, default: uri('default') };
  /** Two files below `model`. */
  function world(closed = false) {
    const properties = { datastoreType: 'AzureBlob', accountName: 'acct', containerName: 'c' };
    const workspace = fakeWorkspace(({ url }): Answer => {
      if (url.endsWith('/rundata')) return { status: 404 };
      if (closed) return { status: 403 };
      return { body: url.endsWith('/datastores') ? { value: [{ name: 'store', properties }] } : { name: 'store', properties } };
    });
    const reads: string[] = [];
    const blobs = ['model/a.txt', 'model/b/c.txt', 'default/log'];
    workspace.azure.blobs = () =>
      ({
        async *list(prefix: string) {
          for (const name of blobs) if (name.startsWith(prefix)) yield await Promise.resolve({ name, size: 1 });
        },
        read: async (name: string) => {
          reads.push(name);
          return { stream: Readable.from([Buffer.from('x')]), size: 1, etag: '' };
        },
      }) as unknown as BlobContainer;
    return { workspace, reads };
  }
  const fetch = async (asked: string[], variables: Record<string, string> = {}, more: Partial<Inputs> = {}, closed = false) => {
    const platform = new FakePlatform({}, variables);
    const { workspace, reads } = world(closed);
    const inputs = inputsOf({ downloadOutputs: asked, ...more });
    const fetched = await fetchOutputs(inputs, workspace, reportOf({ job: job({ outputs }) }), platform).catch(
      (error: Failure) => error,
    );
    return { fetched, platform, reads, at: platform.outputs['outputsPath'] };
  };

  it('each into a folder of its own, once, and says which is empty', async () => {
    const temp = new FakePlatform().temp;
    const { fetched, platform, reads, at } = await fetch(['model', 'empty', 'model'], { 'Pipeline.Workspace': temp });
    assert.ok(Array.isArray(fetched));
    assert.deepEqual([at, reads.sort()], [join(temp, 'aml', 'j'), ['model/a.txt', 'model/b/c.txt']]);
    assert.equal(readFileSync(join(temp, 'aml', 'j', 'model', 'b', 'c.txt'), 'utf8'), 'x');
    assert.deepEqual(
      fetched.map(({ name, bytes }) => [name, bytes]),
      [
        ['model', 2],
        ['empty', 0],
      ],
    );
    const [line = ''] = platform.lines;
    assert.equal(line, `Output model: 2 files, 2 bytes, in ${join(temp, 'aml', 'j', 'model')} (${fetched[0]?.digest})`);
    assert.deepEqual(platform.warnings, ['Output empty is empty: nothing was written to it.']);
    // Where an agent gives no such folder.
    const build = await fetch(['model'], { 'Agent.BuildDirectory': temp });
    assert.equal(build.at, join(temp, 'aml', 'j'));
    const bare = await fetch(['model']);
    assert.equal(bare.at, join(bare.platform.temp, 'aml', 'j'));
    const named = await fetch(['model'], { 'Pipeline.Workspace': '/no' }, { downloadPath: join(temp, 'mine') });
    assert.ok(named.at === join(temp, 'mine') && existsSync(join(temp, 'mine', 'model', 'a.txt')));
  });

  it('all of them without asking for what was never written; one by name has to be there', async () => {
    const { fetched, platform } = await fetch(['ALL']);
    assert.ok(Array.isArray(fetched));
    assert.deepEqual(
      fetched.map(({ name }) => name),
      ['model', 'empty'],
    );
    assert.deepEqual(platform.lines.slice(1), [
      'Output empty: nothing was written to it.',
      'Output unwritten: nothing was written to it.',
    ]);
    assert.deepEqual(platform.warnings, []);
    const closed = await fetch(['all'], {}, {}, true);
    assert.equal((closed.fetched as Failure).details.status, 403);
    const missing = await fetch(['unwritten']);
    assert.equal((missing.fetched as Failure).code, 'OutputNotFound');
    assert.equal(missing.at, undefined);
    const clash = await fetch(['model', 'model/b']);
    assert.match((clash.fetched as Failure).message, /^The job has outputs "model" and "model\/b"/);
    assert.deepEqual(clash.reads, []);
  });

  it('a name that the job does not have is said before it is sent, where its file names all of them', () => {
    const check = (downloadOutputs: string[], more: Partial<Inputs> = {}, type = 'command', names = ['model', 'scores']) => {
      try {
        checkDownloads(inputsOf({ downloadOutputs, ...more }), type, names);
        return undefined;
      } catch (error) {
        const { message, details } = error as Failure;
        assert.deepEqual([details.code, details.input], ['OutputUnknown', 'downloadOutputs']);
        return `${message} ${details.advice}`;
      }
    };
    assert.equal(check(['modle', 'model', 'x']), 'The job has no output "modle" and no output "x". Its outputs: model, scores.');
    assert.equal(check(['x'], {}, 'Pipeline', []), 'The job has no output "x". Its file names no outputs.');
    for (const passed of [
      check(['default', 'model']),
      check(['All']),
      check([]),
      check(['x'], { action: 'submit' }),
      check(['x'], {}, 'automl'),
    ])
      assert.equal(passed, undefined);
    assert.match(check(['all', 'model']) ?? '', /no output "all"/);
  });
});

describe('RunAmlPipeline: a failed job', () => {
  const log = [
    'start',
    'Traceback (most recent call last):',
    '  File "train.py", line 2, in <module>',
    'ValueError: ##vso[x] bad',
  ];
  const answer = (over: (asked: AzureRequest) => Answer | undefined) => (asked: AzureRequest) => {
    const children = [
      { runId: 'r2', displayName: 'late', status: 'Failed', endTimeUtc: '2026-01-01T00:02:00Z' },
      { runId: 'r1', displayName: 'train', status: 'Failed', endTimeUtc: '2026-01-01T00:01:00Z' },
    ];
    const given = over(asked);
    if (given) return given;
    if (asked.url.endsWith('/children')) return { body: { value: children } };
    if (asked.url.endsWith('/r1/details')) return { body: { logFiles: { 'user_logs/std_log.txt': 'https://blob.test/log' } } };
    if (asked.url.endsWith('/details')) return { body: { logFiles: {} } };
    return { status: 200, bytes: Buffer.from(log.join('\n')) };
  };
  const digest = async (
    more: Partial<Inputs>,
    over: (asked: AzureRequest) => Answer | undefined = () => undefined,
    report = reportOf(),
    variable = 'Build.SourcesDirectory',
  ) => {
    const platform = new FakePlatform();
    const root = join(platform.temp, 'repository');
    // Two of one name: the one beside the job's file is meant.
    for (const folder of ['other', 'src']) {
      mkdirSync(join(root, folder), { recursive: true });
      writeFileSync(join(root, folder, 'train.py'), 'import x\nraise ValueError(x)\n');
    }
    Object.assign(platform.variables, { [variable]: root });
    const inputs = inputsOf({ file: join(root, 'src', 'job.yml'), ...more });
    const workspace = fakeWorkspace(answer(over));
    await digestFailure(inputs, workspace, platform, report);
    return { asked: workspace.asked.map(({ url }) => url.split('/').at(-1)), platform, report };
  };

  it('names the step that failed first, its cause, last lines and place, and prints its log where only that is wanted', async () => {
    const { platform, report } = await digest({});
    assert.deepEqual(
      report.steps.map(({ name }) => name),
      ['train', 'late'],
    );
    assert.deepEqual(platform.lines, [
      ...['', 'Step train failed first. Cause: user code.', 'ValueError: ##vso[x] bad'],
      "The step's own program ended with an error; look at the last lines that it wrote.",
      ...['The last lines of its log:', `Studio: ${report.job.studioUrl}`],
    ]);
    assert.deepEqual(
      platform.foreignLines,
      log.map((line) => `  | ${line}`),
    );
    // Of several processes it says which.
    const names = ['user_logs/std_log_process_0.txt', 'user_logs/std_log_process_1.txt'];
    const several = await digest({ streamLogs: 'failed' }, ({ url }) => {
      if (url.endsWith('/r1/details'))
        return { body: { logFiles: { [names[0] ?? '']: 'https://blob.test/fine', [names[1] ?? '']: 'https://blob.test/log' } } };
      return url.endsWith('/fine') ? { bytes: Buffer.from('fine') } : undefined;
    });
    assert.ok(several.platform.lines.includes(`The last lines of its log (${names[1]}):`));
    assert.ok(several.platform.lines.includes(`[group] Log of train (${names[1]})`));
    const said = 'Step train failed (user code): ValueError: ##vso[x] bad';
    assert.deepEqual(platform.issues, [{ type: 'error', message: said, code: 'user-code', sourcePath: 'src/train.py', line: 2 }]);
    const printed = await digest(
      { streamLogs: 'failed' },
      undefined,
      reportOf({ steps: report.steps }),
      'System.DefaultWorkingDirectory',
    );
    assert.ok(!printed.asked.includes('children') && !printed.platform.lines.includes('[group] Log of late'));
    assert.equal(printed.platform.issues[0]?.sourcePath, 'src/train.py');
    assert.deepEqual(printed.platform.lines.slice(0, 2), ['[group] Log of train', '[endgroup]']);
    assert.deepEqual(
      printed.platform.foreignLines.slice(0, 4),
      log.map((line) => `[train] ${line}`),
    );
    // Of a log of many megabytes the end.
    const long = await digest({ streamLogs: 'failed' }, ({ url }) =>
      url.endsWith('/log') ? { bytes: Buffer.from('x\n'.repeat(20_001)) } : undefined,
    );
    assert.equal(long.platform.lines[1], 'The log has more before these 20000 lines: see the link.');
  });

  it('says what it could not read and what is known all the same, with what to do where that is more than "look"', async () => {
    const quota = { error: { code: 'UserError', message: 'Not enough quota for family NC6' } };
    const blind = await digest({ streamLogs: 'failed' }, ({ url }) =>
      url.endsWith('/children') ? { status: 403 } : url.endsWith('/details') ? { body: quota } : undefined,
    );
    const { studioUrl } = blind.report.job;
    assert.match(blind.platform.lines.join('\n'), /^The steps could not be read: Could not read the steps of job j/);
    assert.match(
      blind.platform.lines.join('\n'),
      new RegExp(`The job failed\\. Cause: quota\\.[^]*Studio: ${studioUrl?.replace('?', '\\?')}$`),
    );
    assert.doesNotMatch(blind.platform.lines.join('\n'), /last lines/);
    const [issue] = blind.platform.issues;
    assert.match(issue?.message ?? '', /^The job failed \(quota\): Not enough quota for family NC6\nThe subscription's quota/);
    assert.deepEqual([issue?.code, issue?.sourcePath], ['quota', undefined]);
    const closed = await digest({ streamLogs: 'failed' }, ({ url }) =>
      url.endsWith('/r1/details') ? { status: 403 } : undefined,
    );
    assert.match(closed.platform.lines.join('\n'), /The log of train could not be read: [^]*Step train failed first/);
    const silent = await digest({}, ({ url }) => (url.endsWith('/details') ? { body: {} } : undefined));
    assert.match(
      silent.platform.issues[0]?.message ?? '',
      /^Step train failed \(unknown\): The service gave no message \(Failed\)\.$/,
    );
    // A job without steps is not asked for any: its log is its own.
    const { studioUrl: _url, ...unlinked } = job({ type: 'Command' });
    const command = await digest(
      { streamLogs: 'failed' },
      ({ url }) =>
        url.endsWith('/j/details') ? { body: { logFiles: { 'user_logs/std_log.txt': 'https://blob.test/log' } } } : undefined,
      reportOf({ job: unlinked }),
    );
    assert.deepEqual([command.asked.includes('children'), command.platform.foreignLines[0]], [false, '[j] start']);
    assert.doesNotMatch(command.platform.lines.join('\n'), /Studio/);
    for (const part of ['/children', '/log']) {
      const platform = new FakePlatform();
      const torn = fakeWorkspace(
        answer(({ url }) => {
          if (url.endsWith(part)) platform.abort.abort(new Error('cancelled'));
          return undefined;
        }),
      );
      await assert.rejects(digestFailure(inputsOf({ streamLogs: 'failed' }), torn, platform, reportOf()), /cancelled/);
      assert.deepEqual(platform.issues, []);
    }
  });
});
