/** The small parts of the runner: text for terminals and pages, patterns, graphs, variables. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { duration, plainText } from '../../../../local/pipeline/run/console.js';
import { combine, runGraph, Slots } from '../../../../local/pipeline/run/graph.js';
import { patternToRegExp } from '../../../../local/pipeline/run/globs.js';
import { markdownToHtml } from '../../../../local/pipeline/run/markdown.js';
import { runNumber } from '../../../../local/pipeline/run/number.js';
import { stepNames } from '../../../../local/pipeline/run/step.js';
import { countTests } from '../../../../local/pipeline/run/test-results.js';
import { merge, nested } from '../../../../local/pipeline/run/variables.js';

const hostile = fc
  .array(
    fc.constantFrom(
      '<',
      '>',
      '"',
      "'",
      '`',
      '|',
      '\n',
      '# ',
      '- ',
      '[',
      ']',
      '(',
      ')',
      'javascript:',
      'https://x',
      '**',
      '```',
      'a',
      ' ',
      '\u001b[31m',
      '\u0000',
      '&',
      '|---|',
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(''));

describe('parts of the runner', () => {
  it('names the steps that have no name after their task, as the service does', () => {
    const steps = ['CmdLine@2', 'Bash@3', 'CmdLine@2', 'pub.ext.part.RunAmlPipeline@1', 'RunAmlPipeline@1', 'CmdLine@2'];
    assert.deepEqual(stepNames([...steps.map((task) => ({ task })), { task: 'CmdLine@2', name: 'cmdline1' }]), [
      'CmdLine',
      'Bash',
      'CmdLine2',
      'RunAmlPipeline',
      'RunAmlPipeline1',
      'CmdLine3',
      'cmdline1',
    ]);
  });

  it('makes no tag from foreign Markdown but its own few, and no link but to http', () => {
    const allowed =
      /^<\/?(h[1-6]|p|ul|li|table|tr|th|td|pre|code|strong)>|^<a href="https?:\/\/[^"<>]*" rel="noreferrer noopener">|^<\/a>/;
    fc.assert(
      fc.property(hostile, (text) => {
        const html = markdownToHtml(text);
        for (let at = html.indexOf('<'); at >= 0; at = html.indexOf('<', at + 1)) assert.match(html.slice(at), allowed);
      }),
    );
  });

  it('shows escaped Markdown as the text that it stands for', () => {
    const html = markdownToHtml(
      '| | |\n| --- | --- |\n| test\\_rows | r2 &gt;= 0.4, \\+0.1, \\*\\*no**, \\[x](https://a) `a\\_b` |',
    );
    const cells = '<td>test_rows</td><td>r2 &gt;= 0.4, +0.1, **no**, [x](https://a) <code>a\\_b</code></td>';
    assert.equal(html, `<table><tr>${cells}</tr></table>`, 'and a row of empty titles is none');
  });

  it('lets no control character through to a terminal', () => {
    fc.assert(
      fc.property(hostile, fc.string(), (a, b) =>
        assert.doesNotMatch(plainText(a + b), /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/),
      ),
    );
    assert.equal(plainText('a\u001b[2Jb\u001b]0;title\u0007c'), 'abc');
    assert.equal(duration(61_000), '1m 01s');
  });

  it('matches patterns as the agent’s tasks do', () => {
    const fits = (pattern: string, path: string) => patternToRegExp(pattern).test(path);
    assert.ok(fits('**/TEST-*.xml', 'TEST-a.xml') && fits('**/TEST-*.xml', 'x/y/TEST-a.xml') && fits('**', 'x/y'));
    assert.ok(!fits('*.xml', 'x/a.xml') && !fits('a.xml', 'aXxml') && fits('x/?.txt', 'x/a.txt'));
  });

  it('runs a graph in its order, and combines results as a stage does', async () => {
    const order: number[] = [];
    await runGraph([[], [0], [0], [1, 2]], async (index) => void order.push(index));
    assert.deepEqual([order[0], order[3]], [0, 3]);
    assert.equal(combine(['Succeeded', 'Skipped']), 'Succeeded');
    assert.equal(combine(['Skipped', 'Skipped']), 'Skipped');
    assert.equal(combine(['Canceled', 'Abandoned']), 'Failed');
    assert.equal(combine(['SucceededWithIssues', 'Succeeded']), 'SucceededWithIssues');
    let most = 0;
    let now = 0;
    const slots = new Slots(2);
    const body = async () => {
      most = Math.max(most, (now += 1));
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
    };
    await Promise.all([1, 2, 3, 4, 5].map(() => slots.run(body)));
    assert.equal(most, 2);
  });

  it('layers variables by name in any case, and ends on cycles', () => {
    assert.deepEqual(merge({ Color: { value: 'red' } }, { color: { value: 'blue' } }), { color: { value: 'blue' } });
    const settled = nested({
      a: { value: 'x$(B)$(nothing)' },
      b: { value: '$(c)' },
      c: { value: 's', isSecret: true },
      d: { value: '$(d)$(a)' },
    });
    assert.deepEqual(settled['a'], { value: 'xs$(nothing)', isSecret: true });
    assert.equal(settled['d']?.value, '$(d)$(a)');
  });

  it('numbers runs by the format of the pipeline', () => {
    const at = new Date(2026, 2, 5, 14, 7);
    const number = (format: string, taken: string[] = []) =>
      runNumber(format, { 'Build.SourceBranchName': 'main', color: 'red' }, at, 42, new Set(taken));
    assert.equal(number('$(Date:yyyyMMdd)$(Rev:.r)', ['20260305.1', '20260305.2']), '20260305.3');
    assert.equal(number('$(SourceBranchName)_$(Color)_$(Year:yy)-$(BuildID)_$(nothing)'), 'main_red_26-42_$(nothing)');
    assert.equal(number('v$(Rev:rr)'), 'v01');
    assert.equal(number('fixed', ['fixed']), 'fixed');
  });

  it('counts tests of a JUnit file', () => {
    const xml =
      '<testsuite><testcase name="a"/><testcase name="b"><failure>x</failure></testcase><testcase><skipped/></testcase><!-- <testcase/> --></testsuite>';
    assert.deepEqual(countTests(xml), { total: 3, failed: 1, skipped: 1 });
  });
});
