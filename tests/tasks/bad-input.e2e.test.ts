/**
 * Bad input as users give it, through the packed task: one message that names the input, the place and the fix; nothing submitted, nothing
 * registered, no secret in the log in any encoding (the harness reads the unmasked output for them).
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { agentEndpoints, fillInputs } from '../../local/agent/local-connections.js';
import { createJob, runTaskIn } from '../../local/agent/run-task.js';
import { setWritable, unpackTask } from '../../local/agent/task-folder.js';
import type { AgentEndpoint, TaskRunResult } from '../../local/agent/types.js';
import { readConnectionFile, type ConnectionFile } from '../../local/connection-file.js';
import { armId, send, startUp, tokenOf, type Running } from '../support/workspace.js';

const root = join(import.meta.dirname, '..', '..');
const environment = 'environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}';
const fine = `type: command\ncommand: echo never\ncode: src\n${environment}\ncompute: azureml:cpu-cluster\n`;
const node = (text: string) => `type: pipeline\nsettings: {default_compute: azureml:cpu-cluster}\njobs:\n  train:\n${text}`;

interface Case {
  /** What the user did wrong. */
  what: string;
  /** Content of job.yml; default a job that is fine. */
  file?: string | Buffer;
  inputs?: Record<string, string>;
  /** Changes the service connection. */
  connection?: (endpoint: AgentEndpoint) => void;
  /** All must stand in the one error. */
  says: RegExp[];
  /** Where the error is placed, line and column. */
  at?: [line: number, column: number];
  /** Problems that are told beside each other; default one. */
  errors?: number;
}

const bomb = `type: command\nx0: &x0 [lol, lol]\n${Array.from({ length: 40 }, (_, n) => `x${n + 1}: &x${n + 1} [${Array(9).fill(`*x${n}`).join(', ')}]`).join('\n')}\ncommand: *x40\n`;
const cases: Case[] = [
  {
    what: 'a file that is not there',
    inputs: { pipelineFile: 'jobs/nothing.yml' },
    says: [/pipelineFile/, /jobs\/nothing\.yml/, /no folder jobs/],
  },
  { what: 'a folder', inputs: { pipelineFile: 'src' }, says: [/pipelineFile/, /src is a folder/, /YAML/] },
  {
    what: 'a file of another name',
    inputs: { pipelineFile: 'Job.yaml' },
    says: [/pipelineFile/, /Job\.yaml is not there/, /Did you mean job\.yml\?/],
  },
  { what: 'no file at all', inputs: { pipelineFile: '' }, says: [/pipelineFile/, /required/] },
  {
    what: 'a binary file',
    file: Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0xff, 0xfe, 0]),
    says: [/job\.yml/, /text|UTF-8/],
  },
  { what: 'an empty file', file: '', says: [/job\.yml/, /empty/] },
  {
    what: '50 MB of YAML',
    file: `type: command\ncommand: echo\n${'# padding of a file that is no job\n'.repeat(1_500_000)}`,
    says: [/job\.yml/, /MB|MiB|bytes/],
  },
  { what: 'an alias bomb', file: bomb, says: [/job\.yml/, /alias/i] },
  {
    what: 'brackets without an end',
    file: `type: command\ncommand: ${'['.repeat(20_000)}`,
    says: [/job\.yml/, /nest|deep|bracket/i],
  },
  { what: 'a tab for indentation', file: 'type: command\ninputs:\n\tx: 1\n', says: [/job\.yml:3/, /tab/i], at: [3, 1] },
  { what: 'an unknown key', file: `${fine}comand: echo\n`, says: [/job\.yml/, /comand/, /command/], at: [6, 1] },
  {
    what: 'a type of the wrong kind',
    file: fine.replace('echo never', '{a: 1}'),
    says: [/job\.yml/, /command: A mapping is not text/],
    at: [2, 10],
  },
  {
    what: 'a job of an unknown type',
    file: fine.replace('type: command', 'type: comand'),
    says: [/job\.yml/, /comand/, /pipeline/],
    at: [1, 7],
  },
  {
    what: 'code that is not there',
    file: fine.replace('code: src', 'code: ./sources'),
    says: [/job\.yml/, /sources/],
    at: [3, 7],
  },
  {
    what: 'a compute that is not there',
    file: fine.replace('azureml:cpu-cluster', 'azureml:gpu-cluster'),
    says: [/job\.yml/, /gpu-cluster/, /cpu-cluster/],
    at: [5, 10],
  },
  {
    what: 'an environment that is not there',
    file: fine.replace(environment, 'environment: azureml:nothing:3'),
    says: [/job\.yml/, /environment/i, /nothing/],
    at: [4, 14],
  },
  {
    what: 'a version of data that is not there',
    file: `${fine}inputs: {data: {type: uri_folder, path: azureml:taxi:7}}\n`,
    says: [/job\.yml/, /data/i, /taxi/],
    at: [6, 41],
  },
  {
    what: 'a label that is not there',
    file: `${fine}inputs: {data: {type: uri_folder, path: azureml:taxi@latest}}\n`,
    says: [/job\.yml/, /taxi/],
    at: [6, 41],
  },
  {
    what: 'a component that is not there',
    file: node('    component: azureml:prep:2\n'),
    says: [/job\.yml/, /component/i, /prep/],
    at: [5, 16],
  },
  {
    what: 'a component file that is not there',
    file: node('    component: ./prep.yml\n'),
    says: [/prep\.yml/, /job\.yml/],
    at: [5, 16],
  },
  {
    what: 'a workspace that is not there',
    inputs: { workspaceName: 'nowhere', resourceGroupName: 'rg-dev' },
    says: [/nowhere/, /workspaceName/],
  },
  {
    what: 'a resource group that is not there',
    inputs: { resourceGroupName: 'rg-nowhere' },
    says: [/rg-nowhere/, /resourceGroupName/],
  },
  {
    what: 'a validation in a workspace that is not there',
    inputs: { action: 'validate', workspaceName: 'nowhere', resourceGroupName: 'rg-dev' },
    says: [/nowhere/, /workspaceName/, /Workspaces there: dev/],
  },
  {
    what: 'a connection that may only read',
    inputs: { azureSubscription: 'arm-dev-read' },
    says: [/arm-dev-read/, /AuthorizationFailed/, /AzureML Data Scientist/],
  },
  {
    what: 'a validation with a connection that may only read',
    inputs: { action: 'validate', azureSubscription: 'arm-dev-read' },
    says: [/arm-dev-read/, /lacks rights on workspace dev: .*jobs\/write/, /AzureML Data Scientist/],
  },
  {
    what: 'a wrong secret',
    connection: ({ parameters }) => (parameters['serviceprincipalkey'] = 'n0t~the.Secret_of-this-1'),
    says: [/arm-dev/, /AADSTS7000215/, /secret/],
  },
  {
    what: 'a wrong tenant',
    connection: ({ parameters }) => (parameters['tenantid'] = '00000000-1111-2222-3333-444444444444'),
    says: [/arm-dev/, /AADSTS90002/, /tenant/],
  },
  {
    what: 'a client id that is not there',
    connection: ({ parameters }) => (parameters['serviceprincipalid'] = '00000000-1111-2222-3333-444444444444'),
    says: [/arm-dev/, /AADSTS700016/, /client id/],
  },
  {
    what: 'no secret in the connection',
    connection: ({ parameters }) => delete parameters['serviceprincipalkey'],
    says: [/azureSubscription/, /arm-dev/, /secret/],
  },
  {
    what: 'an authority that does not answer',
    connection: (endpoint) =>
      (endpoint.data = { ...endpoint.data, activeDirectoryAuthority: 'https://login.nowhere.localhost:9/' }),
    says: [/arm-dev/, /login\.nowhere\.localhost/, /ECONNREFUSED/],
  },
  {
    what: 'a variable that is not set',
    inputs: { workspaceName: '$(mlWorkspace)', resourceGroupName: 'rg-dev' },
    says: [/workspaceName/, /\$\(mlWorkspace\)/, /not set/],
  },
  { what: 'overrides without =', inputs: { overrides: 'display_name' }, says: [/overrides/, /display_name/, /path=value/] },
  {
    what: 'an override of what is not there',
    inputs: { overrides: 'jobs.trian.compute=azureml:gpu' },
    says: [/^Input overrides: /, /trian/],
  },
  { what: 'jobInputs that are no mapping', inputs: { jobInputs: 'learning_rate 0.1' }, says: [/jobInputs/, /name: value/] },
  {
    what: 'jobInputs that the job does not have',
    inputs: { jobInputs: 'learning_rte: 0.1' },
    says: [/^Input jobInputs: /, /learning_rte/, /declares none/],
  },
  { what: 'tags that are no mapping', inputs: { tags: '[a, b]' }, says: [/tags/, /mapping/] },
  { what: 'a name that no job can have', inputs: { jobName: 'my job!' }, says: [/jobName/, /my job!/] },
  { what: 'an action that is not there', inputs: { action: 'runn' }, says: [/action/, /runn/, /attach/] },
  {
    what: 'several things at once',
    inputs: { action: 'runn', cancelWithPipeline: 'perhaps', jobTimeoutInMinutes: '-1' },
    says: [/action|cancelWithPipeline|jobTimeoutInMinutes/],
    errors: 3,
  },
  {
    what: 'a download of an output that the job does not have',
    file: `${fine}outputs: {model: {type: uri_folder}}\n`,
    inputs: { downloadOutputs: 'modle' },
    says: [/^Input downloadOutputs: /, /"modle"/, /Its outputs: model/],
  },
  { what: 'a limit that is no number', inputs: { jobTimeoutInMinutes: 'an hour' }, says: [/jobTimeoutInMinutes/, /an hour/] },
  { what: 'logs of an unknown kind', inputs: { streamLogs: 'some' }, says: [/streamLogs/, /some/, /failed/] },
  { what: 'an attach to a job that is not there', inputs: { action: 'attach', jobName: 'nobody' }, says: [/jobName/, /nobody/] },
];

describe('RunAmlPipeline and bad input', function () {
  this.timeout(120_000);
  let up: Running;
  let folder: string;
  let task: string;
  let connection: ConnectionFile;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-bad-'));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const vsix = join(root, 'out', `amlops.azure-machine-learning-mlops-${version}.vsix`);
    if (!existsSync(vsix)) await promisify(execFile)(process.execPath, [join(root, 'scripts', 'package.mjs')], { cwd: root });
    task = unpackTask(vsix, 'RunAmlPipeline', join(folder, 'tasks')).folder;
    up = await startUp({ args: ['--workspaces', 'dev'] });
    connection = readConnectionFile(up.file);
  });
  after(async () => {
    await up?.stop();
    setWritable(join(folder, 'tasks'), true);
    rmSync(folder, { recursive: true, force: true });
  });

  /** Ids of all that a submission could leave. */
  async function left(): Promise<string[]> {
    const token = await tokenOf(up.connection);
    const found: string[] = [];
    for (const kind of ['jobs', 'codes', 'components', 'environments', 'data']) {
      const url = `${up.connection.resourceManager}${armId(up.connection)}/${kind}?api-version=2025-06-01`;
      const reply = await send(up.connection, 'GET', url, { token });
      assert.equal(reply.status, 200, reply.text);
      found.push(...(reply.json.value as { id: string }[]).map(({ id }) => id));
    }
    return found.sort();
  }

  async function run(one: Case, number: number): Promise<TaskRunResult & { log: string }> {
    const sources = join(folder, `case-${number}`);
    mkdirSync(join(sources, 'src'), { recursive: true });
    writeFileSync(join(sources, 'src', 'train.py'), 'print("never")\n');
    writeFileSync(join(sources, 'job.yml'), one.file ?? fine);
    const endpoints = agentEndpoints(connection);
    for (const endpoint of endpoints) if (endpoint.name === 'arm-dev') one.connection?.(endpoint);
    const log: string[] = [];
    const job = await createJob({
      workFolder: join(folder, `work-${number}`),
      sourcesFolder: sources,
      ca: [connection.ca],
      endpoints,
      onLine: (line) => log.push(line),
    });
    try {
      const { definition } = unpackTask(task, 'RunAmlPipeline', job.folders.tasks);
      const inputs = fillInputs(definition, { pipelineFile: 'job.yml', ...one.inputs }, connection, 'dev');
      const result = await runTaskIn(job, { from: task, name: 'RunAmlPipeline', inputs });
      // Nothing stays on the agent either: neither reports nor half an upload.
      assert.deepEqual(
        readdirSync(job.folders.temp).filter((name) => name.startsWith('amlops')),
        [],
      );
      return { ...result, log: log.join('\n') };
    } finally {
      await job.finish();
    }
  }

  cases.forEach((one, number) => {
    it(`${one.what}: said, and nothing done`, async () => {
      const before = await left();
      const { log, ...result } = await run(one, number);
      if (process.env['AMLOPS_SHOW_LOGS']) console.error(`\n=== ${one.what}\n${log.split('\n').slice(8).join('\n')}`);
      assert.equal(result.result, 'Failed', log);
      assert.deepEqual(result.problems, [], log);
      assert.equal(result.exitCode, 0);
      const errors = result.issues.filter(({ type }) => type === 'error');
      assert.equal(errors.length, one.errors ?? 1, log);
      const [error] = errors;
      for (const part of one.says) assert.match(error?.message ?? '', part, log);
      if (one.at) assert.deepEqual([error?.sourcepath, error?.linenumber, error?.columnnumber], ['job.yml', ...one.at], log);
      assert.ok((error?.message ?? '').length < 1200, `too long to read: ${error?.message}`);
      assert.doesNotMatch(log, / at .*\.js:\d+|fault of its own/);
      assert.deepEqual(await left(), before);
    });
  });
});
