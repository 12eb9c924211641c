/** `amlops environments` against the local Azure DevOps: the difference, twice, and nothing deleted unasked. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkTypes, taskChecks } from '../../src/devops/check-bodies.js';
import { applyEnvironments, planEnvironments } from '../../src/devops/environments.js';
import { parseEnvironmentsFile } from '../../src/devops/environments-file.js';
import { openEnvironmentsService, type EnvironmentsService } from '../../src/devops/environments-service.js';
import { addIdentity, Project } from '../../local/pipeline/devops/project.js';
import { LocalDevOps } from '../../local/pipeline/devops/server.js';

const text = `
environments:
- name: aml-test
- name: aml-prod
  description: production
  approvals:
  - approvers: [ada@contoso.com, ML Approvers]
    minimumApprovers: 1
    requesterCannotApprove: true
    timeoutInMinutes: 1440
  exclusiveLock: true
  pipelines: [promote]
serviceConnections:
- name: arm-prod
  branchControl:
    allowedBranches: [refs/heads/main]
  requiredTemplates:
  - {repository: fraud/aml-templates, ref: refs/tags/v1, path: stages/promote.yml}
`;

describe('environments as code', () => {
  const folder = mkdtempSync(join(tmpdir(), 'amlops-environments-'));
  let project: Project;
  let server: LocalDevOps;
  let service: EnvironmentsService;
  let token: string;
  const plan = async (yaml: string, options = { delete: false }) =>
    planEnvironments(parseEnvironmentsFile(yaml, 'environments.yml'), service, options);
  const words = (found: Awaited<ReturnType<typeof plan>>) => found.changes.map(({ action, resource }) => `${action} ${resource}`);

  before(async () => {
    project = await Project.open(join(folder, 'state'), 'fraud');
    await project.setEndpoints([
      {
        id: randomUUID(),
        name: 'arm-prod',
        type: 'azurerm',
        url: 'https://localhost/',
        authorization: { scheme: 'x', parameters: {} },
        data: {},
      },
    ]);
    await project.definition('promote', 'promote.yml');
    const admin = await project.change((document) => {
      addIdentity(document, 'ada@contoso.com');
      addIdentity(document, '[fraud]\\ML Approvers');
      return addIdentity(document, 'admin@contoso.com');
    });
    server = await LocalDevOps.start({ project, tlsFolder: join(folder, 'tls') });
    token = server.userToken(admin);
    service = await openEnvironmentsService(server.collectionUri, 'fraud', { kind: 'pat', token }, { ca: server.ca.file });
  });

  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('makes what the file says, and a second time changes nothing', async () => {
    const first = await plan(text);
    assert.deepEqual(words(first), [
      'create environment aml-test',
      'create environment aml-prod',
      'create environment aml-prod',
      'create environment aml-prod',
      'change environment aml-prod',
      'create endpoint arm-prod',
      'create endpoint arm-prod',
    ]);
    assert.equal((await project.read()).environments.length, 0, 'planning reads only');
    assert.equal(await applyEnvironments(first, service), 7);
    const { environments, checks, permissions } = await project.read();
    const prod = environments.find(({ name }) => name === 'aml-prod');
    const approval = checks.find(({ type }) => type.id === checkTypes.approval);
    assert.deepEqual(approval?.resource, { type: 'environment', id: String(prod?.id), name: 'aml-prod' });
    assert.equal((approval?.settings['approvers'] as unknown[]).length, 2);
    assert.equal(approval?.timeout, 1440);
    const branch = checks.find(({ settings }) => (settings['definitionRef'] as { id?: string })?.id === taskChecks.branchControl);
    assert.equal(branch?.resource.type, 'endpoint');
    assert.deepEqual(Object.values(permissions)[0]?.pipelines.length, 1);
    const second = await plan(text);
    assert.deepEqual(words(second), []);
    assert.equal(await applyEnvironments(second, service), 0);
  });

  it('changes a check in place and says how', async () => {
    const found = await plan(
      text
        .replace('minimumApprovers: 1', 'minimumApprovers: 2')
        .replace('[refs/heads/main]', '[refs/heads/main, refs/heads/release/*]'),
    );
    assert.deepEqual(words(found), ['change environment aml-prod', 'change endpoint arm-prod']);
    assert.match(found.changes[0]?.text ?? '', /minimumApprovers: '1' -> '2'/);
    const before = (await project.read()).checks.map(({ id }) => id).sort();
    await applyEnvironments(found, service);
    assert.deepEqual((await project.read()).checks.map(({ id }) => id).sort(), before);
    await applyEnvironments(await plan(text), service);
  });

  it('deletes only what it is told to', async () => {
    const less = text.replace('  exclusiveLock: true\n', '  exclusiveLock: false\n').replace('- name: aml-test\n', '');
    const careful = await plan(less);
    assert.deepEqual(words(careful), []);
    assert.deepEqual(careful.kept, [{ resource: 'environment aml-prod', text: 'exclusive lock' }]);
    assert.deepEqual(words(await plan(less, { delete: true })), ['delete environment aml-prod']);
    const told = await plan(`${less}delete:\n  environments: [aml-test, gone]\n`, { delete: true });
    assert.deepEqual(words(told), ['delete environment aml-prod', 'delete environment aml-test']);
    await applyEnvironments(told, service);
    assert.deepEqual(
      (await project.read()).environments.map(({ name }) => name),
      ['aml-prod'],
    );
  });

  it('refuses people, connections and pipelines that are not there, before it writes', async () => {
    const unknown = 'environments:\n- name: new\n  approvals:\n  - approvers: [nobody@contoso.com, no group]\n';
    await assert.rejects(plan(unknown), /no user or group 'nobody@contoso.com'[\s\S]*no user or group 'no group'/);
    await assert.rejects(plan('serviceConnections:\n- name: arm-nowhere\n'), /Service connection 'arm-nowhere' does not exist/);
    await assert.rejects(plan('environments:\n- name: new\n  pipelines: [nightly]\n'), /no pipeline 'nightly'/);
    assert.equal(
      (await project.read()).environments.some(({ name }) => name === 'new'),
      false,
    );
  });

  it('nobody becomes an approver for being called something like it, or by a name that two have', async () => {
    await project.change((document) => {
      for (const id of ['1', '2'])
        document.identities.push({
          id: `0000000${id}-0000-4000-8000-000000000000`,
          displayName: 'Eva Li',
          uniqueName: `eva${id}@contoso.com`,
        });
    });
    const asks = (who: string) => plan(`environments:\n- name: new\n  approvals:\n  - approvers: ['${who}']\n`);
    await assert.rejects(
      asks('eva'),
      /no user or group 'eva'[\s\S]*Similar: Eva Li \(eva1@contoso\.com\), Eva Li \(eva2@contoso\.com\)/,
    );
    await assert.rejects(asks('Eva Li'), /'Eva Li' could be any of Eva Li \(eva1@contoso\.com\), Eva Li \(eva2@/);
    await assert.rejects(asks('ML App'), /no user or group 'ML App'[\s\S]*Similar: \[fraud\]\\ML Approvers/);
    assert.equal((await asks('eva2@contoso.com')).changes.length, 2);
  });

  it('stops at the first refusal, says what was made, and goes on from there', async () => {
    const more = `${text}- name: arm-nightly\n  branchControl: {allowedBranches: [refs/heads/main]}\n`.replace(
      '- name: aml-prod',
      '- name: aml-next',
    );
    await project.setEndpoints([
      {
        id: randomUUID(),
        name: 'arm-nightly',
        type: 'azurerm',
        url: 'https://localhost/',
        authorization: { scheme: 'x', parameters: {} },
        data: {},
      },
    ]);
    const half = await plan(more);
    const made: string[] = [];
    const broken: EnvironmentsService = {
      ...service,
      addCheck: (body) =>
        made.length < 2 ? service.addCheck(body) : Promise.reject(new Error('TF50309: the permission is missing')),
    };
    await assert.rejects(
      applyEnvironments(half, broken, ({ resource }) => void made.push(resource)),
      (error: Error) => {
        assert.match(error.message, /TF50309: the permission is missing/);
        assert.match(error.message, new RegExp(`${made.length} of ${half.changes.length} changes were made; apply again`));
        return true;
      },
    );
    const rest = await plan(more);
    assert.equal(rest.changes.length, half.changes.length - made.length);
    await applyEnvironments(rest, service);
    assert.deepEqual(words(await plan(more)), []);
    // Deleted by somebody else between the look and the write: not taken for done.
    await assert.rejects(service.updateEnvironment(4711, 'x'), /4711 was not written \(HTTP 404\)/);
    await assert.rejects(
      service.updateCheck(4711, {
        ...(await service.checks('environment', '1'))[0]!,
        resource: { type: 'environment', id: '1', name: 'x' },
      }),
      /404/,
    );
    await applyEnvironments(await plan('delete: {environments: [aml-next, aml-test]}\n'), service);
  });

  it('is a command: plan and apply on standard output, wrong tokens and projects in words', async () => {
    const file = join(folder, 'environments.yml');
    writeFileSync(file, text);
    const run = async (verb: string, env: Record<string, string>, name = 'fraud') =>
      await new Promise<{ code: number; out: string; err: string }>((resolve) => {
        const args = [
          '--import',
          'tsx',
          'cli/amlops.ts',
          'environments',
          verb,
          file,
          '--organization',
          server.collectionUri,
          '--project',
          name,
        ];
        const clean = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
        execFile(process.execPath, [...args, '--ca', server.ca.file], { env: { ...clean, ...env } }, (error, out, err) =>
          resolve({ code: error ? Number(error.code) : 0, out, err }),
        );
      });
    const applied = await run('apply', { AZURE_DEVOPS_EXT_PAT: token });
    assert.match(applied.out, /environment aml-test\n {2}\+ the environment/);
    assert.equal(applied.code, 0, applied.err);
    const again = await run('apply', { AZURE_DEVOPS_TOKEN: token });
    assert.match(again.out, /Nothing to change/);
    const nobody = await run('plan', {});
    assert.equal(nobody.code, 2);
    assert.match(nobody.err, /none of AZURE_DEVOPS_TOKEN/);
    assert.match((await run('plan', { SYSTEM_ACCESSTOKEN: 'wrong' })).err, /sign-in/);
    // A pipeline's own token reads and may not change: the same words as for a person without the right.
    const made = await project.newRun({
      definitionId: 1,
      sourceBranch: 'refs/heads/main',
      sourceVersion: 'a',
      repositoryName: 'fraud',
      requestedFor: { id: '1', displayName: 'a', uniqueName: 'a' },
      templateParameters: {},
    });
    server.runs.set(made.id, made);
    writeFileSync(file, `${text}- name: arm-nightly\n  exclusiveLock: true\n`);
    const refused = await run('apply', { SYSTEM_ACCESSTOKEN: server.jobAccess(made, randomUUID()).accessToken });
    assert.equal(refused.code, 1);
    assert.match(refused.err, /Access denied[\s\S]*0 of 1 changes were made[\s\S]*lacks the permission/);
    writeFileSync(file, text);
    assert.match((await run('plan', { AZURE_DEVOPS_EXT_PAT: token }, 'nowhere')).err, /nowhere/);
  }).timeout(180_000);

  it('reads the file strictly: places and words', () => {
    const bad = 'environments:\n- name: a\n  aprovals: []\n- name: A\n  branchControl: {allowedBranches: [main]}\n';
    assert.throws(
      () => parseEnvironmentsFile(bad, 'e.yml'),
      /e\.yml \(Line: 3, Col: 3\): unknown key 'aprovals'[\s\S]*e\.yml \(Line: 5, Col: 37\)/,
    );
    assert.throws(
      () => parseEnvironmentsFile('environments:\n- name: a\n- name: A\n', 'e.yml'),
      /Line: 3, Col: 3\): 'A' appears more than once/,
    );
    assert.throws(
      () => parseEnvironmentsFile('environments:\n- name: a\ndelete: {environments: [A]}\n', 'e.yml'),
      /both described and to be deleted/,
    );
  });
});
