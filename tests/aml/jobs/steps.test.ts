/** How steps are called in the log. */
import assert from 'node:assert/strict';
import { StepReader } from '../../../src/aml/jobs/steps.js';
import type { Workspace } from '../../../src/aml/workspace.js';

describe('steps of a job', () => {
  it('calls the trials of a sweep by their number, a named trial by its name, a nested step with its parent', async () => {
    const below: Record<string, object[]> = {
      // As the service lists them: the later first.
      job: [
        { runId: 'inner', displayName: 'inner', status: 'Running', runType: 'azureml.PipelineRun' },
        { runId: 'job_1', displayName: 'bold_tree', status: 'Running' },
        { runId: 'job_0', displayName: 'job_0', status: 'Running' },
      ],
      inner: [{ runId: 'inner_2', displayName: 'fit', status: 'Running' }],
    };
    const workspace = {
      id: '/w',
      facts: () => Promise.resolve({ api: 'https://api' }),
      azure: {
        async *list({ url }: { url: string }) {
          yield* await Promise.resolve(below[url.split('/').at(-2) ?? ''] ?? []);
        },
      },
    } as unknown as Workspace;
    const names = (await new StepReader(workspace, 'job').read()).map(({ name }) => name);
    assert.deepEqual(names, ['trial_0', 'bold_tree', 'inner', 'inner/fit']);
  });
});
