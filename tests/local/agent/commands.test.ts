/** Every logging command, one line at a time: what the agent makes of it, and what it refuses (task-contract B.6.1, B.6.2, B.6.4). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandEngine } from '../../../local/agent/command-engine.js';
import { createJob, type AgentJob } from '../../../local/agent/run-task.js';
import { combineRestrictions } from '../../../local/agent/restrictions.js';
import { StepState } from '../../../local/agent/step-state.js';
import type { TaskDefinition } from '../../../local/agent/task-definition.js';
import type { CommandRestrictions, JobVariable, TaskRunResult } from '../../../local/agent/types.js';

const definition = { id: 'task-1', outputVariables: [{ name: 'Listed', description: '' }] } as unknown as TaskDefinition;
const record = '6f0e2f4b-1111-4222-8333-0123456789ab';

describe('logging commands', () => {
  let folder: string;
  let job: AgentJob;
  let state: StepState;
  let log: string[];
  const file = () => join(folder, 'a file.txt');

  const start = async (variables: Record<string, JobVariable> = {}): Promise<void> => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-commands-'));
    writeFileSync(file(), 'text');
    job = await createJob({
      workFolder: join(folder, '_work'),
      collection: { uri: 'https://localhost:1/', oidcRequestUri: 'https://localhost:1/oidctoken', accessToken: 'job-token-1' },
      endpoints: [{ id: 'arm-1', name: 'arm', url: 'https://a/', scheme: 'x', parameters: { Key: 'old-key-1' }, data: {} }],
      variables,
    });
  };
  afterEach(async () => {
    await job.finish();
    rmSync(folder, { recursive: true, force: true });
  });

  /** What a step is after it said these lines. */
  function said(
    lines: string | string[],
    target: CommandRestrictions = {},
    task = definition,
  ): TaskRunResult & { failed: boolean } {
    log = [];
    const print = (line: string): void => void log.push(job.masker.mask(line));
    state = new StepState(job, task, 'step', join(folder, 'kept'), print);
    const engine = new CommandEngine(state, combineRestrictions(task, target), print);
    for (const line of [lines].flat()) engine.line(line);
    return { ...state.result, failed: state.commandFailed };
  }
  /** Errors and warnings of a step that said this. */
  const issues = (lines: string | string[]): string[] => said(lines).issues.map(({ type, message }) => `${type}: ${message}`);
  const fails = (line: string, why: RegExp): void => {
    const result = said(line);
    assert.equal(result.failed, true, line);
    assert.equal(result.issueCounts.error, 2, line);
    assert.match(
      result.issues[0]?.message ?? '',
      /^Unable to process command '##vso\[.*' successfully\. Please reference/s,
      line,
    );
    assert.match(result.issues[1]?.message ?? '', why, line);
  };
  const fine = (lines: string | string[]): TaskRunResult => {
    const result = said(lines);
    assert.deepEqual([result.failed, result.issues], [false, []], JSON.stringify(lines));
    return result;
  };

  it('task.logissue: type decides, the place stands before the message, the result stays', async () => {
    await start();
    const one = said(
      `##vso[task.logissue type=error;sourcepath=${job.folders.sources}/src/a.py;linenumber=3;columnnumber=5;code=E1]m`,
    );
    assert.deepEqual(one.issues, [
      {
        type: 'error',
        message: 'src/a.py(3,5): error E1: m',
        sourcepath: 'src/a.py',
        linenumber: 3,
        columnnumber: 5,
        code: 'E1',
      },
    ]);
    assert.equal(state.outcome, undefined);
    // A place outside the sources stays as it was said, and so does one that is relative already.
    for (const path of [join(folder, 'x.py'), 'rel/x.py'])
      assert.equal(said(`##vso[task.logissue type=error;sourcepath=${path}]m`).issues[0]?.sourcepath, path);
    assert.equal(said('##vso[task.issue type=WARNING;]w').issues[0]?.message, 'w');
    assert.deepEqual(issues('##vso[task.logissue]x'), ["warning: Can't create TaskIssue from logging event."]);
    fails('##vso[task.logissue type=info]x', /info/);
    // A blank before a name is part of the name: the agent does not find it.
    assert.deepEqual(said('##vso[task.logissue type=error; code=E1]m').issues, [{ type: 'error', message: 'm' }]);
  });

  it('task.complete: words of the agent only, merged; task.setprogress never goes back', async () => {
    await start();
    for (const [words, result] of [
      [['Succeeded'], 'Succeeded'],
      [['SucceededWithIssues', 'Succeeded'], 'SucceededWithIssues'],
      [['Failed', 'Succeeded'], 'Failed'],
      [['Skipped', 'Failed'], 'Skipped'],
      [['2'], 'Failed'],
    ] as const) {
      fine(words.map((word) => `##vso[task.complete result=${word}]text`));
      assert.equal(state.outcome, result);
    }
    for (const word of ['Cancelled', 'succeeded', 'FAILED', '9'])
      fails(`##vso[task.complete result=${word}]`, /valid result value/);
    fails('##vso[task.complete]', /valid result value/);
    const steps = ['value=30]a', 'value=20]b', 'value=x]d', 'value=-40]f', ']e'];
    assert.deepEqual(fine(steps.map((rest) => `##vso[task.setprogress ${rest}`)).progress, { percent: 30, text: 'e' });
    assert.deepEqual(fine('##vso[task.complete result=Succeeded]over').progress, { percent: 100, text: 'over' });
    for (const value of [100, 101])
      assert.deepEqual(fine(`##vso[task.setprogress value=${value}]all`).progress, { percent: 100, text: 'all' });
  });

  it('task.setvariable: outputs, secrets, read-only ones, names as they are written', async () => {
    await start({ fixed: { value: '1', isReadOnly: true }, known: { value: 'old-secret-1', isSecret: true } });
    const set = (properties: string, value: string): TaskRunResult =>
      said(`##vso[task.setvariable variable=${properties}]${value}`);
    const variable = (name: string): JobVariable | undefined => {
      const found = job.variables.get(name);
      return found && { value: found.value, isSecret: found.isSecret ?? false, isReadOnly: found.isReadOnly ?? false };
    };
    assert.deepEqual(set('a.b;isOutput=true', 'x;y%3B%AZP25').outputVariables, { 'a.b': { value: 'x;y;%', isSecret: false } });
    assert.deepEqual(variable('step.a.b'), { value: 'x;y;%', isSecret: false, isReadOnly: true });
    assert.equal(variable('a.b'), undefined);
    assert.deepEqual(Object.keys(set('listed', 'x').outputVariables), ['listed']);
    set('token;isSecret=TRUE;isReadOnly=true', 'hidden-value-1');
    assert.deepEqual(variable('token'), { value: 'hidden-value-1', isSecret: true, isReadOnly: true });
    assert.equal(job.masker.mask('hidden-value-1'), '***');
    // Once secret, secret for good.
    set('known', 'new-secret-2');
    assert.equal(variable('known')?.isSecret, true);
    assert.equal(job.masker.mask('new-secret-2'), '***');
    assert.deepEqual(job.variables.toEnvironment()['SECRET_KNOWN'], 'new-secret-2');
    // Nor is what is read-only ever writable again; the names of the service are so without being told, and outputs are looked at too.
    for (const value of ['2', '3']) {
      assert.match(set('fixed', value).issues[0]?.message ?? '', /Overwriting readonly variable 'fixed'/);
      assert.deepEqual(variable('fixed'), { value, isSecret: false, isReadOnly: true });
    }
    for (const name of ['Agent.JobStatus', 'build.buildNumber', 'fixed;isOutput=true'])
      assert.match(set(name, 'x').issues[0]?.message ?? '', /^Overwriting readonly variable/, name);
    // An output has a name of its own: secret and read-only as it was called itself; one that task.json lists is not read-only.
    assert.deepEqual(set('known;isOutput=true', 'not a secret').outputVariables['known'], {
      value: 'not a secret',
      isSecret: false,
    });
    assert.deepEqual(variable('step.listed'), { value: 'x', isSecret: false, isReadOnly: false });
    set('hidden;isOutput=true;isSecret=true', 'hidden-value-3');
    assert.deepEqual(job.variables.toEnvironment()['SECRET_STEP_HIDDEN'], 'hidden-value-3');
    job.variables.set('agent.readOnlyVariables', { value: 'true' });
    fails('##vso[task.setvariable variable=token]3', /Overwriting readonly variable 'token' is not permitted/);
    fails('##vso[task.setvariable]x', /'variable' is missing/);
    fails('##vso[task.setvariable variable=s;isSecret=true]one%0Atwo', /multiple lines/);
    fails('##vso[task.settaskvariable variable=s;isSecret=true]one%0Atwo', /multiple lines/);
    // Only a command that says so: a variable that is secret already takes lines.
    fine('##vso[task.setvariable variable=known]line-three%0Aline-four');
    assert.equal(job.masker.mask('line-four'), '***');
    job.variables.set('SYSTEM_UNSAFEALLOWMULTILINESECRET', { value: 'true' });
    fine('##vso[task.setvariable variable=s;isSecret=true]line-one%0Aline-two');
    assert.equal(job.masker.mask('line-two'), '***');
    set('Mixed.Case;preserveCase=true', 'as written');
    assert.equal(job.variables.toEnvironment()['Mixed_Case'], 'as written');
    assert.equal(job.variables.toEnvironment()['MIXED_CASE'], undefined);
  });

  it('task.setsecret, task.debug, task.prependpath, task.settaskvariable', async () => {
    await start();
    fine(['##vso[task.setsecret]first-line%0D%0Asecond-line', '##vso[task.setsecret]']);
    assert.equal(job.masker.mask('a first-line b second-line'), 'a *** b ***');
    fine('##vso[task.debug]unseen');
    assert.deepEqual(log, []);
    job.variables.set('System.Debug', { value: 'TRUE' });
    fine(['##vso[task.debug]one%0Atwo', '##vso[task.setprogress value=1]x']);
    assert.deepEqual(log, ['##[debug]one', '##[debug]two', '##[debug]Processed: ##vso[task.setprogress value=1]x']);
    fine(['/one', '/two', ' /three ', '/one'].map((path) => `##vso[task.prependpath]${path}`));
    assert.deepEqual(job.prependedPaths, ['/two', ' /three ', '/one']);
    fails('##vso[task.prependpath]', /Path/);
    const set = (more: string): string => `##vso[task.settaskvariable variable=t;${more}]task-value-1`;
    fine(set('isSecret=true'));
    assert.equal(job.masker.mask('task-value-1'), '***');
    assert.deepEqual(issues([set('isReadOnly=true'), set('')]), [
      "warning: Overwriting readonly task variable 't'. This behavior will be disabled in the future.",
    ]);
    fails('##vso[task.settaskvariable]x', /'variable' is missing/);
  });

  it('files: attachments, summaries and uploads are looked for at once and read at the end', async () => {
    await start();
    const result = fine([
      `##vso[task.addattachment type=t;name=n.txt;]${file()}`,
      `##vso[task.uploadsummary]${file()}`,
      `##vso[build.uploadsummary]${file()}`,
      `##vso[task.uploadfile]${file()}`,
      `##vso[build.uploadlog]${file()}`,
    ]);
    const lost = state;
    job.variables.set('agent.forbidAttachments', { value: 'True' });
    assert.deepEqual(fine(`##vso[task.addattachment type=t;name=n;]${file()}`).attachments, []);
    job.variables.set('agent.forbidAttachments', { value: 'false' });
    fails(`##vso[task.addattachment type=a/b;name=n;]${file()}`, /type contains invalid characters/);
    fails(`##vso[task.addattachment type=t;name=a/b;]${file()}`, /name contains invalid characters/);
    for (const name of ['.', '..']) fails(`##vso[task.addattachment type=${name};name=n;]${file()}`, /type contains invalid/);
    fails(`##vso[task.addattachment name=n;]${file()}`, /'type' is missing/);
    fails(`##vso[task.addattachment type=t;name=n;]${file()}.none`, /does not exist/);
    fails('##vso[task.uploadsummary]', /does not exist/);
    for (const command of ['task.uploadsummary', 'task.uploadfile', 'task.addattachment type=t;name=n', 'build.uploadlog'])
      fails(`##vso[${command}]${folder}`, /invalid/);
    fails(`##vso[results.publish type=JUnit;resultFiles=${folder}]`, /invalid/);
    // The agent takes a path as it is written, from its own folder.
    fails(`##vso[task.uploadsummary] ${file()}`, /does not exist/);
    fine('##vso[task.uploadsummary]a file.txt');
    const linked = state.result;
    writeFileSync(file(), 'later');
    await job.finish();
    assert.deepEqual(
      result.attachments.map(({ type, name, path }) => [type, name, readFileSync(path, 'utf8')]),
      [['t', 'n.txt', 'later']],
    );
    assert.deepEqual([result.summaries.length, result.uploads.length, linked.summaries.length], [2, 2, 1]);
    assert.deepEqual(lost.result.problems, []);
  });

  it('artifacts and the build: only where there is one', async () => {
    await start();
    mkdirSync(join(folder, 'empty', 'all', 'the', 'way'), { recursive: true });
    const result = said([
      `##vso[artifact.upload containerfolder=drop;artifactname=drop]${file()}`,
      `##vso[artifact.upload artifactname=nothing]${join(folder, 'empty')}`,
      '##vso[artifact.associate artifactname=there;type=ignored]#/12/drop',
      '##vso[artifact.associate artifactname=share;artifacttype=filepath]\\\\server\\x',
      '##vso[build.addbuildtag] a tag ',
      '##vso[build.addbuildtag]a tag',
      '##vso[build.updatebuildnumber]20260101.5',
    ]);
    assert.deepEqual(
      result.artifacts.map(({ name, type }) => `${name} ${type}`),
      ['drop container', 'there container', 'share filepath'],
    );
    assert.match(result.issues[0]?.message ?? '', /is empty/);
    const types = ['\\\\server\\x', '$/project/x', '#/1/x'].map(
      (place) => fine(`##vso[artifact.associate artifactname=a]${place}`).artifacts[0]?.type,
    );
    assert.deepEqual(types, ['filepath', 'versioncontrol', 'container']);
    for (const place of ['', '/a/path', 'https://x/'])
      fails(`##vso[artifact.associate artifactname=a]${place}`, /infer the type/);
    fails('##vso[artifact.associate artifactname=a;artifacttype=FilePath]', /location is required/);
    fine('##vso[artifact.associate artifactname=a;artifacttype=own]');
    assert.deepEqual([result.buildTags, result.buildNumber], [['a tag'], '20260101.5']);
    fails(`##vso[artifact.upload artifactname=x]${file()}.none`, /does not exist/);
    if (process.platform !== 'win32') fails('##vso[artifact.upload artifactname=x]/dev/null', /neither a file nor a folder/);
    for (const name of ['..', '../x']) fails(`##vso[artifact.upload artifactname=${name}]${file()}`, /invalid characters/);
    fails(`##vso[artifact.upload]${file()}`, /'artifactname' is missing/);
    fails('##vso[build.addbuildtag] ', /required/);
    fails('##vso[build.updatebuildnumber]a/b', /not legal/);
    fails(`##vso[build.updatebuildnumber]${'1'.repeat(256)}`, /not legal/);
    fails('##vso[build.updatebuildnumber]1.', /not legal/);
    assert.equal(fine(`##vso[build.updatebuildnumber]${'1'.repeat(255)}`).buildNumber?.length, 255);
    fails('##vso[release.updatereleasename]x', /build/);
    job.variables.set('Build.ContainerId', { value: '' });
    fails(`##vso[artifact.upload artifactname=x]${file()}`, /ContainerId/);
    job.variables.set('System.HostType', { value: 'release' });
    for (const line of ['build.addbuildtag]x', `artifact.upload artifactname=x]${file()}`, 'build.updatebuildnumber]1'])
      fails(`##vso[${line}`, /release/);
    fine('##vso[release.updatereleasename]Release 7');
    assert.equal(state.result.releaseName, 'Release 7');
  });

  it('task.logdetail: records that hang together', async () => {
    await start();
    const child = record.replace('6f', '7f');
    const { timeline } = fine([
      `##vso[task.logdetail id=${record};name=outer;type=build;order=1;state=InProgress;progress=10]`,
      `##vso[task.logdetail id=${child};parentid=${record};name=inner;type=build;starttime=2026-01-01T00:00:00Z]`,
      `##vso[task.logdetail id=${record};state=Completed;result=Succeeded;progress=250]done`,
    ]);
    assert.deepEqual(timeline, [
      { id: record, type: 'build', name: 'outer', state: 'Completed', order: 1, progress: 100, result: 'Succeeded' },
      { id: child, parentId: record, type: 'build', name: 'inner', state: 'InProgress', startTime: '2026-01-01T00:00:00Z' },
    ]);
    fails(`##vso[task.logdetail id=${record};name=x]`, /'type' is missing/);
    fails(`##vso[task.logdetail id=${record};type=x]`, /'name' is missing/);
    fails('##vso[task.logdetail id=7;name=x;type=x]', /id/);
    fails(`##vso[task.logdetail id=${record};parentid=${child};name=x;type=x]`, /hasn't been created/);
    fails(`##vso[task.logdetail id=${record};name=x;type=Job]`, /'Job'/);
    // Words that are none: no state yet, and a success. What is open when the step ends, ends with it.
    const odd = fine(`##vso[task.logdetail id=${record};name=x;type=x;state=completed;result=Good]`);
    assert.deepEqual([odd.timeline[0]?.state, odd.timeline[0]?.result], ['Pending', 'Succeeded']);
    fine(`##vso[task.logdetail id=${record};name=x;type=x;progress=40]`);
    state.closeTimeline();
    const [{ state: ended, result, progress } = { state: '', result: '', progress: 0 }] = state.result.timeline;
    assert.deepEqual([ended, result, progress], ['Completed', 'Succeeded', 40]);
  });

  it('task.setendpoint: for later steps, the key masked, the job itself protected', async () => {
    await start();
    fine([
      '##vso[task.setendpoint id=ARM-1;field=authParameter;key=key]new-key-2',
      '##vso[task.setendpoint id=arm-1;field=dataParameter;key=d]data',
      '##vso[task.setendpoint id=arm-1;field=url]https://b.example/',
    ]);
    const [, arm] = job.endpoints;
    assert.deepEqual([arm?.url, arm?.parameters, arm?.data], ['https://b.example/', { Key: 'new-key-2' }, { d: 'data' }]);
    assert.equal(job.masker.mask('new-key-2'), '***');
    fails('##vso[task.setendpoint id=SystemVssConnection;field=url]https://evil/', /SystemVssConnection/);
    fails('##vso[task.setendpoint id=arm-1;field=name;key=x]x', /'field'/);
    fails('##vso[task.setendpoint id=arm-1]x', /'field'/);
    fails('##vso[task.setendpoint id=arm-1;field=url]', /valid value/);
    fails('##vso[task.setendpoint id=arm-1;field=authParameter]key-without-name', /'key'/);
    assert.equal(job.masker.mask('key-without-name'), '***', 'masked before anything can go wrong');
    fails('##vso[task.setendpoint id=arm-1;field=url]no address', /URL/i);
    fails('##vso[task.setendpoint id=other;field=url]https://x/', /other/);
  });

  it('what is no command is text, with a warning where it looks like one; group marks pass', async () => {
    await start();
    const text = ['##[group]Title', '##[endgroup]', '##[section]s', '##[command]c', 'plain ]', '##VSO[task.debug]x'];
    fine(text);
    assert.deepEqual(log, text);
    assert.match(issues('##vso[task]x')[0] ?? '', /^warning: .*not a legal command/);
    assert.match(issues('##vso [a.b]x')[0] ?? '', /^warning: .*not a legal command/);
    assert.match(issues('##vso[nosuch.thing]x')[0] ?? '', /^warning: Can't find command extension for ##vso\[nosuch\.thing\]/);
    fails('##vso[task.nosuch]x', /not a recognized command for task/);
    // Words of the language that the harness is written in are names like others.
    for (const event of ['constructor', 'toString', 'hasOwnProperty']) fails(`##vso[task.${event}]x`, /not a recognized command/);
    assert.match(issues('##vso[constructor.toString]x')[0] ?? '', /^warning: Can't find command extension/);
    const odd = said('##vso[task.setvariable variable=__proto__;isOutput=true]p');
    assert.deepEqual(Object.entries(odd.outputVariables), [['__proto__', { value: 'p', isSecret: false }]]);
  });

  it('escapes: percent signs are read back unless the job says no', async () => {
    await start();
    const value = (line: string): string | undefined => said(line).variables['v']?.value;
    const line = '##vso[task.setvariable variable=v]100%AZP25 %AZP253B%3B%0D%0A%5D%25';
    assert.equal(value(line), '100% %3B;\r\n]%25');
    for (const yes of ['true', 'True', '1', '']) {
      job.variables.set('DECODE_PERCENTS', { value: yes });
      assert.equal(value(line), '100% %3B;\r\n]%25', yes);
    }
    for (const no of ['false', 'FALSE', '0', 'no']) {
      job.variables.set('decode_percents', { value: no });
      assert.equal(value(line), '100%AZP25 %AZP253B;\r\n]%25', no);
    }
    // Read back or not, a secret is one in both spellings.
    fine('##vso[task.setsecret]half%AZP25percent');
    assert.deepEqual(
      ['half%AZP25percent', 'half%percent'].map((text) => job.masker.mask(text)),
      ['***', '***'],
    );
    assert.deepEqual(said('##vso[task.logissue type=error;code=%AZP25]m').issues, [
      { type: 'error', message: 'm', code: '%AZP25' },
    ]);
  });

  it('shows a command as it was written, on one line, when it is told of', async () => {
    await start({ 'System.Debug': { value: 'true' } });
    const lines = ['x ##vso[Task.SetVariable variable=a;]one%0Atwo', '##vso[task.nosuch]one%0Atwo', '##vso[task.debug]%0A'];
    said(lines);
    assert.deepEqual(
      log.filter((line) => line.includes('Processed')),
      lines.slice(0, 2).map((line) => `##[debug]Processed: ${line}`),
    );
    assert.ok(
      log.includes(
        `##[error]Unable to process command '${lines[1]}' successfully. Please reference documentation (http://go.microsoft.com/fwlink/?LinkId=817296)`,
      ),
    );
  });

  it('masks every part of an issue', async () => {
    await start({ key: { value: 'issue-secret-1', isSecret: true } });
    const [issue] = said(
      '##vso[task.logissue type=error;sourcepath=a/issue-secret-1.py;code=issue-secret-1]is issue-secret-1',
    ).issues;
    const message = 'a/***.py(,): error ***: is ***';
    assert.deepEqual(issue, { type: 'error', message, sourcepath: 'a/***.py', code: '***' });
  });

  it('restrictions: of the task, of the step, both; secrets are masked all the same', async () => {
    await start();
    const restricted = { commands: 'restricted' as const };
    for (const name of ['uploadsummary', 'uploadfile', 'addattachment', 'setendpoint']) {
      const result = said(`##vso[task.${name} type=t;name=n;id=arm-1;field=url]${file()}`, restricted);
      assert.match(result.issues[0]?.message ?? '', new RegExp(`##vso\\[task\\.${name}\\] is not allowed in this step`));
      assert.deepEqual([result.failed, result.commands], [false, {}]);
    }
    // What no agent knows fails a restricted step too.
    assert.equal(said('##vso[task.nosuch]x', restricted).failed, true);
    for (const name of ['artifact.upload', 'build.addbuildtag', 'results.publish'])
      assert.match(said(`##vso[${name}]x`, restricted).issues[0]?.message ?? '', /not allowed/);
    for (const name of ['task.setprogress', 'task.setsecret', 'task.debug', 'task.prependpath', 'telemetry.publish'])
      assert.deepEqual(said(`##vso[${name}]x-value`, restricted).issues, []);
    const listed = { ...definition, restrictions: { settableVariables: { allowed: ['job*', 'ok?'] } } };
    const one = (name: string, target: CommandRestrictions = {}): boolean =>
      Object.keys(said(`##vso[task.setvariable variable=${name};isSecret=true]value-of-${name}`, target, listed).variables)
        .length === 1;
    assert.deepEqual([one('JobName'), one('ok1'), one('ok'), one('path')], [true, true, false, false]);
    assert.deepEqual([one('jobName', { settableVariables: ['ok1'] }), one('ok1', { settableVariables: [] })], [false, false]);
    assert.match(state.result.issues[0]?.message ?? '', /Setting variable 'ok1' has been disabled/);
    // PATH is a variable too.
    assert.match(said('##vso[task.prependpath]/evil', {}, listed).issues[0]?.message ?? '', /'PATH' has been disabled/);
    assert.deepEqual(job.prependedPaths, ['x-value']);
    assert.equal(job.masker.mask('value-of-path'), '***');
  });
});
