/** What the words of the service mean, and what a request to cancel has come to: the job itself says it, never the look of a reply. */
import assert from 'node:assert/strict';
import { cancelJob, jobState, phaseOf, readJob } from '../../../src/aml/jobs/job.js';
import { Failure } from '../../../src/azure/errors.js';
import { fakeWorkspace, type Answer } from '../../support/fake-workspace.js';

const refusal = (code: string): Answer['body'] => ({ error: { code, message: `${code} it is` } });
const stateOf = (status: string): Answer => ({ body: { name: 'a b', properties: { status } } });

describe('a job', () => {
  it('every word but the known ends is still going on; silence is no end', () => {
    const words = ['Completed', 'finished', 'FAILED', 'Canceled', 'Cancelled', 'Paused', 'NotResponding', 'Unknown', ''];
    assert.deepEqual(
      words.map(phaseOf),
      ['completed', 'completed', 'failed', 'canceled', 'canceled', 'paused', 'stalled', 'stalled', 'stalled'], // prettier-ignore
    );
    for (const word of ['Running', 'Finalizing', 'CancelRequested', 'SomethingNew', 'Completing'])
      assert.equal(phaseOf(word), 'active', word);
  });

  it('is asked for by its name, whatever is in it; a missing workspace is another mistake than a missing job', async () => {
    let answer: Answer = stateOf('Running');
    let looks = 0;
    const workspace = {
      ...fakeWorkspace(() => answer),
      facts: () => ((looks += 1), Promise.reject(new Failure('no w', { code: 'W' }))),
    };
    assert.equal((await readJob(workspace, 'a b'))?.status, 'Running');
    assert.ok(workspace.asked[0]?.url.endsWith('/jobs/a%20b'));
    answer = { status: 404, body: refusal('UserError') };
    assert.equal(await readJob(workspace, 'x'), undefined);
    assert.equal(looks, 0);
    for (const code of ['ResourceNotFound', 'ParentResourceNotFound', 'ResourceGroupNotFound']) {
      answer = { status: 404, body: refusal(code) };
      await assert.rejects(readJob(workspace, 'x'), /no w/);
    }
  });

  it('links to the studio of its own cloud, and takes no link of the service that is not https', () => {
    const clouds = {
      'https://management.azure.com': 'https://ml.azure.com',
      'https://management.chinacloudapi.cn': 'https://studio.ml.azure.cn',
      'https://management.usgovcloudapi.net': 'https://ml.azure.us',
    };
    for (const [resourceManager, studio] of Object.entries(clouds)) {
      const workspace = fakeWorkspace(() => ({}), { resourceManager });
      const own = `${studio}/runs/j?wsid=/subscriptions/s/resourcegroups/g/workspaces/w`;
      const withLink = (endpoint: string | null) =>
        jobState({ name: 'j', properties: { services: { Studio: { endpoint } } } }, workspace, 'j').studioUrl;
      assert.equal(withLink('https://studio.test/j'), 'https://studio.test/j');
      for (const bad of ['javascript:alert(1)', 'http://studio.test/j', '', null]) assert.equal(withLink(bad), own);
    }
    const { nodes, outputs, displayName } = jobState(
      {
        properties: {
          jobs: { prep: { display_name: 'Prepare' }, train: { display_name: '' }, bare: null, more: { display_name: 'Prepare' } },
          outputs: { m: { jobOutputType: 'mlflow_model', uri: 'azureml://x' }, d: null },
        },
      },
      fakeWorkspace(() => ({})),
      'j',
    );
    assert.deepEqual(nodes, ['Prepare', 'train', 'bare', 'Prepare (2)']);
    assert.deepEqual(outputs, { m: { type: 'mlflow_model', uri: 'azureml://x' }, d: { type: 'uri_folder' } });
    assert.equal(displayName, 'j');
  });

  it('a cancel that is refused is over only when the job says that it has ended; else the refusal is told', async () => {
    const cancel = (reply: Answer, job?: Answer) => {
      const workspace = fakeWorkspace(({ method, url }) => {
        assert.ok(url.includes('/jobs/a%20b'));
        return method === 'POST' ? reply : (job ?? assert.fail('nobody asked for the job'));
      });
      return cancelJob(workspace, 'a b').finally(() => assert.equal(workspace.asked[0]?.retries, 5));
    };
    for (const status of [200, 202]) assert.equal(await cancel({ status }), 'requested');
    assert.equal(await cancel({ status: 404, body: refusal('UserError') }), 'missing');
    for (const status of [400, 409]) {
      const reply = { status, body: refusal('UserError') };
      for (const end of ['Completed', 'Failed', 'Canceled']) assert.equal(await cancel(reply, stateOf(end)), 'over');
      assert.equal(await cancel(reply, stateOf('CancelRequested')), 'requested');
      assert.equal(await cancel(reply, { status: 404, body: refusal('UserError') }), 'missing');
      for (const word of ['Running', 'Finalizing', 'NotResponding', 'Paused'])
        await assert.rejects(cancel(reply, stateOf(word)), /Could not cancel job a b: UserError it is/, word);
    }
    await assert.rejects(cancel({ status: 403, body: refusal('AuthorizationFailed') }), /AuthorizationFailed it is/);
  });
});
