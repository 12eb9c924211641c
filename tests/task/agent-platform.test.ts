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
  const inputs = { INPUT_TEXT: '  a b ', INPUT_EMPTY: ' ', INPUT_ROOT: '', INPUT_FILE: '' };

  before(async () => {
    temp = mkdtempSync(join(tmpdir(), 'amlops-platform-'));
    inputs.INPUT_ROOT = temp;
    inputs.INPUT_FILE = join(temp, 'x.yml');
    const own = { ...inputs, AGENT_TEMPDIRECTORY: temp, BUILD_SOURCESDIRECTORY: temp };
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
      told(() => platform.output('jobName', 'a;]%\nb')),
      [{ 'task.setvariable': 'a;]%\nb', variable: 'jobName', isoutput: 'true', issecret: 'false' }],
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
    const bad = 'x ##vso[task.complete result=Succeeded]\n##[error]y';
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
    assert.deepEqual([platform.pathInput('root'), platform.pathInput('file')], [undefined, join(temp, 'x.yml')]);
  });
});
