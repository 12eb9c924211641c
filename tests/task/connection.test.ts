/** Service connections as an agent gives them: what is read from where, what is secret, what is missing; and assertions that are refused. */
import assert from 'node:assert/strict';
import { Failure } from '../../src/azure/errors.js';
import { assertionSource, connectionOf } from '../../src/task/connection.js';
import type { ServiceEndpoint } from '../../src/task/platform.js';
import { FakePlatform } from '../support/fake-platform.js';
import { serve, type Reply, type TestServer } from '../support/https-server.js';

type Given = Partial<Pick<ServiceEndpoint, 'parameters' | 'data' | 'scheme'>>;
const endpoint = ({ parameters, data, scheme = 'ServicePrincipal' }: Given): ServiceEndpoint => ({
  id: 'conn-id',
  url: 'https://management.azure.com/',
  scheme,
  parameters: { tenantid: 'tenant', serviceprincipalid: 'client', serviceprincipalkey: 'the-key', ...parameters },
  data: { environment: 'AzureCloud', ...data },
});
const read = (given: Given) => {
  const platform = new FakePlatform();
  return { ...connectionOf(endpoint(given), platform), secrets: [...platform.secrets] };
};
const failure = (error: unknown): Failure => {
  assert.ok(error instanceof Failure, String(error));
  return error;
};
const without = (map: Readonly<Record<string, string>>, name: string) =>
  Object.fromEntries(Object.entries(map).filter(([key]) => key !== name));

describe('a service connection', () => {
  it('with a secret: all that requests need, the secret masked', () => {
    const { azure, secrets, ...rest } = read({
      data: { subscriptionid: 'sub', subscriptionname: 'arm-dev', resourcegroupname: 'rg', mlworkspacename: 'ws' },
    });
    assert.deepEqual(azure, {
      ...{ name: 'conn-id (arm-dev)', resourceManager: 'https://management.azure.com', tenantId: 'tenant', clientId: 'client' },
      ...{ authority: 'https://login.microsoftonline.com', subscriptionId: 'sub' },
      credential: { kind: 'secret', clientSecret: 'the-key' },
    });
    assert.deepEqual([secrets, rest], [['the-key'], { resourceGroup: 'rg', workspace: 'ws' }]);
    const bare = read({});
    assert.deepEqual(
      [Object.keys(bare).sort(), bare.azure.name, 'subscriptionId' in bare.azure],
      [['azure', 'secrets'], 'conn-id', false],
    );
  });

  it('is scoped by its address, in whichever of two places that stands; so are tenant and client', () => {
    const scope = '/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws';
    for (const given of [{ parameters: { scope } }, { data: { scope } }]) {
      const { resourceGroup, workspace } = read(given);
      assert.deepEqual([resourceGroup, workspace], ['rg', 'ws']);
    }
    const whole = endpoint({ data: { tenantid: 'other', serviceprincipalid: 'another' } });
    const of = (parameters: Record<string, string>) => connectionOf({ ...whole, parameters }, new FakePlatform()).azure;
    assert.deepEqual([of(whole.parameters).tenantId, of(whole.parameters).clientId], ['tenant', 'client']);
    const key = { serviceprincipalkey: 'the-key' };
    assert.deepEqual([of(key).tenantId, of(key).clientId], ['other', 'another']);
  });

  it('of each cloud: its own authority, else the one that is known', () => {
    const of = (data: Record<string, string>) => read({ data }).azure;
    for (const [environment, authority] of [
      ['AzureCloud', 'https://login.microsoftonline.com'],
      ['azurechinacloud', 'https://login.chinacloudapi.cn'],
      ['AzureUSGovernment', 'https://login.microsoftonline.us'],
    ] as const) {
      assert.equal(of({ environment }).authority, authority);
      assert.equal(of({ environment, activedirectoryauthority: 'https://own.example/' }).authority, 'https://own.example');
      assert.equal(of({ environment, activedirectoryserviceendpointresourceid: 'https://x/' }).scope, undefined);
    }
    const stack = { environment: 'AzureStack', environmentauthorityurl: 'https://stack.example/adfs' };
    assert.deepEqual([of(stack).authority, 'scope' in of(stack)], ['https://stack.example/adfs', false]);
    const { data } = endpoint({});
    const plain = connectionOf({ ...endpoint({}), data: without(data, 'environment') }, new FakePlatform());
    assert.equal(plain.azure.authority, 'https://login.microsoftonline.com');
  });

  it('of each kind, or what it lacks', () => {
    const pem = { serviceprincipalcertificate: 'line one\nline two' };
    const cases: [Given, object | RegExp][] = [
      [
        { parameters: { ...pem, authenticationtype: 'SpnCertificate' } },
        { kind: 'certificate', pem: pem.serviceprincipalcertificate },
      ],
      [{ parameters: { ...pem, serviceprincipalkey: '' } }, { kind: 'certificate', pem: pem.serviceprincipalcertificate }],
      [{ parameters: { ...pem, authenticationtype: 'spnKey' } }, { kind: 'secret', clientSecret: 'the-key' }],
      [{ scheme: 'managedServiceIdentity', parameters: { tenantid: '' } }, { kind: 'managedIdentity' }],
      [{ parameters: { authenticationtype: 'spnCertificate' } }, /holds no certificate\..*PEM/],
      [{ parameters: { serviceprincipalkey: '' } }, /holds no client secret\..*Set the secret again/],
      [{ scheme: 'PublishProfile' }, /uses the scheme PublishProfile,.*Use an Azure Resource Manager connection/],
      [{ parameters: { tenantid: '' } }, /names no tenant\..*Save/],
      [{ data: { environment: 'AzureMoon' } }, /cloud "AzureMoon" and names no authority\..*Save/],
    ];
    for (const [given, wanted] of cases) {
      if (!(wanted instanceof RegExp)) {
        const { azure, secrets } = read(given);
        assert.deepEqual(azure.credential, wanted);
        for (const text of [given.parameters?.['serviceprincipalcertificate'], given.parameters?.['serviceprincipalkey']])
          if (text) assert.ok(secrets.includes(text));
        assert.ok(!secrets.includes(''));
        continue;
      }
      assert.throws(
        () => read(given),
        (error) => {
          const { code, message, details } = failure(error);
          assert.equal(code, 'ConnectionUnusable');
          assert.match(`${message} ${details.advice}`, /^Service connection conn-id /);
          assert.match(`${message} ${details.advice}`, wanted);
          return true;
        },
      );
    }
    // A managed identity has no client but its own.
    const managed = read({ scheme: 'ManagedServiceIdentity' }).azure;
    assert.equal('clientId' in managed, false);
  });
});

describe('an assertion of Azure DevOps', () => {
  let server: TestServer;
  let answer: () => Reply | Promise<Reply>;
  before(async () => (server = await serve(() => answer())));
  after(() => server.close());
  beforeEach(() => {
    server.asked.length = 0;
  });

  const claims = (values: object) => `h.${Buffer.from(JSON.stringify(values)).toString('base64url')}.s`;
  const agent = (variables: Record<string, string> = {}, token = 'job-token') => {
    const url = `${server.origin}/org/`;
    const own: ServiceEndpoint = { id: '', url, scheme: 'OAuth', data: {}, parameters: token ? { accesstoken: token } : {} };
    const oidc = { 'System.OidcRequestUri': `${server.origin}/org/oidctoken?keep=1` };
    return new FakePlatform({}, { ...oidc, ...variables }, { SYSTEMVSSCONNECTION: own });
  };
  const source = (platform: FakePlatform) => assertionSource('conn', platform, { ca: server.ca });
  const refused = async (platform: FakePlatform) =>
    failure(
      await source(platform)().then(
        (value) => assert.fail(value),
        (error: unknown) => error,
      ),
    );

  it('is asked for as the service has it, again when that has failed, and given up with the cancel', async () => {
    let busy = 5;
    answer = () => (busy-- > 0 ? { status: 503 } : { body: { oidcToken: claims({ iat: 0, exp: 600 }) } });
    await source(agent())();
    const [asked] = server.asked;
    assert.equal(server.asked.length, 6);
    assert.deepEqual(
      ['authorization', 'content-type', 'accept', 'x-tfs-fedauthredirect', 'content-length'].map((name) => asked?.headers[name]),
      ['Bearer job-token', 'application/json', 'application/json', 'Suppress', '0'],
    );
    assert.equal(asked?.url, '/org/oidctoken?keep=1&api-version=7.1&serviceConnectionId=conn');
    const abort = new AbortController();
    answer = () => {
      abort.abort(new Error('enough'));
      return new Promise<never>(() => undefined);
    };
    await assert.rejects(source(agent())(abort.signal), /enough/);
    // Without the agent's own endpoint its variable has the token.
    answer = () => ({ body: { oidcToken: 'opaque' } });
    await source(agent({ 'System.AccessToken': 'of the variable' }, ''))();
    assert.equal(server.asked.at(-1)?.headers.authorization, 'Bearer of the variable');
  });

  it('serves until a minute before its end by the clock of who made it; one that says nothing, a minute', async () => {
    for (const [values, serves] of [
      [{ iat: 5_000, exp: 5_600 }, 540],
      [{ iat: '5000', exp: '5600' }, 540],
      [{}, 60],
      [{ iat: 5_000, exp: 'soon' }, 60],
    ] as const) {
      answer = () => ({ body: { oidcToken: claims(values) } });
      const platform = agent();
      const assertion = source(platform);
      server.asked.length = 0;
      await assertion();
      platform.clock.time += serves * 1_000 - 1;
      await assertion();
      assert.equal(server.asked.length, 1, JSON.stringify(values));
      platform.clock.time += 1;
      await assertion();
      assert.equal(server.asked.length, 2, JSON.stringify(values));
    }
  });

  it('says why there is none', async () => {
    const page = { 'Content-Type': 'text/html' };
    const cases: [Reply, string, RegExp][] = [
      [{ status: 401 }, 'AssertionRefused', /conn: HTTP 401 The job's own token has expired/],
      [
        { status: 203, headers: page, body: '<html>Sign in</html>' },
        'AssertionRefused',
        /: HTTP 203 The job's own token has expired/,
      ],
      [{ status: 403, body: { message: 'not yours' } }, 'AssertionRefused', /: not yours Check that this pipeline may use/],
      [{ headers: page, body: '<html>Blocked</html>' }, 'NotFromAzure', /web page/],
      [{ body: {} }, 'AssertionInvalid', /holds no oidcToken/],
      [{ body: 'no json' }, 'AssertionInvalid', /holds no oidcToken/],
      [{ body: 'null' }, 'AssertionInvalid', /holds no oidcToken/],
    ];
    for (const [reply, code, words] of cases) {
      answer = () => reply;
      const { code: said, message, details } = await refused(agent());
      assert.equal(said, code, String(words));
      assert.match(`${message} ${details.advice}`, words);
    }
    server.asked.length = 0;
    const silent: [FakePlatform, string][] = [
      [agent({}, ''), 'JobTokenMissing'],
      [agent({ 'System.OidcRequestUri': '' }), 'OidcUnavailable'],
      [agent({ 'System.OidcRequestUri': 'no address' }), 'UntrustedHost'],
      [agent({ 'System.OidcRequestUri': 'https://evil.example/', 'System.CollectionUri': 'no address' }), 'UntrustedHost'],
    ];
    for (const [platform, code] of silent) assert.equal((await refused(platform)).code, code);
    assert.equal(server.asked.length, 0);
    // The collection's own variable is as good as the agent's endpoint.
    answer = () => ({ body: { oidcToken: 'opaque' } });
    const platform = agent({ 'System.CollectionUri': `${server.origin}/org/` });
    Object.assign(platform.endpoints['SYSTEMVSSCONNECTION'] ?? {}, { url: 'https://vsrm.example/org/' });
    assert.equal(await source(platform)(), 'opaque');
  });
});
