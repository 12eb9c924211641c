/**
 * Every credential and every network of an agent, through the packed task in the harness: who signs in how, what is said when that fails, and
 * that nothing was asked of Azure then. Issuers, metadata endpoint and proxy are small servers of this file.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createJob, runTaskIn } from '../../local/agent/run-task.js';
import { setWritable, unpackTask } from '../../local/agent/task-folder.js';
import type { AgentEndpoint, JobOptions, TaskRunResult } from '../../local/agent/types.js';
import { clientCertificate, type ClientCertificate } from '../support/client-certificate.js';
import type { Reply } from '../support/https-server.js';
import { startProxy } from '../support/proxy.js';
import { smallAzure, type SmallAzure } from '../support/small-azure.js';

const root = join(import.meta.dirname, '..', '..');
const clientSecret = 'an~exp1red.Secret-of-arm';

type Ran = TaskRunResult & { log: string };

/** An answer of Microsoft Entra that refuses. */
const aadsts = (code: number, text: string): Reply => ({
  status: 401,
  body: {
    error: 'invalid_client',
    error_description: `AADSTS${code}: ${text} Trace ID: 5a2d Correlation ID: 77 Timestamp: 2026-01-01`,
    error_codes: [code],
    correlation_id: 'correlation-77',
  },
});

describe('sign-in of the packed task', function () {
  this.timeout(120_000);
  let folder: string;
  let task: string;
  let azure: SmallAzure;
  let certificate: ClientCertificate;
  let runs = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-sign-in-'));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const vsix = join(root, 'out', `amlops.azure-machine-learning-mlops-${version}.vsix`);
    if (!existsSync(vsix)) await promisify(execFile)(process.execPath, [join(root, 'scripts', 'package.mjs')], { cwd: root });
    task = unpackTask(vsix, 'RunAmlPipeline', join(folder, 'tasks')).folder;
    azure = await smallAzure();
    certificate = await clientCertificate({ rsa: true });
    writeFileSync(join(folder, 'ca.pem'), azure.server.ca);
  });
  after(async () => {
    await azure?.close();
    setWritable(folder, true);
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => azure.reset());

  async function run(
    connection: AgentEndpoint,
    more: Partial<JobOptions> = {},
    env: Record<string, string> = {},
    node: 20 | 24 = 20,
  ): Promise<Ran> {
    const log: string[] = [];
    const job = await createJob({
      workFolder: join(folder, `work-${(runs += 1)}`),
      ca: [join(folder, 'ca.pem')],
      endpoints: [connection],
      onLine: (line) => log.push(line),
      ...more,
    });
    try {
      const inputs = {
        ...{ azureSubscription: 'arm-dev', resourceGroupName: 'rg', workspaceName: 'ws', action: 'attach' },
        ...{ jobName: 'night', streamLogs: 'none' },
      };
      const result = await runTaskIn(job, { from: task, name: 'RunAmlPipeline', inputs, env, node });
      return { ...result, log: log.join('\n') };
    } finally {
      await job.finish();
      if (process.env['AMLOPS_SHOW_LOGS']) console.error(`\n=== ${log.slice(8).join('\n')}`);
    }
  }

  function succeeded({ log, ...result }: Ran): void {
    assert.equal(result.result, 'Succeeded', log);
    assert.deepEqual(result.problems, [], log);
    assert.deepEqual(JSON.parse(result.outputVariables['metrics']?.value ?? ''), { auc: 0.9 });
    for (const token of azure.tokens) assert.ok(!log.includes(token), log);
  }

  /** One error that says all of `words`; nothing secret in the log; the resource manager saw no token unless `asked`. */
  function refused({ log, ...result }: Ran, words: RegExp[], asked = 0): void {
    assert.equal(result.result, 'Failed', log);
    assert.deepEqual(result.problems, [], log);
    assert.equal(result.exitCode, 0);
    const errors = result.issues.filter(({ type }) => type === 'error');
    assert.equal(errors.length, 1, log);
    for (const word of words) assert.match(errors[0]?.message ?? '', word, log);
    assert.equal(azure.authorized.filter(({ method }) => method !== 'GET').length, 0);
    assert.ok(azure.authorized.length <= asked, azure.authorized.map(({ path }) => path).join());
    assert.doesNotMatch(log, / at .*\.js:\d+|fault of its own|Trace ID/);
  }

  describe('good credentials', () => {
    it('certificate: a signed assertion, no secret', async () => {
      azure.signIn = (form) => {
        const [, claims = ''] = (form.get('client_assertion') ?? '').split('.');
        const { iss, aud } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, string>;
        const good = iss === 'client-1' && aud === `${azure.server.origin}/tenant-1/oauth2/v2.0/token`;
        return good && !form.has('client_secret') ? undefined : aadsts(700027, 'bad');
      };
      const pem = `${certificate.key}\n${certificate.cert}`;
      const parameters = { authenticationtype: 'spnCertificate', servicePrincipalCertificate: pem };
      succeeded(await run(azure.connection('ServicePrincipal', parameters)));
    });

    for (const id of ['', 'user-assigned-1']) {
      it(`managed identity: ${id ? 'the one that is named' : 'the one of the machine'}`, async () => {
        const connection = azure.connection('ManagedServiceIdentity', {}, id ? { msiClientId: id } : {});
        connection.parameters = { tenantid: 'tenant-1' };
        succeeded(await run(connection, {}, { NODE_OPTIONS: azure.preload(folder) }));
        assert.ok(azure.imds.asked.length > 0 && azure.server.asked.every(({ path }) => !path.endsWith('/token')));
        for (const { headers, path, query } of azure.imds.asked) {
          assert.equal(headers['metadata'], 'true');
          assert.equal(path, '/metadata/identity/oauth2/token');
          assert.equal(query.get('client_id'), id || null);
          assert.doesNotMatch(query.get('resource') ?? '', /\.default$/);
        }
      });
    }

    it('federation: the assertion of the collection, as the only proof', async () => {
      azure.signIn = (form) => (/^ey.+\..+\..+/.test(form.get('client_assertion') ?? '') ? undefined : aadsts(900144, 'none'));
      succeeded(await run(azure.connection('WorkloadIdentityFederation')));
    });
  });

  const spn = () => azure.connection('ServicePrincipal', { authenticationtype: 'spnKey', serviceprincipalkey: clientSecret });
  const certified = (cert = certificate) =>
    azure.connection('ServicePrincipal', {
      authenticationtype: 'spnCertificate',
      serviceprincipalcertificate: `${cert.key}\n${cert.cert}`,
    });
  const federated = () => azure.connection('WorkloadIdentityFederation');
  const table: [what: string, connection: () => AgentEndpoint, reply: Reply, words: RegExp[]][] = [
    ['an expired secret', spn, aadsts(7000222, 'The provided client secret keys are expired.'), [/AADSTS7000222/, /new one/]],
    ['a tenant that is not there', spn, aadsts(90002, "Tenant 'tenant-1' not found."), [/AADSTS90002/, /tenant id/]],
    ['an app that is not there', spn, aadsts(700016, 'Application was not found.'), [/AADSTS700016/, /client id/]],
    ['a certificate that is not the app’s', () => certified(), aadsts(700027, 'Key not found.'), [/AADSTS700027/, /Upload it/]],
    [
      'no federated credential',
      federated,
      aadsts(70021, 'No matching federated identity.'),
      [/AADSTS70021/, /issuer/, /subject/],
    ],
    ['another issuer', federated, aadsts(700211, 'No matching issuer.'), [/AADSTS700211/, /issuer/]],
    ['another subject', federated, aadsts(700213, 'No matching subject.'), [/AADSTS700213/, /subject/]],
    ['an assertion out of time', federated, aadsts(700024, 'Not within its valid time range.'), [/AADSTS700024/, /clock/]],
    ['a policy', spn, aadsts(53003, 'Access has been blocked.'), [/AADSTS53003/, /conditional access/]],
  ];
  describe('refused', () => {
    for (const [what, connection, reply, words] of table) {
      it(`${what}: said with the connection and the fix, nothing asked of Azure`, async () => {
        azure.signIn = () => reply;
        refused(await run(connection()), [/arm-dev/, /correlation-77/, ...words]);
      });
    }

    it('a certificate that has expired: said with the day', async () => {
      const old = await clientCertificate({ rsa: true, notAfter: new Date('2021-02-03T00:00:00Z') });
      azure.signIn = () => aadsts(700027, 'The certificate with the identifier used to sign the assertion is expired.');
      refused(await run(certified(old)), [/arm-dev/, /AADSTS700027/, /2021-02-03/]);
    });

    it('a machine without an identity, and one that is no machine of Azure', async () => {
      const connection = azure.connection('ManagedServiceIdentity');
      azure.identity = () => ({ status: 400, body: { error: 'invalid_request', error_description: 'Identity not found' } });
      refused(await run(connection, {}, { NODE_OPTIONS: azure.preload(folder) }), [
        /arm-dev/,
        /Identity not found/,
        /self-hosted/,
      ]);
      const closed = createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => closed.once('listening', resolve));
      const { port } = closed.address() as AddressInfo;
      await new Promise((resolve) => closed.close(resolve));
      const nowhere = await run(connection, { clock: { skip: true } }, { NODE_OPTIONS: azure.preload(folder, port) });
      refused(nowhere, [/arm-dev/, /does not answer/, /virtual machine/]);
    });

    it('no rights on the workspace: said with the role', async () => {
      azure.manager = () => ({
        status: 403,
        body: { error: { code: 'AuthorizationFailed', message: "The client 'x' does not have authorization." } },
      });
      refused(await run(spn()), [/arm-dev/, /AuthorizationFailed/, /AzureML Data Scientist/], 1);
    });

    it('a job whose own token has expired cannot ask for an assertion', async () => {
      const collection = {
        uri: `${azure.server.origin}/org/`,
        oidcRequestUri: `${azure.server.origin}/org/p/_apis/distributedtask/oidctoken`,
        accessToken: 'an-old-job-token-1',
        ca: join(folder, 'ca.pem'),
      };
      refused(await run(federated(), { collection }), [/assertion/, /11111111-2222-3333-4444-555555555555/, /expired/]);
      const elsewhere = await run(federated(), {
        collection: { ...collection, oidcRequestUri: 'https://evil.example/oidctoken' },
      });
      refused(elsewhere, [/evil\.example/, /SYSTEM_OIDCREQUESTURI/]);
    });
  });

  describe('behind a proxy, with a client certificate and a CA that only the agent knows', () => {
    const password = 'pr%xy "p4ss"';
    const plain = { NODE_EXTRA_CA_CERTS: '' };
    let client: ClientCertificate;
    let inside: SmallAzure;
    before(async () => {
      client = await clientCertificate();
      inside = await smallAzure({ host: 'manager.test', clientCa: client.ca });
      writeFileSync(join(folder, 'client.pem'), client.cert);
      writeFileSync(join(folder, 'client-key.pem'), client.locked('key-p4ssword'));
    });
    after(() => inside?.close());
    const files = () => ({
      certificate: join(folder, 'client.pem'),
      key: join(folder, 'client-key.pem'),
      password: 'key-p4ssword',
    });

    for (const node of [20, 24] as const) {
      it(`goes the agent's way (Node ${node})`, async () => {
        const proxy = await startProxy({ credentials: `me:${password}` });
        try {
          const through = { url: proxy.url, username: 'me', password, bypass: ['\\.elsewhere$'] };
          const connection = inside.connection('WorkloadIdentityFederation');
          const ran = await run(connection, { proxy: through, certificates: files() }, plain, node);
          assert.equal(ran.result, 'Succeeded', ran.log);
          assert.deepEqual(ran.problems, []);
          assert.deepEqual(new Set(proxy.asked), new Set([`manager.test:${inside.server.port}`]));
          assert.ok(inside.server.asked.every(({ authorized }) => authorized));
          assert.ok(!ran.log.includes('key-p4ssword') && !ran.log.includes('p4ss"'));
        } finally {
          await proxy.close();
        }
      });
    }

    it('says what is missing of it', async () => {
      const proxy = await startProxy({ credentials: `me:${password}` });
      try {
        const through = { url: proxy.url, username: 'me', password, bypass: [] as string[] };
        const certificates = files();
        const secret = inside.connection('ServicePrincipal', { serviceprincipalkey: clientSecret });
        const ways: [Partial<JobOptions>, RegExp][] = [
          [{ certificates, proxy: { ...through, password: 'wr0ng-one' } }, /HTTP 407.*Agent\.ProxyUsername/s],
          [{ certificates, proxy: { ...through, bypass: ['MANAGER\\.'] } }, /manager\.test.*(does not resolve|DNS)/s],
          [{ certificates: { ...certificates, password: 'wr0ng-one' }, proxy: through }, /Agent\.ClientCertPassword/],
          [{ certificates, proxy: { url: 'proxy:8080' } }, /Agent\.ProxyUrl.*--proxyurl/s],
          [{ certificates, proxy: through, variables: { 'Agent.CAInfo': { value: '/nowhere/ca.pem' } } }, /\/nowhere\/ca\.pem/],
        ];
        for (const [more, words] of ways) {
          const ran = await run(secret, { clock: { skip: true }, ...more }, plain);
          assert.equal(ran.result, 'Failed', ran.log);
          assert.deepEqual(ran.problems, [], ran.log);
          assert.match(ran.issues.find(({ type }) => type === 'error')?.message ?? '', words, ran.log);
          assert.doesNotMatch(ran.log, /fault of its own/);
        }
        const blind = await run(
          secret,
          {
            certificates: { ...certificates, skipValidation: true },
            proxy: through,
            variables: { 'Agent.CAInfo': { value: '' } },
          },
          plain,
        );
        assert.equal(blind.result, 'Succeeded', blind.log);
        assert.match(blind.issues[0]?.message ?? '', /Agent\.SkipCertValidation/);
      } finally {
        await proxy.close();
      }
    });
  });
});
