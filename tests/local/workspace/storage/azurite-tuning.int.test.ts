/** What blob clients rely on, over plain REST against the tuned blob service. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorkspace, type Workspace } from '../../../../local/workspace/start.js';
import { send, tokenOf, type Reply } from '../../../support/workspace.js';

const md5 = (bytes: Uint8Array | string) => createHash('md5').update(bytes).digest('base64');

describe('the tuned blob service', function () {
  this.timeout(120_000);
  let state: string;
  let running: Workspace;
  let token: string;
  let account: string;
  const containers = ['one', 'two'];

  const ask = (method: string, path: string, body?: Buffer | string, headers: Record<string, string> = {}): Promise<Reply> =>
    send(running.connection, method, `${running.ctx.storage.containerUrl(account, '')}${path}`, {
      token,
      headers: {
        'x-ms-version': '2022-11-02',
        ...(method === 'PUT' && body === undefined ? { 'content-length': '0' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body }),
    });
  const put = async (path: string, body: Buffer | string, headers: Record<string, string> = {}): Promise<Reply> =>
    await ask('PUT', path, body, { 'x-ms-blob-type': 'BlockBlob', ...headers });
  const made = async (reply: Promise<Reply>, status = 201): Promise<Reply> => {
    const answer = await reply;
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  const text = async (path: string): Promise<string> => (await made(ask('GET', path), 200)).text;
  const names = (reply: Reply, tag = 'Name') =>
    [...reply.text.matchAll(new RegExp(`<${tag}>([^<]*)</${tag}>`, 'g'))].map(([, name]) => name);

  before(async () => {
    state = mkdtempSync(join(tmpdir(), 'amlops-blobs-'));
    running = await startWorkspace({ state, workspaces: ['dev'] });
    account = running.ctx.world.workspaces()[0]?.account ?? '';
    token = await tokenOf(running.connection, undefined, 'https://storage.azure.com/.default');
    for (const name of containers) await made(ask('PUT', `${name}?restype=container`));
  });
  after(async () => {
    await running?.close();
    rmSync(state, { recursive: true, force: true });
  });

  it('keeps containers, names and snapshots apart, and overwrites', async () => {
    for (const name of ['a', 'A', '9', '10', '1e1', '010', 'd/9'])
      for (const container of containers) await made(put(`${container}/${name}`, `${container} ${name}`));
    for (const name of ['a', 'A', '9', '10', '1e1', '010', 'd/9'])
      for (const container of containers) assert.equal(await text(`${container}/${name}`), `${container} ${name}`);
    const snapshot = (await made(ask('PUT', 'one/a?comp=snapshot'))).headers['x-ms-snapshot'];
    await made(put('one/a', 'new', { 'content-md5': md5('new') }));
    assert.equal(await text('one/a'), 'new');
    assert.equal(await text('two/a'), 'two a');
    assert.equal(await text(`one/a?snapshot=${encodeURIComponent(String(snapshot))}`), 'one a');
    assert.equal((await ask('HEAD', 'one/a')).headers['content-md5'], md5('new'));
    assert.equal((await ask('DELETE', 'one/a')).status, 409);
    await made(ask('DELETE', 'one/a', undefined, { 'x-ms-delete-snapshots': 'include' }), 202);
    await made(ask('GET', 'one/a'), 404);
    assert.equal(await text('two/a'), 'two a');
    assert.equal((await put('two/a', 'x', { 'if-none-match': '*' })).status, 409);
  });

  it('refuses a wrong Content-MD5 and keeps what was there', async () => {
    await made(put('one/sum', 'right'));
    assert.equal((await put('one/sum', 'wrong', { 'content-md5': md5('other') })).status, 400);
    assert.equal((await ask('PUT', `one/sum?comp=block&blockid=${md5('b')}`, 'wrong', { 'content-md5': md5('x') })).status, 400);
    assert.equal(await text('one/sum'), 'right');
    await made(put('one/empty', '', { 'content-length': '0' }));
    const empty = await ask('HEAD', 'one/empty');
    assert.deepEqual([empty.headers['content-length'], empty.headers['content-md5']], ['0', md5('')]);
    assert.equal(await text('one/empty'), '');
  });

  it('stages and commits blocks, in any order and again', async () => {
    const id = (n: number) => Buffer.from(`block-${n}`).toString('base64');
    const stage = (n: number, body: string) =>
      made(ask('PUT', `one/blocks?comp=block&blockid=${id(n)}`, body, { 'content-md5': md5(body) }));
    const commit = (...order: number[]) =>
      made(
        ask(
          'PUT',
          'one/blocks?comp=blocklist',
          `<BlockList>${order.map((n) => `<Latest>${id(n)}</Latest>`).join('')}</BlockList>`,
        ),
      );
    await made(ask('PUT', `two/blocks?comp=block&blockid=${id(1)}`, 'other'));
    for (const n of [3, 1, 2]) await stage(n, `<${n}>`);
    assert.equal((await ask('GET', 'one/blocks')).status, 404);
    assert.deepEqual(names(await made(ask('GET', 'one/blocks?comp=blocklist&blocklisttype=all'), 200)).sort(), [
      id(1),
      id(2),
      id(3),
    ]);
    await commit(1, 2, 3);
    assert.equal(await text('one/blocks'), '<1><2><3>');
    await stage(2, '<two>');
    await commit(3, 2);
    assert.equal(await text('one/blocks'), '<3><two>');
    const range = await ask('GET', 'one/blocks', undefined, { 'x-ms-range': 'bytes=2-5' });
    assert.deepEqual([range.status, range.text], [206, '><tw']);
    assert.equal((await ask('PUT', 'one/blocks?comp=blocklist', `<BlockList><Latest>${id(9)}</Latest></BlockList>`)).status, 400);
    assert.equal((await ask('GET', 'two/blocks')).status, 404);
  });

  it('appends, copies and deletes', async () => {
    await made(ask('PUT', 'one/log', undefined, { 'x-ms-blob-type': 'AppendBlob' }));
    for (const line of ['a\n', 'b\n']) await made(ask('PUT', 'one/log?comp=appendblock', line, { 'content-md5': md5(line) }));
    await made(ask('PUT', 'one/log?comp=appendblock', 'c\n'));
    assert.equal((await ask('PUT', 'one/log?comp=appendblock', 'd\n', { 'content-md5': md5('e') })).status, 400);
    assert.equal(await text('one/log'), 'a\nb\nc\n');
    assert.equal(await text('one/log'), 'a\nb\nc\n');
    const source = running.ctx.storage.sasUrl(account, 'one', { permissions: 'r', blob: 'blocks' });
    const copied = await made(ask('PUT', 'two/copied', undefined, { 'x-ms-copy-source': source }), 202);
    assert.equal(copied.headers['x-ms-copy-status'], 'success');
    assert.equal(await text('two/copied'), '<3><two>');
    await made(ask('PUT', 'two/without-sas', undefined, { 'x-ms-copy-source': source.replace(/\?.*/, '') }), 202);
    assert.equal(await text('two/without-sas'), '<3><two>');
    await made(ask('DELETE', 'one/blocks'), 202);
    assert.equal(await text('two/copied'), '<3><two>');
  });

  it('lists by prefix, delimiter and marker', async () => {
    const container = 'listed';
    await made(ask('PUT', `${container}?restype=container`));
    const all = ['1', '10', '2', 'a/1', 'a/b/1', 'a/b/2', 'a.txt', 'z'].sort();
    for (const name of all) await made(put(`${container}/${name}`, name));
    const pages = async (query: string, tag?: string): Promise<(string | undefined)[]> => {
      const found: (string | undefined)[] = [];
      let marker: string | undefined = '';
      do {
        const page: Reply = await made(
          ask('GET', `${container}?restype=container&comp=list&marker=${encodeURIComponent(marker)}${query}`),
          200,
        );
        found.push(...names(page, tag));
        marker = names(page, 'NextMarker')[0];
      } while (marker);
      return found;
    };
    assert.deepEqual(await pages(''), all);
    assert.deepEqual(await pages('&maxresults=2'), all);
    assert.deepEqual(await pages('&prefix=a/'), ['a/1', 'a/b/1', 'a/b/2']);
    assert.deepEqual((await pages('&delimiter=/&maxresults=3')).sort(), ['1', '10', '2', 'a.txt', 'a/', 'z']);
    assert.deepEqual((await pages('&prefix=a/&delimiter=/')).sort(), ['a/1', 'a/b/']);
  });

  it('forgets aborted uploads and keeps what others write meanwhile', async () => {
    const { port, hostname, host } = new URL(running.ctx.storage.containerUrl(account, 'one'));
    const abort = (name: string) =>
      new Promise<void>((resolve) => {
        const sending = request({
          ...{ host: '127.0.0.1', port, servername: hostname, path: `/one/${name}`, method: 'PUT' },
          ca: readFileSync(running.connection.ca),
          headers: {
            ...{ host, authorization: `Bearer ${token}`, 'x-ms-version': '2022-11-02' },
            ...{ 'x-ms-blob-type': 'BlockBlob', 'content-length': '600000' },
          },
        });
        sending.on('error', () => undefined).on('close', () => resolve());
        sending.write(randomBytes(300_000), () => setImmediate(() => sending.destroy()));
      });
    const kept = new Map<string, Buffer>();
    const write = async (name: string) => {
      kept.set(name, randomBytes(100_000));
      await made(put(`one/${name}`, kept.get(name) ?? ''));
    };
    for (let n = 0; n < 10; n += 1)
      await Promise.all([abort(`aborted-${n}-a`), write(`kept-${n}-a`), abort(`aborted-${n}-b`), write(`kept-${n}-b`)]);
    for (const [path, bytes] of kept)
      assert.deepEqual(await running.ctx.storage.read({ account, container: 'one', path }), bytes, path);
    assert.deepEqual(names(await ask('GET', 'one?restype=container&comp=list&prefix=aborted')), []);
  });
});
