/** Inputs judged together, connections of every scheme, assertions pinned to the collection, outcomes. */
import assert from 'node:assert/strict';
import { Failure } from '../../src/azure/errors.js';
import { assertionSource, connectionOf } from '../../src/task/connection.js';
import { outcomeOf } from '../../src/task/outcome.js';
import { InputProblems, InputReader } from '../../src/task/inputs.js';
import type { ServiceEndpoint } from '../../src/task/platform.js';
import { parse as parseRegister } from '../../tasks/RegisterModel/inputs.js';
import { parse } from '../../tasks/RunAmlPipeline/inputs.js';
import { ownPlace, workspaceInput } from '../../tasks/shared/places.js';
import { FakePlatform } from '../support/fake-platform.js';
import { serve } from '../support/https-server.js';

const endpoint = (
  scheme: string,
  parameters: Record<string, string> = {},
  data: Record<string, string> = {},
): ServiceEndpoint => ({
  id: 'conn',
  url: 'https://management.azure.com/',
  scheme,
  parameters: { tenantid: 't', serviceprincipalid: 'c', ...parameters },
  data: {
    subscriptionid: 's',
    environment: 'AzureCloud',
    activedirectoryauthority: 'https://login.microsoftonline.com/',
    ...data,
  },
});
const secret = endpoint('ServicePrincipal', { serviceprincipalkey: 'the-client-secret' });
const problemsOf = async (inputs: Record<string, string>, endpoints: Record<string, ServiceEndpoint> = { conn: secret }) => {
  try {
    await parse(new FakePlatform(inputs, {}, endpoints));
    return [];
  } catch (error) {
    assert.ok(error instanceof InputProblems, String(error));
    return error.problems.map(({ message }) => message);
  }
};

describe('inputs', () => {
  it('readers take what is accepted in any case, to its very limits, and nothing else', () => {
    const given = {
      yes: 'TRUE',
      no: 'False',
      word: 'YES',
      least: '1',
      most: '+60',
      less: '0',
      more: '61',
      half: '1.5',
      exp: '1e1',
    };
    const lists = { lines: ' a=1 \r\n# why\n\n  b=2 # kept', names: ' model, logs ,,\n# none\n data', pick: 'ALL', none: 'some' };
    const read = new InputReader(new FakePlatform({ ...given, ...lists }, {}, { conn: secret }));
    assert.deepEqual(
      [read.boolean('yes', false), read.boolean('no', true), read.boolean('absent', true), read.boolean('absent', false)],
      [true, false, true, false],
    );
    assert.deepEqual([read.integer('least', 1, 60), read.integer('most', 1, 60), read.integer('absent', 1)], [1, 60, undefined]);
    assert.deepEqual(read.lines('lines'), ['a=1', 'b=2 # kept']);
    assert.deepEqual(read.names('names'), ['model', 'logs', 'data']);
    assert.equal(read.choice('pick', ['some', 'all'], 'some'), 'all');
    assert.equal(read.endpoint('absent', false), undefined);
    read.done();
    assert.equal(read.boolean('word', true), true);
    for (const name of ['less', 'more', 'half', 'exp']) assert.equal(read.integer(name, 1, 60), undefined, name);
    assert.equal(read.integer('less', 1), undefined);
    assert.equal(read.choice('none', ['a', 'b'], 'b'), 'b');
    assert.deepEqual([read.required('absent', 'it'), read.endpoint('absent')], ['', undefined]);
    assert.throws(
      () => read.done(),
      ({ problems }: InputProblems) => {
        const range = 'is not a whole number from 1 to 60.';
        assert.deepEqual(
          problems.map(({ message }) => message),
          [
            'Input word: "yes" is neither true nor false.',
            ...['0', '61', '1.5', '1e1'].map((value, n) => `Input ${['less', 'more', 'half', 'exp'][n]}: "${value}" ${range}`),
            'Input less: "0" is not a whole number of at least 1.',
            'Input none: "some" is not one of its values.',
            'Input absent is required but was not given.',
          ],
        );
        return problems.every(({ code }) => code === 'InputInvalid');
      },
    );
  });

  it('names of groups and workspaces never lead an address elsewhere', async () => {
    const names = (resourceGroupName: string, workspaceName: string) =>
      problemsOf({ action: 'submit', pipelineFile: 'package.json', azureSubscription: 'conn', resourceGroupName, workspaceName });
    assert.deepEqual(await names('rg-dev_(1).größe', 'ml-Dev_1'), []);
    for (const group of ['rg/../other', 'rg?x', 'rg#', 'rg.', 'r g', 'a\nb', '%2e%2e', '..', 'x'.repeat(91)]) {
      const told = await names(group, 'dev');
      assert.equal(told.length, 1, group);
      assert.match(told[0] ?? '', /^Input resourceGroupName: .* is no name of a resource group/s);
    }
    for (const workspace of ['dev/../../x', 'dev?x', '../dev', 'd.ev', 'a\nb', 'x'.repeat(34)]) {
      const told = await names('rg', workspace);
      assert.equal(told.length, 1, workspace);
      assert.match(told[0] ?? '', /^Input workspaceName: .* is no name of a workspace/s);
    }
    const read = new InputReader(
      new FakePlatform({ azureSubscription: 'conn', resourceGroupName: 'g/x', workspaceName: 'w?' }, {}, { conn: secret }),
    );
    assert.equal(
      workspaceInput(read, new FakePlatform({ azureSubscription: 'conn' }, {}, { conn: secret }), ownPlace, true),
      undefined,
    );
    assert.throws(() => read.done(), /no name of a resource group.*no name of a workspace/);
  });

  it('a name is given where it counts', async () => {
    const told = await problemsOf({
      action: 'validate',
      pipelineFile: 'package.json',
      overrides: 'name = mine\ndisplay_name=mine',
    });
    assert.deepEqual(told, [`Input overrides: "name = mine": a job's name is no override here.`]);
  });

  it('tags and properties are texts, in both tasks that have them', async () => {
    const text = 'a: {b: c}\nd: [1]\ne: 0.10';
    const told = (input: string) => ['a', 'd'].map((key) => `Input ${input}: "${key}" is a list or a mapping.`);
    const inputs = { action: 'validate', pipelineFile: 'package.json', tags: text };
    assert.deepEqual(await problemsOf(inputs), told('tags'));
    const place = { azureSubscription: 'conn', resourceGroupName: 'rg', workspaceName: 'ws' };
    const model = { ...place, modelPath: 'model', modelName: 'm' };
    const register = (more: Record<string, string>) =>
      parseRegister(new FakePlatform({ ...model, ...more }, {}, { conn: secret }));
    await assert.rejects(register({ tags: text, properties: text }), ({ problems }: InputProblems) => {
      assert.deepEqual(
        problems.map(({ message }) => message),
        [...told('tags'), ...told('properties')],
      );
      return true;
    });
    assert.deepEqual((await register({ tags: 'e: 0.10\nf:\n"g": "[text]"' })).tags, {
      e: '0.10',
      f: '',
      g: '[text]',
    });
  });

  it('every problem of every input is said in one go', async () => {
    const problems = await problemsOf({
      action: 'go',
      azureSubscription: 'nobody',
      pipelineFile: '$(file)',
      jobName: 'a b',
      jobInputs: 'a: 1\na: 2',
      tags: '- x',
      overrides: 'nonsense',
      streamLogs: 'some',
      jobTimeoutInMinutes: '1.5',
      cancelWithPipeline: 'maybe',
    });
    for (const input of [
      'action',
      'azureSubscription',
      'pipelineFile',
      'jobName',
      'jobInputs',
      'tags',
      'overrides',
      'streamLogs',
      'jobTimeoutInMinutes',
      'cancelWithPipeline',
    ]) {
      assert.ok(
        problems.some((problem) => problem.startsWith(`Input ${input}: `)),
        `${input}: ${problems.join(' | ')}`,
      );
    }
    assert.ok(problems.some((problem) => problem.includes('variable $(file) is not set')));
    assert.ok(problems.some((problem) => problem.includes('line 2, column 1')));
  });

  it('validate needs no connection, attach needs a name and no file, a scoped connection needs no names', async () => {
    assert.deepEqual(await problemsOf({ action: 'validate', pipelineFile: 'package.json' }), []);
    assert.equal(
      (await problemsOf({ action: 'attach', azureSubscription: 'conn', resourceGroupName: 'g', workspaceName: 'w' })).length,
      1,
    );
    const scope = '/subscriptions/s/resourcegroups/g/providers/Microsoft.MachineLearningServices/workspaces/w';
    const scoped = endpoint('ServicePrincipal', { serviceprincipalkey: 'the-client-secret', scope });
    assert.deepEqual(await problemsOf({ pipelineFile: 'package.json', azureSubscription: 'conn' }, { conn: scoped }), []);
    assert.equal((await problemsOf({ pipelineFile: 'package.json', azureSubscription: 'conn' })).length, 2);
  });

  it('mappings keep the text that was written', async () => {
    const read = new InputReader(
      new FakePlatform({
        m: 'rate: 0.10\nexp: 1e-5\nhex: 0x1F\nflag: yes\non: true\nquoted: "7"\nlist: [1, 2]\nempty:\ndata: azureml:d@latest',
        j: '{"a": 1.50}',
      }),
    );
    const m = await read.mapping('m');
    const texts = Object.fromEntries(Object.entries(m).map(([key, { text }]) => [key, text]));
    assert.deepEqual(texts, {
      rate: '0.10', exp: '1e-5', hex: '0x1F', flag: 'yes', on: 'true', quoted: '7', list: '[1,2]', empty: '', data: 'azureml:d@latest',
    }); // prettier-ignore
    assert.equal(m['rate']?.kind, 'number');
    assert.equal(m['quoted']?.kind, 'string');
    assert.equal((await read.mapping('j'))['a']?.text, '1.50');
    const bomb = new InputReader(new FakePlatform({ m: 'a: &a [1]\nb: *a' }));
    await bomb.mapping('m');
    assert.throws(() => bomb.done(), /aliases/);
  });

  it('every scheme in any cloud, from the connection own data', () => {
    const of = (one: ServiceEndpoint) => connectionOf(one, new FakePlatform()).azure;
    assert.deepEqual(of(secret).credential, { kind: 'secret', clientSecret: 'the-client-secret' });
    assert.equal(of(secret).authority, 'https://login.microsoftonline.com');
    const pem = endpoint('ServicePrincipal', { authenticationtype: 'spnCertificate', serviceprincipalcertificate: 'PEM' });
    assert.deepEqual(of(pem).credential, { kind: 'certificate', pem: 'PEM' });
    assert.equal(of(endpoint('WorkloadIdentityFederation')).credential.kind, 'federated');
    const managed = of(endpoint('ManagedServiceIdentity', { tenantid: '' }, { msiclientid: 'mi' }));
    assert.deepEqual([managed.credential.kind, managed.clientId], ['managedIdentity', 'mi']);
    const stack = { environment: 'AzureStack', activedirectoryserviceendpointresourceid: 'https://management.stack/guid/' };
    assert.equal(of(endpoint('WorkloadIdentityFederation', {}, stack)).scope, 'https://management.stack/guid/.default');
    const china = endpoint('WorkloadIdentityFederation', {}, { environment: 'AzureChinaCloud', activedirectoryauthority: '' });
    delete (china.data as Record<string, string>)['activedirectoryauthority'];
    assert.equal(of({ ...china, url: 'https://management.chinacloudapi.cn/' }).authority, 'https://login.chinacloudapi.cn');
    for (const bad of [endpoint('PublishProfile'), endpoint('ServicePrincipal')]) assert.throws(() => of(bad), Failure);
    const behind = new FakePlatform(
      {},
      { 'Agent.ProxyUrl': 'http://proxy:8080', 'Agent.ProxyBypassList': '["localhost","(("]', 'Agent.CAInfo': '/ca.pem' },
    );
    const { azure } = connectionOf(secret, behind);
    assert.equal(azure.ca, '/ca.pem');
    assert.deepEqual(azure.proxy, { url: 'http://proxy:8080', bypass: [/localhost/i] });
    assert.equal(behind.warnings.length, 1);
  });

  it('assertions: a plain POST with the job token, kept until a minute before they expire, only to the collection', async () => {
    let count = 0;
    const platform = new FakePlatform();
    const jwt = (seconds: number) =>
      `h.${Buffer.from(JSON.stringify({ exp: platform.clock.now() / 1000 + seconds })).toString('base64url')}.s${++count}`;
    const collection = await serve(() => ({ body: { oidcToken: jwt(600) } }));
    try {
      const system = {
        ...endpoint('OAuth', { accesstoken: 'job-token' }),
        id: 'SYSTEMVSSCONNECTION',
        url: `${collection.origin}/org/`,
      };
      const variables: Record<string, string> = {
        'System.OidcRequestUri': `${collection.origin}/org/p/_apis/oidctoken`,
        'System.CollectionUri': `${collection.origin}/org/`,
      };
      Object.assign(platform.variables, variables);
      Object.assign(platform.endpoints, { SYSTEMVSSCONNECTION: system });
      const assertion = assertionSource('conn', platform, { ca: collection.ca });
      const first = await assertion();
      await platform.clock.sleep(8 * 60_000);
      assert.equal(await assertion(), first);
      await platform.clock.sleep(61_000);
      assert.notEqual(await assertion(), first);
      const [asked] = collection.asked;
      assert.equal(asked?.method, 'POST');
      assert.equal(asked?.headers.authorization, 'Bearer job-token');
      assert.equal(asked?.query.get('api-version'), '7.1');
      assert.equal(asked?.query.get('serviceConnectionId'), 'conn');
      assert.ok(platform.secrets.has(first));
      for (const evil of ['https://evil.example/x', collection.origin.replace('https', 'http')]) {
        Object.assign(platform.variables, { 'System.OidcRequestUri': evil });
        await assert.rejects(assertionSource('conn', platform, {})(), (error) => (error as Failure).code === 'UntrustedHost');
      }
      assert.equal(collection.asked.length, 2);
    } finally {
      await collection.close();
    }
  });

  it('the outcome of a task: problems and failures are issues, a cancelled run says nothing, a bug is told from a failure', async () => {
    const platform = new FakePlatform();
    const task = (run: () => Promise<never>) => ({ name: 'T', parse: () => 0, run });
    const failure = new Failure('It broke.', { code: 'X', advice: 'Mend it.', file: 'a.yml', line: 3, requestId: 'r' });
    const failed = await outcomeOf(
      task(() => Promise.reject(failure)),
      platform,
    );
    assert.deepEqual(failed, { result: 'Failed', message: 'It broke.' });
    assert.deepEqual(platform.issues[0], {
      type: 'error',
      code: 'X',
      message: 'It broke. (a.yml:3)\nMend it.\nFor support: request r.',
      sourcePath: 'a.yml',
      line: 3,
    });
    const bug = await outcomeOf(
      task(() => Promise.reject(new TypeError('oops'))),
      platform,
    );
    assert.match(bug?.message ?? '', /fault of its own: oops/);
    const problems = await outcomeOf({ name: 'T', parse, run: () => Promise.reject(new Error()) }, new FakePlatform({}));
    assert.equal(problems?.result, 'Failed');
    platform.abort.abort();
    assert.equal(
      await outcomeOf(
        task(() => Promise.reject(failure)),
        platform,
      ),
      undefined,
    );
  });
});
