/** What stands between an agent and Azure: names that do not resolve, lines that hang, pages of a proxy, clocks that are set, signatures that expire. */
import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import sinon from 'sinon';
import { connectAzure, systemClock } from '../../src/azure/azure.js';
import { resuming } from '../../src/azure/blob-stream.js';
import { Http } from '../../src/azure/http.js';
import { passesByItself, sendFailure } from '../../src/azure/line.js';
import type { AzureConnection, BlobAuth } from '../../src/azure/types.js';
import { FakeClock } from '../support/fake-platform.js';
import { connectionTo, serve, type Asked, type Reply, type TestServer } from '../support/https-server.js';
import { failureOf } from '../support/issuer.js';
import { Readable } from 'node:stream';

let server: TestServer;
let answer: (asked: Asked) => Reply | Promise<Reply>;
let clock: FakeClock;
let said: string[];
let signIn: Reply | undefined;

function connect(changes: Partial<AzureConnection> = {}) {
  return connectAzure(connectionTo(server, changes), { clock, onSecret: () => undefined, onTrouble: (text) => said.push(text) });
}

describe('between the agent and Azure', () => {
  before(async () => {
    server = await serve((asked) => {
      if (!asked.path.endsWith('/oauth2/v2.0/token')) return answer(asked);
      return signIn ?? { body: { access_token: 'token-1', expires_in: 3600 } };
    });
  });
  after(() => server.close());
  beforeEach(() => {
    clock = new FakeClock();
    said = [];
    signIn = undefined;
    server.asked.length = 0;
  });
  afterEach(() => {
    sinon.restore();
    syncBuiltinESMExports();
  });
  const calls = () => server.asked.filter(({ path }) => !path.endsWith('/token'));

  /** Names below `.test` resolve to this machine while `code()` gives none. */
  function resolver(code: () => string | undefined): { asked: () => number } {
    let asked = 0;
    sinon.stub(dns, 'lookup').callsFake(((host: string, options: { all?: boolean }, done: (...all: unknown[]) => void) => {
      asked++;
      const error = code();
      if (error) done(Object.assign(new Error(`getaddrinfo ${error} ${host}`), { code: error, syscall: 'getaddrinfo' }));
      else if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }]);
      else done(null, '127.0.0.1', 4);
    }) as never);
    syncBuiltinESMExports();
    return { asked: () => asked };
  }

  describe('names', () => {
    const named = () => connect({ resourceManager: `https://manager.test:${server.port}` });

    it('a name that never was one is said within seconds, with what to do', async () => {
      const { asked } = resolver(() => 'ENOTFOUND');
      const before = clock.now();
      const error = await failureOf(named().request({ method: 'GET', url: '/x' }));
      assert.equal(error.code, 'ENOTFOUND');
      assert.match(`${error.message} ${error.details.advice}`, /manager\.test.*after 3 tries.*check its spelling/);
      assert.equal(asked(), 3);
      assert.ok(clock.now() - before < 5_000);
    });

    for (const code of ['ENOTFOUND', 'EAI_AGAIN']) {
      it(`${code} of a name that was there is waited out, also for a POST, because nothing was sent; it is told once`, async () => {
        let out = 0;
        resolver(() => (out-- > 0 ? code : undefined));
        answer = () => ({ headers: { Connection: 'close' }, body: { ok: true } });
        const one = named();
        await one.request({ method: 'GET', url: '/x' });
        for (const method of ['GET', 'POST'] as const) {
          said.length = 0;
          out = 5;
          const { body, ambiguous } = await one.request({ method, url: '/x' });
          assert.deepEqual([body, ambiguous], [{ ok: true }, false]);
          assert.equal(said.length, 1);
          assert.match(said[0] ?? '', new RegExp(`^No answer from manager\\.test:\\d+ \\(${code}: .*; trying again`));
        }
      });
    }

    it('an address where nobody answers is passed over for the next, of whatever family', async () => {
      const both = [
        { address: '::1', family: 6 },
        { address: '127.0.0.1', family: 4 },
      ];
      for (const addresses of [both, [...both].reverse()]) {
        sinon
          .stub(dns, 'lookup')
          .callsFake(((_host: string, _options: unknown, done: (...all: unknown[]) => void) => done(null, addresses)) as never);
        syncBuiltinESMExports();
        answer = () => ({ headers: { Connection: 'close' }, body: { ok: true } });
        assert.deepEqual((await named().request({ method: 'GET', url: '/x', retries: 0 })).body, { ok: true });
        sinon.restore();
      }
    });

    it('an upload goes on after two minutes without a name', async () => {
      let until = 0;
      resolver(() => (clock.now() < until ? 'ENOTFOUND' : undefined));
      answer = () => ({ status: 201, headers: { Connection: 'close' } });
      const one = named();
      const container = one.blobs(`https://manager.test:${server.port}/c`, { kind: 'sas', token: 'sig=x' });
      await container.putBlock('b', 'one', Buffer.from('1'));
      until = clock.now() + 120_000;
      await container.putBlock('b', 'two', Buffer.from('2'));
      assert.ok(clock.now() >= until);
      assert.equal(said.length, 1);
    });
  });

  describe('pages in place of answers', () => {
    const page = '<!DOCTYPE html>\r\n<html><head><title>Access\n##vso[task.complete result=Succeeded]denied</title></head>…';

    it('are never an answer, whatever their status says; what they say is quoted, not believed', async () => {
      for (const status of [200, 203, 302, 403, 404, 407]) {
        answer = () => ({
          status,
          headers: { 'Content-Type': 'text/html', Location: 'https://portal.example/login' },
          body: page,
        });
        const error = await failureOf(connect().request({ method: 'GET', url: '/x', operation: 'read job j', accept: [404] }));
        assert.equal(error.code, 'NotFromAzure', String(status));
        assert.match(error.message, /^Could not read job j at localhost:\d+: .*\(HTTP \d+\)/);
        assert.match(error.message, status === 302 ? /redirects to portal\.example/ : /a web page came \("Access ##vso/);
        assert.ok(!/[\r\n]/.test(error.message));
        assert.match(error.details.advice ?? '', /proxy.*Agent\.ProxyUrl/);
        assert.equal(passesByItself(error), true);
      }
      answer = () => ({ status: 502, body: '<html><title>Bad gateway</title></html>' });
      assert.match((await failureOf(connect().request({ method: 'POST', url: '/x' }))).message, /Bad gateway \(HTTP 502\)/);
      answer = () => ({ headers: { 'Content-Type': 'application/json' }, body: '{"name":"j","prop' });
      assert.equal((await failureOf(connect().request({ method: 'GET', url: '/x' }))).code, 'NotFromAzure');
      // Azure's own services sign theirs.
      answer = () => ({ status: 404, headers: { 'x-ms-request-id': 'r' }, body: '<html></html>' });
      assert.equal((await connect().request({ method: 'GET', url: '/x', accept: [404] })).status, 404);
    });

    it('are no token, and no blob; a blob that is a page is one', async () => {
      signIn = { headers: { 'Content-Type': 'text/html' }, body: page };
      assert.equal((await failureOf(connect().request({ method: 'GET', url: '/x' }))).code, 'NotFromAzure');
      signIn = { status: 403, headers: { 'Content-Type': 'text/html' }, body: page };
      const refused = await failureOf(connect().request({ method: 'GET', url: '/x' }));
      assert.ok(refused.code === 'NotFromAzure' && !refused.message.includes('<html'));
      const container = connect().blobs(`${server.origin}/c`, { kind: 'sas', token: 'sig=x' });
      answer = () => ({ headers: { 'Content-Type': 'text/html' }, body: page });
      for (const work of [
        () => container.writeBytes('b', Buffer.from('1')),
        () => container.head('b'),
        () => container.read('b'),
        () => container.readBytes('b'),
      ])
        assert.equal((await failureOf(work())).code, 'NotFromAzure');
      answer = () => ({ headers: { 'Content-Type': 'text/html', 'x-ms-request-id': 'r' }, body: page });
      assert.equal((await container.readBytes('b'))?.bytes.toString(), page);
    });

    it('a redirect is not followed, and no token goes along', async () => {
      const other = await serve(() => ({ body: {} }));
      try {
        for (const status of [301, 302, 307, 308]) {
          answer = () => ({ status, headers: { Location: `${other.origin}/steal` } });
          const container = connect().blobs(`${server.origin}/c`, { kind: 'entra' });
          for (const work of [connect().request({ method: 'GET', url: '/x' }), container.writeBytes('b', Buffer.from('1'))])
            assert.equal((await failureOf(work)).code, 'NotFromAzure');
        }
        assert.equal(other.asked.length, 0);
      } finally {
        await other.close();
      }
    });
  });

  describe('how long is waited', () => {
    it('garbage and "at once" in Retry-After do not make a loop', async () => {
      for (const value of ['0', '-7', 'soon', '5, 10', 'Thu, 01 Jan 1970 00:00:00 GMT', '1e99x']) {
        answer = () => ({ status: 503, headers: { 'Retry-After': value } });
        const before = clock.now();
        await failureOf(connect().request({ method: 'GET', url: '/x' }));
        assert.ok(clock.now() - before > 10_000, `${value}: ${clock.now() - before}`);
      }
      answer = () => ({ status: 429, headers: { 'Retry-After': '90' } });
      said.length = 0;
      await failureOf(connect().request({ method: 'GET', url: '/x', retries: 1 }));
      assert.match(said.join(), /answers HTTP 429; trying again in 90 s/);
    });

    it('the clock of the process is not set by anybody', () => {
      const before = systemClock.now();
      const real = Date.now();
      sinon.stub(Date, 'now').returns(real - 5 * 3_600_000);
      assert.ok(Math.abs(systemClock.now() - before) < 60_000);
      assert.ok(systemClock.date() < before - 4 * 3_600_000);
    });
  });

  describe('lines that hang', () => {
    let plain: Server;
    let reply: (response: ServerResponse) => void;
    before(async () => {
      plain = createServer((_request, response) => reply(response));
      await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    });
    after(() => {
      plain.closeAllConnections();
      plain.close();
    });
    const ask = (more: { maxBytes?: number; timeoutMs?: number } = {}) =>
      new Http({ clock: systemClock }).send({
        method: 'GET',
        url: `http://127.0.0.1:${(plain.address() as AddressInfo).port}/x`,
        plainHttp: true,
        operation: 'read it',
        timeoutMs: 150,
        ...more,
      });
    const timers: NodeJS.Timeout[] = [];
    afterEach(() => timers.splice(0).forEach((timer) => clearInterval(timer)));

    it('no answer, headers and then nothing, a byte now and then: each ends', async () => {
      reply = () => undefined;
      assert.match((await failureOf(ask())).message, /no answer within/);
      reply = (response) => response.writeHead(200).flushHeaders();
      assert.match((await failureOf(ask())).message, /no answer within/);
      reply = (response) => {
        response.writeHead(200);
        timers.push(setInterval(() => response.write('x'), 20));
      };
      assert.match((await failureOf(ask())).message, /ETIMEDOUT: only \d+ bytes of the answer came/);
    });

    it('a bomb and a body without end are cut off, and the line is closed', async () => {
      const bomb = gzipSync(Buffer.alloc(4_000_000));
      reply = (response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb);
      assert.equal((await failureOf(ask({ maxBytes: 100_000, timeoutMs: 10_000 }))).code, 'ReplyTooLarge');
      let closed: Promise<unknown> | undefined;
      reply = (response) => {
        closed = new Promise((resolve) => response.once('close', resolve));
        response.writeHead(200);
        const more = () => {
          while (!response.destroyed && response.write('x'.repeat(50_000)));
          if (!response.destroyed) response.once('drain', more);
        };
        more();
      };
      assert.equal((await failureOf(ask({ maxBytes: 100_000, timeoutMs: 10_000 }))).code, 'ReplyTooLarge');
      await closed;
    });

    it('a compressed answer that is cut short is a broken line', async () => {
      const half = gzipSync(Buffer.from(JSON.stringify(Array.from({ length: 5_000 }, Math.random)))).subarray(0, 9_000);
      reply = (response) => {
        response.writeHead(200, { 'Content-Encoding': 'gzip' });
        response.write(half, () => response.destroy());
      };
      const error = await failureOf(ask({ timeoutMs: 60_000 }));
      assert.ok(passesByItself(error), `${error.code} ${error.message}`);
    });

    it('a blob that is stored compressed is looked at, and read as it is stored', async () => {
      const stored = gzipSync('what is in it');
      const headers = { 'Content-Encoding': 'gzip', 'Content-Length': String(stored.length), 'x-ms-meta-a': '1' };
      answer = ({ method }) => ({ headers, ...(method === 'HEAD' ? {} : { body: stored }) });
      const container = connect().blobs(`${server.origin}/c`, { kind: 'sas', token: 'sig=s' });
      assert.deepEqual((await container.head('a.gz'))?.metadata, { a: '1' });
      assert.ok((await container.readBytes('a.gz'))?.bytes.equals(stored));
    });

    it('a blob that stays open and brings nothing is asked for again where it stopped', async () => {
      const fake = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      const silent = new Readable({ read: () => undefined });
      silent.push('abc');
      const asked: number[] = [];
      const reopen = async (position: number) => {
        asked.push(position);
        return Readable.from([Buffer.from('def')]);
      };
      const pieces: Buffer[] = [];
      const reading = (async () => {
        for await (const piece of resuming(silent, 0, 6, reopen, undefined)) pieces.push(piece);
      })();
      for (let tries = 0; tries < 20 && asked.length === 0; tries++) {
        await new Promise((resolve) => setImmediate(resolve));
        fake.tick(30_000);
      }
      await reading;
      assert.deepEqual([asked, Buffer.concat(pieces).toString()], [[3], 'abcdef']);
      assert.ok(silent.destroyed);
    });
  });

  describe('a SAS that storage takes no more', () => {
    const refusal = (code: string): Reply => ({ status: 403, headers: { 'x-ms-error-code': code } });
    const container = (next: () => Promise<BlobAuth | undefined>) =>
      connect().blobs(`${server.origin}/c`, { kind: 'sas', token: 'sig=old', renewal: { next } });

    it('is exchanged once for all requests, as often as it expires', async () => {
      let valid = 'sig-0';
      let made = 0;
      const next = async (): Promise<BlobAuth> => ({ kind: 'sas', token: `sig=${(valid = `sig-${++made}`)}`, renewal: { next } });
      answer = ({ query }) => (query.get('sig') === valid ? { status: 201 } : refusal('AuthenticationFailed'));
      const one = container(next);
      for (const round of [1, 2, 3]) {
        await Promise.all(['a', 'b', 'c', 'd'].map((name) => one.writeBytes(name, Buffer.from(name))));
        assert.equal(made, round);
        valid = 'nobody has this one';
      }
    });

    it('was taken when storage has answered anything but that it is not', async () => {
      let valid = '';
      let made = 0;
      const next = async (): Promise<BlobAuth> => ({ kind: 'sas', token: `sig=${(valid = `sig-${++made}`)}`, renewal: { next } });
      answer = ({ query }) => (query.get('sig') === valid ? { status: 404 } : refusal('AuthenticationFailed'));
      const one = container(next);
      for (const round of [1, 2, 3]) {
        assert.equal(await one.head('is it there?'), undefined);
        assert.equal(made, round);
        valid = 'over';
      }
    });

    it('is not exchanged for a refusal that is meant, and a fresh one that is refused ends it', async () => {
      let made = 0;
      const next = async (): Promise<BlobAuth> => ({ kind: 'sas', token: `sig=fresh-${++made}`, renewal: { next } });
      answer = () => refusal('AuthorizationFailure');
      const firewall = await failureOf(container(next).writeBytes('a', Buffer.from('a')));
      assert.deepEqual([firewall.code, made], ['AuthorizationFailure', 0]);
      answer = () => refusal('AuthenticationFailed');
      const one = container(next);
      for (const name of ['a', 'b'])
        assert.equal((await failureOf(one.writeBytes(name, Buffer.from(name)))).code, 'AuthenticationFailed');
      assert.equal(made, 1);
      assert.equal(calls().length, 4);
    });
  });

  describe('a proxy', () => {
    let proxy: Server;
    let line: string[];
    let opened = 0;
    before(async () => {
      proxy = createServer();
      proxy.on('connect', (_request, client) => {
        opened++;
        client.on('error', () => client.destroy());
        const said = line.length > 1 ? line.shift() : line[0];
        if (said === 'close') client.destroy();
        else client.end(`HTTP/1.1 ${said}\r\nContent-Length: 0\r\n\r\n`);
      });
      await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    });
    after(() => proxy.close());
    beforeEach(() => (opened = 0));
    const through = (changes: Partial<NonNullable<AzureConnection['proxy']>> = {}) =>
      connect({
        resourceManager: `https://manager.test:${server.port}`,
        proxy: { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, bypass: [], ...changes },
      });

    const password = 'p%40 ss:"wörd';
    for (const [said, code, tries, words] of [
      ['407 Proxy Authentication Required', 'ProxyCredentials', 1, /HTTP 407.*Agent\.ProxyPassword.*--proxypassword/],
      ['407 No\r\nProxy-Authenticate: NTLM', 'ProxyCredentials', 1, /it takes NTLM.*Only Basic/],
      ['403 Forbidden', 'ProxyForbids', 1, /HTTP 403.*\.proxybypass/],
      ['502 Bad Gateway', 'ProxyUnable', 6, /after 6 tries.*HTTP 502.*check the spelling/],
      ['504 Gateway Timeout', 'ProxyUnable', 6, /HTTP 504/],
      ['close', 'ECONNRESET', 6, /agent's proxy that does not answer.*Agent\.ProxyUrl/],
    ] as const) {
      it(`that says "${said.replace(/\s+/g, ' ')}" is told from Azure, and never with its password`, async () => {
        line = [said];
        const error = await failureOf(through({ username: 'me', password }).request({ method: 'GET', url: '/x' }));
        const text = `${error.message} ${error.details.advice}`;
        assert.equal(error.code, code);
        assert.match(text, words);
        assert.equal(opened, tries);
        for (const form of [password, encodeURIComponent(password), Buffer.from(`me:${password}`).toString('base64')])
          assert.ok(!text.includes(form) && !said.includes(form));
      });
    }

    it('that is not there is named', async () => {
      const url = 'http://127.0.0.1:1';
      const error = await failureOf(through({ url }).request({ method: 'GET', url: '/x', retries: 0 }));
      assert.match(`${error.message} ${error.details.advice}`, /proxy 127\.0\.0\.1:1: connect ECONNREFUSED.*Agent\.ProxyUrl/);
    });

    it('that fails for a while is waited out, also for a POST', async () => {
      line = ['502 Bad Gateway', 'close', '503 Busy'];
      const error = await failureOf(through().request({ method: 'POST', url: '/x' }));
      assert.deepEqual([error.code, opened], ['ProxyUnable', 6]);
    });
  });

  it('certificates: each trouble has its own way out', () => {
    const words: [string, RegExp][] = [
      ['SELF_SIGNED_CERT_IN_CHAIN', /--sslcacert.*Agent\.CAInfo.*NODE_EXTRA_CA_CERTS/],
      ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /NODE_EXTRA_CA_CERTS/],
      ['CERT_HAS_EXPIRED', /clock.*renew/],
      ['ERR_TLS_CERT_ALTNAME_INVALID', /another than the one that was asked for/],
      ['EPROTO', /does not speak TLS/],
    ];
    for (const [code, advice] of words) {
      const failure = sendFailure(Object.assign(new Error('x'), { code }), 'sign in', 'https://login.example/', 0);
      assert.match(failure.details.advice ?? '', advice, code);
    }
    // Several addresses, none of which can be connected.
    const none = sendFailure(Object.assign(new Error(''), { code: 'ETIMEDOUT' }), 'sign in', 'https://login.example/', 0);
    assert.match(none.message, /none of its addresses can be connected/);
  });
});
