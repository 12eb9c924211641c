/** What sign-in does when it is answered late, strangely or not at all: how often it asks, how long an old token serves, what it says. */
import assert from 'node:assert/strict';
import { connectAzure } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import type { AzureConnection } from '../../src/azure/types.js';
import { clientCertificate } from '../support/client-certificate.js';
import { FakeClock } from '../support/fake-platform.js';
import { connectionTo, type Reply } from '../support/https-server.js';
import { failureOf, issuerOfTokens } from '../support/issuer.js';

const scope = 'https://management.example/.default';
const second = 1000;
const minute = 60 * second;
const secret: AzureConnection['credential'] = { kind: 'secret', clientSecret: 'top-secret' };

describe('tokens in trouble', () => {
  const at = issuerOfTokens();
  const { good } = at;
  let clock: FakeClock;
  const connect = (credential: AzureConnection['credential'], changes: Partial<AzureConnection> = {}) =>
    connectAzure(connectionTo(at.issuer, { credential, ...changes }), { clock, onSecret: () => undefined });

  beforeEach(() => {
    clock = new FakeClock();
  });

  it('an old token serves to its end and no longer; then the refusal is told', async () => {
    const azure = connect(secret);
    await azure.token(scope);
    at.answer = () => ({ status: 401, body: { error_description: 'AADSTS7000222: The secret has expired.' } });
    clock.time += 59 * minute;
    assert.equal(await azure.token(scope), 'token-1');
    // Who is cancelled meanwhile gets no token.
    const abort = new AbortController();
    const refuse = at.answer;
    at.answer = (asked) => {
      abort.abort(new Error('enough'));
      return refuse(asked);
    };
    await assert.rejects(azure.token(scope, abort.signal), /enough/);
    at.answer = refuse;
    clock.time += 56 * second;
    assert.equal((await failureOf(azure.token(scope))).code, 'AADSTS7000222');
    at.answer = good;
    assert.equal(await azure.token(scope), 'token-2');
  });

  it('a token of any lifetime is renewed before its end; one that says none lives an hour', async () => {
    for (const [expires_in, serves] of [
      [60, 30 * second],
      [600, 5 * minute],
      ['86400', 86_100 * second],
      [undefined, 55 * minute],
      ['soon', 55 * minute],
    ] as const) {
      at.answer = () => ({ body: { access_token: `token-${++at.issued}`, expires_in } });
      const azure = connect(secret);
      const first = await azure.token(scope);
      clock.time += serves - 1;
      assert.equal(await azure.token(scope), first, String(expires_in));
      clock.time += 1;
      assert.notEqual(await azure.token(scope), first, String(expires_in));
    }
  });

  it('sends forms as the protocol has them, with an assertion its kind; without a client id nothing', async () => {
    await connect({ kind: 'federated', assertion: async () => 'an-assertion' }).token(scope);
    const [asked] = at.issuer.asked;
    assert.deepEqual(
      [asked?.method, asked?.headers['content-type'], Object.fromEntries(new URLSearchParams(asked?.body))],
      [
        'POST',
        'application/x-www-form-urlencoded',
        {
          ...{ client_id: 'client', scope, grant_type: 'client_credentials', client_assertion: 'an-assertion' },
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        },
      ],
    );
    const { code, message, details } = await failureOf(connect(secret, { clientId: '' }).token(scope));
    assert.deepEqual([code, at.issuer.asked.length], ['ConnectionIncomplete', 1]);
    assert.match(`${message} ${details.advice}`, /arm-test names no service principal.*save it again/);
  });

  it('asks again what passes by itself, six times in all, and takes nothing for a token that is none', async () => {
    let busy = 5;
    at.answer = () => (busy-- > 0 ? { status: 503 } : good());
    assert.equal(await connect(secret).token(scope), 'token-1');
    at.answer = () => ({ status: 503, body: '' });
    at.issuer.asked.length = 0;
    const out = await failureOf(connect(secret).token(scope));
    assert.deepEqual([at.issuer.asked.length, out.code, out.details.status], [6, 'Http503', 503]);
    assert.match(out.message, /^Could not sign in as service connection arm-test: HTTP 503$/);
    for (const body of [{}, { access_token: '' }, { access_token: 7 }, '[]', 'null', '"text"', 'no json']) {
      at.answer = () => ({ headers: { 'Content-Type': 'application/json' }, body });
      assert.equal((await failureOf(connect(secret).token(scope))).code, 'TokenReplyInvalid', JSON.stringify(body));
    }
    at.answer = () => ({ headers: { 'Content-Type': 'text/html' }, body: '<html><title>Please log in</title></html>' });
    const page = await failureOf(connect(secret).token(scope));
    assert.equal(page.code, 'NotFromAzure');
    assert.match(page.message, /sign in as service connection arm-test.*web page/);
  });

  it('a refusal in other words is told in them', async () => {
    const cases: [Reply, string, RegExp][] = [
      [{ status: 400, body: { error: 'invalid_scope' } }, 'invalid_scope', /arm-test: .*invalid_scope/],
      [{ status: 400, body: { error_description: 'Nope.\r\nmore', error: 'x' } }, 'x', /arm-test: Nope\.$/],
      [{ status: 418, body: `teapot${'t'.repeat(400)}` }, 'Http418', /arm-test: teapott{294}$/],
      [{ status: 400, body: { error: 5, error_description: 6, correlation_id: 7 } }, 'Http400', /error_description/],
    ];
    for (const [reply, code, words] of cases) {
      at.answer = () => reply;
      const refused = await failureOf(connect(secret).token(scope));
      assert.deepEqual([refused.code, refused.details.status, refused.details.correlationId], [code, reply.status, undefined]);
      assert.match(refused.message, words);
      assert.match(refused.details.advice ?? '', /Check the service connection/);
    }
  });

  it('a certificate that has expired is said where it was refused, with its day', async () => {
    const refused = { error: 'invalid_client', error_description: 'AADSTS700027: The certificate is expired.' };
    at.answer = () => ({ status: 401, body: refused });
    for (const [notAfter, words] of [
      ['2025-06-30', /expired on 2025-06-30\. Upload a new one/],
      ['2040-01-01', /has expired, or is not one of the app registration's/],
    ] as const) {
      const { key, cert } = await clientCertificate({ rsa: true, notAfter: new Date(notAfter) });
      const pem = `${key}${cert}`;
      const { code, message, details } = await failureOf(connect({ kind: 'certificate', pem }).token(scope));
      assert.equal(code, 'AADSTS700027');
      assert.match(message, /The certificate is expired/);
      assert.match(details.advice ?? '', words);
    }
  });

  it('managed identity: 404 and 410 are waited out for 15 seconds, silence is told with what it needs', async () => {
    const credential = (endpoint: string): AzureConnection['credential'] => ({ kind: 'managedIdentity', endpoint });
    const none = { clientId: '' };
    for (const [status, tries] of [
      [404, 4],
      [410, 4],
      [404, 5],
    ] as const) {
      let left: number = tries;
      at.answer = () => (left-- > 0 ? { status, body: { error: 'updating' } } : good());
      at.imds.asked.length = 0;
      const began = clock.now();
      const token = connect(credential(at.imds.origin), none).token(scope);
      if (tries === 4) assert.match(await token, /^token-/);
      else {
        const { code, details, message } = await failureOf(token);
        assert.deepEqual([code, details.status], ['ManagedIdentityRefused', 404]);
        assert.match(message, /managed identity.*arm-test.*: updating$/);
      }
      assert.deepEqual([at.imds.asked.length, clock.now() - began], [5, 15 * second]);
    }
    const [asked] = at.imds.asked;
    assert.deepEqual(
      [asked?.method, Object.fromEntries(asked?.query ?? [])],
      ['GET', { 'api-version': '2018-02-01', resource: 'https://management.example' }],
    );
    at.answer = () => ({ status: 400 });
    assert.match((await failureOf(connect(credential(at.imds.origin), none).token(scope))).message, /: HTTP 400$/);
    at.answer = () => ({ reset: true });
    at.imds.asked.length = 0;
    const silent = await failureOf(connect(credential(at.imds.origin), none).token(scope));
    assert.deepEqual([silent.code, at.imds.asked.length], ['ManagedIdentityUnavailable', 4]);
    assert.match(`${silent.message} ${silent.details.advice}`, /arm-test.*does not answer.*virtual machine/);
    assert.ok(silent.details.cause instanceof Failure);
  });

  it('who is cancelled while sign-in does not answer goes at once', async () => {
    const abort = new AbortController();
    at.answer = ({ path }) => {
      assert.match(path, /token$/);
      abort.abort(new Error('enough'));
      return new Promise<never>(() => undefined);
    };
    await assert.rejects(connect(secret).request({ method: 'GET', url: '/x', signal: abort.signal }), /enough/);
  });

  it('a refused token is replaced once; one that the service calls expired four times, with pauses', async () => {
    const ask = (headers: Record<string, string>, body: unknown) => {
      at.issuer.asked.length = 0;
      at.answer = ({ path }) => (path.endsWith('/token') ? good() : { status: 401, headers, body });
      const began = clock.now();
      return failureOf(connect(secret).request({ method: 'GET', url: '/x' })).then(({ details }) => ({
        status: details.status,
        sent: at.issuer.asked.filter(({ path }) => path === '/x').map(({ headers: sent }) => sent.authorization),
        waited: clock.now() - began,
      }));
    };
    const plain = await ask({}, { error: { code: 'InvalidAuthenticationToken' } });
    assert.deepEqual(plain, { status: 401, sent: ['Bearer token-1', 'Bearer token-2'], waited: 0 });
    for (const [headers, body] of [
      [{}, { error: { code: 'ExpiredAuthenticationToken' } }],
      [{ 'x-ms-error-code': 'InvalidAuthenticationInfo' }, undefined],
    ] as const) {
      at.issued = 0;
      const { sent, waited } = await ask(headers, body);
      assert.deepEqual(
        sent,
        [1, 2, 3, 4, 5].map((n) => `Bearer token-${n}`),
      );
      assert.ok(waited >= (0.8 + 1.6 + 3.2) * second && waited <= 1.25 * (0.8 + 1.6 + 3.2) * second, `${waited} ms`);
    }
  });
});
