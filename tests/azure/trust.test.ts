/** The agent's certificates and proxy on every way out: a server that demands a client certificate, a CA of its own, proxies (task-contract B.5, B.9). */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAzure } from '../../src/azure/azure.js';
import { sendFailure } from '../../src/azure/line.js';
import { Failure } from '../../src/azure/errors.js';
import type { AgentNetwork } from '../../src/azure/types.js';
import { access } from '../../src/devops/rest.js';
import { networkOf } from '../../src/task/network.js';
import { clientArchive, clientCertificate } from '../support/client-certificate.js';
import { FakeClock, FakePlatform } from '../support/fake-platform.js';
import { serve, type TestServer } from '../support/https-server.js';
import { startProxy } from '../support/proxy.js';

describe("the agent's network", () => {
  let folder: string;
  let server: TestServer;
  let files: { ca: string; certificate: string; key: string; locked: string; stranger: string };
  const password = 'p%4ss "word"';

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-trust-'));
    const put = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const client = await clientCertificate();
    server = await serve(
      ({ path, authorized }) => {
        if (!authorized) return { status: 403 };
        return { body: path.endsWith('/oauth2/v2.0/token') ? { access_token: 'token', expires_in: 3600 } : { value: [] } };
      },
      { clientCa: client.ca },
    );
    files = {
      ca: put('ca.pem', server.ca),
      certificate: put('client.pem', client.cert),
      key: put('client-key.pem', client.key),
      locked: put('locked.pem', client.locked(password)),
      stranger: put('stranger.pem', (await clientCertificate()).key),
    };
  });
  after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const azure = (network: AgentNetwork, host = server.origin) =>
    connectAzure(
      {
        ...{ name: 'arm-test', resourceManager: host, authority: host, tenantId: 't', clientId: 'c' },
        ...{ credential: { kind: 'secret' as const, clientSecret: 'the-secret' }, ...network },
      },
      { clock: new FakeClock(), onSecret: () => undefined },
    ).request({ method: 'GET', url: '/x', retries: 0 });
  const devOps = async (network: AgentNetwork) => {
    const { RestClient } = await import('typed-rest-client/RestClient.js');
    const { handlers, options } = access(server.origin, { kind: 'bearer', token: 'job-token' }, {
      ...network,
      ...(network.proxy ? { proxy: { ...network.proxy, bypass: network.proxy.bypass.map(({ source }) => source) } } : {}),
    } as never);
    return await new RestClient('test', undefined, handlers as never, { ...options, allowRetries: false }).get(
      `${server.origin}/y`,
    );
  };
  const refused = (code: string, words: RegExp) => (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code);
    assert.match(`${error.message} ${error.details.advice}`, words);
    return true;
  };

  it('shows its client certificate to Azure and to Azure DevOps: a PEM pair, an encrypted key, an archive', async () => {
    const { ca, certificate, key, locked } = files;
    const archive = await clientArchive(folder, certificate, key, password);
    const pairs = [{ certificate, key }, { certificate, key: locked, password }, ...(archive ? [{ archive, password }] : [])];
    for (const clientCertificate of pairs) {
      assert.equal((await azure({ ca, clientCertificate })).status, 200);
      assert.equal((await devOps({ ca, clientCertificate })).statusCode, 200);
    }
    for (const without of [azure({ ca }), devOps({ ca })]) await assert.rejects(without);
    const alert = Object.assign(new Error('alert number 116'), { code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' });
    assert.match(sendFailure(alert, 'sign in', server.origin, 0).details.advice ?? '', /client certificate.*--sslclientcert/);
  });

  it('says what is wrong with its files', async () => {
    const { ca, certificate, key, locked, stranger } = files;
    const nothing = join(folder, 'nothing.pem');
    for (const [network, code, words] of [
      [{ ca: nothing }, 'CaUnreadable', /nothing\.pem cannot be read.*--sslcacert/],
      [{ ca: key.replace('client-key', 'empty') }, 'CaUnreadable', /empty\.pem holds no certificate/],
      [{ ca, clientCertificate: { certificate: nothing, key } }, 'ClientCertUnreadable', /nothing\.pem \(Agent\.ClientCert\)/],
      [{ ca, clientCertificate: { certificate } }, 'ClientCertUnreadable', /without its private key/],
      [{ ca, clientCertificate: { certificate, key: stranger } }, 'ClientCertUnreadable', /must belong together/],
      [{ ca, clientCertificate: { certificate, key: locked, password: 'wrong' } }, 'ClientCertUnreadable', /ClientCertPassword/],
    ] as const) {
      writeFileSync(join(folder, 'empty.pem'), 'no certificate');
      await assert.rejects(azure(network), refused(code, words));
    }
  });

  it('trusts the CA only where it is told, and everybody only where the agent does', async () => {
    const { certificate, key, ca } = files;
    const clientCertificate = { certificate, key };
    await assert.rejects(azure({ clientCertificate }), (error) => {
      assert.match((error as Failure).details.advice ?? '', /not trusted here/);
      return true;
    });
    assert.equal((await azure({ clientCertificate, skipCertValidation: true })).status, 200);
    assert.equal((await devOps({ clientCertificate, skipCertValidation: true })).statusCode, 200);
    // Asked by a name that is not in the certificate: only an agent that verifies nothing goes on.
    const other = server.origin.replace('localhost', 'deep.er.localhost');
    await assert.rejects(azure({ ca, clientCertificate }, other), /ALTNAME/);
    assert.equal((await azure({ ca, clientCertificate, skipCertValidation: true }, other)).status, 200);
  });

  it('goes through proxies that speak http or https, with credentials as they are', async () => {
    const { ca, certificate, key } = files;
    const clientCertificate = { certificate, key };
    for (const secure of [false, true]) {
      const proxy = await startProxy({ secure, credentials: `user:${password}` });
      try {
        // The path is no part of what a bypass list speaks of.
        const way = { url: proxy.url, username: 'user', password, bypass: [/bypassed/i, /\/x/, /manager$/] };
        const named = server.origin.replace('localhost', 'manager.test');
        assert.equal((await azure({ ca, clientCertificate, proxy: way }, named)).status, 200);
        assert.deepEqual(new Set(proxy.asked), new Set([`manager.test:${server.port}`]));
        await assert.rejects(azure({ ca, clientCertificate, proxy: { ...way, password: 'wrong' } }, named), /HTTP 407/);
        // A list for one host only, as the agent writes it.
        const around = { ...way, bypass: [new RegExp(`^https://manager\\.test:${server.port}$`, 'i')] };
        await assert.rejects(azure({ ca, clientCertificate, proxy: around }, named), /ENOTFOUND|EAI_AGAIN/);
        // This machine itself is not behind the proxy.
        proxy.asked.length = 0;
        assert.equal((await devOps({ ca, clientCertificate, proxy: way })).statusCode, 200);
        assert.deepEqual(proxy.asked, []);
      } finally {
        await proxy.close();
      }
    }
  });

  it('is read from the variables of the agent once, and refused where it is no address', () => {
    const variables = {
      'Agent.CAInfo': '/ca.pem',
      'Agent.ClientCert': '/c.pem',
      'Agent.ClientCertKey': '/k.pem',
      'Agent.ClientCertArchive': '/a.pfx',
      'Agent.ClientCertPassword': 'client-pass',
      'Agent.SkipCertValidation': 'TRUE',
      'Agent.ProxyUrl': 'http://proxy:8080/',
      'Agent.ProxyUsername': 'me',
      'Agent.ProxyPassword': 'proxy-pass',
      'Agent.ProxyBypassList': '["\\\\.corp$","(("]',
    };
    const platform = new FakePlatform({}, variables);
    assert.deepEqual(networkOf(platform), {
      ca: '/ca.pem',
      proxy: { url: 'http://proxy:8080/', username: 'me', password: 'proxy-pass', bypass: [/\.corp$/i] },
      clientCertificate: { certificate: '/c.pem', key: '/k.pem', archive: '/a.pfx', password: 'client-pass' },
      skipCertValidation: true,
    });
    networkOf(platform);
    assert.equal(platform.warnings.length, 2);
    assert.deepEqual([...platform.secrets], ['proxy-pass', Buffer.from('me:proxy-pass').toString('base64'), 'client-pass']);
    // A password within the address is a secret in every form, also where the address is none.
    const inside = 'http://us%65r:p%40ss:w%C3%B6rd@proxy:8080';
    const forms = ['p%40ss:w%C3%B6rd', 'p@ss:wörd', Buffer.from('user:p@ss:wörd').toString('base64')];
    const told = new FakePlatform({}, { 'Agent.ProxyUrl': inside });
    assert.equal(networkOf(told).proxy?.url, inside);
    assert.deepEqual([...told.secrets], forms);
    for (const url of [inside.replace('http', 'socks5'), inside.replace('http://', ''), inside.replace('8080', 'none')]) {
      const bad = new FakePlatform({}, { 'Agent.ProxyUrl': url });
      assert.throws(
        () => networkOf(bad),
        (error) => !(error as Failure).message.includes('rd@') && (error as Failure).message.includes('***@proxy'),
      );
      assert.deepEqual([...bad.secrets], forms);
    }
    assert.deepEqual(networkOf(new FakePlatform({}, { 'Agent.SkipCertValidation': 'false' })), {});
    for (const url of ['proxy:8080', 'socks5://proxy:1080', 'http://'])
      assert.throws(() => networkOf(new FakePlatform({}, { 'Agent.ProxyUrl': url })), refused('ProxyInvalid', /--proxyurl/));
  });
});
