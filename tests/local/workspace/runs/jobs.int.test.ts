/** Jobs and run history as requests see them: refusals that leave no trace, merges, lists, webhooks. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Jobs } from '../../../support/jobs.js';

describe('jobs over HTTP', function () {
  this.timeout(300_000);
  let jobs: Jobs;
  before(async () => (jobs = await Jobs.start()));
  after(() => jobs.stop());

  const names = async (query = ''): Promise<string[]> =>
    ((await jobs.ask('GET', `/jobs${query}`)).json.value as { name: string }[]).map(({ name }) => name);

  it('refuses what cannot be run with a typed error, and writes nothing', async () => {
    const ok = await jobs.node('a', 'true');
    const bound = (node: string): object => ({ x: { job_input_type: 'literal', value: `\${{parent.jobs.${node}.outputs.o}}` } });
    const spec = { spec: { inputs: { x: { type: 'uri_folder' } } } };
    const command = (more: object): object => ({ jobType: 'Command', command: 'true', environmentId: jobs.environment, ...more });
    const pipeline = (nodes: { name: string }[], more = {}): object => ({
      jobType: 'Pipeline',
      jobs: Object.fromEntries(nodes.map((node) => [node.name, node])),
      inputs: {},
      outputs: {},
      settings: {},
      ...more,
    });
    const cycle = [
      await jobs.node('p', 'true', { ...spec, node: { inputs: bound('q') } }),
      await jobs.node('q', 'true', { ...spec, node: { inputs: bound('p') } }),
    ];
    const cases: [name: string, body: object, status: number, said: RegExp][] = [
      ['cycle', pipeline(cycle), 400, /cycle: p -> q -> p|cycle: q -> p -> q/],
      [
        'dangling',
        pipeline([await jobs.node('d', 'true', { ...spec, node: { inputs: bound('ghost') } })]),
        400,
        /'ghost', which is not a node/,
      ],
      [
        'no-component',
        pipeline([{ ...ok, componentId: `${jobs.ws.armId}/components/ghost/versions/3` }]),
        404,
        /Not found component ghost \(version: 3\)/,
      ],
      [
        'compute',
        pipeline([ok], { settings: { default_compute: `${jobs.ws.armId}/computes/ghost` } }),
        400,
        /^Unknown compute target 'ghost'\.$/,
      ],
      [
        'environment',
        command({ environmentId: `${jobs.ws.armId}/environments/ghost/versions/1` }),
        404,
        /^No environment exists for name: ghost, version: 1, label: $/,
      ],
      ['spark', { jobType: 'Spark', entry: {}, codeId: 'x' }, 501, /Spark/],
      ['automl', { jobType: 'AutoML', taskDetails: {} }, 501, /AutoML/],
      ['loop', pipeline([{ name: 'l', type: 'do_while', body: '${{parent.jobs.a}}' } as never, ok]), 501, /do_while/],
      [
        'leaves',
        command({
          inputs: { x: { jobInputType: 'uri_file', uri: 'azureml://datastores/workspaceblobstore/paths/../../etc/passwd' } },
        }),
        400,
        /leaves its folder/,
      ],
      ['machines', command({ resources: { instanceCount: 2 } }), 501, /2 instances/],
      ['member', command({ surprise: 1 }), 400, /Could not find member 'surprise' on object of type 'CommandJob'/],
      ['no-value', command({ inputs: { x: { jobInputType: 'literal' } } }), 400, /Required property 'value' not found/],
      ['expression', command({ command: 'echo ${{inputs.nope}}' }), 400, /inputs\.nope/],
      ['nothing', { jobType: 'Command', environmentId: jobs.environment }, 400, /command/],
    ];
    for (const [name, body, status, said] of cases) {
      const reply = await jobs.submit(name, body as Record<string, unknown>);
      assert.equal(reply.status, status, `${name}: ${reply.text}`);
      assert.ok(typeof reply.json.error.code === 'string', `${name}: ${reply.text}`);
      assert.ok(said.test(String(reply.json.error.message)) || said.test(reply.text), `${name}: ${reply.text}`);
      assert.equal((await jobs.ask('GET', `/jobs/${name}`)).status, 404);
    }
    assert.equal((await jobs.submit(encodeURIComponent('../../escape'), command({}) as Record<string, unknown>)).status, 400);
    assert.equal((await jobs.ask('PUT', '/jobs/empty')).status, 400);
    assert.deepEqual(await names('?listViewType=All'), []);
  });

  it('merges a second PUT, keeps properties, archives, lists by view, pages', async () => {
    const body = { tags: { a: '1' }, properties: { mine: 'x' }, displayName: 'first' };
    assert.equal((await jobs.command('merged', 'true', body)).status, 201);
    await jobs.until('merged');
    const again = await jobs.command('merged', 'false', { tags: { b: '2' }, properties: { more: 'y' }, isArchived: true });
    assert.equal(again.status, 200);
    assert.equal(again.headers.location, undefined);
    const { properties } = again.json;
    const { _aml_system_ComputeTargetStatus: cluster, ...tags } = properties.tags;
    assert.deepEqual(tags, { a: '1', b: '2' });
    assert.equal(JSON.parse(cluster).AllocationState, 'steady');
    assert.equal(properties.properties.ProcessInfoFile, 'azureml-logs/process_info.json');
    assert.deepEqual([properties.properties.mine, properties.properties.more, properties.command], ['x', 'y', 'true']);
    assert.equal((await jobs.command('merged', 'true', { properties: { mine: 'other' } })).status, 400);
    assert.deepEqual([await names(), await names('?listViewType=ArchivedOnly')], [[], ['merged']]);
    const patched = await jobs.ask(
      'PATCH',
      `/experiments/tests/runs/merged`,
      { hidden: false, tags: { c: '3' } },
      '/history/v1.0',
    );
    assert.deepEqual([patched.status, patched.json.hidden, patched.json.tags], [200, false, { ...properties.tags, c: '3' }]);
    assert.deepEqual(await names('?tag=b%3D2'), ['merged']);
    const query = await jobs.ask(
      'POST',
      '/experiments/tests/runs:query',
      { filter: "status eq 'Completed' and tags/c eq '3'" },
      '/history/v1.0',
    );
    assert.deepEqual(
      query.json.value.map(({ runId }: { runId: string }) => runId),
      ['merged'],
    );
    const missing = await jobs.ask('GET', '/runs/ghost', undefined, '/history/v1.0');
    assert.deepEqual(
      [missing.status, missing.json.error.message, missing.json.statusCode],
      [404, 'Run ghost was not found', 404],
    );
    assert.equal((await jobs.ask('DELETE', '/jobs/merged')).status, 202);
    assert.equal((await jobs.ask('DELETE', '/jobs/merged')).status, 204);
    assert.deepEqual(await names('?listViewType=All'), []);
  });

  it('tells Azure DevOps of the end, in whatever casing it was asked', async () => {
    const calls: { url: string; body: unknown; auth: string }[] = [];
    let came: () => void = () => undefined;
    const all = new Promise<void>((resolve) => (came = resolve));
    const server: Server = createServer((request, response) => {
      let text = '';
      request.on('data', (part: Buffer) => (text += part.toString()));
      request.on('end', () => {
        calls.push({ url: request.url ?? '', body: JSON.parse(text) as unknown, auth: request.headers.authorization ?? '' });
        response.writeHead(204).end();
        came();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const hook = {
      WebhookType: 'AzureDevOps',
      EventType: 'RunTerminated',
      PlanUri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/org`,
      ProjectId: 'p',
      HubName: 'build',
      PlanId: 'plan',
      JobId: 'j',
      TimelineId: 'tl',
      TaskInstanceId: 't',
      AuthToken: 'secret',
    };
    await jobs.command('hooked', 'sleep 1; exit 3');
    const reply = await jobs.ask('PATCH', '/jobs/hooked', { Properties: { NotificationSetting: { Webhooks: { ADO: hook } } } });
    assert.equal(reply.status, 200, reply.text);
    await all;
    server.close();
    assert.equal((await jobs.until('hooked')).status, 'Failed');
    assert.deepEqual(calls, [
      {
        url: '/org/p/_apis/distributedtask/hubs/build/plans/plan/events?api-version=2.0-preview.1',
        body: { name: 'TaskCompleted', taskId: 't', jobId: 'j', result: 'failed' },
        auth: `Basic ${Buffer.from(':secret').toString('base64')}`,
      },
    ]);
  });

  it('says why there is no interactive service, and which data is missing', async () => {
    const services = { lab: { jobServiceType: 'JupyterLab' } };
    const inputs = { x: { jobInputType: 'uri_folder', uri: `${jobs.ws.armId}/data/ghost/versions/1` } };
    assert.equal((await jobs.command('lacking', 'true', { services, inputs })).status, 201);
    const run = await jobs.until('lacking');
    assert.equal(run.status, 'Failed');
    assert.equal(run.error.error.code, 'UserError');
    assert.match(String(run.error.error.message), /Data version with name: ghost and version: 1 not found/);
    assert.match(JSON.stringify(run.warnings), /not started here: lab/);
    const { instances } = (await jobs.ask('GET', '/runs/lacking/serviceinstances/0', undefined, '/history/v1.0')).json;
    assert.deepEqual([instances.lab.type, instances.lab.status], ['JupyterLab', 'Failed']);
  });
});
