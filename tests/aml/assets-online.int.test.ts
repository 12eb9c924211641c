/** A job's assets written into the embedded workspace: what is sent, what is not sent again, what is refused before anything is written. */
import assert from 'node:assert/strict';
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
