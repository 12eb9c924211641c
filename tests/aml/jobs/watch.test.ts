/** The wait against a small Azure on a clock of its own: budgets of requests, tokens that expire, outages, states that pass and that do not. */
import assert from 'node:assert/strict';
import { connectAzure } from '../../../src/azure/azure.js';
import { Failure } from '../../../src/azure/errors.js';
import { readJob, type JobState } from '../../../src/aml/jobs/job.js';
import type { StepState } from '../../../src/aml/jobs/steps.js';
import { watchJob, type WatchEnd, type WatchOptions } from '../../../src/aml/jobs/watch.js';
import { openWorkspace } from '../../../src/aml/workspace.js';
import { FakeClock } from '../../support/fake-platform.js';
import { serve, type Asked, type Reply, type TestServer } from '../../support/https-server.js';

const minute = 60_000;
const hour = 60 * minute;

/** One job whose state is a function of the time since it was made. */
interface Script {
  type?: string;
  status(age: number): string | undefined;
  steps?(age: number): { id: string; status: string; started?: boolean }[];
  /** The whole log of a step at that time. */
  log?(id: string, age: number): string;
  /** Something else instead of an answer. */
  instead?(asked: Asked, age: number): Reply | undefined;
}

describe('the wait for a job', () => {
  let server: TestServer;
  let script: Script;
  let clock: FakeClock;
  let born: number;
  let tokensValidFrom = 0;
  let tokens = 0;
  let assertions: number[] = [];

  const answer = (asked: Asked): Reply => {
    const age = clock.now() - born;
    const { path } = asked;
    if (path.endsWith('/token')) {
      // The assertion is a time: an issuer takes it for ten minutes.
      const given = Number(new URLSearchParams(asked.body).get('client_assertion'));
      if (clock.now() - given > 10 * minute)
        return { status: 401, body: { error_description: 'AADSTS700024: assertion expired.' } };
      return { body: { access_token: `${clock.now()}-${++tokens}`, expires_in: 3600 } };
    }
    const instead = script.instead?.(asked, age);
    if (instead) return instead;
    if (path.startsWith('/log/')) {
      assert.equal(asked.headers.authorization, undefined);
      const text = Buffer.from(script.log?.(path.slice(5), age) ?? '');
      const start = Number(/bytes=(\d+)-/.exec(String(asked.headers.range))?.[1]);
      if (start >= text.length) return { status: 416, headers: { 'Content-Range': `bytes */${text.length}` } };
      const range = `bytes ${start}-${text.length - 1}/${text.length}`;
      return { status: 206, headers: { 'Content-Range': range }, body: text.subarray(start) };
    }
    if (path === '/discovery') return { body: { api: server.origin } };
    const token = Number(/Bearer (\d+)-/.exec(asked.headers.authorization ?? '')?.[1]);
    if (clock.now() - token > hour || token < tokensValidFrom)
      return { status: 401, body: { error: { code: 'InvalidAuthenticationToken' } } };
    if (path.endsWith('/children')) {
      const value = (script.steps?.(age) ?? []).map(({ id, status, started }) => ({
        runId: id,
        displayName: id,
        status,
        createdUtc: id,
        ...(started === false ? {} : { startTimeUtc: new Date(born).toISOString() }),
      }));
      return { body: { value } };
    }
    if (path.endsWith('/details')) {
      const id = path.split('/').at(-2) ?? '';
      return { body: { status: 'Running', logFiles: { 'user_logs/std_log.txt': `${server.origin}/log/${id}?sig=abc` } } };
    }
    if (path.includes('/jobs/')) {
      const status = script.status(age);
      if (status === undefined) return { status: 404, body: { error: { code: 'UserError', message: 'Job j not found.' } } };
      return { body: { name: 'j', properties: { status, jobType: script.type ?? 'Pipeline', services: {} } } };
    }
    return { body: { properties: { discoveryUrl: `${server.origin}/discovery`, workspaceId: 'guid' } } };
  };

  before(async () => {
    server = await serve((asked) => answer(asked));
  });
  after(() => server.close());

  interface Told {
    end: WatchEnd;
    notices: string[];
    statuses: string[];
    lines: { step: string; text: string; at: number }[];
    asked: Asked[];
    endedAt: number;
  }

  async function watch(given: Script, options: Partial<WatchOptions> = {}): Promise<Told> {
    script = given;
    clock = new FakeClock();
    born = clock.now();
    tokensValidFrom = 0;
    assertions = [];
    const azure = connectAzure(
      {
        name: 'arm',
        resourceManager: server.origin,
        authority: server.origin,
        tenantId: 't',
        clientId: 'c',
        ca: server.ca,
        credential: { kind: 'federated', assertion: async () => String(assertions[assertions.push(clock.now()) - 1]) },
      },
      { clock: clock, onSecret: () => undefined },
    );
    const workspace = openWorkspace(azure, { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' });
    const job = (await readJob(workspace, 'j')) as JobState;
    server.asked.length = 0;
    const told: Omit<Told, 'end' | 'endedAt' | 'asked'> = { notices: [], statuses: [], lines: [] };
    const end = await watchJob(
      workspace,
      job,
      {
        status: ({ status }) => told.statuses.push(status),
        steps: () => undefined,
        text: (step: StepState, text) => told.lines.push({ step: step.name, text, at: clock.now() - born }),
        textEnd: () => undefined,
        notice: (_level, text) => told.notices.push(text),
      },
      { clock, signal: new AbortController().signal, logs: false, ...options },
    );
    return { ...told, end, endedAt: clock.now() - born, asked: [...server.asked] };
  }

  it('an hour without logs takes at most 150 requests; the end is noticed within max(2 s, 5 %)', async () => {
    for (const length of [1_000, 30_000, 5 * minute, 20 * minute, hour]) {
      const told = await watch({ status: (age) => (age < length ? 'Running' : 'Completed') });
      assert.equal(told.end.end, 'completed');
      assert.ok(told.endedAt - length <= Math.max(2_000, length * 0.05), `${length}: noticed after ${told.endedAt - length} ms`);
      assert.ok(told.asked.length <= 150, `${length}: ${told.asked.length} requests`);
    }
  });

  it('twelve hours with assertions of ten minutes and tokens of an hour', async () => {
    const told = await watch({ status: (age) => (age < 12 * hour ? 'Running' : 'Completed') });
    assert.equal(told.end.end, 'completed');
    assert.ok(told.asked.length < 150 + 11 * 45, `${told.asked.length} requests`);
    assert.ok(assertions.length >= 12 && assertions.length <= 15, `${assertions.length} assertions`);
  });

  it('an hour of five talkative steps takes at most 1,200 requests, and no line is lost', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    const log = (id: string, age: number) =>
      Array.from({ length: Math.floor(Math.min(age, hour) / 5_000) }, (_, n) => `${id} ${n} ü\n`).join('');
    const told = await watch(
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

  it('survives an outage of minutes, resets, throttling and refused tokens', async () => {
    const told = await watch({
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
        if (age > 30 * minute && tokensValidFrom === 0) tokensValidFrom = clock.now();
        return undefined;
      },
    });
    assert.equal(told.end.end, 'completed');
    assert.ok(told.notices.some((text) => text.includes('answers again')));
  });

  it('gives up when Azure stays away, or refuses for good, and says that the job may run on', async () => {
    const away = watch({ status: () => 'Running', instead: (_asked, age) => (age > minute ? { status: 503 } : undefined) });
    await assert.rejects(
      away,
      (error) => error instanceof Failure && error.code === 'OutageTooLong' && /run on/.test(error.message),
    );
    const error = { code: 'AuthorizationFailed', message: 'no' };
    const refused = watch({
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
    const told = await watch({
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
    const blink = await watch({
      status: (age) =>
        age < 10 * minute ? 'Running' : age < 30 * minute ? 'NotResponding' : age < hour ? 'Running' : 'Completed',
    });
    assert.equal(blink.end.end, 'completed');
    assert.ok(blink.notices.some((text) => text.includes('NotResponding')));
    assert.equal((await watch({ status: (age) => (age < minute ? 'Running' : 'NotResponding') })).end.end, 'stalled');
    assert.equal((await watch({ status: (age) => (age < minute ? 'Running' : 'Paused') })).end.end, 'paused');
    assert.equal((await watch({ status: (age) => (age < minute ? 'Running' : undefined) })).end.end, 'lost');
    assert.equal((await watch({ status: (age) => (age < minute ? 'Running' : 'Canceled') })).end.end, 'canceled');
    assert.equal((await watch({ status: (age) => (age < minute ? 'CancelRequested' : 'Failed') })).end.end, 'failed');
    const limit = await watch({ status: () => 'Running' }, { limitMs: 7 * minute });
    assert.equal(limit.end.end, 'limit');
    assert.ok(limit.endedAt >= 7 * minute && limit.endedAt < 8 * minute);
  });

  it('asks for new log addresses when the old signature is refused, and starts over when a file was replaced', async () => {
    let refused = 0;
    const told = await watch(
      {
        status: (age) => (age < 10 * minute ? 'Running' : 'Completed'),
        steps: (age) => [{ id: 'a', status: age < 10 * minute ? 'Running' : 'Completed' }],
        log: (_id, age) => (age < 5 * minute ? 'first try, long text\n' : 'second\n'),
        instead: ({ path }, age) => (path.startsWith('/log/') && age > 2 * minute && refused++ < 2 ? { status: 403 } : undefined),
      },
      { logs: true },
    );
    assert.equal(told.lines.map(({ text }) => text).join(''), 'first try, long text\nsecond\n');
  });

  it('reads a file that was replaced by a shorter one while the step ended', async () => {
    const told = await watch(
      {
        type: 'Command',
        status: (age) => (age < 5 * minute ? 'Running' : 'Completed'),
        log: (_id, age) => (age < 4.99 * minute ? 'first try, long text \u00fc'.slice(0, 23) : 'second\n'),
      },
      { logs: true },
    );
    assert.equal(told.lines.map(({ text }) => text).join(''), 'first try, long text \u00fcsecond\n');
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
      const told = await watch({ ...base, instead }, { logs: true });
      assert.equal(told.end.end, 'completed', name);
      assert.ok(told.endedAt - length <= length * 0.05, `${name}: noticed after ${told.endedAt - length} ms`);
      assert.ok(told.asked.length < 1.5 * 1_200, `${name}: ${told.asked.length} requests`);
      const [first = '', last = '', ...more] = told.notices;
      assert.match(first, words, name);
      assert.match(last, /last log lines may be missing/, name);
      assert.deepEqual(more, [], name);
      assert.deepEqual(told.lines, [], name);
    }
    // One storage account of two is enough for the logs that lie in it; and what passes is read from where it was left.
    const half = await watch(
      {
        ...base,
        status: (age) => (age < 15 * minute ? 'Running' : 'Completed'),
        instead: ({ path }, age) =>
          path === '/log/a' || (path === '/log/b' && age > minute && age < 10 * minute) ? { reset: true } : undefined,
        log: (id, age) => `${id}\n`.repeat(Math.floor(Math.min(age, 15 * minute) / minute)),
      },
      { logs: true },
    );
    assert.equal(half.lines.map(({ text }) => text).join(''), 'b\n'.repeat(15));
  });
}).timeout(120_000);
