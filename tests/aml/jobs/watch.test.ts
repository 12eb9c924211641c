/** The wait against a small Azure on a clock of its own: budgets of requests, tokens that expire, outages, states that pass and that do not. */
import assert from 'node:assert/strict';
import { Failure } from '../../../src/azure/errors.js';
import { WatchedJob, type Script } from '../../support/watched-job.js';

const minute = 60_000;
const hour = 60 * minute;

describe('the wait for a job', () => {
  let world: WatchedJob;
  before(async () => (world = await WatchedJob.start()));
  after(() => world.server.close());

  it('an hour without logs takes at most 150 requests; the end is noticed within max(2 s, 5 %)', async () => {
    for (const length of [1_000, 30_000, 5 * minute, 20 * minute, hour]) {
      const told = await world.watch({ status: (age) => (age < length ? 'Running' : 'Completed') });
      assert.equal(told.end.end, 'completed');
      assert.ok(told.endedAt - length <= Math.max(2_000, length * 0.05), `${length}: noticed after ${told.endedAt - length} ms`);
      assert.ok(told.asked.length <= 150, `${length}: ${told.asked.length} requests`);
    }
  });

  it('twelve hours with assertions of ten minutes and tokens of an hour', async () => {
    const told = await world.watch({ status: (age) => (age < 12 * hour ? 'Running' : 'Completed') });
    assert.equal(told.end.end, 'completed');
    assert.ok(told.asked.length < 150 + 11 * 45, `${told.asked.length} requests`);
    assert.ok(world.assertions.length >= 12 && world.assertions.length <= 15, `${world.assertions.length} assertions`);
  });

  it('an hour of five talkative steps takes at most 1,200 requests, and no line is lost', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const log = (id: string, age: number) =>
      Array.from({ length: Math.floor(Math.min(age, hour) / 5_000) }, (_, n) => `${id} ${n} ü\n`).join('');
    const told = await world.watch(
      {
        status: (age) => (age < hour ? 'Running' : 'Completed'),
        steps: (age) => ids.map((id) => ({ id, status: age < hour ? 'Running' : 'Completed' })),
        log,
      },
      { logs: true },
    );
    assert.ok(told.asked.length <= 1_200, `${told.asked.length} requests`);
    for (const id of ids) {
      const text = told.lines
        .filter(({ step }) => step === id)
        .map((line) => line.text)
        .join('');
      assert.equal(text, log(id, hour));
    }
  });

  it('tells each change once, reads the first lines soon, and sees the end soon after the last step, a failed one at once', async () => {
    const states = (age: number): Record<string, string> => {
      if (age < 10 * minute) return { a: 'Running' };
      return { a: 'Completed', b: age < 50 * minute ? 'Running' : age < 51 * minute ? 'Finalizing' : 'Completed' };
    };
    const told = await world.watch(
      {
        status: (age) => (age < minute ? 'Preparing' : age < 51 * minute ? 'Running' : 'Completed'),
        steps: (age) => (age < minute ? [] : Object.entries(states(age)).map(([id, status]) => ({ id, status }))),
        log: (id, age) => (id === 'a' || age >= 12 * minute ? `${id}\n` : ''),
      },
      { logs: true },
    );
    assert.deepEqual(told.statuses, ['Preparing', 'Running', 'Completed']);
    const graph = ['a Running', 'a Completed, b Running', 'a Completed, b Finalizing', 'a Completed, b Completed'];
    assert.deepEqual([told.steps, told.closed, told.notices], [graph, ['a', 'b'], []]);
    const [first, second] = told.lines;
    assert.ok(first && first.at - minute <= 10_000 && second && second.at - 12 * minute <= 10_000, JSON.stringify(told.lines));
    assert.ok(told.endedAt - 51 * minute <= 10_000, `noticed after ${told.endedAt - 51 * minute} ms`);
    // As long as a step is at work the job itself cannot have completed.
    const looks = told.asked.filter(({ path }) => path.endsWith('/jobs/j')).length;
    assert.ok(looks <= 60, `${looks} looks at the job`);
    const failing = await world.watch(
      {
        status: (age) => (age < 30 * minute ? 'Running' : 'Failed'),
        steps: (age) => [
          { id: 'a', status: age < 30 * minute ? 'Running' : 'Failed' },
          { id: 'b', status: 'Running' },
        ],
      },
      { logs: true },
    );
    assert.ok(failing.end.end === 'failed' && failing.endedAt - 30 * minute <= 10_000);
    const command = await world.watch(
      {
        ...{ type: 'Command', displayName: 'churn', log: (_id, age) => (age >= 5 * minute ? 'line\n' : '') },
        status: (age) => (age < 10 * minute ? 'Running' : 'Completed'),
      },
      { logs: true },
    );
    assert.deepEqual([command.steps, command.closed], [['churn Running', 'churn Completed'], ['churn']]);
    const [line] = command.lines;
    assert.ok(line?.step === 'churn' && line.at - 5 * minute <= 10_000);
    assert.ok(command.endedAt - 10 * minute <= 10_000);
  });

  it('survives an outage of minutes, resets, throttling and refused tokens', async () => {
    let blips = 0;
    const told = await world.watch({
      status: (age) => (age < 40 * minute ? 'Running' : 'Completed'),
      instead: (asked, age) => {
        if (age > 5 * minute && age < 15 * minute) return { status: 503 };
        if (age > 17 * minute && age < 19 * minute)
          return {
            status: age < 18 * minute ? 200 : 404,
            headers: { 'Content-Type': 'text/html' },
            body: '<html>Blocked</html>',
          };
        if (age > 20 * minute && age < 22 * minute) return { reset: true };
        if (age > 25 * minute && age < 25.5 * minute) return { status: 429, headers: { 'Retry-After': '20' } };
        if (age > 30 * minute && world.tokensValidFrom === 0) world.tokensValidFrom = world.clock.now();
        if (age > 35 * minute && blips++ < 3) return { status: 500 };
        return undefined;
      },
    });
    assert.equal(told.end.end, 'completed');
    // Each trouble is told once, and that it is over; what lasts for a single look is not.
    assert.deepEqual(
      told.notices.map((text) => text.replace(/localhost:\d+/, 'host').replace(/after \d+ (?:s|minutes)\.$/, 'after a while.')),
      [
        'warning: Could not read job j: HTTP 503. Still waiting; the job is not affected by that.',
        'info: Azure answers again after a while.',
        'warning: Could not read job j at host: a web page came in place of the answer (HTTP 200). Still waiting; the job is not affected by that.',
        'info: Azure answers again after a while.',
        'warning: Could not read job j: no answer from host after 3 tries (ECONNRESET: socket hang up). Still waiting; the job is not affected by that.',
        'info: Azure answers again after a while.',
      ],
    );
  });

  it('says that Azure answers again before it says what it answered', async () => {
    const told = await world.watch({
      status: (age) => (age < 8 * minute ? 'Running' : 'Completed'),
      instead: (_asked, age) => (age > 5 * minute && age < 10 * minute ? { status: 503 } : undefined),
    });
    assert.deepEqual(
      told.said.map((text) => text.replace(/(Still waiting|again) .*$/, '$1')).map((text) => text.replace(/: Could.*\. /, ': ')),
      ['Running', 'warning: Still waiting; the job is not affected by that.', 'info: Azure answers again', 'Completed'],
    );
  });

  it('where all of Azure is out it is not said of the steps', async () => {
    // Wherever the outage begins between two looks at the job.
    for (const from of [10, 10.7, 11.4]) {
      const told = await world.watch(
        {
          status: (age) => (age < 30 * minute ? 'Running' : 'Completed'),
          steps: (age) => [{ id: 'a', status: age < 30 * minute ? 'Running' : 'Completed' }],
          instead: (_asked, age) => (age > from * minute && age < 15 * minute ? { status: 503 } : undefined),
        },
        { logs: true },
      );
      const words = /^warning: Could not read job j: .* Still waiting.*\ninfo: Azure answers again after .*$/;
      assert.match(told.notices.join('\n'), words);
    }
  });

  it('gives up when Azure stays away, or refuses for good, and says that the job may run on', async () => {
    const away = world.watch({ status: () => 'Running', instead: (_asked, age) => (age > minute ? { status: 503 } : undefined) });
    await assert.rejects(
      away,
      (error) => error instanceof Failure && error.code === 'OutageTooLong' && /run on/.test(error.message),
    );
    const error = { code: 'AuthorizationFailed', message: 'no' };
    const refused = world.watch({
      status: () => 'Running',
      instead: (_asked, age) => (age > minute ? { status: 403, body: { error } } : undefined),
    });
    await assert.rejects(refused, (thrown) => {
      const { code, message, details } = thrown as Failure;
      return (
        code === 'AuthorizationFailed' && /may run on/.test(message) && /role.*Run the step again/s.test(details.advice ?? '')
      );
    });
  });

  it('what passes does not add up: missing, refused, silent and out, each twice, hours apart', async () => {
    const error = { code: 'AuthorizationFailed', message: 'flicker' };
    let refused = 0;
    const within = (age: number, from: number, length: number) => age > from && age < from + length;
    const told = await world.watch({
      status: (age) => {
        if (within(age, hour, minute) || within(age, 3 * hour, minute)) return undefined;
        if (within(age, 4 * hour, 40 * minute) || within(age, 5 * hour, 40 * minute)) return 'NotResponding';
        return age < 9 * hour ? 'Running' : 'Completed';
      },
      instead: (_asked, age) => {
        if (within(age, 6 * hour, 40 * minute) || within(age, 7 * hour, 40 * minute)) return { status: 503 };
        if ((within(age, 2 * hour, 10 * minute) && refused < 2) || (age > 8 * hour && refused >= 2 && refused < 4)) {
          refused++;
          return { status: 403, body: { error } };
        }
        return undefined;
      },
    });
    assert.equal(told.end.end, 'completed');
    assert.equal(refused, 4);
  });

  it('NotResponding may pass; Paused, a lost job, Canceled and Failed are never completed', async () => {
    const blink = await world.watch({
      status: (age) =>
        age < 10 * minute ? 'Running' : age < 30 * minute ? 'NotResponding' : age < hour ? 'Running' : 'Completed',
    });
    assert.equal(blink.end.end, 'completed');
    assert.deepEqual(blink.statuses, ['Running', 'NotResponding', 'Running', 'Completed']);
    assert.deepEqual(blink.notices, [
      "warning: The service says NotResponding about the job's state. That may pass; still waiting.",
      'info: The job answers again: Running.',
    ]);
    // How long each is waited for: an hour, ten minutes, two minutes; what is final not at all.
    for (const [before, status, end, least] of [
      ['Running', 'NotResponding', 'stalled', hour],
      ['Running', '', 'stalled', hour],
      ['Running', 'Paused', 'paused', 10 * minute],
      ['Running', undefined, 'lost', 2 * minute],
      ['Running', 'Canceled', 'canceled', 0],
      ['CancelRequested', 'Failed', 'failed', 0],
    ] as const) {
      const told = await world.watch({ status: (age) => (age < minute ? before : status) });
      const after = told.endedAt - minute;
      assert.equal(told.end.end, end);
      assert.ok(after >= least && after <= least + 2 * minute, `${end} after ${after} ms`);
      if (end === 'paused') assert.match(told.notices.join(), /^warning: The job is paused\. Somebody has to resume it/);
      if (status === '') assert.match(told.notices.join(), /says nothing about/);
    }
    const limit = await world.watch({ status: () => 'Running' }, { limitMs: 7 * minute });
    assert.equal(limit.end.end, 'limit');
    assert.ok(limit.endedAt >= 7 * minute && limit.endedAt < 7.1 * minute, `${limit.endedAt}`);
  });

  it('a state that was seen once, before an outage, is no verdict in it', async () => {
    for (const [seen, after, end] of [
      [undefined, 'Running', 'completed'],
      ['Paused', 'Running', 'completed'],
      ['Paused', 'Paused', 'paused'],
    ] as const) {
      let looked = false;
      const told = await world.watch({
        status: (age) => {
          if (age < 10 * minute) return 'Running';
          if (age > 25 * minute) return age < 40 * minute ? after : 'Completed';
          looked = true;
          return seen;
        },
        instead: (_asked, age) => (looked && age < 25 * minute ? { status: 503 } : undefined),
      });
      assert.equal(told.end.end, end);
      assert.ok(told.endedAt > 25 * minute, `${told.endedAt}`);
    }
  });

  it('asks for new log addresses when the old signature is refused, and starts over when a file was replaced', async () => {
    let refused = 0;
    const told = await world.watch(
      {
        status: (age) => (age < 10 * minute ? 'Running' : 'Completed'),
        steps: (age) => [{ id: 'a', status: age < 10 * minute ? 'Running' : 'Completed' }],
        log: (_id, age) => (age < 5 * minute ? 'first try, long text\n' : 'second\n'),
        instead: ({ path }, age) => (path.startsWith('/log/') && age > 2 * minute && refused++ < 2 ? { status: 403 } : undefined),
      },
      { logs: true },
    );
    assert.equal(
      told.lines.map(({ text }) => text).join(''),
      'first try, long text\n(the log was replaced; what follows is the new one from its beginning)\nsecond\n',
    );
  });

  it('reads a file that was replaced by a shorter one while the step ended', async () => {
    const told = await world.watch(
      {
        type: 'Command',
        status: (age) => (age < 5 * minute ? 'Running' : 'Completed'),
        log: (_id, age) => (age < 4.99 * minute ? 'first try, long text \u00fc'.slice(0, 23) : 'second\n'),
      },
      { logs: true },
    );
    assert.equal(
      told.lines.map(({ text }) => text).join(''),
      'first try, long text \u00fc\n(the log was replaced; what follows is the new one from its beginning)\nsecond\n',
    );
  });

  it('goes on without logs and steps where they cannot be read, says so once, and notices the end in time', async () => {
    const length = 70 * minute;
    const base: Script = {
      status: (age) => (age < length ? 'Running' : 'Completed'),
      steps: (age) => ['a', 'b'].map((id) => ({ id, status: age < length ? 'Running' : 'Completed' })),
      log: () => 'line\n',
    };
    const refusal = { error: { code: 'AuthorizationFailed', message: 'no rights on runs' } };
    const storage = '<Error><Code>AuthorizationFailure</Code><Message>Not authorized.</Message></Error>';
    const cases: [string, NonNullable<Script['instead']>, RegExp][] = [
      [
        'a storage that does not answer',
        ({ path }) => (path.startsWith('/log/') ? { reset: true } : undefined),
        /logs .*no answer/,
      ],
      [
        'a storage that is closed to this machine',
        ({ path }) => (path.startsWith('/log/') ? { status: 403, body: storage } : undefined),
        /logs .*AuthorizationFailure.*firewall/,
      ],
      [
        'run history that is not for us',
        ({ path }) => (path.includes('/history/') ? { status: 403, body: refusal } : undefined),
        /steps .*no rights on runs/,
      ],
      ['run history that is out', ({ path }) => (path.includes('/history/') ? { status: 503 } : undefined), /steps /],
    ];
    for (const [name, instead, words] of cases) {
      const told = await world.watch({ ...base, instead }, { logs: true });
      assert.equal(told.end.end, 'completed', name);
      assert.ok(told.endedAt - length <= length * 0.05, `${name}: noticed after ${told.endedAt - length} ms`);
      assert.ok(told.asked.length < 1.5 * 1_200, `${name}: ${told.asked.length} requests`);
      // What cannot be read is asked for ever more seldom, each two minutes in the end.
      const vain = told.asked.filter((asked) => instead(asked, hour) !== undefined).length;
      assert.ok(vain <= 150, `${name}: ${vain} requests in vain`);
      const [first = '', last = '', ...more] = told.notices;
      assert.match(first, words, name);
      assert.match(last, /last log lines may be missing/, name);
      assert.deepEqual(more, [], name);
      assert.deepEqual(told.lines, [], name);
    }
    // One storage account of two is enough for the logs that lie in it; and what passes is read from where it was left.
    const half = await world.watch(
      {
        ...base,
        status: (age) => (age < 15 * minute ? 'Running' : 'Completed'),
        instead: ({ path }, age) =>
          path === '/log/a' || (path === '/log/b' && age > minute && age < 10 * minute) ? { reset: true } : undefined,
        log: (id, age) => `${id}\n`.repeat(Math.floor(Math.min(age, 15 * minute) / minute)),
      },
      { logs: true },
    );
    assert.match(
      half.notices.join('\n'),
      /^warning: The logs .*\ninfo: The logs of the job can be read again\.\nwarning: The last log[^\n]*$/,
    );
    assert.equal(half.lines.map(({ text }) => text).join(''), 'b\n'.repeat(15));
  });
}).timeout(120_000);
