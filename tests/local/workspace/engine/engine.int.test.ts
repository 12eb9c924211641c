/** The engine through the workspace's own surfaces: what a job does, and what everyone sees of it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Jobs } from '../../../support/jobs.js';

/** Processes whose command line has this text. */
function processes(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      return read(`/proc/${pid}/cmdline`).includes(text) && !read(`/proc/${pid}/stat`).includes(') Z ');
    } catch {
      return false; // gone meanwhile
    }
  });
}
const read = (path: string): string => readFileSync(path, 'latin1');
const literal = (value: string): object => ({ job_input_type: 'literal', value });

describe('engine', function () {
  this.timeout(300_000);
  let jobs: Jobs;
  before(async () => (jobs = await Jobs.start()));
  after(() => jobs.stop());

  const twoSteps = async (): Promise<unknown[]> => {
    const code = await jobs.code({
      'prepare.py': 'import sys\nopen(sys.argv[1] + "/a.txt", "w").write(sys.argv[2])\nprint("prepared")\n',
      'lib/x.txt': 'x',
    });
    return [
      await jobs.node('prepare', 'python prepare.py ${{outputs.data}} ${{inputs.word}} $[[--more ${{inputs.extra}}]]', {
        spec: {
          code: `azureml:${code}`,
          inputs: { word: { type: 'string' }, extra: { type: 'string', optional: true } },
          outputs: { data: { type: 'uri_folder' } },
        },
        node: { inputs: { word: literal('${{parent.inputs.word}}') } },
      }),
      await jobs.node(
        'train',
        'cat ${{inputs.data}}/a.txt && cp ${{inputs.data}}/a.txt ${{outputs.model}}/model.txt && echo $GREETING',
        {
          spec: { inputs: { data: { type: 'uri_folder' } }, outputs: { model: { type: 'uri_folder' } } },
          node: {
            inputs: { data: literal('${{parent.jobs.prepare.outputs.data}}') },
            outputs: { model: { type: 'literal', value: '${{parent.outputs.model}}' } },
            environment_variables: { GREETING: 'hello there' },
          },
        },
      ),
    ];
  };
  const word = (value: string): Record<string, unknown> => ({
    inputs: { word: { jobInputType: 'literal', value } },
    outputs: { model: { jobOutputType: 'uri_folder', mode: 'ReadWriteMount' } },
  });

  it('runs a pipeline whose steps hand data on', async () => {
    const nodes = await twoSteps();
    const reply = await jobs.pipeline('two', nodes, word('wine'));
    assert.equal(reply.status, 201, reply.text);
    assert.ok(reply.headers.location?.includes('/jobs/two?api-version='));
    assert.equal(reply.json.properties.status, 'Preparing');
    assert.equal((await jobs.until('two')).status, 'Completed');
    const { prepare, train } = await jobs.children('two');
    assert.ok(prepare && train);
    assert.equal(await jobs.log(prepare.runId), 'prepared\n');
    assert.equal(await jobs.log(train.runId), 'winehello there\n');
    assert.match(await jobs.log(train.runId, 'azureml-logs/20_image_build_log.txt'), /stands for Python/);
    assert.equal(await jobs.output('two', 'model', 'model.txt'), 'wine');
    assert.equal(await jobs.output(train.runId, 'model', 'model.txt'), 'wine');
    assert.match(await jobs.log('two', 'logs/azureml/executionlogs.txt'), /Step 'train' completed\./);
    const child = await jobs.ask('GET', `/jobs/${train.runId}`);
    assert.deepEqual(Object.keys(child.json as object), ['id', 'name', 'type', 'systemData']);
  });

  it('reuses steps with the same component, inputs and data, unless told not to', async () => {
    const nodes = await twoSteps();
    await jobs.pipeline('first', nodes, word('red'));
    await jobs.until('first');
    await jobs.pipeline('again', nodes, word('red'));
    assert.equal((await jobs.until('again')).status, 'Completed');
    const before = await jobs.children('first');
    const after = await jobs.children('again');
    assert.equal(after['train']?.properties['azureml.isreused'], 'true');
    assert.equal(after['train']?.properties['azureml.reusedrunid'], before['train']?.runId);
    assert.equal(after['train']?.['dataContainerId'], `dcid.${before['train']?.runId}`);
    assert.equal(await jobs.output('again', 'model', 'model.txt'), 'red');
    await jobs.pipeline('other', nodes, word('white'));
    await jobs.until('other');
    assert.equal((await jobs.children('other'))['prepare']?.properties['azureml.isreused'], undefined);
    await jobs.pipeline('forced', nodes, { ...word('red'), settings: { force_rerun: true } });
    await jobs.until('forced');
    assert.equal((await jobs.children('forced'))['train']?.properties['azureml.isreused'], undefined);
  });

  it('fails with the step, its status code and the end of its log; what does not depend on it may go on', async () => {
    const bad = await jobs.node('bad', 'python -c "raise ValueError(\'no luck\')"');
    const next = await jobs.node('next', 'true', {
      spec: { inputs: { x: { type: 'uri_folder' } } },
      node: { inputs: { x: literal('${{parent.jobs.bad.outputs.o}}') } },
    });
    const other = await jobs.node('other', 'sleep 1; echo fine');
    await jobs.pipeline('fails', [bad, next, other], { settings: { continue_on_step_failure: true } });
    const ended = await jobs.until('fails');
    assert.equal(ended.status, 'Failed');
    assert.equal(ended.error.error.message, 'Pipeline has some failed steps. See child run or execution logs for more details.');
    const children = await jobs.children('fails');
    assert.deepEqual(Object.keys(children).sort(), ['bad', 'other']);
    assert.equal(children['other']?.status, 'Completed');
    assert.match(String(children['bad']?.error.error.message), /exited with status code 1.*Traceback.*ValueError: no luck/s);
    await jobs.pipeline('stops', [bad, await jobs.node('slow', 'sleep 600')], { settings: { continue_on_step_failure: false } });
    assert.equal((await jobs.until('stops')).status, 'Failed');
    assert.equal((await jobs.children('stops'))['slow']?.status, 'Canceled');
  });

  it('cancels a whole tree and leaves no process', async () => {
    const mark = `sleep 7${process.pid}`;
    const stubborn = await jobs.node('stubborn', `trap '' TERM; ${mark} & setsid ${mark} & wait; wait`);
    await jobs.pipeline('cancelled', [stubborn]);
    while ((await jobs.children('cancelled'))['stubborn']?.status !== 'Running') await sleep(50);
    while (processes(mark.replace(' ', '\0')).length < 2) await sleep(50);
    const reply = await jobs.ask('POST', '/jobs/cancelled/cancel');
    assert.deepEqual([reply.status, reply.text], [202, 'null']);
    assert.match(String(reply.headers.location), /mfeOperationResults\/jc:/);
    assert.equal(reply.headers['x-ms-async-operation-timeout'], 'PT1H');
    assert.equal((await jobs.until('cancelled')).status, 'Canceled');
    assert.equal((await jobs.children('cancelled'))['stubborn']?.status, 'Canceled');
    assert.deepEqual(processes(mark.replace(' ', '\0')), []);
  });

  it('shows a growing log, ends a job at its limit, and passes through the real states', async () => {
    jobs.workspace.ctx.latency.set('states=0.3');
    await jobs.command('timed', 'echo early; sleep 600', { limits: { jobLimitsType: 'Command', timeout: 'PT2S' } });
    const seen: string[] = [];
    for (let status = ''; !['Failed', 'Canceled', 'Completed'].includes(status); await sleep(30)) {
      status = await jobs.status('timed');
      if (seen.at(-1) !== status) seen.push(status);
      if (status === 'Running' && !seen.includes('log') && (await jobs.log('timed')) === 'early\n') seen.push('log');
    }
    jobs.workspace.ctx.latency.set('');
    assert.deepEqual(
      seen.filter((status) => status !== 'log' && status !== 'Starting').filter((status, at, all) => all.indexOf(status) === at),
      ['Preparing', 'Queued', 'Running', 'Failed'],
    );
    assert.ok(seen.includes('log'));
    assert.match(String((await jobs.until('timed')).error.error.message), /longer than its limit of 2 seconds/);
  });

  it('gives a job the workspace, trust in it, and its variables', async () => {
    const script = [
      'import json, os, socket, ssl, urllib.request',
      'print(socket.getaddrinfo("a.blob.core.localhost", 1)[0][4][0])',
      'print(os.environ["MLFLOW_RUN_ID"], os.environ["MY_VAR"], "SECRET_OF_THE_SHELL" in os.environ)',
      'uri = os.environ["MLFLOW_TRACKING_URI"]',
      'base = uri.split("/mlflow/")[0]',
      'print(urllib.request.urlopen(base + "/discovery").status)',
      'clouds = json.load(urllib.request.urlopen(os.environ["ARM_CLOUD_METADATA_URL"]))',
      'print([cloud["resourceManager"] == base + "/" for cloud in clouds if cloud["name"] == os.environ["AZUREML_CURRENT_CLOUD"]])',
      'open("outputs/kept.txt", "w").write("kept")',
    ].join('\n');
    process.env['SECRET_OF_THE_SHELL'] = 'x';
    const codeId = await jobs.code({ 'probe.py': script });
    const reply = await jobs.command('probe', 'python probe.py', { codeId, environmentVariables: { MY_VAR: 'mine' } });
    assert.equal(reply.status, 201, reply.text);
    assert.ok(reply.json.properties.outputs.default.uri.endsWith('ExperimentRun/dcid.probe'));
    const ended = await jobs.until('probe');
    assert.equal(ended.status, 'Completed', JSON.stringify(ended.error));
    assert.equal(await jobs.log('probe'), '127.0.0.1\nprobe mine False\n200\n[True]\n');
    assert.equal(await jobs.output('probe', 'default', 'outputs/kept.txt'), 'kept');
  });

  it('registers outputs that have a name, and reads them again as input', async () => {
    await jobs.command('maker', 'echo 42 > ${{outputs.table}}/t.csv', {
      outputs: { table: { jobOutputType: 'uri_folder', assetName: 'answers', assetVersion: '7' } },
    });
    assert.equal((await jobs.until('maker')).status, 'Completed');
    const asset = await jobs.ask('GET', '/data/answers/versions/7');
    assert.match(String(asset.json.properties.dataUri), /paths\/azureml\/maker\/table/);
    // Versions cannot be changed: the same version for the output of another run fails the job, as every refused registration does.
    await jobs.command('maker-again', 'echo 43 > ${{outputs.table}}/t.csv', {
      outputs: { table: { jobOutputType: 'uri_folder', assetName: 'answers', assetVersion: '7' } },
    });
    const again = await jobs.until('maker-again');
    assert.equal(again.status, 'Failed');
    assert.match(String(again.error.error.message), /'table' .* version 7 of data asset 'answers': .* the next one is taken/);
    await jobs.command(
      'reader',
      'cat ${{inputs.a}}/t.csv ${{inputs.b}}; echo ${{inputs.c}}; chmod -v +w ${{inputs.b}} >/dev/null && touch ${{inputs.b}}',
      {
        inputs: {
          a: { jobInputType: 'uri_folder', uri: asset.json.id, mode: 'ReadOnlyMount' },
          b: { jobInputType: 'uri_file', uri: 'azureml://jobs/maker/outputs/table/paths/t.csv', mode: 'Download' },
          c: {
            jobInputType: 'uri_file',
            uri: 'azureml://datastores/workspaceblobstore/paths/azureml/maker/table/t.csv',
            mode: 'Direct',
          },
        },
      },
    );
    const ended = await jobs.until('reader');
    assert.equal(ended.status, 'Completed', JSON.stringify(ended.error));
    assert.match(await jobs.log('reader'), /^42\n42\nazureml:\/\/subscriptions\/.*\/paths\/azureml\/maker\/table\/t\.csv\n$/);
  });

  it('runs nested pipelines with their own bindings', async () => {
    const inner = await jobs.node('shout', 'echo ${{inputs.text}}! > ${{outputs.out}}/o.txt', {
      spec: { inputs: { text: { type: 'string' } }, outputs: { out: { type: 'uri_folder' } } },
      node: {
        inputs: { text: literal('${{parent.inputs.text}}') },
        outputs: { out: { type: 'literal', value: '${{parent.outputs.result}}' } },
        computeId: '${{parent.inputs.where}}',
      },
    });
    const sub = await jobs.component({
      type: 'pipeline',
      inputs: { text: { type: 'string', default: 'quiet' }, where: { type: 'string', default: 'cpu-cluster' } },
      outputs: { result: { type: 'uri_folder' } },
      jobs: { shout: inner },
    });
    const group = (name: string, inputs: object): object => ({ name, type: 'pipeline', componentId: sub, inputs, outputs: {} });
    const join = await jobs.node('join', 'cat ${{inputs.a}}/o.txt ${{inputs.b}}/o.txt', {
      spec: { inputs: { a: { type: 'uri_folder' }, b: { type: 'uri_folder' } } },
      node: { inputs: { a: literal('${{parent.jobs.one.outputs.result}}'), b: literal('${{parent.jobs.two.outputs.result}}') } },
    });
    const reply = await jobs.pipeline('nested', [group('one', {}), group('two', { text: literal('loud') }), join]);
    assert.equal(reply.status, 201, reply.text);
    const ended = await jobs.until('nested');
    assert.equal(ended.status, 'Completed', JSON.stringify(ended.error));
    const children = await jobs.children('nested');
    assert.equal(await jobs.log(String(children['join']?.runId)), 'quiet!\nloud!\n');
    assert.deepEqual(Object.keys(await jobs.children(String(children['one']?.runId))), ['shout']);
  });

  it('runs a parallel node over mini batches', async () => {
    const entry =
      'import argparse\ndef init():\n    global suffix\n    suffix = argparse.ArgumentParser().parse_known_args()[1][1]\ndef run(batch):\n    return [open(f).read() + suffix for f in batch]\n';
    const code = `azureml:${await jobs.code({ 'entry.py': entry })}`;
    const make = await jobs.node('make', 'for i in 1 2 3 4 5; do printf $i > ${{outputs.files}}/$i.txt; done', {
      spec: { outputs: { files: { type: 'uri_folder' } } },
    });
    const task = {
      type: 'run_function',
      code,
      entry_script: 'entry.py',
      program_arguments: '--suffix ${{inputs.suffix}}',
      append_row_to: '${{outputs.rows}}',
      environment: `azureml:${jobs.environment}`,
    };
    const componentId = await jobs.component({
      type: 'parallel',
      task,
      mini_batch_size: '2',
      input_data: '${{inputs.files}}',
      max_concurrency_per_instance: 2,
      retry_settings: { timeout: 60, max_retries: 1 },
      inputs: { files: { type: 'uri_folder' }, suffix: { type: 'string' } },
      outputs: { rows: { type: 'uri_file' } },
    });
    const score = {
      name: 'score',
      type: 'parallel',
      componentId,
      task,
      inputs: { files: { ...literal('${{parent.jobs.make.outputs.files}}'), mode: 'Direct' }, suffix: literal('-x') },
      outputs: { rows: { job_output_type: 'uri_file' } },
    };
    const show = await jobs.node('show', 'cat ${{inputs.rows}}', {
      spec: { inputs: { rows: { type: 'uri_file' } } },
      node: { inputs: { rows: literal('${{parent.jobs.score.outputs.rows}}') } },
    });
    await jobs.pipeline('batches', [make, score, show]);
    const ended = await jobs.until('batches');
    const children = await jobs.children('batches');
    assert.equal(ended.status, 'Completed', JSON.stringify(children['score']?.error ?? ended.error));
    assert.equal(await jobs.log(String(children['show']?.runId)), '1-x\n2-x\n3-x\n4-x\n5-x\n');
  });

  it('sweeps a grid and takes the trial with the best metric', async () => {
    const codeId = await jobs.code({
      'trial.py':
        'import mlflow, sys\nmlflow.log_metric("loss", (float(sys.argv[1]) - 2) ** 2)\nopen(sys.argv[2] + "/m.txt", "w").write(sys.argv[1])\n',
    });
    const reply = await jobs.submit('swept', {
      jobType: 'Sweep',
      computeId: `${jobs.ws.armId}/computes/cpu-cluster`,
      samplingAlgorithm: { samplingAlgorithmType: 'Grid' },
      searchSpace: { x: ['choice', [[1, 2, 3]]] },
      objective: { goal: 'minimize', primaryMetric: 'loss' },
      limits: { jobLimitsType: 'Sweep', maxTotalTrials: 10, maxConcurrentTrials: 2 },
      trial: { command: 'python trial.py ${{search_space.x}} ${{outputs.model}}', codeId, environmentId: jobs.environment },
      outputs: { model: { jobOutputType: 'uri_folder' } },
    });
    assert.equal(reply.status, 201, reply.text);
    const ended = await jobs.until('swept');
    assert.equal(ended.status, 'Completed', JSON.stringify(ended.error));
    const trials = await jobs.children('swept');
    assert.equal(Object.keys(trials).length, 3);
    const best = Object.values(trials).find(({ runId }) => runId === ended.properties.best_child_run_id);
    assert.deepEqual(JSON.parse(best?.['tags'].hyperparameters as string), { x: '2' });
    assert.equal(await jobs.output('swept', 'model', 'm.txt'), '2');
  });

  it('ends the trials of a sweep that its policy says, and takes the best of those that finished', async () => {
    // Trials that lag would go on for ever: only the policy can end them.
    const script = [
      'import mlflow, sys, time',
      'good = sys.argv[1] == "3"',
      'for i in range(3 if good else 100000):',
      '    mlflow.log_metric("accuracy", 0.9 if good else 0.1 * int(sys.argv[1]), step=i)',
      '    time.sleep(0.2)',
    ].join('\n');
    const codeId = await jobs.code({ 'trial.py': `${script}\n` });
    const sweep = (earlyTermination: object): Record<string, unknown> => ({
      jobType: 'Sweep',
      samplingAlgorithm: { samplingAlgorithmType: 'Grid' },
      searchSpace: { x: ['choice', [[1, 2, 3]]] },
      objective: { goal: 'maximize', primaryMetric: 'accuracy' },
      limits: { jobLimitsType: 'Sweep', maxTotalTrials: 3, maxConcurrentTrials: 3 },
      earlyTermination,
      trial: { command: 'python trial.py ${{search_space.x}}', codeId, environmentId: jobs.environment },
    });
    const policies = {
      bandit: { policyType: 'Bandit', slackFactor: 0.1, evaluationInterval: 1, delayEvaluation: 2 },
      truncation: { policyType: 'TruncationSelection', truncationPercentage: 70, evaluationInterval: 1, delayEvaluation: 2 },
    };
    for (const [name, policy] of Object.entries(policies)) {
      assert.equal((await jobs.submit(name, sweep(policy))).status, 201);
      const ended = await jobs.until(name);
      assert.equal(ended.status, 'Completed', JSON.stringify(ended.error));
      const trials = await jobs.children(name);
      const ends = Object.values(trials).map(({ status, cancelationReason }) => [
        status,
        /policy: at interval \d+ /.test(String(cancelationReason)),
      ]);
      assert.deepEqual(ends.sort(), [
        ['Canceled', true],
        ['Canceled', true],
        ['Completed', false],
      ]);
      const best = Object.values(trials).find(({ status }) => status === 'Completed');
      assert.equal(ended.properties.best_child_run_id, best?.runId);
      assert.match(await jobs.log(name, 'azureml-logs/hyperdrive.txt'), /is terminated by the policy: at interval/);
    }
    const wrong = await jobs.submit('no-policy', sweep({ policyType: 'Sudden' }));
    assert.equal(wrong.status, 400, wrong.text);
  });

  it('cancels one run of a tree alone', async () => {
    const nodes = [await jobs.node('long', 'sleep 600'), await jobs.node('short', 'echo short')];
    await jobs.pipeline('partly', nodes, { settings: { continue_on_step_failure: true } });
    while ((await jobs.children('partly'))['long']?.status !== 'Running') await sleep(50);
    const { long } = await jobs.children('partly');
    assert.equal((await jobs.ask('POST', `/jobs/${String(long?.runId)}/cancel`)).status, 202);
    assert.equal((await jobs.until('partly')).status, 'Canceled');
    const children = await jobs.children('partly');
    assert.deepEqual([children['long']?.status, children['short']?.status], ['Canceled', 'Completed']);

    await jobs.submit('picked', {
      jobType: 'Sweep',
      samplingAlgorithm: { samplingAlgorithmType: 'Grid' },
      searchSpace: { x: ['choice', [[0, 600]]] },
      objective: { goal: 'minimize', primaryMetric: 'm' },
      limits: { jobLimitsType: 'Sweep', maxTotalTrials: 2, maxConcurrentTrials: 2 },
      trial: { command: 'sleep ${{search_space.x}}', environmentId: jobs.environment },
    });
    while ((await jobs.children('picked'))['picked_1']?.status !== 'Running') await sleep(50);
    await jobs.ask('POST', '/jobs/picked_1/cancel');
    assert.equal((await jobs.until('picked')).status, 'Completed');
    assert.deepEqual([(await jobs.until('picked_0')).status, (await jobs.until('picked_1')).status], ['Completed', 'Canceled']);
  });
});
