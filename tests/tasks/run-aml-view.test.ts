/** What a waiting user reads, and the page in the run's summary, with names and texts that somebody hostile has chosen. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { JobState } from '../../src/aml/jobs/job.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import { markdown, publish, type Report } from '../../tasks/RunAmlPipeline/report.js';
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
    const prose = page.split('\n').filter((line) => !line.startsWith('    '));
    for (const line of prose) {
      assert.doesNotMatch(
        line.replace(/\\./g, ''),
        /<|>|\]\((?!https:\/\/ml\.azure\.com\/\S+\) \|$)|\bwww\.|@|`|\*\*|(?<!&)#\d/,
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
});
