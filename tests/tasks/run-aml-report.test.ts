/** The page in the run's summary and the attachment, with names and texts that somebody hostile has chosen. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { markdown, publish, type Report } from '../../tasks/RunAmlPipeline/report.js';
import { FakePlatform } from '../support/fake-platform.js';
import { job, step } from '../support/job-states.js';

describe('RunAmlPipeline: what stays of a run', () => {
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
    const written =
      '&lt;img src=x onerror=alert\\(1\\)&gt; \\[l\\]\\(http&#58;//evil.test\\) https&#58;//evil.test www&#46;evil.test a&#64;evil.test \\#1 \\!2 \\| x \\| \\`c\\` \\*\\*b\\*\\* \\# h';
    assert.ok(page.includes(`\n**${written}**\n`), page);
    assert.ok(page.includes('](https://ml.azure.com/%zz%29%20%5bevil%5d%28http://evil.test)\n'), page);
    const platform = new FakePlatform();
    publish(platform, report);
    assert.equal(JSON.parse(readFileSync(platform.attachments[0]?.path ?? '', 'utf8')).schemaVersion, 1);
    // Files are uploaded when the agent job ends: a later step of the same job leaves them as they are.
    const later = new FakePlatform();
    Object.defineProperty(later, 'temp', { value: platform.temp });
    publish(later, { ...report, how: 'attached' });
    assert.equal(JSON.parse(readFileSync(platform.attachments[0]?.path ?? '', 'utf8')).how, 'submitted');
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
        step('prep', { phase: 'completed', status: 'Completed', started: 2_000, ended: 63_000 }),
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
      '| experiment | e |',
      '| this step waited | 1 min 8 s |',
    ])
      assert.ok(lines.includes(row), row);
    assert.equal(lines.filter((line) => line.endsWith('| Not started | |')).length, 1);
    assert.ok(lines.includes(`    ${'x'.repeat(499)}…`));
    assert.ok(!lines.join().includes('attached'));
    assert.doesNotMatch(markdown({ ...base, digest: { ...base.digest, lines: [] } as never }), /Last lines/);
    // A limit of ours leaves a job that runs: the page says why the step failed.
    const { digest: _digest, ...rest } = base;
    const limit = markdown({ ...rest, end: 'limit', told: 'The time limit of 1 minute was reached. Job j runs on.' });
    assert.match(limit, /^## churn: Time limit reached\n\nThe time limit of 1 minute was reached\. Job j runs on\.\n/);
    const sweep = markdown({ ...rest, job: job({ properties: { best_child_run_id: 'train' }, nodes: ['x'] }), end: 'completed' });
    assert.match(sweep, /\| prep \| [^]*\| train \(best trial\) \| /);
    assert.doesNotMatch(sweep, /Not started/);
    // A job without steps has no table of them; what was left out of the metrics is said.
    const alone = markdown({
      ...rest,
      job: job({ status: 'Completed', nodes: [] }),
      end: 'completed',
      steps: [step('j')],
      metrics: {
        values: { loss: 0.123456789, rows: 1234567 },
        remarks: ['bad is NaN: left out', ...Array.from({ length: 10 }, (_, n) => `r${n}`)],
      },
    });
    assert.match(alone, /^## j: Completed\n/);
    assert.doesNotMatch(alone, /\| step \|/);
    assert.match(
      alone,
      /\| loss \| 0\.123457 \|\n\| rows \| 1234567 \|\n\nMetric bad is NaN: left out\.\n[^]*Metric r8\.\n\n\| about/,
    );
  });

  it('keeps a run as a page under its name and as JSON with everything', () => {
    const digest = {
      ...{ step: 'train', runId: 'r', itself: true, cause: 'user code' as const, message: 'a &lt; b', advice: 'Look.' },
      ...{ lines: ['one', '', '\u001b[31mred\u001b[0m ##vso[x]\tend'], place: { path: 'src/t.py', line: 7 } },
    };
    const place = { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' };
    const failed: Report = {
      job: job({ displayName: 'Größe: a/b?', status: 'Failed', tags: { team: 'x' }, experimentName: '' }),
      ...{ workspace: place, attempt: 1, how: 'attached', end: 'failed', waitedMs: 1_000.25 },
      steps: [step('j', { phase: 'failed', status: 'Failed', started: 0, ended: 61_000 })],
      metrics: { values: { auc: 0.123456789 }, remarks: ['late is NaN: left out'] },
      outputs: [{ name: 'model', folder: '/f', files: [{ path: 'm', size: 3, sha256: '0' }], bytes: 3, digest: 'sha256:0' }],
      digest: digest as NonNullable<Report['digest']>,
    };
    const published = (report: Report) => {
      const platform = new FakePlatform();
      publish(platform, report);
      assert.deepEqual(platform.warnings, []);
      const [{ type, name, path } = { type: '', name: '', path: '' }] = platform.attachments;
      assert.deepEqual([type, name], ['aml.run', 'j.json']);
      const [page = ''] = platform.summaries;
      const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
      return { json, page: readFileSync(page, 'utf8'), title: basename(page) };
    };
    const { json, page, title } = published(failed);
    const { itself: _itself, advice: _advice, ...failure } = digest;
    const { studioUrl } = failed.job;
    assert.deepEqual(json, {
      ...{ schemaVersion: 1, kind: 'aml.run', workspace: place, attempt: 1, how: 'attached', end: 'failed', waitedMs: 1_000 },
      job: {
        ...{ name: 'j', id: '/x', type: 'Pipeline', displayName: 'Größe: a/b?', experimentName: '', status: 'Failed' },
        ...{ studioUrl, tags: { team: 'x' } },
      },
      steps: [
        {
          ...{ name: 'j', runId: 'j', status: 'Failed', group: false, reused: false },
          ...{ started: '1970-01-01T00:00:00.000Z', ended: '1970-01-01T00:01:01.000Z' },
        },
      ],
      ...{ metrics: { auc: 0.123456789 }, metricRemarks: ['late is NaN: left out'], failure },
      outputs: [{ name: 'model', digest: 'sha256:0', bytes: 3, files: 1 }],
    });
    // The file's name is the page's title: nothing that a file system cannot hold.
    assert.equal(title, 'Azure ML Gr_e_ a_b_.md');
    assert.equal(
      page,
      [
        ...['## Größe: a/b?: Failed (user code)', '', '**a &amp;lt; b**', '', 'At src/t.py, line 7.', '', 'Look.', ''],
        ...[`[Open in Azure Machine Learning studio](${studioUrl})`, '', 'Last lines of its log:', ''],
        ...['    one', '    ', '    red ##_vso[x]    end', ''],
        ...['| metric | value |', '| --- | ---: |', '| auc | 0.123457 |', '', 'Metric late is NaN: left out.', ''],
        ...[
          '| downloaded output | files | size | digest |',
          '| --- | ---: | ---: | --- |',
          '| model | 1 | 3 bytes | sha256:0 |',
          '',
        ],
        ...['| about | |', '| --- | --- |', '| job | j |', '| workspace | w |'],
        ...['| this step | attached to the job, which was there already |', '| this step waited | 1 s |', '', ''],
      ].join('\n'),
    );
    // Of a large graph the first rows; a name of nothing that a file's name may hold gives way to the job's; nothing where nothing is known.
    const { digest: _digest, metrics: _metrics, ...rest } = failed;
    const leaf = step('l');
    const { studioUrl: _url, ...unlinked } = job({ displayName: '模型', status: '' });
    const bare = published({
      ...rest,
      ...{ job: unlinked, end: 'stalled', how: 'submitted', outputs: [] },
      steps: [
        step('group', { group: true }),
        ...Array.from({ length: 202 }, (_, n) =>
          step(`s${n}`, { started: 0, ...(n === 0 ? { ended: 1_000, reused: true } : {}) }),
        ),
      ],
    });
    assert.equal(bare.title, 'Azure ML j.md');
    assert.match(
      bare.page,
      /^## 模型: no answer\n\n\| step \| state \| time \|\n\| --- \| --- \| --- \|\n\| s0 \| Reused \| {2}\|\n/,
    );
    assert.match(bare.page, /\| s199 \| Running \| {2}\|\n\n2 more steps\.\n\n\| about/);
    const { failure: none, metrics, metricRemarks, job: known, steps } = bare.json;
    assert.deepEqual([none, metrics, metricRemarks], [null, {}, []]);
    assert.equal((known as { studioUrl: unknown }).studioUrl, null);
    assert.equal((steps as { ended: unknown }[])[2]?.ended, null);
    const long = published({ ...rest, job: job({ displayName: `${'n'.repeat(600)}` }), steps: [leaf], end: 'canceled' });
    assert.equal(long.title, `Azure ML ${'n'.repeat(60)}.md`);
    assert.ok(long.page.startsWith(`## ${'n'.repeat(500)}: Cancelled in Azure\n`));
    assert.match(markdown({ ...rest, end: 'lost' }), /: Deleted in Azure\n/);
  });
});
