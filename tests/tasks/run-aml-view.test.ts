/** What a waiting user reads, and the page in the run's summary, with names and texts that somebody hostile has chosen. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { JobState } from '../../src/aml/jobs/job.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import { markdown, publish, type Report } from '../../tasks/RunAmlPipeline/report.js';
import { counted, duration, figure, size } from '../../tasks/RunAmlPipeline/words.js';
import { JobView } from '../../tasks/RunAmlPipeline/view.js';
import { FakePlatform } from '../support/fake-platform.js';

const step = (name: string, more: Partial<StepState> = {}): StepState => ({
  runId: name,
  name,
  status: 'Running',
  phase: 'active',
  group: false,
  reused: false,
  logsOf: name,
  ...more,
});
const job = (more: Partial<JobState> = {}): JobState => ({
  name: 'j',
  status: 'Running',
  phase: 'active',
  type: 'Pipeline',
  displayName: 'j',
  experimentName: 'e',
  studioUrl: 'https://ml.azure.com/runs/j?wsid=/x',
  armId: '/x',
  properties: {},
  tags: {},
  outputs: {},
  nodes: [],
  ...more,
});

describe('RunAmlPipeline: what is read', () => {
  it('says which step speaks before every piece of a line, each file for itself, and the last line with the step', () => {
    const platform = new FakePlatform();
    const view = new JobView(platform, job({ nodes: ['Prepare data', 'train'] }));
    const train = step('train');
    view.steps([step('Prepare data', { phase: 'completed', status: 'Completed' }), train]);
    assert.match(platform.lines.join('\n'), /Steps: Prepare data completed \| train running$/m);
    view.text(train, 'half of ', 'logs/1.txt');
    view.text(train, 'other file\n', 'logs/2.txt');
    view.text(train, `a line\n${'x'.repeat(2_500)}\nno end`, 'logs/1.txt');
    assert.deepEqual(platform.foreignLines.slice(0, 2), ['[train 2.txt] other file', '[train 1.txt] half of a line']);
    for (const line of platform.foreignLines.slice(2)) assert.match(line, /^\[train 1\.txt\] x+$/);
    view.textEnd(train);
    assert.equal(platform.foreignLines.at(-1), '[train 1.txt] no end');
    const long = step(`##vso[task.complete]${'n'.repeat(300)}`);
    view.text(long, 'x\n');
    assert.match(platform.foreignLines.at(-1) ?? '', /^\[##_vso\[task\.complete\]n+…\] x$/);
  });

  it('keeps steps apart, closes their groups before it says anything itself, and says nothing twice', () => {
    const platform = new FakePlatform();
    const view = new JobView(platform, job());
    const [a, b] = [step('a'), step('b')];
    view.steps([]);
    assert.deepEqual(platform.progressed, []);
    view.status(job({ nodes: ['a', 'b', 'c'] }));
    view.text(a, 'a1\na-rest');
    view.text(b, 'b1\nb-rest');
    view.textEnd(a);
    view.notice('warning', 'careful');
    view.notice('info', 'fine again');
    for (let times = 0; times < 2; times++) view.steps([a, b]);
    view.text(a, 'a2\n');
    view.end();
    view.end();
    const prefixed = ['[a] a1', '[b] b1', '[a] a-rest', '[a] a2', '[b] b-rest'];
    assert.deepEqual(platform.foreignLines, prefixed);
    assert.deepEqual(platform.warnings, ['careful']);
    const said = platform.lines.map((line) => line.replace(/^\[group\].*/, '<').replace('[endgroup]', '>'));
    assert.deepEqual(said.join(' ').replace(/Steps: .*? waiting/, 'S'), 'Status: Running < > < > < > fine again S < > < >');
    // However long the name, no piece of a line is longer than the console shows.
    const long = step('n'.repeat(90));
    view.text(long, `${'x'.repeat(3_000)}\n`);
    for (const line of platform.foreignLines) assert.ok(line.length <= 1_000, `${line.length}`);
    const many = Array.from({ length: 11 }, (_, n) => step(`s${n}`, n < 9 ? { phase: 'completed', status: 'Completed' } : {}));
    view.steps(many);
    assert.match(platform.lines.at(-1) ?? '', /^Steps: 9 completed, 2 running, 3 waiting: s9, s10$/);
  });

  it('makes no HTML, no link and no table of what a job is called, and no link that ends early', () => {
    const evil =
      '<img src=x onerror=alert(1)> [l](http://evil.test) https://evil.test www.evil.test a@evil.test #1 !2 | x | `c` **b**\n# h';
    const report: Report = {
      job: job({ displayName: evil, experimentName: evil, studioUrl: 'https://ml.azure.com/%zz) [evil](http://evil.test' }),
      workspace: { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' },
      attempt: 1,
      how: 'submitted',
      end: 'failed',
      waitedMs: 1_000,
      steps: [step(evil, { status: evil })],
      metrics: { values: { [evil]: 1 }, remarks: [] },
      digest: { step: evil, runId: 'r', itself: false, cause: 'user code', message: evil, lines: [evil, '</pre>'], advice: '' },
      outputs: [],
    };
    const page = markdown(report);
    // Our own bold print around what the message says.
    const prose = page
      .split('\n')
      .filter((line) => !line.startsWith('    '))
      .map((line) => line.replace(/^\*\*(.*)\*\*$/, '$1'));
    for (const line of prose) {
      assert.doesNotMatch(
        line.replace(/\\./g, ''),
        /<|>|\]\((?!https:\/\/ml\.azure\.com\/\S+\)$)|\bwww\.|@|`|\*\*|(?<!&)#\d/,
        line,
      );
      assert.doesNotMatch(line.replace(/\]\(https:\/\/ml.*$/, ''), /https?:/, line);
    }
    assert.ok(page.split('\n').includes('    </pre>'));
    const platform = new FakePlatform();
    publish(platform, report);
    assert.equal(JSON.parse(readFileSync(platform.attachments[0]?.path ?? '', 'utf8')).schemaVersion, 1);
    // A disk that is full makes no failure of a job that has completed.
    const full = new FakePlatform();
    Object.defineProperty(full, 'temp', { value: platform.attachments[0]?.path });
    publish(full, report);
    assert.match(full.warnings.join(), /summary could not be written/);
  });

  it('begins with what happened, where and what to do, and names the steps that were never started', () => {
    const base: Report = {
      job: job({ displayName: 'churn', status: 'Failed', nodes: ['prep', 'train', 'after'] }),
      workspace: { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' },
      attempt: 2,
      how: 'submitted',
      end: 'failed',
      waitedMs: 68_000,
      steps: [
        step('prep', { phase: 'completed', status: 'Completed', started: 0, ended: 61_000 }),
        step('train', { phase: 'failed', status: 'Failed', started: 0, ended: 3_000 }),
      ],
      digest: {
        step: 'train',
        runId: 'r',
        itself: false,
        cause: 'out of memory',
        message: 'MemoryError: too much',
        lines: ['x'.repeat(600)],
        place: { path: 'src/train.py', line: 7 } as never,
        advice: 'Choose a larger VM size.',
      },
      outputs: [],
    };
    const lines = markdown(base).split('\n');
    assert.deepEqual(lines.filter((line) => line !== '').slice(0, 5), [
      '## churn: Failed in train (out of memory)',
      '**MemoryError: too much**',
      'At src/train.py, line 7.',
      'Choose a larger VM size.',
      '[Open in Azure Machine Learning studio](https://ml.azure.com/runs/j?wsid=/x)',
    ]);
    for (const row of [
      '| prep | Completed | 1 min 1 s |',
      '| after | Not started | |',
      '| attempt | 2 |',
      '| this step waited | 1 min 8 s |',
    ])
      assert.ok(lines.includes(row), row);
    assert.ok(lines.includes(`    ${'x'.repeat(499)}…`));
    // A limit of ours leaves a job that runs: the page says why the step failed.
    const { digest: _digest, ...rest } = base;
    const limit = markdown({ ...rest, end: 'limit', told: 'The time limit of 1 minute was reached. Job j runs on.' });
    assert.match(limit, /^## churn: Time limit reached\n\nThe time limit of 1 minute was reached\. Job j runs on\.\n/);
    const sweep = markdown({ ...rest, job: job({ properties: { best_child_run_id: 'train' } }), end: 'completed' });
    assert.match(sweep, /\| prep \| [^]*\| train \(best trial\) \| /);
    // A job without steps has no table of them; what was left out of the metrics is said.
    const alone = markdown({
      ...rest,
      job: job({ status: 'Completed', nodes: [] }),
      end: 'completed',
      steps: [step('j')],
      metrics: { values: { loss: 0.123456789, rows: 1234567 }, remarks: ['bad is NaN: left out'] },
    });
    assert.doesNotMatch(alone, /\| step \|/);
    assert.match(alone, /\| loss \| 0\.123457 \|\n\| rows \| 1234567 \|\n\nMetric bad is NaN: left out\.\n/);
  });

  it('writes durations, sizes and numbers as people read them', () => {
    const times = [0, 59_400, 59_600, 68_000, 120_000, 599_400, 600_000, 3_599_000, 9_000_000, 172_800_000, 180_000_000];
    assert.deepEqual(times.map(duration), [
      '0 s',
      '59 s',
      '1 min',
      '1 min 8 s',
      '2 min',
      '9 min 59 s',
      '10 min',
      '1 h',
      '2 h 30 min',
      '2 d',
      '2 d 2 h',
    ]);
    assert.deepEqual([1, 999, 3_564, 9_960, 52_400_000, 999_999, 3_500_000_000].map(size), [
      '1 byte',
      '999 bytes',
      '3.6 KB',
      '10 KB',
      '52 MB',
      '1.0 MB',
      '3.5 GB',
    ]);
    assert.deepEqual([41.85279748327337, 111, 1.5e-9, -0.1 - 0.2].map(figure), ['41.8528', '111', '1.5e-9', '-0.3']);
    assert.equal(counted(1, 'minute'), '1 minute');
  });
});
