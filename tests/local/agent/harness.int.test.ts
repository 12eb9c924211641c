/** What the agent makes of a task's words and deeds (task-contract B.11: the verified scenarios and the traps of B.5 to B.9). */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createJob, preferredHandler, runScriptIn, runTask, runTaskIn, type AgentJob } from '../../../local/agent/run-task.js';
import { setWritable } from '../../../local/agent/task-folder.js';
import type { JobOptions, TaskRunResult, TaskStep } from '../../../local/agent/types.js';

const fixture = join(import.meta.dirname, 'fixtures', 'Probe');
const quick = { sigint: 600, sigterm: 300, pipes: 300, done: 100, retryUnit: 1 };
const arm = {
  id: '11111111-2222-3333-4444-555555555555',
  name: 'arm-dev',
  url: 'https://localhost:1/',
  scheme: 'ServicePrincipal',
  parameters: { TenantId: 'tenant-1', ServicePrincipalId: 'client-id-1', ServicePrincipalKey: 'client-secret-1' },
  data: { subscriptionId: 'sub-1', environment: 'AzureCloud' },
};

describe('agent harness', function () {
  this.timeout(120_000);
  let workFolder: string;
  let log: string[];
  let jobs: AgentJob[];

  beforeEach(() => {
    workFolder = join(mkdtempSync(join(tmpdir(), 'amlops-agent-')), '_work');
    log = [];
    jobs = [];
  });
  afterEach(async () => {
    // A test that fails before its job is at its end leaves no server behind, which would keep mocha from ending.
    for (const job of jobs) await job.finish();
    setWritable(workFolder, true);
    rmSync(join(workFolder, '..'), { recursive: true, force: true });
  });

  const run = (scenario: string, more: Partial<JobOptions & TaskStep> = {}): Promise<TaskRunResult> =>
    runTask({
      from: fixture,
      name: 'Probe@1',
      workFolder,
      waits: quick,
      endpoints: [arm],
      step: 'probe',
      onLine: (line) => log.push(line),
      ...more,
      inputs: { scenario, ...more.inputs },
    });
  const start = async (options: JobOptions): Promise<AgentJob> => {
    const job = await createJob(options);
    jobs.push(job);
    return job;
  };
  const errors = (result: TaskRunResult): string[] =>
    result.issues.filter(({ type }) => type === 'error').map(({ message }) => message);

  it('reads words of both streams: outputs, issues, progress, tags, result', async () => {
    const result = await run('ok');
    assert.equal(result.result, 'SucceededWithIssues');
    assert.equal(result.exitCode, 0);
    assert.deepEqual(result.outputVariables, {
      'out.var': { value: 'a;b]c%d\n2nd', isSecret: false },
      listed: { value: 'listed value', isSecret: false },
    });
    assert.deepEqual(result.variables, { plain: { value: 'plain value', isSecret: false } });
    assert.deepEqual(result.progress, { percent: 100, text: 'done so' });
    assert.deepEqual(result.buildTags, ['tag one']);
    assert.deepEqual(result.issues[0], {
      type: 'warning',
      message: 'src/a.py(3,): warning E1: w;]%',
      sourcepath: 'src/a.py',
      linenumber: 3,
      code: 'E1',
    });
    assert.match(result.issues[1]?.message ?? '', /forbidden/);
    assert.ok(log.includes('from stderr') && log.includes('hello'));
    assert.ok(log.includes('##[section]Starting: Probe ok') && log.includes('##[section]Finishing: Probe ok'));
    assert.ok(!log.some((line) => line.includes('##vso[')));
  });

  for (const node of [20, 24] as const) {
    it(`builds the environment from an allow-list (Node ${node})`, async function () {
      process.env['AMLOPS_LEAKS_IN'] = '1';
      const result = await run('environment', {
        node,
        env: { MINE: 'is $(some.name) and $(none)' },
        inputs: { azureSubscription: 'arm-dev', text: '$(Some.Name)$(secret one)', file: 'jobs/a.yml' },
        variables: { 'some.name': { value: 'open' }, 'secret one': { value: 'closed-secret', isSecret: true } },
      }).finally(() => delete process.env['AMLOPS_LEAKS_IN']);
      // The environment was written to a file, secrets and all: the harness must have seen that.
      assert.equal(result.result, 'Failed');
      assert.match(result.problems[0] ?? '', /env\.json holds a secret/);
      const { env, version, cwd } = JSON.parse(readFileSync(result.attachments[0]?.path ?? '', 'utf8'));
      assert.equal(version.split('.')[0], `v${node}`);
      assert.equal(cwd, join(workFolder, '1', 's'));
      assert.equal(env.AMLOPS_LEAKS_IN, undefined);
      assert.equal(env.MINE, 'is open and $(none)');
      assert.equal(env.INPUT_TEXT, 'openclosed-secret');
      assert.equal(env.INPUT_FILE, join(cwd, 'jobs', 'a.yml'));
      assert.equal(env.INPUT_FOLDER, cwd, 'an empty path is the root of the sources');
      assert.equal(env.INPUT_CONNECTION, arm.id);
      assert.equal(env.SOME_NAME, 'open');
      assert.equal(env.SECRET_ONE, undefined);
      assert.equal(env.SECRET_SECRET_ONE, 'closed-secret');
      assert.deepEqual(JSON.parse(env.VSTS_SECRET_VARIABLES).sort(), ['System.AccessToken', 'secret one']);
      assert.equal(env[`ENDPOINT_AUTH_PARAMETER_${arm.id}_SERVICEPRINCIPALKEY`], 'client-secret-1');
      assert.equal(env[`ENDPOINT_DATA_${arm.id}_SUBSCRIPTIONID`], 'sub-1');
      assert.equal(env.TF_BUILD, 'True');
      assert.equal(env['agent.jobstatus'], 'Succeeded');
      assert.equal(env.NODE_EXTRA_CA_CERTS, env.AGENT_CAINFO);
      assert.match(env.SYSTEM_OIDCREQUESTURI, /^https:\/\/localhost:\d+\/.*oidctoken$/);
      assert.equal(env.SYSTEM_ACCESSTOKEN, undefined);
    });
  }

  it('masks in every encoding and fails what relied on it', async () => {
    const result = await run('secret');
    assert.equal(result.result, 'Failed');
    assert.match(result.problems[0] ?? '', /relied on masking/);
    assert.ok(!JSON.stringify([log, result]).includes('s3cr3t'));
    assert.match(log.find((line) => line.startsWith('url encoded')) ?? '', /^url encoded \*\*\* base64 .*\*\*\*/);
    assert.match((await run('late')).problems[0] ?? '', /the token is \*\*\*/);
    assert.equal((await run('hush')).result, 'Succeeded');
    assert.match(errors(await run('multiline')).join(), /multiple lines/);
  });

  it('finds a secret wherever a step lets it out, in whatever spelling', async () => {
    const secret = 'k3y/+of "the"&store=';
    const spellings: Record<string, string> = {
      raw: secret,
      json: JSON.stringify({ secret }),
      xml: secret.replaceAll('&', '&amp;').replaceAll('"', '&quot;'),
      uri: encodeURIComponent(secret),
      base64: Buffer.from(`user:${secret}`).toString('base64'),
    };
    const ways =
      'stdout stderr debug issue output variable progress tag unread summary attachment utf16 upload artifact results'.split(' ');
    const job = await start({
      workFolder,
      waits: quick,
      variables: { 'store key': { value: secret, isSecret: true } },
      onLine: (line) => log.push(line),
    });
    const all: [string, TaskRunResult][] = [];
    for (const [index, way] of ways.entries())
      for (const [spelling, text] of Object.entries(spellings)) {
        // Every way in one spelling, every spelling in some ways.
        if (spelling !== Object.keys(spellings)[index % 5] && !['stdout', 'summary'].includes(way)) continue;
        all.push([
          `${way} ${spelling}`,
          await runTaskIn(job, {
            from: fixture,
            inputs: { scenario: 'leaks', text: `${way} ${Buffer.from(text).toString('base64')}` },
          }),
        ]);
      }
    const clean = await runTaskIn(job, {
      from: fixture,
      inputs: { scenario: 'leaks', text: `stdout ${Buffer.from('store').toString('base64')}` },
    });
    await job.finish();
    for (const [what, { result, problems }] of all) {
      assert.equal(result, 'Failed', what);
      assert.match(problems.join(), /relied on masking|nothing masks a file/, what);
      assert.ok(!problems.join().includes('k3y'), what);
    }
    assert.deepEqual([clean.result, clean.problems], ['Succeeded', []]);
    assert.ok(
      !log.join('\n').includes('k3y'),
      log.find((line) => line.includes('k3y')),
    );
  });

  it('raises no false alarm for values that are short, common or no secrets', async () => {
    const values = { flag: 'true', count: '7', stage: 'production', region: 'westeurope', zeros: '000000' };
    const job = await start({
      workFolder,
      waits: quick,
      endpoints: [arm],
      variables: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, { value, isSecret: true }])),
      onLine: (line) => log.push(line),
    });
    const text = [
      ...Object.values(values),
      'client-id-1',
      'tenant-1',
      Buffer.from('true').toString('base64'),
      'ServicePrincipal',
    ].join('\n');
    const result = await runTaskIn(job, { from: fixture, inputs: { scenario: 'said', text, connection: 'arm-dev' } });
    await job.finish();
    assert.deepEqual([result.result, result.problems], ['Succeeded', []]);
    for (const line of ['***', 'tenant-1', 'ServicePrincipal']) assert.ok(log.includes(line), line);
    assert.ok(!log.includes('client-id-1') && !log.includes('production'), 'masked all the same');
  });

  it('names steps without a name, hands over secure files, and keeps both from forks', async () => {
    const file = { id: '99999999-2222-3333-4444-555555555555', name: 'key.pfx', ticket: 'ticket-of-file-1' };
    const job = await start({ workFolder, waits: quick, secureFiles: [file], onLine: (line) => log.push(line) });
    const set = (): Promise<TaskRunResult> => runTaskIn(job, { from: fixture, inputs: { scenario: 'ok' } });
    const named = () => job.variables.get('System.TaskInstanceName')?.value;
    const names: unknown[] = [];
    for (const step of [undefined, undefined, 'own', undefined]) {
      await runTaskIn(job, { from: fixture, inputs: { scenario: 'hush' }, ...(step ? { step } : {}) });
      names.push(named());
    }
    assert.deepEqual(names, ['Probe', 'Probe1', 'own', 'Probe2']);
    await set();
    assert.equal(job.variables.get('Probe3.listed')?.value, 'listed value');
    const given = await runTaskIn(job, { from: fixture, inputs: { scenario: 'environment', secret: 'key.pfx' } });
    await job.finish();
    const { env } = JSON.parse(readFileSync(given.attachments[0]?.path ?? '', 'utf8'));
    assert.deepEqual(
      [env.INPUT_SECRET, env[`SECUREFILE_NAME_${file.id}`], env[`SECUREFILE_TICKET_${file.id}`], env.TASK_PUBLISHTELEMETRY],
      [file.id, 'key.pfx', file.ticket, 'True'],
    );
    assert.equal(job.masker.mask(file.ticket), '***');
    await assert.rejects(run('ok', { inputs: { secret: 'other.pfx' } }), /secure file other\.pfx could not be found/);
    const fork = { 'System.RestrictSecrets': { value: 'true' }, 'System.PullRequest.IsFork': { value: 'True' } };
    for (const inputs of [{ secret: 'key.pfx' }, { azureSubscription: 'arm-dev' }] as Record<string, string>[]) {
      const refused = await run('ok', { inputs, secureFiles: [file], variables: fork });
      assert.deepEqual([refused.result, refused.exitCode, refused.outputVariables], ['Skipped', null, {}]);
      assert.match(refused.message ?? '', /forks are not allowed to access secrets/);
    }
    assert.equal((await run('ok', { variables: fork })).result, 'SucceededWithIssues');
    const open = await run('environment', { variables: { 'System.EnableAccessToken': { value: 'true' } } });
    const token = JSON.parse(readFileSync(open.attachments[0]?.path ?? '', 'utf8')).env;
    assert.ok(token.SYSTEM_ACCESSTOKEN && token.SECRET_SYSTEM_ACCESSTOKEN === undefined);
    assert.equal(token.SYSTEM_ACCESSTOKEN, token.ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN);
  });

  it('turns wrong words into failures', async () => {
    assert.equal((await run('cancelled')).result, 'Failed');
    const exited = await run('exit3');
    assert.equal(exited.result, 'Failed');
    assert.match(errors(exited)[0] ?? '', /^Exit code 3 returned from process: file name /);
    assert.match(errors(await run('oom')).join(), /Exit code 137 .*ran out of memory/s);
    const unknown = await run('unknown');
    assert.equal(unknown.result, 'Failed');
    assert.equal(unknown.issueCounts.error, 2);
    const area = await run('area');
    assert.equal(area.result, 'Succeeded');
    assert.equal(area.issueCounts.warning, 2);
    const many = await run('issues');
    assert.deepEqual([many.result, many.issues.length, many.issueCounts.error], ['Succeeded', 10, 15]);
  });

  it('collects attachments, summaries and artifacts, at the end of the job', async () => {
    const kept = await run('attachments');
    assert.equal(kept.result, 'Succeeded');
    assert.deepEqual(
      kept.attachments.map(({ type, name, path }) => [type, name, readFileSync(path, 'utf8')]),
      [['aml.run', 'a.json', '{}']],
    );
    assert.equal(readFileSync(kept.summaries[0] ?? '', 'utf8'), '# s');
    assert.deepEqual(readdirSync(kept.artifacts[0]?.path ?? ''), ['x.txt']);
    assert.match(errors(await run('missing')).join(), /file does not exist/);
    const early = await run('early');
    assert.equal(early.result, 'Failed');
    assert.match(early.problems[0] ?? '', /gone before the job's end/);
    assert.match((await run('leakingFile')).problems[0] ?? '', /holds a secret/);
    // Root writes where nobody may and is told of it afterwards; everybody else is stopped by the folder's mode.
    const home = await run('writesHome');
    assert.equal(home.result, 'Failed');
    assert.match([...home.problems, ...errors(home)].join(), /wrote into its own folder|EACCES/);
  });

  it('cancels with SIGINT, SIGTERM, SIGKILL; a time limit fails', async () => {
    const cancel = async (scenario: string): Promise<TaskRunResult> => {
      const abort = new AbortController();
      return await run(scenario, {
        signal: abort.signal,
        onLine: (line) => line === 'waiting' && setTimeout(() => abort.abort(), 50),
      });
    };
    const graceful = await cancel('graceful');
    assert.deepEqual([graceful.result, graceful.killedBy, graceful.exitCode], ['Canceled', 'SIGINT', 0]);
    assert.equal(graceful.outputVariables['listed']?.value, 'stopped');
    assert.deepEqual(errors(graceful), [
      'The Operation will be canceled. The next steps may not contain expected logs.',
      'The operation was canceled.',
    ]);
    const dies = await cancel('dies');
    assert.deepEqual([dies.result, dies.killedBy, dies.exitCode], ['Canceled', 'SIGINT', 130]);
    assert.equal((await cancel('terminated')).killedBy, 'SIGTERM');
    const deaf = await cancel('deaf');
    assert.deepEqual([deaf.result, deaf.killedBy, deaf.exitCode], ['Canceled', 'SIGKILL', 137]);
    // The job's variables say how long the agent waits.
    const variables = { PROCESS_SIGINT_TIMEOUT: { value: '100' }, process_sigterm_timeout: { value: '50' } };
    const hasty = await run('deaf', { timeoutMs: 3_000, variables, waits: { ...quick, sigint: 3_600_000, sigterm: 3_600_000 } });
    assert.deepEqual([hasty.result, hasty.killedBy, hasty.exitCode], ['Failed', 'timeout', 137]);
    const late = await run('deaf', { timeoutMs: 300 });
    assert.deepEqual([late.result, late.killedBy], ['Failed', 'timeout']);
    assert.deepEqual(errors(late), ['The task has timed out.']);
  });

  it('goes on without processes that were left behind', async () => {
    const done = await run('done');
    assert.equal(done.result, 'Succeeded');
    const job = await start({ workFolder, waits: quick });
    const child = await runTaskIn(job, { from: fixture, inputs: { scenario: 'child' } });
    assert.equal(child.result, 'Succeeded');
    const id = job.variables.get('VSTS_PROCESS_LOOKUP_ID')?.value ?? '';
    await job.finish();
    assert.ok(id.startsWith('vsts_'));
    // A killed process is in the list until the system has buried it.
    for (let turn = 0; turn < 100 && carriers(id).length > 0; turn += 1) await sleep(50);
    if (process.platform === 'linux') assert.deepEqual(carriers(id), []);
  });

  it('retries, and continues on error where asked', async () => {
    const again = await run('retry', { retryCountOnTaskFailure: 2 });
    assert.deepEqual([again.result, again.attempts, again.message], ['Succeeded', 2, 'second']);
    assert.equal((await run('exit3', { continueOnError: true })).result, 'SucceededWithIssues');
    // A command that went wrong is not forgotten by a retry; a time limit is not tried again.
    const bad = await run('retryAfterBadCommand', { retryCountOnTaskFailure: 1 });
    assert.deepEqual([bad.result, bad.attempts], ['Failed', 2]);
    const late = await run('dies', { timeoutMs: 300, retryCountOnTaskFailure: 3, continueOnError: true });
    assert.deepEqual([late.result, late.attempts, late.killedBy], ['SucceededWithIssues', 1, 'timeout']);
    // The agent looks at the task's own result only: a command that went wrong beside a success is no reason to try again.
    const unknown = await run('unknown', { retryCountOnTaskFailure: 2 });
    assert.deepEqual([unknown.result, unknown.attempts], ['Failed', 1]);
    // The limit is the step's, not an attempt's; it ends the wait between two as well.
    const waited = await run('retry', { timeoutMs: 3_000, retryCountOnTaskFailure: 1, waits: { ...quick, retryUnit: 600_000 } });
    assert.deepEqual([waited.result, waited.attempts, errors(waited)], ['Failed', 1, ['The task has timed out.']]);
    // `done=true` of an attempt that has ended says nothing of the next.
    const said = await run('retryAfterDone', { retryCountOnTaskFailure: 1, waits: { ...quick, done: 300 } });
    assert.deepEqual([said.result, said.attempts, said.outputVariables['listed']?.value], ['Succeeded', 2, 'said late']);
    // A result of Failed stays when the process failed beside it: what the next attempt says comes on top (agent: RetryHelper).
    const stuck = await run('retryAfterExit', { retryCountOnTaskFailure: 1 });
    assert.deepEqual([stuck.result, stuck.attempts, stuck.exitCode], ['Failed', 2, 0]);
    const freed = await run('retryAfterExit', { retryCountOnTaskFailure: 2 });
    assert.deepEqual([freed.result, freed.attempts], ['Succeeded', 3]);
    // One second before the first retry, four before the second; ten retries at most.
    log = [];
    const thrice = await run('exit3', { retryCountOnTaskFailure: 2 });
    assert.deepEqual([thrice.result, thrice.attempts, thrice.exitCode], ['Failed', 3, 3]);
    assert.deepEqual(
      log.filter((line) => line.includes('RetryHelper')).map((line) => line.replace(/ file name.*'/, '')),
      [1, 2].map(
        (n) =>
          `##[warning]RetryHelper encountered exception, will retry (attempt #: ${n} Exit code 3 returned from process:.) afer ${n * n} ms`,
      ),
    );
    assert.equal(thrice.issueCounts.error, 1, 'only the last attempt is an error');
    const often = await run('retry', { retryCountOnTaskFailure: 11 });
    assert.match(often.issues[0]?.message ?? '', /10 times at most/);
    const abort = new AbortController();
    const stopped = await run('exit3', {
      retryCountOnTaskFailure: 1,
      waits: { ...quick, retryUnit: 600_000 },
      signal: abort.signal,
      onLine: (line) => line.includes('RetryHelper') && abort.abort(),
    });
    assert.deepEqual([stopped.result, stopped.attempts], ['Canceled', 1]);
  });

  it('shares outputs, paths and secrets between the steps of a job', async () => {
    const job = await start({ workFolder, waits: quick, onLine: (line) => log.push(line) });
    await runTaskIn(job, { from: fixture, step: 'first', inputs: { scenario: 'ok' } });
    await runTaskIn(job, { from: fixture, step: 'quiet', inputs: { scenario: 'hush' } });
    const script = await runScriptIn(job, {
      file: process.execPath,
      args: [
        '-e',
        'const e = process.env; console.log(JSON.stringify([e.FIRST_OUT_VAR, e.LISTED, e.PLAIN, e.X, e.HUSH, e.SECRET_HUSH]))',
      ],
      env: { X: '$(first.listed)' },
    });
    await job.finish();
    assert.match(script.problems[0] ?? '', /relied on masking/); // it printed the secret of the step before
    assert.ok(log.includes('["a;b]c%d\\n2nd",null,"plain value","listed value",null,"***"]'));
    assert.equal(job.variables.get('hush')?.isSecret, true);
  });

  it('gives later steps the paths, read-only outputs and task variables of earlier ones, and nothing else', async () => {
    const job = await start({
      workFolder,
      waits: quick,
      onLine: (line) => log.push(line),
      variables: { PATH: { value: '/own' } },
    });
    const say = (step: string, ...lines: string[]): Promise<TaskRunResult> =>
      runTaskIn(job, { from: fixture, step, inputs: { scenario: 'said', text: lines.join('\n') } });
    const first = await say(
      'first',
      '##vso[task.prependpath]/one',
      '##vso[task.prependpath]/two',
      '##vso[task.setvariable variable=pl ain]now',
      '##vso[task.settaskvariable variable=kept]task value',
    );
    assert.equal(first.result, 'Succeeded');
    const report =
      'const e = process.env; console.log(JSON.stringify([e.PATH, e.PL_AIN, e.VSTS_TASKVARIABLE_KEPT, e.SYSTEM_TASKINSTANCENAME]))';
    await runScriptIn(job, { file: process.execPath, args: ['-e', report], step: 'script', env: { PATH: '/step' } });
    assert.ok(log.includes(JSON.stringify([['/two', '/one', '/own'].join(delimiter), 'now', null, 'script'])), log.join('\n'));
    const names = JSON.parse(job.variables.toEnvironment()['VSTS_PUBLIC_VARIABLES'] ?? '') as string[];
    assert.ok(names.includes('pl ain') && names.includes('Build.BuildId') && !names.includes('System.AccessToken'));
    await job.finish();
  });

  it('puts variables into each other when a step starts, and into connections when the job does', async () => {
    const job = await start({
      workFolder,
      waits: quick,
      endpoints: [{ ...arm, data: { ...arm.data, subscriptionName: 'sub of $(stage)' } }],
      onLine: (line) => log.push(line),
      variables: {
        stage: { value: 'dev' },
        'model name': { value: 'm-$(stage)-$(Build.SourceBranchName)' },
        loop: { value: '$(loop)' },
        address: { value: 'https://$(key)@host' },
        key: { value: 'key-of-the-store', isSecret: true },
      },
    });
    const say = (text: string): Promise<TaskRunResult> =>
      runTaskIn(job, { from: fixture, step: 'first', inputs: { scenario: 'said', text, connection: 'arm-dev' } });
    const first = await say(
      'step $(System.TaskInstanceName): $(model name) $(loop) $(none)\n##vso[task.setvariable variable=pl]$(stage)',
    );
    const warning = "Unable to expand variable 'loop'. A cyclical reference was detected.";
    assert.deepEqual(first.issues, [{ type: 'warning', message: warning }]);
    assert.ok(log.includes('step first: m-dev-main $(loop) $(none)'), log.join('\n'));
    // As it was set; the next step sees it with the other's value. The address became a secret by what it holds.
    job.variables.set('stage', { value: 'prod' });
    assert.equal(job.variables.get('pl')?.value, 'dev', 'an input: put in before the task said it');
    job.variables.set('pl', { value: 'is $(stage)' });
    const env = 'const e = process.env; console.log(JSON.stringify([e.PL, e.MODEL_NAME, e.ADDRESS, e.SECRET_ADDRESS.length]))';
    const script = await runScriptIn(job, { file: process.execPath, args: ['-e', env] });
    assert.ok(log.includes('["is prod","m-prod-main",null,29]'), log.join('\n'));
    assert.deepEqual(script.problems, []);
    assert.equal(job.masker.mask('https://key-of-the-store@host'), '***');
    assert.equal(job.endpoints.find(({ id }) => id === arm.id)?.data['subscriptionName'], 'sub of dev');
    await job.finish();
  });

  it('closes stdin, cuts lines as .NET does, and can run a faster clock', async () => {
    await run('stdin');
    await run('lines');
    await run('clock', { clock: { factor: 600 } });
    for (const line of ['stdin is closed', 'a', 'b', 'c', 'ä']) assert.ok(log.includes(line), line);
    assert.ok(log.some((line) => Number(/^waited (\d+) s$/.exec(line)?.[1]) >= 60));
    log = [];
    await run('clock', { clock: { skip: true } });
    assert.ok(log.includes('waited 60 s'), log.join());
  });

  it('takes the best handler whichever Node runs it', async () => {
    const task = join(workFolder, '..', 'Two');
    cpSync(fixture, task, { recursive: true });
    const definition = JSON.parse(readFileSync(join(task, 'task.json'), 'utf8'));
    writeFileSync(join(task, 'newer.js'), "console.log('newer on ' + process.version.split('.')[0])");
    definition.execution = {
      Node20_1: { target: 'index.js' },
      Node24: { target: '$(currentDirectory)/newer.js', workingDirectory: '.' },
    };
    writeFileSync(join(task, 'task.json'), JSON.stringify(definition));
    assert.equal((await run('ok', { from: task, node: 20 })).result, 'Succeeded');
    const [best, pinned] = [{ target: 'a' }, { target: 'b', platforms: ['Windows'] }];
    const handlers = { Node20_1: pinned, Node24: best, PowerShell3: pinned };
    assert.deepEqual(
      (['win32', 'linux', 'darwin'] as const).map((platform) => preferredHandler(handlers, platform)),
      [pinned, best, best],
    );
    assert.deepEqual(preferredHandler({ Node24: { target: 'a', platforms: ['linux'] }, Node20_1: best }, 'win32')?.platforms, [
      'linux',
    ]);
    assert.equal(preferredHandler({ Node16: best, Node20: best, PowerShell3: pinned }, 'win32'), undefined);
    assert.equal(preferredHandler({ Node20_1: pinned }, 'linux'), pinned, 'elsewhere platforms mean nothing');
    assert.ok(log.includes('newer on v20'), log.join('\n'));
  });

  it('refuses what the server refuses', async () => {
    await assert.rejects(run('ok', { inputs: { nosuch: '1' } }), /no input "nosuch"/);
    await assert.rejects(run('ok', { inputs: { connection: 'arm-nope' } }), /arm-nope could not be found/);
    await assert.rejects(run('hidden', { serverChecks: true }), /required inputs are missing: hidden/);
    assert.equal((await run('ok', { serverChecks: true })).result, 'SucceededWithIssues');
    const old = { 'Agent.Version': { value: '2.99.0' } };
    await assert.rejects(
      run('ok', { serverChecks: true, variables: old }),
      /needs an agent of version 2\.144\.0 or later; this is 2\.99\.0/,
    );
    await assert.rejects(run('ok', { name: 'Other@1' }), /no task Other@1.*Probe@1/);
    assert.ok(existsSync(workFolder));
  });
});

function carriers(id: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(id);
    } catch {
      return false;
    }
  });
}
