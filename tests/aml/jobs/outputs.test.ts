/** Where outputs lie, and fetching them: only what is stored, whole, below the folder; what cannot be written is said with the input. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { JobState } from '../../../src/aml/jobs/job.js';
import { fetchOutput, insideOf, locateOutput, outputNames, type LocatedOutput } from '../../../src/aml/jobs/outputs.js';
import type { Workspace } from '../../../src/aml/workspace.js';
import { Failure } from '../../../src/azure/errors.js';
import type { AzureRequest, BlobContainer, BlobItem } from '../../../src/azure/types.js';

type Stored = Record<string, string>;
const itemOf = (name: string, text: string): BlobItem => ({
  name,
  size: Buffer.byteLength(text),
  etag: `"${text.length}"`,
  lastModified: new Date(0),
});

/** A container of blobs; `read` is what a single read does instead. */
function containerOf(blobs: Stored, read?: (name: string, text: string) => Promise<string | undefined>) {
  const reads: { name: string; ifMatch?: string }[] = [];
  const container = {
    async *list(prefix: string) {
      for (const [name, text] of Object.entries(blobs)) if (name.startsWith(prefix)) yield itemOf(name, text);
    },
    async read(name: string, options: { ifMatch?: string; signal?: AbortSignal } = {}) {
      options.signal?.throwIfAborted();
      reads.push({ name, ...(options.ifMatch ? { ifMatch: options.ifMatch } : {}) });
      const text = read ? await read(name, blobs[name] ?? '') : blobs[name];
      options.signal?.throwIfAborted();
      return text === undefined ? undefined : { stream: Readable.from([Buffer.from(text)]), size: text.length, etag: '' };
    },
  } as unknown as BlobContainer;
  return { container, reads };
}
const located = (container: BlobContainer, path = 'out'): LocatedOutput => ({ name: 'model', path, uri: '', container });
const output = (names: string[]): LocatedOutput =>
  located(containerOf(Object.fromEntries(names.map((name) => [`out/${name}`, 'x']))).container);

const refused = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Failure, String(error));
  assert.equal(error.code, code);
  assert.match(`${error.message} ${error.details.advice}`, words);
  return true;
};

describe('outputs on a disk', () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'amlops-outputs-'))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('writes what it holds, and says what cannot be written', async () => {
    const place = join(folder, 'model');
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    const of = { size: 1, sha256: sha256('x') };
    assert.deepEqual(await fetchOutput(output(['b/c', 'a']), place), {
      ...{ name: 'model', folder: place, bytes: 2 },
      files: [
        { path: 'a', ...of },
        { path: 'b/c', ...of },
      ],
      digest: `sha256:${sha256(`a\t1\t${of.sha256}\nb/c\t1\t${of.sha256}\n`)}`,
    });
    writeFileSync(join(folder, 'taken'), '');
    await assert.rejects(fetchOutput(output(['d/e']), join(folder, 'taken')), refused('FileUnwritable', /downloadPath/));
    // Node says ENOENT of a file system that is read-only: a short path is not too long.
    const { container } = containerOf({ 'out/a': 'x' });
    const readOnly = Object.assign(new Error('ENOENT'), { code: 'ENOENT', syscall: 'mkdir' });
    container.read = async () => ({
      stream: new Readable({
        read() {
          this.destroy(readOnly);
        },
      }),
      size: 1,
      etag: '',
    });
    await assert.rejects(fetchOutput(located(container), place), refused('FileUnwritable', /agent may write to/));
    const long = `${'n'.repeat(300)}/x`;
    await assert.rejects(fetchOutput(output([long]), join(folder, 'long')), refused('FileUnwritable', /too long/));
    await assert.rejects(fetchOutput(output(['a', 'a/b']), join(folder, 'clash')), refused('PathUnwritable', /"a" and "a\/b"/));
    assert.deepEqual(readdirSync(folder).includes('clash'), false);
    mkdirSync(join(folder, 'full', 'a'), { recursive: true });
    await assert.rejects(fetchOutput(output(['a']), join(folder, 'full')), refused('FileUnwritable', /EISDIR.*may write to/));
    // The parent itself, by any way.
    for (const name of ['..', 'a/../..']) assert.throws(() => insideOf(folder, name), refused('PathOutside', /leads out/));
  });

  it('takes an output of one file, of a whole container, and no folder marks', async () => {
    const names = async (blobs: Stored, path: string) => {
      const { files } = await fetchOutput(located(containerOf(blobs).container, path), mkdtempSync(join(folder, 'x-')));
      return files.map((file) => file.path);
    };
    assert.deepEqual(await names({ 'out/model.pkl': 'm', 'out/model.pkl2': 'no' }, 'out/model.pkl'), ['model.pkl']);
    assert.deepEqual(await names({ 'a.txt': 'a', 'b/c': 'c' }, ''), ['a.txt', 'b/c']);
    // A folder's mark is an empty blob: of its name (Data Lake), or of its name with a slash. An empty file is a file.
    assert.deepEqual(await names({ out: '', 'out/': '', 'out/sub/': '', 'out/sub': '', 'out/sub/x': '1' }, 'out'), ['sub/x']);
    assert.deepEqual(await names({ 'out/empty': '' }, 'out/empty'), ['empty']);
    assert.deepEqual(await names({ 'out/a': '', 'out/b': '', 'out2/no': 'x' }, 'out'), ['a', 'b']);
    // The folder is there also when there is nothing in it.
    const nothing = join(folder, 'nothing', 'below');
    assert.deepEqual((await fetchOutput(located(containerOf({}).container), nothing)).files, []);
    assert.deepEqual(readdirSync(nothing), []);
  });

  it('fetches sixteen files at a time', async () => {
    let [running, most] = [0, 0];
    const { container } = containerOf(Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`out/${n}`, 'x'])), async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
      return 'x';
    });
    assert.deepEqual([(await fetchOutput(located(container), folder)).bytes, most], [40, 16]);
  });

  it('fetches the very bytes that were listed, or fails', async () => {
    const { container, reads } = containerOf({ 'out/a': 'four' });
    await fetchOutput(located(container), join(folder, 'good'));
    assert.deepEqual(reads, [{ name: 'out/a', ifMatch: '"4"' }]);
    for (const [text, words] of [
      ['fou', /a has 4 bytes, but 3 arrived/],
      ['four.', /4 bytes, but 5/],
      [undefined, /went away/],
    ] as const) {
      const other = containerOf({ 'out/a': 'four' }, async () => text);
      await assert.rejects(fetchOutput(located(other.container), join(folder, 'bad')), refused('OutputChanged', words));
      assert.equal(other.reads.length, 1);
    }
    const replaced = new Failure('read x: ConditionNotMet', { code: 'ConditionNotMet', status: 412 });
    // Before its first byte, and when a broken line is taken up again.
    for (const stream of [undefined, () => Readable.from(broken())]) {
      const { container: changed } = containerOf({ 'out/a': 'four' });
      changed.read = async () => (stream ? { stream: stream(), size: 4, etag: '' } : Promise.reject(replaced));
      await assert.rejects(
        fetchOutput(located(changed), join(folder, 'bad')),
        refused('OutputChanged', /out\/a was changed while it was fetched.*again/),
      );
    }
    async function* broken() {
      yield await Promise.resolve(Buffer.from('fo'));
      throw replaced;
    }
  });

  it('reads again what passes by itself, three times in all, and nothing else', async () => {
    const flaky = (fails: number, status: number) => {
      let left = fails;
      return containerOf({ 'out/a': 'x' }, async (_name, text) => {
        if (left-- > 0) throw new Failure('no', { code: `Http${status}`, status });
        return text;
      });
    };
    const good = flaky(2, 503);
    assert.equal((await fetchOutput(located(good.container), folder)).bytes, 1);
    for (const [given, reads] of [
      [flaky(9, 503), 3],
      [flaky(9, 403), 1],
    ] as const) {
      await assert.rejects(fetchOutput(located(given.container), folder), Failure);
      assert.equal(given.reads.length, reads);
    }
  });

  it('holds what arrived against the MD5 that is stored with it', async () => {
    const md5 = createHash('md5').update('four').digest('base64');
    const given = containerOf({ 'out/a': 'four' }, async () => 'four');
    const bad = containerOf({ 'out/a': 'four' }, async () => 'fuor');
    for (const { container } of [given, bad])
      container.list = async function* () {
        yield await Promise.resolve({ ...itemOf('out/a', 'four'), md5 });
      };
    assert.equal((await fetchOutput(located(given.container), join(folder, 'good'))).bytes, 4);
    await assert.rejects(
      fetchOutput(located(bad.container), join(folder, 'bad')),
      refused('OutputChanged', /a is not what was stored/),
    );
  });

  it('a file in the midst of which nothing comes any more ends with a cancel, and with the failure of another', async () => {
    const silent = () => new Readable({ read: () => undefined });
    const abort = new AbortController();
    const given = containerOf({ 'out/a': 'x', 'out/b': 'x' });
    given.container.read = async (name) => {
      if (name === 'out/b') setImmediate(() => abort.abort(new Error('enough')));
      return { stream: silent(), size: 1, etag: '' };
    };
    await assert.rejects(fetchOutput(located(given.container), folder, abort.signal));
    given.container.read = async (name) => {
      if (name === 'out/a') return { stream: silent(), size: 1, etag: '' };
      throw new Failure('no rights', { code: 'AuthorizationFailure', status: 403 });
    };
    await assert.rejects(fetchOutput(located(given.container), folder), refused('AuthorizationFailure', /no rights/));
  });

  it('reads nothing more once it is cancelled', async () => {
    const abort = new AbortController();
    const given = containerOf({ 'out/a': 'x' }, async () => {
      abort.abort(new Error('enough'));
      throw new Failure('no', { code: 'Http503', status: 503 });
    });
    const listed: unknown[] = [];
    given.container.list = async function* (_prefix, signal) {
      listed.push(signal);
      yield await Promise.resolve(itemOf('out/a', 'x'));
    };
    await assert.rejects(fetchOutput(located(given.container), folder, abort.signal));
    assert.deepEqual([given.reads.length, listed], [1, [abort.signal]]);
    const late = containerOf({ 'out/a': 'x' });
    await assert.rejects(fetchOutput(located(late.container), folder, abort.signal), /enough/);
    assert.equal(late.reads.length, 0);
  });

  it('leaves nothing that still writes when a file has failed: the next try has the folder for itself', async () => {
    const blobs = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`out/${n}`, 'x']));
    let running = 0;
    const given = containerOf(blobs, async (name, text) => {
      if (name === 'out/3') throw new Failure('no rights', { code: 'AuthorizationFailure', status: 403 });
      running += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      running -= 1;
      return text;
    });
    await assert.rejects(fetchOutput(located(given.container), folder), refused('AuthorizationFailure', /no rights/));
    assert.equal(running, 0);
    const { length } = given.reads;
    assert.ok(length <= 17, `${length} reads`);
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(given.reads.length, length);
  });
});

describe('where an output lies', () => {
  const run = { assetId: 'azureml://locations/x/workspaces/y/data/z/versions/1' };
  /** A workspace whose run history and data plane say this; its datastores hold `blobs`. */
  function workspaceOf(given: { rundata?: object | 404; resolved?: string; blobs?: Stored }) {
    const asked: string[] = [];
    /** Of each request, each list of blobs, and each question for the workspace's facts. */
    const signals = new Set<unknown>();
    const sent: AzureRequest[] = [];
    const request = async (whole: AzureRequest) => {
      const { url, body, signal } = whole;
      signals.add(signal);
      sent.push(whole);
      if (url.endsWith('/rundata')) {
        const { rundata } = given;
        if (rundata === 404) return { status: 404 };
        return { status: 200, body: { runMetadata: { outputs: rundata ?? {} } } };
      }
      if (url.endsWith('batchGetResolvedUris')) {
        asked.push(url.replace('https://api/ws/', ''));
        const [id = ''] = (body as { values: string[] }).values;
        return given.resolved ? { status: 200, body: { values: { [id]: { uri: given.resolved } } } } : { status: 400, body: {} };
      }
      return { status: 200, body: { name: url.split('/').at(-1), properties: properties } };
    };
    const properties = { datastoreType: 'AzureBlob', accountName: 'acct', containerName: 'c', credentials: null };
    const azure = {
      connection: { resourceManager: 'https://management.azure.com' },
      request,
      blobs: () => {
        const { container } = containerOf(given.blobs ?? {});
        const list = container.list.bind(container);
        container.list = (prefix, signal) => {
          signals.add(signal);
          return list(prefix);
        };
        return container;
      },
      async *list({ signal }: AzureRequest) {
        signals.add(signal);
        yield await Promise.resolve({ name: 'default', properties });
      },
    };
    const facts = async (signal?: AbortSignal) => {
      signals.add(signal);
      return { api: 'https://api' };
    };
    const workspace = { id: '/ws', workspace: 'w', azure, facts };
    return { workspace: workspace as unknown as Workspace, asked, signals, sent };
  }
  const job = (outputs: JobState['outputs'] = { m: { type: 'uri_folder' }, default: { type: 'uri_folder' } }): JobState =>
    ({ name: 'j', outputs }) as JobState;
  const whereabouts = async (given: Parameters<typeof workspaceOf>[0], of = job()) => {
    const { path, uri } = await locateOutput(workspaceOf(given).workspace, of, 'm');
    return [path, uri];
  };

  it('ARM says it, or run history, or the data plane of what run history names', async () => {
    const uri = 'azureml://datastores/d/paths/a/b/';
    const said = job({ m: { type: 'uri_folder', uri } });
    assert.deepEqual(await whereabouts({ rundata: { m: { assetId: 'azureml://datastores/x/paths/no' } } }, said), ['a/b', uri]);
    assert.deepEqual(await whereabouts({ rundata: { m: { assetId: uri } } }), ['a/b', uri]);
    assert.deepEqual(await whereabouts({ rundata: { m: run }, resolved: uri }), ['a/b', uri]);
    for (const [assetId, room] of [
      [run.assetId, 'data/v1.0/ws/dataversion/batchGetResolvedUris'],
      ['azureml://locations/x/workspaces/y/models/z/versions/1', 'modelregistry/v1.0/ws/models/batchGetResolvedUris'],
    ] as const) {
      const { workspace, asked } = workspaceOf({ rundata: { m: { assetId } }, resolved: uri });
      await locateOutput(workspace, job(), 'm');
      assert.deepEqual(
        asked.map((url) => url.replace('https://api/', '')),
        [room],
      );
    }
  });

  it('asks what may be asked again, for what it needs; and a cancel ends every request of it', async () => {
    const uri = 'azureml://datastores/d/paths/a/b/';
    const { signal } = new AbortController();
    for (const given of [
      { rundata: { m: run }, resolved: uri },
      { rundata: 404, blobs: { 'dataset/j/m/x': '1' } },
    ] as const) {
      const { workspace, signals, sent } = workspaceOf(given);
      const { name, container } = await locateOutput(workspace, job(), 'm', signal);
      assert.deepEqual([name, typeof container.read, [...signals]], ['m', 'function', [signal]]);
      const [rundata, resolve] = sent;
      const wanted = { runId: 'j', selectRunMetadata: true, selectRunDefinition: false, selectJobSpecification: false };
      assert.deepEqual([rundata?.method, rundata?.body, rundata?.accept, rundata?.retries], ['POST', wanted, [404], 5]);
      if ('resolved' in given) assert.deepEqual([resolve?.method, resolve?.accept, resolve?.retries], ['POST', [400, 404], 5]);
    }
    // The service has given the address itself as well.
    const plain = workspaceOf({ rundata: { m: run } });
    const { azure } = plain.workspace as unknown as { azure: { request: (one: AzureRequest) => Promise<unknown> } };
    const { request } = azure;
    azure.request = async (one) =>
      one.url.endsWith('ResolvedUris') ? { status: 200, body: { values: { x: uri } } } : request(one);
    assert.equal((await locateOutput(plain.workspace, job(), 'm')).path, 'a/b');
  });

  it('else where the service puts outputs by default, if there is anything', async () => {
    const blobs = { 'azureml/j/m2/x': '1', 'dataset/j/m/x': '1' };
    assert.deepEqual(await whereabouts({ rundata: 404, blobs }), [
      'dataset/j/m',
      'azureml://datastores/default/paths/dataset/j/m/',
    ]);
    assert.equal((await whereabouts({ rundata: { m: run }, blobs: { 'azureml/j/m/x': '1' } }))[0], 'azureml/j/m');
    const missing = (of: JobState, words: RegExp) =>
      assert.rejects(whereabouts({ blobs: { 'azureml/j/m2/x': '1' } }, of), refused('OutputNotFound', words));
    await missing(job(), /Its outputs: m\.$/);
    await missing(job({ default: { type: 'uri_folder' } }), /names no outputs/);
    assert.deepEqual(outputNames(job()), ['m']);
  });
});
