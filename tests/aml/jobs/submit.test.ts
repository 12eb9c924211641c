/** Names, attempts and the one submission, against a small Azure whose replies get lost. */
import assert from 'node:assert/strict';
import { connectAzure } from '../../../src/azure/azure.js';
import { Failure } from '../../../src/azure/errors.js';
import { chooseAttempt, derivedName, submissionOf, submissionProperty } from '../../../src/aml/jobs/name.js';
import { submitJob } from '../../../src/aml/jobs/submit.js';
import { openWorkspace, type Workspace } from '../../../src/aml/workspace.js';
import { FakeClock } from '../../support/fake-platform.js';
import { fakeWorkspace, type Answer, type FakeWorkspace } from '../../support/fake-workspace.js';
import { connectionTo, serve, type Reply, type TestServer } from '../../support/https-server.js';

const identity = {
  organization: 'https://dev.azure.com/o/',
  project: 'p',
  pipeline: 'Über pipeline!',
  runId: '42',
  stage: 'train',
  job: 'j',
  step: 'run',
};
const submission = submissionOf(identity);

describe('submission', () => {
  let server: TestServer;
  let workspace: Workspace;
  const jobs = new Map<string, { status: string; properties: Record<string, unknown> }>();
  /** What happens to the n-th PUT. */
  let puts: ('ok' | 'lost before' | 'lost after' | '503' | '429' | '400' | '409' | '412')[] = [];
  /** What the next looks answer instead. */
  let looks: Reply[] = [];
  let putCount = 0;
  const clock = new FakeClock();

  before(async () => {
    server = await serve(({ method, path, body }): Reply => {
      if (path.endsWith('/token')) return { body: { access_token: 't', expires_in: 3600 } };
      const name = path.split('/').at(-1) ?? '';
      if (method === 'PUT') {
        putCount++;
        const how = puts.shift() ?? 'ok';
        if (how === '400') return { status: 400, body: { error: { code: 'UserError', message: 'bad job' } } };
        if (how === '409' || how === '412')
          return { status: Number(how), body: { error: { code: 'Conflict', message: 'exists' } } };
        if (how === '429') return { status: 429, headers: { 'Retry-After': '3' } };
        if (how === '503') return { status: 503 };
        if (how === 'lost before') return { reset: true };
        const { properties } = JSON.parse(body) as { properties: { properties: Record<string, unknown> } };
        jobs.set(name, { status: 'Preparing', properties: properties.properties });
        if (how === 'lost after') return { reset: true };
      }
      const look = method === 'GET' ? looks.shift() : undefined;
      if (look) return look;
      const job = jobs.get(name);
      if (!job) return { status: 404, body: { error: { code: 'UserError', message: `Job ${name} not found.` } } };
      return { status: 201, body: { name, properties: { ...job, services: {} } } };
    });
    const azure = connectAzure(connectionTo(server), { clock, onSecret: () => undefined });
    workspace = openWorkspace(azure, { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' });
  });
  after(() => server.close());
  beforeEach(() => {
    jobs.clear();
    putCount = 0;
    looks = [];
  });
  const send = () =>
    submitJob(
      workspace,
      {
        name: 'n',
        path: `${workspace.id}/jobs/n`,
        query: { 'api-version': '1' },
        body: { properties: { properties: { a: '1' } } },
        needsAmlToken: true,
      },
      submission,
      { clock },
    );

  it('a reply that was lost is read back, never sent again', async () => {
    puts = ['lost after'];
    const { job, readBack } = await send();
    assert.equal(readBack, true);
    assert.equal(job.status, 'Preparing');
    assert.equal(putCount, 1);
    assert.deepEqual(jobs.get('n')?.properties, { a: '1', [submissionProperty]: submission });
  });

  it('what did not arrive is sent again, throttling is waited out, a refusal is final', async () => {
    puts = ['429', '503', 'lost before', 'ok'];
    assert.equal((await send()).readBack, false);
    assert.equal(putCount, 4);
    puts = ['400'];
    putCount = 0;
    await assert.rejects(send(), (error) => error instanceof Failure && /submit job n.*bad job/.test(error.message));
    assert.equal(putCount, 1);
  });

  it('a service that sees its own job late, or says that it exists, has it', async () => {
    const notYet: Reply = { status: 404, body: { error: { code: 'UserError', message: 'Job n not found.' } } };
    for (const second of ['409', '412', '400'] as const) {
      jobs.clear();
      puts = ['lost after', second];
      looks = [notYet];
      assert.equal((await send()).readBack, true, second);
    }
    // Nobody's job, and another's.
    puts = ['409'];
    jobs.clear();
    await assert.rejects(send(), (error) => (error as Failure).details.status === 409);
    jobs.set('n', { status: 'Running', properties: {} });
    puts = ['409'];
    await assert.rejects(send(), (error) => (error as Failure).details.status === 409);
  });

  it('nothing is sent again before Azure says whether the job is there; an outage that stays is told as what it is', async () => {
    const out = (times: number) => Array.from({ length: times }, (): Reply => ({ status: 503 }));
    puts = ['lost after'];
    looks = out(40);
    assert.equal((await send()).readBack, true);
    assert.equal(putCount, 1);
    jobs.clear();
    puts = ['lost after'];
    looks = out(100);
    await assert.rejects(
      send(),
      (error) => error instanceof Failure && /Whether job n was made is not known/.test(error.message),
    );
    assert.equal(putCount, 2);
  });

  it('the name is the same for every attempt of a step and another for every other step', () => {
    const name = derivedName(identity);
    assert.match(name, /^uber-pipeline-42-train-[0-9a-f]{12}$|^u-ber-pipeline-42-train-[0-9a-f]{12}$/);
    assert.equal(derivedName({ ...identity }), name);
    for (const other of [
      { stage: 'test' },
      { runId: '43' },
      { step: 'run2' },
      { job: 'k' },
      { project: 'q' },
      { organization: 'https://x/' },
    ]) {
      assert.notEqual(derivedName({ ...identity, ...other }), name);
    }
    assert.match(derivedName({ ...identity, pipeline: '名前', stage: '' }), /^42-[0-9a-f]{12}$/);
    assert.match(derivedName({ ...identity, pipeline: '', runId: '-', stage: '!' }), /^run-[0-9a-f]{12}$/);
    const long = { pipeline: `${'p'.repeat(31)} ${'q'.repeat(99)}`, runId: '9'.repeat(99), stage: 's'.repeat(99) };
    assert.match(derivedName({ ...identity, ...long }), /^p{31}-9{12}-s{20}-[0-9a-f]{12}$/);
  });

  it('attaches to what is active or completed, and goes on to the next attempt after what failed', async () => {
    const ours = { [submissionProperty]: submission };
    assert.deepEqual(await chooseAttempt(workspace, 'n', submission, { clock }), { name: 'n', attempt: 1 });
    for (const status of ['Running', 'Completed', 'NotResponding', 'Finalizing']) {
      jobs.set('n', { status, properties: ours });
      assert.equal((await chooseAttempt(workspace, 'n', submission, { clock })).existing?.status, status);
    }
    jobs.set('n', { status: 'Failed', properties: ours });
    jobs.set('n-a2', { status: 'Canceled', properties: ours });
    assert.deepEqual(await chooseAttempt(workspace, 'n', submission, { clock }), { name: 'n-a3', attempt: 3 });
    // A job that is being cancelled is no job to attach to; nor is one that never gets to its end.
    jobs.set('n', { status: 'CancelRequested', properties: ours });
    const told: string[] = [];
    const ending = ({ name }: { name: string }) => {
      told.push(name);
      setTimeout(() => jobs.set('n', { status: 'Completed', properties: ours }), 50);
    };
    assert.equal(
      (
        await chooseAttempt(workspace, 'n', submission, {
          clock: {
            ...clock,
            now: () => clock.now(),
            date: () => clock.date(),
            sleep: () => new Promise((done) => setTimeout(done, 20)),
          },
          ending,
        })
      ).existing?.status,
      'Completed',
    );
    assert.deepEqual(told, ['n']);
    jobs.set('n', { status: 'CancelRequested', properties: ours });
    assert.equal((await chooseAttempt(workspace, 'n', submission, { clock })).name, 'n-a3');
    jobs.set('n', { status: 'Completed', properties: {} });
    await assert.rejects(
      chooseAttempt(workspace, 'n', submission, { clock }),
      (error) => (error as Failure).code === 'JobNameTaken',
    );
  });
});

describe('submission, told by single answers', () => {
  const ours = { [submissionProperty]: submission };
  const gone: Answer = { status: 404, body: { error: { code: 'UserError', message: 'not found' } } };
  const jobOf = (status: string, properties: Record<string, string> = ours): Answer => ({
    body: { properties: { status, properties } },
  });
  const puts = ({ asked }: FakeWorkspace) => asked.filter(({ method }) => method === 'PUT');
  const send = (workspace: FakeWorkspace, more: { clock?: FakeClock; signal?: AbortSignal; token?: boolean } = {}) =>
    submitJob(
      workspace,
      { name: 'n', path: '/jobs/n', query: { 'api-version': '1' }, body: { properties: {} }, needsAmlToken: more.token ?? false },
      submission,
      { clock: more.clock ?? new FakeClock(), ...(more.signal ? { signal: more.signal } : {}) },
    );

  it('tries six times, with pauses, and gives up with the words of the service', async () => {
    const workspace = fakeWorkspace(({ method }) =>
      method === 'PUT' ? { status: 503, body: { error: { code: 'Busy', message: 'busy here' } } } : gone,
    );
    const clock = new FakeClock();
    const before = clock.now();
    await assert.rejects(send(workspace, { clock }), /busy here/);
    assert.equal(puts(workspace).length, 6);
    assert.ok(clock.now() - before >= 5_000, `${clock.now() - before} ms`);
  });

  it("sends nothing again where another's job has the name meanwhile", async () => {
    const workspace = fakeWorkspace(({ method }) => (method === 'PUT' ? { status: 503 } : jobOf('Running', {})));
    await assert.rejects(send(workspace), (error) => (error as Failure).details.status === 503);
    assert.equal(puts(workspace).length, 1);
  });

  it('a cancel ends it at once: no further sending, no looking back', async () => {
    for (const during of ['PUT', 'GET']) {
      const abort = new AbortController();
      const workspace = fakeWorkspace(({ method }) => {
        if (method === during) abort.abort(new Error('cancelled here'));
        return { status: 503 };
      });
      await assert.rejects(send(workspace, { signal: abort.signal }), /cancelled here/);
      assert.deepEqual(
        workspace.asked.map(({ method }) => method),
        during === 'PUT' ? ['PUT'] : ['PUT', 'GET'],
      );
    }
  });

  it('waits between its looks while Azure does not say; each request and each pause ends with the cancel', async () => {
    const { signal } = new AbortController();
    const clock = new FakeClock();
    const before = clock.now();
    const slept: (AbortSignal | undefined)[] = [];
    const sleep = clock.sleep.bind(clock);
    clock.sleep = (ms, given) => {
      slept.push(given);
      return sleep(ms, given);
    };
    const workspace = fakeWorkspace(() => ({ status: 503, body: { error: { code: 'Busy', message: 'busy here' } } }));
    await assert.rejects(send(workspace, { clock, signal }), (error) => {
      const { message, details } = error as Failure;
      assert.match(message, /busy here.* Whether job n was made is not known/);
      assert.deepEqual([details.status, details.code], [503, 'Busy']);
      assert.match(details.advice ?? '', /^Run the step again when Azure answers/);
      return true;
    });
    const minutes = (clock.now() - before) / 60_000;
    assert.ok(minutes > 1.5 && minutes < 4, `${minutes}`);
    assert.deepEqual([slept.length, workspace.asked.length, puts(workspace).length], [9, 11, 1]);
    for (const given of [...slept, ...workspace.asked.map((one) => one.signal)]) assert.equal(given, signal);
  });

  it('a first sending that Azure calls a conflict has made the job when it bears our mark', async () => {
    const conflict: Answer = { status: 409, body: { error: { code: 'Conflict', message: 'exists' } } };
    const workspace = fakeWorkspace(({ method }) => (method === 'PUT' ? conflict : jobOf('Running')));
    const { job, readBack } = await send(workspace);
    assert.deepEqual([job.name, job.status, readBack], ['n', 'Running', true]);
    const made = await send(fakeWorkspace(() => jobOf('Starting')));
    assert.deepEqual([made.job.name, made.job.status, made.readBack], ['n', 'Starting', false]);
  });

  it("sends the user's token with jobs that need it, and with no other", async () => {
    for (const token of [true, false]) {
      const workspace = fakeWorkspace(() => jobOf('Starting'));
      await send(workspace, { token });
      const [put] = puts(workspace);
      assert.deepEqual([put?.headers, put?.apiVersion], [token ? { 'x-azureml-token': 'token' } : {}, '1']);
    }
  });

  it('a hundred attempts are enough; names of attempts stay names of jobs', async () => {
    const base = 'n'.repeat(255);
    const names: string[] = [];
    const failed = fakeWorkspace(({ url }) => {
      names.push(url.split('/').at(-1) ?? '');
      return jobOf('Failed');
    });
    await assert.rejects(
      chooseAttempt(failed, base, submission, { clock: new FakeClock() }),
      (error) => (error as Failure).code === 'TooManyAttempts',
    );
    assert.equal(new Set(names).size, 100);
    for (const name of names) assert.ok(name.length <= 255, name);
  });

  it('waits three minutes for a job of ours that is ending, says so once, and not at all for one of others', async () => {
    const told: string[] = [];
    const choose = (answer: (name: string) => Answer, clock = new FakeClock()) =>
      chooseAttempt(
        fakeWorkspace(({ url }) => answer(url.split('/').at(-1) ?? '')),
        'n',
        submission,
        { clock, ending: ({ name }) => told.push(name) },
      );
    const clock = new FakeClock();
    const before = clock.now();
    const chosen = await choose((name) => (name === 'n' ? jobOf('CancelRequested') : gone), clock);
    assert.deepEqual([chosen, clock.now() - before, told], [{ name: 'n-a2', attempt: 2 }, 180_000, ['n']]);
    const still = new FakeClock();
    await assert.rejects(
      choose(() => jobOf('CancelRequested', {}), still),
      (error) => (error as Failure).code === 'JobNameTaken',
    );
    assert.equal(still.now(), before);
    assert.equal(told.length, 1);
  });

  it('looking for the job of an attempt, and waiting for its end, ends with the cancel', async () => {
    const { signal } = new AbortController();
    const clock = new FakeClock();
    const slept: unknown[] = [];
    clock.sleep = async (_ms, given) => void slept.push(given);
    const workspace = fakeWorkspace(() => jobOf(slept.length < 2 ? 'CancelRequested' : 'Running'));
    const { name, attempt, existing } = await chooseAttempt(workspace, 'n', submission, { clock, signal });
    assert.deepEqual([name, attempt, existing?.status], ['n', 1, 'Running']);
    assert.deepEqual(
      [...slept, ...workspace.asked.map((one) => one.signal)],
      Array.from({ length: 5 }, () => signal),
    );
  });

  it('organization and project are the same in any case and with a slash at the end', () => {
    const same = { ...identity, organization: 'https://DEV.azure.com/O', project: 'P' };
    assert.equal(submissionOf(same), submission);
  });
});
