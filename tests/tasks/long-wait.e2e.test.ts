/** Twelve hours of waiting: the built task in the harness, on a clock that skips its sleeps, with assertions of ten minutes and tokens of an hour. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt, errors, jwtVerify } from 'jose';
import { builtTasks } from '../../local/agent/built-tasks.js';
import { createJob, runTaskIn, type AgentJob } from '../../local/agent/run-task.js';
import { setWritable } from '../../local/agent/task-folder.js';
import { serve, type Asked, type Reply, type TestServer } from '../support/https-server.js';

const minute = 60_000;
const hour = 60 * minute;
const length = 12 * hour;
const issuer = 'https://issuer.test';
const connection = '11111111-2222-3333-4444-555555555555';
const workspace = '/subscriptions/sub-1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws';

interface SignIn {
  at: number;
  assertion: string;
}

/** Azure as far as a waiting task sees it, in the time of the task's clock. */
class Azure {
  readonly signIns: SignIn[] = [];
  readonly refusals: string[] = [];
  readonly tokens = new Map<string, number>();
  /** Time of every request. */
  readonly times: number[] = [];
  readonly jobs = new Set<string>();
  readonly writes: string[] = [];
  origin = '';
  born = 0;
  constructor(
    readonly now: () => number,
    readonly key: KeyObject,
  ) {}

  async answer(asked: Asked): Promise<Reply> {
    const at = this.now();
    this.times.push(at);
    const { path, method } = asked;
    if (path.endsWith('/oauth2/v2.0/token')) return await this.token(new URLSearchParams(asked.body), at);
    if (path === '/discovery') return { body: { api: this.origin } };
    const until = this.tokens.get(asked.headers.authorization?.replace('Bearer ', '') ?? '');
    if (until === undefined || at >= until) {
      this.refusals.push(`${method} ${path}: token`);
      return { status: 401, body: { error: { code: 'ExpiredAuthenticationToken', message: 'The access token expired.' } } };
    }
    if (method !== 'GET' && !path.includes('/history/') && !path.endsWith('/search')) this.writes.push(`${method} ${path}`);
    const age = at - this.born;
    if (path === workspace) {
      return { body: { id: workspace, properties: { discoveryUrl: `${this.origin}/discovery`, workspaceId: 'guid' } } };
    }
    const job = /\/jobs\/([^/]+)$/.exec(path)?.[1];
    if (job) {
      this.jobs.add(job);
      const status = age < length ? 'Running' : 'Completed';
      return { body: { id: path, name: job, properties: { status, jobType: 'Command', services: {}, outputs: {} } } };
    }
    if (path.endsWith('/runs/get')) {
      return { body: { run: { data: { metrics: [{ key: 'auc', value: 0.9, timestamp: 1, step: 0 }] } } } };
    }
    if (path.includes('/history/')) return { body: { value: [] } };
    return { status: 501, body: { error: { code: 'NotImplemented', message: `${method} ${path}` } } };
  }

  async token(form: URLSearchParams, at: number): Promise<Reply> {
    const assertion = form.get('client_assertion') ?? '';
    try {
      await jwtVerify(assertion, this.key, {
        issuer,
        audience: 'api://AzureADTokenExchange',
        subject: 'sc://org/project/arm-dev',
        currentDate: new Date(at),
        maxTokenAge: 600,
      });
    } catch (error) {
      const code = error instanceof errors.JWTExpired ? 'AADSTS700024' : 'AADSTS700223';
      this.refusals.push(`${code}: ${(error as Error).message}`);
      return { status: 401, body: { error: 'invalid_client', error_description: `${code}: ${(error as Error).message}` } };
    }
    this.signIns.push({ at, assertion });
    const token = `token-${this.signIns.length}-${Math.random().toString(36).slice(2)}`;
    this.tokens.set(token, at + hour);
    return { body: { access_token: token, token_type: 'Bearer', expires_in: 3600 } };
  }
}

describe('RunAmlPipeline, twelve hours of waiting', function () {
  this.timeout(180_000);
  let folder: string;
  let server: TestServer;
  let job: AgentJob | undefined;
  let azure: Azure;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-wait-'));
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    azure = new Azure(() => job?.now() ?? Date.now(), createPublicKey(privateKey));
    server = await serve((asked) => azure.answer(asked));
    azure.origin = server.origin;
    writeFileSync(join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(join(folder, 'ca.pem'), server.ca);
  });
  after(async () => {
    await job?.finish();
    await server?.close();
    setWritable(join(folder, '_work', '_tasks'), true);
    rmSync(folder, { recursive: true, force: true });
  });

  it('signs in with a fresh assertion each time, asks seldom, and ends well', async () => {
    const log: string[] = [];
    job = await createJob({
      workFolder: join(folder, '_work'),
      ca: [join(folder, 'ca.pem')],
      federation: { issuer, audience: 'api://AzureADTokenExchange', keyFile: join(folder, 'key.pem') },
      assertionSeconds: 600,
      clock: { skip: true },
      onLine: (line) => log.push(line),
      endpoints: [
        {
          id: connection,
          name: 'arm-dev',
          url: `${server.origin}/`,
          scheme: 'WorkloadIdentityFederation',
          parameters: { tenantid: 'tenant-1', serviceprincipalid: 'client-1' },
          data: {
            subscriptionId: 'sub-1',
            subscriptionName: 'arm-dev',
            environment: 'AzureStack',
            environmentAuthorityUrl: `${server.origin}/`,
            activeDirectoryAuthority: `${server.origin}/`,
            activeDirectoryServiceEndpointResourceId: `${server.origin}/`,
            workloadIdentityFederationSubject: 'sc://org/project/arm-dev',
            workloadIdentityFederationIssuer: issuer,
          },
        },
      ],
    });
    azure.born = job.now();
    const result = await runTaskIn(job, {
      from: builtTasks(),
      name: 'RunAmlPipeline',
      step: 'wait',
      inputs: {
        azureSubscription: 'arm-dev',
        resourceGroupName: 'rg',
        workspaceName: 'ws',
        action: 'attach',
        jobName: 'night',
        streamLogs: 'none',
      },
    });
    const text = log.join('\n');
    assert.equal(result.result, 'Succeeded', text);
    assert.deepEqual(result.problems, []);
    assert.equal(result.outputVariables['jobStatus']?.value, 'Completed');
    assert.deepEqual(JSON.parse(result.outputVariables['metrics']?.value ?? ''), { auc: 0.9 });
    // The end is noticed soon: within two looks, and what is read after it.
    const waited = job.now() - azure.born;
    assert.ok(waited >= length && waited < length + 10 * minute, `${waited / minute} minutes`);
    // No request was in vain: no token was used too long, no assertion shown too late.
    assert.deepEqual(azure.refusals, []);
    assert.deepEqual([...azure.jobs], ['night']);
    assert.deepEqual(azure.writes, []);
    for (let n = 0; n < length; n += hour) {
      const asked = azure.times.filter((at) => at - azure.born >= n && at - azure.born < n + hour).length;
      assert.ok(asked > 0 && asked <= 150, `hour ${n / hour}: ${asked} requests`);
    }
    const { signIns } = azure;
    assert.ok(signIns.length >= 12 && signIns.length <= 16, `${signIns.length} sign-ins`);
    assert.equal(new Set(signIns.map(({ assertion }) => decodeJwt(assertion).jti)).size, signIns.length);
    for (const { at, assertion } of signIns) {
      const age = at - (decodeJwt(assertion).iat ?? 0) * 1000;
      assert.ok(age < minute, `an assertion of ${age} ms was shown`);
    }
    for (const secret of [...azure.tokens.keys(), ...signIns.map(({ assertion }) => assertion)]) {
      assert.ok(!text.includes(secret));
    }
    // And the issuer would have noticed: the first assertion is none any more.
    const late = await azure.token(new URLSearchParams({ client_assertion: signIns[0]?.assertion ?? '' }), job.now());
    assert.match(JSON.stringify(late.body), /AADSTS700024/);
  });
});
