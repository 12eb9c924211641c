/** What a completed job has left behind, read over an outage. */
import assert from 'node:assert/strict';
import { outlast } from '../../../src/aml/jobs/outlast.js';
import { openWorkspace, type Workspace } from '../../../src/aml/workspace.js';
import { connectAzure } from '../../../src/azure/azure.js';
import { Failure } from '../../../src/azure/errors.js';
import { FakeClock } from '../../support/fake-platform.js';
import { connectionTo, serve, type Reply, type TestServer } from '../../support/https-server.js';

describe('what a completed job has left behind', () => {
  let server: TestServer;
  let answer: () => Reply;
  before(async () => {
    server = await serve(({ path }) => (path.endsWith('/token') ? { body: { access_token: 't', expires_in: 9e6 } } : answer()));
  });
  after(() => server.close());

  const read = async (body: (age: number) => unknown, azure: (age: number) => Reply) => {
    const clock = new FakeClock();
    const born = clock.now();
    answer = () => azure(clock.now() - born);
    const connection = connectAzure(connectionTo(server), { clock, onSecret: () => undefined });
    const workspace = openWorkspace(connection, { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' });
    let tries = 0;
    const { signal } = new AbortController();
    const given = await outlast(workspace, 'j', { clock, signal }, async () => {
      tries++;
      const error = body(clock.now() - born);
      if (error) throw error as Error;
      return 'read';
    }).catch((error: unknown) => error);
    return { given, tries, age: clock.now() - born };
  };
  const away = new Failure('away', { code: 'ENOTFOUND' });

  it('is read when Azure is back, and given up after ten minutes', async () => {
    const back = await read(
      (age) => (age < 300_000 ? away : undefined),
      (age) => (age < 300_000 ? { status: 503 } : { body: {} }),
    );
    assert.equal(back.given, 'read');
    const never = await read(
      () => away,
      () => ({ status: 503 }),
    );
    assert.equal(never.given, away);
    assert.ok(never.age >= 600_000 && never.age < 660_000, String(never.age));
  });

  it('costs one more try where only its own part of Azure is closed, none where it is refused', async () => {
    const closed = await read(
      () => away,
      () => ({ body: {} }),
    );
    assert.deepEqual([closed.given, closed.tries], [away, 2]);
    const no = new Failure('no', { code: 'AuthorizationFailed', status: 403 });
    const refused = await read(
      () => no,
      () => ({ body: {} }),
    );
    assert.deepEqual([refused.given, refused.tries, refused.age], [no, 1, 0]);
  });

  it('asks nothing in a pause, which a cancel ends', async () => {
    const { signal } = new AbortController();
    let asleep = false;
    const request = () => {
      assert.equal(asleep, false);
      return Promise.reject(away);
    };
    const workspace = { id: '/ws', workspace: 'w', azure: { request } } as unknown as Workspace;
    const clock = new FakeClock();
    clock.sleep = async (ms, given) => {
      assert.equal(given, signal);
      asleep = true;
      await new Promise((resolve) => setImmediate(resolve));
      clock.time += ms;
      asleep = false;
    };
    await assert.rejects(outlast(workspace, 'j', { clock, signal }, request), /away/);
  });
});
