// A built task as a bare process (no harness around it, so that only the task is measured), and a workspace to run it against.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './setup.mjs';

let unpacked;

/** A built task's entry, in a folder outside the repository as on an agent (inside, its `type: module` would speak for the bundle). */
export function taskFile(name) {
  if (!unpacked) {
    unpacked = mkdtempSync(join(tmpdir(), 'amlops-tasks-'));
    cpSync(join(root, 'dist', 'tasks'), unpacked, { recursive: true });
    process.once('exit', () => rmSync(unpacked, { recursive: true, force: true }));
  }
  return join(unpacked, name, 'index.js');
}

/** The environment in which the agent starts a task (task contract B.5), for one service connection with a client secret. */
export function taskEnvironment({ inputs, connection, ca, folder, run = '1' }) {
  const id = '11111111-2222-3333-4444-555555555555';
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    NODE_EXTRA_CA_CERTS: ca,
    TF_BUILD: 'True',
    AGENT_TEMPDIRECTORY: folder,
    AGENT_CAINFO: ca,
    AGENT_VERSION: '4.264.2',
    SYSTEM_DEFAULTWORKINGDIRECTORY: folder,
    SYSTEM_COLLECTIONURI: 'https://dev.azure.com/bench/',
    SYSTEM_TEAMPROJECT: 'bench',
    SYSTEM_TEAMPROJECTID: 'b0000000-0000-0000-0000-000000000001',
    SYSTEM_STAGENAME: 'stage',
    SYSTEM_STAGEATTEMPT: '1',
    SYSTEM_JOBNAME: 'job',
    SYSTEM_JOBATTEMPT: '1',
    SYSTEM_TASKINSTANCENAME: 'run',
    BUILD_BUILDID: run,
    [`ENDPOINT_URL_${id}`]: connection.url,
    [`ENDPOINT_AUTH_SCHEME_${id}`]: 'ServicePrincipal',
    [`ENDPOINT_AUTH_${id}`]: JSON.stringify({ scheme: 'ServicePrincipal', parameters: {} }),
    [`ENDPOINT_AUTH_PARAMETER_${id}_TENANTID`]: connection.tenantId,
    [`ENDPOINT_AUTH_PARAMETER_${id}_SERVICEPRINCIPALID`]: connection.clientId,
    [`ENDPOINT_AUTH_PARAMETER_${id}_SERVICEPRINCIPALKEY`]: connection.clientSecret,
    [`ENDPOINT_AUTH_PARAMETER_${id}_AUTHENTICATIONTYPE`]: 'spnKey',
    [`ENDPOINT_DATA_${id}_SUBSCRIPTIONID`]: connection.subscriptionId,
    [`ENDPOINT_DATA_${id}_ENVIRONMENT`]: 'AzureStack',
    [`ENDPOINT_DATA_${id}_ACTIVEDIRECTORYAUTHORITY`]: connection.authority,
    [`ENDPOINT_DATA_${id}_ENVIRONMENTAUTHORITYURL`]: connection.authority,
    INPUT_AZURESUBSCRIPTION: id,
  };
  for (const [name, value] of Object.entries(inputs)) env[`INPUT_${name.toUpperCase()}`] = value;
  return env;
}

/** Runs a task to its end; gives milliseconds and what it printed. */
export async function runTask(name, env, cwd) {
  const started = process.hrtime.bigint();
  const child = spawn(process.execPath, [taskFile(name)], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  child.stderr.on('data', (chunk) => (text += chunk));
  await new Promise((resolve) => child.once('close', resolve));
  return { ms: Number(process.hrtime.bigint() - started) / 1e6, text, ok: /##vso\[task\.complete result=Succeeded/.test(text) };
}

/** An `amlops up` of its own; `close()` ends it and removes its state. */
export async function workspace(args = []) {
  const folder = mkdtempSync(join(tmpdir(), 'amlops-bench-'));
  const file = join(folder, 'connection.json');
  const child = spawn(
    process.execPath,
    [join(root, 'bin', 'amlops.mjs'), 'up', '--state', join(folder, 'state'), '--connection', file, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  const exit = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve, reject) => {
    const look = (chunk) => {
      text += chunk;
      if (/^ready /m.test(text)) resolve();
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    void exit.then(() => reject(new Error(`amlops up ended: ${text.slice(-800)}`)));
  });
  const connection = JSON.parse(readFileSync(file, 'utf8'));
  return {
    folder,
    file,
    connection,
    service(name) {
      const found = connection.serviceConnections.find((one) => one.name === name);
      return { ...found, authority: connection.authority };
    },
    async close() {
      child.kill('SIGTERM');
      await exit;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
