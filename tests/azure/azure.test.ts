/** Requests, retries, operations, pages and pinning of src/azure against a small https server. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { passesByItself } from '../../src/azure/line.js';
import { connectAzure } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import type { AzureConnection } from '../../src/azure/types.js';
import { FakeClock } from '../support/fake-platform.js';
import { connectionTo, serve, type Asked, type Reply, type TestServer } from '../support/https-server.js';

let server: TestServer;
let answer: (asked: Asked) => Reply;
let tokens = 0;
let proxy: Server | undefined;
const tunnels: Duplex[] = [];
const secrets: string[] = [];
const clock = new FakeClock();

const azure = (changes: Partial<AzureConnection> = {}) =>
  connectAzure(connectionTo(server, changes), { clock, onSecret: (value) => secrets.push(value) });
const failure =
  (code: string, ...words: RegExp[]) =>
  (error: unknown) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code);
    for (const word of words) assert.match(`${error.message} ${error.details.advice}`, word);
    return true;
  };

describe('azure', () => {
  before(async () => {
    server = await serve((asked) => {
      if (asked.path.endsWith('/oauth2/v2.0/token')) return { body: { access_token: `token-${++tokens}`, expires_in: 3600 } };
      return answer(asked);
    });
  });
  after(async () => {
    proxy?.closeAllConnections();
    proxy?.close();
    for (const socket of tunnels) socket.destroy();
    await server.close();
  });
  beforeEach(() => {
    server.asked.length = 0;
    tokens = 0;
  });
  const calls = () => server.asked.filter(({ path }) => !path.endsWith('/token'));

  it('sends the token of the scope, the pinned api-version, and finds names below .localhost', async () => {
    answer = () => ({ body: { hello: 1 } });
    const url = new URL(server.origin);
    url.hostname = 'acct.blob.core.localhost';
    const one = azure({ resourceManager: url.origin });
    const { body } = await one.request<{ hello: number }>({ method: 'GET', url: '/subscriptions/s' });
    assert.equal(body.hello, 1);
    assert.equal(calls()[0]?.headers.authorization, 'Bearer token-1');
    assert.equal(calls()[0]?.query.get('api-version'), '2025-09-01');
    assert.ok(secrets.includes('token-1'));
  });

  it('waits as long as it is told to, and retries resets and 5xx of a PUT but sends a POST once', async () => {
    const replies: Reply[] = [{ status: 429, headers: { 'Retry-After': '7' } }, { reset: true }, { status: 503 }, { body: {} }];
    answer = () => replies.shift() ?? {};
    const before = clock.now();
    const put = await azure().request({ method: 'PUT', url: '/x', body: {} });
    assert.equal(put.status, 200);
    assert.equal(put.ambiguous, true);
    assert.ok(clock.now() - before >= 7000 + 800);
    answer = () => ({ status: 503 });
    server.asked.length = 0;
    await assert.rejects(azure().request({ method: 'POST', url: '/x' }), failure('Http503', /fault of its own/));
    assert.equal(calls().length, 1);
    answer = () => ({ status: 501, body: { error: { code: 'NotImplemented', message: 'Jobs_Fly is not built.' } } });
    await assert.rejects(azure().request({ method: 'GET', url: '/x' }), (error) => {
      assert.match(String((error as Failure).details.advice), /does not have this operation/);
      assert.equal(passesByItself(error), false);
      return true;
    });
    assert.equal(calls().length, 2);
    const throttled: Reply[] = [{ status: 429, headers: { 'Retry-After': '1' } }, { body: 'ok' }];
    answer = () => throttled.shift() ?? {};
    assert.equal((await azure().request({ method: 'POST', url: '/x' })).text, 'ok');
  });

  it('asks for a new token when the service refuses the old one', async () => {
    answer = ({ headers }) => (headers.authorization === 'Bearer token-1' ? { status: 401 } : { body: { ok: true } });
    assert.deepEqual((await azure().request({ method: 'GET', url: '/x' })).body, { ok: true });
    assert.equal(tokens, 2);
    const expired = {
      status: 401,
      body: { error: { code: 'ExpiredAuthenticationToken', message: 'The access token expired.' } },
    };
    const replies: Reply[] = [expired, expired, expired];
    answer = () => replies.shift() ?? { body: 'ok' };
    assert.equal((await azure().request({ method: 'POST', url: '/x' })).text, 'ok');
    answer = () => expired;
    await assert.rejects(azure().request({ method: 'GET', url: '/x' }), failure('ExpiredAuthenticationToken'));
    server.asked.length = 0;
    answer = () => ({ status: 401, body: { error: { code: 'InvalidAuthenticationToken', message: 'no' } } });
    await assert.rejects(azure().request({ method: 'GET', url: '/x' }), failure('InvalidAuthenticationToken'));
    assert.equal(calls().length, 2);
  });

  it('asks for a new token when blob storage refuses the old one, also twice in a row and without a text', async () => {
    const headers = { 'x-ms-error-code': 'InvalidAuthenticationInfo' };
    const replies: Reply[] = [
      { status: 401, headers },
      { status: 401, headers },
    ];
    answer = () => replies.shift() ?? { headers: { etag: '"1"' } };
    assert.equal((await azure().blobs(`${server.origin}/c`, { kind: 'entra' }).head('x'))?.etag, '"1"');
    assert.deepEqual(
      calls().map((asked) => asked.headers.authorization),
      ['Bearer token-1', 'Bearer token-2', 'Bearer token-3'],
    );
    answer = () => ({ status: 401, headers: { 'x-ms-error-code': 'AuthenticationFailed' } });
    await assert.rejects(azure().blobs(`${server.origin}/c`, { kind: 'entra' }).head('x'), failure('AuthenticationFailed'));
  });

  it('never sends its token to a host that nothing led to', async () => {
    answer = () => ({ body: {} });
    const one = azure();
    const other = `https://127.0.0.1:${server.port}`;
    await assert.rejects(one.request({ method: 'GET', url: `${other}/x` }), failure('UntrustedHost'));
    assert.throws(() => one.blobs('https://acct.blob.evil.example/c', { kind: 'entra' }), failure('UntrustedHost'));
    answer = () => ({ body: { value: [1], nextLink: `${other}/page2` } });
    await assert.rejects(async () => {
      for await (const item of one.list({ method: 'GET', url: '/list' })) assert.ok(item);
    }, failure('UntrustedHost'));
    assert.ok(server.asked.every(({ headers }) => !headers.host?.startsWith('127.0.0.1')));
    one.trustHost(new URL(other).host);
    answer = () => ({ body: {} });
    assert.equal((await one.request({ method: 'GET', url: `${other}/x` })).status, 200);
  });

  it('tells every signature the moment that it is received, however the reply writes it', async () => {
    const one = azure();
    const forms: [string, string][] = [
      ['{"sasUri":"https://h/c?sv=1&sig=plain%2B1&se=2"}', 'plain%2B1'],
      ['{"sasUri":"https://h/c?sv=1\\u0026sig=escaped%2B2\\u0026se=2"}', 'escaped%2B2'],
      ['{"sasToken":"sig=first%2B3&sv=1"}', 'first%2B3'],
      ['<a href="https://h/c?sv=1&amp;sig=xml%2B4&amp;se=2">', 'xml%2B4'],
    ];
    for (const [text, value] of forms) {
      for (const status of [200, 400]) {
        secrets.length = 0;
        const type = text.startsWith('<') ? 'application/xml' : 'application/json';
        answer = () => ({ status, headers: { 'content-type': type }, body: text });
        await one.request({ method: 'GET', url: '/x', accept: [400] });
        assert.ok(secrets.includes(value) && secrets.includes(decodeURIComponent(value)), `${text}: ${secrets.join()}`);
      }
    }
  });

  it('tells keys and signatures of containers and log addresses, whoever gave them', async () => {
    const one = azure();
    secrets.length = 0;
    one.blobs(`${server.origin}/c`, { kind: 'sas', token: '?sv=1&sig=of-sas' });
    one.blobs(`${server.origin}/c`, { kind: 'accountKey', account: 'a', key: 'a2V5' });
    answer = () => ({ body: 'text' });
    await one.request({ method: 'GET', url: `${server.origin}/log?sig=of%2Blog`, scope: null });
    for (const secret of ['of-sas', 'a2V5', 'of+log']) assert.ok(secrets.includes(secret), secret);
    assert.equal(calls()[0]?.headers.authorization, undefined);
  });

  it('sends nothing twice that may have been done, waits until a date, and not for hours', async () => {
    answer = () => ({ reset: true });
    await assert.rejects(azure().request({ method: 'POST', url: '/x' }), failure('ECONNRESET'));
    assert.equal(calls().length, 1);
    const dated: Reply[] = [
      { status: 429, headers: { 'Retry-After': new Date(clock.now() + 60_000).toUTCString() } },
      { status: 503 },
      { body: {} },
    ];
    answer = () => dated.shift() ?? {};
    let before = clock.now();
    assert.equal((await azure().request({ method: 'GET', url: '/x' })).ambiguous, true);
    assert.ok(clock.now() - before >= 58_000);
    answer = () => ({ status: 429, headers: { 'Retry-After': '7200' } });
    before = clock.now();
    await assert.rejects(azure().request({ method: 'GET', url: '/x' }), failure('Http429', /throttles/));
    assert.ok(clock.now() - before < 300_000);
    answer = () => ({ body: 'x'.repeat(2000) });
    await assert.rejects(azure().request({ method: 'GET', url: '/x', maxBytes: 1000 }), failure('ReplyTooLarge'));
  });

  it('ends pages that come round and operations that never end; leaves a next link as it is', async () => {
    answer = () => ({ body: { value: [1], nextLink: `${server.origin}/l?page=2` } });
    const one = azure();
    await assert.rejects(async () => {
      for await (const item of one.list({ method: 'GET', url: '/l' })) assert.ok(item);
    }, failure('PagesLoop'));
    assert.equal(calls()[1]?.query.has('api-version'), false);
    answer = ({ method }) =>
      method === 'PUT'
        ? {
            status: 201,
            headers: { 'Azure-AsyncOperation': `${server.origin}/op`, 'x-ms-async-operation-timeout': 'PT10M' },
            body: {},
          }
        : { headers: { 'Retry-After': '50' }, body: { status: 'Updating' } };
    const began = await one.request({ method: 'PUT', url: '/thing', body: {} });
    server.asked.length = 0;
    await assert.rejects(one.complete(began), failure('OperationTimeout', /10 minutes/));
    assert.ok(calls().length < 15, String(calls().length));
  });

  it('reads a blob on from where its line broke, of the same etag; knows its own write behind a broken condition', async () => {
    const text = '0123456789'.repeat(1000);
    const headers = { etag: '"1"', 'content-type': 'application/octet-stream' };
    answer = (asked) => {
      const from = Number(/bytes=(\d+)-/.exec(String(asked.headers['x-ms-range']))?.[1] ?? 0);
      if (from > 0) assert.equal(asked.headers['if-match'], '"1"');
      // Three pieces, of which each but the last promises more than it holds.
      const range = `bytes ${from}-${text.length - 1}/${text.length}`;
      return { status: from ? 206 : 200, headers: { ...headers, 'content-range': range }, body: text.slice(from, from + 4000) };
    };
    const container = azure().blobs(`${server.origin}/c`, { kind: 'sas', token: 'sig=x' });
    const pieces: Buffer[] = [];
    for await (const piece of (await container.read('b'))?.stream ?? []) pieces.push(piece as Buffer);
    assert.equal(Buffer.concat(pieces).toString(), text);
    const replies: Reply[] = [{ status: 503 }, { status: 412 }, { headers: { etag: '"mine"' }, body: 'mine' }];
    answer = () => replies.shift() ?? {};
    assert.equal((await container.writeBytes('b', Buffer.from('mine'), { ifNoneMatch: '*' })).etag, '"mine"');
    const others: Reply[] = [{ status: 503 }, { status: 412 }, { headers: { etag: '"2"' }, body: 'else' }];
    answer = () => others.shift() ?? {};
    await assert.rejects(container.writeBytes('b', Buffer.from('mine'), { ifNoneMatch: '*' }), failure('ConditionNotMet'));
  });

  it('exchanges a SAS that has had its time, once for all requests', async () => {
    let asked = 0;
    const fresh = async () => {
      asked++;
      return { kind: 'sas' as const, token: 'sig=fresh', renewal: { forMs: 60_000, next: fresh } };
    };
    const container = azure().blobs(`${server.origin}/c`, {
      kind: 'sas',
      token: 'sig=old',
      renewal: { forMs: 0, next: fresh },
    });
    const seen: (string | null)[] = [];
    answer = (call) => {
      seen.push(call.query.get('sig'));
      return { status: 201 };
    };
    await Promise.all(['a', 'b', 'c'].map((name) => container.writeBytes(name, Buffer.from(name))));
    assert.deepEqual([asked, ...seen], [1, 'fresh', 'fresh', 'fresh']);
    // While it cannot be exchanged, the old one is shown for as long as storage takes it; then that is said, and the next request asks again.
    let refuse = true;
    const next = async () => {
      if (refuse) throw new Failure('no rights any more', { code: 'AuthorizationFailed' });
      return { kind: 'sas' as const, token: 'sig=late' };
    };
    const other = azure().blobs(`${server.origin}/c`, { kind: 'sas', token: 'sig=old', renewal: { forMs: 0, next } });
    await other.writeBytes('d', Buffer.from('d'));
    assert.equal(seen.at(-1), 'old');
    const taken = answer;
    answer = (call) =>
      call.query.get('sig') === 'old' ? { status: 403, headers: { 'x-ms-error-code': 'AuthenticationFailed' } } : taken(call);
    await assert.rejects(other.writeBytes('d', Buffer.from('d')), failure('AuthorizationFailed'));
    refuse = false;
    await other.writeBytes('d', Buffer.from('d'));
    assert.equal(seen.at(-1), 'late');
  });

  it('says what was done, the code, the ids and the advice', async () => {
    const error = {
      code: 'UserError',
      message: 'The specified resource was not found.',
      details: [{ code: 'ModelNotFound', message: 'Model container with name: m not found.' }],
      additionalInfo: [{ type: 'Correlation', info: { value: { operation: 'abc', request: 'def' } } }],
    };
    answer = () => ({ status: 404, headers: { 'x-ms-request-id': 'rid' }, body: { error } });
    await assert.rejects(azure().request({ method: 'GET', url: '/m', operation: 'read model m' }), (thrown) => {
      assert.ok(thrown instanceof Failure);
      assert.match(thrown.message, /Could not read model m: .*Model container with name: m not found/);
      assert.equal(thrown.code, 'ModelNotFound');
      assert.equal(thrown.details.requestId, 'rid');
      assert.equal(thrown.details.correlationId, 'abc');
      return true;
    });
    const text = 'Public network access is disabled. Access is not authorized from this network.';
    answer = () => ({ status: 403, body: { error: { code: 'Forbidden', message: text } } });
    await assert.rejects(azure().request({ method: 'GET', url: '/m' }), failure('Forbidden', /virtual network/));
    await assert.rejects(azure({ ca: undefined as never }).request({ method: 'GET', url: '/m' }), (thrown) => {
      assert.match((thrown as Failure).details.advice ?? '', /--sslcacert/);
      return true;
    });
  });

  it('follows operations by either header and pages by nextLink', async () => {
    const polls = ['InProgress', 'Updating', 'Succeeded'];
    answer = ({ method, path, query }) => {
      if (method === 'PUT')
        return { status: 201, headers: { 'Azure-AsyncOperation': `${server.origin}/op?t=a%2Bb&api-version=1` }, body: {} };
      if (path === '/op') {
        assert.equal(query.get('t'), 'a+b');
        return { body: { status: polls.shift() } };
      }
      if (path === '/thing') return { body: { name: 'thing' } };
      if (path === '/import') return { status: 202, body: 'null', headers: { Location: `${server.origin}/wait` } };
      if (path === '/wait') return polls.push('x') < 3 ? { status: 202, body: '{}' } : { status: 204 };
      return query.has('$skip')
        ? { body: { value: [3] } }
        : { body: { value: [1, 2], nextLink: `${server.origin}/l?$skip=x%2F` } };
    };
    const one = azure();
    const put = await one.complete(await one.request({ method: 'PUT', url: '/thing', body: {} }));
    assert.deepEqual(put.body, { name: 'thing' });
    assert.equal((await one.complete(await one.request({ method: 'POST', url: '/import' }))).status, 204);
    const items: number[] = [];
    for await (const item of one.list<number>({ method: 'GET', url: '/l', query: { $top: '2' } })) items.push(item);
    assert.deepEqual(items, [1, 2, 3]);
    answer = ({ path }) =>
      path === '/op'
        ? { body: { status: 'Failed', error: { code: 'Broken', message: 'It broke.' } } }
        : { status: 202, headers: { 'Azure-AsyncOperation': `${server.origin}/op` } };
    const failed = await one.request({ method: 'PUT', url: '/thing', body: {} });
    await assert.rejects(one.complete(failed), failure('Broken', /It broke/));
  });

  it('stops at once when it is aborted, also while it waits to retry', async () => {
    answer = () => ({ status: 503, headers: { 'Retry-After': '200' } });
    const abort = new AbortController();
    const real = connectAzure(connectionTo(server), { onSecret: () => undefined });
    const asking = real.request({ method: 'GET', url: '/x', signal: abort.signal });
    setTimeout(() => abort.abort(new Error('stop')), 50);
    await assert.rejects(asking, /stop/);
  });

  it('goes through the proxy of the agent, with its credentials, except where that is bypassed', async () => {
    answer = () => ({ body: { ok: true } });
    const seen: string[] = [];
    proxy = createServer().on('connect', (request, client) => {
      tunnels.push(client);
      seen.push(`${request.url} ${request.headers['proxy-authorization']}`);
      const upstream = connect(server.port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        upstream.pipe(client).pipe(upstream);
      });
      upstream.on('error', () => client.destroy());
      client.on('error', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy?.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(proxy?.address() as AddressInfo).port}`;
    const through = { url, username: 'u', password: 'p@ss', bypass: [/bypassed/] };
    // The proxy finds a name that this machine does not know; the agent's CA is trusted on the inner line, too.
    const one = azure({ proxy: through, resourceManager: `https://manager.test:${server.port}`, authority: server.origin });
    assert.deepEqual((await one.request({ method: 'GET', url: '/x' })).body, { ok: true });
    assert.deepEqual((await one.request({ method: 'GET', url: '/x' })).body, { ok: true });
    assert.deepEqual(seen, [`manager.test:${server.port} Basic ${Buffer.from('u:p@ss').toString('base64')}`]);
    const around = azure({ proxy: { ...through, bypass: [/manager/] }, resourceManager: `https://manager.test:${server.port}` });
    await assert.rejects(around.request({ method: 'GET', url: '/x', retries: 0 }));
    assert.equal(seen.length, 1);
  });
});
