/** Faults in blob storage: our own blob client among them, on the wire and from a seed. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFrom } from '../../../../cli/connection.js';
import type { WorkspaceRecord } from '../../../../local/workspace/context.js';
import type { Injected } from '../../../../local/workspace/faults.js';
import { startWorkspace, type Workspace } from '../../../../local/workspace/start.js';
import type { BlobContainer } from '../../../../src/azure/types.js';
import { collect } from '../../../../local/workspace/storage/wire.js';
import { send, tokenOf, type Reply } from '../../../support/workspace.js';

describe('faults in blob storage', function () {
  this.timeout(120_000);
  let state: string;
  let running: Workspace;
  let ws: WorkspaceRecord;
  let token: string;
  let storageToken: string;

  before(async () => {
    state = mkdtempSync(join(tmpdir(), 'amlops-blob-faults-'));
    running = await startWorkspace({ state, workspaces: ['dev'], faults: 'seed=3,storage=0.1' });
    writeFileSync(join(state, 'connection.json'), JSON.stringify(running.connection));
    [ws] = running.ctx.world.workspaces() as [WorkspaceRecord];
    token = await tokenOf(running.connection);
    storageToken = await tokenOf(running.connection, undefined, 'https://storage.azure.com/.default');
  });
  after(async () => {
    await running?.close();
    rmSync(state, { recursive: true, force: true });
  });

  const admin = async (method: 'GET' | 'PUT', faults?: string): Promise<Injected[]> => {
    const reply = await send(running.connection, method, `${running.url}/_amlops`, {
      token,
      ...(faults === undefined ? {} : { body: { faults } }),
    });
    assert.equal(reply.status, 200, reply.text);
    return reply.json.injected as Injected[];
  };
  afterEach(() => admin('PUT', ''));

  /** A container of an upload: it has another random name each time. */
  const open = async (): Promise<BlobContainer> => {
    const { azure } = openFrom(join(state, 'connection.json'), 'dev');
    const name = await running.ctx.storage.freshContainer(ws);
    return azure.blobs(running.ctx.storage.containerUrl(ws.account, name), { kind: 'entra' });
  };

  /** Writes, reads, lists and deletes; gives back what the store holds in the end, and what was injected on the way. */
  async function work(spec: string): Promise<{ injected: string[]; read: Map<string, string>; held: Map<string, string> }> {
    const container = await open();
    assert.deepEqual(await admin('PUT', spec), []);
    const read = new Map<string, string>();
    const digest = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    for (let n = 0; n < 12; n += 1) await container.writeBytes(`many/${n}.txt`, Buffer.from(`${n} `.repeat(n * 1000)));
    const blocks = [1, 2, 3].map((n) => Buffer.alloc(300_000, n));
    for (const [n, bytes] of blocks.entries()) await container.putBlock('large.bin', `block-${n}`, bytes);
    await container.commitBlocks('large.bin', ['block-0', 'block-1', 'block-2'], { metadata: { made: 'here' } });
    // A reply that is lost after the commit must not look like somebody else's write.
    await container.writeBytes('once.txt', Buffer.from('once'), { ifNoneMatch: '*' });
    await container.writeBytes('gone.txt', Buffer.from('gone'));
    await container.delete('gone.txt');
    for await (const { name } of container.list('')) {
      const blob = await container.read(name);
      assert.ok(blob, name);
      read.set(name, digest(await collect(blob.stream)));
    }
    assert.equal((await container.head('large.bin'))?.metadata['made'], 'here');
    // The container's own name is chance.
    const injected = (await admin('GET')).map(
      ({ path, service, ...rest }) => `${service} ${rest.method} ${path.replace(/^\/[^/?]+/, '')} ${rest.nth} ${rest.kind}`,
    );
    const held = new Map<string, string>();
    const place = running.ctx.storage.parseUrl(container.url);
    assert.ok(place);
    for await (const { name } of running.ctx.storage.list(place))
      held.set(name, digest((await running.ctx.storage.read({ ...place, path: name })) ?? Buffer.alloc(0)));
    return { injected, read, held };
  }

  it('leave our client the right bytes, and are the same for the same seed', async () => {
    const spec = `seed=11,storage=0.2,retry-after=0`;
    const one = await work(spec);
    assert.equal(one.read.size, 14);
    assert.deepEqual(one.read, one.held);
    const kinds = new Set(one.injected.map((line) => line.split(' ').at(-1)));
    assert.ok(kinds.size >= 4, one.injected.join('\n'));
    const again = await work(spec);
    assert.deepEqual(again, one);
  });

  it('look on the wire as the service’s own, before and after the commit', async () => {
    const url = `${running.ctx.storage.containerUrl(ws.account, ws.blobContainer)}/wire.txt`;
    const place = { account: ws.account, container: ws.blobContainer, path: 'wire.txt' };
    const held = async () => (await running.ctx.storage.read(place))?.toString();
    const ask = (method: string, body?: string): Promise<Reply> =>
      send(running.connection, method, url, {
        token: storageToken,
        headers: { 'x-ms-version': '2022-11-02', ...(body === undefined ? {} : { 'x-ms-blob-type': 'BlockBlob' }) },
        ...(body === undefined ? {} : { body }),
      });
    const only = (kind: string) => admin('PUT', `storage=1,burst=1,retry-after=7,storage-kinds=${kind},storage-path=wire`);

    for (const [kind, status, code] of [
      ['503', 503, 'ServerBusy'],
      ['500', 500, 'InternalError'],
      ['429', 429, 'TooManyRequests'],
    ] as const) {
      await only(kind);
      const reply = await ask('PUT', kind);
      assert.deepEqual([reply.status, reply.headers['x-ms-error-code'], reply.headers['retry-after']], [status, code, '7']);
      assert.match(reply.text, new RegExp(`<Code>${code}</Code>`));
      assert.equal(await held(), undefined);
    }
    await only('reset-before');
    await assert.rejects(ask('PUT', 'before'));
    assert.equal(await held(), undefined);
    await only('reset-after');
    await assert.rejects(ask('PUT', 'x'.repeat(100_000)));
    assert.equal((await held())?.length, 100_000);
    await only('expired');
    const expired = await ask('GET');
    assert.equal(`${expired.status} ${String(expired.headers['x-ms-error-code'])}`, '401 InvalidAuthenticationInfo');
    await only('truncate');
    await assert.rejects(ask('GET'));
    await only('slow');
    assert.equal((await ask('GET')).text, 'x'.repeat(100_000));
    await only('slow');
    assert.equal((await ask('PUT', 'late')).status, 201);
    // A write has no body that could be cut.
    await only('truncate');
    assert.equal((await ask('PUT', 'whole')).status, 201);
    assert.deepEqual(await admin('GET'), []);

    // The workspace's own requests meet none, nor do other paths, nor more than the limit.
    await admin('PUT', 'storage=1,storage-path=wire,limit=1');
    assert.equal(await held(), 'whole');
    assert.deepEqual(await admin('GET'), []);
    await ask('HEAD').catch(() => undefined);
    assert.equal((await ask('HEAD')).status, 200);
    assert.equal((await admin('GET')).length, 1);
  });
});
