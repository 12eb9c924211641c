/** A job's assets written into the embedded workspace: what is sent, what is not sent again, what is refused before anything is written. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { openFrom } from '../../cli/connection.js';
import type { Azure, AzureRequest } from '../../src/azure/types.js';
import { Failure } from '../../src/azure/errors.js';
import { onlineTarget } from '../../src/aml/assets-online.js';
import { compileJob, type CompiledJob, type JobSource } from '../../src/aml/compile/index.js';
import { openDatastore } from '../../src/aml/datastore.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { startUp, type Running } from '../support/workspace.js';
import { cleanUp, files, type Files } from './compile/support.js';

describe('assets of a job, in the embedded workspace', function () {
  this.timeout(120_000);
  let running: Running;
  let workspace: Workspace;
  let asked: string[] = [];

  before(async () => {
    running = await startUp();
    const opened = openFrom(running.file, running.connection.workspaces[0]?.name ?? 'dev');
    const { azure } = opened;
    const counting: Azure = {
      connection: azure.connection,
      token: (scope, signal) => azure.token(scope, signal),
      request: (request: AzureRequest) => {
        asked.push(`${request.method} ${request.url.replace(opened.id, '')}`);
        return azure.request(request);
      },
      complete: (first, options) => azure.complete(first, options),
      list: (request) => azure.list(request),
      blobs: (url, auth) => azure.blobs(url, auth),
      trustHost: (host) => azure.trustHost(host),
    };
    workspace = { ...opened, azure: counting };
  });
  after(async () => {
    cleanUp();
    await running.stop();
  });
  beforeEach(() => {
    asked = [];
  });

  const compile = (folder: Files, more: Partial<JobSource> = {}): Promise<CompiledJob> =>
    compileJob({ file: folder.path('job.yml'), name: 'case', env: {}, ...more }, onlineTarget(workspace));

  const project = (count: number, unique = ''): Files => {
    const content: Record<string, string> = {
      'job.yml':
        'type: pipeline\nsettings: { default_compute: azureml:cpu-cluster }\njobs:\n  a: { command: echo, code: src, environment: { image: "python:3.11" } }\n  b: { command: echo b, code: src, environment: { image: "python:3.11" } }\n',
    };
    for (let index = 0; index < count; index++) content[`src/d${index % 7}/f${index}.py`] = `print(${index})${unique}\n`;
    return files(content);
  };

  it('uploads code once, and sends nothing of it again', async () => {
    const folder = project(60);
    const first = await compile(folder);
    assert.equal(first.upload.files, 60);
    assert.ok(first.upload.bytes > 0);
    assert.equal(first.requests.filter(({ path }) => path.includes('/codes/')).length, 1);
    asked = [];
    const second = await compile(folder);
    assert.deepEqual(second.upload, { bytes: 0, files: 0, reused: 60 });
    // With the job itself six: compute, code by hash, environment, two components.
    assert.ok(asked.length <= 5, asked.join('\n'));
    assert.deepEqual(second.body.properties['jobs'], first.body.properties['jobs']);
  });

  it('lets two runs submit the same code at once', async () => {
    const folder = project(25, ' # together');
    const [one, two] = await Promise.all([compile(folder), compile(folder)]);
    assert.equal(one.type, 'Pipeline');
    assert.equal(two.type, 'Pipeline');
  });

  it('writes an environment that steps describe differently in their order: the last one stands, as with the official client', async () => {
    const step = (name: string, description: string) =>
      `  ${name}: { command: echo ${name}, environment: { image: "described:1", description: ${description} } }\n`;
    const text = (...steps: string[]) =>
      `type: pipeline\nsettings: { default_compute: azureml:cpu-cluster }\njobs:\n${steps.join('')}`;
    const job = text(step('a', 'one'), step('b', 'one'), step('c', 'two'), step('d', 'one'));
    const { requests } = await compile(files({ 'job.yml': job }));
    const written = requests.filter(({ path }) => path.includes('/environments/'));
    const descriptions = written.map(({ body }) => (body as { properties: { description: string } }).properties.description);
    assert.deepEqual(descriptions, ['one', 'two', 'one']);
    assert.equal(asked.filter((request) => request.startsWith('PUT /environments/')).length, 3);
    const [{ path } = { path: '' }] = written;
    const { body } = await workspace.azure.request<{ properties: { description: string } }>({ method: 'GET', url: path });
    assert.equal(body.properties.description, 'one');
  });

  it('looks everything up before it writes, and tells all that is missing', async () => {
    const folder = files({
      'src/a.py': 'print("never sent")\n',
      'job.yml':
        'command: echo\ncode: src\nenvironment: azureml:nowhere:3\ncompute: azureml:gone\ninputs: { d: { type: uri_folder, path: azureml:lost@latest } }\n',
    });
    await assert.rejects(compile(folder), (error: unknown) => {
      assert.ok(error instanceof Failure);
      assert.equal(error.code, 'ReferenceNotFound');
      assert.match(error.message, /job\.yml:3:14: there is no environment nowhere version 3/);
      assert.match(error.message, /job\.yml:4:10: there is no compute gone/);
      assert.match(error.message, /job\.yml:5:\d+: there is no data asset lost/);
      assert.match(error.details.advice ?? '', /Computes of the workspace: .*cpu-cluster/);
      return true;
    });
    assert.deepEqual(
      asked.filter((request) => !request.startsWith('GET')),
      [],
    );
  });

  it('keeps local data under its content, and goes on with an upload that was interrupted', async () => {
    const folder = files({
      'job.yml':
        'command: echo\nenvironment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest\ninputs: { d: { type: uri_folder, path: data } }\n',
      'data/a.csv': 'a\n',
      'data/b/c.csv': 'c\n',
    });
    const first = await compile(folder);
    const uri = (first.body.properties['inputs'] as { d: { uri: string } }).d.uri;
    assert.match(uri, /^azureml:\/\/datastores\/workspaceblobstore\/paths\/LocalUpload\/[0-9a-f]{64}\/data\/$/);
    const { container } = await openDatastore(workspace, 'workspaceblobstore');
    const prefix = uri.slice(uri.indexOf('LocalUpload'));
    const names: string[] = [];
    for await (const blob of container.list(prefix)) names.push(blob.name.slice(prefix.length));
    assert.deepEqual(names.sort(), ['a.csv', 'b/c.csv']);
    assert.deepEqual((await compile(folder)).upload, { bytes: 0, files: 0, reused: 2 });
    // The mark is missing and one file too: the rest is there.
    await container.setMetadata(`${prefix}a.csv`, {});
    await container.delete(`${prefix}b/c.csv`);
    assert.deepEqual((await compile(folder)).upload, { bytes: 2, files: 1, reused: 1 });
  });

  it('goes on with large code whose upload was killed: what lies in the place is not sent again', async () => {
    const size = 20 * 1024 * 1024;
    const content: Record<string, string> = { 'job.yml': 'command: echo\ncode: src\nenvironment: { image: "python:3.11" }\n' };
    for (let index = 0; index < 40; index++) content[`src/f${index}.py`] = `print(${index}) # resumed\n`;
    const folder = files({ ...content, 'src/weights.bin': 'w'.repeat(size) });
    const target = () => onlineTarget(workspace, { resumeKey: () => 'resumed-job' });
    const once = (stop?: AbortSignal) =>
      compileJob({ file: folder.path('job.yml'), name: 'resumed-job', env: {}, ...(stop ? { signal: stop } : {}) }, target());
    // The line ends after the second block; nothing of that process is kept but the job's name.
    const stop = new AbortController();
    let blocks = 0;
    const whole = workspace;
    const blobs: Azure['blobs'] = (url, auth) => {
      const container = whole.azure.blobs(url, auth);
      const putBlock = container.putBlock.bind(container);
      container.putBlock = async (...given) => {
        await putBlock(...given);
        if (++blocks === 2) stop.abort(new Error('killed'));
      };
      return container;
    };
    workspace = { ...whole, azure: { ...whole.azure, blobs } };
    await assert.rejects(once(stop.signal), /killed/);
    workspace = whole;
    const { upload, body } = await once();
    assert.ok(upload.bytes <= size - 8 * 1024 * 1024 + 40 * 30, JSON.stringify(upload));
    assert.equal(upload.files + upload.reused, 41);
    assert.deepEqual((await once()).upload, { bytes: 0, files: 0, reused: 41 });
    assert.match(String(body.properties['codeId']), /codes\/[0-9a-f-]{36}\/versions\/1$/);
    // A service that does not take the name a second time is no reason to fail.
    writeFileSync(folder.path('src/f0.py'), 'print("another")\n');
    const request: Azure['request'] = async (given) => {
      if (JSON.stringify(given.body ?? '').includes('pendingUploadId'))
        throw new Failure('It exists.', { code: 'Conflict', status: 409 });
      return whole.azure.request(given);
    };
    workspace = { ...whole, azure: { ...whole.azure, request } };
    assert.equal((await once()).upload.files, 41);
    // Registered before, and not found by its content yet.
    writeFileSync(folder.path('src/f0.py'), 'print("a third")\n');
    const late: Azure['request'] = async (given) => {
      const isCode = given.method === 'PUT' && given.url.includes('/codes/');
      if (!isCode) return whole.azure.request(given);
      await whole.azure.request(given);
      throw new Failure('Asset paths cannot be updated.', { code: 'UserError', status: 400 });
    };
    workspace = { ...whole, azure: { ...whole.azure, request: late } };
    assert.match(String((await once()).body.properties['codeId']), /\/codes\//);
    workspace = whole;
  });

  it('sends a large file of local data once, also when it was committed in blocks', async () => {
    const size = 17 * 1024 * 1024;
    const folder = files({
      'job.yml': 'command: echo\nenvironment: { image: "python:3.11" }\ninputs: { d: { type: uri_file, path: big.bin } }\n',
      'big.bin': 'd'.repeat(size),
    });
    const first = await compile(folder);
    assert.equal(first.upload.bytes, size);
    const uri = (first.body.properties['inputs'] as { d: { uri: string } }).d.uri;
    const { container } = await openDatastore(workspace, 'workspaceblobstore');
    const name = uri.slice(uri.indexOf('LocalUpload'));
    await container.setMetadata(name, {});
    assert.deepEqual((await compile(folder)).upload, { bytes: 0, files: 0, reused: 1 });
    // Blocks that were sent and never committed.
    await container.delete(name);
    const block = Buffer.from('d'.repeat(8 * 1024 * 1024));
    await container.putBlock(name, `000001-${createHash('md5').update(block).digest('hex')}`, block);
    assert.deepEqual((await compile(folder)).upload, { bytes: size - block.length, files: 1, reused: 0 });
    // Those of another program that was killed: storage takes no others beside them.
    await container.delete(name);
    await container.putBlock(name, 'of another program', Buffer.from('x'));
    await assert.rejects(container.putBlock(name, 'of ours', Buffer.from('y')), /InvalidBlobOrBlock|invalid/);
    assert.deepEqual((await compile(folder)).upload, { bytes: size, files: 1, reused: 0 });
  });

  it('signs every kind of request with the key of the account', async () => {
    const { account, container } = await openDatastore(workspace, 'workspaceblobstore');
    const { body } = await workspace.azure.request<{ key?: string }>({
      method: 'POST',
      url: `${workspace.id}/datastores/workspaceblobstore/listSecrets`,
      body: {},
    });
    const keyed = workspace.azure.blobs(container.url, { kind: 'accountKey', account, key: body.key ?? assert.fail('no key') });
    const names = ['plain', 'a b+c&d=e;f,g', "ü/日本/#1?x=%20'(*)!~", 'empty'];
    for (const name of names) {
      const bytes = Buffer.from(name === 'empty' ? '' : name);
      const metadata = { two: 'b  c', one: 'a' };
      const { etag } = await keyed.writeBytes(`key/${name}`, bytes, { ifNoneMatch: '*', contentType: 'text/plain', metadata });
      await assert.rejects(keyed.writeBytes(`key/${name}`, bytes, { ifNoneMatch: '*' }), { code: 'ConditionNotMet' });
      await keyed.writeBytes(`key/${name}`, bytes, { ifMatch: etag });
      await keyed.setMetadata(`key/${name}`, { one: 'x' });
      assert.deepEqual((await keyed.head(`key/${name}`))?.metadata, { one: 'x' });
      assert.equal((await keyed.readBytes(`key/${name}`))?.bytes.toString(), bytes.toString());
    }
    const read = await keyed.read('key/plain', { offset: 1, count: 3 });
    assert.equal(Buffer.concat(await (read?.stream ?? assert.fail('gone')).toArray()).toString(), 'lai');
    await keyed.putBlock('key/blocks', 'one', Buffer.from('1'));
    assert.deepEqual(await keyed.uncommittedBlocks('key/blocks'), [{ id: 'one', size: 1 }]);
    await keyed.commitBlocks('key/blocks', ['one'], { contentType: 'text/plain' });
    const listed: string[] = [];
    for await (const { name } of keyed.list('key/')) listed.push(name);
    assert.deepEqual(listed.sort(), [...names, 'blocks'].map((name) => `key/${name}`).sort());
    for (const name of listed) assert.equal(await keyed.delete(name), true);
    const wrong = workspace.azure.blobs(container.url, {
      kind: 'accountKey',
      account,
      key: Buffer.from('other').toString('base64'),
    });
    await assert.rejects(wrong.writeBytes('key/x', Buffer.from('x')), { code: 'AuthenticationFailed' });
  });

  it('resolves labels to versions', async () => {
    const properties = { image: 'python:3.11', isAnonymous: false };
    for (const version of ['1', '2']) {
      await workspace.azure.request({
        method: 'PUT',
        url: `${workspace.id}/environments/labelled/versions/${version}`,
        body: { properties },
      });
    }
    const folder = files({ 'job.yml': 'command: echo\nenvironment: azureml:labelled@latest\n' });
    const compiled = await compile(folder);
    assert.equal(compiled.body.properties['environmentId'], `${workspace.id}/environments/labelled/versions/2`);
    assert.deepEqual(compiled.warnings, []);
  });
});
