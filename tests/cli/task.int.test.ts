/** `amlops task` as a user calls it, without a workspace: connections filled in, result file, Ctrl+C. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import AdmZip from 'adm-zip';
import { Command } from 'commander';
import sinon from 'sinon';
import { register } from '../../cli/task.js';
import { fillInputs } from '../../local/agent/local-connections.js';
import type { TaskDefinition } from '../../local/agent/task-definition.js';
import { readConnectionFile } from '../../local/connection-file.js';
import { authority } from '../../local/tls.js';

const root = join(import.meta.dirname, '..', '..');
const probe = join(root, 'tests', 'local', 'agent', 'fixtures', 'Probe');

describe('amlops task', function () {
  this.timeout(60_000);
  let folder: string;
  let connection: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-cli-task-'));
    await authority(folder);
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const entry = (name: string, id: string) => ({
      name: `arm-${name}`,
      id: `aaaaaaaa-0000-4000-8000-00000000000${id}`,
      url: 'https://localhost:1',
      scheme: 'ServicePrincipal',
      tenantId: 't',
      clientId: `client-${name}`,
      clientSecret: `secret-of-${name}`,
      subscriptionId: 's',
    });
    connection = join(folder, 'connection.json');
    writeFileSync(
      connection,
      JSON.stringify({
        ...{
          resourceManager: 'https://localhost:1',
          authority: 'https://localhost:1',
          metadata: {},
          ca: 'ca.pem',
          tenantId: 't',
        },
        ...{ clientId: 'c', clientSecret: 'x', subscriptionId: 's' },
        workspaces: ['dev', 'prod'].map((name) => ({
          name,
          resourceGroup: `rg-${name}`,
          location: 'eastus',
          subscriptionId: 's',
        })),
        serviceConnections: [entry('dev', '1'), entry('prod', '2')],
        federation: { issuer: 'https://issuer', audience: 'a', keyFile: 'key.pem' },
      }),
    );
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const start = (more: string[]): { log: () => string; child: ReturnType<typeof spawn>; end: Promise<number> } => {
    const args = [
      '--import',
      'tsx',
      join(root, 'cli', 'amlops.ts'),
      'task',
      'Probe',
      '--from',
      probe,
      '--connection',
      connection,
    ];
    const child = spawn(process.execPath, [...args, '--workspace', 'dev', ...more], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    child.stdout.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
    return { log: () => log, child, end: new Promise((resolve) => child.once('close', (code) => resolve(code ?? -1))) };
  };

  it('runs a task and writes its result, kept files beside it', async () => {
    const file = join(folder, 'result.json');
    const run = start(['--input', 'scenario=attachments', '--result', file]);
    assert.equal(await run.end, 0);
    assert.match(run.log(), /##\[section\]Starting: Probe attachments/);
    const result = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual([result.result, result.exitCode, result.killedBy], ['Succeeded', 0, null]);
    assert.ok(result.summaries[0].startsWith(join(folder, 'result.files')) && existsSync(result.summaries[0]));
    assert.equal(await start(['--input', 'scenario=exit3']).end, 1);
  });

  /** The command in this process, for what ends before a job begins: exit code, standard error, standard output. */
  const refused = async (args: string[]): Promise<{ code: number; told: string; log: string }> => {
    let [told, log] = ['', ''];
    const streams = [
      sinon.stub(process.stderr, 'write').callsFake((text) => Boolean((told += String(text)))),
      sinon.stub(process.stdout, 'write').callsFake((text) => Boolean((log += String(text)))),
    ];
    const { TMPDIR: usual } = process.env;
    mkdirSync(join(folder, 'tmp'), { recursive: true });
    process.env['TMPDIR'] = join(folder, 'tmp');
    const program = new Command().exitOverride(() => {
      throw new Error('refused by its options');
    });
    register(program);
    try {
      await program.parseAsync(['task', ...args], { from: 'user' });
      return { code: Number(process.exitCode), told, log };
    } catch {
      return { code: 2, told, log }; // as cli/amlops.ts ends then
    } finally {
      for (const stream of streams) stream.restore();
      process.exitCode = undefined;
      if (usual === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = usual;
    }
  };

  it('refuses what cannot be: says what, where and what to do, and leaves nothing behind', async () => {
    const at = (...names: string[]): string => join(folder, ...names);
    const vsix = (name: string, entries: Record<string, string>): string => {
      const zip = new AdmZip();
      for (const [entry, text] of Object.entries(entries)) zip.addFile(entry, Buffer.from(text));
      zip.writeZip(at(name));
      return at(name);
    };
    writeFileSync(at('text.vsix'), 'text');
    vsix('none.vsix', { 'extension.vsomanifest': '{}' });
    vsix('null.vsix', { 'X/task.json': 'null' });
    vsix('half.vsix', { 'X/task.json': '{"name":' });
    vsix('damaged.vsix', { 'P/task.json': readFileSync(join(probe, 'task.json'), 'utf8') });
    const bytes = readFileSync(at('damaged.vsix'));
    writeFileSync(at('damaged.vsix'), bytes.fill(0, 60, 80));
    for (const name of ['A', 'B']) cpSync(probe, at('two', name), { recursive: true });
    cpSync(at('two'), at('majors'), { recursive: true });
    const second = at('majors', 'B', 'task.json');
    writeFileSync(second, readFileSync(second, 'utf8').replace('"Major": 1', '"Major": 2'));
    const usual = ['Probe', '--connection', connection, '--workspace', 'dev', '--input', 'scenario=ok'];
    const of = (...more: string[]): string[] => [...usual, '--from', probe, ...more];
    const from = (name: string): string[] => [...usual, '--from', at(name)];
    const missing = at('no', 'such');
    writeFileSync(at('lost-ca.json'), readFileSync(connection, 'utf8').replace('"ca.pem"', '"gone.pem"'));
    for (const [args, words] of [
      [from('text.vsix'), /text\.vsix is not a VSIX: .*\nGive a VSIX/],
      [from('none.vsix'), /none\.vsix holds no task Probe; there are: none\.\nGive a VSIX/],
      [from('null.vsix'), /null\.vsix!\/X\/task\.json is no task\.json: it has no name, no id, no version\.\nGive a VSIX/],
      [from('half.vsix'), /half\.vsix!\/X\/task\.json is not JSON: .*\nGive a VSIX/],
      [from('damaged.vsix'), /damaged\.vsix!\/P\/task\.json cannot be read: .*\nGive a VSIX/],
      [from('two'), /two holds 2 tasks Probe: .*A.task\.json, .*B.task\.json\.\nName the folder/],
      [from('majors'), /majors holds 2 tasks Probe: .*\nSay which: Probe@1 or Probe@2\./],
      [from('no'), /There is no task at .*no\.\nRun `npm run build`/],
      [['Other', ...of().slice(1)], /Probe holds no task Other; there are: Probe@1\./],
      [of('--secret', 'key=plain'), /--secret key: give the file as @FILE; .*\nFor example: --secret key=@/],
      [of('--secret', `key=@${missing}`), /--secret key: .*such cannot be read: ENOENT.*\nName a file/],
      [of('--retries', '1.5'), /'--retries <count>' .* "1\.5" is not a whole number from 0 on/],
      [of('--retries', '-1'), /'--retries <count>' .* "-1" is not a whole number from 0 on/],
      [of('--timeout', '0'), /'--timeout <minutes>' .* For no time limit, leave the option out/],
      [of('--timeout', 'Infinity'), /'--timeout <minutes>' .* "Infinity" is not a number above zero/],
      [of('--clock', 'slow'), /'--clock <factor>' .* "slow" is not a number above zero/],
      [of('--connection', missing), /such: there is no such file\.\nStart `amlops up`/],
      [of('--connection', at('lost-ca.json')), /The CA file .*gone\.pem cannot be read: ENOENT.*\nStart `amlops up` again/],
      [usual.filter((_, index) => index < 3 || index > 4), /required option '--workspace <name>' not specified/],
      [of('--workspace', 'nope'), /There is no workspace nope; there are: dev, prod\./],
      [of('--input', 'nosuch=1'), /Probe@1 has no input "nosuch"\.\nIts inputs are: scenario, /],
      [
        of('--input', 'connection=arm-no'),
        /Input connection: the service connection arm-no could not be found\.\nService connections here: arm-dev, arm-prod\.\n/,
      ],
      [of('--root', missing), /--root .*such: there is no such folder\.\nName the folder/],
      [of('--root', connection), /--root .*: there is no such folder/],
      [of('--result', join(connection, 'result.json')), /--result .* cannot be written: /],
      [of('--result', folder), /--result .* cannot be written: it is a folder/],
    ] as [string[], RegExp][]) {
      const { code, told, log } = await refused(args);
      assert.match(told, words);
      assert.deepEqual([code, log], [2, ''], told);
    }
    assert.equal(await start(['--input', 'nosuch=1']).end, 2, 'refused when the job serves already: it ends all the same');
    assert.equal(existsSync(missing), false, 'nothing is made');
    assert.deepEqual(readdirSync(at('tmp')), []);
  });

  it('cancels as the agent does when it is interrupted', async () => {
    const file = join(folder, 'canceled.json');
    const run = start(['--input', 'scenario=graceful', '--result', file]);
    await new Promise<void>((resolve) => run.child.stdout?.on('data', () => run.log().includes('waiting') && resolve()));
    run.child.kill('SIGINT');
    assert.equal(await run.end, 1);
    const result = JSON.parse(readFileSync(file, 'utf8'));
    assert.deepEqual([result.result, result.killedBy, result.outputVariables.listed.value], ['Canceled', 'SIGINT', 'stopped']);
  });

  it('fills in what the workspace and the target imply', () => {
    const file = readConnectionFile(connection);
    const names =
      'azureSubscription resourceGroupName workspaceName sourceRegistry targetAzureSubscription targetResourceGroupName targetWorkspaceName targetRegistry';
    const definition = { inputs: names.split(' ').map((name) => ({ name, label: name, type: 'string' })) } as TaskDefinition;
    const source = { azureSubscription: 'arm-dev', resourceGroupName: 'rg-dev', workspaceName: 'dev' };
    const target = { targetAzureSubscription: 'arm-prod', targetResourceGroupName: 'rg-prod', targetWorkspaceName: 'prod' };
    assert.deepEqual(fillInputs(definition, {}, file, 'dev'), source);
    assert.deepEqual(fillInputs(definition, { targetWorkspaceName: 'prod' }, file, 'dev'), { ...source, ...target });
    assert.deepEqual(fillInputs(definition, { targetWorkspaceName: 'prod', sourceRegistry: 'shared' }, file, 'dev'), {
      ...target,
      sourceRegistry: 'shared',
    });
    assert.deepEqual(fillInputs(definition, { azureSubscription: '' }, file, 'dev'), { azureSubscription: '' });
    assert.deepEqual(fillInputs(definition, { workspaceName: 'prod' }, file, 'dev'), {
      ...source,
      workspaceName: 'prod',
      resourceGroupName: 'rg-prod',
    });
    assert.throws(
      () => fillInputs(definition, { targetWorkspaceName: 'nope' }, file, 'dev'),
      /no workspace nope; there are: dev, prod/,
    );
  });
});
