/** An issuer of tokens and the metadata endpoint of a virtual machine, both answered by one function of the test. */
import assert from 'node:assert/strict';
import { Failure } from '../../src/azure/errors.js';
import { serve, type Asked, type Reply, type TestServer } from './https-server.js';

export interface Issuer {
  issuer: TestServer;
  imds: TestServer;
  answer: (asked: Asked) => Reply | Promise<Reply>;
  /** The usual answer: `token-1`, `token-2` … for an hour. */
  good: () => Reply;
  /** How many of those; counted anew in each test. */
  issued: number;
}

/** Opens and closes them around the tests of the `describe` that calls it; each test begins with the usual answer and nothing asked. */
export function issuerOfTokens(): Issuer {
  const good = (): Reply => ({ body: { access_token: `token-${++at.issued}`, expires_in: 3600, token_type: 'Bearer' } });
  const none = undefined as never;
  const at: Issuer = { issuer: none, imds: none, answer: good, good, issued: 0 };
  before(async () => {
    at.issuer = await serve((asked) => at.answer(asked));
    at.imds = await serve((asked) => at.answer(asked), { plain: true });
  });
  after(async () => {
    await at.issuer.close();
    await at.imds.close();
  });
  beforeEach(() => {
    at.issuer.asked.length = 0;
    at.imds.asked.length = 0;
    at.answer = good;
    at.issued = 0;
  });
  return at;
}

/** The Failure of work that must fail with one. */
export async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const error: unknown = await work.then(
    (value) => assert.fail(`it did not fail: ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}
