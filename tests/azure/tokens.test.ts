/** Every kind of credential against a small issuer: what is sent, how long it is kept, what is said when it is refused. */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createHash, createPublicKey, verify, webcrypto, X509Certificate } from 'node:crypto';
import { getEventListeners } from 'node:events';
import * as x509 from '@peculiar/x509';
import { connectAzure } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import type { AzureConnection } from '../../src/azure/types.js';
import { FakeClock } from '../support/fake-platform.js';
import { connectionTo, type Asked, type Reply } from '../support/https-server.js';
import { issuerOfTokens } from '../support/issuer.js';

const scope = 'https://management.example/.default';

describe('tokens', () => {
  const at = issuerOfTokens();
  const { good } = at;
  const clock = new FakeClock();
  const secrets: string[] = [];
  const connect = (credential: AzureConnection['credential'], clientId: string | undefined = 'client') => {
    const { clientId: _none, ...rest } = connectionTo(at.issuer, { credential });
    return connectAzure({ ...rest, ...(clientId ? { clientId } : {}) }, { clock, onSecret: (value) => secrets.push(value) });
  };
  const form = (asked: Asked | undefined) => new URLSearchParams(asked?.body);

  beforeEach(() => {
    secrets.length = 0;
  });

  it('secret: one request for many callers, renewed five minutes early, the old one kept while the issuer is down', async () => {
    const azure = connect({ kind: 'secret', clientSecret: 'top-secret' });
    assert.deepEqual(new Set(await Promise.all(Array.from({ length: 20 }, () => azure.token(scope)))), new Set(['token-1']));
    assert.equal(at.issuer.asked.length, 1);
    assert.equal(at.issuer.asked[0]?.path, '/tenant/oauth2/v2.0/token');
    const sent = Object.fromEntries(form(at.issuer.asked[0]));
    assert.deepEqual(sent, { client_id: 'client', scope, grant_type: 'client_credentials', client_secret: 'top-secret' });
    assert.ok(secrets.includes('token-1') && secrets.includes('top-secret'));
    await clock.sleep(54 * 60_000);
    assert.equal(await azure.token(scope), 'token-1');
    await clock.sleep(2 * 60_000);
    at.answer = () => ({ status: 400, body: { error: 'temporarily' } });
    assert.equal(await azure.token(scope), 'token-1');
    at.answer = good;
    assert.equal(await azure.token(scope), 'token-2');
  });

  it('federated: a fresh assertion for every renewal, never a kept one', async () => {
    let assertions = 0;
    const azure = connect({ kind: 'federated', assertion: async () => `assertion-${++assertions}` });
    for (let hour = 0; hour < 12; hour++) {
      await azure.token(scope);
      await clock.sleep(3600_000);
    }
    assert.equal(at.issuer.asked.length, 12);
    assert.deepEqual(
      at.issuer.asked.map((asked) => form(asked).get('client_assertion')),
      Array.from({ length: 12 }, (_, n) => `assertion-${n + 1}`),
    );
    assert.ok(secrets.includes('assertion-12'));
  });

  it('certificate: a signed assertion for the token endpoint with the thumbprint', async () => {
    const keys = await webcrypto.subtle.generateKey(
      { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
      true,
      ['sign', 'verify'],
    );
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=client',
      notBefore: new Date('2020-01-01'),
      notAfter: new Date('2040-01-01'),
      keys,
      signingAlgorithm: { name: 'RSASSA-PKCS1-v1_5' },
    });
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8}\n-----END PRIVATE KEY-----`;
    const pem = `${key}\n${certificate.toString('pem')}`;
    const azure = connect({ kind: 'certificate', pem });
    assert.equal(await azure.token(scope), 'token-1');
    const jwt = form(at.issuer.asked[0]).get('client_assertion') ?? '';
    const [head = '', claims = '', signature = ''] = jwt.split('.');
    const read = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
    const der = new X509Certificate(certificate.toString('pem')).raw;
    assert.equal(read(head)['x5t'], createHash('sha1').update(der).digest('base64url'));
    assert.equal(read(claims)['aud'], `${at.issuer.origin}/tenant/oauth2/v2.0/token`);
    assert.equal(read(claims)['iss'], 'client');
    const publicKey = createPublicKey(certificate.toString('pem'));
    assert.ok(verify('RSA-SHA256', Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, 'base64url')));
    const broken = [
      key,
      certificate.toString('pem'),
      `${key.slice(0, 60)}\n-----END PRIVATE KEY-----\n${certificate.toString('pem')}`,
    ];
    for (const one of broken) {
      await assert.rejects(
        connect({ kind: 'certificate', pem: one }).token(scope),
        (error) => (error as Failure).code === 'CertificateUnusable',
      );
    }
  });

  it('managed identity: the metadata endpoint, with numbers as text, its 410 waited out', async () => {
    const replies: Reply[] = [{ status: 410 }, { body: { access_token: 'mi-token', expires_in: '86400', expires_on: '1' } }];
    at.answer = () => replies.shift() ?? {};
    const azure = connect({ kind: 'managedIdentity', endpoint: at.imds.origin }, 'user-assigned');
    assert.equal(await azure.token(scope), 'mi-token');
    await clock.sleep(20 * 3600_000);
    assert.equal(await azure.token(scope), 'mi-token');
    assert.equal(at.imds.asked[1]?.headers['metadata'], 'true');
    assert.equal(at.imds.asked[1]?.query.get('resource'), 'https://management.example');
    assert.equal(at.imds.asked[1]?.query.get('client_id'), 'user-assigned');
    at.answer = () => ({ status: 400, body: { error: 'invalid_request', error_description: 'Identity not found' } });
    const none = connect({ kind: 'managedIdentity', endpoint: at.imds.origin }, undefined);
    await assert.rejects(none.token(scope), (error) => {
      assert.match(
        `${(error as Failure).message} ${(error as Failure).details.advice}`,
        /Identity not found.*self-hosted agent/s,
      );
      return true;
    });
  });

  it('of two that were refused with the same token one renews it, and what may have happened before a refusal is not forgotten', async () => {
    const azure = connect({ kind: 'secret', clientSecret: 'top-secret' });
    const waiting: (() => void)[] = [];
    let lost = 0;
    at.answer = async ({ path, headers }) => {
      if (path.endsWith('/token')) return good();
      if (path === '/lost' && lost++ === 0) return { reset: true };
      if (headers.authorization === 'Bearer token-1') {
        // The refusal of `/late` arrives when the other has its new token already.
        if (path === '/late') await new Promise<void>((resolve) => waiting.push(resolve));
        return { status: 401, body: { error: { code: 'InvalidAuthenticationToken' } } };
      }
      return { body: { by: headers.authorization } };
    };
    const ask = (path: string) => azure.request<{ by: string }>({ method: 'PUT', url: `${at.issuer.origin}${path}` });
    const late = ask('/late');
    while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    const early = await ask('/lost');
    assert.deepEqual([early.body.by, early.ambiguous], ['Bearer token-2', true]);
    waiting[0]?.();
    const { body, ambiguous } = await late;
    assert.deepEqual([body.by, ambiguous, at.issued], ['Bearer token-2', false, 2]);
  });

  it('who does not want to wait for a token any more leaves alone; the others get it', async () => {
    const azure = connect({ kind: 'secret', clientSecret: 'top-secret' });
    const leaver = new AbortController();
    let issue = (): void => undefined;
    at.answer = async () => {
      await new Promise<void>((resolve) => (issue = resolve));
      return good();
    };
    const stays = new AbortController().signal;
    const left = assert.rejects(azure.token(scope, leaver.signal), /enough/);
    const other = azure.token(scope, stays);
    assert.equal(getEventListeners(stays, 'abort').length, 1);
    while (at.issuer.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    leaver.abort(new Error('enough'));
    await left;
    issue();
    assert.deepEqual([await other, at.issuer.asked.length], ['token-1', 1]);
    // A wait of hours asks thousands of times with one signal.
    assert.equal(getEventListeners(stays, 'abort').length, 0);
    await assert.rejects(azure.token(scope, leaver.signal), /enough/);
  });

  it('refusals name the code of the issuer and what to do', async () => {
    for (const [code, advice] of [
      ['AADSTS7000222', /expired/],
      ['AADSTS700213', /subject/],
      ['AADSTS700016', /client id/],
      ['AADSTS700024', /clock/],
    ] as const) {
      const error_description = `${code}: Something. Trace ID: x\r\nCorrelation ID: y`;
      at.answer = () => ({ status: 401, body: { error: 'invalid_client', error_description, correlation_id: 'cid' } });
      await assert.rejects(connect({ kind: 'secret', clientSecret: 's3cret-value' }).token(scope), (error) => {
        assert.ok(error instanceof Failure);
        assert.equal(error.code, code);
        assert.equal(error.details.correlationId, 'cid');
        assert.match(error.details.advice ?? '', advice);
        assert.doesNotMatch(error.message, /s3cret|Trace ID/);
        return true;
      });
    }
  });
});
