/** MLflow tracking of the embedded workspace: the real clients first, then what only raw requests show. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Principal } from '../../../../local/workspace/context.js';
import { mlflowSurface } from '../../../../local/workspace/mlflow/index.js';
import { startWorkspace, type Workspace } from '../../../../local/workspace/start.js';
import { askWith, type Ask } from '../../../support/ask.js';
import { passKit, runClient } from '../../../support/client-kit.js';

describe('MLflow tracking', function () {
  this.timeout(600_000);
  let folder: string;
  let workspace: Workspace;
  let file: string;
  let token: string;
  let ask: Ask;
  const body = { experiment: '', run: '' };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-mlflow-'));
    workspace = await startWorkspace({
      state: join(folder, 'state'),
      workspaces: ['dev'],
    });
    file = join(folder, 'connection.json');
    writeFileSync(file, JSON.stringify(workspace.connection));
    const principal = workspace.ctx.world.principal(workspace.connection.clientId) as Principal;
    token = (await workspace.ctx.issuer.mint(principal, workspace.url)).token;
    ask = askWith(workspace.connection.ca, `${workspace.connection.mlflowTracking}/api/2.0`, token);
  });
  after(async () => {
    await workspace.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const client = async (mode: string, ...more: string[]): Promise<Record<string, unknown>> => {
    const stdout = await runClient(join(import.meta.dirname, 'real_clients.py'), [file, mode, token, ...more]);
    return JSON.parse(/^SEEN (.*)$/m.exec(stdout)?.[1] ?? '{}') as Record<string, unknown>;
  };

  it('serves plain mlflow: nested runs, datasets, artifacts, models', async () => {
    const seen = await client('plain');
    assert.equal(seen['status'], 'FINISHED');
    assert.deepEqual(seen['params'], { alpha: '0.5', layers: '[1, 2]' });
    assert.equal(seen['nan'], 'nan');
    assert.deepEqual(seen['steps'], [...Array(30).keys()]);
    assert.deepEqual(seen['datasets'], [['points', ['training']]]);
    assert.deepEqual(seen['children'], [seen['child']]);
    assert.deepEqual(seen['settings'], { a: [1, 2] });
    assert.deepEqual(seen['conf'], ['conf/deep', 'conf/settings.json']);
    assert.ok((seen['modelFiles'] as string[]).includes('model/MLmodel'), 'a logged model lies among the artifacts of its run');
    assert.deepEqual(seen['predicted'], [6]);
    assert.deepEqual(seen['predictedFromRun'], [6]);
    assert.deepEqual([seen['alias'], seen['versions'], seen['pages']], ['1', ['1'], 2]);
    const model = workspace.ctx.assets.versions(workspace.ctx.world.workspaces()[0] as never, 'models', 'line')?.[0];
    assert.equal(model?.properties['modelType'], 'mlflow_model');
    body.run = String(seen['parent']);
  });

  it('serves azureml-mlflow as inside a job', async () => {
    const created = await ask('POST', '/mlflow/runs/create', { experiment_id: '0', run_name: 'job' });
    const id = created.json.run.info.run_id as string;
    const seen = await client('azureml', id);
    assert.equal(seen['store'], 'AzureMLRestStore');
    assert.deepEqual(seen['params'], { from: 'azureml' });
    assert.deepEqual(seen['metrics'], { m: 1.5 });
    assert.deepEqual(seen['files'], ['a.txt', 'tree', 'tree/a.txt', 'tree/u']);
    assert.deepEqual(seen['old'], ['old/a.txt', 'old/u']);
    assert.equal(seen['downloaded'], 'b');
  });

  it('passes the client kit', async function () {
    await passKit(this, 'mlflow_client.py', { file, state: folder });
  });

  it('says what is wrong in MLflow’s words', async () => {
    const error = async (path: string, sent: unknown, status: number, code: string): Promise<string> => {
      const answer = await ask('POST', path, sent);
      assert.deepEqual([answer.status, answer.json.error_code], [status, code], JSON.stringify(answer.json));
      return answer.json.message as string;
    };
    const made = await ask('POST', '/mlflow/experiments/create', { name: 'errors' });
    body.experiment = made.json.experiment_id as string;
    await error('/mlflow/experiments/create', { name: 'errors' }, 400, 'RESOURCE_ALREADY_EXISTS');
    await error('/mlflow/experiments/create', {}, 400, 'INVALID_PARAMETER_VALUE');
    await error('/mlflow/runs/update', { run_id: 'nope', status: 'FINISHED' }, 404, 'RESOURCE_DOES_NOT_EXIST');
    const created = await ask('POST', '/mlflow/runs/create', { experiment_id: body.experiment, tags: [] });
    const id = created.json.run.info.run_id as string;
    await ask('POST', '/mlflow/runs/log-parameter', { run_id: id, key: 'p', value: '1' });
    assert.match(
      await error(
        '/mlflow/runs/log-batch',
        { run_id: id, metrics: [{ key: 'm', value: 1, timestamp: 1, step: 0 }], params: [{ key: 'p', value: '2' }] },
        400,
        'INVALID_PARAMETER_VALUE',
      ),
      /Changing param values/,
    );
    const read = await ask('GET', `/mlflow/runs/get?run_id=${id}`);
    assert.deepEqual(read.json.run.data.metrics, [], 'a refused batch writes nothing');
    await error('/mlflow/runs/log-metric', { run_id: id, key: '../x', value: 1, timestamp: 1 }, 400, 'INVALID_PARAMETER_VALUE');
    await error(
      '/mlflow/runs/search',
      { experiment_ids: [body.experiment], filter: 'metrics.a >' },
      400,
      'INVALID_PARAMETER_VALUE',
    );
    await error('/mlflow/nothing/here', {}, 501, 'NOT_IMPLEMENTED');
    const anonymous = await askWith(
      workspace.connection.ca,
      `${workspace.connection.mlflowTracking}/api/2.0`,
      '',
    )('GET', `/mlflow/runs/get?run_id=${id}`);
    assert.deepEqual([anonymous.status, anonymous.json.error_code], [401, 'UNAUTHENTICATED']);
  });

  it('keeps artifact paths inside their folders', async () => {
    for (const path of ['ExperimentRun/../secret', 'container/x/..%2fy', 'ExperimentRun/a/..%5cb', 'elsewhere/a', '%2e%2e/x']) {
      const answer = await ask('PUT', `/mlflow-artifacts/artifacts/${path}`, { a: 1 });
      assert.ok([400, 404, 501].includes(answer.status), `${path}: ${answer.status}`);
    }
    const json = await ask('PUT', '/mlflow-artifacts/artifacts/ExperimentRun/dcid.x/a.json', { a: 1 });
    assert.equal(json.status, 200);
    const back = await ask('GET', '/mlflow-artifacts/artifacts/ExperimentRun/dcid.x/a.json');
    assert.equal(back.text, '{"a":1}', 'JSON is stored as the bytes that were sent');
  });

  it('shows metrics late when that fault is on, and a run of a client survives its own end', async () => {
    workspace.ctx.faults.set('metrics-late=2');
    const metrics = async (): Promise<number> => {
      const answer = await ask('GET', `/mlflow/runs/get?run_id=${body.run}`);
      return (answer.json.run.data.metrics as unknown[]).length;
    };
    const counts = [await metrics(), await metrics(), await metrics()];
    workspace.ctx.faults.set('');
    assert.deepEqual(counts, [0, 0, 2]);
  });

  it('is one surface', () => assert.equal(mlflowSurface.name, 'mlflow'));
});
