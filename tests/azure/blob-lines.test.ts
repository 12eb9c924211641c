/** Blobs over lines that are slow and through what stands in between: what was sent and read is what is there, or it is said that it is not. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connectAzure, systemClock } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import { Http } from '../../src/azure/http.js';
import { FakeClock } from '../support/fake-platform.js';
import { connectionTo, serve, type Asked, type Reply, type TestServer } from '../support/https-server.js';

describe('blobs over bad lines', () => {
  describe('a slow line', () => {
    let plain: Server;
    let take: (request: IncomingMessage, response: ServerResponse) => void;
    before(async () => {
      plain = createServer((request, response) => take(request, response));
      await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    });
    after(() => {
      plain.closeAllConnections();
      plain.close();
    });
    const body = Buffer.alloc(24 * 1024 * 1024, 'abcdefg');
    const put = () =>
      new Http({ clock: systemClock }).send({
        method: 'PUT',
        url: `http://127.0.0.1:${(plain.address() as AddressInfo).port}/x`,
        plainHttp: true,
        timeoutMs: 1_000,
        body,
      });

    it('is told from a dead one: what goes on arriving is waited for, however long all of it takes', async () => {
      const got: Buffer[] = [];
      let pauses = 0;
      take = (request, response) => {
        request.on('data', (piece: Buffer) => {
          got.push(piece);
          const size = got.reduce((sum, { length }) => sum + length, 0);
          // Eight stops of a third of a second: more than the second that a dead line gets, none of them as long.
          if (size < (pauses + 1) * 2.5 * 1024 * 1024 || pauses >= 8) return;
          pauses += 1;
          request.pause();
          setTimeout(() => request.resume(), 330);
        });
        request.on('end', () => response.writeHead(201).end('done'));
      };
      const { status, bytes } = await put();
      assert.deepEqual([status, bytes.toString(), pauses], [201, 'done', 8]);
      assert.ok(Buffer.concat(got).equals(body));
      // One that takes nothing more is given up.
      take = (request) => request.pause();
      await assert.rejects(put(), /no answer within 1 s/);
    });

    it('a refusal that comes before all is sent is the answer', async () => {
      take = (_request, response) => response.writeHead(403).end('no');
      const reply = await put().catch((error: unknown) => error);
      // Where the line is closed over it, the reply may be lost; nothing else may come of it.
      if (reply instanceof Failure) assert.match(reply.code, /EPIPE|ECONNRESET/);
      else assert.equal((reply as { status: number }).status, 403);
    });
  });

  describe('through others', () => {
    let server: TestServer;
    let answer: (asked: Asked) => Reply;
    before(async () => {
      server = await serve((asked) => answer(asked));
    });
    after(() => server.close());
    beforeEach(() => {
      server.asked.length = 0;
    });
    const container = () =>
      connectAzure(connectionTo(server), { clock: new FakeClock(), onSecret: () => undefined }).blobs(`${server.origin}/c`, {
        kind: 'sas',
        token: 'sig=x',
      });
    const code = (expected: string) => (error: unknown) => error instanceof Failure && error.code === expected;
    const names = async () => {
      const found: string[] = [];
      for await (const { name } of container().list('p/')) found.push(name);
      return found;
    };
    const text = async (options: { offset?: number; count?: number } = {}) => {
      const got = await container().read('b', options);
      const pieces: Buffer[] = [];
      for await (const piece of got?.stream ?? []) pieces.push(piece as Buffer);
      return { size: got?.size, text: Buffer.concat(pieces).toString() };
    };
    const page = (items: string, marker = '') =>
      `<?xml version="1.0"?><EnumerationResults ContainerName="c"><Blobs>${items}</Blobs><NextMarker>${marker}</NextMarker></EnumerationResults>`;
    const blob = (name: string, more = '') => `<Blob><Name>${name}</Name><Properties><Etag>1</Etag></Properties>${more}</Blob>`;

    it('lists files, and no folders that show up as empty blobs', async () => {
      answer = () => ({
        body: page(
          blob('p/sub', '<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>') +
            blob('p/sub/a', '<Metadata><other>true</other></Metadata>') +
            '<Blob><Name>p/gen2</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>' +
            blob('p/b&lt;c&amp;d'),
        ),
      });
      assert.deepEqual(await names(), ['p/sub/a', 'p/b<c&d']);
      assert.equal(server.asked[0]?.query.get('include'), 'metadata');
    });

    it('half a list is none, nor is what is no list; pages that come round end', async () => {
      const whole = page(blob('p/a') + blob('p/b'));
      for (const body of [whole.slice(0, whole.indexOf('<Blob><Name>p/b')), '', '{}', '<Error></Error>']) {
        answer = () => ({ body });
        await assert.rejects(names(), code('ReplyInvalid'), body);
      }
      answer = ({ query }) => ({ body: page(blob('p/a'), query.has('marker') ? '' : 'next') });
      assert.deepEqual(await names(), ['p/a', 'p/a']);
      answer = ({ query }) => ({ body: page(blob('p/a'), query.get('marker') === 'two' ? 'one' : 'two') });
      await assert.rejects(names(), code('PagesLoop'));
      assert.ok(server.asked.length < 12);
    });

    it('reads the bytes that were asked for, and no others in their place', async () => {
      const whole = '0123456789';
      // A cache that knows nothing of ranges.
      answer = () => ({ headers: { 'Content-Length': '10' }, body: whole });
      assert.deepEqual(await text({ count: 4 }), { size: 10, text: '0123' });
      await assert.rejects(text({ offset: 4 }), code('RangeIgnored'));
      // Also in the midst of a blob, after its line broke.
      answer = ({ headers }) => ({
        headers: { etag: '"1"', 'Content-Length': '10', ...(headers['x-ms-range'] ? {} : { Connection: 'close' }) },
        body: headers['x-ms-range'] ? whole : whole.slice(0, 4),
      });
      await assert.rejects(text(), code('RangeIgnored'));
      // Other bytes than those.
      answer = () => ({ status: 206, headers: { 'content-range': 'bytes 5-9/10' }, body: '56789' });
      await assert.rejects(text({ offset: 4 }), code('RangeIgnored'));
      assert.deepEqual(await text({ offset: 5 }), { size: 10, text: '56789' });
      answer = () => ({ status: 416, headers: { 'content-range': 'bytes */10' } });
      assert.deepEqual(await text({ offset: 12 }), { size: 10, text: '' });
    });

    it('asks for the size where a proxy leaves it out', async () => {
      answer = ({ method }) =>
        method === 'HEAD'
          ? { headers: { 'Content-Length': '10' } }
          : { headers: { 'Transfer-Encoding': 'chunked' }, body: '0123456789' };
      assert.deepEqual(await text(), { size: 10, text: '0123456789' });
      answer = ({ method }) => (method === 'HEAD' ? { headers: { 'Transfer-Encoding': 'chunked' } } : { body: '0123456789' });
      await assert.rejects(text(), code('LengthMissing'));
    });

    it('asks for no name that an address would resolve to another', async () => {
      answer = () => ({ body: 'of another' });
      for (const name of ['a/../b', '../d/b', 'a/./b', '..', '.'])
        await assert.rejects(container().readBytes(name), code('BlobNameInvalid'), name);
      assert.equal(server.asked.length, 0);
      for (const name of ['a..b/.c/...', '%2e%2e/b', 'a b/#1?x=%20&+é/\u00e9e\u0301', 'dot./b.']) {
        await container().readBytes(name);
        assert.equal(server.asked.at(-1)?.path, `/c/${name}`);
      }
    });

    it('a blob that is leased was not written first by somebody else', async () => {
      answer = () => ({ status: 412, headers: { 'x-ms-error-code': 'LeaseIdMissing' } });
      await assert.rejects(container().writeBytes('b', Buffer.from('1')), code('LeaseIdMissing'));
      answer = () => ({ status: 412, headers: { 'x-ms-error-code': 'ConditionNotMet' } });
      await assert.rejects(container().writeBytes('b', Buffer.from('1'), { ifMatch: '"1"' }), code('ConditionNotMet'));
    });
  });
});
