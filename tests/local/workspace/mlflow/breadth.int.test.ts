/** What MLflow's own server answers and scripts rely on: life of experiments and runs, keys and batches, histories, the model registry. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorkspace, type Workspace } from '../../../../local/workspace/start.js';
import { send, tokenOf, type Reply } from '../../../support/workspace.js';

describe('MLflow in breadth', function () {
  this.timeout(60_000);
  let state: string;
  let running: Workspace;
  let token: string;
  let count = 0;

  before(async () => {
    state = mkdtempSync(join(tmpdir(), 'amlops-mlflow-breadth-'));
    running = await startWorkspace({ state, workspaces: ['dev'] });
    token = await tokenOf(running.connection);
  });
  after(async () => {
    await running?.close();
    rmSync(state, { recursive: true, force: true });
  });

  const raw = (method: string, path: string, body?: unknown): Promise<Reply> =>
    send(running.connection, method, `${running.connection.mlflowTracking}/api/2.0/mlflow/${path}`, {
      token,
      ...(body === undefined ? {} : { body }),
    });
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into bodies freely
  const ok = async (method: string, path: string, body?: unknown): Promise<any> => {
    const reply = await raw(method, path, body);
    assert.equal(reply.status, 200, `${path}: ${reply.text}`);
    return reply.json;
  };
  const refused = async (code: string, method: string, path: string, body?: unknown): Promise<string> => {
    const reply = await raw(method, path, body);
    assert.equal(reply.json.error_code, code, `${path}: ${reply.status} ${reply.text}`);
    return String(reply.json.message);
  };
  const experiment = async (): Promise<string> =>
    (await ok('POST', 'experiments/create', { name: `exp-${(count += 1)}` })).experiment_id as string;
  const begin = async (experiment_id: string, more: object = {}): Promise<string> =>
    (await ok('POST', 'runs/create', { experiment_id, ...more })).run.info.run_id as string;
  const found = async (experiment_ids: string[], more: object = {}): Promise<string[]> =>
    ((await ok('POST', 'runs/search', { experiment_ids, ...more })).runs as { info: { run_name: string } }[]).map(
      ({ info }) => info.run_name,
    );

  it('a deleted experiment takes its runs along, changes no more, and comes back', async () => {
    const id = await experiment();
    const run = await begin(id, { run_name: 'kept' });
    await ok('POST', 'experiments/delete', { experiment_id: id });
    await refused('RESOURCE_DOES_NOT_EXIST', 'POST', 'experiments/delete', { experiment_id: id });
    for (const [path, more] of [
      ['experiments/update', { new_name: 'other' }],
      ['experiments/set-experiment-tag', { key: 'a', value: 'b' }],
      ['runs/create', {}],
    ] as const)
      assert.match(
        await refused('INVALID_PARAMETER_VALUE', 'POST', path, { experiment_id: id, ...more }),
        /must be in the 'active' state/,
      );
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/log-metric', { run_id: run, key: 'm', value: 1, timestamp: 1 });
    assert.equal((await ok('GET', `runs/get?run_id=${run}`)).run.info.lifecycle_stage, 'deleted');
    assert.deepEqual(await found([id]), []);
    assert.deepEqual(await found([id], { run_view_type: 'DELETED_ONLY' }), ['kept']);
    await ok('POST', 'experiments/restore', { experiment_id: id });
    await refused('RESOURCE_DOES_NOT_EXIST', 'POST', 'experiments/restore', { experiment_id: id });
    assert.deepEqual(await found([id]), ['kept']);
    await refused('RESOURCE_DOES_NOT_EXIST', 'POST', 'experiments/delete-experiment-tag', { experiment_id: id, key: 'none' });
  });

  it('runs: names, parents given late, order and pages', async () => {
    const id = await experiment();
    const name = { key: 'mlflow.runName', value: 'two' };
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/create', { experiment_id: id, run_name: 'one', tags: [name] });
    const parent = await begin(id, { run_name: 'parent', start_time: 1000 });
    const child = await begin(id, { run_name: 'child', start_time: 2000 });
    const below = await begin(id, { run_name: 'below', start_time: 3000, tags: [{ key: 'mlflow.parentRunId', value: child }] });
    const link = { key: 'mlflow.parentRunId', value: parent };
    await ok('POST', 'runs/set-tag', { run_id: child, ...link });
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/set-tag', { run_id: parent, ...link, value: below });
    assert.deepEqual(await found([id], { filter: `tags.mlflow.parentRunId = '${parent}'` }), ['child']);
    const tags = (await ok('GET', `runs/get?run_id=${below}`)).run.data.tags as { key: string; value: string }[];
    assert.equal(tags.find(({ key }) => key === 'mlflow.rootRunId')?.value, parent);
    assert.deepEqual(await found([id], { filter: 'created > 1000', order_by: ['created ASC'] }), ['child', 'below']);
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/search', { experiment_ids: [id], order_by: ['dataset.name'] });
    const first = await ok('POST', 'runs/search', { experiment_ids: [id], max_results: 2 });
    assert.equal(first.runs.length, 2);
    assert.deepEqual(await found([id], { max_results: 2, page_token: first.next_page_token }), ['parent']);
  });

  it('keys that would mean another file and params that are said twice are refused, and nothing of their batch is written', async () => {
    const run = await begin(await experiment());
    const batch = (...keys: string[]) => ({
      run_id: run,
      metrics: [{ key: 'first', value: 1, timestamp: 1 }],
      params: keys.map((key) => ({ key, value: '1' })),
    });
    for (const key of ['a//b', './a', 'a/', '/a', '../a', 'a?b', 'k'.repeat(251)])
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/log-batch', batch(key));
    assert.match(
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/log-batch', batch('p', 'p')),
      /Duplicate parameter keys.*'p'/,
    );
    assert.deepEqual((await ok('GET', `runs/get?run_id=${run}`)).run.data.metrics, []);
    await ok('POST', 'runs/log-batch', batch('größe', 'a/b c.d:e-f', 'k'.repeat(250)));
    assert.equal((await ok('GET', `runs/get?run_id=${run}`)).run.data.params.length, 3);
  });

  it('histories: pages, of several runs at once, thinned out', async () => {
    const id = await experiment();
    const runs = [await begin(id), await begin(id)];
    for (const run_id of runs)
      await ok('POST', 'runs/log-batch', {
        run_id,
        metrics: Array.from({ length: 100 }, (_value, step) => ({ key: 'h', value: step, timestamp: step, step })),
      });
    const page = await ok('GET', `metrics/get-history?run_id=${runs[0]}&metric_key=h&max_results=60`);
    const rest = await ok('GET', `metrics/get-history?run_id=${runs[0]}&metric_key=h&page_token=${page.next_page_token}`);
    assert.deepEqual([page.metrics.length, rest.metrics.length, rest.metrics[0].step], [60, 40, 60]);
    const both = await ok('GET', `metrics/get-history-bulk?run_id=${runs[0]}&run_id=${runs[1]}&metric_key=h`);
    assert.equal(both.metrics.length, 200);
    const thin = await ok(
      'GET',
      `metrics/get-history-bulk-interval?run_ids=${runs[0]}&run_ids=${runs[1]}&metric_key=h&max_results=5`,
    );
    assert.deepEqual(
      (thin.metrics as { run_id: string; step: number }[]).filter(({ run_id }) => run_id === runs[1]).map(({ step }) => step),
      [0, 20, 40, 60, 99],
    );
    const some = await ok(
      'GET',
      `metrics/get-history-bulk-interval?run_ids=${runs[0]}&metric_key=h&max_results=4&start_step=10&end_step=90`,
    );
    assert.deepEqual(
      (some.metrics as { step: number }[]).map(({ step }) => step),
      [10, 31, 51, 90],
    );
    const interval = `metrics/get-history-bulk-interval?run_ids=${runs[0]}&metric_key=h`;
    for (const more of ['&start_step=1', '&start_step=2&end_step=1', '&max_results=0', '&max_results=2501'])
      await refused('INVALID_PARAMETER_VALUE', 'GET', interval + more);
  });

  it('a value that is said again is there once, however far its batch reached', async () => {
    const run = await begin(await experiment());
    const point = (step: number, value = step) => ({ key: 'm', value, timestamp: 1, step });
    const batch = { run_id: run, metrics: Array.from({ length: 600 }, (_point, step) => point(step)) };
    for (const _again of [1, 2]) await ok('POST', 'runs/log-batch', batch);
    await ok('POST', 'runs/log-batch', {
      run_id: run,
      metrics: [point(599), point(590), point(590, 4), point(590, 4), point(700)],
    });
    const steps = ((await ok('GET', `metrics/get-history?run_id=${run}&metric_key=m`)).metrics as { step: number }[]).map(
      ({ step }) => step,
    );
    assert.deepEqual([steps.length, ...steps.slice(-2)], [602, 590, 700]);
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/log-metric', { run_id: run, key: 'm', value: 1, timestamp: -1 });
    const emoji = { run_id: run, key: 'p', value: '\u{1F600}'.repeat(6000) };
    await ok('POST', 'runs/log-parameter', emoji);
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/log-parameter', { ...emoji, key: 'q', value: 'x'.repeat(6001) });
  });

  it('names that JavaScript knows are names like others; what cannot be read is refused before anything is made', async () => {
    const id = await experiment();
    const run = await begin(id);
    for (const key of ['constructor', 'toString']) {
      assert.deepEqual(await found([id], { filter: `tags.${key} LIKE '%'` }), []);
      await ok('POST', 'runs/log-parameter', { run_id: run, key, value: 'x' });
      await refused('RESOURCE_DOES_NOT_EXIST', 'POST', 'runs/delete-tag', { run_id: run, key });
    }
    assert.equal((await found([id], { filter: "params.toString = 'x'" })).length, 1);
    for (const [path, body] of [
      ['runs/set-tag', { run_id: run, key: '__proto__', value: 'x' }],
      ['runs/search', { experiment_ids: [id], filter: "attributes.constructor = 'x'" }],
      ['runs/search', { experiment_ids: [id], run_view_type: 'BOGUS' }],
      ['runs/create', { experiment_id: id, start_time: 9e15 }],
      ['runs/update', { run_id: run, status: 'FINISHED', end_time: 9e15 }],
      ['runs/create', []],
      ['runs/create', 'text'],
    ] as const)
      await refused('INVALID_PARAMETER_VALUE', 'POST', path, body);
    await refused('INVALID_PARAMETER_VALUE', 'GET', `metrics/get-history?run_id=${run}&metric_key=m&max_results=0`);
    assert.equal((await found([id], { run_view_type: 3 })).length, 1);
  });

  it('a dataset stays as it was first said, and has lengths', async () => {
    const run = await begin(await experiment());
    const dataset = { name: 'd', digest: '1', source_type: 'http', source: 'x', schema: '{"a":1}' };
    const context = (value: string) => [{ key: 'mlflow.data.context', value }];
    await ok('POST', 'runs/log-inputs', { run_id: run, datasets: [{ dataset, tags: context('train') }] });
    const { schema: _schema, ...bare } = dataset;
    await ok('POST', 'runs/log-inputs', { run_id: run, datasets: [{ dataset: bare, tags: context('eval') }] });
    assert.deepEqual((await ok('GET', `runs/get?run_id=${run}`)).run.inputs.dataset_inputs, [
      { dataset, tags: context('train') },
    ]);
    for (const wrong of [{ digest: 'd'.repeat(37) }, { name: 'n'.repeat(501) }, { source: 's'.repeat(65_536) }])
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'runs/log-inputs', {
        run_id: run,
        datasets: [{ dataset: { ...dataset, ...wrong } }],
      });
  });

  it('who a run is by: the name a client gave, else who signed in; run history always says the latter', async () => {
    const id = await experiment();
    const user = async (more: object): Promise<[string, string]> => {
      const run = await begin(id, more);
      const history = `${running.url}/history/v1.0${running.ctx.world.workspaces()[0]?.armId}/runs/${run}`;
      const { createdBy } = (await send(running.connection, 'GET', history, { token })).json;
      return [(await ok('GET', `runs/get?run_id=${run}`)).run.info.user_id as string, createdBy.userName as string];
    };
    const signedIn = running.ctx.world.principal(running.connection.clientId)?.name ?? '';
    assert.deepEqual(await user({ user_id: 'unknown' }), [signedIn, signedIn]);
    assert.deepEqual(await user({ user_id: 'ada' }), ['ada', signedIn]);
  });

  it('the model registry: stages, aliases, tags that go away, search; the same in ARM', async () => {
    const run = await begin(await experiment());
    for (const file of ['m1/x', 'm2/x'])
      assert.equal(
        (await raw('PUT', `../mlflow-artifacts/artifacts/ExperimentRun/dcid.${run}/${file}`, Buffer.from('x'))).status,
        200,
      );
    for (const name of ['reg-a', 'reg-b']) {
      await ok('POST', 'registered-models/create', { name, tags: [{ key: 'team', value: name }] });
      for (const version of ['1', '2'])
        assert.equal(
          (await ok('POST', 'model-versions/create', { name, source: `runs:/${run}/m${version}`, run_id: run })).model_version
            .version,
          version,
        );
    }
    const name = 'reg-a';
    const version = { name, source: `runs:/${run}/m1`, run_id: 'nobody' };
    await refused('RESOURCE_DOES_NOT_EXIST', 'POST', 'model-versions/create', version);
    for (const source of ['azureml://registries/shared/models/x/versions/1', 'azureml:x:1', 'azureml://x', 's3://bucket/key'])
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'model-versions/create', { name, source });
    for (const [key, value] of [
      ['k'.repeat(251), ''],
      ['k', 'v'.repeat(100_001)],
    ])
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'registered-models/set-tag', { name, key, value });
    const missing = { name, source: `runs:/${run}/nothing`, run_id: run };
    assert.match(await refused('INVALID_PARAMETER_VALUE', 'POST', 'model-versions/create', missing), /nothing/);
    const stage = (version: string, to: string, more: object = {}) =>
      raw('POST', 'model-versions/transition-stage', { name, version, stage: to, ...more });
    const arm = async (version: string) =>
      (
        await send(
          running.connection,
          'GET',
          `${running.url}${running.ctx.world.workspaces()[0]?.armId}/models/${name}/versions/${version}?api-version=2025-06-01`,
          { token },
        )
      ).json.properties;
    assert.equal((await stage('1', 'production')).json.model_version.current_stage, 'Production');
    assert.equal((await stage('2', 'Production', { archive_existing_versions: true })).status, 200);
    assert.deepEqual([(await arm('1')).stage, (await arm('2')).stage], ['Archived', 'Production']);
    assert.equal((await stage('2', 'None')).json.model_version.current_stage, 'None');
    assert.equal((await arm('2')).stage, 'Development');
    assert.match((await stage('2', 'Bogus')).json.message as string, /None, Staging, Production, Archived/);
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'registered-models/get-latest-versions', { name, stages: ['bogus'] });

    await ok('POST', 'model-versions/set-tag', { name, version: '1', key: 'k', value: 'v' });
    assert.deepEqual((await arm('1')).tags, { k: 'v' });
    await ok('DELETE', 'model-versions/delete-tag', { name, version: '1', key: 'k' });
    assert.deepEqual((await arm('1')).tags, {});

    for (const alias of ['latest', 'v1', 'a b'])
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'registered-models/alias', { name, alias, version: '1' });
    await ok('POST', 'registered-models/alias', { name, alias: 'champ', version: '2' });
    await ok('DELETE', 'model-versions/delete', { name, version: '2' });
    await refused('INVALID_PARAMETER_VALUE', 'GET', `registered-models/alias?name=${name}&alias=champ`);

    const order = ['name DESC', 'version_number ASC'].map((clause) => `order_by=${encodeURIComponent(clause)}`).join('&');
    const versions = (await ok('GET', `model-versions/search?filter=${encodeURIComponent("name LIKE 'reg-%'")}&${order}`))
      .model_versions;
    assert.deepEqual(
      (versions as { name: string; version: string }[]).map((shown) => `${shown.name}:${shown.version}`),
      ['reg-b:1', 'reg-b:2', 'reg-a:1'],
    );
    for (const search of ['model-versions', 'registered-models'])
      await refused('INVALID_PARAMETER_VALUE', 'GET', `${search}/search?filter=${encodeURIComponent("bogus = 'x'")}`);
    assert.match(
      await refused('NOT_IMPLEMENTED', 'POST', 'registered-models/create', {
        name: 'prompt',
        tags: [{ key: 'mlflow.prompt.is_prompt', value: 'true' }],
      }),
      /prompts/,
    );
  });

  it('logged models: tags, and metrics on a dataset', async () => {
    const id = await experiment();
    const run = await begin(id);
    const model = (await ok('POST', 'logged-models', { experiment_id: id, name: 'm', source_run_id: run })).model.info
      .model_id as string;
    const metric = { key: 'rmse', value: 0.5, timestamp: 1, model_id: model, dataset_name: 'eval', dataset_digest: 'd' };
    await ok('POST', 'runs/log-batch', { run_id: run, metrics: [metric] });
    const search = async (datasets: object[]): Promise<number> =>
      (await ok('POST', 'logged-models/search', { experiment_ids: [id], filter: 'metrics.rmse < 1', datasets })).models
        .length as number;
    assert.deepEqual(
      [await search([]), await search([{ dataset_name: 'eval' }]), await search([{ dataset_name: 'other' }])],
      [1, 1, 0],
    );
    await refused('RESOURCE_DOES_NOT_EXIST', 'DELETE', `logged-models/${model}/tags/none`);
    const params = (value: string) => ({ params: [{ key: 'p', value }] });
    for (const _again of [1, 2]) await ok('POST', `logged-models/${model}/params`, params('1'));
    await refused('INVALID_PARAMETER_VALUE', 'POST', `logged-models/${model}/params`, params('2'));
    for (const name of ['a/b', 'a:b', 'a.b', 'a%b'])
      await refused('INVALID_PARAMETER_VALUE', 'POST', 'logged-models', { experiment_id: id, name });
    await refused('INVALID_PARAMETER_VALUE', 'POST', 'logged-models/search', {});
  });

  it('the artifacts service: one etag and time however it is asked, and its own errors', async () => {
    const run = await begin(await experiment());
    const service = `${running.url}/artifact/v2.0${running.ctx.world.workspaces()[0]?.armId}/artifacts`;
    const of = `${service}/ExperimentRun/dcid.${run}`;
    const call = (method: string, url: string, body?: unknown) =>
      send(running.connection, method, url, { token, ...(body === undefined ? {} : { body }) });
    const written = await call('POST', `${of}/content?path=a/b.txt`, Buffer.from('hello'));
    const { etag, createdTime } = written.json;
    assert.match(String(etag), /^".+"$/);
    assert.match(String(createdTime), /^\d{4}-.*\.\d{7}\+00:00$/);
    const [listed] = (await call('GET', of)).json.value;
    const single = (await call('GET', `${of}/metadata?path=a/b.txt`)).json;
    assert.deepEqual([listed.etag, single.etag, listed.createdTime, single.createdTime], [etag, etag, createdTime, createdTime]);
    assert.equal((await call('GET', `${of}/content?path=a/b.txt`)).text, 'hello');
    for (const path of ['../x', 'a/../../x']) {
      const refusal = await call('GET', `${of}/contentinfo?path=${path}`);
      assert.deepEqual([refusal.status, refusal.json.error.code], [400, 'UserError'], refusal.text);
    }
    const data = { origin: 'ExperimentRun', container: `dcid.${run}`, path: 'q.txt' };
    const elsewhere = { ...data, dataPath: { dataStoreName: 'workspaceblobstore', relativePath: 'q.txt' } };
    assert.equal((await call('POST', `${service}/register`, elsewhere)).status, 501);
    assert.equal((await call('POST', `${service}/register`, data)).status, 200);
  });
});
