/** Jobs that misbehave, are many, or are cancelled at a bad moment; nothing outside the state folder is touched, nothing is left behind. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Jobs } from '../../../support/jobs.js';
import { send } from '../../../support/workspace.js';

/** Processes whose command line has this text. */
function processes(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
    } catch {
      return false; // gone meanwhile
    }
  });
}

describe('jobs that misbehave', function () {
  this.timeout(300_000);
  const many = process.env['AMLOPS_SOAK'] === '1' ? 100 : 25;
  const outside = mkdtempSync(join(tmpdir(), 'amlops-outside-'));
  let jobs: Jobs;
  /** A package index that takes a request and never answers. */
  let silent: Server;
  const sockets: Socket[] = [];
  let slowEnvironment: string;

  before(async () => {
    jobs = await Jobs.start();
    silent = createServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const index = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/simple`;
    slowEnvironment = await jobs.put('/environments/slow/versions/1', {
      image: 'python',
      condaFile: JSON.stringify({ dependencies: [{ pip: [`--index-url ${index}`, 'nothing-comes'] }] }),
    });
  });
  after(async () => {
    await jobs.stop();
    for (const socket of sockets) socket.destroy();
    silent.close();
    rmSync(outside, { recursive: true, force: true });
  });

  it('keeps what they print, byte by byte', async () => {
    const program = [
      "import sys; w = sys.stdout.buffer.write; w(b'\\xff\\xfe bad\\n'); w(b'a\\x00b\\n')",
      "w(b'x' * 5_000_000 + b'\\n'); w('##vso[task.complete]\\u2028'.encode()); w(b'no newline')",
    ].join('; ');
    const code = await jobs.code({ 'odd.py': `${program}\n` });
    const reply = await jobs.command('odd', 'python odd.py; exec >&- 2>&-; sleep 0.2', { codeId: code });
    assert.equal(reply.status, 201, reply.text);
    const run = await jobs.until('odd');
    assert.equal(run.status, 'Completed', JSON.stringify(run.error));
    const { storage } = jobs.workspace.ctx;
    const place = { account: jobs.ws.account, container: 'azureml', path: 'ExperimentRun/dcid.odd/user_logs/std_log.txt' };
    const bytes = await storage.read(place);
    assert.ok(bytes);
    const start = Buffer.from([0xff, 0xfe, 0x20, 0x62, 0x61, 0x64, 0x0a, 0x61, 0, 0x62, 0x0a]);
    assert.ok(bytes.subarray(0, start.length).equals(start));
    assert.ok(bytes.length > 5_000_000 && bytes.toString('utf8').endsWith('no newline'));
    const reread = await send(jobs.workspace.connection, 'GET', String(run.logFiles['user_logs/std_log.txt']));
    assert.equal(reread.status, 200);
    await jobs.command('odd-fails', 'printf "\\xff\\x00 the end"; exit 7');
    const failed = await jobs.until('odd-fails');
    assert.match(String(failed.error.error.message), /status code 7.*the end/s);
  });

  it('leave no process behind: daemons, deaf ones, in whatever way they end', async function () {
    if (process.platform !== 'linux') this.skip();
    const mark = `7${process.pid}`;
    await jobs.command('daemon', `setsid nohup sleep ${mark}1 >/dev/null 2>&1 & sleep 0.3; echo left`);
    assert.equal((await jobs.until('daemon')).status, 'Completed');
    assert.deepEqual(processes(`sleep\0${mark}1`), []);
    await jobs.command('deaf', `trap '' TERM INT HUP; (trap '' TERM; sleep ${mark}2) & while true; do sleep ${mark}3; done`);
    await jobs.until('deaf', ['Running']);
    while (processes(`sleep\0${mark}2`).length === 0) await sleep(50);
    assert.equal((await jobs.ask('POST', '/jobs/deaf/cancel')).status, 202);
    assert.equal((await jobs.until('deaf')).status, 'Canceled');
    assert.deepEqual([...processes(`sleep\0${mark}2`), ...processes(`sleep\0${mark}3`)], []);
  });

  it('end the trial that is over, not those whose name begins like it', async function () {
    if (process.platform !== 'linux') this.skip();
    const reply = await jobs.submit('alike', {
      jobType: 'Sweep',
      experimentName: 'tests',
      computeId: `${jobs.ws.armId}/computes/cpu-cluster`,
      samplingAlgorithm: { samplingAlgorithmType: 'Grid' },
      searchSpace: { x: ['choice', [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]] },
      objective: { goal: 'minimize', primaryMetric: 'm' },
      limits: { jobLimitsType: 'Sweep', maxTotalTrials: 11, maxConcurrentTrials: 11, trialTimeout: 'PT3S' },
      // Trial 1 runs into its limit while trial 10 is on its way.
      trial: {
        command: 'if [ ${{search_space.x}} = 1 ]; then sleep 60; fi; if [ ${{search_space.x}} = 10 ]; then sleep 2; fi; true',
        environmentId: jobs.environment,
      },
    });
    assert.equal(reply.status, 201, reply.text);
    assert.equal((await jobs.until('alike')).status, 'Completed');
    const children = await jobs.children('alike');
    const ends = Object.fromEntries(Object.entries(children).map(([name, { status }]) => [name, status]));
    assert.equal(ends['alike_1'], 'Failed');
    assert.equal(ends['alike_10'], 'Completed');
  });

  it('store no file that a link of theirs names, and change none', async () => {
    writeFileSync(join(outside, 'secret.txt'), 'not yours');
    chmodSync(join(outside, 'secret.txt'), 0o644);
    mkdirSync(join(outside, 'sub'));
    const write = await jobs.node(
      'write',
      `cd \${{outputs.a}} && echo mine > real.txt && ln -s real.txt alias.txt && ln -s ${outside}/secret.txt stolen.txt && ` +
        `ln -s ${outside}/sub folder && rmdir \${{outputs.b}} && ln -s ${outside} \${{outputs.b}} && ln -s ${outside}/secret.txt $OLDPWD/outputs/s.txt`,
      { spec: { outputs: { a: { type: 'uri_folder' }, b: { type: 'uri_folder' } } } },
    );
    const read = await jobs.node('read', 'cat ${{inputs.a}}/real.txt ${{inputs.a}}/alias.txt; ls ${{inputs.b}} >/dev/null', {
      spec: { inputs: { a: { type: 'uri_folder' }, b: { type: 'uri_folder' } } },
      node: {
        inputs: {
          a: { job_input_type: 'literal', value: '${{parent.jobs.write.outputs.a}}' },
          b: { job_input_type: 'literal', value: '${{parent.jobs.write.outputs.b}}' },
        },
      },
    });
    assert.equal((await jobs.pipeline('links', [write, read])).status, 201);
    assert.equal((await jobs.until('links')).status, 'Completed');
    const { write: writer, read: reader } = await jobs.children('links');
    assert.ok(writer && reader);
    assert.equal(await jobs.log(reader.runId), 'mine\nmine\n');
    assert.equal(await jobs.output(writer.runId, 'a', 'alias.txt'), 'mine\n');
    assert.equal(await jobs.output(writer.runId, 'a', 'stolen.txt'), undefined);
    assert.equal(await jobs.output(writer.runId, 'b', 'secret.txt'), undefined);
    const { warnings } = await jobs.until(writer.runId);
    assert.match(JSON.stringify(warnings), /Output 'a': 2 links were not stored.*stolen\.txt/);
    assert.equal(statSync(join(outside, 'secret.txt')).mode & 0o777, 0o644);
    assert.deepEqual(readdirSync(outside).sort(), ['secret.txt', 'sub']);
  });

  it('may not name an output that leaves its folder', async () => {
    const outputs = { '../../../escaped': { jobOutputType: 'uri_folder', mode: 'ReadWriteMount' } };
    const reply = await jobs.command('climbs', 'true', { outputs });
    if (reply.status === 201) await jobs.until('climbs');
    assert.deepEqual(readdirSync(join(jobs.state, '..')).sort(), ['state']);
    const climbing = { o: { jobOutputType: 'uri_folder', uri: 'azureml://datastores/workspaceblobstore/paths/a/../../b/' } };
    assert.equal((await jobs.command('climbs2', 'true', { outputs: climbing })).status, 400);
    const bad = { o: { jobOutputType: 'uri_folder', uri: 'azureml://datastores/workspaceblobstore/paths/%2e%2e/%2e%2e/b/' } };
    assert.equal((await jobs.command('climbs3', 'true', { outputs: bad })).status, 400);
  });

  it('are cancelled before they start, and while their environment is built', async () => {
    await jobs.put('/computes/single', { computeType: 'AmlCompute', properties: { scaleSettings: { maxNodeCount: 1 } } });
    const on = { computeId: `${jobs.ws.armId}/computes/single` };
    await jobs.command('holds', 'sleep 60', on);
    await jobs.until('holds', ['Running']);
    await jobs.command('waits', 'echo never', on);
    await jobs.until('waits', ['Queued']);
    await jobs.ask('POST', '/jobs/waits/cancel');
    const waits = await jobs.until('waits');
    assert.deepEqual([waits.status, waits.error, waits.startTimeUtc], ['Canceled', null, null]);
    await jobs.ask('POST', '/jobs/holds/cancel');
    assert.equal((await jobs.until('holds')).status, 'Canceled');

    // Two want the same environment: one builds, the other waits for it. Both end when they are told to, and the installer with them.
    for (const name of ['builds', 'builds-too']) await jobs.command(name, 'true', { environmentId: slowEnvironment });
    while (sockets.length === 0) await sleep(50);
    for (const name of ['builds-too', 'builds']) {
      await jobs.ask('POST', `/jobs/${name}/cancel`);
      assert.equal((await jobs.until(name)).status, 'Canceled');
    }
    if (process.platform === 'linux') while (processes('nothing-comes').length > 0) await sleep(50);
  });

  it(`run to their end when ${many} come at once`, async () => {
    const names = Array.from({ length: many }, (_, i) => `crowd-${i}`);
    const replies = await Promise.all(names.map((name) => jobs.command(name, `echo ${name}`)));
    assert.deepEqual(new Set(replies.map(({ status }) => status)), new Set([201]));
    for (const name of names) {
      assert.equal((await jobs.until(name)).status, 'Completed');
      assert.equal(await jobs.log(name), `${name}\n`);
    }
  });

  it('show a step as run history records it, with the definition of its run', async () => {
    const step = await jobs.node('step', 'cat ${{inputs.f}} || true; echo ${{inputs.n}} > ${{outputs.o}}/x', {
      spec: {
        inputs: { n: { type: 'integer' }, f: { type: 'uri_file' } },
        outputs: { o: { type: 'uri_folder', mode: 'upload' } },
      },
      node: {
        inputs: {
          n: { job_input_type: 'literal', value: '3' },
          f: { job_input_type: 'uri_file', uri: 'azureml://datastores/workspaceblobstore/paths/f.txt' },
        },
      },
    });
    const { storage } = jobs.workspace.ctx;
    const place = storage.resolve(jobs.ws, 'azureml://datastores/workspaceblobstore/paths/f.txt');
    assert.ok(place);
    await storage.write(place, 'f');
    await jobs.pipeline('told', [step]);
    assert.equal((await jobs.until('told')).status, 'Completed');
    const stages = (await jobs.ask('GET', '/jobs/told')).json.properties.properties['azureml.pipelines.stages'] as string;
    assert.match(stages, /^\{"Initialization":null,"Execution":\{"StartTime":"[^"]+","EndTime":"[^"]+","Status":"Finished"\}\}$/);
    const { step: child } = await jobs.children('told');
    assert.ok(child);
    assert.match(child.properties['ContentSnapshotId'] ?? '', /^[0-9a-f-]{36}$/);
    const { runDefinition, runMetadata } = (await jobs.ask('POST', '/rundata', { runId: child.runId }, '/history/v1.0')).json;
    assert.equal(runMetadata.inputs, null);
    assert.equal(runDefinition.command, 'cat DatasetConsumptionConfig:f || true; echo 3 > DatasetOutputConfig:o/x');
    assert.deepEqual(
      [runDefinition.outputData.o.mechanism, runDefinition.outputData.o.environmentVariableName, runDefinition.target],
      ['Upload', 'AZURE_ML_OUTPUT_o', 'cpu-cluster'],
    );
    assert.equal(runDefinition.data.f.dataLocation.uri.isFile, true);
    assert.equal(runDefinition.environment.name, 'plain');
  });

  it('begin with on_init and end with on_finalize, also when a step between fails', async () => {
    const nodes = [
      await jobs.node('fin', 'echo fin'),
      await jobs.node('bad', 'exit 3'),
      await jobs.node('ini', 'sleep 0.3'),
      await jobs.node('mid', 'sleep 0.2'),
    ];
    const settings = { on_init: 'ini', on_finalize: 'fin', continue_on_step_failure: false, force_rerun: true };
    assert.equal((await jobs.pipeline('framed', nodes, { settings })).status, 201);
    assert.equal((await jobs.until('framed')).status, 'Failed');
    const { ini, bad, fin } = await jobs.children('framed');
    assert.ok(ini && bad && fin);
    assert.deepEqual([ini.status, bad.status, fin.status], ['Completed', 'Failed', 'Completed']);
    assert.ok(ini.endTimeUtc <= bad.createdUtc && bad.endTimeUtc <= fin.createdUtc);
    assert.equal((await jobs.pipeline('framed2', nodes, { settings: { on_init: 'nobody' } })).status, 400);
  });
});
