/** How an error ends a task: always red, with words that say what, where and what to do; a cancelled run says nothing of its own. */
import assert from 'node:assert/strict';
import { Failure } from '../../src/azure/errors.js';
import { InputProblems } from '../../src/task/inputs.js';
import { Cancelled, outcomeOf, wording } from '../../src/task/outcome.js';
import type { Outcome } from '../../src/task/platform.js';
import { FakePlatform } from '../support/fake-platform.js';

describe('the end of a task', () => {
  async function end(story: (platform: FakePlatform) => Promise<Outcome>, parse: () => unknown = () => 'inputs') {
    const platform = new FakePlatform();
    const run = async (inputs: unknown) => {
      assert.equal(inputs, 'inputs');
      return story(platform);
    };
    return { outcome: await outcomeOf({ name: 'Tasky', parse, run }, platform), platform };
  }
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- anything may be thrown
  const thrown = (error: unknown) => end(() => Promise.reject(error));

  it("is the story's own when it ends by itself", async () => {
    const given: Outcome = { result: 'SucceededWithIssues', message: 'nearly' };
    const { outcome, platform } = await end(async () => given);
    assert.equal(outcome, given);
    assert.deepEqual(platform.issues, []);
  });

  it('a Failure is one error, with its place', async () => {
    const details = { code: 'YamlInvalid', file: 'jobs/a.yml', line: 3, column: 7, advice: 'Correct it.' };
    const { outcome, platform } = await thrown(new Failure('The key is wrong.', details));
    assert.deepEqual(outcome, { result: 'Failed', message: 'The key is wrong.' });
    const place = { sourcePath: 'jobs/a.yml', line: 3, column: 7 };
    const message = 'The key is wrong. (jobs/a.yml:3:7)\nCorrect it.';
    assert.deepEqual(platform.issues, [{ type: 'error', message, code: 'YamlInvalid', ...place }]);
    // A list of steps shows one line.
    const list = await thrown(new Failure('Missing:\n  a\n  b', { code: 'X' }));
    assert.deepEqual([list.outcome?.message, list.platform.issues[0]?.message], ['Missing: a …', 'Missing:\n  a\n  b']);
    assert.equal((await thrown(new Failure('Missing:\n  a', { code: 'X' }))).outcome?.message, 'Missing: a');
    const bare = await thrown(new Failure('No.', { code: 'X' }));
    assert.deepEqual(bare.platform.issues, [{ type: 'error', message: 'No.', code: 'X' }]);
  });

  it('problems of inputs are all told, the first also in the message of the step', async () => {
    const problem = (input: string) => new Failure(`${input} is empty.`, { code: 'InputMissing', input });
    const never = () => assert.fail('nothing is done');
    for (const [names, message] of [
      [['a'], 'One input needs a correction; nothing was done. a is empty.'],
      [['a', 'b', 'c'], '3 inputs need a correction; nothing was done. a is empty.'],
    ] as const) {
      const { outcome, platform } = await end(never, () => {
        throw new InputProblems(names.map(problem));
      });
      assert.deepEqual(outcome, { result: 'Failed', message });
      assert.deepEqual(
        platform.issues.map((issue) => issue.message),
        names.map((name) => `${name} is empty.`),
      );
    }
  });

  it('any other error is our own fault: said so, with the stack for who reports it', async () => {
    const { outcome, platform } = await thrown(new TypeError('x is undefined'));
    assert.deepEqual(outcome, { result: 'Failed', message: 'Tasky had a fault of its own: x is undefined' });
    assert.match(platform.lines.join('\n'), /TypeError: x is undefined\n\s+at /);
    const odd = await thrown('just text');
    assert.deepEqual(odd.outcome, { result: 'Failed', message: 'Tasky had a fault of its own: just text' });
    assert.deepEqual(odd.platform.lines, ['just text']);
  });

  it('a cancelled run has no result of its own, whatever it threw, and raises no error', async () => {
    for (const error of [new Cancelled(), new Failure('half done', { code: 'X' }), new TypeError('torn')]) {
      const { outcome, platform } = await end((at) => {
        at.abort.abort(new Cancelled());
        return Promise.reject(error);
      });
      assert.equal(outcome, undefined);
      assert.deepEqual([platform.issues, platform.lines], [[], []]);
    }
    // What says that it was cancelled, without a cancel, is no cancel: never green by mistake.
    assert.equal((await thrown(new Cancelled())).outcome?.result, 'Failed');
  });

  it('words: the place unless it is said, the input that is to be corrected unless it is named, ids for support', () => {
    const words = (message: string, details: Partial<Failure['details']>) =>
      wording(new Failure(message, { code: 'X', ...details })).split('\n');
    assert.deepEqual(words('Bad.', { file: 'a.yml' }), ['Bad. (a.yml)']);
    assert.deepEqual(words('Bad.', { file: 'a.yml', line: 2 }), ['Bad. (a.yml:2)']);
    assert.deepEqual(words('a.yml is bad.', { file: 'a.yml' }), ['a.yml is bad.']);
    assert.deepEqual(words('./a.yml:2:1 is bad.', { file: '/x/a.yml', line: 2, column: 1 }), ['./a.yml:2:1 is bad.']);
    assert.deepEqual(words('Not there.', { input: 'jobName' }), ['Input jobName: Not there.']);
    assert.deepEqual(words('No job.', { input: 'jobName', advice: 'Give jobName.' }), ['No job.', 'Give jobName.']);
    assert.deepEqual(words('jobName is bad.', { input: 'jobName' }), ['jobName is bad.']);
    assert.deepEqual(words('No.', { requestId: 'r1', correlationId: 'c1' }), ['No.', 'For support: request r1, correlation c1.']);
    assert.deepEqual(words('No.', { correlationId: 'c1' }), ['No.', 'For support: correlation c1.']);
  });
});
