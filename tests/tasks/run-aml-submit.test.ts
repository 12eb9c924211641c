/** What RunAmlPipeline sends, under which name, and what it says of it: the attempts of a step, its uploads, a submission that was lost half-way. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Inputs } from '../../tasks/RunAmlPipeline/inputs.js';
import { gone, jobOf, references, storyOfTests, type Ended } from '../support/aml-story.js';
import type { Asked, Reply } from '../support/https-server.js';

const jobIn = ({ path }: Asked) => /\/jobs\/([^/]+)$/.exec(path)?.[1];

describe('what RunAmlPipeline submits', () => {
  const world = storyOfTests();

  interface Job {
    status: string;
    properties: object;
    body: Record<string, unknown>;
  }
  /** A workspace that keeps its jobs. `first` answers before it does. */
  function workspace() {
    const jobs = new Map<string, Job>();
    const looked: string[] = [];
    const of = (name: string) => {
      const job = jobs.get(name);
      return job ? { body: { ...(jobOf(job.status, { properties: job.properties }).body as object), name } } : gone;
    };
    const go = (inputs: Partial<Inputs>, first: (one: Asked) => Reply | undefined = () => undefined): Promise<Ended> =>
      world.tell({
        inputs: { action: 'submit', file: join(world.folder, 'job.yml'), jobName: undefined as never, ...inputs },
        manager: (one) => {
          const name = jobIn(one);
          if (name && one.method === 'GET') looked.push(name);
          const reply = first(one);
          if (reply) return reply;
          if (name && one.method === 'PUT') {
            const body = (JSON.parse(one.body) as { properties: Record<string, unknown> }).properties;
            jobs.set(name, { status: 'Starting', properties: body['properties'] as object, body });
          }
          return name ? of(name) : references(one);
        },
      });
    return { jobs, looked, go };
  }

  it('each attempt under the name that was looked for: the first, and the next after what has failed or is being cancelled', async () => {
    const { jobs, looked, go } = workspace();
    let lost = 1;
    // A gateway's 503 is sent again once it is known that there is no job.
    const first = await go({ action: 'submit' }, ({ method, path }) =>
      method === 'PUT' && path.includes('/jobs/') && lost-- > 0 ? { status: 503 } : undefined,
    );
    assert.equal(first.outcome?.result, 'Succeeded', first.said);
    const [name = ''] = jobs.keys();
    assert.deepEqual([[...new Set(looked)], jobs.size], [[name], 1]);
    assert.match(name, /^7-[0-9a-f]{12}$/);
    assert.doesNotMatch(first.said, /Attempt|reply to the submission/);
    assert.ok(first.platform.lines.includes(`Submitted job ${name}`));
    assert.match(first.said, /^Studio: https:\/\/ml\.azure\.com\/runs\//m);
    assert.match(first.platform.outputs['studioUrl'] ?? '', /^https:\/\/ml\.azure\.com\/runs\//);
    const job = jobs.get(name);
    assert.ok(job);
    // The agent of the first attempt was lost; its job is being cancelled by somebody, which takes a while.
    job.status = 'CancelRequested';
    let looks = 0;
    const second = await go({ action: 'run' }, (one) => {
      if (jobIn(one) === name && ++looks === 3) job.status = 'Canceled';
      const own = jobs.get(`${name}-a2`);
      if (own && one.method === 'GET') own.status = 'Completed';
      return undefined;
    });
    assert.equal(second.outcome?.result, 'Succeeded', second.said);
    assert.deepEqual([...jobs.keys()], [name, `${name}-a2`]);
    assert.match(
      second.said,
      /^Job [\w-]+ of the attempt before is still being cancelled; waiting for its end\.\nAttempt 2: the job of the attempt before failed or was cancelled\.$/m,
    );
    assert.deepEqual([second.report?.['attempt'], second.report?.['how']], [2, 'submitted']);
    assert.match(second.outcome?.message ?? '', /^Job [\w-]+-a2 completed after /);
    assert.ok(second.platform.lines.includes(second.outcome?.message ?? '-'));
    const third = await go({ action: 'run' });
    assert.deepEqual([third.report?.['attempt'], third.report?.['how'], jobs.size], [2, 'attached', 2]);
    assert.match(third.outcome?.message ?? '', /^Job [\w-]+-a2 has completed; this step waited /);
    // What has completed, and what does not answer, is there: a submission has nothing to add.
    for (const status of ['Completed', 'NotResponding']) {
      Object.assign(jobs.get(`${name}-a2`) ?? {}, { status });
      const again = await go({ action: 'submit' });
      assert.deepEqual([again.outcome, jobs.size], [{ result: 'Succeeded', message: `Job ${name}-a2 submitted.` }, 2]);
    }
  });

  it('steps without a name of their own are told apart by all that they ask for; a description is sent', async () => {
    const { jobs, go } = workspace();
    for (const more of [{}, { overrides: ['limits.timeout=90'] }, { experimentName: 'other' }, { displayName: 'shown' }])
      await go({ ...more, description: 'why' });
    assert.equal(jobs.size, 4);
    for (const { body } of jobs.values()) assert.equal(body['description'], 'why');
    await go({ description: 'another', tags: { more: 'x' } });
    assert.equal(jobs.size, 4);
  });

  it('says what went up, and that nothing had to', async () => {
    mkdirSync(join(world.folder, 'src'));
    for (const name of ['a.py', 'b.py']) writeFileSync(join(world.folder, 'src', name), 'x'.repeat(700));
    const text = 'type: command\ncommand: echo\ncode: src\nenvironment: azureml:env:1\ncompute: azureml:cpu\n';
    writeFileSync(join(world.folder, 'code.yml'), text);
    const { go } = workspace();
    const sent: string[] = [];
    world.azure.open = ({ method, path, query }) => {
      if (!path.startsWith('/code-container')) return undefined;
      if (method === 'PUT' && !query.has('comp')) sent.push(path.split('/').at(-1) ?? '');
      return { status: 201 };
    };
    const code = (known: boolean) => (one: Asked) => {
      if (!one.path.includes('/codes/')) return undefined;
      if (one.path.endsWith('/versions'))
        return { body: { value: known ? [{ id: '/subscriptions/s/codes/c/versions/1' }] : [] } };
      if (one.method === 'PUT') return { body: { id: one.path } };
      const place = `${world.azure.server.origin}/code-container`;
      return { body: { blobReferenceForConsumption: { blobUri: place, credential: { sasUri: `${place}?sig=abcdefgh` } } } };
    };
    const whole = { file: join(world.folder, 'code.yml') };
    const up = await go({ ...whole, jobName: 'one' }, code(false));
    assert.match(up.said, /^Uploaded 2 files \(1\.4 KB\)\.$/m);
    assert.deepEqual(sent.sort(), ['a.py', 'b.py']);
    const known = await go({ ...whole, jobName: 'two' }, code(true));
    assert.match(known.said, /^Code and data are unchanged: nothing was uploaded\.$/m);
    assert.equal(sent.length, 2);
    const none = await go({ jobName: 'three' });
    assert.doesNotMatch(none.said, /[Uu]ploaded/);
  });

  it('attaching: what the report and the last sentence say, and no warning that nobody needs', async () => {
    const good = await world.tell({ status: () => 'Completed' });
    assert.deepEqual([good.report?.['attempt'], good.report?.['how'], good.platform.warnings], [1, 'attached', []]);
    const gone = await world.tell({ status: () => undefined });
    assert.deepEqual(
      gone.platform.issues.map(({ code }) => code),
      ['JobNotFound'],
    );
    assert.match(gone.platform.issues[0]?.message ?? '', /^Input jobName: .*\nGive the name \(not the display name\)/);
    // The link to the studio is what a list of steps shows of a failure.
    for (const [status, words] of [
      ['Canceled', 'was cancelled in Azure'],
      ['Unknown', 'has been Unknown for too long'],
      ['', 'has been without a state for too long'],
    ] as const) {
      const bad = await world.tell({ status: () => status });
      assert.match(bad.outcome?.message ?? '', new RegExp(`^Job mine ${words}.* https://ml\\.azure\\.com/runs/mine\\?\\S+$`));
    }
  });

  it('a connection without a subscription is refused before anything is asked; a limit is in minutes', async () => {
    const { origin, ca } = world.azure.server;
    const connection: Inputs['connection'] = {
      azure: {
        ...{ name: 'arm', resourceManager: origin, authority: origin, tenantId: 't', clientId: 'c', ca },
        credential: { kind: 'secret', clientSecret: 'the-client-secret' },
      },
    };
    const { outcome, platform } = await world.tell({ inputs: { connection } });
    assert.equal(outcome?.result, 'Failed');
    assert.deepEqual(
      platform.issues.map(({ code }) => code),
      ['ConnectionUnusable'],
    );
    assert.match(platform.issues[0]?.message ?? '', /names no subscription.*\n.*not to a management group/);
    assert.equal(world.azure.server.asked.length, 0);
    const limited = await world.tell({ inputs: { limitMinutes: 5, onTimeout: 'leave' }, status: () => 'Running' });
    const waited = Number(limited.report?.['waitedMs']);
    assert.ok(waited >= 300_000 && waited < 302_000, `${waited}`);
  });
}).timeout(60_000);
