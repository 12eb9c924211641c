/** The story of RunAmlPipeline, told by each way a wait can end: never green unless the job has completed, and no job left that nobody knows of. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Inputs } from '../../tasks/RunAmlPipeline/inputs.js';
import { gone, isCancel, isJob, jobOf, references, refusal, storyOfTests } from '../support/aml-story.js';
import type { Asked, Reply } from '../support/https-server.js';

const minute = 60_000;

describe('the story of RunAmlPipeline', () => {
  const world = storyOfTests();

  const story = (given: Parameters<typeof world.tell>[0]) => world.tell(given);
  const endsAs =
    (status: string | undefined, at = 10 * minute) =>
    (age: number) =>
      age < at ? 'Running' : status;
  const submitting: Partial<Inputs> = { action: 'run', jobName: 'mine' };

  it('a job that has completed, and only that, is green', async () => {
    const good = await story({ status: endsAs('Completed') });
    assert.equal(good.outcome?.result, 'Succeeded', good.said);
    const { jobName, jobId, jobStatus, metrics, metricsFile = '' } = good.platform.outputs;
    assert.deepEqual([jobName, jobId, jobStatus, metrics], ['mine', '/jobs/mine', 'Completed', '{"auc":0.9}']);
    assert.equal(readFileSync(metricsFile, 'utf8'), '{"auc":0.9}');
    assert.deepEqual(good.platform.tags, ['aml:mine']);
    assert.ok(good.platform.secrets.has('the-client-secret'));
    for (const token of world.azure.tokens) assert.ok(good.platform.secrets.has(token));
    assert.equal(good.report?.['end'], 'completed');
    const release = await story({ status: endsAs('Completed'), host: 'release' });
    assert.deepEqual(release.platform.tags, []);
    const bad: [string | undefined, string, RegExp, string][] = [
      ['Failed', 'failed', /^Job mine failed \(unknown\)/, 'Failed'],
      ['Canceled', 'canceled', /was cancelled in Azure, not by this step/, 'Canceled'],
      ['Paused', 'paused', /is paused and nobody resumed it/, 'Paused'],
      ['NotResponding', 'stalled', /has been NotResponding for too long\. It may still run/, 'NotResponding'],
      [undefined, 'lost', /is not in workspace ws any more/, 'Running'],
    ];
    for (const [status, end, words, last] of bad) {
      const { outcome, platform, report, said, cancels } = await story({ status: endsAs(status) });
      assert.equal(outcome?.result, 'Failed', `${status}: ${said}`);
      assert.match(outcome?.message ?? '', words);
      assert.equal(platform.outputs['jobStatus'], last);
      assert.equal(platform.outputs['metrics'], undefined);
      assert.deepEqual([report?.['end'], platform.summaries.length, cancels], [end, 1, 0]);
      assert.equal(report?.['failure'] !== null, status === 'Failed');
      // The page says what the step says.
      const page = readFileSync(platform.summaries[0] ?? '', 'utf8');
      const told = (outcome?.message ?? '').replace(/ https:.*$/, '');
      assert.ok(status === 'Failed' ? /Failed \(unknown\)/.test(page) : page.replace(/\\/g, '').includes(told), page);
    }
    const failed = await story({ status: endsAs('Failed') });
    assert.deepEqual(
      failed.platform.issues.map(({ type, code }) => [type, code]),
      [['error', 'unknown']],
    );
  });

  it('its own time limit: red, the job cancelled or left, and what has become of it', async () => {
    const limit = { limitMinutes: 5 };
    const cases: [Partial<Inputs>, Reply | undefined, number, RegExp][] = [
      [{}, undefined, 1, /limit of 5 minutes .* was reached\. Job mine is being cancelled\./],
      [{}, gone, 1, /Job mine has ended meanwhile/],
      [{ onTimeout: 'leave' }, undefined, 0, /Job mine runs on\./],
      [{}, refusal(403), 1, /could not be cancelled and may run on: .*no/],
      [{}, refusal(409, 'not now'), 1, /could not be cancelled and may run on: .*not now/],
    ];
    for (const [more, reply, cancels, words] of cases) {
      const ended = await story({
        inputs: { ...limit, ...more },
        status: () => 'Running',
        manager: (asked) => (isCancel(asked) ? reply : undefined),
      });
      assert.equal(ended.outcome?.result, 'Failed', ended.said);
      assert.match(ended.outcome?.message ?? '', words);
      assert.equal(ended.cancels, cancels);
      assert.equal(ended.report?.['end'], 'limit');
    }
    // Cancelled while it asks for that: the job has not ended, so it is asked for again.
    let first = true;
    const torn = await story({
      inputs: limit,
      status: () => 'Running',
      manager: (asked, { abort }) => {
        if (!isCancel(asked) || !first) return undefined;
        first = false;
        abort.abort(new Error('cancelled'));
        return { reset: true };
      },
    });
    assert.deepEqual([torn.outcome, torn.cancels], [undefined, 2]);
    assert.match(torn.said, /Azure was asked to cancel job mine/);
  });

  it('a cancel in the wait ends the job, or leaves it and says so; a refused one is told', async () => {
    const inTheWait = (more: Partial<Inputs>, reply?: Reply) => {
      let looks = 0;
      return story({
        inputs: more,
        status: () => 'Running',
        manager: (asked, { abort }) => {
          if (isJob(asked) && ++looks === 2) abort.abort(new Error('cancelled'));
          if (isCancel(asked)) return reply;
          // What is known already needs no answer.
          return abort.signal.aborted ? { reset: true } : undefined;
        },
      });
    };
    const cases: [Partial<Inputs>, Reply | undefined, number, RegExp][] = [
      [{}, undefined, 1, /Cancelled: Azure was asked to cancel job mine/],
      [{ cancelWithPipeline: false }, undefined, 0, /Cancelled, but job mine runs on in Azure/],
      [
        {},
        refusal(403),
        1,
        /Job mine could not be cancelled in Azure \(.*no.*\)\. It may run on: .*studio\. Give the service principal .* the role/,
      ],
    ];
    for (const [more, reply, cancels, words] of cases) {
      const ended = await inTheWait(more, reply);
      assert.equal(ended.outcome, undefined, 'the agent says Canceled itself');
      assert.equal(ended.cancels, cancels);
      assert.match(ended.said, words);
      assert.deepEqual([ended.platform.attachments, ended.platform.issues], [[], []]);
    }
  });

  it('a cancel after the end leaves the job alone', async () => {
    for (const status of ['Completed', 'Failed', 'Canceled']) {
      const ended = await story({
        status: endsAs(status),
        manager: ({ path }, { abort }) => {
          if (/\/runs\/get$|\/details$/.test(path)) abort.abort(new Error('cancelled'));
          return undefined;
        },
      });
      // Nothing more is read of a job that was cancelled in Azure.
      if (status === 'Canceled') assert.equal(ended.outcome?.result, 'Failed');
      else {
        assert.equal(ended.outcome, undefined, ended.said);
        assert.match(ended.said, new RegExp(`Cancelled: job mine had already ended \\(${status}\\)`));
        assert.deepEqual(ended.platform.attachments, []);
      }
      assert.equal(ended.cancels, 0);
    }
  });

  it('a cancel in the submission asks until the job is there, four times, and says what is left', async () => {
    const whileSubmitting = (cancelWithPipeline: boolean, appearsAt: number) => {
      let asked = 0;
      let sent = false;
      return story({
        inputs: { ...submitting, file: join(world.folder, 'job.yml'), cancelWithPipeline },
        manager: (one, { abort }) => {
          if (one.method === 'PUT') {
            sent = true;
            abort.abort(new Error('cancelled'));
            return { reset: true };
          }
          if (isCancel(one)) return ++asked >= appearsAt ? { status: 202 } : gone;
          if (isJob(one)) return sent && ++asked >= appearsAt ? jobOf('Starting') : gone;
          return references(one);
        },
      });
    };
    for (const [cancels, at, words] of [
      [true, 3, /Azure was asked to cancel job mine/],
      [true, 4, /Azure was asked to cancel job mine/],
      [true, 5, /job mine does not exist in Azure; it had not been submitted/],
      [false, 2, /job mine runs on in Azure \(cancelWithPipeline is false\)/],
      [false, 5, /job mine does not exist in Azure/],
    ] as const) {
      const ended = await whileSubmitting(cancels, at);
      assert.equal(ended.outcome, undefined, ended.said);
      assert.match(ended.said, words);
      assert.equal(ended.cancels, cancels ? Math.min(at, 4) : 0);
    }
    // Before that there is nothing.
    const early = await story({
      inputs: { ...submitting, file: join(world.folder, 'job.yml') },
      manager: (one, { abort }) => {
        if (one.path.includes('/computes/')) abort.abort(new Error('cancelled'));
        return isJob(one) ? gone : references(one);
      },
    });
    assert.match(early.said, /Cancelled before a job was submitted/);
    assert.equal(early.cancels, 0);
  });

  it('submits and waits, submits only, attaches to its own job of an earlier attempt', async () => {
    let there: { status: string; properties: object } | undefined;
    const manager = (one: Asked): Reply | undefined => {
      if (one.method === 'PUT') {
        const { properties } = JSON.parse(one.body) as { properties: { properties: object } };
        there = { status: 'Starting', properties: properties.properties };
      }
      if (one.method === 'PUT' || isJob(one)) return there ? jobOf(there.status, { properties: there.properties }) : gone;
      return references(one);
    };
    const go = (action: Inputs['action'], status?: string) => {
      if (there && status) there.status = status;
      return story({ inputs: { action, file: join(world.folder, 'job.yml') }, manager });
    };
    const first = await go('submit');
    assert.deepEqual([first.outcome?.result, first.platform.outputs['jobStatus']], ['Succeeded', 'Starting'], first.said);
    assert.match(first.said, /Submitted job mine[^]*Not waiting for it/);
    const again = await go('run', 'Completed');
    assert.equal(again.outcome?.result, 'Succeeded', again.said);
    assert.match(again.said, /already submitted its job \(attempt 1, Completed\); attaching/);
    // A cancel ends the job of an earlier attempt as well: it is this run's.
    let looks = 0;
    if (there) there.status = 'Running';
    const torn = await story({
      inputs: { action: 'run', file: join(world.folder, 'job.yml') },
      manager: (one, { abort }) => {
        if (isJob(one) && ++looks === 2) abort.abort(new Error('cancelled'));
        return manager(one);
      },
    });
    assert.deepEqual([torn.outcome, torn.cancels], [undefined, 1], torn.said);
    // Somebody has resumed nothing: a submission that finds its job paused is not green.
    const paused = await go('submit', 'Paused');
    assert.deepEqual(paused.outcome, {
      result: 'Failed',
      message: `Job mine is already Paused. ${paused.platform.outputs['studioUrl']}`,
    });
    assert.equal(world.azure.authorized.filter(({ method }) => method === 'PUT').length, 1);
  });

  it('reads the file while it looks for its job, whose answer comes first all the same', async () => {
    const broken = join(world.folder, 'broken.yml');
    writeFileSync(broken, 'type: command\ncommand: 1\n');
    const go = (file: string, manager: (one: Asked) => Reply | Promise<Reply | undefined> | undefined) =>
      story({ inputs: { action: 'submit', file }, manager });
    // The job is there: the file has been good once, and what it holds now counts for nothing.
    let mine: object = {};
    const order: string[] = [];
    const whole = await go(join(world.folder, 'job.yml'), async (one) => {
      if (one.method === 'PUT') {
        mine = (JSON.parse(one.body) as { properties: { properties: object } }).properties.properties;
        return jobOf('Starting', { properties: mine });
      }
      if (isJob(one)) await new Promise((resolve) => setTimeout(resolve, 50));
      order.push(isJob(one) ? 'job' : 'other');
      return isJob(one) ? gone : references(one);
    });
    assert.equal(whole.outcome?.result, 'Succeeded', whole.said);
    assert.equal(order[0], 'job');
    assert.ok(order.includes('other'));
    writeFileSync(join(world.folder, 'mended.yml'), readFileSync(join(world.folder, 'job.yml')));
    let asked = 0;
    const first = await go(join(world.folder, 'mended.yml'), (one) => {
      if (one.method !== 'PUT') return isJob(one) ? gone : references(one);
      mine = (JSON.parse(one.body) as { properties: { properties: object } }).properties.properties;
      return jobOf('Starting', { properties: mine });
    });
    assert.equal(first.outcome?.result, 'Succeeded', first.said);
    writeFileSync(join(world.folder, 'mended.yml'), readFileSync(broken));
    const attached = await go(join(world.folder, 'mended.yml'), (one) => {
      if (!isJob(one)) asked++;
      return jobOf('Running', { properties: mine });
    });
    assert.match(attached.said, /already submitted its job \(attempt 1, Running\); attaching/);
    assert.deepEqual([attached.outcome?.result, asked], ['Succeeded', 0]);
    // No job: the file's faults. No answer: that.
    const wrong = await go(broken, (one) => (isJob(one) ? gone : undefined));
    assert.match(wrong.outcome?.message ?? '', /command/);
    assert.match(wrong.platform.issues[0]?.sourcePath ?? '', /broken\.yml$/);
    const refused = await go(broken, () => refusal(403));
    assert.match(refused.outcome?.message ?? '', /403|AuthorizationFailed/);
    assert.doesNotMatch(JSON.stringify(refused.platform.issues), /broken\.yml/);
  });

  it("asks for the service's own token while it looks up what the file names; one that is refused then is asked for again", async () => {
    const file = join(world.folder, 'steps.yml');
    writeFileSync(
      file,
      'type: pipeline\njobs:\n  one: { command: echo, environment: azureml:env:1, compute: azureml:cpu, type: command }\n',
    );
    for (const refused of [0, 1]) {
      world.azure.reset();
      const order: string[] = [];
      world.azure.signIn = (form) => {
        if (!form.get('scope')?.startsWith('https://ml.azure.com/')) return undefined;
        order.push('token');
        return order.length <= refused ? { status: 400, body: { error_description: 'AADSTS90033: transient.' } } : undefined;
      };
      const { outcome, said } = await story({
        inputs: { action: 'submit', file },
        manager: async (one) => {
          if (one.path.includes('/computes/')) {
            // The look-up is answered when the token has been asked for: who asks one after the other waits for ever.
            while (order.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
            order.push('compute');
          }
          if (one.method === 'PUT' && isJob(one)) {
            assert.ok(world.azure.tokens.includes(String(one.headers['x-azureml-token'])));
            return jobOf('Starting', {});
          }
          if (one.method === 'PUT') return { body: { id: one.path } };
          return isJob(one) ? gone : references(one);
        },
      });
      assert.equal(outcome?.result, 'Succeeded', said);
      assert.deepEqual(order, ['token', 'compute', 'token'].slice(0, 2 + refused));
    }
  });

  it('sends what it was asked for, under a name of its own for each, and finds it when the reply is lost', async () => {
    const file = join(world.folder, 'asked.yml');
    const outputs = 'inputs: {word: a}\noutputs: {model: {type: uri_folder}}\n';
    writeFileSync(
      file,
      `type: command\ntype: command\ncommand: echo \${{inputs.word}}\nenvironment: azureml:env:1\ncompute: azureml:cpu\n${outputs}`,
    );
    const names = new Set<string>();
    const send = async (more: Partial<Inputs>) => {
      let sent: { properties: Record<string, unknown> } | undefined;
      const ended = await story({
        inputs: { action: 'submit', file, jobName: undefined as never, ...more },
        manager: (one) => {
          if (one.method === 'PUT') {
            sent = JSON.parse(one.body) as typeof sent;
            names.add(one.path.split('/').at(-1) ?? '');
            return { reset: true };
          }
          if (!/\/jobs\/[^/]+$/.test(one.path)) return references(one);
          return sent ? jobOf('Starting', { properties: sent.properties['properties'] as object }) : gone;
        },
      });
      return { ...ended, sent: sent?.properties };
    };
    const asked = { tags: { team: 'x' }, jobInputs: { word: '0.10' }, overrides: ['limits.timeout=90'], displayName: 'shown' };
    const { sent, said, outcome, platform } = await send({ ...asked, experimentName: 'exp' });
    const twice = { type: 'warning', message: 'The key type stands twice; the last one counts.' };
    assert.deepEqual(platform.issues, [{ ...twice, sourcePath: file, line: 2, column: 1 }]);
    assert.equal(outcome?.result, 'Succeeded', outcome?.message);
    assert.match(said, /reply to the submission was lost/);
    assert.deepEqual(
      [sent?.['displayName'], sent?.['experimentName'], sent?.['limits']],
      ['shown', 'exp', { jobLimitsType: 'Command', timeout: 'PT1M30S' }],
    );
    assert.equal((sent?.['tags'] as Record<string, string>)['team'], 'x');
    assert.match(JSON.stringify(sent?.['inputs']), /"0\.10"/);
    // Steps without a name of their own are told apart by what they ask for.
    for (const more of [{}, { displayName: 'b' }, { jobInputs: { word: 'b' } }, { file: join(world.folder, 'job.yml') }])
      await send(more);
    assert.equal(names.size, 5);
    // A download that the job does not have is said before the job is sent.
    const wrong = await send({ action: 'run', downloadOutputs: ['modle'] });
    assert.match(wrong.outcome?.message ?? '', /no output "modle"/);
    assert.equal(wrong.sent, undefined);
  });

  it('puts large code where the same job, run again after it was killed, finds what lies there already', async () => {
    const file = join(world.folder, 'code.yml');
    mkdirSync(join(world.folder, 'code'));
    for (let n = 0; n < 33; n++) writeFileSync(join(world.folder, 'code', `${n}.py`), '');
    writeFileSync(file, 'type: command\ncommand: echo\ncode: code\nenvironment: azureml:env:1\ncompute: azureml:cpu\n');
    const placeOf = async (jobName: string) => {
      let place = '';
      await story({
        inputs: { action: 'submit', file, jobName },
        manager: (one) => {
          const code = /\/codes\/([^/]+)/.exec(one.path)?.[1];
          if (code) place ||= code;
          return code ? refusal(403) : /\/jobs\/[^/]+$/.test(one.path) ? gone : references(one);
        },
      });
      assert.notEqual(place, '');
      return place;
    };
    const [first, again, other] = [await placeOf('mine'), await placeOf('mine'), await placeOf('other')];
    assert.ok(first === again && first !== other);
  });

  it('what was asked for wrongly is said before the wait, and nothing is cancelled for it', async () => {
    const missing = await story({ status: () => undefined });
    assert.match(missing.outcome?.message ?? '', /no job named mine in workspace ws/);
    const unknown = await story({
      inputs: { downloadOutputs: ['modle'] },
      status: () => 'Running',
      job: { outputs: { model: {} } },
    });
    assert.match(unknown.outcome?.message ?? '', /no output "modle"/);
    assert.deepEqual([unknown.outcome?.result, unknown.cancels], ['Failed', 0]);
    assert.match(unknown.platform.issues[0]?.message ?? '', /Its outputs: model\./);
  });

  it('says that there is nothing to download, and that a name of several lines is one', async () => {
    const ended = await story({
      inputs: { downloadOutputs: ['all'], downloadPath: join(world.folder, 'fetched') },
      status: endsAs('Completed'),
      job: { displayName: 'good\nStudio: https://elsewhere.example/' },
    });
    assert.equal(ended.outcome?.result, 'Succeeded', ended.said);
    assert.match(ended.platform.warnings.join(), /has no outputs, so nothing was downloaded \(downloadOutputs: all\)/);
    assert.ok(ended.platform.lines.includes('Attached to job mine (good Studio: https://elsewhere.example/)'), ended.said);
  });

  it('an output that cannot be fetched is red, with the report of what is known', async () => {
    const ended = await story({
      inputs: { downloadOutputs: ['model'], downloadPath: join(world.folder, 'fetched') },
      status: endsAs('Completed'),
      job: { outputs: { model: { uri: 'azureml://datastores/store/paths/x/' } } },
      manager: ({ path }) => (path.endsWith('/datastores/store') ? refusal(403) : undefined),
    });
    assert.equal(ended.outcome?.result, 'Failed', ended.said);
    assert.match(ended.outcome?.message ?? '', /read datastore store/);
    assert.deepEqual([ended.report?.['end'], ended.report?.['metrics']], ['completed', { auc: 0.9 }]);
    assert.equal(existsSync(join(world.folder, 'fetched')), false);
    // Metrics that cannot be read are no reason.
    const blind = await story({
      status: endsAs('Completed'),
      manager: ({ path }) => (path.endsWith('/runs/get') ? refusal(403) : undefined),
    });
    assert.equal(blind.outcome?.result, 'Succeeded', blind.outcome?.message);
    assert.match(blind.platform.warnings.join(), /metrics could not be read/);
  });

  it('shows the whole log, the last line without an end included, also when the wait ends before the job', async () => {
    const log = 'one\n##vso[task.complete result=Succeeded]\nno end';
    const manager = ({ path }: Asked): Reply | undefined => {
      if (path.endsWith('/details'))
        return { body: { logFiles: { 'user_logs/std_log.txt': `${world.azure.server.origin}/log?sig=x` } } };
      return undefined;
    };
    const logAt = (asked: Asked): Reply | undefined => {
      if (asked.path !== '/log') return undefined;
      const from = Number(/bytes=(\d+)/.exec(String(asked.headers.range))?.[1]);
      if (from >= log.length) return { status: 416, headers: { 'Content-Range': `bytes */${log.length}` } };
      return {
        status: 206,
        headers: { 'Content-Range': `bytes ${from}-${log.length - 1}/${log.length}` },
        body: log.slice(from),
      };
    };
    world.azure.open = logAt;
    const wanted = ['[job] one', '[job] ##_vso[task.complete result=Succeeded]', '[job] no end'];
    for (const [status, more] of [
      [endsAs('Completed'), {}],
      [endsAs('Failed'), {}],
      [() => 'Running', { limitMinutes: 5 }],
    ] as const) {
      const { platform } = await story({ inputs: { streamLogs: 'all', ...more }, status, manager });
      assert.deepEqual(platform.foreignLines.slice(0, 3), wanted);
      const groups = platform.lines.filter((line) => /^\[(end)?group\]/.test(line));
      assert.ok(groups.length > 0 && groups.length % 2 === 0);
      groups.forEach((line, n) => assert.match(line, n % 2 === 0 ? /^\[group\] job/ : /^\[endgroup\]$/));
    }
    // A cancel ends the open group first: what becomes of the job must not be folded away in it.
    const cancelled = await story({
      inputs: { streamLogs: 'all' },
      status: () => 'Running',
      manager: (asked, platform) => {
        if (isJob(asked) && platform.foreignLines.length > 1) platform.abort.abort(new Error('cancelled'));
        return manager(asked);
      },
    });
    const { lines } = cancelled.platform;
    const end = lines.lastIndexOf('[endgroup]');
    assert.ok(end > lines.findLastIndex((line) => line.startsWith('[group]')), lines.join('\n'));
    assert.ok(end < lines.findIndex((line) => line.startsWith('Cancelled: ')), lines.join('\n'));
    assert.deepEqual(cancelled.platform.foreignLines.slice(0, 3), wanted);
  });
}).timeout(120_000);
