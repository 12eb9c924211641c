/** The wait in trouble, by the numbers: how often it asks, when it speaks and what it says, what it gives back, and what it does not swallow. */
import assert from 'node:assert/strict';
import type { JobState } from '../../../src/aml/jobs/job.js';
import { watchJob, type WatchSink } from '../../../src/aml/jobs/watch.js';
import type { Workspace } from '../../../src/aml/workspace.js';
import { Failure } from '../../../src/azure/errors.js';
import { FakeClock } from '../../support/fake-platform.js';
import type { Asked } from '../../support/https-server.js';
import { WatchedJob, type Script } from '../../support/watched-job.js';

const minute = 60_000;
const isLook = ({ path }: Asked) => path.endsWith('/jobs/j');
const forbidden = { status: 403, body: { error: { code: 'AuthorizationFailed', message: 'no' } } };

describe('the wait in trouble', () => {
  let world: WatchedJob;
  before(async () => (world = await WatchedJob.start()));
  after(() => world.server.close());

  it('an outage: told at the second look, asked for ever more seldom, over soon after Azure is back', async () => {
    for (const [length, words] of [
      [1, /^Azure answers again after \d\d s\.$/],
      [40, /^Azure answers again after 4\d minutes\.$/],
    ] as const) {
      const looks: number[] = [];
      const away = (age: number) => age > 60 * minute && age < (60 + length) * minute;
      const told = await world.watch({
        status: (age) => (age < (60 + length) * minute ? 'Running' : 'Completed'),
        instead: (asked, age) => {
          if (!away(age) || !isLook(asked)) return undefined;
          looks.push(age);
          return { status: 503 };
        },
      });
      const late = told.endedAt - (60 + length) * minute;
      assert.ok(late <= Math.min(75_000, Math.max(10_000, length * minute * 0.25)), `${length}: ${late} ms after it was over`);
      // Three requests a look.
      assert.ok(looks.length <= (length === 1 ? 30 : 200), `${length}: ${looks.length} requests`);
      const [said = '', over = '', ...more] = told.notices;
      assert.deepEqual(more, []);
      assert.match(said, /^warning: .*Still waiting/);
      assert.match(over.replace('info: ', ''), words);
    }
    // One look that fails is no news, nor is a refusal that passes.
    let once = 0;
    const blip = await world.watch({
      status: (age) => (age < 30 * minute ? 'Running' : 'Completed'),
      instead: (_asked, age) => (age > 10 * minute && once++ < 3 ? { status: 503 } : undefined),
    });
    assert.deepEqual(blip.notices, []);
    // A host that takes the request and is silent for half a minute: a single look is long enough to be told.
    once = 0;
    const silent = await world.watch({
      status: (age) => (age < 30 * minute ? 'Running' : 'Completed'),
      instead: (_asked, age) => {
        if (age < 10 * minute || once++ >= 3) return undefined;
        world.clock.time += 30_000;
        return { reset: true };
      },
    });
    assert.match(silent.notices.join('\n'), /^warning: .* Still waiting.*\ninfo: Azure answers again after \d+ s\.$/);
  });

  it('a refusal is final at the third look; no answer at all at the end of an hour, with what to do', async () => {
    const looks: number[] = [];
    const of = (reply: { status: number }): Script => ({
      status: () => 'Running',
      instead: (asked, age) => {
        if (age < minute) return undefined;
        if (isLook(asked)) looks.push(age);
        return reply;
      },
    });
    const failure = async (script: Script) => {
      looks.length = 0;
      const error = await world.watch(script).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof Failure && error.details.cause instanceof Failure, String(error));
      return error;
    };
    await failure(of(forbidden));
    assert.equal(looks.length, 3);
    const away = await failure(of({ status: 503 }));
    const lasted = (looks.at(-1) ?? 0) - (looks[0] ?? 0);
    assert.ok(lasted > 60 * minute && lasted < 62 * minute, `${lasted}`);
    assert.match(away.message, /^Azure has not answered for 6[01] minutes; the wait for job j ends here\. The job may run on\. /);
    assert.match(away.details.advice ?? '', /Run the step again: it attaches/);
  });

  it('a job that is not there is asked for each 15 seconds; the limit gives what is known then', async () => {
    const looks: number[] = [];
    const lost = await world.watch({
      status: (age) => (age < 50 * minute ? 'Running' : undefined),
      instead: (asked, age) => {
        if (isLook(asked) && age >= 50 * minute) looks.push(age);
        return undefined;
      },
    });
    assert.equal(lost.end.end, 'lost');
    assert.ok(looks.length >= 8 && looks.length <= 10, `${looks.length} looks`);
    const limited = await world.watch(
      { status: () => 'Running', steps: () => [{ id: 'a', status: 'Running' }] },
      { logs: true, limitMs: 10 * minute },
    );
    const { end, job, steps } = limited.end;
    assert.deepEqual([end, job.name, job.status, steps.map(({ name }) => name)], ['limit', 'j', 'Running', ['a']]);
    // Also in an outage, whose pauses are long.
    for (const minutes of [20, 21, 22, 23]) {
      const away = await world.watch(
        { status: () => 'Running', instead: (_asked, age) => (age > 5 * minute ? { status: 503 } : undefined) },
        { limitMs: minutes * minute },
      );
      assert.equal(away.end.end, 'limit');
      const late = away.endedAt - minutes * minute;
      assert.ok(late >= 0 && late < 10_000, `${late} ms late`);
    }
  });

  it('a step that fails is seen at once, wherever it falls between two looks at the job; a job without steps as well', async () => {
    for (const at of [61, 61.9, 62.8, 63.7].map((minutes) => minutes * minute)) {
      const failed = await world.watch(
        {
          status: (age) => (age < at ? 'Running' : 'Failed'),
          steps: (age) => [
            { id: 'a', status: age < at ? 'Running' : 'Failed' },
            { id: 'b', status: 'Running' },
          ],
        },
        { logs: true },
      );
      assert.ok(failed.endedAt - at <= 20_000, `${at}: noticed after ${failed.endedAt - at} ms`);
    }
    for (const at of [40, 41.1].map((minutes) => minutes * minute)) {
      const { end, endedAt } = await world.watch(
        { type: 'Command', status: (age) => (age < at ? 'Running' : 'Completed') },
        { logs: true },
      );
      assert.ok(endedAt - at <= 20_000, `${at}: noticed after ${endedAt - at} ms`);
      const itself = { runId: 'j', name: 'job', status: 'Completed', phase: 'completed', group: false, reused: false };
      assert.deepEqual(end.steps, [{ ...itself, logsOf: 'j' }]);
    }
  });

  it('steps that cannot be read for a moment are read again soon', async () => {
    let fails = 1;
    const told = await world.watch(
      {
        status: (age) => (age < 20 * minute ? 'Running' : 'Completed'),
        steps: (age) => [{ id: age < 10 * minute ? 'a' : 'b', status: 'Running' }],
        log: (id) => (id === 'b' ? 'first\n' : ''),
        instead: ({ path }, age) => (path.endsWith('/children') && age > 10 * minute && fails-- > 0 ? forbidden : undefined),
      },
      { logs: true },
    );
    const [line] = told.lines;
    assert.ok(line && line.at - 10 * minute <= 20_000, JSON.stringify(line));
    assert.deepEqual(told.notices, []);
  });

  it('at the end the logs are read though the steps cannot be, and once more after what passes', async () => {
    const length = 5 * minute;
    const status = (age: number) => (age < length ? 'Running' : 'Completed');
    const whole = 'line\n'.repeat(30);
    const log = (_id: string, age: number) => whole.slice(0, Math.floor(Math.min(age, length) / 10_000) * 5);
    const blind = await world.watch(
      {
        ...{ status, log, steps: () => [{ id: 'a', status: 'Running' }] },
        instead: ({ path }, age) => (path.endsWith('/children') && age >= length ? forbidden : undefined),
      },
      { logs: true },
    );
    assert.equal(blind.lines.map(({ text }) => text).join(''), whole);
    assert.match(blind.notices.join('\n'), /^warning: The last log lines may be missing here: .*AuthorizationFailed/);
    const without = await world.watch({
      status,
      instead: ({ path }, age) => (path.endsWith('/children') && age >= length ? forbidden : undefined),
    });
    assert.match(without.notices.join('\n'), /^warning: The steps of the job could not be read: .*AuthorizationFailed/);
    let resets = 2;
    const passing = await world.watch(
      {
        ...{ type: 'Command', status, log },
        instead: ({ path }, age) => (path.startsWith('/log/') && age >= length && resets-- > 0 ? { reset: true } : undefined),
      },
      { logs: true },
    );
    assert.equal(passing.lines.map(({ text }) => text).join(''), whole);
    assert.deepEqual([passing.notices, passing.closed], [[], ['job']]);
    assert.ok(resets < 0);
  });

  it('a cancel at the end is a cancel; a fault of our own is no outage', async () => {
    const first = { name: 'j', status: 'Running', phase: 'active', type: 'Command', displayName: 'j' } as JobState;
    const reply = { status: 200, body: { name: 'j', properties: { status: 'Completed', jobType: 'Command' } } };
    const watch = (
      request: () => Promise<unknown>,
      sink: Partial<WatchSink>,
      more: { signal?: AbortSignal; type?: string; logs?: boolean } = {},
    ) => {
      const notices: string[] = [];
      const whole = {
        text: () => 0,
        textEnd: () => 0,
        status: () => 0,
        steps: () => 0,
        notice: (_: string, text: string) => notices.push(text),
      };
      const list = async function* () {
        const given: unknown[] = [];
        await request();
        yield* given;
      };
      const azure = { request, list, connection: { resourceManager: 'https://m' } };
      const workspace = { id: '/ws', azure, facts: async () => ({ api: 'https://api', history: 'https://api' }) };
      const { signal = new AbortController().signal, type = 'Command', logs = true } = more;
      return watchJob(
        workspace as unknown as Workspace,
        { ...first, type },
        { ...whole, ...sink },
        {
          ...{ clock: new FakeClock(), signal, logs },
        },
      ).then(
        (end) => ({ end, notices }),
        (error: unknown) => ({ error, notices }),
      );
    };
    const fault = new TypeError('a fault of our own');
    const inLook = await watch(() => Promise.reject(fault), {}, { logs: false });
    assert.deepEqual(inLook, { error: fault, notices: [] });
    const inSteps = await watch(async () => reply, {
      steps: () => {
        throw fault;
      },
    });
    assert.deepEqual(inSteps, { error: fault, notices: [] });
    // The reason of the cancel may look like anything.
    const abort = new AbortController();
    const reason = new Failure('cancelled', { code: 'Http503', status: 503 });
    let asked = 0; // The steps, the job, the steps, the steps at its end.
    const ended = await watch(
      async () => {
        if (++asked < 4) return reply;
        abort.abort(reason);
        throw reason;
      },
      {},
      { signal: abort.signal, type: 'Pipeline' },
    );
    assert.deepEqual(ended, { error: reason, notices: [] });
  });
}).timeout(120_000);
