/** Work that takes longer than the signatures it was given: uploads, downloads and logs, in a workspace whose SAS live four seconds. */
import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFrom } from '../../cli/connection.js';
import { systemClock } from '../../src/azure/azure.js';
import type { Azure, BlobContainer } from '../../src/azure/types.js';
import { onlineTarget } from '../../src/aml/assets-online.js';
import { compileJob } from '../../src/aml/compile/index.js';
import { locate, openDatastore } from '../../src/aml/datastore.js';
import { readJob } from '../../src/aml/jobs/job.js';
import { fetchOutput, locateOutput } from '../../src/aml/jobs/outputs.js';
import { submitJob } from '../../src/aml/jobs/submit.js';
import { logTail } from '../../src/aml/jobs/tail.js';
import { watchJob } from '../../src/aml/jobs/watch.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { send, startUp, tokenOf, type Running } from '../support/workspace.js';
import { cleanUp, files } from './compile/support.js';

const lifetime = 4;
const megabyte = 1024 * 1024;
const outlived = () => sleep(lifetime * 1000 + 100);

/** Every request of this process that was answered, `METHOD path?comp status`. */
interface Answered {
  what: string;
  status: number;
}

describe(`SAS that live ${lifetime} seconds`, function () {
  this.timeout(120_000);
  let running: Running;
  let opened: Workspace;
  let answered: Answered[] = [];
  const note = (message: unknown): void => {
    const { request, response } = message as { request: ClientRequest; response: IncomingMessage };
    const url = new URL(request.path, 'https://localhost');
    const block = url.searchParams.get('blockid');
    const comp = url.searchParams.get('comp');
    const what = `${request.method} ${url.pathname}${comp === null ? '' : `?${comp}`}${block === null ? '' : ` ${block}`}`;
    answered.push({ what, status: response.statusCode ?? 0 });
  };

  before(async () => {
    running = await startUp({ args: ['--workspaces', 'dev', '--faults', `sas-lifetime=${lifetime}`] });
    opened = openFrom(running.file, 'dev');
    diagnostics.subscribe('http.client.response.finish', note);
  });
  after(async () => {
    diagnostics.unsubscribe('http.client.response.finish', note);
    cleanUp();
    await running.stop();
  });
  beforeEach(() => {
    answered = [];
  });

  const asked = (pattern: RegExp, status?: number): string[] =>
    answered.filter((one) => pattern.test(one.what) && (status === undefined || one.status === status)).map(({ what }) => what);
  /** What was sent although it had been taken before. */
  const twice = (pattern: RegExp): string[] => {
    const taken = asked(pattern, 201);
    return taken.filter((what, at) => taken.indexOf(what) !== at);
  };

  /** A workspace of its own memory, in which the signature is over after the third piece of an upload, and after the twentieth. */
  const slow = (): Workspace => {
    let begun = 0;
    let ended = 0;
    const pauses = new Map<number, { over: Promise<void>; begin: () => void }>();
    for (const at of [3, 20]) {
      let begin = (): void => undefined;
      const over = new Promise<void>((resolve) => (begin = () => void outlived().then(resolve)));
      pauses.set(at, { over, begin });
    }
    const blobs: Azure['blobs'] = (url, auth) => {
      const container = opened.azure.blobs(url, auth);
      const slowed =
        <A extends unknown[], R>(write: (...given: A) => Promise<R>) =>
        async (...given: A): Promise<R> => {
          const own = begun++;
          for (const [at, { over }] of pauses) if (own >= at) await over;
          const done = await write(...given);
          pauses.get(++ended)?.begin();
          return done;
        };
      return Object.assign(container, {
        writeBytes: slowed(container.writeBytes.bind(container)),
        putBlock: slowed(container.putBlock.bind(container)),
      } satisfies Partial<BlobContainer>);
    };
    return { ...opened, azure: { ...proxied(opened.azure), blobs } };
  };
  const proxied = (azure: Azure): Azure => ({
    connection: azure.connection,
    token: (scope, signal) => azure.token(scope, signal),
    request: (request) => azure.request(request),
    complete: (first, options) => azure.complete(first, options),
    list: (request) => azure.list(request),
    blobs: (url, auth) => azure.blobs(url, auth),
    trustHost: (host) => azure.trustHost(host),
  });

  it('are refused afterwards as the service refuses them', async () => {
    const { azure } = opened;
    const { body } = await azure.request<{ blobReferenceForConsumption: { credential: { sasUri: string } } }>({
      method: 'POST',
      url: `${opened.id}/codes/expires/versions/1/startPendingUpload`,
      body: {},
    });
    const { sasUri } = body.blobReferenceForConsumption.credential;
    const secrets = await azure.request<{ sasToken: string }>({
      method: 'POST',
      url: `${opened.id}/datastores/workspaceblobstore/listSecrets`,
      body: { expirableSecret: true, expireAfterHours: 1 },
    });
    const { container } = await openDatastore(opened, 'workspaceblobstore');
    const headers = { 'x-ms-version': '2022-11-02' };
    const lists = [sasUri, `${container.url}${secrets.body.sasToken}`].map((url) => `${url}&restype=container&comp=list`);
    for (const list of lists) assert.equal((await send(running.connection, 'GET', list, { headers })).status, 200);
    await outlived();
    for (const list of lists) {
      const refused = await send(running.connection, 'GET', list, { headers });
      assert.equal(refused.status, 403);
      assert.equal(refused.headers['x-ms-error-code'], 'AuthenticationFailed');
      assert.match(refused.text, /<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start \[\w{3}, /);
    }
  });

  it('are exchanged in an upload of code: one place, and nothing that was taken is sent again', async () => {
    const content: Record<string, string> = {
      'job.yml': 'command: echo\ncode: src\nenvironment: { image: "python:3.11" }\ncompute: azureml:cpu-cluster\n',
      'src/big.bin': 'b'.repeat(20 * megabyte),
    };
    for (let n = 0; n < 40; n++) content[`src/f${n}.py`] = `print(${n}) # outlives\n`;
    const folder = files(content);
    const workspace = slow();
    const job = { file: folder.path('job.yml'), name: 'outlived', env: {} };
    const compiled = await compileJob(job, onlineTarget(workspace));
    assert.deepEqual(compiled.upload, { bytes: 20 * megabyte + size(content, /\.py$/), files: 41, reused: 0 });
    assert.deepEqual(twice(/^PUT .*\/src\//), []);
    const refusals = asked(/^PUT .*\/src\//, 403);
    assert.ok(refusals.length > 0 && refusals.length <= 40, `${refusals.length} refusals`);
    const places = asked(/^POST .*startPendingUpload/);
    assert.equal(places.length, 3, 'the place itself, and twice a fresh signature for it');
    const code = await opened.azure.request<{ properties: { codeUri: string } }>({
      method: 'GET',
      url: String(compiled.body.properties['codeId']),
    });
    const { codeUri } = code.body.properties;
    assert.equal(new Set(asked(/^PUT .*\/src\//).map((what) => what.split('/')[1])).size, 1, 'one container');
    assert.ok(codeUri.includes(asked(/^PUT .*\/src\//)[0]?.split('/')[1] ?? '?'), codeUri);
    assert.deepEqual((await compileJob(job, onlineTarget(workspace))).upload, { bytes: 0, files: 0, reused: 41 });
  });

  it('are exchanged in an upload and a download of data, also in the midst of a file', async () => {
    const content: Record<string, string> = {
      'job.yml': 'command: echo\nenvironment: { image: "python:3.11" }\ninputs: { d: { type: uri_folder, path: data } }\n',
      'data/big.bin': Array.from({ length: 2 * megabyte }, (_, n) => String(n % 10_000).padStart(10, '0')).join(''),
    };
    for (let n = 0; n < 20; n++) content[`data/${n}/row.csv`] = `${n}\n`;
    const folder = files(content);
    const workspace = slow();
    const compiled = await compileJob({ file: folder.path('job.yml'), name: 'data', env: {} }, onlineTarget(workspace));
    assert.equal(compiled.upload.files, 21);
    assert.deepEqual(twice(/^PUT .*\/LocalUpload\//), []);
    assert.ok(asked(/^PUT .*\/LocalUpload\//, 403).length > 0);
    assert.equal(asked(/^POST .*listSecrets/).length, 3);

    const { uri } = (compiled.body.properties['inputs'] as { d: { uri: string } }).d;
    const { datastore, path } = await locate(workspace, uri);
    const { container } = datastore;
    const target = mkdtempSync(join(tmpdir(), 'amlops-outlived-'));
    try {
      answered = [];
      await outlived();
      const got = await fetchOutput({ name: 'd', container, path: path.replace(/\/$/, ''), uri }, target);
      assert.equal(got.files.length, 21);
      for (const name of Object.keys(content).filter((one) => one.startsWith('data/')))
        assert.equal(readFileSync(join(target, name.slice(5)), 'utf8'), content[name], name);
      assert.equal(asked(/^POST .*listSecrets/).length, 1);
      // The line breaks in a file whose signature is over.
      const faults = async (more: string) =>
        send(running.connection, 'PUT', `${running.connection.resourceManager}/_amlops`, {
          token: await tokenOf(running.connection),
          body: { faults: `sas-lifetime=${lifetime}${more}` },
        });
      await faults(',storage=1,storage-kinds=truncate,storage-path=big,burst=1');
      const read = await container.read(`${path}big.bin`);
      const hold: Buffer[] = [];
      for await (const piece of read?.stream ?? []) {
        if (hold.length === 0) await outlived();
        hold.push(piece as Buffer);
      }
      await faults('');
      assert.ok(Buffer.concat(hold).equals(Buffer.from(content['data/big.bin'] ?? '')));
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  });

  it('are exchanged while a job runs: every line of its log once, and its outputs', async () => {
    const folder = files({
      'job.yml': `
type: pipeline
settings: { default_compute: azureml:cpu-cluster }
outputs: { made: { type: uri_folder } }
jobs:
  count:
    command: for i in $(seq 9); do echo line $i; sleep 1; done; echo done > \${{outputs.out}}/a.txt
    environment: { image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04 }
    outputs: { out: '\${{parent.outputs.made}}' }
`,
    });
    const name = 'outlives-its-logs';
    const compiled = await compileJob({ file: folder.path('job.yml'), name, env: {} }, onlineTarget(opened));
    await submitJob(opened, compiled, 'once', { clock: systemClock });
    const first = await readJob(opened, name);
    assert.ok(first);
    let text = '';
    const notices: string[] = [];
    const sink = {
      status: () => undefined,
      steps: () => undefined,
      stepEnd: () => undefined,
      text: (_step: unknown, piece: string) => void (text += piece),
      textEnd: () => undefined,
      notice: (level: string, said: string) => void notices.push(`${level}: ${said}`),
    };
    const end = await watchJob(opened, first, sink, {
      clock: systemClock,
      signal: new AbortController().signal,
      logs: true,
    });
    assert.equal(end.end, 'completed');
    assert.deepEqual(
      [...text.matchAll(/^line (\d)$/gm)].map(([, n]) => n),
      [...'123456789'],
      text,
    );
    assert.deepEqual(notices, []);
    assert.ok(asked(/^GET .*std_log/, 403).length > 0, 'an address was refused and asked for again');
    const tail = await logTail(opened, end.steps[0]?.runId ?? '', { lines: 2 });
    assert.deepEqual(tail.lines, ['line 8', 'line 9']);
    await outlived();
    const target = mkdtempSync(join(tmpdir(), 'amlops-outlived-'));
    try {
      const output = await locateOutput(opened, end.job, 'made');
      await outlived();
      const got = await fetchOutput(output, target);
      assert.deepEqual(
        got.files.map(({ path }) => path),
        ['a.txt'],
      );
    } finally {
      rmSync(target, { recursive: true, force: true });
    }
  });
});

function size(content: Record<string, string>, names: RegExp): number {
  return Object.entries(content).reduce((sum, [name, text]) => sum + (names.test(name) ? text.length : 0), 0);
}
