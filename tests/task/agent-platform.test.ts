/** What a task says to the agent, word for word: commands, escapes, secrets, and that its own text is never a command. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCommand } from '../../local/agent/command.js';
import { agentPlatform, type AgentPlatform } from '../../src/task/agent-platform.js';

describe('the agent as a platform', () => {
  let temp: string;
  let platform: AgentPlatform;
  const id = '1111-22';
  const endpoint = {
    [`ENDPOINT_AUTH_${id}`]: JSON.stringify({
      scheme: 'ServicePrincipal',
      parameters: { TenantId: 't-1', serviceprincipalid: 'c-1' },
    }),
    [`ENDPOINT_AUTH_SCHEME_${id}`]: 'ServicePrincipal',
    ENDPOINT_AUTH_SCHEME_NOURL: 'ServicePrincipal',
    [`ENDPOINT_AUTH_PARAMETER_${id}_TENANTID`]: 't-1',
    [`ENDPOINT_AUTH_PARAMETER_${id}_SERVICEPRINCIPALKEY`]: 'key-of-endpoint',
  };
  const inputs = { INPUT_TEXT: '  a b ', INPUT_EMPTY: ' ', INPUT_ROOT: '', INPUT_FILE: '' };

  before(async () => {
    temp = mkdtempSync(join(tmpdir(), 'amlops-platform-'));
    inputs.INPUT_ROOT = temp;
    inputs.INPUT_FILE = join(temp, 'x.yml');
    const own = { ...inputs, ...endpoint, AGENT_TEMPDIRECTORY: temp, BUILD_SOURCESDIRECTORY: temp };
    Object.assign(process.env, own);
    // It takes the process's last resorts away; this process has its own.
    const events = ['uncaughtException', 'unhandledRejection'] as const;
    const kept = events.map((event) => [event, process.listeners(event as 'uncaughtException')] as const);
    platform = await agentPlatform(new AbortController().signal);
    for (const [event, listeners] of kept) {
      assert.equal(process.listenerCount(event), 0);
      for (const listener of listeners) process.on(event, listener as () => void);
    }
    for (const name of Object.keys(own)) delete process.env[name];
    process.env['BUILD_SOURCESDIRECTORY'] = temp;
  });
  after(() => {
    delete process.env['BUILD_SOURCESDIRECTORY'];
    rmSync(temp, { recursive: true, force: true });
  });

  /** Lines that `body` writes to standard output. */
  function lines(body: () => void): string[] {
    const own = process.stdout.write.bind(process.stdout);
    let text = '';
    process.stdout.write = (chunk: string) => ((text += chunk), true);
    try {
      body();
    } finally {
      process.stdout.write = own;
    }
    return text.split('\n').slice(0, -1);
  }
  const told = (body: () => void) =>
    lines(body).map((line) => {
      const command = parseCommand(line);
      return command ? { [`${command.area}.${command.event}`]: command.data, ...Object.fromEntries(command.properties) } : line;
    });

  it('marks a secret output as secret, after it was registered, and no other', () => {
    assert.deepEqual(
      told(() => platform.output('token', 'value-of-token;]%', { secret: true })),
      [
        { 'task.setsecret': 'value-of-token;]%' },
        { 'task.setvariable': 'value-of-token;]%', variable: 'token', isoutput: 'true', issecret: 'true' },
      ],
    );
    assert.deepEqual(
      told(() => platform.output('jobName', 'as long as a secret;]%\nb')),
      [{ 'task.setvariable': 'as long as a secret;]%\nb', variable: 'jobName', isoutput: 'true', issecret: 'false' }],
    );
  });

  it('registers a secret once, line by line, and none that would ruin the log', () => {
    assert.deepEqual(
      told(() => platform.secret('-----BEGIN KEY-----\r\nfirst-line\nsecond-line\n\nabcde\n-----END KEY-----')),
      [{ 'task.setsecret': 'first-line' }, { 'task.setsecret': 'second-line' }],
    );
    assert.deepEqual(
      told(() => platform.secret('first-line')),
      [],
    );
    assert.deepEqual(
      told(() => platform.secret('sixsix')),
      [{ 'task.setsecret': 'sixsix' }],
    );
  });

  it('lets no text become a command', () => {
    const bad = '\u001b[31mx ##vso[task.complete result=Succeeded]\n##[error]y';
    for (const say of [
      () => platform.info(bad),
      () => platform.foreign(bad),
      () => platform.beginGroup(bad),
      () => platform.warn(bad),
      () => platform.progress(5, bad),
      () => platform.buildTag(bad),
      () => platform.issue({ type: 'error', message: bad, code: bad, sourcePath: `a]${bad}`, line: 3, column: 4 }),
      () => platform.publishJUnit('r.xml', bad),
      () => platform.complete('Failed', bad),
    ]) {
      const said = lines(say);
      assert.ok(said.length > 0);
      for (const line of said) {
        const command = parseCommand(line);
        assert.notEqual(
          `${command?.area}.${command?.event} ${command?.properties.get('result')}`,
          'task.complete Succeeded',
          line,
        );
        assert.ok(!line.startsWith('##[error]'), line);
        // What the agent shows of a command is as clean as any other line.
        const shown = command ? `${command.data} ${command.properties.get('runtitle') ?? ''}` : line.replace(/^##\[group\]/, '');
        assert.doesNotMatch(shown, /\u001b|##vso|##\[/i, line);
      }
    }
  });

  it('fails with an error of its own only when none was raised', () => {
    // The test before raised one.
    assert.deepEqual(
      told(() => platform.complete('Failed', 'it broke')),
      [{ 'task.complete': 'it broke', result: 'Failed' }],
    );
    assert.deepEqual(
      told(() => platform.progress(250.4, 'far')),
      [{ 'task.setprogress': 'far', value: '100' }],
    );
    assert.deepEqual(
      told(() => platform.attach('t', 'a/b:c', '/p')),
      [{ 'task.addattachment': '/p', type: 't', name: 'a_b_c' }],
    );
  });

  it('reads inputs as they were meant: trimmed, blank as absent, the root of the sources as no path', () => {
    assert.deepEqual(
      ['text', 'empty', 'none'].map((name) => platform.input(name)),
      ['a b', undefined, undefined],
    );
    // The library would tell each of them in a debug line.
    assert.deepEqual(
      lines(() => [platform.input('text'), platform.variable('Agent.TempDirectory'), platform.endpoint(id)]),
      [],
    );
    assert.deepEqual(
      ['root', 'file', 'none'].map((name) => platform.pathInput(name)),
      [undefined, join(temp, 'x.yml'), undefined],
    );
    process.env['BLANK_ONE'] = '';
    process.env['SOME_ONE'] = 'x';
    assert.deepEqual(
      [platform.variable('blank.one'), platform.variable('Some.One'), platform.variable('no.one')],
      [undefined, 'x', undefined],
    );
    for (const name of ['BLANK_ONE', 'SOME_ONE']) delete process.env[name];
    process.env['AGENT_TEMPDIRECTORY'] = temp;
    assert.equal(platform.temp, temp);
    delete process.env['AGENT_TEMPDIRECTORY'];
  });

  it('reads a service connection with the keys that it is asked by, whatever their case, and none that lacks an address or a scheme', () => {
    const data = {
      // The library keeps the secrets for itself when it is loaded; these stay where they are.
      [`ENDPOINT_URL_${id}`]: 'https://management.test/',
      ENDPOINT_URL_NOSCHEME: 'https://management.test/',
      [`ENDPOINT_DATA_${id}_SUBSCRIPTIONID`]: 'sub',
      [`endpoint_data_${id}_environment`]: 'AzureCloud',
      ENDPOINT_DATA_OTHER_X: 'no',
    };
    Object.assign(process.env, data);
    try {
      assert.deepEqual(platform.endpoint(id), {
        id,
        url: 'https://management.test/',
        scheme: 'ServicePrincipal',
        parameters: { tenantid: 't-1', serviceprincipalid: 'c-1', serviceprincipalkey: 'key-of-endpoint' },
        data: { subscriptionid: 'sub', environment: 'AzureCloud' },
      });
      for (const none of ['nobody', 'NOSCHEME', 'NOURL']) assert.equal(platform.endpoint(none), undefined);
    } finally {
      for (const name of Object.keys(data)) delete process.env[name];
    }
  });

  it('keeps debug lines to itself unless they are asked for', async () => {
    assert.deepEqual(
      told(() => platform.debug('quiet')),
      [],
    );
    process.env['SYSTEM_DEBUG'] = 'True';
    try {
      const loud = await agentPlatform(new AbortController().signal);
      assert.deepEqual(
        told(() => loud.debug('one\n##vso[task.complete result=Succeeded]')),
        [{ 'task.debug': 'one' }, { 'task.debug': '##_vso[task.complete result=Succeeded]' }],
      );
    } finally {
      delete process.env['SYSTEM_DEBUG'];
    }
  });

  it('says the error of a failed step once, and the place of an issue below the root', async () => {
    const fresh = await agentPlatform(new AbortController().signal);
    assert.deepEqual(
      told(() => fresh.warn('one\ntwo')),
      [{ 'task.logissue': 'one\ntwo', type: 'warning' }],
    );
    const shown = told(() => {
      fresh.issue({ type: 'warning', message: 'careful' });
      fresh.complete('Failed', 'it broke');
    });
    assert.deepEqual(shown, [
      { 'task.logissue': 'careful', type: 'warning' },
      { 'task.logissue': 'it broke', type: 'error' },
      { 'task.complete': 'it broke', result: 'Failed' },
    ]);
    assert.deepEqual(
      told(() =>
        fresh.issue({ type: 'error', message: 'm', sourcePath: join(temp, 'a', 'b.py'), line: 3, column: 4, code: 'c' }),
      ),
      [{ 'task.logissue': 'm', type: 'error', sourcepath: 'a/b.py', linenumber: '3', columnnumber: '4', code: 'c' }],
    );
    assert.deepEqual(
      told(() => fresh.progress(-3.2, 'x')),
      [{ 'task.setprogress': 'x', value: '0' }],
    );
  });

  it('hands over files and tags by the commands for them', () => {
    const junit = {
      type: 'JUnit',
      mergeresults: 'false',
      runtitle: 'a b',
      publishrunattachments: 'false',
      resultfiles: '/r.xml',
    };
    assert.deepEqual(
      told(() => [platform.summary('/p a.md'), platform.buildTag(' aml:a\n'), platform.publishJUnit('/r.xml', 'a\nb')]),
      [{ 'task.uploadsummary': '/p a.md' }, { 'build.addbuildtag': 'aml:a' }, { 'results.publish': '', ...junit }],
    );
    // Where no sources are known, a path is of the folder that the agent works in.
    const { BUILD_SOURCESDIRECTORY: sources } = process.env;
    delete process.env['BUILD_SOURCESDIRECTORY'];
    process.env['SYSTEM_DEFAULTWORKINGDIRECTORY'] = temp;
    try {
      assert.deepEqual(
        told(() => platform.issue({ type: 'error', message: 'm', sourcePath: join(temp, 'a.py') })),
        [{ 'task.logissue': 'm', type: 'error', sourcepath: 'a.py' }],
      );
    } finally {
      delete process.env['SYSTEM_DEFAULTWORKINGDIRECTORY'];
      process.env['BUILD_SOURCESDIRECTORY'] = sources;
    }
  });

  it('ends a group also when what is in it fails', async () => {
    const written: string[] = [];
    const own = process.stdout.write.bind(process.stdout);
    process.stdout.write = (chunk: string) => written.push(chunk) > 0;
    try {
      await assert.rejects(
        platform.group('g', () => Promise.reject(new Error('inside'))),
        /inside/,
      );
    } finally {
      process.stdout.write = own;
    }
    assert.deepEqual(written, ['##[group]g\n', '##[endgroup]\n']);
  });

  it('closes a group after what is in it, and gives what that gives', async () => {
    const written: string[] = [];
    const own = process.stdout.write.bind(process.stdout);
    process.stdout.write = (chunk: string) => written.push(chunk) > 0;
    try {
      const body = async () => {
        await new Promise((resolve) => setImmediate(resolve));
        platform.info('inside');
        return 7;
      };
      assert.equal(await platform.group('g', body), 7);
    } finally {
      process.stdout.write = own;
    }
    assert.deepEqual(written, ['##[group]g\n', 'inside\n', '##[endgroup]\n']);
  });

  it('waits for an agent that reads slowly until it has read, or cancels', async () => {
    const abort = new AbortController();
    const slow = await agentPlatform(abort.signal);
    const pause = () => new Promise((resolve) => setImmediate(resolve));
    const stream = process.stdout as unknown as { writableNeedDrain?: boolean };
    const own = Object.getOwnPropertyDescriptor(stream, 'writableNeedDrain');
    const before = process.stdout.listenerCount('drain');
    const waiting = async (end: () => unknown) => {
      let taken = false;
      const wait = slow.taken().then(() => (taken = true));
      await pause();
      assert.equal(taken, false);
      end();
      await wait;
      assert.equal(process.stdout.listenerCount('drain'), before);
    };
    try {
      await slow.taken();
      Object.defineProperty(stream, 'writableNeedDrain', { value: true, configurable: true });
      await waiting(() => process.stdout.emit('drain'));
      await waiting(() => abort.abort());
      // After the cancel nothing is waited for.
      await slow.taken();
    } finally {
      delete stream.writableNeedDrain;
      if (own) Object.defineProperty(stream, 'writableNeedDrain', own);
    }
  });

  it('is flushed when both streams have given away what they held, not before', async () => {
    const streams = [process.stdout, process.stderr];
    const own = streams.map((stream) => stream.write.bind(stream));
    const held: (() => void)[] = [];
    let flushed = false;
    try {
      // What an agent that reads slowly does to a pipe.
      for (const stream of streams) stream.write = (_chunk: unknown, done?: unknown) => held.push(done as () => void) < 0;
      const flush = platform.flush().then(() => (flushed = true));
      const pause = () => new Promise((resolve) => setImmediate(resolve));
      for (const count of [2, 1]) {
        await pause();
        assert.deepEqual([held.length, flushed], [count, false]);
        held.shift()?.();
      }
      await flush;
    } finally {
      streams.forEach((stream, n) => (stream.write = own[n]!));
    }
    assert.equal(flushed, true);
  });
});
