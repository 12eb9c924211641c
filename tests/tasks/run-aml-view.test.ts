/** What a waiting user reads, with names and texts that somebody hostile has chosen. */
import assert from 'node:assert/strict';
import type { StepState } from '../../src/aml/jobs/steps.js';
import { counted, duration, figure, size } from '../../tasks/RunAmlPipeline/words.js';
import { JobView } from '../../tasks/RunAmlPipeline/view.js';
import { FakePlatform } from '../support/fake-platform.js';
import { job, step } from '../support/job-states.js';

describe('RunAmlPipeline: what is read', () => {
  it('says which step speaks before every piece of a line, each file for itself, and the last line with the step', () => {
    const platform = new FakePlatform();
    const view = new JobView(platform, job({ nodes: ['Prepare data', 'train'] }));
    const train = step('train');
    view.steps([step('Prepare data', { phase: 'completed', status: 'Completed' }), train]);
    assert.match(platform.lines.join('\n'), /Steps: Prepare data completed \| train running$/m);
    void view.text(train, 'half of ', 'logs/1.txt');
    void view.text(train, 'other file\n', 'logs/2.txt');
    void view.text(train, `a line\n${'x'.repeat(2_500)}\nno end`, 'logs/1.txt');
    assert.deepEqual(platform.foreignLines.slice(0, 2), ['[train 2.txt] other file', '[train 1.txt] half of a line']);
    for (const line of platform.foreignLines.slice(2)) assert.match(line, /^\[train 1\.txt\] x+$/);
    view.textEnd(train);
    assert.equal(platform.foreignLines.at(-1), '[train 1.txt] no end');
    const long = step(`##vso[task.complete]${'n'.repeat(300)}`);
    void view.text(long, 'x\n');
    assert.equal(platform.foreignLines.at(-1), `[##_vso[task.complete]${'n'.repeat(58)}…] x`);
  });

  it('keeps steps apart, closes their groups before it says anything itself, and says nothing twice', () => {
    const platform = new FakePlatform();
    const view = new JobView(platform, job());
    const [a, b] = [step('a'), step('b')];
    view.steps([]);
    assert.deepEqual(platform.progressed, []);
    view.status(job({ nodes: ['a', 'b', 'c'] }));
    void view.text(a, 'a1\na-rest');
    void view.text(b, 'b1\nb-rest');
    view.textEnd(a);
    view.notice('warning', 'careful');
    view.notice('info', 'fine again');
    for (let times = 0; times < 2; times++) view.steps([a, b]);
    void view.text(a, 'a2\n');
    view.end();
    view.end();
    const prefixed = ['[a] a1', '[b] b1', '[a] a-rest', '[a] a2', '[b] b-rest'];
    assert.deepEqual(platform.foreignLines, prefixed);
    assert.deepEqual(platform.warnings, ['careful']);
    const said = platform.lines.map((line) => line.replace(/^\[group\].*/, '<').replace('[endgroup]', '>'));
    assert.deepEqual(said.join(' ').replace(/Steps: .*? waiting/, 'S'), 'Status: Running < > < > < > fine again S < > < >');
    // However long the name, no piece of a line is longer than the console shows.
    const long = step('n'.repeat(90));
    void view.text(long, `${'x'.repeat(3_000)}\n`);
    for (const line of platform.foreignLines) assert.ok(line.length <= 1_000, `${line.length}`);
    const many = Array.from({ length: 11 }, (_, n) => step(`s${n}`, n < 9 ? { phase: 'completed', status: 'Completed' } : {}));
    view.steps(many);
    assert.match(platform.lines.at(-1) ?? '', /^Steps: 9 completed, 2 running, 3 waiting: s9, s10$/);
  });

  it('goes on only when the agent has taken what was printed', async () => {
    const platform = new FakePlatform();
    let take: () => void = () => undefined;
    platform.taken = () => new Promise((resolve) => (take = resolve));
    const view = new JobView(platform, job());
    let printed = false;
    const printing = view.text(step('a'), 'line\n').then(() => (printed = true));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([platform.foreignLines, printed], [['[a] line'], false]);
    take();
    await printing;
  });

  it('a job that has one step, and one that fails among many, are told by name', () => {
    const platform = new FakePlatform();
    const view = new JobView(platform, job());
    view.status(job({ nodes: ['only'] }));
    view.steps([step('other')]);
    assert.equal(platform.lines.at(-1), 'Steps: other running | only waiting');
    const many = Array.from({ length: 11 }, (_, n) => step(`s${n}`, n < 3 ? { phase: 'failed', status: 'Failed' } : {}));
    view.steps(many);
    assert.equal(platform.lines.at(-1), 'Steps: 3 FAILED (s0, s1, s2), 8 running, 1 waiting');
    view.steps(many.map((one, n) => (n === 3 ? step('s3', { phase: 'failed', status: 'Failed' }) : one)));
    assert.equal(platform.lines.at(-1), 'Steps: 4 FAILED (s0, s1, s2, …), 7 running, 1 waiting');
  });

  it('tells the graph in one line when it has changed, after the group that is open, and how far it is', () => {
    const platform = new FakePlatform();
    const now = platform.clock.now();
    const view = new JobView(platform, job({ nodes: ['prep', 'train', 'after'] }));
    const prep = step('prep', { phase: 'completed', status: 'Completed', started: now - 72_000, ended: now - 60_000 });
    const train = step('train', { started: now - 180_000 });
    const graph = [prep, train, step('g', { group: true }), step('g/x', { status: 'Queued', started: now + 5_000 })];
    for (let times = 0; times < 2; times++) void view.text(train, 'epoch\n');
    view.steps(graph);
    platform.clock.time += 60_000;
    view.steps(graph);
    void view.text(train, 'epoch\n');
    view.status(job({ status: '' }));
    assert.deepEqual(platform.lines, [
      ...['[group] train', '[endgroup]'],
      'Steps: prep completed (12 s) | train running (3 min) | g/x queued | after waiting',
      ...['[group] train (continued)', '[endgroup]', 'Status: unknown'],
    ]);
    const progress = { percent: 25, text: '1 of 4 steps' };
    assert.deepEqual(platform.progressed, [progress, progress]);
    const ends: Partial<StepState>[] = [
      { phase: 'failed', ended: now },
      { phase: 'canceled' },
      { phase: 'paused' },
      { phase: 'stalled' },
      { phase: 'completed', reused: true, started: now, ended: now + 9_000 },
      { phase: 'active', status: 'Whatever', started: now, ended: now },
    ];
    view.steps(ends.map((more, n) => step(`s${n}`, more)));
    const words = 's0 FAILED | s1 cancelled | s2 paused | s3 no answer | s4 reused | s5 running (0 s)';
    assert.equal(platform.lines.at(-1), `Steps: ${words} | prep waiting | train waiting | after waiting`);
    assert.deepEqual(platform.progressed.at(-1), { percent: (100 * 3) / 9, text: '3 of 9 steps' });
    // And which failed.
    const failed = Array.from({ length: 15 }, (_, n) => step(`s${n}`, { phase: n > 10 ? 'failed' : 'completed' }));
    new JobView(platform, job({ nodes: [] })).steps(failed);
    assert.equal(platform.lines.at(-1), 'Steps: 11 completed, 4 FAILED (s11, s12, s13, …)');
    // A nested pipeline that has no steps yet is not forgotten.
    const nested = new JobView(platform, job({ nodes: ['nested', 'prep'] }));
    nested.steps([prep, step('nested', { group: true, status: 'Preparing' })]);
    assert.equal(platform.lines.at(-1), 'Steps: prep completed (12 s) | nested waiting');
    // A name may hold a slash.
    const slash = new JobView(platform, job({ nodes: ['data/raw', 'prep'] }));
    slash.steps([step('data/raw', { phase: 'completed' })]);
    assert.equal(platform.lines.at(-1), 'Steps: data/raw completed | prep waiting');
    // More than ten in counts; who runs is named where these are few.
    const many = (running: number) =>
      Array.from({ length: 8 }, (_, n) => step(`m${n}`, n < running ? {} : { phase: 'completed' }));
    for (const [running, line] of [
      [0, 'Steps: 8 completed, 3 waiting'],
      [5, 'Steps: 5 running, 3 completed, 3 waiting: m0, m1, m2, m3, m4'],
      [6, 'Steps: 6 running, 2 completed, 3 waiting'],
    ] as const) {
      view.steps(many(running));
      assert.equal(platform.lines.at(-1), line);
    }
    view.steps(many(1).slice(1));
    assert.match(platform.lines.at(-1) ?? '', /^Steps: m1 completed \|/);
    const large = [...Array.from({ length: 8 }, (_, n) => step(`m${n}`)), prep, train];
    view.steps(large);
    assert.equal(platform.lines.at(-1), 'Steps: 9 running, 1 completed, 1 waiting');
    // All steps are there: nothing waits.
    view.steps([...large, step('after')]);
    assert.equal(platform.lines.at(-1), 'Steps: 10 running, 1 completed');
    // A job without steps is told of by its status; one with a single step is not.
    const told = (id: string) => {
      const other = new FakePlatform();
      new JobView(other, job()).steps([step(id)]);
      assert.deepEqual(other.progressed, [{ percent: 0, text: '0 of 1 step' }]);
      return other.lines;
    };
    assert.deepEqual([told('j'), told('only')], [[], ['Steps: only running']]);
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
