// An hour and a half of waiting by the built task in the harness, on a clock that skips its sleeps: the requests of the busiest hour, how
// soon the end is noticed, and how soon a line of five steps that each print about every 30 seconds has been read.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { seconds } from '../lib/measure.mjs';

export const title = 'waiting';
export const goal =
  '<= 150 requests an hour without logs, the end noticed within 5 %; <= 1,200 with five steps, a line within 10 s';

const minute = 60_000;
const hour = 60 * minute;
const length = 1.5 * hour;
const steps = ['a', 'b', 'c', 'd', 'e'];
const id = '/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws';

export async function measure() {
  const without = await wait('none');
  const withLogs = await wait('all');
  return [
    {
      detail: 'no logs',
      value: `${busiest(without)} requests`,
      beside: `end noticed after ${seconds(without.noticed)}`,
      ok: busiest(without) <= 150 && without.noticed <= length * 0.05,
    },
    {
      detail: 'five steps that print every 30 s',
      value: `${busiest(withLogs)} requests`,
      beside: `a line is read after ${seconds(withLogs.slowest)} at most`,
      ok: busiest(withLogs) <= 1200 && withLogs.slowest <= 10_000,
    },
  ];
}

/** The most requests in any sixty minutes. */
const busiest = ({ asked }) => Math.max(...asked.map((at) => asked.filter((other) => other >= at && other < at + hour).length));

/** Times at which a step prints, off the beat by up to two seconds. */
const printed = steps.map((_name, index) =>
  Array.from(
    { length: length / 30_000 - 1 },
    (_none, n) => (n + 0.2 * index) * 30_000 + 2_000 * Math.sin(7 * n + index) + 20_000,
  ),
);

async function wait(streamLogs) {
  const { serve } = await tsImport('../../tests/support/https-server.ts', import.meta.url);
  const { createJob, runTaskIn } = await tsImport('../../local/agent/run-task.ts', import.meta.url);
  const { builtTasks } = await tsImport('../../local/agent/built-tasks.ts', import.meta.url);
  const { setWritable } = await tsImport('../../local/agent/task-folder.ts', import.meta.url);
  const folder = mkdtempSync(join(tmpdir(), 'amlops-bench-'));
  const asked = [];
  const read = steps.map(() => 0);
  let job;
  let born = 0;
  let slowest = 0;
  let noticed = 0;
  const server = await serve(({ path, headers }) => {
    const age = job.now() - born;
    asked.push(age);
    const status = age < length ? 'Running' : 'Completed';
    if (path.endsWith('/token'))
      return { body: { access_token: `token-${asked.length}`, token_type: 'Bearer', expires_in: 3600 } };
    if (path === '/discovery') return { body: { api: server.origin } };
    if (path === id) return { body: { id, properties: { discoveryUrl: `${server.origin}/discovery`, workspaceId: 'guid' } } };
    if (path.startsWith('/log/')) {
      const step = Number(path.slice(5));
      const lines = printed[step].filter((at) => at <= age);
      for (const at of lines.slice(read[step])) slowest = Math.max(slowest, age - at);
      read[step] = lines.length;
      const text = Buffer.from(lines.map((_at, n) => `line ${n}\n`).join(''));
      const start = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0);
      const range = (given) => ({ 'Content-Range': `bytes ${given}/${text.length}` });
      if (start >= text.length) return { status: 416, headers: range('*') };
      const times = { Date: new Date(born + age).toUTCString(), 'Last-Modified': new Date(born + lines.at(-1)).toUTCString() };
      return { status: 206, headers: { ...range(`${start}-${text.length - 1}`), ...times }, body: text.subarray(start) };
    }
    if (path.endsWith('/children')) {
      const startTimeUtc = new Date(born).toISOString();
      return { body: { value: steps.map((name, n) => ({ runId: `${n}`, displayName: name, status, startTimeUtc })) } };
    }
    if (path.endsWith('/details')) {
      return {
        body: { status, logFiles: { 'user_logs/std_log.txt': `${server.origin}/log/${path.split('/').at(-2)}?sig=abc` } },
      };
    }
    if (path.includes('/jobs/')) {
      if (age >= length) noticed ||= age - length;
      return { body: { id: path, name: 'night', properties: { status, jobType: 'Pipeline', services: {}, outputs: {} } } };
    }
    return { body: path.endsWith('/runs/get') ? { run: { data: {} } } : { value: [] } };
  });
  try {
    writeFileSync(join(folder, 'ca.pem'), server.ca);
    const at = `${server.origin}/`;
    job = await createJob({
      workFolder: join(folder, '_work'),
      ca: [join(folder, 'ca.pem')],
      clock: { skip: true },
      endpoints: [
        {
          id: '11111111-2222-3333-4444-555555555555',
          name: 'arm-dev',
          url: at,
          scheme: 'ServicePrincipal',
          parameters: {
            tenantid: 't',
            serviceprincipalid: 'c',
            serviceprincipalkey: 'bench-secret-value',
            authenticationType: 'spnKey',
          },
          data: {
            subscriptionId: 's',
            environment: 'AzureStack',
            environmentAuthorityUrl: at,
            activeDirectoryAuthority: at,
            activeDirectoryServiceEndpointResourceId: at,
          },
        },
      ],
    });
    born = job.now();
    const inputs = {
      azureSubscription: 'arm-dev',
      resourceGroupName: 'rg',
      workspaceName: 'ws',
      action: 'attach',
      jobName: 'night',
    };
    const ended = await runTaskIn(job, {
      from: builtTasks(),
      name: 'RunAmlPipeline',
      step: 'wait',
      inputs: { ...inputs, streamLogs },
    });
    if (ended.result !== 'Succeeded') throw new Error(`the task ended ${ended.result}: ${ended.log?.slice(-600) ?? ''}`);
    if (streamLogs !== 'none' && read.some((count, step) => count !== printed[step].length))
      throw new Error('lines were not read');
    return { asked, slowest, noticed };
  } finally {
    await job?.finish();
    await server.close();
    setWritable(join(folder, '_work', '_tasks'), true);
    rmSync(folder, { recursive: true, force: true });
  }
}
