/**
 * The packed RegisterModel and PromoteModel as the agent runs them: Node 20 and 24, every way to sign in, outputs, summaries, attachments,
 * approvals and the lease of Azure DevOps, a cancel at every step, and no token of one side on its way to the other.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { webcrypto } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import 'reflect-metadata';
import { X509CertificateGenerator } from '@peculiar/x509';
import { agentEndpoints, fillInputs } from '../../local/agent/local-connections.js';
import { runTask } from '../../local/agent/run-task.js';
import { readDefinition, setWritable } from '../../local/agent/task-folder.js';
import type { AgentEndpoint, JobOptions, TaskRunResult } from '../../local/agent/types.js';
import { readConnectionFile } from '../../local/connection-file.js';
import { serve, type TestServer } from '../support/https-server.js';
import { faultsOf, injectedBy, Site } from '../support/release-world.js';
import { send, startUp, tokenOf, type Running } from '../support/workspace.js';

const root = join(import.meta.dirname, '..', '..');
const outputs = {
  RegisterModel: 'modelDigest modelId modelName modelVersion outcome verdictFile',
  PromoteModel: 'modelDigest modelId modelName modelVersion outcome planDigest planFile recordFile',
};

describe('packed RegisterModel and PromoteModel', function () {
  this.timeout(15 * 60_000);
  let folder: string;
  let vsix: string;
  let up: Running;
  let dev: Site;
  let prod: Site;
  let run = 100;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-complete-'));
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    vsix = join(root, 'out', `amlops.azure-machine-learning-mlops-${version}.vsix`);
    if (!existsSync(vsix)) await promisify(execFile)(process.execPath, [join(root, 'scripts', 'package.mjs')], { cwd: root });
    up = await startUp({ args: ['--storage', 'identity', '--workspaces', 'dev,prod'] });
    [dev, prod] = [new Site(up, 'dev'), new Site(up, 'prod')];
  });
  after(async () => {
    await up?.stop();
    setWritable(folder, true);
    rmSync(folder, { recursive: true, force: true });
  });

  /** A model folder and its metrics; `files` of some bytes. */
  const make = (name: string, accuracy: number, files = 1): Record<string, string> => {
    const place = join(folder, 'models', name);
    mkdirSync(place, { recursive: true });
    for (let index = 0; index < files; index++) writeFileSync(join(place, `f${index}`), `${name} ${index}`);
    writeFileSync(join(folder, 'models', `${name}.json`), JSON.stringify({ accuracy }));
    return { modelPath: place, metricsFile: join(folder, 'models', `${name}.json`) };
  };

  type Ended = TaskRunResult & { log: string; value: (name: string) => string | undefined };
  interface How {
    node?: 20 | 24;
    change?: (endpoint: AgentEndpoint) => AgentEndpoint;
    env?: Record<string, string>;
    job?: Partial<JobOptions>;
    build?: number;
    attempt?: number;
    /** Resolves when the agent cancels. */
    cancel?: (log: () => string) => Promise<void>;
  }
  const secrets: string[] = [];
  const step = async (
    name: keyof typeof outputs,
    workspace: string,
    given: Record<string, string>,
    how: How = {},
  ): Promise<Ended> => {
    const file = readConnectionFile(up.file);
    const workFolder = join(mkdtempSync(join(folder, 'work-')), '_work');
    const abort = new AbortController();
    let log = '';
    let over = false;
    const cancelling = how.cancel?.(() => log).then(() => !over && abort.abort());
    const result = await runTask({
      from: vsix,
      name,
      workFolder,
      step: 'task',
      node: how.node ?? 20,
      inputs: fillInputs(readDefinition(vsix, name), given, file, workspace),
      endpoints: agentEndpoints(file).map(how.change ?? ((endpoint) => endpoint)),
      ca: [file.ca],
      ...(file.federation ? { federation: file.federation } : {}),
      variables: {
        'Build.BuildId': { value: String(how.build ?? run++) },
        'System.StageAttempt': { value: String(how.attempt ?? 1) },
        ...how.job?.variables,
      },
      ...(how.env ? { env: how.env } : {}),
      ...(how.job?.collection ? { collection: how.job.collection } : {}),
      signal: abort.signal,
      onLine: (line) => (log += `${line}\n`),
    });
    over = true;
    await cancelling;
    assert.deepEqual(result.problems, [], log);
    for (const { clientSecret } of up.connection.serviceConnections) assert.ok(!log.includes(clientSecret), log);
    for (const secret of secrets) assert.ok(!log.includes(secret), log);
    assert.doesNotMatch(log, /eyJ[\w-]{20,}\./, 'a token in the log');
    assert.doesNotMatch(log, /Warning:|had a fault of its own/);
    return { ...result, log, value: (key) => result.outputVariables[key]?.value };
  };
  const done = (ended: Ended, outcome: string): Ended => {
    assert.deepEqual([ended.result, ended.value('outcome')], ['Succeeded', outcome], ended.log);
    return ended;
  };

  /** A key and certificate that the workspace takes for this principal. */
  const certificateFor = async (clientId: string): Promise<string> => {
    const keys = await webcrypto.subtle.generateKey(
      { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 },
      true,
      ['sign', 'verify'],
    );
    const certificate = await X509CertificateGenerator.createSelfSigned({ name: 'CN=amlops', keys }, webcrypto);
    const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    const added = await send(
      up.connection,
      'PUT',
      `${up.connection.resourceManager}/_amlops/principals/${clientId}/certificate`,
      {
        token: await tokenOf(up.connection),
        headers: { 'content-type': 'application/x-pem-file' },
        body: Buffer.from(certificate.toString('pem')),
      },
    );
    assert.equal(added.status, 204, added.text);
    secrets.push(key.slice(40, 100));
    return `-----BEGIN PRIVATE KEY-----\n${key.replace(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n${certificate.toString('pem')}\n`;
  };

  it('run on both Nodes with a secret, a certificate and federation; give every output, a summary, attachments and tags', async () => {
    const pems = new Map<string, string>();
    for (const { name, clientId } of up.connection.serviceConnections)
      if (/^arm-(dev|prod)$/.test(name)) pems.set(name, await certificateFor(clientId));
    const bare = ({ tenantid = '', serviceprincipalid = '' }: Record<string, string>) => ({ tenantid, serviceprincipalid });
    const ways: [string, 20 | 24, How['change']][] = [
      ['secret', 24, undefined],
      [
        'certificate',
        20,
        (endpoint) => ({
          ...endpoint,
          parameters: {
            ...bare(endpoint.parameters),
            authenticationtype: 'spnCertificate',
            serviceprincipalcertificate: pems.get(endpoint.name) ?? '',
          },
        }),
      ],
      [
        'federation',
        24,
        (endpoint) => ({
          ...endpoint,
          scheme: 'WorkloadIdentityFederation',
          parameters: bare(endpoint.parameters),
        }),
      ],
    ];
    for (const [index, [way, node, change]] of ways.entries()) {
      const how = { node, ...(change ? { change } : {}) };
      const gate = 'floor: accuracy >= 0.5\nnot worse: accuracy >= champion.accuracy';
      const model = make(way, 0.8 + index / 100);
      const registered = done(await step('RegisterModel', 'dev', { ...model, modelName: 'w', gate }, how), 'registered');
      assert.equal(registered.value('modelVersion'), String(index + 1), way);
      const promoted = done(
        await step(
          'PromoteModel',
          'dev',
          { modelName: 'w', modelVersion: String(index + 1), targetWorkspaceName: 'prod', gate },
          how,
        ),
        'promoted',
      );
      for (const [name, ended, attached] of [
        ['RegisterModel', registered, ['aml.model']],
        ['PromoteModel', promoted, ['aml.promotion', 'aml.promotion']],
      ] as const) {
        assert.equal(Object.keys(ended.outputVariables).sort().join(' '), outputs[name], `${name} with a ${way}`);
        assert.deepEqual(
          ended.attachments.map(({ type }) => type),
          attached,
        );
        assert.equal(ended.summaries.length, 1);
        assert.match(readFileSync(ended.summaries[0]!, 'utf8'), /\| not worse: accuracy &gt;= champion/);
        for (const { path } of ended.attachments)
          assert.ok('schemaVersion' in JSON.parse(readFileSync(path, 'utf8')) || /"_type"/.test(readFileSync(path, 'utf8')));
        assert.ok(ended.buildTags.includes(`model:w:${index + 1}`), ended.buildTags.join());
      }
      assert.match(promoted.log, new RegExp(`-> w:${index + 1} of workspace prod`));
    }
    assert.equal(await prod.records('w'), 3);
  });

  it('say whose managed identity is not there, and write nothing', async () => {
    const change: How['change'] = (endpoint) => ({ ...endpoint, scheme: 'ManagedServiceIdentity', parameters: {} });
    const failed = await step('RegisterModel', 'dev', { ...make('msi', 0.9), modelName: 'msi' }, { change });
    assert.equal(failed.result, 'Failed', failed.log);
    assert.match(failed.issues.map(({ message }) => message).join(), /managed identity/i);
    assert.deepEqual(await dev.models.versions('msi'), []);
  });

  it("never send one side's token to the other, as the packed task's own process shows", async () => {
    const sentFile = join(folder, 'sent.jsonl');
    const watcher = join(folder, 'watch.mjs');
    writeFileSync(
      watcher,
      `import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync } from 'node:fs';
subscribe('http.client.request.start', ({ request }) => {
  const [, body] = /^Bearer [^.]+\\.([^.]+)\\./.exec(String(request.getHeader('authorization') ?? '')) ?? [];
  const claims = body && JSON.parse(Buffer.from(body, 'base64url').toString());
  const who = claims ? claims.appid ?? claims.azp ?? 'nobody' : null;
  appendFileSync(${JSON.stringify(sentFile)}, JSON.stringify({ host: String(request.getHeader('host')), path: request.path, who }) + '\\n');
});\n`,
    );
    done(await step('RegisterModel', 'dev', { ...make('sides', 0.9), modelName: 'sides' }), 'registered');
    const clientOf = (name: string) => up.connection.serviceConnections.find((entry) => entry.name === name)!.clientId;
    const [ofDev, ofProd] = [clientOf('arm-dev'), clientOf('arm-prod')];
    const url = `${up.connection.resourceManager}${dev.models.workspace.id}/models/sides/versions/1?api-version=2024-04-01`;
    const forbidden = await send(up.connection, 'GET', url, { token: await tokenOf(up.connection, 'arm-prod') });
    assert.equal(forbidden.status, 403, "prod's principal has no role in dev");
    const env = { NODE_OPTIONS: `--import ${pathToFileURL(watcher).href}` };
    const inputs = { modelName: 'sides', modelVersion: '1', targetWorkspaceName: 'prod' };
    done(await step('PromoteModel', 'dev', inputs, { env }), 'promoted');
    const sent = readFileSync(sentFile, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { host: string; path: string; who: string | null });
    const seen = { dev: 0, prod: 0 };
    for (const { host, path, who } of sent) {
      if (who !== ofDev && who !== ofProd) continue; // sign-in, and Azure DevOps with the job's own token
      const account = /^st(dev|prod)[^.]*\.blob\./.exec(host)?.[1];
      const side = account ?? /\/resourceGroups\/rg-(dev|prod)\b/i.exec(path)?.[1];
      assert.ok(side === 'dev' || side === 'prod', `${host}${path}: of no side`);
      assert.equal(who, side === 'dev' ? ofDev : ofProd, `${host}${path}`);
      seen[side]++;
    }
    assert.ok(seen.dev > 3 && seen.prod > 3, JSON.stringify(seen));
    assert.ok(
      sent.every(({ who, host }) => who !== null || !host.includes('.blob.')),
      'no blob without a token',
    );
  });

  describe('with an Azure DevOps', () => {
    let devOps: TestServer;
    let caFile: string;
    let approvals: Record<string, unknown>[] = [];
    let leases: string[] = [];
    const stage = { id: 's', type: 'Stage', identifier: 'promote_prod', attempt: 1 };
    before(async () => {
      devOps = await serve(({ method, path, body }) => {
        const location = (id: string, area: string, resourceName: string, routeTemplate: string) => ({
          ...{ id, area, resourceName, routeTemplate, resourceVersion: 1 },
          ...{ minVersion: '1.0', maxVersion: '7.2', releasedVersion: '7.1' },
        });
        const route = '{project}/_apis/{area}/{resource}';
        if (method === 'OPTIONS')
          return {
            body: {
              count: 2,
              value: [
                location(
                  '8baac422-4c6e-4de5-8532-db96d92acffa',
                  'build',
                  'Timeline',
                  '{project}/_apis/{area}/builds/{buildId}/{resource}/{timelineId}',
                ),
                location('272051e4-9af1-45b5-ae22-8d960a5539d4', 'build', 'leases', `${route}/retention/leases`),
                location('37794717-f36f-4d78-b2bf-4dc30d0cfbcd', 'pipelinesapproval', 'approvals', `${route}/{approvalId}`),
                location('91282c1d-c183-444f-9554-1485bfb3879d', 'pipelinesChecks', 'runs', `${route}/{checkSuiteId}`),
              ],
            },
          };
        if (/timeline/i.test(path)) {
          const records = approvals.map(({ id }) => ({ id, parentId: 'c', type: 'Checkpoint.Approval' }));
          const checkpoint = {
            id: 'c',
            parentId: 's',
            type: 'Checkpoint',
            startTime: '2026-01-01T10:00:00Z',
            finishTime: '2026-01-01T10:09:00Z',
          };
          return { body: { id: 't', records: approvals.length > 0 ? [stage, checkpoint, ...records] : [stage] } };
        }
        if (/leases/i.test(path)) {
          if (method === 'POST') leases.push(body);
          return { body: { count: 0, value: [] } };
        }
        const one = approvals.find(({ id }) => path.endsWith(String(id)));
        if (/approvals/i.test(path)) return { body: one ?? { count: approvals.length, value: approvals } };
        return { status: 404, body: { message: `nothing at ${path}` } };
      });
    });
    before(() => {
      caFile = join(folder, 'devops-ca.pem');
      writeFileSync(caFile, devOps.ca);
    });
    after(() => devOps?.close());
    const job = (): Partial<JobOptions> => ({
      collection: {
        uri: `${devOps.origin}/org/`,
        oidcRequestUri: `${devOps.origin}/oidc`,
        accessToken: 'job-token-of-the-test',
        ca: caFile,
      },
      variables: {
        'System.StageName': { value: 'promote_prod' },
        'System.TeamProject': { value: 'p' },
        'System.DefinitionId': { value: '5' },
      },
    });
    const approval = (status: string) => ({
      id: 'a1',
      status,
      createdOn: '2026-01-01T10:00:01Z',
      pipeline: { owner: { id: 900 } },
      steps: [
        {
          assignedApprover: { displayName: 'ML Approvers' },
          ...(status === 'approved' ? { actualApprover: { displayName: 'Ada', uniqueName: 'ada@contoso.com' } } : {}),
          status,
          comment: 'table read ##vso[task.complete result=Failed]',
          lastModifiedOn: '2026-01-01T10:05:00Z',
        },
      ],
    });

    it('want the approval that was asked for, record it, and keep the run of a champion', async () => {
      done(await step('RegisterModel', 'dev', { ...make('app', 0.9), modelName: 'app' }), 'registered');
      const inputs = { modelName: 'app', modelVersion: '1', targetWorkspaceName: 'prod', requireApproval: 'true' };
      const refused = async (text: RegExp, change: Partial<How> = {}) => {
        const ended = await step('PromoteModel', 'dev', inputs, { job: job(), build: 900, ...change });
        assert.equal(ended.result, 'Failed', ended.log);
        assert.match(ended.issues.map(({ message }) => message).join(), text, ended.log);
        assert.equal((await prod.blobs('app')).size, 0);
        assert.deepEqual(await prod.models.versions('app'), []);
      };
      await refused(/No approval of this stage was found, and requireApproval is set\. Nothing was written/);
      approvals = [approval('skipped')];
      await refused(/The approval of this stage was bypassed.*Nothing was written/);
      approvals = [approval('rejected')];
      await refused(/No approval|bypassed|could not be read/);
      await refused(/Approvals could not be read/, { job: {} });
      approvals = [approval('approved')];
      leases = [];
      const promoted = done(await step('PromoteModel', 'dev', inputs, { job: job(), build: 900 }), 'promoted');
      assert.match(promoted.log, /Approval: approved by Ada <ada@contoso\.com> at 2026-01-01T10:05:00/);
      assert.doesNotMatch(promoted.log, /##vso\[task\.complete/);
      assert.equal(leases.length, 1, promoted.log);
      assert.match(leases[0]!, /"runId": ?900/);
      const kept = promoted.attachments.find(({ name }) => name === 'app-000001.json');
      const record = JSON.parse(readFileSync(kept?.path ?? '', 'utf8')) as {
        predicate: { approvals: { actual: string }[]; requireApproval: boolean };
      };
      assert.equal(record.predicate.approvals[0]?.actual, 'Ada <ada@contoso.com>');
      assert.match(readFileSync(promoted.summaries[0]!, 'utf8'), /### Approvals\n\n\* approved by Ada/);
    });
  });

  describe('cancelled', () => {
    afterEach(() => faultsOf(up, ''));
    const until = async (condition: () => boolean | Promise<boolean>) => {
      while (!(await condition())) await sleep(30);
    };
    const meets = (method: string, path: RegExp) => () =>
      until(async () => (await injectedBy(up)).some((one) => one.method === method && path.test(one.path)));

    for (const [what, faults, when, left] of [
      [
        'while it looks',
        'rate=1,kinds=slow,burst=1000,path=/models/',
        ['GET', /models/],
        /Cancelled: nothing was (written|registered)\./,
      ],
      [
        'while it copies',
        'storage=1,storage-kinds=slow,burst=1000,storage-path=^PUT .*amlops/models',
        ['PUT', /amlops\/models/],
        /was not moved \(none\)/,
      ],
      [
        'while it registers',
        'rate=1,kinds=slow,burst=1000,path=/prod/models/c-.*/versions/',
        ['PUT', /versions/],
        /was not moved \(none\)/,
      ],
      [
        'while it records',
        'storage=1,storage-kinds=slow,burst=1000,storage-path=^PUT .*amlops/records',
        ['PUT', /amlops\/records/],
        /was not moved \(none\)/,
      ],
    ] as [string, string, [string, RegExp], RegExp][])
      it(`${what}: nothing between, it says what is left, and the next attempt completes it`, async () => {
        const name = `c-${what.split(' ').at(-1)}`;
        done(await step('RegisterModel', 'dev', { ...make(name, 0.9, 60), modelName: name }), 'registered');
        const inputs = { modelName: name, modelVersion: '1', targetWorkspaceName: 'prod' };
        const build = run++;
        await faultsOf(up, faults);
        const ended = await step('PromoteModel', 'dev', inputs, { build, cancel: meets(...when) });
        await faultsOf(up, '');
        assert.equal(ended.result, 'Canceled', ended.log);
        assert.ok(ended.killedBy === null || ended.killedBy === 'SIGINT', `${ended.killedBy}\n${ended.log}`);
        assert.doesNotMatch(ended.log, /clean-up was not finished/);
        assert.match(ended.log, left, ended.log);
        assert.equal(await prod.champion(name), undefined);
        done(await step('PromoteModel', 'dev', inputs, { build, attempt: 2 }), 'promoted');
        assert.equal(await prod.records(name), 1);
        assert.deepEqual(await prod.orphans(name), []);
        assert.equal((await prod.models.versions(name)).length, 1);
      });

    it('while it shares, and RegisterModel while it uploads and registers', async () => {
      const model = make('c-reg', 0.9, 60);
      const register = (build: number, cancel?: How['cancel']) =>
        step('RegisterModel', 'dev', { ...model, modelName: 'c-reg' }, { build, ...(cancel ? { cancel } : {}) });
      const build = run++;
      for (const [faults, when] of [
        ['storage=1,storage-kinds=slow,burst=1000,storage-path=^PUT .*amlops/models', ['PUT', /amlops\/models/]],
        ['rate=1,kinds=slow,burst=1000,path=/models/c-reg/versions/', ['PUT', /versions/]],
      ] as [string, [string, RegExp]][]) {
        await faultsOf(up, faults);
        const ended = await register(build, meets(...when));
        await faultsOf(up, '');
        assert.equal(ended.result, 'Canceled', ended.log);
        assert.match(ended.log, /Cancelled: (nothing was registered\. Files|c-reg:1 of workspace dev holds these bytes)/);
      }
      const registered = await register(build);
      assert.match(registered.value('outcome') ?? '', /registered|unchanged/, registered.log);
      const versions = await dev.models.versions('c-reg');
      assert.equal(versions.length, 1);
      assert.equal(versions[0]!.tags['ado.runId'], String(build));
      assert.deepEqual(await dev.orphans('c-reg'), []);

      const inputs = { modelName: 'c-reg', modelVersion: '1', targetRegistry: 'shared' };
      await faultsOf(up, 'rate=1,kinds=slow,burst=1000,path=/import$');
      const ended = await step('PromoteModel', 'dev', inputs, { build, cancel: meets('POST', /import$/) });
      await faultsOf(up, '');
      assert.equal(ended.result, 'Canceled', ended.log);
      assert.match(ended.log, /Cancelled: sharing c-reg:1 of registry shared may have been under way/);
      done(await step('PromoteModel', 'dev', inputs, { build, attempt: 2 }), 'promoted');
      assert.equal(await dev.records('c-reg'), 1);
      assert.equal((await dev.registry().versions('c-reg')).length, 1);
    });
  });
});
