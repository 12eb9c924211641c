/** The unmodified azure-devops-node-api reads and changes a run on the local Azure DevOps, over https with a bearer token. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { get } from 'node:https';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import AdmZip from 'adm-zip';
import { decodeJwt } from 'jose';
import { getBearerHandler, getPersonalAccessTokenHandler, WebApi } from 'azure-devops-node-api';
import { BuildResult, BuildStatus, TaskResult, TimelineRecordState } from 'azure-devops-node-api/interfaces/BuildInterfaces.js';
import { createDevOps } from '../../../../src/devops/client.js';
import { parseEnvironmentsFile } from '../../../../src/devops/environments-file.js';
import { runIdentity } from '../../../../src/devops/identity.js';
import { addIdentity, Project } from '../../../../local/pipeline/devops/project.js';
import type { RunState } from '../../../../local/pipeline/devops/run-state.js';
import { LocalDevOps } from '../../../../local/pipeline/devops/server.js';
import { approvalOf, openSuite } from '../../../../local/pipeline/devops/suites.js';
import type { Identity } from '../../../../local/pipeline/devops/types.js';

describe('local Azure DevOps', () => {
  const folder = mkdtempSync(join(tmpdir(), 'amlops-devops-'));
  let project: Project;
  let server: LocalDevOps;
  let run: RunState;
  let person: Identity;
  let api: WebApi;

  before(async () => {
    project = await Project.open(join(folder, 'state'), 'Fraud detection');
    await project.setEndpoints([
      {
        id: randomUUID(),
        name: 'arm-prod',
        type: 'azurerm',
        url: 'https://localhost:1/',
        authorization: { scheme: 'WorkloadIdentityFederation', parameters: { tenantid: 't', serviceprincipalid: 'c' } },
        data: {},
      },
    ]);
    await project.applyFile(
      parseEnvironmentsFile(
        'environments:\n- name: aml-prod\n  approvals:\n  - approvers: ["ada@contoso.com"]\n    requesterCannotApprove: true\n',
        'environments.yml',
      ),
    );
    person = await project.change((document) => addIdentity(document, 'ada@contoso.com'));
    const requester = await project.change((document) => addIdentity(document, 'bob@contoso.com'));
    const definition = await project.definition('promote', 'azure-pipelines.yml');
    run = await project.newRun({
      definitionId: definition.id,
      sourceBranch: 'refs/heads/main',
      sourceVersion: 'a'.repeat(40),
      repositoryName: 'fraud',
      requestedFor: requester,
      templateParameters: {},
    });
    server = await LocalDevOps.start({ project, tlsFolder: join(folder, 'tls') });
    server.runs.set(run.id, run);
    const options = { cert: { caFile: server.ca.file }, allowRedirects: false };
    api = new WebApi(server.collectionUri.slice(0, -1), getBearerHandler(server.userToken(person)), options);
  });

  after(async () => {
    await server.close();
    await run.flush();
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows a run: build, timeline, log lines, attachments, artifacts', async () => {
    const stage = run.record('Stage', 'promote_prod', 'Promote to prod', null);
    const job = run.record('Job', 'promote_prod.promote', 'promote', stage);
    const task = run.record('Task', 'promote_prod.promote.promote', 'PromoteModel', job);
    const log = run.log();
    await run.writeLog(log.id, ['one', 'two', 'three']);
    run.update(task, { state: 'completed', result: 'succeededWithIssues', log: { id: log.id, type: 'Container', url: '' } });
    const file = join(folder, 'record.json');
    writeFileSync(file, '{"schemaVersion":1}');
    await run.attach(task, 'aml.promotion', 'record.json', file);
    await run.publish('drop', file, task.id);

    const build = await api.getBuildApi();
    const found = await build.getBuild('Fraud detection', run.id);
    assert.equal(found.status, BuildStatus.InProgress);
    assert.equal(found.definition?.name, 'promote');
    assert.equal((await build.getBuilds('Fraud detection')).length, 1);
    const timeline = await build.getBuildTimeline('Fraud detection', run.id);
    const record = timeline.records?.find(({ id }) => id === task.id);
    assert.equal(record?.state, TimelineRecordState.Completed);
    assert.equal(record?.result, TaskResult.SucceededWithIssues);
    assert.deepEqual(await build.getBuildLogLines('Fraud detection', run.id, log.id, 2, 3), ['two', 'three']);
    const [attachment] = await build.getAttachments('Fraud detection', run.id, 'aml.promotion');
    assert.match(String(attachment?._links?.self?.href), new RegExp(`${task.id}/attachments/aml.promotion/record.json$`));
    const stream = await build.getAttachment(project.id, run.id, run.run.timelineId, task.id, 'aml.promotion', 'record.json');
    let text = '';
    for await (const part of stream) text += String(part);
    assert.equal(text, '{"schemaVersion":1}');
    assert.deepEqual(
      (await build.getArtifacts('Fraud detection', run.id)).map(({ name }) => name),
      ['drop'],
    );
    await build.addBuildTag('Fraud detection', run.id, 'model:fraud:3');
    assert.deepEqual(await build.getBuildTags('Fraud detection', run.id), ['model:fraud:3']);
    const zip = await build.getArtifactContentZip('Fraud detection', run.id, 'drop');
    const parts: Buffer[] = [];
    for await (const part of zip) parts.push(Buffer.from(part as Uint8Array));
    assert.deepEqual(
      new AdmZip(Buffer.concat(parts)).getEntries().map(({ entryName }) => entryName),
      ['drop/record.json'],
    );
    assert.deepEqual(
      await build.getBuildLogLines('Fraud detection', run.id, run.log().id),
      [],
      'a step that has said nothing yet',
    );
    assert.equal(
      await build.getBuild('Fraud detection', 999).then(
        (missing) => missing,
        () => null,
      ),
      null,
    );
  });

  it('has environments, variable groups and service connections for the same client', async () => {
    const agent = await api.getTaskAgentApi();
    const added = await agent.addEnvironment({ name: 'aml-test' }, 'Fraud detection');
    await agent.updateEnvironment({ description: 'test' }, 'Fraud detection', added.id ?? 0);
    assert.equal((await agent.getEnvironmentById('Fraud detection', added.id ?? 0)).description, 'test');
    await assert.rejects(agent.addEnvironment({ name: 'AML-test' }, 'Fraud detection'), /already exists/);
    await agent.deleteEnvironment('Fraud detection', added.id ?? 0);
    assert.deepEqual(
      (await agent.getEnvironments('Fraud detection')).map(({ name }) => name),
      ['aml-prod'],
    );
    const group = await agent.addVariableGroup({
      name: 'aml-prod',
      variables: { a: { value: '1' }, b: { value: 'x', isSecret: true } },
    });
    const read = await agent.getVariableGroup('Fraud detection', group.id ?? 0);
    assert.deepEqual(read.variables, { a: { value: '1' }, b: { value: null, isSecret: true } });
    const endpoints = await (await api.getServiceEndpointApi()).getServiceEndpointsByNames('Fraud detection', ['ARM-prod']);
    assert.equal(endpoints[0]?.authorization?.scheme, 'WorkloadIdentityFederation');
  });

  it('filters and pages builds, environments and deployments, and refuses in the service’s form', async () => {
    const build = await api.getBuildApi();
    const { definitionId, requestedFor } = run.run;
    const facts = {
      definitionId,
      sourceBranch: 'refs/heads/x',
      sourceVersion: 'b',
      repositoryName: 'fraud',
      requestedFor,
      templateParameters: {},
    };
    const other = await project.newRun(facts);
    Object.assign(other.run, { status: 'completed', result: 'failed', owner: null });
    other.changed();
    await other.flush();
    const found = async (status?: BuildStatus, result?: BuildResult, branch?: string) => {
      const [unset, more] = [Array<undefined>(7).fill(undefined), Array<undefined>(7).fill(undefined)];
      const given = ['Fraud detection', ...unset, status, result, ...more, branch] as unknown;
      return (await build.getBuilds(...(given as Parameters<typeof build.getBuilds>))).map(({ id }) => id);
    };
    assert.deepEqual(await found(), [other.id, run.id]);
    assert.deepEqual(await found(BuildStatus.InProgress), [run.id]);
    assert.deepEqual(await found(undefined, BuildResult.Failed), [other.id]);
    assert.deepEqual(await found(undefined, undefined, 'refs/heads/x'), [other.id]);

    const ask = (path: string, token = server.userToken(person)) =>
      new Promise<{ status?: number; headers: IncomingHttpHeaders; body: Record<string, unknown> }>((resolve, reject) => {
        const headers = { authorization: `Bearer ${token}`, 'x-tfs-fedauthredirect': 'Suppress' };
        get(new URL(path, `${server.collectionUri}${project.id}/_apis/`), { ca: server.ca.pem, headers }, (response) => {
          let body = '';
          response.on('data', (part) => (body += String(part)));
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: JSON.parse(body) as Record<string, unknown>,
            }),
          );
        }).on('error', reject);
      });
    const first = await ask('build/builds?$top=1');
    const token = String(first.headers['x-ms-continuationtoken']);
    const second = await ask(`build/builds?$top=1&continuationToken=${token}`);
    assert.deepEqual(
      [first, second].map(({ body }) => (body['value'] as { id: number }[])[0]?.id),
      [other.id, run.id],
    );
    assert.equal(second.headers['x-ms-continuationtoken'], undefined);
    const refusals: [string, number, string][] = [
      ['build/builds/99', 404, 'BuildNotFoundException'],
      ['build/builds?api-version=9.1', 400, 'VssVersionOutOfRangeException'],
      ['build/builds?api-version=latest', 400, 'InvalidRequestException'],
      ['build/builds?$top=many', 400, 'InvalidRequestException'],
      ['build/builds/1/tags/%zz', 400, 'InvalidRequestException'],
      ['../../nowhere/_apis/build/builds', 404, 'ProjectDoesNotExistWithNameException'],
      ['git/repositories', 501, 'NotImplemented'],
    ];
    for (const [path, status, typeKey] of refusals) {
      const { status: got, body } = await ask(path);
      assert.deepEqual([path, got, body['typeKey'], body['errorCode']], [path, status, typeKey, 0]);
      assert.equal(typeof body['message'], 'string');
    }
    const nobody = await ask('build/builds', 'wrong');
    assert.deepEqual([nobody.status, nobody.body['typeKey']], [401, 'UnauthorizedRequestException']);
    const lease = { daysValid: 3, definitionId, runId: other.id, ownerId: 'User:me', protectPipeline: false };
    const added = await build.addRetentionLeases([lease, lease], 'Fraud detection');
    assert.equal(new Set(added.map(({ leaseId }) => leaseId)).size, 2);
    await build.deleteRetentionLeasesById('Fraud detection', [added[0]?.leaseId ?? 0]);
    assert.equal((await build.getRetentionLeasesForBuild('Fraud detection', other.id)).length, 1);
  });

  it('signs an OIDC token for the job that asks with its own token, for nobody else', async () => {
    const jobId = randomUUID();
    const access = server.jobAccess(run, jobId);
    const asJob = new WebApi(access.uri, getBearerHandler(access.accessToken), { cert: { caFile: access.ca } });
    const id = project.endpoint('arm-prod')?.id ?? '';
    const answer = await (await asJob.getTaskApi()).createOidcToken({}, project.id, 'build', run.run.planId, jobId, id);
    assert.equal(decodeJwt(answer.oidcToken ?? '').sub, 'sc://local/Fraud detection/arm-prod');
    await assert.rejects(
      (await api.getTaskApi()).createOidcToken({}, project.id, 'build', run.run.planId, jobId, id),
      /not that of the job/,
    );
    const agent = await asJob.getTaskAgentApi();
    await assert.rejects(agent.addEnvironment({ name: 'mine' }, 'Fraud detection'), /Access denied/);
  });

  it('lets an approver answer over REST, and the job reads who it was with its own token', async () => {
    const stage = run.record('Stage', 'promote_prod', 'Promote to prod', null);
    const environment = project.environment('aml-prod');
    const resource = { type: 'environment' as const, id: String(environment?.id), name: 'aml-prod' };
    const suite = openSuite(run, stage, [resource], project.checksOf('environment', resource.id));
    const approval = approvalOf(run, suite, suite.checkRuns[0]!, project);
    const answers = `${server.collectionUri}${project.id}/_apis/pipelines/approvals?api-version=7.1-preview.1`;
    const body = [{ approvalId: approval.id, status: 'approved', comment: 'plan read' }];
    const bob = run.run.requestedFor;
    const asBob = new WebApi(server.collectionUri, getPersonalAccessTokenHandler(server.userToken(bob)), {
      cert: { caFile: server.ca.file },
    });
    await assert.rejects(asBob.rest.update(answers, body), /requested the run and may not approve/);
    await api.rest.update(answers, body);

    const job = server.jobAccess(run, randomUUID());
    const variables: Record<string, string> = {
      // What an earlier step has put there: the token does not go there, and nothing is believed that is said there.
      'System.CollectionUri': 'https://localhost:9/elsewhere/',
      'System.TeamProject': 'Fraud detection',
      'System.TeamProjectId': project.id,
      'System.DefinitionId': String(run.run.definitionId),
      'Build.BuildId': String(run.id),
      'System.StageName': 'promote_prod',
    };
    const identity = runIdentity((name) => variables[name], { url: job.uri, accessToken: job.accessToken });
    const devops = createDevOps({ ca: job.ca });
    const found = await devops.approvals(identity);
    assert.equal(found.reason, undefined);
    assert.deepEqual(
      found.approvals.map(({ actual, comment, bypassed, resource: what }) => ({ actual, comment, bypassed, what })),
      [{ actual: 'ada@contoso.com', comment: 'plan read', bypassed: false, what: 'environment aml-prod' }],
    );
    await devops.addTags(identity, ['amlops:promoted']);
    await devops.retain(identity, { days: 30, reason: 'amlops champion' });
    await devops.retain(identity, { days: 30, reason: 'amlops champion' });
    assert.equal(run.run.leases.length, 1);
    assert.ok(run.run.tags.includes('amlops:promoted'));

    const unreadable = await devops.approvals({ ...identity, accessToken: 'wrong' });
    assert.equal(unreadable.readable, false);
    assert.match(unreadable.reason ?? '', /sign-in/);
    const elsewhere = await createDevOps().approvals({ ...identity, serviceUri: 'http://localhost/x/' });
    assert.match(elsewhere.reason ?? '', /not an https URL/);
  });
});
